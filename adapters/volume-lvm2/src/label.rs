//! The label of a physical volume: one of the first four sectors starts with `LABELONE`; the `pv_header` in it says who
//! the volume is and where its data and metadata areas lie (`lib/label/label.h`, `lib/format_text/layout.h`).

use crate::{SECTOR, checksum};
use wherry_sdk::bytes::little;
use wherry_sdk::{Blob, Concern, Error, Range, Result, Severity, concern};

/// Sectors that are searched for a label (`LABEL_SCAN_SECTORS`).
const LABEL_SECTORS: u64 = 4;
/// One at the start, one at the end (`FMT_TEXT_MAX_MDAS_PER_PV`).
const AREAS_MOST: usize = 2;

/// One physical volume.
pub struct Physical {
    /// Position in the list of devices.
    pub device: usize,
    /// 32 characters, without the hyphens that the tools print.
    pub uuid: String,
    /// Metadata areas, in bytes of the device.
    pub areas: Vec<Range>,
}

impl Physical {
    /// Whether bytes `from..to` of the device touch the label's sectors or a metadata area, where no data can lie.
    pub fn reserves(&self, from: u64, to: u64) -> bool {
        let label = Range { offset: 0, length: LABEL_SECTORS * SECTOR };
        let mut reserved = self.areas.iter().chain([&label]);
        reserved.any(|area| from < area.offset.saturating_add(area.length) && area.offset < to)
    }
}

/// All physical volumes on these devices; damaged labels become concerns.
pub fn find_all(devices: &[Box<dyn Blob>], concerns: &mut Vec<Concern>) -> Vec<Physical> {
    let mut found = Vec::new();
    for (index, device) in devices.iter().enumerate() {
        match find(index, device.as_ref()) {
            Ok(Found::Nothing) => {}
            Ok(Found::Physical(physical)) => found.push(physical),
            Ok(Found::Partitioned) => {
                let message =
                    format!("device {index} has a partition table; the LVM label beside it is not used");
                concerns.push(concern(Severity::Information, "lvm.partitioned", message, None));
            }
            Ok(Found::ArrayMember) => {
                let message =
                    format!("device {index} is a member of an MD array; the LVM label in it is the array's");
                concerns.push(concern(Severity::Information, "lvm.array-member", message, None));
            }
            Err(e) => {
                let message = format!("device {index} looks like an LVM physical volume: {}", e.message);
                let remedy =
                    "check it on the source with pvck; its volume group is read from the other disks";
                concerns.push(concern(Severity::Warning, "lvm.bad-label", message, Some(remedy)));
            }
        }
    }
    found
}

/// What the first sectors of a device hold.
enum Found {
    Nothing,
    /// A label, but a partition table, too: lvm2 takes the label for a left-over, and so do we.
    Partitioned,
    /// A label that is seen through a member of an array whose data begin with the member's first byte; lvm2 leaves it to
    /// the array, too (`md_component_detection`).
    ArrayMember,
    Physical(Physical),
}

fn find(index: usize, device: &dyn Blob) -> Result<Found> {
    let length = device.size().min(LABEL_SECTORS * SECTOR);
    let head = device.read(0, length as u32)?;
    for (sector, bytes) in (0u64..).zip(head.chunks_exact(SECTOR as usize)) {
        if bytes.starts_with(b"LABELONE") && bytes.get(24..32) == Some(b"LVM2 001") {
            if is_partitioned(&head) {
                return Ok(Found::Partitioned);
            }
            if is_array_member(device)? {
                return Ok(Found::ArrayMember);
            }
            return read(index, bytes, sector, device.size()).map(Found::Physical);
        }
    }
    Ok(Found::Nothing)
}

/// A master boot record with an entry in use (lvm2's `lib/device/dev-type.c`).
fn is_partitioned(head: &[u8]) -> bool {
    let entries: Vec<&[u8]> = head.get(446..510).unwrap_or_default().chunks_exact(16).collect();
    let plausible = entries.iter().all(|entry| little(entry, 0, 1) & 0x7f == 0);
    let used = entries.iter().any(|entry| little(entry, 4, 1) != 0 && little(entry, 12, 4) != 0);
    head.get(510..512) == Some(&[0x55, 0xaa]) && plausible && used
}

/// The label holds its own sector's number, a checksum of everything behind it, and where the `pv_header` starts.
fn read(index: usize, bytes: &[u8], sector: u64, size: u64) -> Result<Physical> {
    let at = sector * SECTOR;
    if little(bytes, 8, 8) != sector {
        let message =
            format!("the label in sector {sector} says that it lies in sector {}", little(bytes, 8, 8));
        return Err(Error::corrupt(at, message));
    }
    if u64::from(checksum(bytes.get(20..).unwrap_or_default())) != little(bytes, 16, 4) {
        return Err(Error::corrupt(at, format!("the checksum of the label in sector {sector} is wrong")));
    }
    let start = little(bytes, 20, 4) as usize;
    let header = bytes.get(start..).unwrap_or_default();
    let uuid = header.get(..32).filter(|uuid| uuid.iter().all(u8::is_ascii_graphic));
    let uuid = uuid.ok_or_else(|| Error::corrupt(at, "the physical volume has no readable uuid"))?;
    let (_data, next) = ranges(header, 40).ok_or_else(|| endless(at))?;
    let (areas, _) = ranges(header, next).ok_or_else(|| endless(at))?;
    if areas.len() > AREAS_MOST {
        return Err(Error::corrupt(
            at,
            format!("{} metadata areas, at most {AREAS_MOST} are possible", areas.len()),
        ));
    }
    if areas.iter().any(|area| area.offset.checked_add(area.length).is_none_or(|end| end > size)) {
        return Err(Error::corrupt(at, format!("a metadata area lies beyond the device's end at {size}")));
    }
    Ok(Physical { device: index, uuid: String::from_utf8_lossy(uuid).into(), areas })
}

fn endless(at: u64) -> Error {
    Error::corrupt(at, "the list of areas runs out of the label's sector")
}

/// Pairs of offset and size up to a pair of zeroes, and where what follows them starts.
fn ranges(header: &[u8], mut at: usize) -> Option<(Vec<Range>, usize)> {
    let mut found = Vec::new();
    loop {
        let pair = header.get(at..at.checked_add(16)?)?;
        let range = Range { offset: little(pair, 0, 8), length: little(pair, 8, 8) };
        at += 16;
        if range.offset == 0 && range.length == 0 {
            return Some((found, at));
        }
        found.push(range);
    }
}

/// A superblock of Linux' MD: version 0.90 at the device's end, 1.0 there or 1.2 at 4 KiB, which say where they are
/// (`md_p.h`).
fn is_array_member(device: &dyn Blob) -> Result<bool> {
    const MAGIC: [u8; 4] = [0xfc, 0x4e, 0x2b, 0xa9];
    const LENGTH: u32 = 160;
    let end = device.size();
    let early = (end & !0xffff).checked_sub(0x10000);
    let late = (end & !511).checked_sub(8192).map(|at| at & !4095);
    for (at, version) in [(early, 0), (late, 1), (Some(4096), 1)] {
        let Some(at) = at.filter(|at| at + u64::from(LENGTH) <= end) else { continue };
        let block = device.read(at, LENGTH)?;
        let here = version == 0 || little(&block, 144, 8) == at / SECTOR;
        if block.starts_with(&MAGIC) && little(&block, 4, 4) == version && here {
            return Ok(true);
        }
    }
    Ok(false)
}
