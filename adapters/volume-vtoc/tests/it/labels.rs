//! The adapter and util-linux see the same.

use crate::exercise::checked_scan;
use crate::made::{Slice, partition, seal, x86};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use wherry_sdk::find;
use wherry_sdk::testing::run;
use wherry_sdk::volume::{Layout, Part};

/// A small Solaris 10: root, swap, all of it, /export/home, the boot cylinder, alternates.
pub const SOLARIS: [Slice; 10] = [
    (2, 0, 256, 2048),
    (3, 1, 2304, 1024),
    (5, 1, 0, 8192),
    (0, 0, 0, 0),
    (0, 0, 0, 0),
    (0, 0, 0, 0),
    (0, 0, 0, 0),
    (8, 0, 3328, 4096),
    (1, 1, 0, 64),
    (9, 1, 64, 128),
];

fn place(part: &Part) -> (u64, u64) {
    part.segments.first().map_or((0, 0), |one| (one.offset, one.length))
}

fn told<'a>(layout: &'a Layout, key: &str) -> Vec<Option<&'a str>> {
    layout.parts.iter().map(|part| find(&part.facts, key)).collect()
}

fn kinds(layout: &Layout) -> Vec<&str> {
    layout.concerns.iter().map(|one| one.id.as_str()).collect()
}

/// A disk with a label of sfdisk's.
fn sparc(path: &Path, script: &str) -> Vec<u8> {
    std::fs::File::create(path).unwrap().set_len(64 << 20).unwrap();
    let mut tool = Command::new("sfdisk");
    tool.args(["--quiet", "--no-reread"]).arg(path).stdin(Stdio::piped());
    let mut tool = tool.spawn().expect("package fdisk");
    tool.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(tool.wait().unwrap().success());
    std::fs::read(path).unwrap()
}

/// Number, first sector and sectors of what partx lists, in that order.
fn partx(path: &Path) -> Vec<[u64; 3]> {
    let told =
        run(Command::new("partx").args(["--noheadings", "--show", "--output", "NR,START,SECTORS"]).arg(path));
    let row = |line: &str| {
        let mut words = line.split_whitespace().map(|word| word.parse().unwrap());
        [words.next().unwrap(), words.next().unwrap(), words.next().unwrap()]
    };
    told.lines().map(row).collect()
}

#[test]
fn sparc_labels_are_those_of_sfdisk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk");
    let script = "label: sun\nstart=0,size=32130,type=2\nstart=32130,size=16065,type=3\nstart=0,size=128520,type=5\n\
        start=48195,size=80325,type=8\n";
    let disk = sparc(&path, script);
    let layout = checked_scan(&[&disk]);
    assert_eq!(kinds(&layout), Vec::<&str>::new(), "{:?}", layout.concerns);
    let all = partx(&path);
    // Without the whole.
    assert_eq!(all.len(), 3);
    assert_eq!(told(&layout, "partition.type-name"), [Some("root"), Some("swap"), Some("home")]);
    for part in &layout.parts {
        let number: u64 = find(&part.facts, "partition.number").unwrap().parse().unwrap();
        // util-linux counts from 1.
        let row = all.iter().find(|row| row[0] == number + 1).unwrap();
        assert_eq!(place(part), (row[1] * 512, row[2] * 512), "{}", part.id);
    }
    // Slice 0 starts where the disk does, and shows its label.
    let (start, length) = place(&layout.parts[0]);
    let slice = &disk[start as usize..][..length as usize];
    let again = checked_scan(&[&disk, slice]);
    assert_eq!((again.parts.len(), again.concerns.len()), (3, 0));
    // A mirror's other half has the same label.
    assert_eq!(checked_scan(&[&disk, &disk]).parts.len(), 6);
}

#[test]
fn x86_labels_are_what_partx_reads() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk");
    let inner = partition(&SOLARIS, 8192);
    let mut disk = vec![0; 128 * 512];
    disk[446] = 0x80;
    // libblkid does not know the newer type, BF.
    disk[450] = 0x82;
    disk[454..458].copy_from_slice(&128u32.to_le_bytes());
    disk[458..462].copy_from_slice(&8192u32.to_le_bytes());
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk.extend(&inner);
    std::fs::write(&path, &disk).unwrap();
    let all = partx(&path);
    let layout = checked_scan(&[&disk, &inner]);
    assert!(layout.concerns.is_empty(), "{:?}", layout.concerns);
    let ids: Vec<&str> = layout.parts.iter().map(|part| part.id.as_str()).collect();
    assert_eq!(ids, ["d1/vtoc:0", "d1/vtoc:1", "d1/vtoc:7", "d1/vtoc:9"]);
    for part in &layout.parts {
        let (start, length) = place(part);
        let row = [128 + start / 512, length / 512];
        assert!(all.iter().any(|told| told[1..] == row), "{}: {row:?} of {all:?}", part.id);
    }
    // Two disks that mirror each other have the same label, and are not seen through one another.
    let mirror = checked_scan(&[&inner, &inner]);
    assert_eq!((mirror.parts.len(), kinds(&mirror)), (8, vec![]));
    // The partition, and all slices but the whole.
    assert_eq!(all.len(), 6, "{all:?}");
}

#[test]
fn what_makes_no_sense_is_told() {
    let mut slices = SOLARIS;
    slices[0].3 = 3000;
    slices[7].3 = 9000;
    let layout = checked_scan(&[&partition(&slices, 8192)]);
    assert_eq!(kinds(&layout), ["vtoc.bad-slice"; 3], "{:?}", layout.concerns);
    assert_eq!(layout.parts.iter().filter(|part| part.segments.is_empty()).count(), 3);
    let mut damaged = partition(&SOLARIS, 8192);
    damaged[512 + 80] ^= 1;
    assert_eq!(kinds(&checked_scan(&[&damaged])), ["vtoc.bad-label"]);
    for (at, value) in [(16, 2), (30, 17), (28, 3)] {
        let mut label = x86(&SOLARIS);
        label[at] = value;
        seal(&mut label);
        let device = [vec![0; 512], label, vec![0; 8190 * 512]].concat();
        assert_eq!(kinds(&checked_scan(&[&device])), ["vtoc.bad-label"], "{at}");
    }
    // A disk that is one pool has the whole for its only slice.
    let whole = checked_scan(&[&partition(&[(0, 0, 0, 0), (0, 0, 0, 0), (5, 1, 0, 8192)], 8192)]);
    assert_eq!((whole.parts.len(), whole.concerns.len()), (1, 0));
}
