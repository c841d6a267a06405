//! A disk format adapter that misbehaves: reading as the first byte of the image says, writing as the option `how` says.

use wherry_sdk::format::{Codec, Ending, Extent, ImageFacts, Part, Patch, Place, Shape, Unit};
use wherry_sdk::{Blob, DiskFormat, Error, Fact, FormatReader, FormatWriter, Result, find};

/// The misbehaviour.
pub struct Hostile;

impl DiskFormat for Hostile {
    type Reader = Reader;
    type Writer = Writer;
    fn probe(_head: &[u8], _tail: &[u8]) -> Option<String> {
        Some("x".repeat(8 << 20))
    }
}

/// The bytes that the image is said to hold.
const SIZE: u64 = 1 << 20;

/// An opened image.
pub struct Reader {
    how: u8,
    file: u64,
}

impl FormatReader for Reader {
    fn open(parts: Vec<Box<dyn Blob>>) -> Result<Self> {
        let image = parts.first().ok_or_else(|| Error::unsupported("no image"))?;
        let how = image.read(0, 1)?.first().copied().unwrap_or_default();
        Ok(Self { how, file: image.size() })
    }

    fn facts(&self) -> ImageFacts {
        let virtual_size = if self.how == b'V' { u64::MAX } else { SIZE };
        let unit = if self.how == b'u' { 0 } else { 512 };
        let name = "hostile".to_owned();
        ImageFacts {
            virtual_size,
            unit,
            variant_name: name,
            parent: None,
            files: vec![],
            concerns: vec![],
            facts: vec![],
        }
    }

    fn extents(&mut self, start: u64, most: u32) -> Result<Vec<Extent>> {
        let stored = |logical, length, at| Extent { logical, length, at: Place::Stored(at) };
        let packed = |codec, at, length| Place::Compressed((codec, at, length));
        Ok(match self.how {
            b'o' => vec![stored(512, 512, 0), stored(0, 512, 0)],
            b'g' => vec![stored(0, 512, 0), stored(1024, 512, 0)],
            b'l' => vec![stored(0, 1024, 0), stored(512, 512, 0)],
            b'z' => vec![stored(start, 0, 0)],
            b'e' => Vec::new(),
            b'n' => vec![stored(0, u64::MAX, 0), stored(u64::MAX, u64::MAX, 0)],
            b'b' => vec![stored(0, SIZE, self.file)],
            b'p' => vec![Extent { logical: 0, length: SIZE, at: Place::StoredIn((9, 0)) }],
            b'c' => vec![Extent { logical: 0, length: SIZE, at: packed(Codec::Zstd, 0, u64::MAX) }],
            b'C' => vec![Extent { logical: 0, length: 512, at: packed(Codec::Deflate, 1, 4) }],
            b'm' => vec![stored(start, 1, 0); most as usize + 1],
            _ => vec![stored(start, SIZE.saturating_sub(start), 0)],
        })
    }
}

/// An image in the making.
pub struct Writer {
    how: String,
}

impl FormatWriter for Writer {
    fn create(_virtual_size: u64, options: &[Fact]) -> Result<Self> {
        Ok(Self { how: find(options, "how").unwrap_or_default().into() })
    }

    fn shape(&self) -> Shape {
        let unit = if self.how == "unit" { 0 } else { 64 << 10 };
        Shape {
            unit,
            codec: Codec::None,
            level: 0,
            align: u32::from(self.how != "align"),
            plain_if_larger: false,
            lead: 0,
        }
    }

    fn place(&mut self, units: &[Unit]) -> Result<Vec<u64>> {
        Ok(match self.how.as_str() {
            "few" => Vec::new(),
            "far" => vec![u64::MAX; units.len()],
            _ => vec![0; units.len()],
        })
    }

    fn parts(&mut self, name: &str) -> Result<Vec<Part>> {
        let names = match self.how.as_str() {
            "outside" => vec!["disk/../../a"],
            "stranger" => vec!["passwd"],
            "itself" => vec![name],
            "twice" => vec!["disk-1", "disk-1"],
            "unordered" => vec!["disk-1", "disk-2"],
            "sets" => vec!["disk"; 5000],
            _ => Vec::new(),
        };
        let start = |number: u64| if self.how == "unordered" { 1 } else { number + 1 };
        Ok((0..).zip(names).map(|(number, name)| Part { name: name.into(), start: start(number) }).collect())
    }

    fn lengths(&mut self) -> Result<Vec<u64>> {
        Ok(if self.how == "long" { vec![u64::MAX] } else { Vec::new() })
    }

    fn finish(&mut self, _page: u32) -> Result<Ending> {
        let patch = Patch { offset: u64::MAX, bytes: b"x".to_vec() };
        let patches = if self.how == "patch" { vec![patch] } else { Vec::new() };
        let length = if self.how == "length" { u64::MAX } else { SIZE };
        Ok(Ending { patches, length, more: self.how == "more" })
    }
}

wherry_sdk::register_disk_format!(Hostile, "../adapter.toml");
