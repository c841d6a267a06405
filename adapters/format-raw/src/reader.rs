//! Decode map: one extent.

use wherry_sdk::format::{Extent, ImageFacts, Place};
use wherry_sdk::{Blob, Error, ErrorKind, FormatReader, Result};

/// An opened raw image.
pub struct Reader {
    size: u64,
}

impl FormatReader for Reader {
    fn open(parts: Vec<Box<dyn Blob>>) -> Result<Self> {
        match parts.as_slice() {
            [image] => Ok(Self { size: image.size() }),
            _ => Err(Error::new(ErrorKind::InvalidInput, "a raw image is one file and has no parents")),
        }
    }

    fn facts(&self) -> ImageFacts {
        ImageFacts {
            virtual_size: self.size,
            unit: 512,
            variant_name: "raw".into(),
            parent: None,
            files: Vec::new(),
            concerns: Vec::new(),
            facts: Vec::new(),
        }
    }

    fn extents(&mut self, start: u64, _most: u32) -> Result<Vec<Extent>> {
        if start >= self.size {
            return Ok(Vec::new());
        }
        Ok(vec![Extent { logical: start, length: self.size - start, at: Place::Stored(start) }])
    }
}
