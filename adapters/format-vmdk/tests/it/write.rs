//! Our images, judged by QEMU and read back.

use crate::host;
use crate::qemu;
use tempfile::tempdir;
use wherry_sdk::testing::image::{PATTERNS, Pattern, SparseDisk};

const MIB: u64 = 1 << 20;
const SIZES: [u64; 5] = [512, (64 << 10) - 512, MIB, 32 * MIB, 64 * MIB + 512];

fn round_trip(size: u64, pattern: Pattern, subformat: &str) {
    let folder = tempdir().unwrap();
    let (vmdk, raw) = (folder.path().join("a.vmdk"), folder.path().join("a.raw"));
    let disk = SparseDisk::new(size, pattern, size);
    disk.write_raw(&raw);
    let options = [("subformat", subformat)];
    for seed in [0, size] {
        host::write(&disk, &vmdk, &options, seed);
        qemu::check(&vmdk);
        qemu::compare(&vmdk, &raw, "raw");
        assert!(host::decode(&vmdk, 7) == std::fs::read(&raw).unwrap(), "{size} {pattern:?} {options:?}");
    }
}

fn matrix(subformat: &str) {
    for size in SIZES {
        for pattern in PATTERNS {
            round_trip(size, pattern, subformat);
        }
    }
}

#[test]
fn monolithic_sparse_images_pass_qemu_check_and_compare() {
    matrix("monolithicSparse");
}

#[test]
fn streams_pass_qemu_check_and_compare() {
    matrix("streamOptimized");
}
