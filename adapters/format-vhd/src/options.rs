//! What the operator chooses of a new image.

use crate::footer::SECTOR;
use wherry_sdk::image::{Uuid, parse_size};
use wherry_sdk::{Error, ErrorKind, Fact, Result};

/// 2000-01-01 00:00:00 UTC in Unix seconds, where a VHD's time begins.
pub(crate) const EPOCH: u64 = 946_684_800;
/// 2040 GiB (QEMU: `VHD_MAX_SECTORS`).
pub(crate) const SIZE_MOST: u64 = 2040 << 30;

/// Options of a new image.
pub(crate) struct Options {
    pub(crate) fixed: bool,
    /// What the size is rounded up to.
    pub(crate) align: u64,
    pub(crate) uuid: Uuid,
    /// Seconds since [`EPOCH`].
    pub(crate) time: u32,
}

impl Options {
    pub(crate) fn read(facts: &[Fact]) -> Result<Self> {
        let mut options = Self { fixed: false, align: SECTOR, uuid: Uuid::NIL, time: 0 };
        for Fact { key, value } in facts {
            let known = match key.as_str() {
                "subformat" => ["dynamic", "fixed"]
                    .iter()
                    .position(|known| known == value)
                    .map(|which| options.fixed = which == 1),
                "align" => parse_size(value)
                    .filter(|align| align.is_power_of_two() && (SECTOR..=1 << 30).contains(align))
                    .map(|align| options.align = align),
                "uuid" => Uuid::parse(value).map(|uuid| options.uuid = uuid),
                "time" => value
                    .parse::<u64>()
                    .ok()
                    .and_then(|time| u32::try_from(time.checked_sub(EPOCH)?).ok())
                    .map(|time| options.time = time),
                _ => return Err(invalid(format!("vhd has no option `{key}`"))),
            };
            known.ok_or_else(|| invalid(format!("{key} `{value}`: {} is needed", expected(key))))?;
        }
        Ok(options)
    }

    /// The size of the disk, rounded up.
    pub(crate) fn size(&self, wanted: u64) -> Result<u64> {
        let size = wanted.checked_next_multiple_of(self.align).filter(|size| *size <= SIZE_MOST);
        size.ok_or_else(|| {
            invalid(format!("{wanted} bytes are more than the 2040 GiB that a VHD can have: use VHDX"))
        })
    }
}

fn expected(key: &str) -> &'static str {
    match key {
        "subformat" => "`dynamic` or `fixed`",
        "align" => "a power of two from 512 to 1G",
        "uuid" => "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx",
        _ => "a time in Unix seconds, 2000 to 2136,",
    }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}
