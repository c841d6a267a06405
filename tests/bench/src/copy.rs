//! Copies with the library, as the product does.

use anyhow::{Result, anyhow};
use block::{Disk, FileDisk};
use channels::{Address, NbdDisk};
use format_qcow2::Qcow2;
use std::path::Path;
use transfer::{Codec, Ending, Error, ErrorKind, Layout, Options, Raw, Shape, Unit};
use wherry_sdk::format as contract;
use wherry_sdk::{DiskFormat, FormatWriter};

/// A format adapter, linked natively.
struct Native<W>(W);

fn refused(e: wherry_sdk::Error) -> Error {
    Error::new(ErrorKind::Layout, e.message)
}

fn codec(codec: contract::Codec) -> Codec {
    match codec {
        contract::Codec::Deflate => Codec::Deflate,
        contract::Codec::Zlib => Codec::Zlib,
        contract::Codec::Zstd => Codec::Zstd,
        _ => Codec::None,
    }
}

impl<W: FormatWriter + Send> Layout for Native<W> {
    fn shape(&self) -> Shape {
        let contract::Shape { unit, codec: said, level, align, plain_if_larger, lead } = self.0.shape();
        Shape { unit, codec: codec(said), level, align, plain_if_larger, lead }
    }
    fn place(&mut self, units: &[Unit]) -> transfer::Result<Vec<u64>> {
        let applied = self.0.shape().codec;
        let unit = |unit: &Unit| {
            let codec = if unit.compressed { applied } else { contract::Codec::None };
            contract::Unit { index: unit.index, stored: unit.stored, codec }
        };
        let units: Vec<_> = units.iter().map(unit).collect();
        self.0.place(&units).map_err(refused)
    }
    fn finish(&mut self, page: u32) -> transfer::Result<Ending> {
        let ending = self.0.finish(page).map_err(refused)?;
        let patches = ending.patches.into_iter().map(|patch| (patch.offset, patch.bytes)).collect();
        Ok(Ending { patches, length: ending.length, more: ending.more })
    }
}

fn layout(format: &str, length: u64) -> Result<Box<dyn Layout>> {
    match format {
        "raw" => Ok(Box::new(Raw { length })),
        "qcow2" => {
            let writer = <Qcow2 as DiskFormat>::Writer::create(length, &[]);
            Ok(Box::new(Native(writer.map_err(|e| anyhow!(e.message))?)))
        }
        other => Err(anyhow!("no format {other:?}: raw or qcow2")),
    }
}

/// `source`: a file, or an export's address.
pub fn run(format: &str, source: &str, target: &Path) -> Result<()> {
    let source: Box<dyn Disk> = match Address::is_uri(source) {
        true => Box::new(NbdDisk::open(&Address::parse(source)?)?),
        false => Box::new(FileDisk::open_read(source)?),
    };
    let layout = layout(format, source.length())?;
    transfer::run(source.as_ref(), target, layout, &Options::default(), &|_| ())?;
    Ok(())
}
