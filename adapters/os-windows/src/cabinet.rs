//! Cabinets: files of Microsoft, packed together ([MS-CAB]). Read here are those of one file, with folders that are stored or
//! packed by MSZIP ([MS-MCI]) or LZX ([MS-CAB] 2.4), which all of Windows' own are; Quantum is not.

use flate2::{Decompress, FlushDecompress, Status};
use lzxd::{Lzxd, WindowSize};
use wherry_registry::Storage;
use wherry_sdk::bytes::{u16_at, u32_at};
use wherry_sdk::{Error, ErrorKind, Result};

/// How a cabinet begins.
pub const SIGNATURE: &[u8] = b"MSCF";
/// The fixed part of `CFHEADER`, and of `CFFOLDER`, `CFFILE` and `CFDATA`.
const HEADER: u32 = 36;
const FOLDER: u32 = 8;
const FILE: u32 = 16;
const DATA: u32 = 8;
/// `cfhdrPREV_CABINET` and `cfhdrNEXT_CABINET`: parts of a set; `cfhdrRESERVE_PRESENT`.
const PARTS: u16 = 3;
const RESERVE: u16 = 4;
/// The longest name, with its end.
const NAME_MOST: u32 = 256;
/// What a block unpacks to, at most.
const BLOCK_MOST: usize = 32 << 10;
/// The largest file that is unpacked.
const FILE_MOST: usize = 32 << 20;

/// A file of the cabinet: its folder's number, its place and size in the unpacked folder.
struct Entry {
    folder: u16,
    start: usize,
    size: usize,
}

/// An open cabinet.
struct Cabinet<'a> {
    storage: &'a dyn Storage,
    /// Where its folders are listed, and how many bytes each entry has.
    folders: (u32, u32),
    folder_count: u16,
    /// Bytes in front of each block's data that belong to somebody else.
    data_reserve: u32,
    files: u32,
    file_count: u16,
}

fn corrupt(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("no cabinet that can be read: {what}"))
}

/// A file of this name, in any case; none where the cabinet has none.
pub fn unpack(storage: &dyn Storage, name: &str) -> Result<Option<Vec<u8>>> {
    let cabinet = Cabinet::open(storage)?;
    let Some(entry) = cabinet.find(name)? else { return Ok(None) };
    cabinet.read(&entry).map(Some)
}

impl<'a> Cabinet<'a> {
    fn open(storage: &'a dyn Storage) -> Result<Self> {
        let header = storage.read(0, HEADER)?;
        if !header.starts_with(SIGNATURE) || header.get(25) != Some(&1) {
            return Err(corrupt("no header of version 1"));
        }
        let flags = u16_at(&header, 30);
        if flags & PARTS != 0 {
            return Err(Error::unsupported(
                "it is one of a set of cabinets, which are not put together here",
            ));
        }
        let (mut folders, mut folder_reserve, mut data_reserve) = (HEADER, 0, 0);
        if flags & RESERVE != 0 {
            let sizes = storage.read(HEADER.into(), 4)?;
            folders += 4 + u32::from(u16_at(&sizes, 0));
            (folder_reserve, data_reserve) = match sizes.get(2..) {
                Some([folder, data, ..]) => (u32::from(*folder), u32::from(*data)),
                _ => (0, 0),
            };
        }
        Ok(Self {
            storage,
            folders: (folders, FOLDER + folder_reserve),
            folder_count: u16_at(&header, 26),
            data_reserve,
            files: u32_at(&header, 16),
            file_count: u16_at(&header, 28),
        })
    }

    fn find(&self, name: &str) -> Result<Option<Entry>> {
        let mut at = u64::from(self.files);
        for _ in 0..self.file_count {
            let left = self.storage.size().saturating_sub(at);
            let bytes = self.storage.read(at, left.min((FILE + NAME_MOST).into()) as u32)?;
            let own = bytes.get(FILE as usize..).unwrap_or_default();
            let length = own.iter().position(|byte| *byte == 0);
            let own =
                length.and_then(|length| own.get(..length)).ok_or_else(|| corrupt("a name does not end"))?;
            if own.eq_ignore_ascii_case(name.as_bytes()) {
                let (size, start) = (u32_at(&bytes, 0) as usize, u32_at(&bytes, 4) as usize);
                return Ok(Some(Entry { folder: u16_at(&bytes, 8), start, size }));
            }
            at += u64::from(FILE) + own.len() as u64 + 1;
        }
        Ok(None)
    }

    fn read(&self, entry: &Entry) -> Result<Vec<u8>> {
        if entry.folder >= self.folder_count {
            return Err(corrupt("the file is in no folder"));
        }
        let end = entry.start.checked_add(entry.size).filter(|_| entry.size <= FILE_MOST);
        let end =
            end.ok_or_else(|| Error::new(ErrorKind::Limit, format!("{} bytes unpacked", entry.size)))?;
        let at = u64::from(self.folders.0) + u64::from(self.folders.1) * u64::from(entry.folder);
        let folder = self.storage.read(at, FOLDER)?;
        let mut unpacker = Unpacker::new(u16_at(&folder, 6))?;
        let (mut at, mut place, mut bytes) = (u64::from(u32_at(&folder, 0)), 0, Vec::new());
        for number in 0..u16_at(&folder, 4) {
            if place >= end {
                break;
            }
            let (block, size, next) = self.block(at, number)?;
            let block =
                unpacker.block(&block, size).ok_or_else(|| corrupt(&format!("block {number} is damaged")))?;
            let from = entry.start.saturating_sub(place).min(block.len());
            let to = end.saturating_sub(place).min(block.len());
            bytes.extend_from_slice(block.get(from..to).unwrap_or_default());
            (at, place) = (next, place + size);
        }
        if bytes.len() == entry.size { Ok(bytes) } else { Err(corrupt("the folder ends within the file")) }
    }

    /// A block's data, what it unpacks to, and where the next one is.
    fn block(&self, at: u64, number: u16) -> Result<(Vec<u8>, usize, u64)> {
        let header = self.storage.read(at, DATA + self.data_reserve)?;
        let (sum, packed, size) = (u32_at(&header, 0), u16_at(&header, 4), u16_at(&header, 6));
        let start = at + header.len() as u64;
        let data = self.storage.read(start, packed.into())?;
        let reserve = header.get(DATA as usize..).unwrap_or_default();
        let own = checksum(reserve) ^ checksum(&data) ^ (u32::from(packed) | u32::from(size) << 16);
        if sum != 0 && sum != own {
            return Err(corrupt(&format!("the checksum of block {number} is {own:#x}, not {sum:#x}")));
        }
        Ok((data, size.into(), start + u64::from(packed)))
    }
}

/// The sum of a block ([MS-CAB] 3.1): words, and what is left of one from its top.
fn checksum(bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks::<4>();
    let sum = words.iter().fold(0, |sum, word| sum ^ u32::from_le_bytes(*word));
    rest.iter().fold(0, |last, byte| last << 8 | u32::from(*byte)) ^ sum
}

/// How a folder is packed, with what its blocks share.
enum Unpacker {
    Stored,
    /// The last 32 KiB.
    Zip(Vec<u8>),
    Lzx(Box<Lzxd>),
}

impl Unpacker {
    /// By `typeCompress`.
    fn new(kind: u16) -> Result<Self> {
        let size = match (kind & 0xf, kind >> 8) {
            (0, _) => return Ok(Self::Stored),
            (1, _) => return Ok(Self::Zip(Vec::new())),
            (3, 15) => WindowSize::KB32,
            (3, 16) => WindowSize::KB64,
            (3, 17) => WindowSize::KB128,
            (3, 18) => WindowSize::KB256,
            (3, 19) => WindowSize::KB512,
            (3, 20) => WindowSize::MB1,
            (3, 21) => WindowSize::MB2,
            _ => return Err(Error::unsupported(format!("it is packed by method {kind:#x}"))),
        };
        Ok(Self::Lzx(Box::new(Lzxd::new(size))))
    }

    /// The `size` bytes that a block holds; none where it does not.
    fn block(&mut self, data: &[u8], size: usize) -> Option<Vec<u8>> {
        if size == 0 || size > BLOCK_MOST {
            return None;
        }
        let bytes = match self {
            Self::Stored => data.to_vec(),
            Self::Zip(last) => {
                let bytes = inflate(data.strip_prefix(b"CK")?, last, size)?;
                last.extend_from_slice(&bytes);
                last.drain(..last.len().saturating_sub(BLOCK_MOST));
                bytes
            }
            Self::Lzx(lzx) => lzx.decompress_next(data, size).ok()?.to_vec(),
        };
        (bytes.len() == size).then_some(bytes)
    }
}

/// Unpacks a block that goes back to the bytes before it: they go in front, as a deflate block that is stored (RFC 1951, 3.2.4).
fn inflate(data: &[u8], last: &[u8], size: usize) -> Option<Vec<u8>> {
    let length = u16::try_from(last.len()).ok()?;
    let head = [&[0][..], &length.to_le_bytes(), &(!length).to_le_bytes(), last].concat();
    let mut bytes = Vec::with_capacity(last.len() + size + 1);
    let mut inflater = Decompress::new(false);
    inflater.decompress_vec(&head, &mut bytes, FlushDecompress::None).ok()?;
    let status = inflater.decompress_vec(data, &mut bytes, FlushDecompress::Finish).ok()?;
    let bytes = bytes.split_off(last.len().min(bytes.len()));
    (status == Status::StreamEnd && bytes.len() == size).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums() {
        assert_eq!((checksum(b""), checksum(&[1, 2, 3, 4])), (0, 0x0403_0201));
        assert_eq!(checksum(&[1, 2, 3, 4, 5, 6, 7]), 0x0403_0201 ^ 0x0005_0607);
        assert_eq!(checksum(&[5]), 5);
    }

    #[test]
    fn blocks() {
        let mut zip = Unpacker::new(1).unwrap();
        // Stored blocks of deflate: three letters each.
        for text in [b"abc", b"def"] {
            let data = [b"CK\x01\x03\0\xfc\xff", &text[..]].concat();
            assert_eq!(zip.block(&data, 3).as_deref(), Some(&text[..]));
            assert_eq!(
                (zip.block(&data, 4), zip.block(&data[..8], 3), zip.block(&data, 0)),
                (None, None, None)
            );
        }
        assert!(Unpacker::new(0x1502).is_err() && Unpacker::new(0x1603).is_err());
    }
}
