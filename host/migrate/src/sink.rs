//! A format adapter's writer as the pump's layout: the adapter says where units go, the host puts them there.

use crate::{Error, Result};
use runtime::{Adapters, FormatWriter, contract};
use transfer::{Codec, Ending, ErrorKind, Layout, Part, Shape, Unit};

/// A new image in the making.
pub(crate) struct Image {
    writer: FormatWriter,
    shape: Shape,
    codec: contract::Codec,
    parts: Vec<Part>,
}

impl Image {
    /// An image of `size` bytes in a format such as `format-qcow2`.
    pub(crate) fn create(sink: &contract::FileSink, size: u64, adapters: &Adapters) -> Result<Self> {
        let adapter = adapters.get(&sink.format)?;
        let mut writer = FormatWriter::create(adapter, size, &sink.options)?;
        let parts = writer.parts(&sink.name)?;
        let parts = parts.into_iter().map(|part| Part { name: part.name, start: part.start }).collect();
        let said = writer.shape()?;
        let codec = match said.codec {
            contract::Codec::None => Codec::None,
            contract::Codec::Deflate => Codec::Deflate,
            contract::Codec::Zlib => Codec::Zlib,
            contract::Codec::Zstd => Codec::Zstd,
            other => {
                let message =
                    format!("{} wants units packed by {other:?}, which this host cannot", sink.format);
                return Err(Error::failed(message));
            }
        };
        let shape = Shape {
            unit: said.unit,
            codec,
            level: said.level,
            align: said.align,
            plain_if_larger: said.plain_if_larger,
            lead: said.lead,
        };
        Ok(Self { writer, shape, codec: said.codec, parts })
    }
}

impl Image {
    /// Units in the contract's words.
    fn said(&self, units: &[Unit]) -> Vec<contract::Unit> {
        let codec = |unit: &Unit| if unit.compressed { self.codec } else { contract::Codec::None };
        let said =
            |unit: &Unit| contract::Unit { index: unit.index, stored: unit.stored, codec: codec(unit) };
        units.iter().map(said).collect()
    }
}

fn refused(e: runtime::Error) -> transfer::Error {
    transfer::Error::new(ErrorKind::Layout, e.to_string())
}

impl Layout for Image {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn place(&mut self, units: &[Unit]) -> transfer::Result<Vec<u64>> {
        self.writer.place(&self.said(units)).map_err(refused)
    }

    fn heads(&mut self, units: &[Unit]) -> transfer::Result<Vec<u8>> {
        self.writer.heads(&self.said(units), self.shape.lead).map_err(refused)
    }

    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn lengths(&mut self) -> transfer::Result<Vec<u64>> {
        match self.parts.len() {
            0 => Ok(Vec::new()),
            count => self.writer.lengths(count).map_err(refused),
        }
    }

    fn finish(&mut self, page: u32) -> transfer::Result<Ending> {
        let ending = self.writer.finish(page).map_err(refused)?;
        let patches = ending.patches.into_iter().map(|patch| (patch.offset, patch.bytes)).collect();
        Ok(Ending { patches, length: ending.length, more: ending.more })
    }
}
