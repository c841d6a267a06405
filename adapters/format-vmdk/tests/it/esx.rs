//! ESX's extents, which no tool here makes: laid out by hand after the documents, read by QEMU and by us.

use crate::host;
use crate::qemu;
use std::path::{Path, PathBuf};
use tempfile::tempdir;
use wherry_sdk::testing::image::{Pattern, SparseDisk};
use wherry_sdk::{ErrorKind, FormatReader, Severity};

const SECTORS: u64 = (5 << 20) / 512 + 1;

pub fn descriptor(create_type: &str, lines: &str) -> String {
    format!(
        "# Disk DescriptorFile\nversion=1\nencoding=\"UTF-8\"\nCID=fffffffe\nparentCID=ffffffff\n\
         createType=\"{create_type}\"\n\n# Extent description\n{lines}\n\n# The Disk Data Base\n#DDB\n\n\
         ddb.adapterType = \"lsilogic\"\n"
    )
}

/// Numbers of the grains that have data.
fn grains(disk: &SparseDisk, grain: u64) -> Vec<u64> {
    (0..disk.size.div_ceil(grain)).filter(|number| !disk.is_hole(number * grain, grain)).collect()
}

fn put(file: &mut Vec<u8>, at: u64, bytes: &[u8]) {
    let (at, end) = (at as usize, at as usize + bytes.len());
    file.resize(file.len().max(end), 0);
    file[at..end].copy_from_slice(bytes);
}

/// Grains of one sector, tables of 4096 entries, each in front of its grains.
pub fn cowd(disk: &SparseDisk) -> Vec<u8> {
    let mut file = b"COWD".to_vec();
    let entries = disk.size.div_ceil(4096 * 512);
    for field in [1, 3, disk.size as u32 / 512, 1, 4, entries as u32] {
        file.extend(u32::to_le_bytes(field));
    }
    file.resize(2048 + 512 * (entries as usize * 4).div_ceil(512), 0);
    let mut table = (u64::MAX, 0);
    for number in grains(disk, 512) {
        if table.0 != number / 4096 {
            table = (number / 4096, file.len() as u64);
            put(&mut file, 2048 + 4 * table.0, &(table.1 as u32 / 512).to_le_bytes());
            put(&mut file, table.1, &[0; 16 << 10]);
        }
        let end = file.len() as u64;
        put(&mut file, table.1 + 4 * (number % 4096), &(end as u32 / 512).to_le_bytes());
        put(&mut file, end, &disk.read(number * 512, 512));
    }
    file
}

/// Tables in reverse order, so that their numbers matter; absent, unmapped and zero grains.
pub fn sesparse(disk: &SparseDisk) -> Vec<u8> {
    const GRAIN: u64 = 4096;
    const TABLE: u64 = 32 << 10;
    let tables = disk.size.div_ceil(GRAIN * 4096);
    let (directory, first_table) = (2 * 512, 64 * 512);
    let first_grain = first_table + tables * TABLE;
    let mut fields = vec![0u64; 26];
    fields[..5].copy_from_slice(&[0xcafe_babe, 0x2_0000_0001, disk.size / 512, 8, 64]);
    fields[10..12].copy_from_slice(&[1, 1]);
    fields[16..20].copy_from_slice(&[directory / 512, 1, first_table / 512, tables * TABLE / 512]);
    fields[24..26].copy_from_slice(&[first_grain / 512, 1 << 20]);
    let mut file: Vec<u8> = fields.iter().flat_map(|field| field.to_le_bytes()).collect();
    put(&mut file, 512, &0xcafe_cafeu64.to_le_bytes());
    put(&mut file, first_grain - 1, &[0]);
    for table in 0..tables {
        put(&mut file, directory + 8 * table, &(1 << 60 | (tables - 1 - table)).to_le_bytes());
    }
    for number in 0..disk.size.div_ceil(GRAIN) {
        let at = first_table + (tables - 1 - number / 4096) * TABLE + number % 4096 * 8;
        let entry = if disk.is_hole(number * GRAIN, GRAIN) {
            [0, 1 << 60, 2 << 60][number as usize % 3]
        } else {
            let grain = (file.len() as u64 - first_grain).div_ceil(GRAIN);
            put(&mut file, first_grain + grain * GRAIN, &disk.read(number * GRAIN, GRAIN));
            3 << 60 | (grain & 0xfff) << 48 | grain >> 12
        };
        put(&mut file, at, &u64::to_le_bytes(entry));
    }
    file
}

fn image(folder: &Path, create_type: &str, lines: &str, files: &[(&str, Vec<u8>)]) -> PathBuf {
    let path = folder.join("vm.vmdk");
    std::fs::write(&path, descriptor(create_type, lines)).unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    path
}

fn same_as_qemu_and(path: &Path, expected: &[u8]) {
    assert!(qemu::raw(path) == expected, "{} as QEMU reads it", path.display());
    let mut image = host::open(path, None).unwrap();
    assert!(image.reader.facts().concerns.is_empty(), "{:?}", image.reader.facts().concerns);
    assert!(image.decode(9) == expected, "{}", path.display());
}

#[test]
fn vmfs_disks_are_read() {
    let folder = tempdir().unwrap();
    let disk = SparseDisk::new(SECTORS * 512, Pattern::Scattered, 3);
    let lines = format!("RW {SECTORS} VMFS \"vm-flat.vmdk\"");
    let flat = disk.read(0, disk.size);
    let path = image(folder.path(), "vmfs", &lines, &[("vm-flat.vmdk", flat.clone())]);
    same_as_qemu_and(&path, &flat);
}

#[test]
fn vmfs_sparse_disks_are_read() {
    for pattern in [Pattern::Zero, Pattern::Scattered, Pattern::LastSector] {
        let folder = tempdir().unwrap();
        let disk = SparseDisk::new(SECTORS * 512, pattern, 3);
        let lines = format!("RW {SECTORS} VMFSSPARSE \"vm-delta.vmdk\"");
        let path = image(folder.path(), "vmfsSparse", &lines, &[("vm-delta.vmdk", cowd(&disk))]);
        same_as_qemu_and(&path, &disk.read(0, disk.size));
    }
}

#[test]
fn se_sparse_disks_are_read() {
    for (size, pattern) in [(SECTORS * 512, Pattern::Scattered), (40 << 20, Pattern::Alternating)] {
        let folder = tempdir().unwrap();
        let disk = SparseDisk::new(size, pattern, 3);
        let lines = format!("RW {} SESPARSE \"vm-sesparse.vmdk\"", size / 512);
        let path = image(folder.path(), "seSparse", &lines, &[("vm-sesparse.vmdk", sesparse(&disk))]);
        same_as_qemu_and(&path, &disk.read(0, disk.size));
    }
}

#[test]
fn a_se_sparse_journal_is_refused() {
    let folder = tempdir().unwrap();
    let mut bytes = sesparse(&SparseDisk::new(1 << 20, Pattern::Dense, 1));
    let lines = "RW 2048 SESPARSE \"a.vmdk\"";
    bytes[512 + 24] = 1;
    let path = image(folder.path(), "seSparse", lines, &[("a.vmdk", bytes.clone())]);
    assert_eq!(host::open(&path, None).err().unwrap().kind, ErrorKind::Dirty);
    bytes[512 + 24] = 0;
    bytes[40] = 1;
    let path = image(folder.path(), "seSparse", lines, &[("a.vmdk", bytes)]);
    assert_eq!(host::open(&path, None).err().unwrap().kind, ErrorKind::Unsupported);
}

/// The pieces of a flat file in another order, zeroes between them.
#[test]
fn extents_share_a_file_and_zero_extents_have_none() {
    let folder = tempdir().unwrap();
    let flat: Vec<u8> = (0..4u8).flat_map(|byte| vec![byte + 1; 2048]).collect();
    let lines = "RW 4 FLAT \"a.bin\" 8\nRW 2 ZERO\nRDONLY 4 FLAT \"a.bin\" 4";
    let path = image(folder.path(), "custom", lines, &[("a.bin", flat)]);
    let mut image = host::open(&path, None).unwrap();
    assert_eq!(image.reader.facts().files, ["a.bin"]);
    assert_eq!(image.decode(1), [vec![3; 2048], vec![0; 1024], vec![2; 2048]].concat());
}

#[test]
fn extents_that_cannot_be_read_are_named() {
    let folder = tempdir().unwrap();
    let cases = [
        ("RW 8 FLAT \"/etc/shadow\" 0", "vmdk.file-outside"),
        ("RW 8 FLAT \"../a.bin\" 0", "vmdk.file-outside"),
        ("RW 8 SPARSE \"a\\\\b.vmdk\"", "vmdk.file-outside"),
        ("RW 8 FLAT \"C:b.vmdk\" 0", "vmdk.file-outside"),
        ("RW 8 FLAT \"..\" 0", "vmdk.file-outside"),
        ("RW 8 VMFSRDM \"a.bin\"", "vmdk.unknown-extent"),
        ("NOACCESS 8 FLAT \"a.bin\" 0", "vmdk.no-access"),
        ("RW 8 FLAT \"a.bin\" 1", "vmdk.short-file"),
    ];
    for (line, id) in cases {
        let path = image(folder.path(), "monolithicFlat", line, &[("a.bin", vec![1; 4096])]);
        let mut image = host::open(&path, None).unwrap();
        let facts = image.reader.facts();
        assert_eq!((facts.concerns[0].id.as_str(), facts.virtual_size), (id, 4096), "{line}");
        assert_eq!(facts.concerns[0].severity, Severity::Blocking);
        assert!(id == "vmdk.short-file" || facts.files.is_empty());
        let refused = image.reader.extents(0, 1).unwrap_err();
        assert_eq!(
            (refused.kind, refused.message),
            (ErrorKind::Unsupported, facts.concerns[0].message.clone())
        );
    }
}
