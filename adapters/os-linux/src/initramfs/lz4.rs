//! `lz4 -l`, the legacy frame: a magic number, then blocks of up to 8 MiB, each after its packed length; no end mark
//! (`lib/decompress_unlz4.c`, lz4's `lz4_Frame_format.md`, "Legacy frame"). The stream ends where the image ends, or at
//! a zero length (kernels since 2021). A second magic number may stand in the place of a length.

use std::io::{self, BufRead, Read};

const MAGIC: u32 = 0x184c_2102;
/// The format's block size.
const BLOCK: usize = 8 << 20;

/// Reads a legacy stream.
pub struct Legacy<S> {
    source: S,
    block: Vec<u8>,
    used: usize,
    ended: bool,
}

impl<S: BufRead> Legacy<S> {
    /// `source` stands at the magic number.
    pub fn new(mut source: S) -> io::Result<Self> {
        if length(&mut source)? != Some(MAGIC) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not an lz4 legacy stream"));
        }
        Ok(Self { source, block: Vec::new(), used: 0, ended: false })
    }

    /// Unpacks the next block; false at the end.
    fn next(&mut self) -> io::Result<bool> {
        let packed = loop {
            match length(&mut self.source)? {
                None | Some(0) => return Ok(false),
                Some(MAGIC) => {}
                Some(packed) => break packed as usize,
            }
        };
        if packed > lz4_flex::block::get_maximum_output_size(BLOCK) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "an lz4 block is longer than 8 MiB"));
        }
        let mut bytes = Vec::new();
        (&mut self.source).take(packed as u64).read_to_end(&mut bytes)?;
        if bytes.len() != packed {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.block.resize(BLOCK, 0);
        let unpacked = lz4_flex::block::decompress_into(&bytes, &mut self.block).map_err(io::Error::other)?;
        self.block.truncate(unpacked);
        self.used = 0;
        Ok(true)
    }
}

/// The next number; none at the end of the bytes.
fn length(source: &mut impl Read) -> io::Result<Option<u32>> {
    let mut four = Vec::with_capacity(4);
    source.take(4).read_to_end(&mut four)?;
    match four.first_chunk() {
        Some(four) => Ok(Some(u32::from_le_bytes(*four))),
        None if four.is_empty() => Ok(None),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

impl<S: BufRead> Read for Legacy<S> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        while !self.ended && self.used == self.block.len() {
            self.ended = !self.next()?;
        }
        let count = self.block.get(self.used..).unwrap_or_default().read(to)?;
        self.used += count;
        Ok(count)
    }
}

/// A complete legacy stream of these bytes.
pub fn pack(bytes: &[u8]) -> Vec<u8> {
    let mut stream = MAGIC.to_le_bytes().to_vec();
    for block in bytes.chunks(BLOCK) {
        let packed = lz4_flex::block::compress(block);
        stream.extend((packed.len() as u32).to_le_bytes());
        stream.extend(packed);
    }
    stream
}
