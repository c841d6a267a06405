//! Damaged logs with right checksums: no panic, no endless walk, nothing written that is not whole.

use crate::hostile::survives;
use crate::images::{empty, find};
use crate::replay::{copy, work};
use fs_xfs::Xfs;
use std::fs;
use std::process::Command;
use wherry_sdk::checksum::crc32c;
use wherry_sdk::testing::{FileBlob, MemoryBlob, Mount, Random, damage, run};
use wherry_sdk::{ErrorKind, FileSystem};

const UNIT: usize = 512;
const MAGIC: [u8; 4] = [0xfe, 0xed, 0xba, 0xbe];

/// A volume with a log to be replayed, and its records: where they begin, headers and all.
struct Base {
    bytes: Vec<u8>,
    records: Vec<(usize, usize, usize)>,
}

fn word(bytes: &[u8], at: usize) -> usize {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

impl Base {
    fn new(name: &str) -> Option<Self> {
        let image = empty(find(name), 32 << 20);
        let mount = Mount::by_kernel("xfs", &image.path, "nouuid")?;
        let open = work(&mount.path, 3, 3);
        run(Command::new("/sbin/xfs_io").args(["-x", "-c", "shutdown -f"]).arg(&mount.path));
        let dirty = image.beside("dirty");
        copy(&image.path, &dirty);
        drop((open, mount));
        let bytes = fs::read(&dirty).unwrap();
        let (unit, bits) = (word(&bytes, 4), u32::from(bytes[124]));
        let start = u64::from_be_bytes(bytes[48..56].try_into().unwrap());
        let place = (start >> bits) * word(&bytes, 84) as u64 + (start & ((1 << bits) - 1));
        let (from, length) = (place as usize * unit, word(&bytes, 96) * unit);
        let mut records = Vec::new();
        for at in (from..from + length).step_by(UNIT) {
            if bytes[at..at + 4] == MAGIC && word(&bytes, at + 12) > UNIT {
                let headers = word(&bytes, at + 320).div_ceil(32 << 10).max(1) * UNIT;
                let all = headers + word(&bytes, at + 12).next_multiple_of(UNIT);
                if at + all <= from + length {
                    records.push((at, headers, all));
                }
            }
        }
        Some(Self { bytes, records })
    }
}

fn stamp(bytes: &mut [u8], (at, headers, all): (usize, usize, usize)) {
    bytes[at + 32..at + 36].fill(0);
    let length = word(bytes, at + 12).min(all - headers);
    let mut sum = crc32c(!0, &bytes[at..at + 328]);
    for header in (at + UNIT..at + headers).step_by(UNIT) {
        sum = crc32c(sum, &bytes[header..header + 260]);
    }
    let sum = !crc32c(sum, &bytes[at + headers..at + headers + length]);
    bytes[at + 32..at + 36].copy_from_slice(&sum.to_le_bytes());
}

fn damaged(name: &str, cases: u64) {
    let Some(base) = Base::new(name) else { return };
    assert!(base.records.len() > 3, "{name}: {}", base.records.len());
    survives(name, &base.bytes);
    let mut bytes = base.bytes.clone();
    let mut refused = 0;
    for seed in 0..cases {
        let mut random = Random::new(seed);
        let mut hit = Vec::new();
        for _ in 0..=random.below(3) {
            let record = base.records[random.below(base.records.len() as u64) as usize];
            let (at, headers, all) = record;
            // Descriptions are near the beginnings of operations; each may be anywhere.
            let from = if random.below(8) == 0 { at } else { at + headers };
            damage(&mut bytes, from, at + all, random.next_u64());
            stamp(&mut bytes, record);
            hit.push(record);
        }
        survives(&format!("{name}, seed {seed}"), &bytes);
        let mount = Xfs::mount(Box::new(MemoryBlob::new(&bytes[..])), true);
        refused += u64::from(mount.is_err_and(|error| error.kind == ErrorKind::Dirty));
        for (at, _, all) in hit {
            bytes[at..at + all].copy_from_slice(&base.bytes[at..at + all]);
        }
    }
    eprintln!("{name}: {refused} of {cases} refused");
    assert!(refused > cases / 20, "{name}: {refused} of {cases} refused");
}

#[test]
fn damaged_logs() {
    damaged("default", 60);
    damaged("rmapbt", 40);
}

/// A record whose checksum is wrong: one of the last is as good as none, an earlier one makes the log unfit.
#[test]
fn torn_records() {
    let Some(base) = Base::new("default") else { return };
    let mut last = 0;
    for (index, (at, _, all)) in base.records.iter().enumerate() {
        let mut bytes = base.bytes.clone();
        bytes[at + all - 100] ^= 1;
        let mount = Xfs::mount(Box::new(MemoryBlob::new(bytes)), true).map(|_| ());
        match mount {
            Ok(()) => last = last.max(base.records.len() - index),
            Err(error) => assert_eq!(error.kind, ErrorKind::Dirty, "{error:?}"),
        }
    }
    assert!((1..=9).contains(&last), "{last}");
}

/// What a log that is damaged in its middle is answered with; it is read as it is.
#[test]
fn unfit_logs_are_refused() {
    let Some(base) = Base::new("default") else { return };
    let (at, headers, _) = base.records[0];
    let mut bytes = base.bytes.clone();
    bytes[at + headers + 8] ^= 0xff;
    let image = tempfile::NamedTempFile::new().unwrap();
    fs::write(image.path(), &bytes).unwrap();
    let device = FileBlob::open(image.path()).unwrap();
    let error = Xfs::mount(Box::new(device.clone()), true).map(|_| ()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Dirty);
    assert!(error.message.contains("shut the guest down"), "{}", error.message);
    assert_eq!(device.overlay_bytes(), 0, "nothing was written");
    assert!(Xfs::mount(Box::new(device), false).unwrap().stat("/").is_ok());
}
