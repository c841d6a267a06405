//! Persistent dirty bitmaps (docs/interop/qcow2, "Bitmaps extension", "Bitmaps"): what was written since each was made.
//! The caps are those of QEMU's block/qcow2-bitmap.c.

use crate::header::Header;
use wherry_sdk::bytes::{big, text};
use wherry_sdk::{Blob, Error, ErrorKind, Range, Ranges, Result};

/// QEMU: `QCOW2_MAX_BITMAPS`.
const BITMAPS_MOST: u64 = 65_535;
/// Bytes of the directory that are read: QEMU's own entries take 32 bytes and a name.
const DIRECTORY_MOST: u64 = 64 << 20;
/// Fixed bytes of a directory's entry.
const FIXED: usize = 24;
const GRANULARITY_BITS: std::ops::RangeInclusive<u64> = 9..=31;
/// QEMU: `BME_MAX_PHYS_SIZE`.
const BYTES_MOST: u64 = 512 << 20;
/// What is read at once.
const PIECE: u64 = 64 << 10;
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;

/// Bits of an entry's flags.
mod flag {
    pub(super) const IN_USE: u64 = 1;
    pub(super) const AUTO: u64 = 1 << 1;
    pub(super) const EXTRA_DATA_COMPATIBLE: u64 = 1 << 2;
}

/// Where the header extension says that the directory is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Directory {
    pub(crate) entries: u64,
    size: u64,
    offset: u64,
}

impl Directory {
    /// The data of the header extension.
    pub(crate) fn new(extension: &[u8]) -> Self {
        let at = |at, length| big(extension, at, length);
        Self { entries: at(0, 4), size: at(8, 8), offset: at(16, 8) }
    }
}

/// A bitmap, as the directory has it.
#[derive(Debug)]
pub(crate) struct Bitmap {
    pub(crate) name: String,
    table: u64,
    entries: u64,
    flags: u64,
    kind: u64,
    granularity_bits: u64,
    extra: u64,
}

/// All of them.
pub(crate) fn list(image: &dyn Blob, directory: Directory) -> Result<Vec<Bitmap>> {
    let Directory { entries, size, offset } = directory;
    if entries > BITMAPS_MOST || size > DIRECTORY_MOST {
        let message = format!("a directory of {entries} bitmaps in {size} bytes: more than QEMU allows");
        return Err(Error::corrupt(offset, message));
    }
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < size {
        let take = PIECE.min(size - bytes.len() as u64);
        bytes.extend(read(image, offset.saturating_add(bytes.len() as u64), take)?);
    }
    let (mut found, mut at) = (Vec::new(), 0);
    for _ in 0..entries {
        let entry = bytes.get(at..).unwrap_or_default();
        let (name, extra) = (big(entry, 18, 2) as usize, big(entry, 20, 4) as usize);
        let from = FIXED.saturating_add(extra);
        let Some(named) = entry.get(from..from.saturating_add(name)) else {
            let message = format!("the directory of bitmaps ends within its entry {}", found.len());
            return Err(Error::corrupt(offset.saturating_add(at as u64), message));
        };
        found.push(Bitmap {
            name: text(named),
            table: big(entry, 0, 8),
            entries: big(entry, 8, 4),
            flags: big(entry, 12, 4),
            kind: big(entry, 16, 1),
            granularity_bits: big(entry, 17, 1),
            extra: extra as u64,
        });
        at += (from + name).next_multiple_of(8);
    }
    Ok(found)
}

/// The bitmap of a name, if all writes are in it.
pub(crate) fn complete(image: &dyn Blob, header: &Header, name: &str) -> Result<Bitmap> {
    let list = list(image, header.extensions.bitmaps)?;
    let names: Vec<String> = list.iter().map(|bitmap| bitmap.name.clone()).collect();
    let Some(bitmap) = list.into_iter().find(|bitmap| bitmap.name == name) else {
        let there = if names.is_empty() { "none".into() } else { format!("`{}`", names.join("`, `")) };
        let message = format!("the image has no bitmap `{name}`; there are: {there}");
        return Err(Error::new(ErrorKind::NotFound, message));
    };
    let refuse = |why: &str| {
        let next = "make a new bitmap and read the whole disk once";
        Err(Error::unsupported(format!("bitmap `{name}` does not tell all that was written: {why}; {next}")))
    };
    if !header.has_bitmaps() {
        return refuse("a program that does not know bitmaps has opened the image since");
    }
    if bitmap.flags & flag::IN_USE != 0 {
        return refuse(
            "it is in use, or was when its machine was killed (of a running machine, take it by NBD)",
        );
    }
    if bitmap.flags & flag::AUTO == 0 {
        return refuse("it is disabled");
    }
    if bitmap.kind != 1 || (bitmap.extra > 0 && bitmap.flags & flag::EXTRA_DATA_COMPATIBLE == 0) {
        return refuse("it is of a kind that is not known here");
    }
    bitmap.check(header)?;
    Ok(bitmap)
}

impl Bitmap {
    fn check(&self, header: &Header) -> Result<()> {
        let bits = self.granularity_bits;
        if !GRANULARITY_BITS.contains(&bits) {
            let message = format!("bitmap `{}` counts by 2^{bits} bytes: 2^9 to 2^31 are allowed", self.name);
            return Err(Error::corrupt(self.table, message));
        }
        let bytes = header.size.div_ceil(1 << bits).div_ceil(8);
        let needed = bytes.div_ceil(header.cluster_size());
        if self.entries != needed || self.entries * header.cluster_size() > BYTES_MOST.max(bytes) {
            let message = format!("bitmap `{}` has {} clusters, not {needed}", self.name, self.entries);
            return Err(Error::corrupt(self.table, message));
        }
        Ok(())
    }

    /// At most `most` ranges from byte `start` of the disk on.
    pub(crate) fn ranges(
        &self,
        image: &dyn Blob,
        header: &Header,
        start: u64,
        most: u32,
    ) -> Result<Vec<Range>> {
        let mut found = Ranges::new(start..header.size, most);
        let granularity = 1 << self.granularity_bits;
        let byte_covers = 8 * granularity;
        let mut byte = start / byte_covers;
        let bytes = header.size.div_ceil(byte_covers);
        while byte < bytes {
            let (cluster, within) = (byte / header.cluster_size(), byte % header.cluster_size());
            let take = PIECE.min(header.cluster_size() - within).min(bytes - byte);
            let entry = big(&read(image, self.table.saturating_add(cluster * 8), 8)?, 0, 8);
            let piece = match (entry & OFFSET, entry & 1) {
                (0, 0) => None,
                (0, _) => Some(vec![0xff; take as usize]),
                (offset, _) => Some(read(image, offset + within, take)?),
            };
            let pieces = (byte..).zip(piece.iter().flatten());
            for (byte, bits) in pieces.filter(|(_, bits)| **bits != 0) {
                for bit in (0..8).filter(|bit| bits >> bit & 1 == 1) {
                    let from = byte * byte_covers + bit * granularity;
                    if !found.push(from, from + granularity) {
                        return Ok(found.finish());
                    }
                }
            }
            byte += take;
        }
        Ok(found.finish())
    }
}

fn read(image: &dyn Blob, at: u64, length: u64) -> Result<Vec<u8>> {
    if at.checked_add(length).is_none_or(|end| end > image.size()) {
        return Err(Error::corrupt(at, "a bitmap leaves the file"));
    }
    image.read(at, length as u32)
}
