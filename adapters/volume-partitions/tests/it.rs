//! Tables made by sfdisk, read by the adapter; then the same tables damaged.

use std::io::Write;
use std::process::{Command, Stdio};
use volume_partitions::Partitions;
use wherry_sdk::testing::MemoryBlob;
use wherry_sdk::volume::{Layout, Part};
use wherry_sdk::{Blob, Result, VolumeMap, find};

const MIB: u64 = 1 << 20;

/// A disk of 64 MiB that sfdisk partitioned by this script.
fn sfdisk(name: &str, script: &str) -> Vec<u8> {
    let path = std::env::temp_dir().join(format!("wherry-partitions-{}-{name}", std::process::id()));
    std::fs::File::create(&path).unwrap().set_len(64 * MIB).unwrap();
    let mut sfdisk = Command::new("/sbin/sfdisk")
        .args(["--quiet", "--no-reread", "--no-tell-kernel"])
        .arg(&path)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("sfdisk (package fdisk) is installed by `cargo xtask test`");
    sfdisk.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(sfdisk.wait().unwrap().success());
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    bytes
}

fn scan(bytes: &[u8]) -> Result<Layout> {
    let device: Box<dyn Blob> = Box::new(MemoryBlob::read_only(bytes));
    Partitions::scan(&[device])
}

fn place(part: &Part) -> (u64, u64) {
    (part.segments[0].offset, part.segments[0].length)
}

const MBR: &str = "label: dos\nlabel-id: 0x5ee05ee0\nstart=1MiB,size=8MiB,type=83,bootable\nstart=16MiB,size=32MiB,type=5\nstart=17MiB,size=2MiB,type=82\nstart=20MiB,size=3MiB,type=8e\n";
const GPT: &str = "label: gpt\nlabel-id: 01234567-89AB-CDEF-0123-456789ABCDEF\nstart=1MiB,size=4MiB,type=U,name=ESP\nstart=8MiB,size=16MiB,type=L,name=root,uuid=11111111-2222-3333-4444-555555555555\n";

#[test]
fn primary_and_logical_partitions() {
    let layout = scan(&sfdisk("mbr", MBR)).unwrap();
    assert!(layout.concerns.is_empty(), "{:?}", layout.concerns);
    let ids: Vec<&str> = layout.parts.iter().map(|part| part.id.as_str()).collect();
    assert_eq!(ids, ["mbr:1", "mbr:5", "mbr:6"]);
    assert_eq!(place(&layout.parts[0]), (MIB, 8 * MIB));
    assert_eq!(place(&layout.parts[1]), (17 * MIB, 2 * MIB));
    assert_eq!(place(&layout.parts[2]), (20 * MIB, 3 * MIB));
    assert_eq!(find(&layout.parts[0].facts, "partition.uuid"), Some("5ee05ee0-01"));
    assert_eq!(find(&layout.parts[0].facts, "partition.bootable"), Some("true"));
    assert_eq!(find(&layout.parts[2].facts, "partition.type"), Some("8e"));
}

#[test]
fn gpt_and_its_backup() {
    let mut disk = sfdisk("gpt", GPT);
    for damaged in [false, true] {
        let layout = scan(&disk).unwrap();
        assert_eq!(layout.concerns.len(), usize::from(damaged));
        assert_eq!(layout.parts.len(), 2);
        let root = &layout.parts[1];
        assert_eq!((root.id.as_str(), place(root)), ("gpt:2", (8 * MIB, 16 * MIB)));
        assert_eq!(find(&root.facts, "partition.label"), Some("root"));
        assert_eq!(find(&root.facts, "partition.uuid"), Some("11111111-2222-3333-4444-555555555555"));
        assert_eq!(find(&root.facts, "table.id"), Some("01234567-89ab-cdef-0123-456789abcdef"));
        assert_eq!(
            find(&layout.parts[0].facts, "partition.type"),
            Some("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
        );
        disk[1024 + 40] = 0x5a;
    }
    let end = disk.len() - 512;
    disk[end + 20] ^= 1;
    assert!(scan(&disk).unwrap_err().message.contains("neither GPT is usable"));
}

#[test]
fn overlapping_and_overlong_entries_are_refused() {
    let mut disk =
        sfdisk("overlap", "label: dos\nstart=1MiB,size=8MiB\nstart=16MiB,size=8MiB\nstart=32MiB,size=8MiB\n");
    disk[446 + 16 + 8..][..4].copy_from_slice(&4096u32.to_le_bytes());
    disk[446 + 32 + 12..][..4].copy_from_slice(&u32::MAX.to_le_bytes());
    let layout = scan(&disk).unwrap();
    assert!(layout.parts.iter().all(|part| part.segments.is_empty()));
    let messages: Vec<&str> = layout.concerns.iter().map(|concern| concern.message.as_str()).collect();
    assert!(messages[0].contains("overlaps") && messages[2].contains("beyond its disk"), "{messages:?}");
}

#[test]
fn a_cyclic_chain_ends() {
    let mut disk = sfdisk("cycle", MBR);
    let link = 19 * MIB as usize + 462;
    let found = (16 * MIB as usize..64 * MIB as usize)
        .step_by(512)
        .find(|at| disk[at + 510..at + 512] == [0x55, 0xaa] && *at > 16 * MIB as usize);
    let second = found.unwrap_or(link - 462);
    disk[second + 462..][..16].copy_from_slice(&[0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
    assert_eq!(scan(&disk).unwrap().parts.len(), 3);
}

#[test]
fn file_systems_and_empty_disks_are_no_tables() {
    let mut fat = vec![0; 4096];
    fat[54..59].copy_from_slice(b"FAT16");
    fat[510..512].copy_from_slice(&[0x55, 0xaa]);
    fat[446 + 4] = 0x83;
    fat[446 + 12] = 1;
    assert!(scan(&fat).unwrap().parts.is_empty());
    assert!(scan(&vec![0; 4096]).unwrap().parts.is_empty());
    assert!(scan(&[]).unwrap().parts.is_empty());
}

/// Deterministic damage: no panic, no hang, and no part that leaves the disk.
#[test]
fn a_thousand_damaged_tables() {
    let whole = [sfdisk("hostile-mbr", MBR), sfdisk("hostile-gpt", GPT)];
    let mut random = 0x2545_f491_4f6c_dd1du64;
    let mut next = move |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    for case in 0..1000 {
        // The tables lie in the first 32 MiB of these; a short disk makes the test quick and its end wrong.
        let source = &whole[case % 2];
        let mut disk = source[..(22 * MIB) as usize >> (case % 7)].to_vec();
        for _ in 0..1 + next(8) {
            let within = if case % 2 == 0 && next(2) == 0 {
                (16 * MIB + next(512)) as usize
            } else {
                next(4096) as usize
            };
            if let Some(byte) = disk.get_mut(within) {
                *byte ^= 1 << next(8);
            }
        }
        let size = disk.len() as u64;
        if let Ok(layout) = scan(&disk) {
            for segment in layout.parts.iter().flat_map(|part| &part.segments) {
                assert!(segment.offset + segment.length <= size, "case {case}: {segment:?}");
            }
        }
    }
}
