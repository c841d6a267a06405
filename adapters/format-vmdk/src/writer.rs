//! Placement: grains in the order in which they come, or where the disk has them.

use crate::bytes::SECTOR;
use crate::map::{GRAIN, GRAIN_SECTORS};
use crate::monolithic::Monolithic;
use crate::options::{Options, Subformat, file_name};
use crate::share::{Share, cut, grains, names};
use crate::stream::Stream;
use wherry_sdk::format::{Codec, Ending, Part, Patch, Shape, Unit};
use wherry_sdk::{Error, ErrorKind, Fact, FormatWriter, Result};

/// Bytes in front of a compressed grain: its first sector in the disk, and its stored size.
const MARKER: u64 = 12;
/// Sectors of a grain's marker and data; zlib makes a grain at most a sector longer than it was.
const SECTORS_MOST: u64 = 255;
/// Largest disk that VMware makes is 62 TiB.
const SIZE_MOST: u64 = 64 << 40;

/// A VMDK image in the making.
pub struct Writer {
    /// Sectors of the disk.
    capacity: u64,
    options: Options,
    /// One, unless the disk is split.
    shares: Vec<Share>,
    /// Of the files beside the descriptor.
    names: Vec<String>,
}

impl FormatWriter for Writer {
    fn create(virtual_size: u64, options: &[Fact]) -> Result<Self> {
        let options = Options::read(options)?;
        if virtual_size == 0 || virtual_size > SIZE_MOST {
            let message = format!("a disk of {virtual_size} bytes: a VMDK has 1 sector to 64 TiB");
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let capacity = virtual_size.div_ceil(SECTOR);
        let shares = cut(capacity, options.subformat)?;
        let names = names(&options.file_name, options.subformat, shares.len());
        Ok(Self { capacity, options, shares, names })
    }

    fn shape(&self) -> Shape {
        let unit = GRAIN as u32;
        match self.options.subformat {
            Subformat::StreamOptimized => Shape {
                unit,
                codec: Codec::Zlib,
                level: self.options.level,
                align: SECTOR as u32,
                plain_if_larger: false,
                lead: MARKER as u32,
            },
            _ => Shape { unit, codec: Codec::None, level: 0, align: 1, plain_if_larger: true, lead: 0 },
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

    fn parts(&mut self, name: &str) -> Result<Vec<Part>> {
        if self.names.is_empty() {
            return Ok(Vec::new());
        }
        self.names = names(&file_name(name)?, self.options.subformat, self.shares.len());
        Ok(self.shares.iter().zip(&self.names).map(|(share, name)| share.part(name)).collect())
    }

    fn lengths(&mut self) -> Result<Vec<u64>> {
        let parts = self.shares.iter().take(self.names.len());
        Ok(parts.map(|share| share.length(self.options.subformat)).collect())
    }

    fn finish(&mut self, page: u32) -> Result<Ending> {
        let Some(first) = self.shares.first() else { return Ok(self.last(Vec::new(), 0)) };
        let (header, length, tables) = match self.options.subformat {
            Subformat::MonolithicSparse => {
                let layout = Monolithic::new(self.capacity, true);
                (layout.header(), first.length(self.options.subformat), layout.page(page.into(), &first.map))
            }
            Subformat::StreamOptimized => {
                let layout = Stream::new(self.capacity, first.end, &first.map);
                (layout.header(false), layout.length(), layout.page(page.into(), &first.map))
            }
            Subformat::TwoGbMaxExtentSparse => {
                return Ok(match self.shares.get(page as usize) {
                    Some(share) => Ending { patches: share.tables(), length: 0, more: true },
                    None => self.last(Vec::new(), 0),
                });
            }
            Subformat::MonolithicFlat | Subformat::TwoGbMaxExtentFlat => return Ok(self.last(Vec::new(), 0)),
        };
        Ok(match tables {
            Some((offset, bytes)) => Ending { patches: vec![Patch { offset, bytes }], length, more: true },
            None => self.last(header.encode(), length),
        })
    }
}

impl Writer {
    /// The last page: the descriptor behind `header`, in a file of at least so many bytes.
    fn last(&self, mut header: Vec<u8>, length: u64) -> Ending {
        let own = [self.options.file_name.clone()];
        let names = if self.names.is_empty() { &own[..] } else { &self.names };
        let lines: String =
            self.shares.iter().zip(names).map(|(share, name)| share.line(name, &self.options)).collect();
        header.extend(self.options.descriptor(self.capacity, &lines));
        let length = length.max(header.len() as u64);
        Ending { patches: vec![Patch { offset: 0, bytes: header }], length, more: false }
    }

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
        let grains = grains(self.options.subformat);
        let (number, index) = (unit.index / grains, unit.index % grains);
        let Some(share) = self.shares.get_mut(number as usize) else {
            return refuse("in none of the files".into());
        };
        if self.options.subformat.is_flat() {
            return Ok(share.flat(index));
        }
        let sectors = if lead == 0 { GRAIN_SECTORS } else { (lead + stored).div_ceil(SECTOR) };
        Ok(share.append(index, sectors)? + lead)
    }
}
