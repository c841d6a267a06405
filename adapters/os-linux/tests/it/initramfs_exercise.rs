//! Every parser of the initramfs engine on one piece of bytes.

use os_linux::initramfs::{ModuleTree, Need, Outcome, plan};
use wherry_sdk::Result;

/// Says the same bytes for every file of one kind, and a small honest index besides.
struct Everywhere<'a> {
    bytes: &'a [u8],
    /// which file is not honest
    file: &'a str,
}

impl ModuleTree for Everywhere<'_> {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        if path.ends_with(self.file) {
            return Ok(Some(self.bytes.to_vec()));
        }
        Ok(match path {
            "modules.dep" if self.file != "modules.dep.bin" => {
                Some(b"kernel/a.ko: kernel/b.ko\nkernel/b.ko:\nkernel/c.ko.xz:\nkernel/d.ko.zst:\nkernel/e.ko.gz:\n".to_vec())
            }
            "modules.alias" => Some(b"alias pci:v*d* a\nalias b-name b\n".to_vec()),
            _ => None,
        })
    }
}

const FILES: &[&str] = &[
    "modules.dep",
    "modules.dep.bin",
    "modules.alias",
    "modules.softdep",
    "modules.builtin",
    ".ko",
    ".ko.xz",
    ".ko.zst",
    ".ko.gz",
];

/// As an image, as each index and as a module. What is appended to an image must make it sufficient.
pub fn exercise(bytes: &[u8]) {
    let wanted = ["a", "b", "c", "d", "e"];
    let honest = Everywhere { bytes: b"", file: "modules.softdep" };
    let need = Need { release: "1", image: &bytes, wanted: &wanted[..2], modules: &honest };
    check(&need, bytes);
    let base = udev();
    for file in FILES {
        let modules = Everywhere { bytes, file };
        for module in wanted {
            let need = Need { release: "1", image: &&base[..], wanted: &[module], modules: &modules };
            check(&need, &base);
        }
    }
}

/// An image with udev and no modules, so that everything is missing.
fn udev() -> Vec<u8> {
    let mut image = Vec::new();
    for (name, mode) in [("sbin", "000041ed"), ("sbin/udevd", "000081ed"), ("TRAILER!!!", "00000000")] {
        image.extend(format!("07070100000001{mode}00000000000000000000000100000000").bytes());
        image.extend(format!("{}{:08x}{:08x}{name}\0", "0".repeat(40), name.len() + 1, 0).bytes());
        image.resize(image.len().next_multiple_of(4), 0);
    }
    image
}

fn check(need: &Need<'_>, image: &[u8]) {
    match plan(need).expect("reading cannot fail here") {
        Outcome::Sufficient => {}
        Outcome::Impossible { reason, remedy } => assert!(!reason.is_empty() && !remedy.is_empty()),
        Outcome::Append(segment) => {
            let whole = [image, &segment.bytes].concat();
            let again = plan(&Need { image: &&whole[..], ..*need }).expect("reading cannot fail here");
            assert!(matches!(again, Outcome::Sufficient), "not idempotent: {again:?}");
        }
    }
}
