//! One kernel: its release, and the drivers it has. The Linux/x86 boot protocol (`kernel_version`, offset 0x20e),
//! modules.dep(5), `Documentation/kbuild/kbuild.rst` (`modules.builtin`).

use crate::files::{exists, names, text};
use crate::modules;
use std::collections::BTreeSet;
use wherry_sdk::Tree;

/// The most of a module list that is read, in bytes.
const LIST: u64 = 16 << 20;
const FOLDERS: [&str; 2] = ["/lib/modules", "/usr/lib/modules"];

/// How a kernel has a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// In the kernel itself.
    BuiltIn,
    /// A file among its modules.
    Module,
    /// Not at all.
    Missing,
}

/// A kernel image with what belongs to it.
#[derive(Debug)]
pub struct Kernel {
    /// `/boot/vmlinuz-6.1.0-28-amd64`
    pub path: String,
    /// `6.1.0-28-amd64`, if it can be told.
    pub release: Option<String>,
    /// `/lib/modules/6.1.0-28-amd64`
    pub modules: Option<String>,
    loadable: BTreeSet<String>,
    built_in: BTreeSet<String>,
    /// Its module ata_piix is not for IDE (before 2.6.20, `ATA_ENABLE_PATA` of ata_piix.c): by `modules.alias`.
    sata_only: bool,
    configuration: Option<String>,
}

impl Kernel {
    /// Looks at the image at `path` and at what belongs to its release.
    pub fn read(guest: &dyn Tree, path: &str) -> Self {
        let release = header_release(guest, path).or_else(|| named_release(guest, path));
        Self::of_release(guest, path, release)
    }

    /// For an image whose release is known.
    pub fn of_release(guest: &dyn Tree, path: &str, release: Option<String>) -> Self {
        let folder = |release: &String| {
            FOLDERS.map(|folder| format!("{folder}/{release}")).into_iter().find(|path| exists(guest, path))
        };
        let modules = release.as_ref().and_then(folder);
        let list = |name: &str| {
            let path = modules.as_ref().map(|folder| format!("{folder}/{name}"));
            let bytes = path.and_then(|path| guest.read_all(&path, LIST).ok());
            module_names(&bytes.unwrap_or_default())
        };
        let configuration = release.as_ref().and_then(|release| {
            text(guest, &format!("/boot/config-{release}"))
                .or_else(|| text(guest, &format!("{}/config", modules.as_deref()?)))
        });
        let (loadable, built_in) = (list("modules.dep"), list("modules.builtin"));
        let aliases = modules.as_ref().map(|folder| guest.read_all(&format!("{folder}/modules.alias"), LIST));
        let sata_only = aliases.and_then(Result::ok).is_some_and(|aliases| is_sata_only(&aliases));
        Self { path: path.to_owned(), release, modules, loadable, built_in, sata_only, configuration }
    }

    /// For people: the release, or else the path.
    pub fn name(&self) -> &str {
        self.release.as_deref().unwrap_or(&self.path)
    }

    /// How it has this driver.
    pub fn driver(&self, module: &str) -> Driver {
        let configured = || {
            let symbol = modules::symbol(module)?;
            let lines = self.configuration.as_ref()?.lines();
            lines.filter_map(|line| line.strip_prefix(symbol)).find(|rest| *rest == "=y")
        };
        if self.built_in.contains(module) || configured().is_some() {
            Driver::BuiltIn
        } else if self.loadable.contains(module) {
            Driver::Module
        } else {
            Driver::Missing
        }
    }

    /// Those of these modules that it has so.
    pub fn drivers<'m>(&self, modules: &[&'m str], kind: Driver) -> Vec<&'m str> {
        modules.iter().copied().filter(|module| self.driver(module) == kind).collect()
    }

    /// Whether it runs on Xen only: XenSource's port, which distributions shipped until 2012 (`CONFIG_X86_XEN`,
    /// `CONFIG_X86_64_XEN`), told by its name where its configuration is not there.
    pub fn needs_xen(&self) -> bool {
        let Some(configuration) = &self.configuration else {
            return self
                .release
                .as_deref()
                .is_some_and(|release| release.starts_with('2') && release.ends_with("xen"));
        };
        configuration.lines().any(|line| ["CONFIG_X86_XEN=y", "CONFIG_X86_64_XEN=y"].contains(&line))
    }

    /// The modules that reach a disk on this bus: of several sets the first that it has whole, and its own loss if it has none.
    pub fn storage(&self, disk_bus: &str) -> &'static [&'static str] {
        let sets = modules::storage(disk_bus);
        // IDE as it is built into kernels before libata names disks otherwise, and is preferred by them
        let built_in = |set: &&&[&'static str]| self.drivers(set, Driver::BuiltIn).len() == set.len();
        let idle = |set: &[&'static str]| {
            self.sata_only && set.contains(&"ata_piix") && self.driver("ata_piix") == Driver::Module
        };
        let whole = |set: &&&[&'static str]| self.drivers(set, Driver::Missing).is_empty() && !idle(set);
        let found = sets.iter().find(built_in).or_else(|| sets.iter().find(whole));
        found.or_else(|| sets.iter().find(|set| !idle(set))).copied().unwrap_or_default()
    }

    /// Disk buses for which it has every driver.
    pub fn buses(&self) -> Vec<&'static str> {
        let has = |bus: &&str| self.drivers(self.storage(bus), Driver::Missing).is_empty();
        modules::BUSES.into_iter().filter(has).collect()
    }

    /// Models of network cards whose driver it has.
    pub fn cards(&self) -> Vec<&'static str> {
        let has = |model: &&str| {
            modules::network(model).is_some_and(|(module, _)| self.driver(module) != Driver::Missing)
        };
        modules::CARDS.into_iter().filter(has).collect()
    }
}

/// The first word of the version string that the header of a bzImage points to.
fn header_release(guest: &dyn Tree, path: &str) -> Option<String> {
    let header = guest.read(path, 0, 0x210).ok()?;
    if header.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let pointer = u16::from_le_bytes(header.get(0x20e..0x210)?.try_into().ok()?);
    let version = guest.read(path, u64::from(pointer) + 0x200, 128).ok()?;
    let word = version.split(|byte| *byte == 0 || *byte == b' ').next()?;
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-+~".contains(byte);
    let word = String::from_utf8(word.to_vec()).ok()?;
    let good =
        pointer != 0 && word.starts_with(|c: char| c.is_ascii_digit()) && word.bytes().all(|c| plain(&c));
    good.then_some(word)
}

/// From the file's name, or from `pkgbase`, with which Arch Linux names the kernel of a module directory.
fn named_release(guest: &dyn Tree, path: &str) -> Option<String> {
    let file = path.rsplit('/').next()?;
    let (_, name) = file.split_once('-')?;
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        return Some(name.to_owned());
    }
    let releases = names(guest, "/usr/lib/modules").into_iter().take(64);
    let mut named = releases.filter(|release| {
        text(guest, &format!("/usr/lib/modules/{release}/pkgbase")).is_some_and(|base| base.trim() == name)
    });
    named.next()
}

/// Whether ata_piix asks for none of the IDE controllers that hypervisors emulate, PIIX3 and PIIX4, but for others.
fn is_sata_only(aliases: &[u8]) -> bool {
    let text = String::from_utf8_lossy(aliases);
    let own = || text.lines().filter(|line| line.ends_with(" ata_piix"));
    let ide = ["pci:v00008086d00007010", "pci:v00008086d00007111"];
    own().next().is_some() && !own().any(|line| ide.iter().any(|id| line.contains(id)))
}

/// Module names in `modules.dep` or `modules.builtin`: `kernel/drivers/block/virtio_blk.ko.xz: ...`.
fn module_names(index: &[u8]) -> BTreeSet<String> {
    let text = String::from_utf8_lossy(index);
    let paths = text.lines().filter_map(|line| line.split(':').next());
    let files = paths.filter_map(|path| path.rsplit('/').next()?.split_once(".ko"));
    files.map(|(name, _)| name.replace('-', "_")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wherry_sdk::testing::{MemoryTree, MemoryVolume};

    fn image(release: &str) -> Vec<u8> {
        let mut bytes = vec![0; 0x400];
        bytes[0x202..0x206].copy_from_slice(b"HdrS");
        bytes[0x20e..0x210].copy_from_slice(&0x120u16.to_le_bytes());
        let text = format!("{release} (builder@host) #1 SMP\0");
        bytes[0x320..0x320 + text.len()].copy_from_slice(text.as_bytes());
        bytes
    }

    #[test]
    fn a_kernel_by_its_header() {
        let folder = "/usr/lib/modules/6.9.1-arch1-1";
        let root = MemoryVolume::new("r", &[("fs.kind", "ext4")])
            .file("/boot/vmlinuz-linux", image("6.9.1-arch1-1"))
            .file("/boot/vmlinuz-lts", "not a bzImage")
            .file("/usr/lib/modules/6.6.1-lts/pkgbase", "lts\n")
            .file(&format!("{folder}/modules.dep"), "kernel/drivers/nvme/host/nvme.ko.zst: x\n")
            .file(&format!("{folder}/modules.builtin"), "kernel/drivers/virtio/virtio-pci.ko\n")
            .file("/boot/config-6.9.1-arch1-1", "CONFIG_VIRTIO_BLK=y\nCONFIG_SCSI_VIRTIO=m\n");
        let tree = MemoryTree::new(vec![root]);
        tree.mount("r", "/").expect("mounts");
        let kernel = Kernel::read(&tree, "/boot/vmlinuz-linux");
        assert_eq!((kernel.name(), kernel.modules.as_deref()), ("6.9.1-arch1-1", Some(folder)));
        let drivers = ["nvme", "virtio_pci", "virtio_blk", "virtio_scsi"].map(|module| kernel.driver(module));
        assert_eq!(drivers, [Driver::Module, Driver::BuiltIn, Driver::BuiltIn, Driver::Missing]);
        assert_eq!(kernel.buses(), ["virtio-blk", "nvme"]);
        assert!(kernel.cards().is_empty());
        assert_eq!(Kernel::read(&tree, "/boot/vmlinuz-lts").release.as_deref(), Some("6.6.1-lts"));
        assert_eq!(Kernel::read(&tree, "/boot/none").release, None);
    }

    /// The module is there, but before 2.6.20 for SATA only: IDE has drivers of its own, if any.
    #[test]
    fn ata_piix_of_old_kernels() {
        for (chip, old, wanted, can) in [
            ("7111", "", ["ata_piix", "sd_mod"], true),
            ("24D1", "", ["piix", "ide_disk"], false),
            ("24D1", "k/piix.ko:\nk/ide-disk.ko:\n", ["piix", "ide_disk"], true),
        ] {
            let folder = "/lib/modules/2.6.16";
            let root = MemoryVolume::new("r", &[("fs.kind", "ext3")])
                .file(&format!("{folder}/modules.dep"), format!("k/ata_piix.ko:\nk/sd_mod.ko:\n{old}"))
                .file(
                    &format!("{folder}/modules.alias"),
                    format!("alias pci:v00008086d0000{chip}sv*sd*bc*sc*i* ata_piix\n"),
                );
            let tree = MemoryTree::new(vec![root]);
            tree.mount("r", "/").expect("mounts");
            let kernel = Kernel::of_release(&tree, "", Some("2.6.16".into()));
            assert_eq!(
                (kernel.storage("ide"), kernel.buses().contains(&"ide")),
                (&wanted[..], can),
                "{chip}"
            );
        }
    }
}
