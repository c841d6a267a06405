//! The outer grammar of an initramfs: `( "\0"* | cpio | compressed(cpio) )*` (Linux `init/initramfs.c`,
//! `Documentation/driver-api/early-userspace/buffer-format.rst`). Everything is streamed; only what
//! [`Rootfs`] asks for stays in memory.

use super::cpio;
use super::lz4::Legacy;
use super::lzo::Lzop;
use super::rootfs::Rootfs;
use std::io::{self, BufRead, BufReader, Read};
use wherry_sdk::{Error, ErrorKind, READ_MOST, Result};

/// The most bytes of archive that one image may unpack to; the largest known images (graphics firmware) need half.
const UNPACKED_MOST: u64 = 1 << 30;
/// The most segments of one image. Distributions make up to four.
const SEGMENTS_MOST: usize = 64;
/// The largest dictionary or window. `zstd --ultra -22` wants 128 MiB, which does not fit beside the rest.
const WINDOW_MOST: u32 = 64 << 20;
/// The same for the LZMA decoders, in KiB, with what they need besides.
pub const LZMA_KIB: u32 = (WINDOW_MOST >> 10) + 1024;
/// Bytes between a decoder and the parser.
const BUFFER: usize = 128 << 10;

/// Where an image's bytes come from.
pub trait Image {
    /// Length in bytes.
    fn size(&self) -> u64;
    /// Up to `length` bytes from `offset`; shorter only at the end.
    fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>>;
}

impl Image for &[u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }
    fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        let rest = usize::try_from(offset).ok().and_then(|at| self.get(at..)).unwrap_or_default();
        Ok(rest.get(..length as usize).unwrap_or(rest).to_vec())
    }
}

/// How a segment is packed, by the kernel's own table (`lib/decompress.c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// cpio as it is
    Plain,
    /// RFC 1952
    Gzip,
    /// bzip2
    Bzip2,
    /// the `.lzma` format of LZMA utils
    Lzma,
    /// xz
    Xz,
    /// lzop
    Lzo,
    /// `lz4 -l`: a format without an end mark
    Lz4,
    /// RFC 8878
    Zstd,
}

impl Codec {
    fn of(head: &[u8]) -> Option<Self> {
        let two = head.first_chunk::<2>()?;
        Some(match two {
            b"07" => Self::Plain,
            [0x1f, 0x8b | 0x9e] => Self::Gzip,
            b"BZ" => Self::Bzip2,
            [0x5d, 0] => Self::Lzma,
            [0xfd, 0x37] => Self::Xz,
            [0x89, 0x4c] => Self::Lzo,
            [0x02, 0x21] => Self::Lz4,
            [0x28, 0xb5] => Self::Zstd,
            _ => return None,
        })
    }

    /// The name that the kernel's configuration uses, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "cpio",
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Lzma => "lzma",
            Self::Xz => "xz",
            Self::Lzo => "lzo",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// How an image ends, which decides what may follow.
#[derive(Clone, Debug)]
pub struct Ending {
    /// Bytes of the image.
    pub length: u64,
    /// Every segment's codec, in order.
    pub codecs: Vec<Codec>,
    /// The image ends inside an lz4 stream that unpacked to this many bytes: only more of the same may follow.
    pub open_lz4: Option<u64>,
}

/// Unpacks the whole image into `rootfs`.
pub fn unpack(image: &dyn Image, rootfs: &mut Rootfs) -> Result<Ending> {
    let mut source = Source::new(image);
    let mut budget = UNPACKED_MOST;
    let mut ending = Ending { length: image.size(), codecs: Vec::new(), open_lz4: None };
    loop {
        let at = source.position();
        let head = source.peek()?;
        match head.first() {
            None => return Ok(ending),
            Some(0) => {
                let zeros = head.iter().take_while(|byte| **byte == 0).count();
                source.consume(zeros);
                continue;
            }
            Some(_) => {}
        }
        let codec = Codec::of(head).filter(|codec| *codec != Codec::Plain || at.is_multiple_of(4));
        let Some(codec) = codec else {
            return Err(Error::corrupt(
                at,
                "neither cpio nor a known compression; the kernel stops here too",
            ));
        };
        if ending.codecs.len() == SEGMENTS_MOST {
            return Err(Error::new(ErrorKind::Limit, format!("more than {SEGMENTS_MOST} segments")));
        }
        ending.codecs.push(codec);
        let segment = Segment { rootfs: &mut *rootfs, budget: &mut budget, at };
        let unpacked =
            segment.unpack(codec, &mut source).map_err(|error| source.explain(error, at, codec))?;
        let open = codec == Codec::Lz4 && source.position() == ending.length;
        ending.open_lz4 = open.then_some(unpacked);
    }
}

struct Segment<'a> {
    rootfs: &'a mut Rootfs,
    budget: &'a mut u64,
    at: u64,
}

impl Segment<'_> {
    /// Unpacks one segment and leaves `source` just behind it; answers the unpacked length.
    fn unpack(self, codec: Codec, source: &mut Source<'_>) -> io::Result<u64> {
        match codec {
            Codec::Plain => cpio::unpack_plain(source, self.at, self.rootfs, self.budget),
            Codec::Gzip => self.decoded(flate2::bufread::GzDecoder::new(source)),
            Codec::Bzip2 => self.decoded(bzip2::bufread::BzDecoder::new(source)),
            Codec::Xz => self.decoded(lzma_rust2::XzReader::new_mem_limit(source, false, LZMA_KIB)),
            Codec::Lz4 => self.decoded(Legacy::new(source)?),
            Codec::Zstd => self.decoded(zstd(source)?),
            Codec::Lzma => {
                let mut reader = lzma_rust2::LzmaReader::new_mem_limit(&mut *source, LZMA_KIB, None)?;
                let unpacked = self.decoded(&mut reader)?;
                let ahead = reader.into_parts().1.len();
                source.back(ahead);
                Ok(unpacked)
            }
            Codec::Lzo => self.decoded(Lzop::new(source)?),
        }
    }

    fn decoded(self, decoder: impl Read) -> io::Result<u64> {
        cpio::unpack_stream(&mut BufReader::with_capacity(BUFFER, decoder), self.rootfs, self.budget)
    }
}

/// A decoder for one frame, which ends where the frame ends.
pub fn zstd<R: Read>(source: R) -> io::Result<impl Read> {
    ruzstd::decoding::StreamingDecoder::new_with_max_window_size(source, u64::from(WINDOW_MOST))
        .map_err(io::Error::other)
}

/// Buffered bytes of an image with their position.
struct Source<'a> {
    image: &'a dyn Image,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that were consumed.
    used: usize,
    /// Position of the buffer's end in the image.
    end: u64,
    failure: Option<Error>,
}

impl<'a> Source<'a> {
    fn new(image: &'a dyn Image) -> Self {
        Self { image, buffer: Vec::new(), used: 0, end: 0, failure: None }
    }

    fn position(&self) -> u64 {
        self.end - (self.buffer.len() - self.used) as u64
    }

    /// Gives back the last `count` bytes.
    fn back(&mut self, count: usize) {
        self.end = self.position().saturating_sub(count as u64);
        self.buffer.clear();
        self.used = 0;
    }

    /// At least two bytes, unless the image ends.
    fn peek(&mut self) -> Result<&[u8]> {
        if self.buffer.len() - self.used < 2 {
            self.back(0);
            self.buffer = self.image.read(self.end, READ_MOST)?;
            self.end += self.buffer.len() as u64;
        }
        Ok(self.buffer.get(self.used..).unwrap_or_default())
    }

    /// What a decoder's error was about: reading, the sandbox's limits, or the bytes.
    fn explain(&mut self, error: io::Error, at: u64, codec: Codec) -> Error {
        if let Some(failure) = self.failure.take() {
            return failure;
        }
        let kind = match error.kind() {
            io::ErrorKind::Unsupported => ErrorKind::Unsupported,
            io::ErrorKind::OutOfMemory | io::ErrorKind::FileTooLarge => ErrorKind::Limit,
            _ => ErrorKind::Corrupt,
        };
        let message = format!("{} segment at byte {at}: {error}", codec.name());
        Error { kind, message, at: Some(at) }
    }
}

impl BufRead for Source<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.used == self.buffer.len() {
            match self.image.read(self.end, READ_MOST) {
                Ok(bytes) => {
                    self.end += bytes.len() as u64;
                    self.buffer = bytes;
                    self.used = 0;
                }
                Err(error) => {
                    self.failure = Some(error);
                    return Err(io::Error::other("the image cannot be read"));
                }
            }
        }
        Ok(self.buffer.get(self.used..).unwrap_or_default())
    }
    fn consume(&mut self, count: usize) {
        self.used = self.buffer.len().min(self.used + count);
    }
}

impl Read for Source<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let from = self.fill_buf()?;
        let count = from.len().min(to.len());
        if let (Some(to), Some(from)) = (to.get_mut(..count), from.get(..count)) {
            to.copy_from_slice(from);
        }
        self.consume(count);
        Ok(count)
    }
}
