//! What the adapter reads is what the kernel reads.

use crate::images::{FLAVOURS, find, make};
use crate::tools::{dump, mounted};
use crate::tree::{dumped, from_adapter, from_directory};
use fs_ext4::Ext4;
use wherry_sdk::testing::filesystem::assert_same;
use wherry_sdk::testing::{FileBlob, can_loop};
use wherry_sdk::{ErrorKind, FileSystem};

#[test]
fn every_flavour_as_the_kernel_reads_it() {
    for flavour in FLAVOURS {
        eprintln!("{}", flavour.name);
        let image = make(flavour);
        let device = FileBlob::open(&image.path).unwrap();
        let mut fs = Ext4::mount(Box::new(device.clone()), false).unwrap();
        let tree = from_adapter(&mut fs);
        assert!(tree.len() > 260, "{} has only {} objects", flavour.name, tree.len());
        if ["default", "ext3", "inline"].contains(&flavour.name) || !can_loop() {
            let target = image.beside("dump");
            dump(&image.path, &target);
            assert_same(&dumped(&tree), &dumped(&from_directory(&target)), flavour.name);
        }
        if let Some(mount) = mounted(&image.path, "ro") {
            assert_same(&tree, &from_directory(&mount.path), flavour.name);
            let kernel = rustix::fs::statvfs(&mount.path).unwrap();
            let room = fs.room().unwrap();
            assert_eq!((room.free, room.free_files), (kernel.f_bfree * kernel.f_bsize, Some(kernel.f_ffree)));
        }
        assert_eq!(device.overlay_bytes(), 0, "reading writes nothing");
        let refused = Ext4::mount(Box::new(device), true).map(|_| ()).map_err(|error| error.kind);
        let expected = if flavour.writable { Ok(()) } else { Err(ErrorKind::Unsupported) };
        assert_eq!(refused, expected, "{}", flavour.name);
    }
}

#[test]
fn identity() {
    for (name, kind) in [("default", "ext4"), ("ext3", "ext3"), ("ext2", "ext2"), ("no-journal", "ext4")] {
        let image = make(find(name));
        let device = FileBlob::open(&image.path).unwrap();
        let identity = Ext4::probe(&device).unwrap().unwrap();
        assert_eq!(identity.kind, kind);
        assert_eq!(identity.uuid.as_deref(), Some("01234567-89ab-cdef-0123-456789abcdef"));
        assert_eq!(identity.label.as_deref(), Some("a label"));
        assert_eq!(identity.size, 48 << 20);
        assert!(identity.clean);
    }
    let zeroes = wherry_sdk::testing::MemoryBlob::read_only(vec![0; 1 << 20]);
    assert!(Ext4::probe(&zeroes).unwrap().is_none());
}

#[test]
fn paths_and_kinds() {
    let image = make(find("default"));
    let mut fs = Ext4::mount(Box::new(FileBlob::open(&image.path).unwrap()), false).unwrap();
    let mut kind = |path: &str| fs.stat(path).map(|_| ()).map_err(|error| error.kind);
    assert_eq!(kind("/"), Ok(()));
    assert_eq!(kind("//etc/./fstab"), Ok(()));
    assert_eq!(kind("/etc/missing"), Err(ErrorKind::NotFound));
    assert_eq!(kind("/etc/missing/more"), Err(ErrorKind::NotFound));
    assert_eq!(kind("/etc/fstab/more"), Err(ErrorKind::NotFound));
    assert_eq!(kind("/short/more"), Err(ErrorKind::NotFound));
    assert_eq!(kind("etc"), Err(ErrorKind::InvalidInput));
    assert_eq!(kind("/etc/../etc"), Err(ErrorKind::InvalidInput));
    assert_eq!(kind(&format!("/{}", "n".repeat(256))), Err(ErrorKind::InvalidInput));
    assert_eq!(fs.read("/etc", 0, 1).unwrap_err().kind, ErrorKind::InvalidInput);
    assert_eq!(fs.read_link("/etc").unwrap_err().kind, ErrorKind::InvalidInput);
    assert_eq!(fs.entries("/short", 0, 1).unwrap_err().kind, ErrorKind::InvalidInput);
    assert_eq!(fs.read("/etc/fstab", u64::MAX, 1).unwrap(), b"");
    let content = fs.read("/etc/fstab", 0, u32::MAX).unwrap();
    assert_eq!(content, b"UUID=x / ext4 defaults 0 1\n");
    let denied = fs.remove("/etc/fstab").unwrap_err();
    assert_eq!(denied.kind, ErrorKind::Denied);
}
