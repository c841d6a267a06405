//! Files inside an image of ISO 9660, which Solaris calls hsfs, replaced without making the image anew. ECMA-119 8.4 (volume
//! descriptors), 9.1 (directory records); Rock Ridge Interchange Protocol 4.1.4 (NM); Joliet (names in UCS-2 big-endian).
//!
//! New content that fits into the sectors of the old one takes its place, or else it goes to the end of the image. Every tree of
//! the image that names the file is told: the primary one and Joliet's.

use wherry_sdk::{Error, Patch, Result};

/// Bytes of a logical sector, and of a logical block here.
const SECTOR: u64 = 2048;
/// Where the volume descriptors begin.
const DESCRIPTORS: u64 = 16 * SECTOR;
/// Volume descriptors that are looked at.
const DESCRIPTORS_MOST: u64 = 16;
/// Bytes of a directory that are read.
const DIRECTORY_MOST: u64 = 4 << 20;
/// Bytes of one read.
const PIECE: u64 = 64 << 10;
/// A file in several extents (ECMA-119 9.1.6).
const MULTIPLE_EXTENTS: u8 = 0x80;
/// A directory.
const DIRECTORY: u8 = 0x02;

/// Reads exactly so many bytes of the image from an offset.
pub type Read<'a> = dyn Fn(u64, u64) -> Result<Vec<u8>> + 'a;

/// An image.
pub struct Image<'a> {
    read: &'a Read<'a>,
    size: u64,
    /// Where it ends once what has been put at its end is written.
    end: u64,
    trees: Vec<Tree>,
}

/// One tree of directories, by its volume descriptor.
struct Tree {
    /// Where the descriptor is.
    at: u64,
    joliet: bool,
    root: Extent,
}

/// Bytes of the image that a record names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Extent {
    start: u64,
    length: u64,
}

/// A directory record.
#[derive(Clone, Copy, Debug)]
struct Record {
    /// Where it is in the image.
    at: u64,
    extent: Extent,
    flags: u8,
    /// Whether the file is interleaved.
    interleaved: bool,
}

fn corrupt(at: u64, message: &str) -> Error {
    Error::corrupt(at, message.to_owned())
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

impl<'a> Image<'a> {
    /// Reads the volume descriptors.
    pub fn open(read: &'a Read<'a>, size: u64) -> Result<Self> {
        let mut trees = Vec::new();
        for number in 0..DESCRIPTORS_MOST {
            let at = DESCRIPTORS + number * SECTOR;
            if at + SECTOR > size {
                break;
            }
            let bytes = read(at, SECTOR)?;
            if bytes.get(1..6) != Some(b"CD001") {
                break;
            }
            let kind = bytes.first().copied().unwrap_or(255);
            let escape = bytes.get(88..91).unwrap_or_default();
            let joliet = kind == 2 && matches!(escape, b"%/@" | b"%/C" | b"%/E");
            if kind == 255 {
                break;
            }
            if kind != 1 && !joliet {
                continue;
            }
            if bytes.get(128..130) != Some(&[0, 8]) {
                return Err(corrupt(at, "the image has logical blocks of another size than 2048 bytes"));
            }
            let root = bytes.get(156..190).and_then(|record| parse(record, at + 156));
            let root = root.filter(|root| root.flags & DIRECTORY != 0);
            let root = root.ok_or_else(|| corrupt(at, "the image has no root directory"))?.extent;
            trees.push(Tree { at, joliet, root });
        }
        if trees.iter().all(|tree| tree.joliet) {
            return Err(corrupt(DESCRIPTORS, "this is no image of ISO 9660"));
        }
        Ok(Self { read, size, end: size, trees })
    }

    /// The content of a file, of at most `most` bytes. Paths are like `etc/path_to_inst`.
    pub fn content(&self, path: &str, most: u64) -> Result<Option<Vec<u8>>> {
        let Some(tree) = self.trees.iter().find(|tree| !tree.joliet) else { return Ok(None) };
        let Some(record) = self.find(tree, path)? else { return Ok(None) };
        self.check(&record)?;
        if record.extent.length > most {
            return Err(Error::unsupported(format!("{path} in the image has more than {most} bytes")));
        }
        self.bytes(record.extent).map(Some)
    }

    /// What has to be written so that the file has this content; nothing where it has. Several files may be replaced one after
    /// the other, and what has to be written for them be written in the same order.
    pub fn replace(&mut self, path: &str, content: &[u8]) -> Result<Vec<Patch>> {
        let mut records = Vec::new();
        for tree in &self.trees {
            match self.find(tree, path)? {
                Some(record) => records.push(record),
                None if tree.joliet => {}
                None => return Err(Error::unsupported(format!("{path} is not in the image"))),
            }
        }
        let first =
            *records.first().ok_or_else(|| Error::unsupported(format!("{path} is not in the image")))?;
        for record in &records {
            self.check(record)?;
            if record.extent != first.extent {
                return Err(corrupt(record.at, "the image's trees do not agree on the file"));
            }
        }
        let length = content.len() as u64;
        if first.extent.length == length && self.bytes(first.extent)? == content {
            return Ok(Vec::new());
        }
        let room = first.extent.length.div_ceil(SECTOR) * SECTOR;
        let mut patches = Vec::new();
        let start = if length <= room && first.extent.start.saturating_add(room) <= self.size {
            let mut bytes = content.to_vec();
            bytes.resize(room as usize, 0);
            patches.push(Patch { offset: first.extent.start, bytes });
            first.extent.start
        } else {
            self.append(content, &mut patches)?
        };
        for record in &records {
            patches.push(Patch { offset: record.at + 2, bytes: both((start / SECTOR) as u32).to_vec() });
            patches.push(Patch { offset: record.at + 10, bytes: both(length as u32).to_vec() });
        }
        Ok(patches)
    }

    /// Puts content at the end of the image; where it begins.
    fn append(&mut self, content: &[u8], patches: &mut Vec<Patch>) -> Result<u64> {
        let start = self.end.div_ceil(SECTOR) * SECTOR;
        let end = start + (content.len() as u64).div_ceil(SECTOR) * SECTOR;
        let mut bytes = vec![0; (start - self.end) as usize];
        bytes.extend_from_slice(content);
        bytes.resize((end - self.end) as usize, 0);
        let blocks = u32::try_from(end / SECTOR)
            .map_err(|_| Error::unsupported("the image has more than 2^32 blocks"))?;
        patches.push(Patch { offset: self.end, bytes });
        for tree in &self.trees {
            patches.push(Patch { offset: tree.at + 80, bytes: both(blocks).to_vec() });
        }
        self.end = end;
        Ok(start)
    }

    fn check(&self, record: &Record) -> Result<()> {
        if record.flags & (MULTIPLE_EXTENTS | DIRECTORY) != 0 || record.interleaved {
            return Err(Error::unsupported(
                "the file in the image is a directory, interleaved, or in several extents",
            ));
        }
        if record.extent.start.saturating_add(record.extent.length) > self.size {
            return Err(corrupt(record.at, "the file's extent is beyond the image's end"));
        }
        Ok(())
    }

    fn bytes(&self, extent: Extent) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < extent.length {
            let done = bytes.len() as u64;
            let piece = (self.read)(extent.start + done, PIECE.min(extent.length - done))?;
            if piece.is_empty() {
                return Err(corrupt(extent.start + done, "the image ends early"));
            }
            bytes.extend(piece);
        }
        Ok(bytes)
    }

    fn find(&self, tree: &Tree, path: &str) -> Result<Option<Record>> {
        let mut directory = tree.root;
        let mut names = path.split('/').peekable();
        while let Some(name) = names.next() {
            let Some(record) = self.lookup(tree, directory, name)? else { return Ok(None) };
            if names.peek().is_none() {
                return Ok(Some(record));
            }
            if record.flags & DIRECTORY == 0 {
                return Ok(None);
            }
            directory = record.extent;
        }
        Ok(None)
    }

    fn lookup(&self, tree: &Tree, directory: Extent, name: &str) -> Result<Option<Record>> {
        if directory.length > DIRECTORY_MOST || directory.start.saturating_add(directory.length) > self.size {
            return Err(corrupt(directory.start, "a directory of the image is too long"));
        }
        let bytes = self.bytes(directory)?;
        for (number, sector) in bytes.chunks(SECTOR as usize).enumerate() {
            let base = directory.start + number as u64 * SECTOR;
            let mut at = 0;
            // records do not cross sectors, and a length of zero ends one
            while let Some(length) = sector.get(at).copied().filter(|length| *length > 0) {
                let end = at + usize::from(length);
                let Some(record) = sector.get(at..end) else { break };
                if is_called(record, name, tree.joliet) {
                    return Ok(parse(record, base + at as u64));
                }
                at = end;
            }
        }
        Ok(None)
    }
}

/// A number in both orders of bytes (ECMA-119 7.3.3).
fn both(number: u32) -> [u8; 8] {
    let mut bytes = [0; 8];
    let (low, high) = bytes.split_at_mut(4);
    low.copy_from_slice(&number.to_le_bytes());
    high.copy_from_slice(&number.to_be_bytes());
    bytes
}

fn parse(record: &[u8], at: u64) -> Option<Record> {
    let attributes = u64::from(*record.get(1)?);
    let start = (u64::from(u32_at(record, 2)?) + attributes) * SECTOR;
    let extent = Extent { start, length: u64::from(u32_at(record, 10)?) };
    let flags = *record.get(25)?;
    // an extended attribute record lies before the content, and would have to move with it
    let interleaved = *record.get(26)? != 0 || *record.get(27)? != 0 || attributes != 0;
    Some(Record { at, extent, flags, interleaved })
}

/// Whether a record has this name: Joliet's, Rock Ridge's, or else the identifier without its version, in any case.
fn is_called(record: &[u8], name: &str, joliet: bool) -> bool {
    let length = usize::from(record.get(32).copied().unwrap_or_default());
    let identifier = record.get(33..33 + length).unwrap_or_default();
    if joliet {
        let wide: Vec<u8> = name.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let version: Vec<u8> = ";1".encode_utf16().flat_map(u16::to_be_bytes).collect();
        return identifier == wide || identifier == [wide, version].concat();
    }
    let system = record.get(33 + length + usize::from(length % 2 == 0)..).unwrap_or_default();
    if let Some(alternate) = alternate_name(system) {
        return alternate == name.as_bytes();
    }
    let plain = identifier.split(|byte| *byte == b';').next().unwrap_or_default();
    plain.strip_suffix(b".").unwrap_or(plain).eq_ignore_ascii_case(name.as_bytes())
}

/// The name in an NM field, if it is whole there.
fn alternate_name(mut system: &[u8]) -> Option<&[u8]> {
    while system.len() >= 5 {
        let length = usize::from(*system.get(2)?);
        let field = system.get(..length).filter(|_| length >= 5 || (length == 4))?;
        if field.starts_with(b"NM") && field.get(4) == Some(&0) {
            return field.get(5..);
        }
        system = system.get(length..)?;
    }
    None
}
