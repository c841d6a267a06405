//! Placement: each unit at its own offset.

use wherry_sdk::format::{Codec, Ending, Shape, Unit};
use wherry_sdk::{Error, ErrorKind, Fact, FormatWriter, Result};

const UNIT: u32 = 64 << 10;

/// A raw image in the making.
pub struct Writer {
    size: u64,
}

impl FormatWriter for Writer {
    fn create(virtual_size: u64, options: &[Fact]) -> Result<Self> {
        match options.first() {
            None => Ok(Self { size: virtual_size }),
            Some(option) => {
                Err(Error::new(ErrorKind::InvalidInput, format!("raw has no option `{}`", option.key)))
            }
        }
    }

    fn shape(&self) -> Shape {
        Shape { unit: UNIT, codec: Codec::None, level: 0, align: 1, plain_if_larger: false, lead: 0 }
    }

    fn place(&mut self, units: &[Unit]) -> Result<Vec<u64>> {
        let beyond = |unit: &&Unit| unit.index >= self.size.div_ceil(UNIT.into());
        if let Some(unit) = units.iter().find(beyond) {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("unit {} lies beyond the disk", unit.index),
            ));
        }
        Ok(units.iter().map(|unit| unit.index * u64::from(UNIT)).collect())
    }

    fn finish(&mut self, _page: u32) -> Result<Ending> {
        Ok(Ending { patches: Vec::new(), length: self.size, more: false })
    }
}
