//! Pools from the fixtures of fs-zfs, whose tests read what is in them; here they are joined.

use crate::exercise::{Device, exercise};
use std::path::Path;
use std::process::Command;
use wherry_sdk::find;
use wherry_sdk::testing::run;
use wherry_sdk::volume::Layout;
use wherry_zfs::{AREA, END, FRONT};

/// A pool's devices.
pub fn unpack(name: &str) -> Vec<Device> {
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let packed = Path::new(env!("CARGO_MANIFEST_DIR"));
    let packed = packed.join(format!("../fs-zfs/tests/it/fixtures/{name}.tar.zst"));
    run(Command::new("tar").args(["--zstd", "-xSf"]).arg(packed).arg("-C").arg(directory.path()));
    let paths = (0..).map(|number: usize| directory.path().join(number.to_string()));
    paths.map_while(|path| Some(Device::new(&std::fs::read(path).ok()?))).collect()
}

fn members(layout: &Layout) -> &str {
    assert_eq!(layout.parts.len(), 1, "{layout:?}");
    find(&layout.parts[0].facts, "members").unwrap()
}

/// Every member takes as many bytes, which begin where it begins and end where it ends.
fn check(layout: &Layout, devices: &[Device]) {
    let segments = &layout.parts[0].segments;
    let mut lengths = Vec::new();
    for (device, end) in devices.iter().enumerate().map(|(device, one)| (device as u32, one.size)) {
        let own: Vec<_> = segments.iter().filter(|segment| segment.device == device).collect();
        let (first, last) = (own[0], own[own.len() - 1]);
        assert_eq!((first.offset, last.offset + last.length), (0, end - end % AREA), "{segments:?}");
        assert!(own.len() <= 2 && first.length > FRONT && (own.len() == 1 || last.length == END));
        lengths.push(own.iter().map(|segment| segment.length).sum::<u64>());
    }
    assert!(lengths.iter().all(|length| *length == lengths[0]), "{lengths:?}");
}

/// In whatever order devices are found, they are joined in the pool's own.
#[test]
fn whole_pools() {
    for (name, kinds) in [
        ("fuse10", "mirror"),
        ("fuse23z", "raidz2"),
        ("mir", "mirror"),
        ("rz1", "raidz1"),
        ("rz3", "raidz3"),
        ("stripe", "disk,mirror"),
    ] {
        let mut devices = unpack(name);
        // What is behind the last label is nobody's.
        for device in &mut devices {
            device.size += 1;
        }
        let layout = exercise(&devices);
        assert!(layout.concerns.is_empty(), "{name}: {layout:?}");
        assert_eq!(find(&layout.parts[0].facts, "zfs.vdevs"), Some(kinds), "{name}");
        let all: Vec<usize> = (0..devices.len()).collect();
        assert_eq!(members(&layout), all.iter().map(usize::to_string).collect::<Vec<_>>().join(","));
        if name != "stripe" {
            check(&layout, &devices);
        }
        devices.reverse();
        let reversed = exercise(&devices);
        let last = devices.len() as u32 - 1;
        let order =
            |layout: &Layout| layout.parts[0].segments.iter().map(|one| one.device).collect::<Vec<_>>();
        let back: Vec<u32> = order(&reversed).into_iter().map(|device| last - device).collect();
        assert_eq!(order(&layout), back, "{name}");
    }
}

/// One device needs nobody to join it.
#[test]
fn a_pool_of_one_device() {
    let layout = exercise(&unpack("fuse23"));
    assert!(layout.parts.is_empty() && layout.concerns.is_empty(), "{layout:?}");
}

/// The same device seen twice, as a disk and as its partition, is joined once.
#[test]
fn the_same_device_twice() {
    let mut devices = unpack("fuse10");
    let mut disk = devices[0].clone();
    disk.size += 3 << 20;
    devices.insert(0, disk);
    let layout = exercise(&devices);
    assert_eq!((members(&layout), layout.parts[0].segments.len()), ("1,2", 2), "{layout:?}");
}
