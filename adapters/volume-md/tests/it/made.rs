//! Superblocks made by the documents (Linux' md_p.h), and devices with them.

use wherry_sdk::bytes::{field, put, put_u16, put_u32, put_u64, u32_at};

/// Bytes of a device, and where data start on one with a superblock of version 1.1 or 1.2.
pub const SIZE: usize = 256 << 10;
pub const DATA: usize = 32 << 10;
const MAGIC: u32 = 0xa92b_4efc;

/// What superblocks are made of.
#[derive(Clone)]
pub struct Plan {
    pub level: i32,
    pub layout: u32,
    /// bytes
    pub chunk: u32,
    pub disks: u32,
    pub events: u64,
}

/// Where a superblock of that version is.
pub fn place(version: &str) -> usize {
    match version {
        "0.90" => SIZE - (64 << 10),
        "1.0" => SIZE - 8192,
        "1.1" => 0,
        _ => 4096,
    }
}

/// The data's first byte, and how many there are.
fn data(version: &str) -> (usize, usize) {
    match version {
        "0.90" | "1.0" => (0, SIZE - (64 << 10)),
        _ => (DATA, SIZE - DATA),
    }
}

/// The superblock of member `number`.
pub fn superblock(version: &str, plan: &Plan, number: u32) -> Vec<u8> {
    let mut block = if version == "0.90" { early(plan, number) } else { late(version, plan, number) };
    seal(&mut block);
    block
}

fn early(plan: &Plan, number: u32) -> Vec<u8> {
    let mut block = vec![0; 4096];
    let used = if plan.level <= 0 { 0 } else { data("0.90").1 as u32 >> 10 };
    let words = [
        (0, MAGIC),
        (2, 90),
        (5, 0x1111_2222),
        (6, 1_600_000_000),
        (7, plan.level as u32),
        (8, used),
        (9, plan.disks),
        (10, plan.disks),
        (13, 0x3333_4444),
        (14, 0x5555_6666),
        (15, 0x7777_8888),
        (32, 1_600_000_000),
        (33, 1),
        (34, plan.disks),
        (35, plan.disks),
        (39, plan.events as u32),
        (64, plan.layout),
        (65, plan.chunk),
    ];
    for (index, word) in words {
        put_u32(&mut block, index * 4, word);
    }
    for index in 0..plan.disks {
        let at = 512 + index as usize * 128;
        for (index, word) in [index, 8, 16 * index, index, 6].into_iter().enumerate() {
            put_u32(&mut block, at + index * 4, word);
        }
    }
    block.copy_within(512 + number as usize * 128..512 + (number as usize + 1) * 128, 512 + 27 * 128);
    block
}

fn late(version: &str, plan: &Plan, number: u32) -> Vec<u8> {
    let mut block = vec![0; 4096];
    let (start, length) = data(version);
    for (at, word) in [
        (0, MAGIC),
        (4, 1),
        (8, if plan.level == 0 { 4096 } else { 0 }),
        (72, plan.level as u32),
        (76, plan.layout),
        (88, plan.chunk / 512),
        (92, plan.disks),
        (160, number),
        (220, 128),
    ] {
        put_u32(&mut block, at, word);
    }
    put(&mut block, 16, b"an array's uuid.host:name");
    put(&mut block, 168, &[number as u8 | 0x40; 16]);
    for (at, word) in [
        (64, 1_600_000_000),
        (80, if plan.level <= 0 { 0 } else { length as u64 / 512 }),
        (128, start as u64 / 512),
        (136, length as u64 / 512),
        (144, place(version) as u64 / 512),
        (192, 1_600_000_000),
        (200, plan.events),
        (208, u64::MAX),
    ] {
        put_u64(&mut block, at, word);
    }
    for index in 0..128 {
        let role = if index < plan.disks { index as u16 } else { 0xffff };
        put_u16(&mut block, 256 + index as usize * 2, role);
    }
    block
}

/// Puts its checksum into a superblock.
pub fn seal(block: &mut [u8]) {
    let late = u32_at(block, 4) == 1;
    let (at, length) =
        if late { (216, 256 + 2 * (u32_at(block, 220) as usize).min(1920)) } else { (152, 4096) };
    put_u32(block, at, 0);
    let mut whole = field(block, 0, length).to_vec();
    whole.resize(length.next_multiple_of(4), 0);
    let sum: u64 = (0..whole.len() / 4).map(|index| u64::from(u32_at(&whole, index * 4))).sum();
    put_u32(block, at, (sum as u32).wrapping_add((sum >> 32) as u32));
}

/// A device with this superblock, its checksum put right; each sector begins with its own number and the device's.
pub fn device(version: &str, superblock: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; SIZE];
    for (sector, number) in bytes.chunks_mut(512).zip(0u32..) {
        put_u32(sector, 0, number);
        put_u32(sector, 4, u32_at(superblock, 160));
    }
    let at = place(version);
    let mut block = superblock.to_vec();
    block.resize(4096, 0);
    put_u32(&mut block, 0, MAGIC);
    seal(&mut block);
    put(&mut bytes, at, &block);
    bytes
}

/// All members of an array.
pub fn members(version: &str, plan: &Plan) -> Vec<Vec<u8>> {
    (0..plan.disks).map(|number| device(version, &superblock(version, plan, number))).collect()
}
