//! Used ranges: against what must be copied for the files to survive.

use crate::exercise::Overlay;
use crate::pools::Pool;
use crate::reading::{expected, mount, read};
use fs_zfs::Driver;
use std::path::Path;
use wherry_sdk::testing::filesystem::{assert_same, copy_used, used};
use wherry_sdk::{FileSystem, Range, find};
use wherry_zfs::{NVLIST, NVLIST_LENGTH, seal};

/// The type of a block that begins a set of objects (DMU_OT_OBJSET).
const OBJECT_SET: u8 = 11;

fn all_used(path: &Path) -> Vec<Range> {
    let size = std::fs::metadata(path).unwrap().len();
    let mut fs = mount(path);
    let (few, all) = (used(&mut fs, size, 2).unwrap(), used(&mut fs, size, 10_000).unwrap());
    let sum = |ranges: &[Range]| ranges.iter().map(|range| range.length).sum::<u64>();
    assert_eq!(sum(&few), sum(&all), "however many are asked for at once");
    let rest = fs.used(5, 1).unwrap();
    assert_eq!(rest[0].offset, 5, "from the middle of a range");
    assert!(fs.used(size, 10).unwrap().is_empty());
    all
}

/// While a pool is in use, its intent logs may have what the space maps have not.
#[test]
fn an_intent_log() {
    let pool = Pool::unpack("fuse23");
    let mut device = Overlay::new(std::fs::read(&pool.devices[0]).unwrap());
    let size = device.size as u64;
    let sum = |fs: &mut Driver| used(fs, size, 10_000).unwrap().iter().map(|range| range.length).sum::<u64>();
    let at = NVLIST as usize;
    let mut label = device.base[at..at + NVLIST_LENGTH].to_vec();
    let state = label.windows(5).position(|bytes| bytes == b"state").unwrap() + 8 + 8;
    assert_eq!(label[state..state + 8], 1u64.to_be_bytes());
    label[state + 7] = 0;
    seal(&mut label, [NVLIST, 0, 0, 0], false);
    device.patches.push((at, label));
    let identity = Driver::probe(&device).unwrap().unwrap();
    assert!(identity.clean && find(&identity.facts, "state") == Some("active"), "{identity:?}");
    let sets_with_logs = |kind: u8, bytes: &mut Vec<u8>| {
        if kind == OBJECT_SET && bytes.len() >= 1024 {
            bytes[512 + 16] |= 1;
        }
    };
    let mut without = Driver::mount(Box::new(device.clone()), false).unwrap();
    let mut with = Driver::mount_damaged(Box::new(device), Box::new(sets_with_logs)).unwrap().unwrap();
    assert!(sum(&mut without) < size / 2);
    assert_eq!(sum(&mut with), size);
}

/// What a feature that is not known does to the space maps nobody can tell.
#[test]
fn a_feature_of_a_later_writer() {
    let pool = Pool::unpack("single");
    let device = Overlay::new(std::fs::read(&pool.devices[0]).unwrap());
    let size = device.size as u64;
    let sum = |fs: &mut Driver| used(fs, size, 10_000).unwrap().iter().map(|range| range.length).sum::<u64>();
    let renamed = |_: u8, bytes: &mut Vec<u8>| {
        let name = b"histogram";
        if let Some(at) = bytes.windows(name.len()).position(|window| window == name) {
            bytes[at] = b'H';
        }
    };
    let mut known = Driver::mount(Box::new(device.clone()), false).unwrap();
    let mut later = Driver::mount_damaged(Box::new(device), Box::new(renamed)).unwrap().unwrap();
    assert!(sum(&mut known) < size / 2);
    assert_eq!(sum(&mut later), size);
}

/// A copy of the used ranges, with noise everywhere else, is the same pool.
#[test]
fn a_copy_of_what_is_used() {
    for name in ["single", "mir", "rz1", "rz2", "old"] {
        let pool = Pool::unpack(name);
        let joined = if pool.devices.len() == 1 { pool.devices[0].clone() } else { pool.joined(&[]) };
        let ranges = all_used(&joined);
        let size = std::fs::metadata(&joined).unwrap().len();
        let sum: u64 = ranges.iter().map(|range| range.length).sum();
        assert!(sum < size / 2, "{name}: {sum} of {size} are used");
        let target = pool.beside("target");
        copy_used(&joined, &target, &ranges);
        assert_same(&read(&mut mount(&target)), &expected(&pool), name);
    }
}
