//! The label's sector: the first of a SPARC disk, big-endian (`struct sun_disklabel`); the second of a Solaris partition on
//! x86, little-endian (`struct dk_label` with 16 slices). Both end with a magic number and the XOR of their halfwords.

use wherry_sdk::bytes::{be16_at, be32_at, field, text, u16_at, u32_at};
use wherry_sdk::{Blob, Error, Result};

/// Bytes of a label, and of the sectors that SPARC's counts.
pub const SECTOR: u64 = 512;
/// Of the table of contents in either label.
const SANITY: u32 = 0x600d_deee;
/// In front of the sum.
const MAGIC: u16 = 0xdabe;
/// The only version there is.
const VERSION: u32 = 1;

/// Whose label it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Sparc,
    X86,
}

impl Kind {
    /// What facts call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sparc => "vtoc-sparc",
            Self::X86 => "vtoc-x86",
        }
    }
}

/// A slice in use, in bytes of the device.
#[derive(Debug, PartialEq, Eq)]
pub struct Slice {
    pub number: u32,
    pub tag: u16,
    pub flag: u16,
    pub start: u64,
    pub length: u64,
}

/// A label.
#[derive(Debug)]
pub struct Label {
    pub kind: Kind,
    /// the volume's name, often none
    pub volume: String,
    pub slices: Vec<Slice>,
    /// the label's bytes
    pub bytes: Vec<u8>,
}

/// The label of a device, if it has one.
pub fn read(device: &dyn Blob) -> Result<Option<Label>> {
    if device.size() < 2 * SECTOR {
        return Ok(None);
    }
    let head = device.read(0, 2 * SECTOR as u32)?;
    let (first, second) = head.split_at(SECTOR as usize);
    if be16_at(first, 508) == MAGIC {
        return checked(first, 0).and_then(|()| sparc(first)).map(Some);
    }
    if u32_at(second, 12) == SANITY && u16_at(second, 508) == MAGIC {
        return checked(second, SECTOR).and_then(|()| x86(second)).map(Some);
    }
    Ok(None)
}

fn checked(label: &[u8], at: u64) -> Result<()> {
    let sum = label.chunks(2).fold(0, |sum, half| sum ^ u16_at(half, 0));
    if sum == 0 { Ok(()) } else { Err(Error::corrupt(at, "its checksum is wrong")) }
}

/// Slices start at cylinders. Without a table of contents, which old labels do not have, nothing has a tag.
fn sparc(bytes: &[u8]) -> Result<Label> {
    let (sanity, version, count) = (be32_at(bytes, 188), be32_at(bytes, 128), be16_at(bytes, 140));
    let contents = sanity == SANITY && version == VERSION && count <= 8;
    if !contents && (sanity != 0 || version != 0 || count != 0) {
        return Err(Error::unsupported(format!(
            "its table of contents has version {version} and {count} slices"
        )));
    }
    let cylinder = u64::from(be16_at(bytes, 436)) * u64::from(be16_at(bytes, 438)) * SECTOR;
    if cylinder == 0 {
        return Err(Error::corrupt(436, "its cylinders have no sectors"));
    }
    let slice = |number: u32| {
        let (at, contents_at) = (444 + number as usize * 8, 142 + number as usize * 4);
        let told = |at: usize| if contents { be16_at(bytes, at) } else { 0 };
        Slice {
            number,
            tag: told(contents_at),
            flag: told(contents_at + 2),
            // Less than 2^73, which is beyond any device.
            start: u64::from(be32_at(bytes, at)).saturating_mul(cylinder),
            length: u64::from(be32_at(bytes, at + 4)) * SECTOR,
        }
    };
    let volume = if contents { text(field(bytes, 132, 8)) } else { String::new() };
    let count = if contents && count > 0 { u32::from(count) } else { 8 };
    Ok(Label::new(Kind::Sparc, volume, (0..count).map(slice), bytes))
}

/// Slices are relative to the partition.
fn x86(bytes: &[u8]) -> Result<Label> {
    let (version, sector, count) = (u32_at(bytes, 16), u64::from(u16_at(bytes, 28)), u16_at(bytes, 30));
    if version != VERSION || count > 16 || ![512, 4096].contains(&sector) {
        let message = format!("its version is {version}, with {count} slices and sectors of {sector} bytes");
        return Err(Error::unsupported(message));
    }
    let slice = |number: u32| {
        let at = 72 + number as usize * 12;
        Slice {
            number,
            tag: u16_at(bytes, at),
            flag: u16_at(bytes, at + 2),
            start: u64::from(u32_at(bytes, at + 4)) * sector,
            length: u64::from(u32_at(bytes, at + 8)) * sector,
        }
    };
    Ok(Label::new(Kind::X86, text(field(bytes, 20, 8)), (0..u32::from(count)).map(slice), bytes))
}

impl Label {
    fn new(kind: Kind, volume: String, slices: impl Iterator<Item = Slice>, bytes: &[u8]) -> Self {
        let volume = volume.trim().chars().filter(|one| !one.is_control()).collect();
        Self {
            kind,
            volume,
            slices: slices.filter(|slice| slice.length > 0).collect(),
            bytes: bytes.to_vec(),
        }
    }
}
