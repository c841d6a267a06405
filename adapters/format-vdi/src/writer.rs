//! Placement: a new dynamic image.
//!
//! ```text
//! | header | block map | to the next MiB | blocks in the disk's order |
//! ```

use crate::header::{BLOCKS_MOST, FREE, Header, Kind, LENGTH, SECTOR};
use wherry_sdk::format::{Codec, Ending, Patch, Shape, Unit};
use wherry_sdk::image::{Blocks, Uuid};
use wherry_sdk::{Error, ErrorKind, Fact, FormatWriter, Result};

/// The only block size that QEMU creates or opens by default, and VirtualBox's.
const BLOCK: u32 = 1 << 20;
/// Entries of the map in one page.
const PAGE: u64 = (1 << 20) / 4;

/// A VDI image in the making.
pub struct Writer {
    size: u64,
    uuid: Uuid,
    data: u64,
    blocks: Blocks,
}

impl FormatWriter for Writer {
    /// `uuid`: the image's identity; VirtualBox does not take two images with the same one.
    fn create(virtual_size: u64, options: &[Fact]) -> Result<Self> {
        let invalid = |message: String| Error::new(ErrorKind::InvalidInput, message);
        let mut uuid = Uuid::NIL;
        for option in options {
            uuid = match option.key.as_str() {
                "uuid" => Uuid::parse(&option.value).ok_or_else(|| {
                    invalid(format!(
                        "uuid `{}`: xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx is needed",
                        option.value
                    ))
                })?,
                other => return Err(invalid(format!("vdi has no option `{other}`"))),
            };
        }
        let size = virtual_size.checked_next_multiple_of(SECTOR).unwrap_or(u64::MAX);
        let count = size.div_ceil(BLOCK.into());
        if count > BLOCKS_MOST {
            return Err(invalid(format!(
                "{virtual_size} bytes are more than the {BLOCKS_MOST} MiB that a VDI image can map"
            )));
        }
        let data = (LENGTH + count * 4).next_multiple_of(BLOCK.into());
        Ok(Self { size, uuid, data, blocks: Blocks::new(size, BLOCK.into(), BLOCK) })
    }

    fn shape(&self) -> Shape {
        Shape { unit: BLOCK, codec: Codec::None, level: 0, align: 1, plain_if_larger: false, lead: 0 }
    }

    fn place(&mut self, units: &[Unit]) -> Result<Vec<u64>> {
        let blocks = &mut self.blocks;
        let data = self.data;
        units.iter().map(|unit| Ok(data + blocks.place(unit)?.0 * u64::from(BLOCK))).collect()
    }

    fn finish(&mut self, page: u32) -> Result<Ending> {
        let count = self.size.div_ceil(BLOCK.into());
        let first = u64::from(page) * PAGE;
        let more = first < count;
        let patch = if more {
            let numbers = self.blocks.numbers(first).take(PAGE.min(count - first) as usize);
            let bytes = numbers
                .flat_map(|number| number.map_or(FREE, |number| number as u32).to_le_bytes())
                .collect();
            Patch { offset: LENGTH + first * 4, bytes }
        } else {
            Patch { offset: 0, bytes: self.header(count).encode() }
        };
        let length = self.data + self.blocks.count() * u64::from(BLOCK);
        Ok(Ending { patches: vec![patch], length, more })
    }
}

impl Writer {
    fn header(&self, blocks: u64) -> Header {
        Header {
            kind: Kind::Dynamic,
            description: String::new(),
            map: LENGTH,
            data: self.data,
            size: self.size,
            block: BLOCK,
            extra: 0,
            blocks,
            allocated: self.blocks.count() as u32,
            uuid: self.uuid,
            parent: Uuid::NIL,
        }
    }
}
