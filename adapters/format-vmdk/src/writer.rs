//! Placement: grains in the order in which they come.

use crate::bytes::SECTOR;
use crate::map::{GRAIN, GRAIN_SECTORS, Map};
use crate::monolithic::Monolithic;
use crate::options::{Options, Subformat};
use crate::stream::{FIRST_GRAIN, Stream};
use wherry_sdk::format::{Codec, Ending, Patch, Shape, Unit};
use wherry_sdk::{Error, ErrorKind, Fact, FormatWriter, Result};

/// Bytes in front of a compressed grain: its first sector in the disk, and its stored size.
const MARKER: u64 = 12;
/// Sectors of a grain's marker and data; zlib makes a grain at most a sector longer than it was.
const SECTORS_MOST: u64 = 255;
/// Largest disk that VMware makes is 62 TiB.
const SIZE_MOST: u64 = 64 << 40;
/// Table entries are sectors in 32 bits.
const FILE_SECTORS_MOST: u64 = 1 << 32;
/// Largest page of tables, less than what could follow the grains.
const TAIL_SECTORS: u64 = 16 << 20;

/// A VMDK image in the making.
pub struct Writer {
    /// Sectors of the disk.
    capacity: u64,
    options: Options,
    map: Map,
    /// Sector behind the last grain.
    end: u64,
}

impl FormatWriter for Writer {
    fn create(virtual_size: u64, options: &[Fact]) -> Result<Self> {
        let options = Options::read(options)?;
        if virtual_size == 0 || virtual_size > SIZE_MOST {
            let message = format!("a disk of {virtual_size} bytes: a VMDK has 1 sector to 64 TiB");
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let capacity = virtual_size.div_ceil(SECTOR);
        let end = match options.subformat {
            Subformat::MonolithicSparse => Monolithic::new(capacity).first_grain,
            Subformat::StreamOptimized => FIRST_GRAIN,
        };
        Ok(Self { capacity, options, map: Map::default(), end })
    }

    fn shape(&self) -> Shape {
        let unit = GRAIN as u32;
        match self.options.subformat {
            Subformat::MonolithicSparse => {
                Shape { unit, codec: Codec::None, level: 0, align: 1, plain_if_larger: true, lead: 0 }
            }
            Subformat::StreamOptimized => Shape {
                unit,
                codec: Codec::Zlib,
                level: self.options.level,
                align: SECTOR as u32,
                plain_if_larger: false,
                lead: MARKER as u32,
            },
        }
    }

    fn place(&mut self, units: &[Unit]) -> Result<Vec<u64>> {
        units.iter().map(|unit| self.place_one(unit)).collect()
    }

    fn heads(&mut self, units: &[Unit]) -> Result<Vec<u8>> {
        let head = |unit: &Unit| {
            let mut head = unit.index.wrapping_mul(GRAIN_SECTORS).to_le_bytes().to_vec();
            head.extend(unit.stored.to_le_bytes());
            head
        };
        let leads = self.options.subformat == Subformat::StreamOptimized;
        Ok(if leads { units.iter().flat_map(head).collect() } else { Vec::new() })
    }

    fn finish(&mut self, page: u32) -> Result<Ending> {
        let (header, length, tables) = match self.options.subformat {
            Subformat::MonolithicSparse => {
                let layout = Monolithic::new(self.capacity);
                (layout.header(), self.end * SECTOR, layout.page(page.into(), &self.map))
            }
            Subformat::StreamOptimized => {
                let layout = Stream::new(self.capacity, self.end, &self.map);
                (layout.header(false), layout.length(), layout.page(page.into(), &self.map))
            }
        };
        let more = tables.is_some();
        let (offset, bytes) = tables.unwrap_or_else(|| {
            let mut bytes = header.encode();
            bytes.extend(self.options.descriptor(self.capacity));
            (0, bytes)
        });
        Ok(Ending { patches: vec![Patch { offset, bytes }], length, more })
    }
}

impl Writer {
    fn place_one(&mut self, unit: &Unit) -> Result<u64> {
        let refuse =
            |what: String| Err(Error::new(ErrorKind::InvalidInput, format!("unit {}: {what}", unit.index)));
        if unit.index >= self.capacity.div_ceil(GRAIN_SECTORS) {
            return refuse(format!("beyond the disk's {} sectors", self.capacity));
        }
        let shape = self.shape();
        if unit.codec != shape.codec {
            return refuse(format!("{:?} is not this image's codec, {:?}", unit.codec, shape.codec));
        }
        let (lead, stored) = (u64::from(shape.lead), u64::from(unit.stored));
        let most = if lead == 0 { GRAIN } else { SECTORS_MOST * SECTOR - lead };
        if stored == 0 || stored > most {
            return refuse(format!("{stored} bytes to store: 1 to {most} are possible"));
        }
        let sectors = if lead == 0 { GRAIN_SECTORS } else { (lead + stored).div_ceil(SECTOR) };
        if self.end + sectors > FILE_SECTORS_MOST - TAIL_SECTORS {
            let message = "a VMDK file holds no more than 2 TiB: take another format for so much data";
            return Err(Error::new(ErrorKind::NoSpace, message));
        }
        self.map.add(unit.index, self.end as u32, sectors as u8)?;
        let offset = self.end * SECTOR + lead;
        self.end += sectors;
        Ok(offset)
    }
}
