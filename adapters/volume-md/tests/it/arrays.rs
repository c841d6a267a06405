//! Arrays that mdadm 4.2 made and Linux 6.1 filled (`fixtures/README.md`): block N of each begins with N + 1. Where a member
//! was thrown out, its blocks have other numbers.

use crate::exercise::checked_scan;
use crate::made::{Plan, members};
use std::path::Path;
use std::process::Command;
use wherry_sdk::bytes::u64_at;
use wherry_sdk::find;
use wherry_sdk::testing::run;
use wherry_sdk::volume::{Layout, Part};

const BLOCK: usize = 4096;

/// The members of an array, and the bytes that Linux' block device has.
pub fn fixture(name: &str) -> (Vec<Vec<u8>>, u64) {
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/fixtures/{name}.tar.zst"));
    let folder = tempfile::tempdir().unwrap();
    run(Command::new("tar").arg("--zstd").arg("-xf").arg(archive).arg("-C").arg(folder.path()));
    let read = |index: usize| std::fs::read(folder.path().join(index.to_string())).ok();
    let members = (0..).map_while(read).collect();
    let size = std::fs::read_to_string(folder.path().join("size")).unwrap();
    (members, size.trim().parse().unwrap())
}

fn slices(members: &[Vec<u8>]) -> Vec<&[u8]> {
    members.iter().map(Vec::as_slice).collect()
}

/// What the part's segments say.
pub fn content(part: &Part, devices: &[&[u8]]) -> Vec<u8> {
    let piece = |one: &wherry_sdk::volume::Segment| {
        devices[one.device as usize][one.offset as usize..][..one.length as usize].to_vec()
    };
    part.segments.iter().flat_map(piece).collect()
}

/// The concerns' identifiers.
pub fn kinds(layout: &Layout) -> Vec<&str> {
    layout.concerns.iter().map(|one| one.id.as_str()).collect()
}

/// How many copies of everything are to be found.
fn copies(name: &str, devices: &[&[u8]]) -> usize {
    if let Some(layout) = name.strip_prefix("raid10-") {
        return layout.chars().find_map(|c| c.to_digit(10)).unwrap_or(2) as usize;
    }
    let left_out = ["stale", "recovering", "bad-blocks", "spare"].iter().any(|word| name.contains(word));
    if name.starts_with("raid1-") { devices.len() - usize::from(left_out) } else { 1 }
}

/// One part and its copies, whose bytes are those that Linux wrote, all `size` of them.
fn is_linux(name: &str, devices: &[&[u8]], size: u64, concerns: &[&str]) {
    let layout = checked_scan(devices);
    assert_eq!(kinds(&layout), concerns, "{name}: {:?}", layout.concerns);
    assert_eq!(layout.parts.len(), copies(name, devices), "{name}");
    for part in &layout.parts {
        let of = find(&part.facts, "copy-of");
        assert_eq!(
            (part.kind == "copy", of.is_some()),
            (part.id.contains("/copy"), part.id.contains("/copy"))
        );
        assert!(of.is_none_or(|of| of == layout.parts[0].id), "{name}: {of:?}");
        let bytes = content(part, devices);
        assert_eq!(bytes.len() as u64, size, "{name} {}", part.id);
        for (block, index) in bytes.chunks(BLOCK).zip(1..) {
            assert_eq!(u64_at(block, 0), index, "{name} {}, block {index}", part.id);
        }
    }
    let members = find(&layout.parts[0].facts, "members").unwrap().split(',').map(str::parse::<usize>);
    let used = layout.parts.iter().flat_map(|part| &part.segments).map(|segment| segment.device as usize);
    let members: Vec<usize> = members.map(Result::unwrap).collect();
    assert!(used.clone().all(|device| members.contains(&device)), "{name}: {members:?}");
}

#[test]
fn every_byte_is_where_linux_put_it() {
    let linear = [
        "raid0-1.0",
        "raid0-1.1",
        "raid0-1.2",
        "raid0-original",
        "raid0-alternate",
        "linear-0.90",
        "linear-1.2",
    ];
    let mirrored = ["raid1-0.90", "raid1-1.0", "raid1-1.1", "raid1-1.2", "raid1-spare"];
    let parity = [
        "raid4",
        "raid5-0.90",
        "raid5-la",
        "raid5-ra",
        "raid5-ls",
        "raid5-rs",
        "raid5-first",
        "raid5-last",
        "raid5-ppl",
        "raid6-ls",
        "raid6-la",
        "raid6-rs",
        "raid6-ra",
        "raid6-zero",
        "raid6-n",
        "raid6-continue",
        "raid6-ls6",
        "raid6-la6",
        "raid6-rs6",
        "raid6-ra6",
        "raid6-first6",
        "raid6-first",
        "raid6-last",
    ];
    let copies = [
        "raid10-n2",
        "raid10-n2-odd",
        "raid10-n3",
        "raid10-f2",
        "raid10-f2-odd",
        "raid10-f3",
        "raid10-o2",
        "raid10-o2-odd",
    ];
    let all = [(&linear[..], &[][..]), (&mirrored, &[]), (&parity, &["md.parity"]), (&copies, &[])];
    for (names, concerns) in all {
        for name in names {
            let (members, size) = fixture(name);
            let mut devices = slices(&members);
            is_linux(name, &devices, size, concerns);
            // In whatever order the disks are.
            devices.reverse();
            is_linux(name, &devices, size, concerns);
        }
    }
}

/// Members that Linux went on without, and those that are not there.
#[test]
fn degraded_arrays_are_read_where_the_map_allows() {
    for (name, concerns) in [
        ("raid1-stale", &["md.stale-member", "md.degraded"][..]),
        ("raid1-stale-0.90", &["md.stale-member", "md.degraded"]),
        ("raid1-recovering", &["md.rebuilding", "md.degraded"]),
        ("raid1-bad-blocks", &["md.bad-blocks", "md.degraded"]),
        ("raid4-stale", &["md.stale-member", "md.degraded", "md.parity"]),
        ("raid10-stale", &["md.stale-member", "md.degraded"]),
        ("raid10-f2-stale", &["md.stale-member", "md.degraded"]),
    ] {
        let (members, size) = fixture(name);
        is_linux(name, &slices(&members), size, concerns);
    }
    for (name, level, least) in [
        ("raid1-1.1", "raid1", 1),
        ("raid10-n2", "raid10", 3),
        ("raid10-n3", "raid10", 2),
        ("raid10-f3", "raid10", 2),
        ("raid10-o2-odd", "raid10", 2),
    ] {
        let (members, size) = fixture(name);
        for gone in 0..members.len() {
            let mut devices = slices(&members);
            devices.remove(gone);
            is_linux(name, &devices, size, &["md.degraded"]);
            devices.truncate(least);
            let layout = checked_scan(&devices);
            assert_eq!(find(&layout.parts[0].facts, "md.level"), Some(level));
            assert_eq!(find(&layout.parts[0].facts, "md.degraded"), Some("true"));
        }
    }
}

#[test]
fn what_cannot_be_read_is_told() {
    for (name, concerns) in [
        ("raid0-untold", &["md.unknown-layout"][..]),
        ("raid5-stale", &["md.stale-member", "md.missing-member"]),
        ("raid5-journal", &["md.journal"]),
        ("raid5-reshape", &["md.reshaping"]),
        ("raid5-reshape-0.90", &["md.reshaping"]),
    ] {
        let (members, _) = fixture(name);
        let layout = checked_scan(&slices(&members));
        assert_eq!(kinds(&layout), concerns, "{name}: {:?}", layout.concerns);
        assert!(layout.parts[0].segments.is_empty(), "{name}");
    }
    for name in ["raid0-1.2", "linear-1.2", "raid5-ls", "raid6-ls"] {
        let (members, _) = fixture(name);
        let layout = checked_scan(&slices(&members[1..]));
        assert_eq!(kinds(&layout), ["md.missing-member"], "{name}");
        assert!(layout.concerns[0].message.contains("member 0 of 0 to"), "{}", layout.concerns[0].message);
    }
}

/// What mdadm says of a device that it reads through a loop device.
fn examined(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("member");
    std::fs::write(&path, bytes).unwrap();
    let loop_device = run(Command::new("losetup").args(["--find", "--show", "--read-only"]).arg(&path));
    let told = Command::new("mdadm").arg("--examine").arg(loop_device.trim()).output();
    run(Command::new("losetup").arg("--detach").arg(loop_device.trim()));
    let told = told.expect("package mdadm");
    String::from_utf8_lossy(&[told.stdout, told.stderr].concat()).into_owned()
}

/// The value of a line of mdadm's.
fn value<'a>(told: &'a str, key: &str) -> &'a str {
    let line = told.lines().find_map(|line| line.trim().strip_prefix(key)?.trim_start().strip_prefix(": "));
    line.unwrap_or_else(|| panic!("no {key} in {told}")).split(" (").next().unwrap_or_default().trim()
}

#[test]
fn mdadm_says_the_same_of_them() {
    if !wherry_sdk::testing::can_loop() {
        return eprintln!("skipped: no loop devices");
    }
    for name in ["raid0-1.1", "raid1-0.90", "raid5-ls", "raid6-ls", "raid10-f2-odd"] {
        let (members, _) = fixture(name);
        let layout = checked_scan(&slices(&members));
        agrees(&layout.parts[0], &examined(&members[1]));
    }
    let plan = Plan { level: 5, layout: 2, chunk: 16384, disks: 3, events: 7 };
    for version in ["0.90", "1.0", "1.1", "1.2"] {
        let members = members(version, &plan);
        let layout = checked_scan(&slices(&members));
        assert_eq!(kinds(&layout), ["md.parity"]);
        let told = examined(&members[1]);
        assert!(value(&told, "Checksum").ends_with("correct"), "{told}");
        agrees(&layout.parts[0], &told);
    }
}

fn agrees(part: &Part, told: &str) {
    let fact = |key: &str| find(&part.facts, key).unwrap();
    let uuid = if fact("md.version") == "0.90" { "UUID" } else { "Array UUID" };
    assert_eq!(fact("md.uuid"), value(told, uuid));
    assert_eq!(fact("md.level"), value(told, "Raid Level"));
    assert!(value(told, "Version").starts_with(fact("md.version")));
    assert_eq!(fact("md.members"), value(told, "Raid Devices"));
    let size: u64 = part.segments.iter().map(|one| one.length).sum();
    if fact("md.level") != "raid0" {
        let told: u64 = value(told, "Array Size").split(' ').next().unwrap().parse().unwrap();
        assert_eq!(size, told << 10);
    }
}

/// A member in a partition at the end of a disk: the superblock of version 0.90 is found through both.
#[test]
fn members_in_partitions_are_not_whole_disks() {
    for name in ["raid1-0.90", "raid1-1.0", "raid5-0.90"] {
        let (members, size) = fixture(name);
        let start = 64 << 10;
        let disk = |member: &Vec<u8>| {
            let mut disk = vec![0; start];
            disk[450] = 0xfd;
            disk[454..458].copy_from_slice(&(start as u32 / 512).to_le_bytes());
            disk[458..462].copy_from_slice(&(member.len() as u32 / 512).to_le_bytes());
            disk[510..512].copy_from_slice(&[0x55, 0xaa]);
            disk.extend(member);
            disk
        };
        let disks: Vec<Vec<u8>> = members.iter().map(disk).collect();
        assert!(checked_scan(&slices(&disks)).parts.is_empty(), "{name}");
        let all = [slices(&disks), slices(&members)].concat();
        let concerns: &[&str] = if name.starts_with("raid1") { &[] } else { &["md.parity"] };
        let layout = checked_scan(&all);
        assert_eq!(kinds(&layout), concerns, "{name}");
        assert_eq!(content(&layout.parts[0], &all).len() as u64, size);
        let partitions: Vec<String> = (members.len()..all.len()).map(|device| device.to_string()).collect();
        assert_eq!(find(&layout.parts[0].facts, "members"), Some(partitions.join(",").as_str()), "{name}");
    }
}
