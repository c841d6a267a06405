//! Single edits and their limits.

use crate::lab::{Lab, read};
use crate::reading::sample;
use fs_fat::Fat;
use std::process::Command;
use wherry_sdk::testing::filesystem::assert_same;
use wherry_sdk::testing::{FileBlob, MemoryBlob, noise, run};
use wherry_sdk::{Blob, Error, ErrorKind, FileSystem, Kind, Meta, Result};

const NOW: i64 = 1_790_000_000;

fn content(length: usize) -> MemoryBlob {
    MemoryBlob::new(noise(length as u64, length))
}

fn kind(result: Result<()>) -> ErrorKind {
    result.unwrap_err().kind
}

/// After the edits, fsck.fat and mtools have the last word.
fn assert_sound(lab: &Lab, blob: &FileBlob, fat: &mut Fat) {
    let tree = read(fat);
    lab.apply(blob, fat);
    lab.assert_clean();
    assert_same(&lab.read_with_mtools(), &tree, "all of it");
}

#[test]
fn identity_stays_when_content_changes() {
    let lab = Lab::new(&["-F", "32", "-s", "1"], 36_000);
    lab.fill(&sample());
    let (blob, mut fat) = lab.mount();
    let before = fat.stat("/EFI/debian/grub.cfg").unwrap();
    fat.write("/efi/DEBIAN/grub.cfg", &content(9000), None).unwrap();
    let after = fat.stat("/EFI/debian/grub.cfg").unwrap();
    assert_eq!((after.id, after.size, after.mtime), (before.id, 9000, NOW));
    fat.append("/EFI/debian/grub.cfg", &content(123)).unwrap();
    assert_eq!(fat.stat("/EFI/debian/grub.cfg").unwrap().size, 9123);
    let listed = fat.entries("/EFI/debian", 0, 10).unwrap().entries;
    assert_eq!((listed.len(), listed[0].name.as_str()), (1, "grub.cfg"));
    assert_sound(&lab, &blob, &mut fat);
}

#[test]
fn attributes_that_fat_has() {
    let lab = Lab::new(&["-F", "12"], 2000);
    let (blob, mut fat) = lab.mount();
    let mut like = Meta {
        kind: Kind::File,
        size: 0,
        mode: 0o400,
        uid: 1000,
        gid: 1000,
        mtime: 1_000_000_001,
        id: 0,
        links: 1,
        attributes: vec![("security.selinux".into(), b"x".to_vec())],
    };
    fat.write("/key", &content(10), Some(&like)).unwrap();
    let meta = fat.stat("/key").unwrap();
    assert_eq!((meta.mode, meta.uid, meta.mtime), (0o444, 0, 1_000_000_000), "two-second steps");
    assert_eq!(kind(fat.set_meta("/key", &like)), ErrorKind::Unsupported);
    like.attributes.clear();
    like.mode = 0o4755;
    like.mtime = -5;
    fat.set_meta("/key", &like).unwrap();
    let meta = fat.stat("/key").unwrap();
    assert_eq!((meta.mode, meta.mtime), (0o644, 315_532_800), "1980 is the first year");
    fat.make_directory("/d", Some(&like)).unwrap();
    assert_eq!(fat.stat("/d").unwrap().mode, 0o755);
    assert_eq!(kind(fat.make_symlink("/link", "key", None)), ErrorKind::Unsupported);
    assert_sound(&lab, &blob, &mut fat);
}

#[test]
fn names_that_fat_cannot_hold() {
    let lab = Lab::new(&["-F", "12"], 2000);
    let (blob, mut fat) = lab.mount();
    let long = "n".repeat(256);
    for name in ["a:b", "what?", "tail.", "tail ", "a\\b", "\u{7}", "a\u{fffd}", &long] {
        let path = format!("/{name}");
        assert_eq!(kind(fat.write(&path, &content(1), None)), ErrorKind::InvalidInput, "{name}");
        assert_eq!(kind(fat.make_directory(&path, None)), ErrorKind::InvalidInput, "{name}");
    }
    // 255 units of UTF-16, and characters that take two of them.
    for name in ["n".repeat(255), "𝄞".repeat(127)] {
        fat.write(&format!("/{name}"), &content(1), None).unwrap();
        assert_eq!(fat.stat(&format!("/{}", name.to_uppercase())).unwrap().size, 1);
    }
    fat.remove(&format!("/{}", "𝄞".repeat(127))).unwrap();
    assert_sound(&lab, &blob, &mut fat);
}

#[test]
fn renames_of_case_and_into_itself() {
    let lab = Lab::new(&["-F", "16"], 9000);
    let (blob, mut fat) = lab.mount();
    fat.make_directory("/one", None).unwrap();
    fat.make_directory("/one/two", None).unwrap();
    fat.write("/one/two/file", &content(5000), None).unwrap();
    fat.rename("/one/two/file", "/one/two/FILE").unwrap();
    assert_eq!(fat.entries("/one/two", 0, 9).unwrap().entries[0].name, "FILE");
    assert_eq!(kind(fat.rename("/one", "/one/two/one")), ErrorKind::InvalidInput);
    assert_eq!(kind(fat.rename("/one", "/ONE/x")), ErrorKind::InvalidInput);
    assert_eq!(kind(fat.rename("/", "/x")), ErrorKind::InvalidInput);
    assert_eq!(kind(fat.remove("/one")), ErrorKind::InvalidInput);
    // Out of its directory and back: fsck.fat looks at `..`.
    fat.rename("/one/two", "/up").unwrap();
    fat.rename("/up", "/one/again").unwrap();
    assert_sound(&lab, &blob, &mut fat);
}

/// A root directory of FAT12 and FAT16 does not grow; what does not fit changes nothing.
#[test]
fn a_full_root_directory() {
    let lab = Lab::new(&["-F", "12", "-r", "16"], 2000);
    let (blob, mut fat) = lab.mount();
    // One slot holds the label, so that fifteen are left: seven for this name.
    let long = format!("/{}", "x".repeat(70));
    fat.write(&long, &content(1), None).unwrap();
    for number in 0..8 {
        fat.write(&format!("/F{number}"), &content(1), None).unwrap();
    }
    let free = fat.room().unwrap().free;
    for result in [
        fat.write("/F8", &content(1), None),
        fat.make_directory("/F8", None),
        fat.rename("/F1", "/not a short name"),
    ] {
        assert_eq!(kind(result), ErrorKind::NoSpace);
    }
    assert_eq!(fat.room().unwrap().free, free);
    // The old name's slots count as free for the new one.
    fat.rename(&long, &format!("/{}", "y".repeat(70))).unwrap();
    fat.rename("/F1", "/F2").unwrap();
    fat.write("/F8", &content(1), None).unwrap();
    assert_sound(&lab, &blob, &mut fat);
}

/// Directories grow by clusters, reuse what was freed, and keep their end marked.
#[test]
fn directories_grow() {
    for arguments in [["-F", "12"], ["-F", "32"]] {
        let lab = Lab::new(
            &[&arguments[..], &["-s", "1"]].concat(),
            if arguments[1] == "12" { 2000 } else { 36_000 },
        );
        let (blob, mut fat) = lab.mount();
        let top = if arguments[1] == "32" { "" } else { "/d" };
        if !top.is_empty() {
            fat.make_directory(top, None).unwrap();
        }
        for number in 0..120 {
            fat.write(&format!("{top}/file with number {number}"), &content(1), None).unwrap();
        }
        for number in (0..120).step_by(3) {
            fat.remove(&format!("{top}/file with number {number}")).unwrap();
        }
        for number in 0..60 {
            fat.make_directory(&format!("{top}/D{number}"), None).unwrap();
        }
        assert_eq!(fat.entries(if top.is_empty() { "/" } else { top }, 0, 1000).unwrap().entries.len(), 140);
        assert_sound(&lab, &blob, &mut fat);
    }
}

/// No room: nothing changes. Room only without the old content: that goes first.
#[test]
fn a_full_volume() {
    let lab = Lab::new(&["-F", "12", "-s", "1"], 1000);
    let (blob, mut fat) = lab.mount();
    fat.make_directory("/d", None).unwrap();
    let free = fat.room().unwrap().free as usize;
    fat.write("/big", &content(free - 2048), None).unwrap();
    let before = fat.read("/big", 0, 1 << 20).unwrap();
    assert_eq!(kind(fat.write("/more", &content(4096), None)), ErrorKind::NoSpace);
    assert_eq!(kind(fat.append("/big", &content(4096))), ErrorKind::NoSpace);
    assert_eq!(kind(fat.write("/big", &content(free + 1), None)), ErrorKind::NoSpace);
    assert_eq!(fat.stat("/more").unwrap_err().kind, ErrorKind::NotFound);
    assert!(fat.read("/big", 0, 1 << 20).unwrap() == before);
    fat.write("/big", &content(free), None).unwrap();
    assert_eq!(fat.room().unwrap().free, 0);
    assert_eq!(kind(fat.make_directory("/d/e", None)), ErrorKind::NoSpace);
    fat.write("/big", &content(0), None).unwrap();
    assert_eq!(fat.room().unwrap().free as usize, free);
    assert_sound(&lab, &blob, &mut fat);
}

/// A blob that breaks off.
struct Broken(MemoryBlob);

impl Blob for Broken {
    fn size(&self) -> u64 {
        self.0.size()
    }
    fn sector_size(&self) -> u32 {
        512
    }
    fn writable(&self) -> bool {
        false
    }
    fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        if offset > 0 { Err(Error::new(ErrorKind::Io, "broken off")) } else { self.0.read(offset, length) }
    }
    fn write(&self, _: u64, _: &[u8]) -> Result<()> {
        Err(Error::new(ErrorKind::Denied, "not this way"))
    }
}

#[test]
fn content_that_breaks_off() {
    let lab = Lab::new(&["-F", "16"], 9000);
    let (blob, mut fat) = lab.mount();
    fat.write("/old", &content(3000), None).unwrap();
    let (free, before) = (fat.room().unwrap().free, fat.read("/old", 0, 4096).unwrap());
    let broken = Broken(content(3 << 20));
    assert_eq!(kind(fat.write("/new", &broken, None)), ErrorKind::Io);
    assert_eq!(kind(fat.write("/old", &broken, None)), ErrorKind::Io);
    assert_eq!(kind(fat.append("/old", &broken)), ErrorKind::Io);
    assert_eq!(fat.room().unwrap().free, free);
    assert_eq!(fat.read("/old", 0, 4096).unwrap(), before);
    assert_eq!(fat.stat("/new").unwrap_err().kind, ErrorKind::NotFound);
    assert_sound(&lab, &blob, &mut fat);
}

#[test]
fn without_the_right_to_write() {
    let lab = Lab::new(&["-F", "16"], 9000);
    let bytes = std::fs::read(&lab.image).unwrap();
    let refused = Fat::mount(Box::new(MemoryBlob::read_only(bytes)), true).err().unwrap();
    assert_eq!(refused.kind, ErrorKind::Denied);
    let mut fat = Fat::mount(Box::new(FileBlob::open(&lab.image).unwrap()), false).unwrap();
    for result in [
        fat.write("/a", &content(1), None),
        fat.modify("/a", 0, &content(1)),
        fat.remove("/a"),
        fat.rename("/a", "/b"),
        fat.make_directory("/a", None),
    ] {
        assert_eq!(kind(result), ErrorKind::Denied);
    }
    fat.sync().unwrap();
}

/// The mark of an unclean shutdown goes where nothing is wrong, stays where clusters are lost, and where chains cross
/// the volume is not changed at all.
#[test]
fn dirty_volumes() {
    for arguments in [["-F", "16"], ["-F", "32"]] {
        let lab = Lab::new(&arguments, if arguments[1] == "32" { 36_000 } else { 9000 });
        lab.fill(&sample());
        let clean = std::fs::read(&lab.image).unwrap();
        let state = if arguments[1] == "32" { 65 } else { 37 };
        let mut dirty = clean.clone();
        dirty[state] |= 1;
        std::fs::write(&lab.image, &dirty).unwrap();
        let (blob, mut fat) = lab.mount();
        fat.write("/new", &content(100), None).unwrap();
        assert!(!Fat::probe(&blob).unwrap().unwrap().clean);
        assert_sound(&lab, &blob, &mut fat);
        assert!(Fat::probe(&FileBlob::open(&lab.image).unwrap()).unwrap().unwrap().clean);

        // README.TXT gets BOOTX64.EFI's first cluster; its own one is lost.
        let slot = |name: &[u8; 11]| clean.windows(11).position(|window| window == name).unwrap();
        let (from, to) = (slot(b"BOOTX64 EFI"), slot(b"README  TXT"));
        let mut crossed = dirty.clone();
        crossed.copy_within(from + 26..from + 28, to + 26);
        let mount = |bytes: &[u8]| Fat::mount(Box::new(MemoryBlob::new(bytes)), true);
        let refused = mount(&crossed).err().unwrap();
        assert_eq!(refused.kind, ErrorKind::Dirty);
        assert!(
            refused.message.contains("two chains") && refused.message.contains("fsck.fat"),
            "{refused:?}"
        );
        crossed[state] &= !1;
        assert_eq!(mount(&crossed).err().unwrap().kind, ErrorKind::Corrupt);

        // Without README.TXT's entry its cluster is lost.
        let mut lost = dirty.clone();
        lost[to] = 0xe5;
        let blob = MemoryBlob::new(lost);
        let mut fat = Fat::mount(Box::new(blob.clone()), true).unwrap();
        fat.write("/new", &content(100), None).unwrap();
        fat.sync().unwrap();
        assert!(!Fat::probe(&blob).unwrap().unwrap().clean);
    }
}

/// FAT32 without mirroring: only the active table counts. Made by hand, as Windows allows and mkfs.vfat does not make.
#[test]
fn only_the_active_table() {
    let lab = Lab::new(&["-F", "32", "-s", "1"], 36_000);
    lab.fill(&sample());
    let mut bytes = std::fs::read(&lab.image).unwrap();
    let table = usize::from(u16::from_le_bytes([bytes[14], bytes[15]])) * 512;
    let length = u32::from_le_bytes(bytes[36..40].try_into().unwrap()) as usize * 512;
    bytes[40] = 0x81;
    bytes[table + 8..table + length].fill(0);
    let before = bytes[table..table + length].to_vec();
    let blob = MemoryBlob::new(bytes);
    let mut fat = Fat::mount(Box::new(blob.clone()), true).unwrap();
    assert_same(&read(&mut fat), &sample(), "all of it");
    fat.write("/new", &content(5000), None).unwrap();
    fat.sync().unwrap();
    let mut bytes = blob.bytes();
    assert!(bytes[table..table + length] == before);
    // With mirroring again and both tables alike, fsck.fat can judge.
    bytes.copy_within(table + length..table + 2 * length, table);
    bytes[40] = 0;
    bytes[6 * 512 + 40] = 0;
    std::fs::write(&lab.image, bytes).unwrap();
    lab.assert_clean();
    run(Command::new("mtype").arg("-i").arg(&lab.image).arg("::new").stdout(std::process::Stdio::null()));
}
