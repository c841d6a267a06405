//! File type identifier and headers (2.2.1, 2.2.2); all numbers are little-endian.

use wherry_sdk::bytes::{field, little, put};
use wherry_sdk::checksum::crc32c;
use wherry_sdk::image::Uuid;
use wherry_sdk::{Blob, Error, Result};

pub(crate) const MIB: u64 = 1 << 20;
/// First bytes of every image.
pub(crate) const SIGNATURE: &[u8] = b"vhdxfile";
const CREATOR: usize = 512;
/// Where the two headers are.
pub(crate) const HEADERS: [u64; 2] = [64 << 10, 128 << 10];
const LENGTH: u32 = 4096;
const HEAD: &[u8] = b"head";
/// Every structure with a checksum has it here.
pub(crate) const CHECKSUM_AT: usize = 4;

/// A range of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

impl Region {
    /// Behind the header section, in whole MiB, inside a file of `file` bytes.
    pub(crate) fn is_sound(self, file: u64) -> bool {
        let end = self.offset.checked_add(self.length);
        self.offset >= MIB
            && self.offset.is_multiple_of(MIB)
            && self.length.is_multiple_of(MIB)
            && end.is_some_and(|end| end <= file)
    }

    pub(crate) fn overlaps(self, other: Self) -> bool {
        let end = |region: Self| region.offset.saturating_add(region.length);
        self.offset < end(other) && other.offset < end(self)
    }
}

/// The current header.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) sequence: u64,
    /// What children call their parent by (`parent_linkage`).
    pub(crate) data_write: Uuid,
    /// Nil: the log is empty.
    pub(crate) log_guid: Uuid,
    pub(crate) log: Region,
}

impl Header {
    /// The only sound one, or the one with the larger sequence number.
    pub(crate) fn read(image: &dyn Blob) -> Result<Self> {
        if image.size() < MIB {
            return Err(Error::corrupt(0, "the file ends within the header section of 1 MiB"));
        }
        if image.read(0, SIGNATURE.len() as u32)? != SIGNATURE {
            return Err(Error::corrupt(0, "the file does not start with `vhdxfile`"));
        }
        let [first, second] = HEADERS.map(|at| image.read(at, LENGTH));
        let sound = |bytes: &Vec<u8>| bytes.starts_with(HEAD) && is_sealed(bytes);
        let (first, second) = (Some(first?).filter(sound), Some(second?).filter(sound));
        let current = match (first, second) {
            (Some(one), Some(two)) => newer(one, two)?,
            (one, two) => one.or(two).ok_or_else(|| {
                Error::corrupt(HEADERS[0], "neither header has the signature `head` and its checksum")
            })?,
        };
        Self::parse(&current)
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        let (log_version, version) = (little(bytes, 64, 2), little(bytes, 66, 2));
        let header = Self {
            sequence: little(bytes, 8, 8),
            data_write: Uuid::from_guid(field(bytes, 32, 16)),
            log_guid: Uuid::from_guid(field(bytes, 48, 16)),
            log: Region { offset: little(bytes, 72, 8), length: little(bytes, 68, 4) },
        };
        if version != 1 || (log_version != 0 && header.log_guid != Uuid::NIL) {
            let message =
                format!("VHDX version {version} with a log of version {log_version}: 1 and 0 are known");
            return Err(Error::unsupported(message));
        }
        Ok(header)
    }

    /// The 4096 bytes, with `data_write` as the file's identity too.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; LENGTH as usize];
        put(&mut bytes, 0, HEAD);
        put(&mut bytes, 8, &self.sequence.to_le_bytes());
        put(&mut bytes, 16, &self.data_write.guid());
        put(&mut bytes, 32, &self.data_write.guid());
        put(&mut bytes, 48, &self.log_guid.guid());
        put(&mut bytes, 66, &1u16.to_le_bytes());
        put(&mut bytes, 68, &(self.log.length as u32).to_le_bytes());
        put(&mut bytes, 72, &self.log.offset.to_le_bytes());
        seal(&mut bytes);
        bytes
    }
}

/// Disk2vhd writes the same header twice, which QEMU takes too.
fn newer(one: Vec<u8>, two: Vec<u8>) -> Result<Vec<u8>> {
    let sequence = |bytes: &[u8]| little(bytes, 8, 8);
    match sequence(&one).cmp(&sequence(&two)) {
        core::cmp::Ordering::Less => Ok(two),
        core::cmp::Ordering::Equal if one != two => {
            Err(Error::corrupt(HEADERS[0] + 8, "two different headers have the same sequence number"))
        }
        _ => Ok(one),
    }
}

/// The CRC-32C with zeroes in the place of the checksum.
pub(crate) fn checksum(bytes: &[u8]) -> u32 {
    let (head, rest) = (field(bytes, 0, CHECKSUM_AT), bytes.get(CHECKSUM_AT + 4..).unwrap_or_default());
    !crc32c(crc32c(crc32c(!0, head), &[0; 4]), rest)
}

pub(crate) fn is_sealed(bytes: &[u8]) -> bool {
    little(bytes, CHECKSUM_AT, 4) == u64::from(checksum(bytes))
}

pub(crate) fn seal(bytes: &mut [u8]) {
    let sum = checksum(bytes);
    put(bytes, CHECKSUM_AT, &sum.to_le_bytes());
}

/// Who made the file, for people.
pub(crate) fn creator(image: &dyn Blob) -> Result<String> {
    Ok(utf16(&image.read(SIGNATURE.len() as u64, CREATOR as u32)?))
}

/// The file type identifier.
pub(crate) fn identifier(creator: &str) -> Vec<u8> {
    let text = creator.encode_utf16().take(CREATOR / 2).flat_map(u16::to_le_bytes);
    let mut bytes: Vec<u8> = SIGNATURE.iter().copied().chain(text).collect();
    bytes.resize(SIGNATURE.len() + CREATOR, 0);
    bytes
}

/// Text up to its first NUL.
pub(crate) fn utf16(bytes: &[u8]) -> String {
    let units = bytes.as_chunks().0.iter().map(|pair| u16::from_le_bytes(*pair));
    let units: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
    String::from_utf16_lossy(&units)
}
