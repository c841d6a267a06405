//! Features that are refused, or that no kernel here can show; and how often the device is asked.

use crate::images::{Image, make, make_with};
use crate::tools::{check, crc32c, debugfs, dump, mounted, tool};
use crate::tree::{dumped, from_adapter, from_directory};
use fs_ext4::Ext4;
use std::cell::Cell;
use std::fs;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use wherry_sdk::testing::filesystem::assert_same;
use wherry_sdk::testing::{FileBlob, MemoryBlob, noise, run_to};
use wherry_sdk::{Blob, ErrorKind, FileSystem, Range, Result};

fn mount(image: &Image, writable: bool) -> Result<Ext4> {
    Ext4::mount(Box::new(FileBlob::open(&image.path).unwrap()), writable)
}

#[test]
fn features_that_are_read_only() {
    const ENCRYPT: &[&str] = &["-t", "ext4", "-b", "4096", "-O", "encrypt"];
    const CASEFOLD: &[&str] = &["-t", "ext4", "-b", "4096", "-O", "casefold", "-E", "encoding=utf8"];
    const VERITY: &[&str] = &["-t", "ext4", "-b", "4096", "-O", "verity"];
    const MMP: &[&str] = &["-t", "ext4", "-b", "4096", "-O", "mmp"];
    for (name, arguments) in [("encrypt", ENCRYPT), ("casefold", CASEFOLD), ("verity", VERITY), ("mmp", MMP)]
    {
        let image = make_with(arguments);
        let tree = from_adapter(&mut mount(&image, false).unwrap());
        let target = image.beside("dump");
        dump(&image.path, &target);
        assert_same(&dumped(&tree), &dumped(&from_directory(&target)), name);
        let error = mount(&image, true).map(|_| ()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unsupported);
        assert!(error.message.contains(name), "{}", error.message);
    }
}

/// The highest bit of each set of features is unknown to everybody.
#[test]
fn features_that_are_unknown() {
    for (at, readable, writable) in [(0x5c, true, true), (0x60, false, false), (0x64, true, false)] {
        let image = make(crate::images::find("default"));
        let file = fs::File::options().read(true).write(true).open(&image.path).unwrap();
        let mut raw = vec![0; 1020];
        file.read_exact_at(&mut raw, 1024).unwrap();
        raw[at + 3] |= 0x80;
        raw.extend(crc32c(!0, &raw).to_le_bytes());
        file.write_all_at(&raw, 1024).unwrap();
        for (write, allowed) in [(false, readable), (true, writable)] {
            let mounted = mount(&image, write).map(|_| ());
            assert_eq!(
                mounted.as_ref().err().map(|error| error.kind),
                (!allowed).then_some(ErrorKind::Unsupported)
            );
            assert!(mounted.err().is_none_or(|error| error.message.contains("0x80000000")));
        }
    }
}

/// No kernel with pages of 4 KiB mounts these; records as long as a block have a length of their own kind.
#[test]
fn blocks_of_64_kibibytes() {
    let image = make_with(&["-t", "ext4", "-b", "65536", "-O", "^has_journal", "-N", "2048"]);
    let device = FileBlob::open(&image.path).unwrap();
    let mut ext4 = Ext4::mount(Box::new(device.clone()), true).unwrap();
    for index in 0..800 {
        ext4.make_symlink(&format!("/many/{index}{}", "x".repeat(200)), "target", None).unwrap();
    }
    ext4.make_directory("/empty/new", None).unwrap();
    ext4.append("/etc/big", &MemoryBlob::read_only(vec![1; 100_000])).unwrap();
    ext4.remove("/few/size-1").unwrap();
    ext4.sync().unwrap();
    device.apply(&image.path).unwrap();
    check(&image.path);
    let target = image.beside("dump");
    dump(&image.path, &target);
    assert_same(&dumped(&from_adapter(&mut ext4)), &dumped(&from_directory(&target)), "64k");
}

/// Values that fill inodes of their own are read, and whatever would change them is refused.
#[test]
fn attributes_in_inodes() {
    let make = || make_with(&["-t", "ext4", "-b", "1024", "-O", "ea_inode"]);
    // debugfs takes a block at most, and that has no room beside the block's own header.
    let (image, value) = (make(), noise(1, 1024));
    let file = image.beside("value");
    fs::write(&file, &value).unwrap();
    debugfs(&image.path, &format!("ea_set -f {} /etc/fstab user.long\n", file.display()));
    // debugfs 1.47.0 miscounts the file's blocks.
    run_to(tool("e2fsck").arg("-fy").arg(&image.path), &[0, 1]);
    refuses_to_change(&image, value);

    let (image, value) = (make(), noise(1, 9000));
    let Some(mounted) = mounted(&image.path, "rw") else { return };
    let path = mounted.path.join("etc/fstab");
    rustix::fs::lsetxattr(&path, "user.long", &value, rustix::fs::XattrFlags::empty()).unwrap();
    drop(mounted);
    refuses_to_change(&image, value);
}

fn refuses_to_change(image: &Image, value: Vec<u8>) {
    check(&image.path);
    let mut ext4 = mount(image, true).unwrap();
    let meta = ext4.stat("/etc/fstab").unwrap();
    assert!(meta.attributes.contains(&("user.long".into(), value)));
    let other = wherry_sdk::Meta { attributes: Vec::new(), ..meta.clone() };
    assert_eq!(ext4.set_meta("/etc/fstab", &other).unwrap_err().kind, ErrorKind::Unsupported);
    assert_eq!(ext4.remove("/etc/fstab").unwrap_err().kind, ErrorKind::Unsupported);
    ext4.set_meta("/etc/fstab", &wherry_sdk::Meta { mode: 0o600, ..meta }).unwrap();
    ext4.append("/etc/fstab", &MemoryBlob::read_only(b"more".to_vec())).unwrap();
    ext4.sync().unwrap();
}

/// A device that counts how often it is asked.
struct Counting {
    device: FileBlob,
    reads: Rc<Cell<u32>>,
}

impl Blob for Counting {
    fn size(&self) -> u64 {
        self.device.size()
    }
    fn sector_size(&self) -> u32 {
        512
    }
    fn writable(&self) -> bool {
        true
    }
    fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        self.reads.set(self.reads.get() + 1);
        self.device.read(offset, length)
    }
    fn read_many(&self, ranges: &[Range]) -> Result<Vec<u8>> {
        self.reads.set(self.reads.get() + 1);
        self.device.read_many(ranges)
    }
    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.device.write(offset, bytes)
    }
}

/// Crossings into the host are what costs time: one for each file's content, few for everything else.
#[test]
fn few_crossings() {
    let image = make(crate::images::find("default"));
    let reads = Rc::new(Cell::new(0));
    let device = Counting { device: FileBlob::open(&image.path).unwrap(), reads: Rc::clone(&reads) };
    let mut ext4 = Ext4::mount(Box::new(device), true).unwrap();
    let page = ext4.entries("/many", 0, 1000).unwrap();
    assert_eq!(page.entries.len(), 240);
    for entry in &page.entries {
        ext4.stat(&format!("/many/{}", entry.name)).unwrap();
        assert_eq!(ext4.stat(&format!("/etc/{}", entry.name)).unwrap_err().kind, ErrorKind::NotFound);
    }
    assert!(reads.get() < 20, "{} reads for a listing and 240 files", reads.get());
    reads.set(0);
    for entry in &page.entries {
        ext4.read(&format!("/many/{}", entry.name), 0, 4096).unwrap();
    }
    assert_eq!(reads.get(), 240);
}
