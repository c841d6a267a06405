//! Our images, judged by QEMU and read back.

use crate::host;
use crate::qemu;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use tempfile::tempdir;
use wherry_sdk::format::{Extent, Place};
use wherry_sdk::testing::image::{PATTERNS, Pattern, SparseDisk, text};

const MIB: u64 = 1 << 20;
const SIZES: [u64; 5] = [512, (64 << 10) - 512, MIB, 32 * MIB, 64 * MIB + 512];

fn round_trip(size: u64, pattern: Pattern, subformat: &str) {
    let folder = tempdir().unwrap();
    let (vmdk, raw) = (folder.path().join("a.vmdk"), folder.path().join("a.raw"));
    let disk = SparseDisk::new(size, pattern, size);
    disk.write_raw(&raw);
    let options = [("subformat", subformat)];
    for seed in [0, size] {
        remove_parts(folder.path());
        host::write(&disk, &vmdk, &options, seed);
        qemu::check(&vmdk);
        let info = qemu::img(&["info", "-f", "vmdk", text(&vmdk)]);
        assert!(info.contains(subformat), "{info}");
        qemu::compare(&vmdk, &raw, "raw");
        assert!(host::decode(&vmdk, 7) == std::fs::read(&raw).unwrap(), "{size} {pattern:?} {options:?}");
    }
}

/// Of an image that is written anew.
fn remove_parts(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "vmdk") {
            std::fs::remove_file(path).unwrap();
        }
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

#[test]
fn split_sparse_images_pass_qemu_check_and_compare() {
    matrix("twoGbMaxExtentSparse");
}

#[test]
fn flat_images_pass_qemu_compare() {
    matrix("monolithicFlat");
    matrix("twoGbMaxExtentFlat");
}

/// Around 2 GiB and where files end, 2047 MiB; compared where the data is.
#[test]
fn split_images_are_cut_as_vmware_cuts_them() {
    const CUT: u64 = 4_192_256 * 512;
    for subformat in ["twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "monolithicFlat"] {
        for size in [CUT - 512, CUT, CUT + 512, (2 << 30) - 512, (2 << 30) + 512, 5 << 30] {
            let folder = tempdir().unwrap();
            let (vmdk, raw) = (folder.path().join("a.vmdk"), folder.path().join("a.raw"));
            let disk = SparseDisk::new(size, Pattern::Scattered, size);
            disk.write_raw(&raw);
            host::write(&disk, &vmdk, &[("subformat", subformat)], size);
            qemu::compare(&vmdk, &raw, "raw");
            disk_is_read(&disk, &vmdk);
            let files = files(folder.path());
            let count = if subformat == "monolithicFlat" { 1 } else { size.div_ceil(CUT) as usize };
            assert_eq!(files.len(), count + 1, "{files:?}");
            for (name, length, stored) in &files {
                let limit = if count == 1 { 1 << 33 } else { 1 << 31 };
                assert!(*length < limit && *stored < 8 << 20, "{name}: {length}, of them {stored} stored");
            }
        }
    }
}

/// Name, length and room of each file but the raw one.
fn files(folder: &Path) -> Vec<(String, u64, u64)> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let file = |entry: std::fs::DirEntry| {
        let meta = entry.metadata().unwrap();
        (entry.file_name().into_string().unwrap(), meta.len(), meta.blocks() * 512)
    };
    entries.map(file).filter(|(name, ..)| name.ends_with(".vmdk")).collect()
}

/// By our reader; only extents with data are compared whole.
fn disk_is_read(disk: &SparseDisk, vmdk: &Path) {
    let mut image = host::open(vmdk, None).unwrap();
    for extent in image.extents(1000) {
        for at in (extent.logical..extent.logical + extent.length).step_by(1 << 20) {
            let length = (1 << 20).min(extent.logical + extent.length - at);
            if extent.at == Place::Zero {
                assert!(disk.is_hole(at, length) || disk.read(at, length).iter().all(|byte| *byte == 0));
            } else if !disk.is_hole(at, length) {
                let found = image.data(&part_of(&extent, at, length)).unwrap();
                assert!(found == disk.read(at, length), "{at}");
            }
        }
    }
}

fn part_of(extent: &Extent, logical: u64, length: u64) -> Extent {
    let Place::StoredIn((part, offset)) = extent.at else { panic!("{extent:?} is in no part") };
    Extent { logical, length, at: Place::StoredIn((part, offset + logical - extent.logical)) }
}
