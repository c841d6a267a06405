//! What the Windows Overlay Filter packed (CompactOS, `compact /exe`): the reparse point tells how, the stream
//! `WofCompressedData` holds a table of chunks, then the chunks. The file's own content is a hole.
//!
//! Sources: [MS-FSCC] 2.1.2.9 and `wofapi.h` of the Windows SDK for the reparse point, the notes in ntfs-3g's plugin for
//! system compression and wimlib's documentation of WIM resources for the table.

use crate::bytes::{part, u32_at, u64_at};
use crate::lzx::Lzx;
use crate::xpress::Xpress;
use wherry_sdk::{Error, ErrorKind, READ_MOST, Result};

/// The stream with the packed content.
pub const STREAM: &str = "WofCompressedData";
/// A file that lies in a WIM image (WIMBoot).
const PROVIDER_WIM: u32 = 1;
/// A file that is packed on its own.
const PROVIDER_FILE: u32 = 2;
/// From here on a table's numbers have 8 bytes.
const LARGE: u64 = 1 << 32;

/// How a file is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// XPRESS in chunks of so many bytes: 4, 8 or 16 KiB
    Xpress(u32),
    /// LZX in chunks of 32 KiB
    Lzx,
}

impl Packing {
    /// From a reparse point with its header of 8 bytes; `unsupported` where another file has the content.
    pub fn parse(reparse: &[u8]) -> Result<Self> {
        let number = |at| u32_at(reparse, at);
        if reparse.len() < 16 || number(8) != 1 {
            return Err(damaged("its reparse point is none of the Windows Overlay Filter's"));
        }
        match number(12) {
            PROVIDER_FILE if reparse.len() >= 24 && number(16) == 1 => {}
            PROVIDER_WIM => {
                let message = "its content is in a WIM image (WIMBoot): unpack it in the guest with compact /u /exe first";
                return Err(Error::unsupported(message));
            }
            provider => {
                let message =
                    format!("the Windows Overlay Filter has its content from an unknown provider {provider}");
                return Err(Error::unsupported(message));
            }
        }
        match number(20) {
            0 => Ok(Self::Xpress(4 << 10)),
            1 => Ok(Self::Lzx),
            2 => Ok(Self::Xpress(8 << 10)),
            3 => Ok(Self::Xpress(16 << 10)),
            other => Err(Error::unsupported(format!("it is packed by an unknown method {other} of WOF"))),
        }
    }

    /// Bytes of a whole chunk when it is unpacked.
    pub fn chunk(self) -> u64 {
        match self {
            Self::Xpress(chunk) => u64::from(chunk),
            Self::Lzx => crate::lzx::SIZE_MOST as u64,
        }
    }
}

fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("{what}: restore the file"))
}

/// A packed file.
#[derive(Clone, Copy, Debug)]
pub struct Packed {
    /// how
    pub packing: Packing,
    /// bytes of the content
    pub size: u64,
    /// bytes of the stream
    pub stored: u64,
}

/// Places in the stream.
struct Chunk {
    from: u64,
    length: u64,
    /// bytes when it is unpacked
    size: u64,
}

impl Packed {
    fn chunks(&self) -> u64 {
        self.size.div_ceil(self.packing.chunk())
    }

    /// Bytes of a number in the table.
    fn width(&self) -> u64 {
        if self.size < LARGE { 4 } else { 8 }
    }

    /// Bytes of the table: where each chunk but the first starts, from the table's end on.
    fn table(&self) -> Result<u64> {
        let table = self.chunks().saturating_sub(1) * self.width();
        if table > self.stored {
            return Err(damaged("the table of its chunks is longer than what is packed"));
        }
        Ok(table)
    }

    /// `length` bytes (at most [`READ_MOST`]) from `offset` on, less at the content's end. `read` gives bytes of the stream,
    /// by offset and length.
    pub fn read(
        &self,
        offset: u64,
        length: u64,
        mut read: impl FnMut(u64, u64) -> Result<Vec<u8>>,
    ) -> Result<Vec<u8>> {
        let length = length.min(u64::from(READ_MOST)).min(self.size.saturating_sub(offset));
        let mut out = Vec::with_capacity(length as usize);
        if length == 0 {
            return Ok(out);
        }
        let chunk = self.packing.chunk();
        let (first, last) = (offset / chunk, (offset + length - 1) / chunk);
        let chunks = self.places(first, last, &mut read)?;
        let (from, end) = match (chunks.first(), chunks.last()) {
            (Some(first), Some(last)) => (first.from, last.from + last.length),
            _ => return Ok(out),
        };
        let packed = read(from, end - from)?;
        let mut unpacker = Unpacker::new(self.packing);
        let mut start = first * chunk;
        for place in &chunks {
            let bytes = part(&packed, (place.from - from) as usize, place.length as usize);
            let bytes = unpacker.unpack(bytes, place.size as usize)?;
            let skip = offset.saturating_sub(start) as usize;
            let piece = part(&bytes, skip, length as usize - out.len());
            out.extend_from_slice(piece);
            start += chunk;
        }
        Ok(out)
    }

    /// Where chunks `first` to `last` are in the stream. Each is as long as its content at most, so that what is read stays
    /// in proportion to what was asked for.
    fn places(
        &self,
        first: u64,
        last: u64,
        mut read: impl FnMut(u64, u64) -> Result<Vec<u8>>,
    ) -> Result<Vec<Chunk>> {
        let (table, width, chunk) = (self.table()?, self.width(), self.packing.chunk());
        // Number n is the start of chunk n + 1.
        let (from, to) = (first.saturating_sub(1), (last + 1).min(self.chunks() - 1));
        let numbers = if from < to { read(from * width, (to - from) * width)? } else { Vec::new() };
        let start = |number: u64| match number {
            0 => 0,
            number if number == self.chunks() => self.stored - table,
            number if width == 4 => u64::from(u32_at(&numbers, ((number - 1 - from) * 4) as usize)),
            number => u64_at(&numbers, ((number - 1 - from) * 8) as usize),
        };
        let place = |number: u64| {
            let (from, end) = (start(number), start(number + 1));
            let size = chunk.min(self.size - number * chunk);
            let length = end.checked_sub(from).filter(|length| (1..=size).contains(length));
            let inside = end <= self.stored - table;
            let length =
                length.filter(|_| inside).ok_or_else(|| damaged("the table of its chunks makes no sense"))?;
            Ok(Chunk { from: table + from, length, size })
        };
        (first..=last).map(place).collect()
    }
}

/// Tables for one packing.
enum Unpacker {
    Xpress(Xpress),
    Lzx(Lzx),
}

impl Unpacker {
    fn new(packing: Packing) -> Self {
        match packing {
            Packing::Xpress(_) => Self::Xpress(Xpress::default()),
            Packing::Lzx => Self::Lzx(Lzx::default()),
        }
    }

    /// A chunk; one that is as long as its content is its content.
    fn unpack(&mut self, packed: &[u8], size: usize) -> Result<Vec<u8>> {
        match self {
            _ if packed.len() == size => Ok(packed.to_vec()),
            Self::Xpress(xpress) => xpress.unpack(packed, size),
            Self::Lzx(lzx) => lzx.unpack(packed, size),
        }
    }
}
