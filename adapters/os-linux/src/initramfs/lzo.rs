//! What lzop writes, as far as the kernel reads it (`lib/decompress_unlzo.c`): a header, then blocks of up to 256 KiB, each
//! after its length, its packed length and one sum; a length of zero ends it. Blocks are LZO1X (`Documentation/staging/lzo.rst`).
//!
//! ```text
//! first byte      > 17: literals, byte - 17
//! 0000LLLL        after no literals: 3 + L literals        0000DDSS H  after 1 to 3: 2 bytes from (H << 2) + D + 1
//!                                                          after 4 or more: 3 bytes from (H << 2) + D + 2049
//! 0001HLLL DS DS  2 + L bytes from 16384 + (H << 14) + D; from 16384: the end
//! 001LLLLL DS DS  2 + L bytes from D + 1
//! 01LDDDSS H      3 + L bytes from (H << 3) + D + 1        1LLDDDSS H  5 + L bytes from there
//! ```
//! `S` literals follow each copy; an L of zero goes on in further bytes.

use std::io::{self, BufRead, Read};

const MAGIC: &[u8; 9] = b"\x89LZO\0\r\n\x1a\n";
/// The most bytes of a block, unpacked.
const BLOCK: usize = 256 << 10;
/// Flag of the header: a filter's number follows.
const FILTER: u32 = 0x800;

/// Reads a file of lzop's.
pub struct Lzop<S> {
    source: S,
    block: Vec<u8>,
    used: usize,
    ended: bool,
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

fn number<const N: usize>(source: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; N];
    source.read_exact(&mut bytes)?;
    Ok(bytes.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)))
}

impl<S: BufRead> Lzop<S> {
    /// `source` stands at the magic number.
    pub fn new(mut source: S) -> io::Result<Self> {
        let mut magic = [0; 9];
        source.read_exact(&mut magic)?;
        if magic != *MAGIC {
            return Err(invalid("not a file of lzop"));
        }
        let version = number::<2>(&mut source)?;
        number::<2>(&mut source)?;
        // since 0.94: the version that is needed, the level, the upper half of the time
        let newer = version >= 0x0940;
        if newer {
            number::<2>(&mut source)?;
        }
        number::<1>(&mut source)?;
        if newer {
            number::<1>(&mut source)?;
        }
        let flags = number::<4>(&mut source)?;
        let numbers = 2 + u32::from(flags & FILTER != 0) + u32::from(newer);
        for _ in 0..numbers {
            number::<4>(&mut source)?;
        }
        // the file's name, and the header's sum
        let mut rest = vec![0; number::<1>(&mut source)? as usize + 4];
        source.read_exact(&mut rest)?;
        Ok(Self { source, block: Vec::new(), used: 0, ended: false })
    }

    /// Unpacks the next block; false at the end.
    fn next(&mut self) -> io::Result<bool> {
        let length = number::<4>(&mut self.source)? as usize;
        if length == 0 {
            return Ok(false);
        }
        let packed = number::<4>(&mut self.source)? as usize;
        number::<4>(&mut self.source)?;
        if length > BLOCK || packed == 0 || packed > length {
            return Err(invalid("a block of lzop has an impossible length"));
        }
        let mut bytes = vec![0; packed];
        self.source.read_exact(&mut bytes)?;
        self.block = if packed == length { bytes } else { unpack(&bytes, length)? };
        self.used = 0;
        Ok(true)
    }
}

impl<S: BufRead> Read for Lzop<S> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        while !self.ended && self.used == self.block.len() {
            self.ended = !self.next()?;
        }
        let count = self.block.get(self.used..).unwrap_or_default().read(to)?;
        self.used += count;
        Ok(count)
    }
}

struct Block<'a> {
    input: &'a [u8],
    output: Vec<u8>,
    most: usize,
}

/// One block of LZO1X.
fn unpack(input: &[u8], length: usize) -> io::Result<Vec<u8>> {
    let mut block = Block { input, output: Vec::with_capacity(length), most: length };
    block.run()?;
    if block.output.len() == length { Ok(block.output) } else { Err(invalid("a block of lzop is too short")) }
}

impl Block<'_> {
    fn byte(&mut self) -> io::Result<usize> {
        let (first, rest) = self.input.split_first().ok_or(io::ErrorKind::UnexpectedEof)?;
        self.input = rest;
        Ok(usize::from(*first))
    }

    /// A length whose bits are all zero goes on: 255 for each zero byte, then the first that is none.
    fn length(&mut self, bits: usize, all: usize) -> io::Result<usize> {
        if bits != 0 {
            return Ok(bits);
        }
        let mut length = all;
        loop {
            match self.byte()? {
                0 => length += 255,
                last => return Ok(length + last),
            }
            if length > self.most {
                return Err(invalid("a block of lzop is too long"));
            }
        }
    }

    fn literals(&mut self, count: usize) -> io::Result<()> {
        let bytes = self.input.get(..count).ok_or(io::ErrorKind::UnexpectedEof)?;
        if self.output.len() + count > self.most {
            return Err(invalid("a block of lzop is too long"));
        }
        self.output.extend_from_slice(bytes);
        self.input = self.input.get(count..).unwrap_or_default();
        Ok(())
    }

    /// Bytes that came before, which may be some of those that this brings.
    fn copy(&mut self, distance: usize, length: usize) -> io::Result<()> {
        let from = self
            .output
            .len()
            .checked_sub(distance)
            .ok_or_else(|| invalid("a block of lzop reaches too far back"))?;
        if self.output.len() + length > self.most {
            return Err(invalid("a block of lzop is too long"));
        }
        for at in from..from + length {
            let byte =
                self.output.get(at).copied().ok_or_else(|| invalid("a block of lzop copies nothing"))?;
            self.output.push(byte);
        }
        Ok(())
    }

    fn run(&mut self) -> io::Result<()> {
        // how many literals came last, 4 for more
        let mut state = 0;
        if self.input.first().is_some_and(|first| *first > 17) {
            let count = self.byte()? - 17;
            self.literals(count)?;
            state = count.min(4);
        }
        loop {
            let code = self.byte()?;
            let (distance, length, next) = match code {
                0..=15 if state == 0 => {
                    let count = 3 + self.length(code, 15)?;
                    self.literals(count)?;
                    state = 4;
                    continue;
                }
                0..=15 => {
                    let (near, length) = if state == 4 { (2049, 3) } else { (1, 2) };
                    ((self.byte()? << 2) + (code >> 2) + near, length, code & 3)
                }
                16..=31 => {
                    let length = 2 + self.length(code & 7, 7)?;
                    let word = self.byte()? | self.byte()? << 8;
                    let distance = 16384 + ((code & 8) << 11) + (word >> 2);
                    if distance == 16384 {
                        return Ok(());
                    }
                    (distance, length, word & 3)
                }
                32..=63 => {
                    let length = 2 + self.length(code & 31, 31)?;
                    let word = self.byte()? | self.byte()? << 8;
                    ((word >> 2) + 1, length, word & 3)
                }
                _ => {
                    let length = if code < 128 { 3 + (code >> 5 & 1) } else { 5 + (code >> 5 & 3) };
                    ((self.byte()? << 3) + (code >> 2 & 7) + 1, length, code & 3)
                }
            };
            self.copy(distance, length)?;
            self.literals(next)?;
            state = next;
        }
    }
}
