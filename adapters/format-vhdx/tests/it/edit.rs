//! Images as the writer makes them, taken apart: where things are in them, and how they are changed.

use crate::made;
use format_vhdx::Vhdx;
use std::path::{Path, PathBuf};
use tempfile::{TempDir, tempdir};
use wherry_sdk::testing::image::{Pattern, SparseDisk};

/// Bytes of a block in most tests.
pub const FIRST: usize = 1 << 20;
/// Headers and region tables.
pub const HEADERS: [usize; 2] = [64 << 10, 128 << 10];
pub const TABLES: [usize; 2] = [192 << 10, 256 << 10];
/// Log, metadata table and items, block allocation table; the first block if the table has 1 MiB.
pub const LOG: usize = 1 << 20;
pub const METADATA: usize = 2 << 20;
pub const ITEMS: usize = METADATA + (64 << 10);
pub const BAT: usize = 3 << 20;
pub const DATA: usize = 4 << 20;

pub fn make(size: u64, pattern: Pattern, options: &[(&str, &str)]) -> (TempDir, PathBuf) {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.vhdx");
    SparseDisk::new(size, pattern, 1).write_image::<Vhdx>(&path, options);
    (folder, path)
}

pub fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

pub fn write(path: &Path, image: &[u8]) {
    std::fs::write(path, image).unwrap();
}

/// A structure with a checksum: its offset and its length.
pub type Part = (usize, usize);

/// Mends the checksum of a structure.
pub fn seal(image: &mut [u8], (at, length): Part) {
    made::seal(&mut image[at..at + length]);
}

/// Changes a structure and mends its checksum.
pub fn edit(image: &mut [u8], (at, length): Part, edits: &[(usize, &[u8])]) {
    for (place, bytes) in edits {
        image[at + place..at + place + bytes.len()].copy_from_slice(bytes);
    }
    seal(image, (at, length));
}

/// Sets table entry `number`.
pub fn entry(image: &mut [u8], number: usize, offset: usize, state: u64) {
    let value = (offset as u64 | state).to_le_bytes();
    image[BAT + number * 8..BAT + number * 8 + 8].copy_from_slice(&value);
}

/// Makes it a differencing image of 1 MiB blocks, whose parent locator has these keys and values, and appends a sector
/// bitmap for the first chunk; where that is.
pub fn difference(image: &mut Vec<u8>, locator: &[(&str, &str)]) -> usize {
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let mut item = LOCATOR.to_vec();
    item.extend([0, 0, locator.len() as u8, 0]);
    let mut texts = Vec::new();
    let first = 20 + locator.len() * 12;
    for (key, value) in locator {
        let (key, value) = (utf16(key), utf16(value));
        let at = (first + texts.len()) as u32;
        item.extend([at.to_le_bytes(), (at + key.len() as u32).to_le_bytes()].concat());
        item.extend([(key.len() as u16).to_le_bytes(), (value.len() as u16).to_le_bytes()].concat());
        texts.extend([key, value].concat());
    }
    item.extend(texts);
    let table = METADATA + 32 + 5 * 32;
    image[METADATA + 10] = 6;
    image[table..table + 16].copy_from_slice(&LOCATOR_ITEM);
    image[table + 16..table + 20].copy_from_slice(&((64 << 10) + 40u32).to_le_bytes());
    image[table + 20..table + 24].copy_from_slice(&(item.len() as u32).to_le_bytes());
    image[table + 24] = 4;
    image[ITEMS + 40..ITEMS + 40 + item.len()].copy_from_slice(&item);
    image[ITEMS + 4] = 2;
    let bitmap = image.len();
    image.resize(bitmap + FIRST, 0);
    // Payload blocks of a chunk: 2^23 sectors, in MiB.
    let sector = u32::from_le_bytes(image[ITEMS + 32..ITEMS + 36].try_into().unwrap());
    entry(image, 8 * sector as usize, bitmap, 6);
    bitmap
}

/// B04AEFB7-D19E-4A81-B789-25B8E9445913 and A8D35F2D-B30B-454D-ABF7-D3D84834AB0C as they are stored.
const LOCATOR: [u8; 16] =
    [0xb7, 0xef, 0x4a, 0xb0, 0x9e, 0xd1, 0x81, 0x4a, 0xb7, 0x89, 0x25, 0xb8, 0xe9, 0x44, 0x59, 0x13];
const LOCATOR_ITEM: [u8; 16] =
    [0x2d, 0x5f, 0xd3, 0xa8, 0x0b, 0xb3, 0x4d, 0x45, 0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34, 0xab, 0x0c];
