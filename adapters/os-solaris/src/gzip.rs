//! Archives that are packed by gzip (RFC 1952), in one member as `gzip -c` makes them. GRUB unpacks them into memory and looks for
//! the length and the sum in the last eight bytes, so nothing may follow the member.

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use std::io::{Read, Write};
use wherry_sdk::{Error, Result};

/// Bytes that an archive may have unpacked, all of which are kept in memory.
pub const UNPACKED_MOST: u64 = 128 << 20;
/// Bytes that it may have packed.
pub const PACKED_MOST: u64 = 48 << 20;
/// What a member begins with: the magic number, and deflate.
pub const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
/// gzip's own choice between time and room.
const LEVEL: u32 = 6;

fn too_large(bytes: u64, how: &str, most: u64) -> Error {
    let most = most >> 20;
    Error::unsupported(format!("it has {bytes} bytes {how}, and more than {most} MiB are not edited"))
}

/// The content of a packed file of `size` bytes; `read` gives up to so many bytes from an offset.
///
/// # Errors
/// A file that is too large packed or unpacked; damage.
pub fn unpack(read: &dyn Fn(u64, u64) -> Result<Vec<u8>>, size: u64) -> Result<Vec<u8>> {
    if size > PACKED_MOST {
        return Err(too_large(size, "packed", PACKED_MOST));
    }
    let damaged = |e: std::io::Error| Error::corrupt(0, format!("the gzip archive cannot be unpacked: {e}"));
    let told = read(size.saturating_sub(4), size.min(4))?;
    let told = u64::from(u32::from_le_bytes(told.try_into().unwrap_or_default()));
    if told > UNPACKED_MOST {
        return Err(too_large(told, "unpacked", UNPACKED_MOST));
    }
    let mut source = Source { read, at: 0, size, piece: Vec::new(), taken: 0 };
    let mut bytes = Vec::with_capacity(usize::try_from(told).unwrap_or_default());
    let mut decoder = GzDecoder::new(&mut source);
    decoder.by_ref().take(told + 1).read_to_end(&mut bytes).map_err(damaged)?;
    drop(decoder);
    if bytes.len() as u64 != told {
        return Err(Error::corrupt(
            0,
            format!("the gzip archive does not have the {told} bytes that it tells"),
        ));
    }
    Ok(bytes)
}

/// Bytes as one member, without a name and a time.
///
/// # Errors
/// Bytes that stay too many.
pub fn pack(bytes: &[u8], most: u64) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(LEVEL));
    let packed = encoder.write_all(bytes).and_then(|()| encoder.finish());
    let packed = packed.map_err(|e| Error::unsupported(format!("it cannot be packed again: {e}")))?;
    match packed.len() as u64 {
        size if size > most => Err(too_large(size, "packed again", most)),
        _ => Ok(packed),
    }
}

/// What a file inside an archive says: bootadm packs each one by itself, unless it was told not to.
pub fn text(bytes: &[u8], most: u64) -> String {
    let mut plain = Vec::new();
    let packed =
        bytes.starts_with(&MAGIC) && GzDecoder::new(bytes).take(most).read_to_end(&mut plain).is_ok();
    String::from_utf8_lossy(if packed { &plain } else { bytes }).into_owned()
}

/// A file, read piece by piece.
struct Source<'a> {
    read: &'a dyn Fn(u64, u64) -> Result<Vec<u8>>,
    at: u64,
    size: u64,
    piece: Vec<u8>,
    taken: usize,
}

/// Bytes of one piece.
const PIECE: u64 = 1 << 18;

impl Read for Source<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.taken >= self.piece.len() {
            let length = (self.size - self.at).min(PIECE);
            let bytes = if length == 0 { Ok(Vec::new()) } else { (self.read)(self.at, length) };
            self.piece = bytes.map_err(|error| std::io::Error::other(error.message))?;
            self.at = self.at.saturating_add(self.piece.len() as u64).min(self.size);
            self.taken = 0;
        }
        let rest = self.piece.get(self.taken..).unwrap_or_default();
        let length = rest.len().min(into.len());
        into.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        self.taken += length;
        Ok(length)
    }
}
