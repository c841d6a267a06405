//! Drives all that reads a driver package on any bytes.

use crate::program::{self, AMD64};
use os_windows::decoration::{Architecture, SERVER, Target};
use os_windows::edit::CONTROL_SET;
use os_windows::import::{Guest, import};
use os_windows::inf::{FIELD_MOST, Inf};
use os_windows::package::{self, Device, Package};
use wherry_sdk::Tree;
use wherry_sdk::testing::{MemoryTree, MemoryVolume};

/// Parses the bytes as an INF file, chooses from it for systems of all generations, and imports it; panics where an answer
/// breaks what is promised.
pub fn exercise(bytes: &[u8]) {
    let Ok(inf) = Inf::parse(bytes, 0x409) else { return };
    let names: Vec<String> = inf.names("").map(str::to_owned).collect();
    for name in names.iter().take(200) {
        assert!(inf.has(name) && inf.written(name).is_some_and(|own| own.to_lowercase() == *name));
        for line in inf.lines(name).iter().take(200) {
            for field in &line.values {
                assert!(field.chars().count() <= FIELD_MOST);
                assert!(inf.expand(field).len() <= 4 * FIELD_MOST);
            }
        }
    }
    let volume =
        MemoryVolume::new("v", &[("fs.kind", "ntfs")]).directory("/Windows/INF").file("/d/a.inf", bytes);
    let volume = volume
        .file("/d/viostor.sys", program::driver(AMD64, "s"))
        .file("/d/viostor.cat", "c")
        .file("/d/netkvm.cat", "c");
    let tree = MemoryTree::new(vec![
        volume.file("/d/netkvm.sys", program::driver(AMD64, "s")).file("/d/netkvmp.exe", "p"),
    ]);
    tree.mount("v", "/").expect("mounts");
    let Ok(package) = Package::parse("/d", "a.inf", bytes.into(), 0x409) else { return };
    let packages = [package];
    for (major, minor, build) in [(4, 0, 1381), (5, 2, 3790), (6, 1, 7601), (10, 0, 26100)] {
        for architecture in [Architecture::X86, Architecture::Amd64] {
            let target =
                Target { architecture, major, minor, build, product: SERVER, suite: 0, language: 0x409 };
            one(&tree, &packages, target);
        }
    }
}

fn one(tree: &MemoryTree, packages: &[Package], target: Target) {
    let guest = Guest {
        tree,
        target,
        windows: r"C:\Windows".into(),
        root: "/Windows".into(),
        oem_map: vec![0x80],
        boot_classes: Vec::new(),
        has_drivers_hive: true,
        now: 1,
        signing: os_windows::loading::Signing::default(),
    };
    for device in [r"PCI\VEN_1AF4", r"PCI\VEN_1AF4&DEV_1000"] {
        let device = Device::new(device);
        package::misfits(packages, &device);
        let Some(choice) = package::ranked(packages, &device, &target).into_iter().next() else { continue };
        let Ok(import) = import(&guest, &choice) else { continue };
        for file in &import.files {
            let parts: Vec<&str> = file.path.split('/').collect();
            assert!(
                file.path.starts_with('/') && !parts.contains(&"..") && !parts.contains(&"."),
                "{}",
                file.path
            );
            assert!(!file.path.contains('\0') && !file.reason.is_empty());
        }
        for edit in &import.edits {
            assert!(!edit.path.starts_with('\\') && !edit.path.ends_with('\\') && !edit.reason.is_empty());
            let _ = edit.path.starts_with(CONTROL_SET);
        }
    }
}
