//! Which devices are members of arrays: the superblock is at one of four places.

use crate::early;
use crate::superblock::{self, LENGTH, MAGIC, Superblock};
use wherry_sdk::bytes::{big, field, little, u32_at};
use wherry_sdk::{Blob, Concern, Error, ErrorKind, Result, Severity, concern};

/// A device with its superblock.
#[derive(Debug)]
pub struct Member {
    /// Position in the list of devices.
    pub device: usize,
    pub superblock: Superblock,
}

/// All members; what is damaged becomes a concern.
pub fn find_all(devices: &[Box<dyn Blob>], concerns: &mut Vec<Concern>) -> Vec<Member> {
    let mut members = Vec::new();
    for (device, blob) in devices.iter().enumerate() {
        match find(blob.as_ref(), &mut |e| concerns.push(damaged(device, &e))) {
            Ok(superblock) => members.extend(superblock.map(|superblock| Member { device, superblock })),
            Err(e) => concerns.push(damaged(device, &e)),
        }
    }
    members
}

fn damaged(device: usize, e: &Error) -> Concern {
    let message = format!("the superblock of an array on device {device} is not used: {}", e.message);
    let remedy = "look at it on the source with mdadm --examine";
    concern(Severity::Warning, "md.bad-superblock", message, Some(remedy))
}

/// The superblock; of several the one that was made last, as mdadm chooses (`guess_super`).
fn find(device: &dyn Blob, damage: &mut dyn FnMut(Error)) -> Result<Option<Superblock>> {
    let end = device.size() & !511;
    let late = end.checked_sub(8192).map(|at| at & !4095);
    let places = [(early::place(end), "0.90"), (late, "1.0"), (Some(0), "1.1"), (Some(LENGTH as u64), "1.2")];
    let mut newest: Option<Superblock> = None;
    for (at, version) in places {
        let Some(at) = at.filter(|at| at + LENGTH as u64 <= end) else { continue };
        let block = device.read(at, LENGTH as u32)?;
        let found = if u32_at(&block, 0) == MAGIC {
            match version {
                "0.90" if belongs_to_a_partition(device, at)? => Ok(None),
                "0.90" => early::parse(&block, at),
                _ => superblock::parse(&block, version, at, end),
            }
        } else if big(&block, 0, 4) == u64::from(MAGIC) && version == "0.90" {
            Err(Error::new(ErrorKind::Unsupported, "it was made by a machine with the other byte order"))
        } else {
            Ok(None)
        };
        match found {
            Ok(Some(found)) if newest.as_ref().is_none_or(|newest| newest.made < found.made) => {
                newest = Some(found);
            }
            Ok(_) => {}
            Err(e) => damage(e),
        }
    }
    Ok(newest)
}

/// A superblock of version 0.90 does not say where it is: that of a disk's last partition is at the disk's own place, too. It
/// is the partition's where the disk has a table and an entry covers it.
fn belongs_to_a_partition(device: &dyn Blob, at: u64) -> Result<bool> {
    let head = device.read(0, 512)?;
    let unit = if device.sector_size() == 4096 { 4096 } else { 512 };
    let entries = [446usize, 462, 478, 494].map(|entry| field(&head, entry, 16));
    let table =
        field(&head, 510, 2) == [0x55, 0xaa] && entries.iter().all(|entry| little(entry, 0, 1) & 0x7f == 0);
    // A GPT's one entry is for the whole disk, also where its numbers are too small for it (UEFI specification, 5.2.3).
    let covers = |entry: &&[u8]| {
        let (start, length) = (little(entry, 8, 4), little(entry, 12, 4));
        little(entry, 4, 1) == 0xee || length > 0 && (start + length) * unit > at
    };
    Ok(table && entries.iter().any(covers))
}
