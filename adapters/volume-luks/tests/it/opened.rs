//! Volumes that cryptsetup and Linux made (`fixtures/README.md`): what the adapter tells of them. `host/block/tests/it/luks.rs`
//! opens them by the same words.

use crate::exercise::checked_scan;
use std::path::{Path, PathBuf};
use std::process::Command;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures").join(name)
}

/// The bytes of a fixture.
pub fn fixture(name: &str) -> Vec<u8> {
    let path = path(&format!("{name}.zst"));
    let said = Command::new("zstd").args(["-dcq"]).arg(&path).output().expect("package zstd");
    assert!(said.status.success(), "{}", path.display());
    said.stdout
}

#[test]
fn the_host_is_told_what_it_opens() {
    for name in ["luks1-cbc", "luks1-cbc-plain64", "luks2-argon2id", "luks2-4096", "luks2-cbc"] {
        let bytes = fixture(name);
        let layout = checked_scan(&[&bytes]);
        assert!(layout.concerns.is_empty(), "{name}: {:?}", layout.concerns);
        let [part] = layout.parts.as_slice() else { panic!("{name}: one part") };
        let mut told = format!("segment {} {}\n", part.segments[0].offset, part.segments[0].length);
        for fact in &part.facts {
            told += &format!("{} {}\n", fact.key, fact.value);
        }
        assert_eq!(told, std::fs::read_to_string(path(&format!("{name}.facts"))).unwrap(), "{name}");
    }
}
