//! What the operator chooses of a new image.

use crate::metadata::{BLOCK_LEAST, BLOCK_MOST, SECTORS, SIZE_MOST};
use wherry_sdk::image::{Uuid, parse_size};
use wherry_sdk::{Error, ErrorKind, Fact, Result};

/// Options of a new image.
pub(crate) struct Options {
    pub(crate) fixed: bool,
    block: Option<u64>,
    pub(crate) sector: u64,
    physical: Option<u64>,
    /// The disk's identity, as its guest sees it.
    pub(crate) uuid: Uuid,
    data_uuid: Option<Uuid>,
}

impl Options {
    pub(crate) fn read(facts: &[Fact]) -> Result<Self> {
        let [sector, _] = SECTORS;
        let mut options =
            Self { fixed: false, block: None, sector, physical: None, uuid: Uuid::NIL, data_uuid: None };
        for Fact { key, value } in facts {
            let sector = || parse_size(value).filter(|size| SECTORS.contains(size));
            let known = match key.as_str() {
                "subformat" => {
                    options.fixed = value == "fixed";
                    matches!(value.as_str(), "dynamic" | "fixed").then_some(())
                }
                "block-size" => {
                    let size = parse_size(value).filter(|size| size.is_power_of_two());
                    options.block = size.filter(|size| (BLOCK_LEAST..=BLOCK_MOST).contains(size));
                    options.block.map(|_| ())
                }
                "sector-size" => sector().map(|size| options.sector = size),
                "physical-sector-size" => sector().map(|size| options.physical = Some(size)),
                "uuid" => Uuid::parse(value).map(|uuid| options.uuid = uuid),
                "data-uuid" => Uuid::parse(value).map(|uuid| options.data_uuid = Some(uuid)),
                _ => return Err(invalid(format!("vhdx has no option `{key}`"))),
            };
            known.ok_or_else(|| invalid(format!("{key} `{value}`: {} is needed", expected(key))))?;
        }
        if options.physical() < options.sector {
            let sector = options.sector;
            return Err(invalid(format!("physical-sector-size is less than the sector-size of {sector}")));
        }
        Ok(options)
    }

    pub(crate) fn physical(&self) -> u64 {
        self.physical.unwrap_or(self.sector)
    }

    /// What identifies the content.
    pub(crate) fn data_uuid(&self) -> Uuid {
        self.data_uuid.unwrap_or(self.uuid)
    }

    /// The size of the disk, in whole sectors.
    pub(crate) fn size(&self, wanted: u64) -> Result<u64> {
        let size = wanted.checked_next_multiple_of(self.sector).filter(|size| *size <= SIZE_MOST);
        size.ok_or_else(|| invalid(format!("{wanted} bytes are more than the 64 TiB that a VHDX can have")))
    }

    /// Unless said, what QEMU takes for a disk of this size: small files for small disks, and a table that fits into the
    /// memory of those who load all of it, 8 MiB for 64 TiB.
    pub(crate) fn block(&self, size: u64) -> u64 {
        self.block.unwrap_or(match size {
            0..=0x4000_0000 => 8 << 20,
            0x4000_0001..=0x19_0000_0000 => 16 << 20,
            0x19_0000_0001..=0x2000_0000_0000 => 32 << 20,
            _ => 64 << 20,
        })
    }
}

fn expected(key: &str) -> &'static str {
    match key {
        "subformat" => "`dynamic` or `fixed`",
        "block-size" => "a power of two from 1M to 256M",
        "sector-size" | "physical-sector-size" => "512 or 4096",
        _ => "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx",
    }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}
