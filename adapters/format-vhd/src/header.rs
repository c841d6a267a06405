//! The dynamic header ("Dynamic Disk Header Format") and parent locators.

use crate::footer::{SECTOR, checksum};
use wherry_sdk::bytes::{big, field, put};
use wherry_sdk::image::Uuid;
use wherry_sdk::{Blob, Error, Result};

/// Bytes of a dynamic header.
pub(crate) const LENGTH: u64 = 1024;
const COOKIE: &[u8] = b"cxsparse";
const CHECKSUM_AT: usize = 36;
const LOCATORS_AT: usize = 576;
const LOCATORS: usize = 8;
const LOCATOR: usize = 24;
/// Windows paths have at most 32,767 characters.
const LOCATOR_BYTES_MOST: u64 = 64 << 10;

/// What the dynamic header says.
pub(crate) struct Header {
    /// Offset of the block allocation table.
    pub(crate) table: u64,
    pub(crate) entries: u64,
    pub(crate) block: u64,
    pub(crate) parent: Uuid,
    pub(crate) parent_name: String,
    /// Platform code and path.
    pub(crate) locators: Vec<(String, String)>,
}

impl Header {
    /// Reads and checks the header at `at`.
    pub(crate) fn read(image: &dyn Blob, at: u64) -> Result<Self> {
        if at.checked_add(LENGTH).is_none_or(|end| end > image.size()) {
            return Err(Error::corrupt(16, format!("the dynamic header at {at} lies beyond the file's end")));
        }
        let bytes = image.read(at, LENGTH as u32)?;
        if !bytes.starts_with(COOKIE) {
            return Err(Error::corrupt(at, "the dynamic header does not start with `cxsparse`"));
        }
        if big(&bytes, CHECKSUM_AT, 4) != u64::from(checksum(&bytes, CHECKSUM_AT)) {
            return Err(Error::corrupt(at, "the dynamic header's checksum is wrong"));
        }
        let mut parent = [0; 16];
        put(&mut parent, 0, field(&bytes, 40, 16));
        let header = Self {
            table: big(&bytes, 16, 8),
            entries: big(&bytes, 28, 4),
            block: big(&bytes, 32, 4),
            parent: Uuid(parent),
            parent_name: utf16(field(&bytes, 64, 512), u16::from_be_bytes),
            locators: locators(image, &bytes)?,
        };
        header.check(at, image.size())?;
        Ok(header)
    }

    fn check(&self, at: u64, file: u64) -> Result<()> {
        if !self.block.is_power_of_two() || self.block < SECTOR {
            let message = format!("VHD blocks of {} bytes: a power of two from 512 on is needed", self.block);
            return Err(Error::corrupt(at + 32, message));
        }
        if self.table.checked_add(self.entries * 4).is_none_or(|end| end > file)
            || !self.table.is_multiple_of(4)
        {
            let message =
                format!("the table of {} entries at {} does not fit the file", self.entries, self.table);
            return Err(Error::corrupt(at + 16, message));
        }
        Ok(())
    }

    /// Bytes of a block's sector bitmap, in whole sectors.
    pub(crate) fn bitmap(&self) -> u64 {
        (self.block / SECTOR).div_ceil(8).next_multiple_of(SECTOR)
    }

    /// The 1024 bytes of a header without a parent.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; LENGTH as usize];
        put(&mut bytes, 0, COOKIE);
        put(&mut bytes, 8, &u64::MAX.to_be_bytes());
        put(&mut bytes, 16, &self.table.to_be_bytes());
        put(&mut bytes, 24, &0x1_0000u32.to_be_bytes());
        put(&mut bytes, 28, &(self.entries as u32).to_be_bytes());
        put(&mut bytes, 32, &(self.block as u32).to_be_bytes());
        let sum = checksum(&bytes, CHECKSUM_AT);
        put(&mut bytes, CHECKSUM_AT, &sum.to_be_bytes());
        bytes
    }
}

/// Paths of the parent; what cannot be read is left out, as only people look at them.
fn locators(image: &dyn Blob, header: &[u8]) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for number in 0..LOCATORS {
        let at = LOCATORS_AT + number * LOCATOR;
        let (length, offset) = (big(header, at + 8, 4), big(header, at + 16, 8));
        let inside = offset.checked_add(length).is_some_and(|end| end <= image.size());
        if big(header, at, 4) == 0 || length == 0 || length > LOCATOR_BYTES_MOST || !inside {
            continue;
        }
        let bytes = image.read(offset, length as u32)?;
        let code = String::from_utf8_lossy(field(header, at, 4)).into_owned();
        let path = match code.as_str() {
            "W2ru" | "W2ku" => utf16(&bytes, u16::from_le_bytes),
            _ => String::from_utf8_lossy(&bytes).into_owned(),
        };
        found.push((code, path));
    }
    Ok(found)
}

/// Text up to its first NUL.
fn utf16(bytes: &[u8], order: fn([u8; 2]) -> u16) -> String {
    let units = bytes.as_chunks().0.iter().map(|pair| order(*pair));
    let units: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
    String::from_utf16_lossy(&units)
}
