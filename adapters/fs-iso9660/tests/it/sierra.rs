//! Disks in High Sierra format: nothing makes them any more, so that plain ones of genisoimage are turned into them.

use crate::lab::{Lab, mount, walk};
use crate::reading::sample;
use fs_iso9660::Iso;
use std::process::Command;
use wherry_sdk::bytes::{field, put, u32_at};
use wherry_sdk::testing::filesystem::{Contents, assert_same};
use wherry_sdk::testing::{MemoryBlob, run};
use wherry_sdk::{FileSystem, find};

const SECTOR: usize = 2048;
/// Where fields of 9660's primary descriptor go, and their lengths (illumos, `sys/fs/hsfs_spec.h`).
const FIELDS: [(usize, usize, usize); 8] = [
    (8, 16, 32),
    (40, 48, 32),
    (80, 88, 8),
    (120, 128, 12),
    (132, 140, 8),
    (140, 148, 4),
    (148, 164, 4),
    (156, 180, 34),
];

/// The same disk in High Sierra format.
pub fn sierra(iso: &[u8]) -> Vec<u8> {
    let mut disk = iso.to_vec();
    directory(&mut disk, u32_at(iso, 16 * SECTOR + 158), u32_at(iso, 16 * SECTOR + 166));
    for number in 16.. {
        let at = number * SECTOR;
        if field(iso, at + 1, 5) != b"CD001" {
            return disk;
        }
        disk[at..at + SECTOR].fill(0);
        put(&mut disk, at, &(number as u32).to_le_bytes());
        put(&mut disk, at + 4, &(number as u32).to_be_bytes());
        disk[at + 8] = iso[at];
        put(&mut disk, at + 9, b"CDROM\x01");
        if iso[at] == 1 {
            FIELDS
                .iter()
                .for_each(|(from, to, length)| put(&mut disk, at + to, field(iso, at + from, *length)));
            record(&mut disk, at + 180);
        }
    }
    disk
}

/// The flags follow the seconds, where the zone was.
fn record(disk: &mut [u8], at: usize) {
    disk[at + 24] = disk[at + 25];
    disk[at + 25] = 0;
}

fn directory(disk: &mut [u8], extent: u32, size: u32) {
    let (start, size) = (extent as usize * SECTOR, size as usize);
    let (mut at, mut index) = (start, 0);
    while at < start + size {
        let length = usize::from(disk[at]);
        if length == 0 {
            at = (at / SECTOR + 1) * SECTOR;
            continue;
        }
        // The first two are the directory itself and the one above.
        if disk[at + 25] & 2 != 0 && index >= 2 {
            let (extent, size) = (u32_at(disk, at + 2), u32_at(disk, at + 10));
            directory(disk, extent, size);
        }
        record(disk, at);
        (at, index) = (at + length, index + 1);
    }
}

/// Files whose names a plain disk can hold, and the disk.
pub fn disk() -> (Contents, Vec<u8>) {
    let files: Contents = sample()
        .into_iter()
        .filter(|(path, _)| path.starts_with("/viostor") || path.starts_with("/NetKVM"))
        .map(|(path, content)| (path.to_lowercase(), content))
        .collect();
    let image = Lab::new(&files).image("/usr/bin/genisoimage", &["-iso-level", "2"]);
    (files, sierra(&image))
}

#[test]
fn high_sierra() {
    let (files, disk) = disk();
    assert_same(&walk(&mut mount(&disk)), &files, "high sierra");
    let identity = Iso::probe(&MemoryBlob::read_only(&disk[..])).unwrap().unwrap();
    assert_eq!(find(&identity.facts, "iso9660.names"), Some("high-sierra"));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &disk).unwrap();
    let said = run(Command::new("/sbin/blkid").args(["-p", "-o", "export"]).arg(file.path()));
    let told = |line: &str| said.lines().any(|one| one.replace('\\', "") == line);
    assert!(told("TYPE=iso9660") && told("VERSION=High Sierra") && told("LABEL=DRIVERS 1"), "{said}");
    assert!(!said.contains("UUID="), "{said}");
    assert_eq!(
        (identity.kind.as_str(), identity.label.as_deref(), identity.uuid),
        ("iso9660", Some("DRIVERS 1"), None)
    );
    assert_eq!((identity.block, identity.size), (2048, disk.len() as u64));
    let mtime = mount(&disk).stat("/viostor/w10/amd64/viostor.inf").unwrap().mtime;
    assert!(mtime > 1_700_000_000, "{mtime}");
}

/// A disk with both is one of ISO 9660, as Linux has it.
#[test]
fn both() {
    let (files, sierra) = disk();
    let iso = Lab::new(&files).image("/usr/bin/genisoimage", &["-iso-level", "2"]);
    let mut both = iso.clone();
    put(&mut both, 18 * SECTOR, field(&sierra, 16 * SECTOR, SECTOR));
    let identity = Iso::probe(&MemoryBlob::read_only(&both[..])).unwrap().unwrap();
    assert_eq!(find(&identity.facts, "iso9660.names"), Some("plain"));
    assert_same(&walk(&mut mount(&both)), &files, "both");
}
