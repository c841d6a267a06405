//! A group's database: the table of contents (`TOCBLOCK`) says where it is, its header (`VMDB`) how it is divided, and
//! records (`VBLK`) hold the objects, in one block or several. Every disk of a group has the whole of it.

use crate::disk::{self, Disk};
use crate::record::{self, Object};
use std::collections::BTreeMap;
use wherry_sdk::bytes::{big, field};
use wherry_sdk::{Blob, Concern, Error, READ_MOST, Result, Severity, concern};

/// Bytes of a database that are read; 1 MiB is usual.
const DATABASE_MOST: u64 = 16 << 20;
/// Bytes of a block, and the part of it that is not a record.
const BLOCK_LEAST: usize = 64;
const BLOCK_MOST: usize = 4096;
const BLOCK_HEAD: usize = 16;
/// The database is not being changed.
const CONSISTENT: u64 = 1;

/// A group, as its newest database has it.
#[derive(Debug)]
pub struct Group {
    pub id: String,
    pub name: String,
    /// Which change was the last.
    sequence: u64,
    /// Why none of its volumes can be believed.
    pub doubt: Option<String>,
    /// Everything in it, by number.
    pub objects: BTreeMap<u64, Object>,
}

/// The newest database of each group.
pub fn newest(devices: &[Box<dyn Blob>], disks: &[Disk], concerns: &mut Vec<Concern>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for disk in disks {
        let Some(device) = devices.get(disk.device) else { continue };
        match read(device.as_ref(), disk) {
            Ok(group) => match groups.iter_mut().find(|known| known.id == group.id) {
                None => groups.push(group),
                Some(known) if known.sequence < group.sequence => *known = group,
                Some(_) => {}
            },
            Err(e) => {
                let message = format!("the database of dynamic disk {}: {}", disk.device, e.message);
                let remedy =
                    "another disk of the group has it, too; rescan the disks in the source's Disk Management";
                concerns.push(concern(Severity::Warning, "ldm.bad-database", message, Some(remedy)));
            }
        }
    }
    groups
}

fn read(device: &dyn Blob, disk: &Disk) -> Result<Group> {
    let start = disk.database.start;
    let length = (disk.database.end - start).min(DATABASE_MOST);
    let mut bytes = Vec::with_capacity(length as usize);
    while (bytes.len() as u64) < length {
        let at = bytes.len() as u64;
        bytes.extend(device.read(start + at, (length - at).min(u64::from(READ_MOST)) as u32)?);
    }
    let at = contents(&bytes, disk.sector as usize)?;
    let database = bytes.get(at..).unwrap_or_default();
    if !database.starts_with(b"VMDB") {
        return Err(Error::corrupt(start + at as u64, "it has no header where its table of contents says"));
    }
    let version = big(database, 0x12, 2);
    if version != 4 {
        return Err(Error::unsupported(format!(
            "it has the unknown version {version}.{}",
            big(database, 0x14, 2)
        )));
    }
    let id = disk::text(field(database, 0x35, 64)).to_lowercase();
    if id != disk.group {
        let message = format!("it is that of group {id}, and the disk is one of group {}", disk.group);
        return Err(Error::corrupt(start + at as u64, message));
    }
    let sequence = big(database, 0x75, 8);
    let mut group = Group { id, name: disk.name.clone(), sequence, doubt: None, objects: BTreeMap::new() };
    if big(database, 0x10, 2) != CONSISTENT || big(database, 0x7d, 8) != sequence {
        group.doubt = Some("its database was being changed".into());
    }
    records(database, &mut group)?;
    count(database, &mut group);
    Ok(group)
}

/// Where the database starts, by the newest table of contents: there are two copies of it at either end.
fn contents(bytes: &[u8], sector: usize) -> Result<usize> {
    let sectors = bytes.len() / sector;
    let places = [1, 2, sectors.saturating_sub(3), sectors.saturating_sub(2)];
    let tables = places.map(|place| field(bytes, place.saturating_mul(sector), 512));
    let tables = tables.into_iter().filter(|table| table.starts_with(b"TOCBLOCK") && disk::is_whole(table));
    let table = tables.max_by_key(|table| big(table, 0x10, 4));
    let table = table.ok_or_else(|| Error::corrupt(0, "it has no table of contents"))?;
    let entry = [0x24, 0x46].into_iter().find(|at| field(table, *at, 8) == b"config\0\0");
    let entry = entry.ok_or_else(|| Error::corrupt(0, "its table of contents does not name it"))?;
    let start = usize::try_from(big(table, entry + 10, 8)).ok().and_then(|start| start.checked_mul(sector));
    start.filter(|start| *start < bytes.len()).ok_or_else(|| Error::corrupt(0, "it lies beyond its area"))
}

/// Every record of the database into the group.
fn records(database: &[u8], group: &mut Group) -> Result<()> {
    let (size, first) = (big(database, 8, 4) as usize, big(database, 12, 4) as usize);
    if !(BLOCK_LEAST..=BLOCK_MOST).contains(&size) || first < 0xc5 {
        return Err(Error::corrupt(8, format!("blocks of {size} bytes from byte {first} on make no sense")));
    }
    let blocks = database.get(first..).unwrap_or_default().chunks_exact(size);
    // Pieces of records, by the record's number.
    let mut pieces: BTreeMap<u64, BTreeMap<u64, &[u8]>> = BTreeMap::new();
    for block in blocks.take_while(|block| block.starts_with(b"VBLK")) {
        let (number, piece, count) = (big(block, 8, 4), big(block, 12, 2), big(block, 14, 2));
        if count == 0 {
            continue;
        }
        if piece >= count || pieces.entry(number).or_default().insert(piece, block).is_some() {
            let message = format!("piece {piece} of {count} of record {number} makes no sense");
            return Err(Error::corrupt(first as u64, message));
        }
    }
    for (number, pieces) in pieces {
        let counts: Vec<u64> = pieces.values().map(|block| big(block, 14, 2)).collect();
        if counts.iter().any(|count| *count != pieces.len() as u64) {
            return Err(Error::corrupt(first as u64, format!("record {number} lacks a piece")));
        }
        let bytes: Vec<u8> =
            pieces.values().flat_map(|block| block.get(BLOCK_HEAD..).unwrap_or_default()).copied().collect();
        if big(&bytes, 0, 2) != 0 {
            group.doubt = Some(format!("record {number} of its database is being changed"));
        }
        let object = record::parse(&bytes).map_err(|e| e.within(&format!("record {number}")))?;
        let Some((id, object)) = object else { continue };
        if let Object::Group { name } = object {
            group.name = name;
        } else if group.objects.insert(id, object).is_some() {
            return Err(Error::corrupt(first as u64, format!("two objects have the number {id}")));
        }
    }
    Ok(())
}

/// The header says how many objects of each kind there are.
fn count(database: &[u8], group: &mut Group) {
    type Kind = (&'static str, usize, fn(&Object) -> bool);
    let kinds: [Kind; 4] = [
        ("volumes", 0x85, |object| matches!(object, Object::Volume(_))),
        ("components", 0x89, |object| matches!(object, Object::Component(_))),
        ("partitions", 0x8d, |object| matches!(object, Object::Partition(_))),
        ("disks", 0x91, |object| matches!(object, Object::Disk { .. })),
    ];
    for (name, at, kind) in kinds {
        let (there, told) =
            (group.objects.values().filter(|object| kind(object)).count() as u64, big(database, at, 4));
        if there != told {
            group.doubt = Some(format!("its database has {there} {name}, and its header says {told}"));
        }
    }
}
