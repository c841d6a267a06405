//! Pools of several devices: whole, with members missing, and with members whose bytes are wrong.

use crate::pools::Pool;
use crate::reading::{expected, mount, probe, read};
use fs_zfs::Driver;
use std::os::unix::fs::FileExt;
use wherry_sdk::testing::filesystem::assert_same;
use wherry_sdk::testing::{FileBlob, noise};
use wherry_sdk::{ErrorKind, FileSystem, find};

/// A pool's name, how many members may be missing at once, and which.
const POOLS: &[(&str, &[&[usize]])] = &[
    ("mir", &[&[], &[0], &[1]]),
    ("rz1", &[&[], &[0], &[1], &[2]]),
    ("rz2", &[&[], &[3], &[0, 1], &[1, 2], &[0, 3]]),
    ("rz3", &[&[], &[2], &[0, 4], &[0, 1, 2], &[2, 3, 4], &[0, 2, 4]]),
    ("stripe", &[&[], &[1], &[2]]),
];

#[test]
fn with_members_missing() {
    for (name, cases) in POOLS {
        let pool = Pool::unpack(name);
        let there = expected(&pool);
        assert!(there.len() > 20);
        for missing in *cases {
            let joined = pool.joined(missing);
            let about = format!("{name} without {missing:?}");
            assert_same(&read(&mut mount(&joined)), &there, &about);
            let identity = probe(&joined);
            let lines = find(&identity.facts, "missing").map_or(0, |text| text.lines().count());
            assert_eq!(lines, missing.len(), "{about}: {identity:?}");
        }
    }
}

/// A side of a mirror is the whole pool; a column of a raidz is not.
#[test]
fn one_device_of_several() {
    let pool = Pool::unpack("mir");
    for device in &pool.devices {
        assert_same(&read(&mut mount(device)), &expected(&pool), "a side");
    }
    let pool = Pool::unpack("rz2");
    let one = || FileBlob::open(&pool.devices[0]).unwrap();
    let error = Driver::mount(Box::new(one()), false).map(|_| ()).unwrap_err();
    assert!(error.kind == ErrorKind::Unsupported && error.message.contains("raidz2"), "{error:?}");
    assert!(find(&Driver::probe(&one()).unwrap().unwrap().facts, "problem").is_some());
    let error = Driver::mount(Box::new(FileBlob::open(pool.joined(&[0, 1, 2])).unwrap()), false);
    assert_eq!(error.map(|_| ()).unwrap_err().kind, ErrorKind::Unsupported);
}

/// Members that are there and hold something else, but for their labels: checksums tell, and the others have the data.
#[test]
fn with_members_overwritten() {
    for (name, most) in [("mir", 1), ("rz1", 1), ("rz2", 2), ("rz3", 3)] {
        let pool = Pool::unpack(name);
        let there = expected(&pool);
        for number in 0..most {
            let device = std::fs::File::options().write(true).open(&pool.devices[number]).unwrap();
            let size = device.metadata().unwrap().len() - (5 << 20);
            device.write_all_at(&noise(number as u64, size as usize), 4 << 20).unwrap();
        }
        assert_same(&read(&mut mount(&pool.joined(&[]))), &there, name);
    }
}
