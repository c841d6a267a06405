//! Boot archives that are UFS file systems, plain and packed by gzip, made by makefs and gzip and read again by an own checker and
//! by gzip.

use crate::archive::{NARROW, SAFE, WIDE};
use crate::golden::{adapt, profile, told};
use crate::guests::{find, with};
use crate::images::{Flavour, flavour, make};
use crate::raw::Raw;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use wherry_sdk::testing::{MemoryBlob, MemoryTree, MemoryVolume};
use wherry_sdk::{DeviceProfile, Tree};

const SMALL: Flavour = flavour("boot", "le", "version=1,bsize=8192,fsize=1024", 4);
const TABLE: &str = "#\n#\tCaution! This file contains critical kernel state\n#\n\"/pci@0,0\" 0 \"pci\"\n\"/pci@0,0/pci15ad,750@1\" 0 \"e1000g\"\n";
const NEW: &str = "#path_to_inst_bootstrap_1\n";
/// The table of drivers in the archives.
pub const ALIASES: &str = "bge \"pci14e4,1659\"\npci-ide \"pciclass,0101\"\n";
const MOST: u64 = 1 << 30;

fn populate(root: &Path) {
    fs::create_dir_all(root.join("etc/devices")).unwrap();
    fs::create_dir_all(root.join("boot/solaris")).unwrap();
    fs::write(root.join("etc/path_to_inst"), TABLE).unwrap();
    fs::write(root.join("etc/driver_aliases"), ALIASES).unwrap();
    fs::write(root.join("etc/name_to_major"), "rootnex 0\n").unwrap();
    fs::write(root.join("boot/solaris/bootenv.rc"), "setprop console 'text'\n").unwrap();
    fs::write(root.join("unix"), wherry_sdk::testing::noise(5, 200_001)).unwrap();
}

/// As bootadm makes them: each file is packed by itself.
fn populate_packed(root: &Path) {
    populate(root);
    let table = root.join("etc/path_to_inst");
    fs::write(table, gzip(&["-c"], TABLE.as_bytes())).unwrap();
    fs::write(root.join("etc/driver_aliases"), gzip(&["-c"], ALIASES.as_bytes())).unwrap();
}

/// Solaris' UFS with a boot archive's files.
pub fn image() -> Vec<u8> {
    fs::read(make(&SMALL, populate).path).unwrap()
}

/// See [`image`], each file packed by itself.
pub fn image_packed() -> Vec<u8> {
    fs::read(make(&SMALL, populate_packed).path).unwrap()
}

/// What gzip makes of bytes.
pub fn gzip(arguments: &[&str], bytes: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("content");
    fs::write(&path, bytes).unwrap();
    let mut command = Command::new("gzip");
    let output = command.args(arguments).stdin(fs::File::open(&path).unwrap()).stderr(Stdio::inherit());
    let output = output.output().unwrap();
    assert!(output.status.success(), "gzip {arguments:?}");
    output.stdout
}

/// A guest with these two archives.
pub fn root(narrow: &[u8], wide: &[u8]) -> MemoryVolume {
    let root = find("10-1-13-ufs").root();
    root.file("/boot/solaris/filelist.safe", SAFE).file(NARROW, narrow).file(WIDE, wide)
}

fn kvm() -> DeviceProfile {
    profile("ide", "e1000", "i440fx")
}

/// The archive is sound and says that devices are to be numbered anew; all else in it is as it was.
fn check(old: &[u8], new: &[u8]) {
    assert_eq!(old.len(), new.len());
    Raw { bytes: new.to_vec(), big: false }.check();
    let mut fs = wherry_ufs::Ufs::mount(Box::new(MemoryBlob::read_only(new)), false).unwrap();
    let mut before = wherry_ufs::Ufs::mount(Box::new(MemoryBlob::read_only(old)), false).unwrap();
    assert_eq!(fs.read("/etc/path_to_inst", 0, 4096).unwrap(), NEW.as_bytes());
    for path in ["/etc/name_to_major", "/boot/solaris/bootenv.rc", "/unix"] {
        assert_eq!(fs.read(path, 0, 1 << 20).unwrap(), before.read(path, 0, 1 << 20).unwrap(), "{path}");
        assert_eq!(fs.stat(path).unwrap(), before.stat(path).unwrap(), "{path}");
    }
    let meta = |fs: &mut wherry_ufs::Ufs<'_>| fs.stat("/etc/path_to_inst").unwrap();
    let (new, old) = (meta(&mut fs), meta(&mut before));
    assert_eq!((new.mode, new.uid, new.gid, new.mtime), (old.mode, old.uid, old.gid, old.mtime));
}

fn read(tree: &MemoryTree, path: &str) -> Vec<u8> {
    tree.read_all(path, MOST).unwrap()
}

#[test]
fn plain_archives() {
    let old = image();
    let tree = with(root(&old, &old), 1);
    let (adaptation, edits) = adapt(&tree, &kvm());
    assert!(adaptation.concerns.is_empty(), "{}", told(&adaptation));
    let shown = edits.iter().find(|edit| edit.object == WIDE).unwrap();
    assert_eq!(shown.before.as_deref(), Some(format!("etc/path_to_inst:\n{TABLE}").as_bytes()));
    let new = read(&tree, WIDE);
    check(&old, &new);
    assert!(new == read(&tree, NARROW));
    assert!(tree.text("/etc/path_to_inst.wherry").contains("e1000g"));
    // the same again leaves the same bytes, whatever the time is
    let again = with(root(&old, &old), 1);
    adapt(&again, &kvm());
    assert!(read(&again, WIDE) == new);
}

#[test]
fn files_that_are_packed_one_by_one() {
    let old = image_packed();
    let tree = with(root(&old, &image()), 1);
    let (_, edits) = adapt(&tree, &kvm());
    let shown = edits.iter().find(|edit| edit.object == NARROW).unwrap();
    assert_eq!(shown.before.as_deref(), Some(format!("etc/path_to_inst:\n{TABLE}").as_bytes()));
    check(&old, &read(&tree, NARROW));
}

#[test]
fn packed_archives() {
    let ufs = image();
    let hsfs = crate::hsfs::image("genisoimage", &["-quiet", "-dlrDJN", "-relaxed-filenames"]);
    let cpio = crate::cpio::archive("odc");
    for (old, level) in [(&ufs, "-1c"), (&ufs, "-9c"), (&hsfs, "-c"), (&cpio, "-c")] {
        let packed = gzip(&[level], old);
        let tree = with(root(&packed, &image()), 1);
        let (adaptation, edits) = adapt(&tree, &kvm());
        assert!(!told(&adaptation).contains("stays as it is"), "{}", told(&adaptation));
        assert!(edits.iter().any(|edit| edit.action == "write" && edit.object == NARROW));
        let new = gzip(&["-dc"], &read(&tree, NARROW));
        if old == &ufs {
            check(old, &new);
        } else {
            assert!(new.windows(NEW.len()).any(|part| part == NEW.as_bytes()));
        }
    }
}

#[test]
fn what_is_refused() {
    let old = image();
    let refused = |archive: Vec<u8>, why: &str| {
        let tree = with(root(&archive, &old), 1);
        let (adaptation, edits) = adapt(&tree, &kvm());
        let told = told(&adaptation);
        assert!(told.contains(&format!("note {NARROW} stays as it is (")) && told.contains(why), "{told}");
        assert!(edits.iter().all(|edit| edit.object != NARROW && edit.object != WIDE));
    };
    let mut dirty = old.clone();
    dirty[8192 + 209] = 0;
    refused(dirty, "not unmounted");
    let lacking = fs::read(make(&SMALL, |root| fs::write(root.join("unix"), "x").unwrap()).path).unwrap();
    refused(lacking, "etc/path_to_inst is not in the archive");
    let mut large = gzip(&["-c"], &old);
    let end = large.len();
    large[end - 4..].copy_from_slice(&u32::MAX.to_le_bytes());
    refused(large, "4294967295 bytes unpacked, and more than 128 MiB");
    let mut cut = gzip(&["-c"], &old);
    let short = cut.len() - 8;
    cut.truncate(short);
    cut.extend([0, 0, 0, 0, 0, 0, 8, 0]);
    refused(cut, "gzip archive");
    refused(gzip(&["-c"], &gzip(&["-c"], &old)), "archives of the kind gzip are not edited");
}

#[test]
fn damaged_archives() {
    let image = image();
    let packed = gzip(&["-c"], &crate::cpio::archive("odc"));
    let try_one = |bytes: Vec<u8>| {
        let read = |offset: u64, length: u64| {
            let at = offset as usize;
            let part = at.checked_add(length as usize).and_then(|end| bytes.get(at..end));
            part.map(<[u8]>::to_vec).ok_or_else(|| wherry_sdk::Error::corrupt(offset, "beyond the end"))
        };
        if let Ok(patches) = os_solaris::archive::replace(&read, bytes.len() as u64, &crate::exercise::INNER)
        {
            // those of a packed one are for its content
            let packed = bytes.starts_with(&os_solaris::gzip::MAGIC);
            assert!(packed || patches.iter().all(|patch| patch.offset <= bytes.len() as u64));
            assert!(patches.iter().map(|patch| patch.bytes.len()).sum::<usize>() < 64 << 20);
        }
    };
    for seed in 0..600 {
        let mut bytes = image.clone();
        // superblock, group, inodes and directories are at the beginning
        wherry_sdk::testing::damage(&mut bytes, 8192, 400 << 10, seed);
        try_one(bytes);
        let mut bytes = packed.clone();
        wherry_sdk::testing::damage(&mut bytes, 3, packed.len(), seed);
        try_one(bytes);
    }
    for length in (0..packed.len()).step_by(7).chain((8192..400 << 10).step_by(9973)) {
        try_one(packed.get(..length).unwrap_or(&image[..length]).to_vec());
    }
}
