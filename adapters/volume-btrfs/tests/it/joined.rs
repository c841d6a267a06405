//! What becomes of good and of incomplete file systems.

use crate::exercise::checked_scan;
use crate::made::{SIZE, devices};
use wherry_sdk::bytes::{field, put, put_u64, u64_at};
use wherry_sdk::checksum::crc32c;
use wherry_sdk::find;

const SUPERBLOCK: usize = 64 << 10;

/// Another number in a superblock.
fn patched(device: &[u8], at: usize, value: u64) -> Vec<u8> {
    let mut device = device.to_vec();
    put_u64(&mut device, SUPERBLOCK + at, value);
    let sum = !crc32c(!0, field(&device, SUPERBLOCK + 32, 4096 - 32));
    put(&mut device, SUPERBLOCK, &sum.to_le_bytes());
    device
}

#[test]
fn one_behind_the_other() {
    for sum in ["crc32c", "xxhash", "sha256", "blake2"] {
        let (mut made, uuid) = devices(3, &["-m", "raid1", "-d", "raid0", "--csum", sum]);
        // In another order, one on a longer disk, with something else between them.
        made[1].extend([7; 5000]);
        let other = vec![0; 1 << 20];
        let layout = checked_scan(&[&made[2], &other, &made[0], &made[1]]);
        assert!(layout.concerns.is_empty(), "{:?}", layout.concerns);
        let [part] = &layout.parts[..] else { panic!("{:?}", layout.parts) };
        assert_eq!((part.id.as_str(), part.kind.as_str()), (&format!("btrfs:{uuid}")[..], "logical-volume"));
        assert_eq!(find(&part.facts, "members"), Some("2,3,0"));
        let shown: Vec<_> =
            part.segments.iter().map(|one| (one.logical, one.length, one.device, one.offset)).collect();
        assert_eq!(shown, [(0, SIZE, 2, 0), (SIZE, SIZE, 3, 0), (2 * SIZE, SIZE, 0, 0)]);
    }
}

#[test]
fn what_is_left_out() {
    let (made, _) = devices(2, &[]);
    let generation = u64_at(&made[0], SUPERBLOCK + 72);
    let old = patched(&made[1], 72, generation - 1);
    let cases: [(&[&[u8]], &str); 5] = [
        (&[&made[1]], "btrfs.missing-member"),
        (&[&made[0], &made[1], &made[0]], "btrfs.duplicate-member"),
        (&[&made[0], &old], "btrfs.out-of-date"),
        (&[&made[0], &made[1][..50 << 20]], "btrfs.short-device"),
        (&[&made[0], &patched(&made[1], 209, u64::MAX - 5)], "btrfs.short-device"),
    ];
    for (devices, kind) in cases {
        let layout = checked_scan(devices);
        let told: Vec<_> = layout.concerns.iter().map(|one| one.id.as_str()).collect();
        assert_eq!(told, [kind]);
        assert!(layout.concerns[0].remedy.is_some());
        let [part] = &layout.parts[..] else { panic!("{:?}", layout.parts) };
        let count = find(&part.facts, "members").unwrap().split(',').count();
        assert!(part.segments.is_empty() && count == devices.len(), "members, even so");
    }
}

#[test]
fn one_device_is_not_joined() {
    let (made, _) = devices(1, &[]);
    let layout = checked_scan(&[&made[0], &[0; 100]]);
    assert!(layout.parts.is_empty() && layout.concerns.is_empty());
}
