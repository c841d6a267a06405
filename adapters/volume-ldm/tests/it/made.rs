//! Dynamic disks made by the documents.

use wherry_sdk::bytes::put;
use wherry_sdk::image::Uuid;

/// Sectors of a disk, where its data starts, and where its database does.
pub const SECTORS: u64 = 4096;
pub const DATA: u64 = 63;
pub const DATABASE: u64 = SECTORS - 2048;
/// The database's header, in sectors of its area.
pub const HEADER: u64 = 17;
/// Of the group.
pub const GROUP: &str = "03c0c4fc-8b6f-402b-9431-4be2e5823b1c";

/// The identifier of a disk.
pub fn disk_id(number: u8) -> String {
    format!("d17c2c04-6afc-46c3-84b7-cdc2f39500{number:02x}")
}

/// A record: flags, revision and kind, fields.
#[derive(Clone)]
pub struct Record {
    pub flags: u8,
    pub kind: u8,
    pub fields: Vec<u8>,
}

fn number(value: u64) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let skip = bytes.iter().take(7).take_while(|byte| **byte == 0).count();
    [&[8 - skip as u8], &bytes[skip..]].concat()
}

fn text(value: &str) -> Vec<u8> {
    [&[value.len() as u8], value.as_bytes()].concat()
}

/// A volume of `size` sectors with so many components.
pub fn volume(id: u64, name: &str, raid5: bool, components: u64, size: u64) -> Record {
    let mut state = [0; 14];
    put(&mut state, 0, b"ACTIVE");
    let fields = [
        number(id),
        text(name),
        text(if raid5 { "raid5" } else { "gen" }),
        vec![0],
        state.to_vec(),
        vec![if raid5 { 4 } else { 3 }, 1, 6, 0, 0, 0, 0x11],
        number(components),
        vec![0; 16],
        number(size),
        vec![0, 0, 0, 0, 7],
        vec![id as u8; 16],
        text("E:"),
    ];
    Record { flags: 0x02, kind: 0x51, fields: fields.concat() }
}

/// How a component is arranged: 1 striped, 2 joined, 3 RAID-5.
pub fn component(id: u64, volume: u64, arrangement: u8, partitions: u64, chunk: u64) -> Record {
    let mut fields = [
        number(id),
        text("a-01"),
        text("ACTIVE"),
        vec![arrangement, 0, 0, 0, 0],
        number(partitions),
        vec![0; 16],
        number(volume),
        vec![0],
    ]
    .concat();
    let striped = arrangement != 2;
    if striped {
        fields.extend([number(chunk), number(partitions)].concat());
    }
    Record { flags: if striped { 0x10 } else { 0 }, kind: 0x32, fields }
}

/// Sectors `start..start + size` of a disk's data, at `offset` of the component, which is column `index`.
pub fn partition(id: u64, component: u64, disk: u64, place: (u64, u64, u64), index: Option<u64>) -> Record {
    let (start, offset, size) = place;
    let fields = [
        number(id),
        text(&format!("Disk{disk}-{id}")),
        vec![0; 12],
        start.to_be_bytes().to_vec(),
        offset.to_be_bytes().to_vec(),
        number(size),
        number(component),
        number(disk),
        index.map(number).unwrap_or_default(),
    ];
    Record { flags: if index.is_some() { 0x08 } else { 0 }, kind: 0x33, fields: fields.concat() }
}

/// A disk, told as Windows Server 2003 does, or as Windows Vista does. What Windows calls it makes records of two pieces.
pub fn disk(id: u64, later: bool) -> Record {
    let guid = disk_id(id as u8);
    let guid = if later { Uuid::parse(&guid).unwrap().0.to_vec() } else { text(&guid) };
    let place =
        text("SCSI\\DISK&VEN_RED_HAT&PROD_VIRTIO&REV_0001\\4&1618751F&0&0 of a machine that was there");
    let fields = [number(id), text(&format!("Disk{id}")), guid, place, vec![0; 12]];
    Record { flags: 0, kind: if later { 0x44 } else { 0x34 }, fields: fields.concat() }
}

/// The group itself.
pub fn group() -> Record {
    let fields = [number(200), text("Dg0"), text(GROUP), vec![0; 20]];
    Record { flags: 0, kind: 0x35, fields: fields.concat() }
}

/// The area of the database, 1 MiB.
pub fn database(records: &[Record], sequence: u64) -> Vec<u8> {
    let mut bytes = vec![0; 2048 * 512];
    for (at, sequence) in [(1, 5), (2, 4), (2045, 4), (2046, 5u32)] {
        let at = at * 512;
        put(&mut bytes, at, b"TOCBLOCK");
        put(&mut bytes, at + 0x10, &sequence.to_be_bytes());
        put(&mut bytes, at + 0x24, b"config");
        put(&mut bytes, at + 0x2e, &HEADER.to_be_bytes());
        put(&mut bytes, at + 0x36, &1481u64.to_be_bytes());
        put(&mut bytes, at + 0x46, b"log");
        put(&mut bytes, at + 0x50, &1498u64.to_be_bytes());
        put(&mut bytes, at + 0x58, &224u64.to_be_bytes());
        seal(&mut bytes[at..at + 512]);
    }
    let at = HEADER as usize * 512;
    let count = |kind: u8| records.iter().filter(|record| record.kind & 15 == kind).count() as u32;
    put(&mut bytes, at, b"VMDB");
    put(&mut bytes, at + 8, &128u32.to_be_bytes());
    put(&mut bytes, at + 12, &512u32.to_be_bytes());
    put(&mut bytes, at + 0x10, &[0, 1, 0, 4, 0, 10]);
    put(&mut bytes, at + 0x16, b"Dg0");
    put(&mut bytes, at + 0x35, GROUP.as_bytes());
    put(&mut bytes, at + 0x75, &sequence.to_be_bytes());
    put(&mut bytes, at + 0x7d, &sequence.to_be_bytes());
    for (index, kind) in (0..).zip([1, 2, 3, 4]) {
        put(&mut bytes, at + 0x85 + index * 4, &count(kind).to_be_bytes());
    }
    let blocks = blocks(records);
    put(&mut bytes, at + 4, &(blocks.len() as u32 / 128 + 4).to_be_bytes());
    put(&mut bytes, at + 512, &blocks);
    bytes
}

/// Records in blocks of 128 bytes, long ones in several.
fn blocks(records: &[Record]) -> Vec<u8> {
    let mut blocks = Vec::new();
    for (record, number) in records.iter().zip(1u32..) {
        let mut bytes = vec![0, 0, record.flags, record.kind];
        bytes.extend((record.fields.len() as u32).to_be_bytes());
        bytes.extend(&record.fields);
        let pieces = bytes.chunks(112).count() as u16;
        for (piece, index) in bytes.chunks(112).zip(0u16..) {
            let mut block = b"VBLK".to_vec();
            block.extend((blocks.len() as u32 / 128 + 4).to_be_bytes());
            block.extend(number.to_be_bytes());
            block.extend(index.to_be_bytes());
            block.extend(pieces.to_be_bytes());
            block.extend(piece);
            block.resize(128, 0);
            blocks.extend(block);
        }
    }
    blocks.extend(b"VBLK");
    blocks.resize(blocks.len() + 124, 0);
    blocks
}

/// A disk with a master boot record, whose data says where it is.
pub fn mbr(number: u8, database: &[u8]) -> Vec<u8> {
    let mut bytes = filled(number);
    put(&mut bytes, 446, &[0, 1, 1, 0, 0x42, 0xfe, 0x3f, 5]);
    put(&mut bytes, 454, &(DATA as u32).to_le_bytes());
    put(&mut bytes, 458, &((SECTORS - DATA) as u32).to_le_bytes());
    put(&mut bytes, 510, &[0x55, 0xaa]);
    for at in [6, SECTORS - 1] {
        header(&mut bytes, at, number, DATA..DATABASE, DATABASE);
    }
    put(&mut bytes, DATABASE as usize * 512, database);
    header(&mut bytes, SECTORS - 1, number, DATA..DATABASE, DATABASE);
    bytes
}

/// A disk with a GPT: the database is in a partition, and the header in that partition's last sector.
pub fn gpt(number: u8, database: &[u8]) -> Vec<u8> {
    let mut bytes = filled(number);
    bytes[..40 * 512].fill(0);
    put(&mut bytes, 446, &[0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    put(&mut bytes, 510, &[0x55, 0xaa]);
    put(&mut bytes, 512, b"EFI PART\0\0\x01\0\x5c\0\0\0");
    put(&mut bytes, 512 + 24, &1u64.to_le_bytes());
    put(&mut bytes, 512 + 32, &(SECTORS - 1).to_le_bytes());
    put(&mut bytes, 512 + 40, &34u64.to_le_bytes());
    put(&mut bytes, 512 + 48, &(SECTORS - 34).to_le_bytes());
    put(&mut bytes, 512 + 72, &2u64.to_le_bytes());
    put(&mut bytes, 512 + 80, &128u32.to_le_bytes());
    put(&mut bytes, 512 + 84, &128u32.to_le_bytes());
    let metadata = Uuid::parse("5808c8aa-7e8f-42e0-85d2-e1e90434cfb3").unwrap();
    let data = Uuid::parse("af9b60a0-1431-4f62-bc68-3311714a69ad").unwrap();
    for (at, kind, first, last) in [(1024, metadata, 34u64, 34 + 2048u64), (1152, data, 2200, SECTORS - 34)] {
        put(&mut bytes, at, &kind.guid());
        put(&mut bytes, at + 16, &[at as u8 | 1; 16]);
        put(&mut bytes, at + 32, &first.to_le_bytes());
        put(&mut bytes, at + 40, &last.to_le_bytes());
    }
    let array = crc(&bytes[1024..1024 + 128 * 128]);
    put(&mut bytes, 512 + 88, &array.to_le_bytes());
    let own = crc(&bytes[512..512 + 92]);
    put(&mut bytes, 512 + 16, &own.to_le_bytes());
    put(&mut bytes, 34 * 512, database);
    header(&mut bytes, 34 + 2048, number, 2200..SECTORS - 34, 34);
    bytes
}

fn crc(bytes: &[u8]) -> u32 {
    wherry_sdk::checksum::crc32(!0, bytes) ^ !0
}

/// Every sector starts with the disk's number and its own.
fn filled(number: u8) -> Vec<u8> {
    let mut bytes = vec![0; SECTORS as usize * 512];
    for (sector, index) in bytes.chunks_mut(512).zip(0u32..).skip(DATA as usize) {
        sector[0] = number;
        put(sector, 1, &index.to_be_bytes());
    }
    bytes
}

fn header(bytes: &mut [u8], sector: u64, number: u8, data: std::ops::Range<u64>, database: u64) {
    let at = sector as usize * 512;
    bytes[at..at + 512].fill(0);
    put(bytes, at, b"PRIVHEAD");
    put(bytes, at + 0x0c, &[0, 2, 0, 12]);
    put(bytes, at + 0x30, disk_id(number).as_bytes());
    put(bytes, at + 0x70, b"1b77da20-c717-11d0-a5be-00a0c91db73c");
    put(bytes, at + 0xb0, GROUP.as_bytes());
    put(bytes, at + 0xf0, b"Dg0");
    put(bytes, at + 0x11b, &data.start.to_be_bytes());
    put(bytes, at + 0x123, &(data.end - data.start).to_be_bytes());
    put(bytes, at + 0x12b, &database.to_be_bytes());
    put(bytes, at + 0x133, &2048u64.to_be_bytes());
    seal(&mut bytes[at..at + 512]);
}

/// Puts the sum of a sector's other bytes into it.
pub fn seal(sector: &mut [u8]) {
    sector[8..12].fill(0);
    let sum: u32 = sector.iter().map(|byte| u32::from(*byte)).sum();
    put(sector, 8, &sum.to_be_bytes());
}
