//! Our images, judged by QEMU and read back.

use crate::host;
use crate::qemu;
use tempfile::tempdir;
use wherry_sdk::testing::image::{PATTERNS, Pattern, SparseDisk};

const MIB: u64 = 1 << 20;
const SIZES: [u64; 5] = [0, 512, (64 << 10) - 512, MIB, 64 * MIB + 512];
const CLUSTER_SIZES: [&str; 4] = ["512", "64K", "128k", "2M"];
const COMPRESSIONS: [&str; 3] = ["none", "zlib", "zstd"];

fn round_trip(size: u64, pattern: Pattern, cluster_size: &str, compression: &str) {
    let folder = tempdir().unwrap();
    let (qcow2, raw) = (folder.path().join("a.qcow2"), folder.path().join("a.raw"));
    let disk = SparseDisk::new(size, pattern, size ^ cluster_size.len() as u64);
    disk.write_raw(&raw);
    let options = [("cluster-size", cluster_size), ("compression", compression)];
    host::write(&disk, &qcow2, &options, size);
    qemu::check(&qcow2);
    qemu::compare(&qcow2, &raw, "raw");
    assert!(host::decode(&[&qcow2], 7) == std::fs::read(&raw).unwrap(), "{size} {pattern:?} {options:?}");
}

fn matrix(compression: &str) {
    for size in SIZES {
        for cluster_size in CLUSTER_SIZES {
            for pattern in PATTERNS {
                if worthwhile(size, pattern, cluster_size) {
                    round_trip(size, pattern, cluster_size, compression);
                }
            }
        }
    }
}

/// A disk in one block is either zero or not; the large disk is about many tables and chunks out of order.
fn worthwhile(size: u64, pattern: Pattern, cluster_size: &str) -> bool {
    match cluster_size {
        "512" if size > MIB => pattern == Pattern::Scattered,
        "128k" => size == MIB,
        _ if size > MIB => !matches!(pattern, Pattern::Zero | Pattern::Dense),
        _ if size <= 512 => matches!(pattern, Pattern::Zero | Pattern::LastSector),
        _ => true,
    }
}

#[test]
fn plain_images_pass_qemu_check_and_compare() {
    matrix(COMPRESSIONS[0]);
}

#[test]
fn zlib_images_pass_qemu_check_and_compare() {
    matrix(COMPRESSIONS[1]);
}

#[test]
fn zstd_images_pass_qemu_check_and_compare() {
    matrix(COMPRESSIONS[2]);
}
