//! Tables that mean harm: no panic, no hang, and no answer that cannot be.

use crate::disks::{GPT, MBR, MIB, fdisk4096, sfdisk};
use crate::exercise::{exercise, mend, scan};
use wherry_sdk::testing::{Random, damage};

/// Where the tables of the disks are: byte ranges.
fn tables(disk: &[u8]) -> Vec<(usize, usize)> {
    let end = disk.len();
    let mut ranges = vec![(440, 512), (446, 512), (512, 604), (1024, 1536), (4096, 4188), (8192, 8704)];
    ranges.extend([(end - 512, end), (end - 4096, end - 4000)]);
    let sectors = (512..end).step_by(512);
    let chain = sectors.filter(|at| disk[at + 510..at + 512] == [0x55, 0xaa]);
    ranges.extend(chain.map(|at| (at + 446, at + 512)));
    ranges
}

/// Deterministic by seed; half of the cases with checksums put right, so that the damage is read.
#[test]
fn a_thousand_damaged_tables() {
    let large = "g\nn\n1\n256\n+2M\nw\n";
    let whole = [
        (512, sfdisk(8 * MIB, MBR).bytes()),
        (512, sfdisk(8 * MIB, GPT).bytes()),
        (4096, fdisk4096(8 * MIB, large).bytes()),
    ];
    let mut spoilt = 0;
    for seed in 0..1000u64 {
        let mut random = Random::new(seed);
        let (sector, disk) = &whole[random.below(3) as usize];
        let ranges = tables(disk);
        let mut bytes = disk.clone();
        for _ in 0..=random.below(3) {
            let (from, to) = ranges[random.below(ranges.len() as u64) as usize];
            damage(&mut bytes, from, to, random.next_u64());
        }
        if random.below(4) == 0 {
            bytes.truncate(random.below(8 * MIB) as usize);
        }
        exercise(&bytes);
        mend(&mut bytes, *sector as usize);
        let layout = scan(&bytes, *sector as u32);
        spoilt += usize::from(layout.concerns.iter().any(|one| one.id == "partitions.bad-entry"));
    }
    assert!(spoilt > 100, "the damage reached the entries of {spoilt} cases only");
}

#[test]
fn every_length_of_a_small_disk() {
    for script in [MBR, GPT] {
        let disk = sfdisk(8 * MIB, script).bytes();
        for length in (0..600).chain((0..40).map(|sector| sector * 512)) {
            exercise(&disk[..length]);
        }
    }
}

/// An entry of `kind` in slot `slot` of the table in the sector at `at`.
fn put(disk: &mut [u8], at: usize, slot: usize, kind: u8, start: u32, sectors: u32) {
    let entry = &mut disk[at + 446 + 16 * slot..][..16];
    entry.fill(0);
    entry[4] = kind;
    entry[8..12].copy_from_slice(&start.to_le_bytes());
    entry[12..16].copy_from_slice(&sectors.to_le_bytes());
    disk[at + 510..at + 512].copy_from_slice(&[0x55, 0xaa]);
}

fn ids(disk: &[u8]) -> Vec<String> {
    scan(disk, 512).parts.into_iter().map(|part| part.id).collect()
}

fn said(disk: &[u8], id: &str, words: &str) {
    exercise(disk);
    let concerns = scan(disk, 512).concerns;
    assert!(concerns.iter().any(|one| one.id == id && one.message.contains(words)), "{words}: {concerns:?}");
}

#[test]
fn chains_of_logical_partitions_that_do_not_end() {
    let mut disk = vec![0; 1 << 20];
    put(&mut disk, 0, 0, 5, 100, 1000);
    // To itself; then over two others and back.
    put(&mut disk, 51_200, 0, 0x83, 1, 1);
    put(&mut disk, 51_200, 1, 5, 0, 100);
    said(&disk, "partitions.bad-chain", "comes back to itself at byte 51200, after number 5");
    assert_eq!(ids(&disk), ["mbr:5"]);
    put(&mut disk, 51_200, 1, 5, 20, 10);
    put(&mut disk, 61_440, 0, 0x83, 1, 1);
    put(&mut disk, 61_440, 1, 5, 10, 10);
    put(&mut disk, 56_320, 0, 0x83, 1, 1);
    put(&mut disk, 56_320, 1, 0x85, 20, 10);
    said(&disk, "partitions.bad-chain", "comes back to itself at byte 61440, after number 7");
    // Off the disk, and to a sector without a mark.
    put(&mut disk, 56_320, 1, 0x0f, u32::MAX, u32::MAX);
    said(&disk, "partitions.bad-chain", "is broken");
    put(&mut disk, 56_320, 1, 0x0f, 500, 10);
    said(&disk, "partitions.bad-chain", "is broken at byte 307200, after number 7");
    // Longer than any system numbers, with and without partitions in it.
    for kind in [0x83, 0] {
        let mut disk = vec![0; 1 << 20];
        put(&mut disk, 0, 0, 5, 1, 2000);
        for link in 0..1000 {
            put(&mut disk, 512 + link as usize * 1024, 0, kind, 1, 1);
            put(&mut disk, 512 + link as usize * 1024, 1, 5, 2 * (link + 1), 2);
        }
        said(&disk, "partitions.bad-chain", "does not end");
        assert!(ids(&disk).len() <= 252);
    }
}

#[test]
fn two_extended_partitions_number_on() {
    let mut disk = vec![0; 1 << 20];
    put(&mut disk, 0, 1, 5, 100, 100);
    put(&mut disk, 0, 2, 0x0f, 300, 100);
    put(&mut disk, 51_200, 0, 0x83, 1, 1);
    put(&mut disk, 153_600, 0, 0x83, 1, 1);
    exercise(&disk);
    assert_eq!(ids(&disk), ["mbr:5", "mbr:6"]);
}

#[test]
fn gpt_headers_that_are_not_credible() {
    let whole = sfdisk(8 * MIB, GPT).bytes();
    let last = whole.len() - 512;
    // Both copies get the same number, and the right checksum for it.
    let cases: [(usize, &[u8], &str); 9] = [
        (12, &[0, 0, 0, 0], "no GPT header"),
        (12, &[0xff; 4], "no GPT header"),
        (24, &[9, 0, 0, 0, 0, 0, 0, 0], "is of sector 9"),
        (72, &[0xff; 8], "beyond the end"),
        (80, &[0; 4], "0 GPT entries of 128 bytes are not credible"),
        (80, &[0xff; 4], "4294967295 GPT entries"),
        (84, &[64, 0, 0, 0], "entries of 64 bytes"),
        (84, &[192, 0, 0, 0], "entries of 192 bytes"),
        (84, &[0, 0, 0, 0x80], "entries of 2147483648 bytes"),
    ];
    for (at, value, words) in cases {
        let mut disk = whole.clone();
        for copy in [512, last] {
            disk[copy + at..][..value.len()].copy_from_slice(value);
        }
        mend(&mut disk, 512);
        said(&disk, "partitions.unreadable", words);
        assert!(ids(&disk).is_empty(), "{words}");
    }
    // Entries need not be of 128 bytes: 64 of 256 fill the same room.
    let mut disk = whole.clone();
    for (copy, array) in [(512, 1024), (last, last - 16384)] {
        disk[copy + 80..][..8].copy_from_slice(&[64, 0, 0, 0, 0, 1, 0, 0]);
        disk.copy_within(array + 128..array + 256, array + 256);
        disk[array + 128..array + 256].fill(0);
    }
    mend(&mut disk, 512);
    exercise(&disk);
    assert_eq!(ids(&disk), ["gpt:1", "gpt:2"]);
}

#[test]
fn gpt_entries_with_numbers_near_the_end_of_their_type() {
    let whole = sfdisk(8 * MIB, GPT).bytes();
    let cases: [(u64, u64, &str); 7] = [
        (u64::MAX, u64::MAX, "ends before it starts"),
        (1 << 40, 1 << 41, "beyond its disk"),
        (2048, u64::MAX, "beyond its disk"),
        (u64::MAX, 0, "ends before it starts"),
        (4096, 4095, "ends before it starts"),
        (1, 100, "inside the partition table"),
        (2048, 6144, "overlaps partition 2"),
    ];
    for (first, last, words) in cases {
        let mut disk = whole.clone();
        disk[1024 + 32..][..8].copy_from_slice(&first.to_le_bytes());
        disk[1024 + 40..][..8].copy_from_slice(&last.to_le_bytes());
        mend(&mut disk, 512);
        said(&disk, "partitions.bad-entry", words);
    }
}
