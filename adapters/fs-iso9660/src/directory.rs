//! The entries of a directory.

use crate::descriptor::{Names, SECTOR};
use crate::record::Record;
use crate::rock::{self, Extra};
use wherry_sdk::{Blob, Error, ErrorKind, Kind, Meta, READ_MOST, Result};

/// Bytes of one directory that are read.
const BYTES_MOST: u64 = 8 << 20;
/// Bits of a mode's type (`S_IFMT` and the like; RRIP 4.1.1).
const TYPE: u32 = 0o170_000;
const LINK: u32 = 0o120_000;
const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;

/// One tree, as it is read.
pub struct Tree {
    /// The disk.
    pub device: Box<dyn Blob>,
    /// How names are written.
    pub names: Names,
    /// Bytes of a logical block.
    pub block: u64,
    /// Bytes to skip before Rock Ridge's entries; none without it.
    pub rock: Option<usize>,
}

/// A file, directory or link.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its attributes.
    pub meta: Meta,
    /// Where its data is: byte of the device and length, in order.
    pub extents: Vec<(u64, u64)>,
    /// Where a link leads.
    pub target: Option<String>,
    /// Why its data cannot be read.
    pub odd: Option<&'static str>,
}

impl Tree {
    /// The entries of the directory whose data is at these places, without itself and the one above.
    pub fn entries(&self, extents: &[(u64, u64)]) -> Result<Vec<Entry>> {
        let mut all = Vec::new();
        let mut open: Option<(Record, Entry)> = None;
        for record in self.records(extents)? {
            if record.is_hidden() {
                continue;
            }
            if let Some((first, entry)) = open.as_mut().filter(|(first, _)| record.continues(first)) {
                entry.extents.push((record.extent * self.block, record.size));
                entry.meta.size += record.size;
                if !record.goes_on() {
                    all.extend(open.take().map(|(_, entry)| entry));
                } else {
                    *first = record;
                }
                continue;
            }
            // The last piece of a file is missing: what is there is shown.
            all.extend(open.take().map(|(_, entry)| entry));
            let extra = self.extra(&record)?;
            if extra.moved {
                continue;
            }
            let goes_on = record.goes_on();
            let entry = self.entry(&record, extra)?;
            if goes_on {
                open = Some((record, entry));
            } else {
                all.push(entry);
            }
        }
        all.extend(open.map(|(_, entry)| entry));
        Ok(all)
    }

    fn records(&self, extents: &[(u64, u64)]) -> Result<Vec<Record>> {
        let total = extents.iter().fold(0_u64, |sum, (_, length)| sum.saturating_add(*length));
        if total > BYTES_MOST {
            let message = format!("a directory of {total} bytes, more than the {BYTES_MOST} that are read");
            return Err(Error::new(ErrorKind::Limit, message));
        }
        let mut records = Vec::new();
        for (start, length) in extents {
            let bytes = self.read(*start, *length)?;
            // Records do not cross sectors (6.8.1.1).
            for (number, sector) in (0_u64..).zip(bytes.chunks(SECTOR as usize)) {
                let (base, mut rest) = (start + number * SECTOR, sector);
                while let Some((record, length)) =
                    Record::parse(rest, base + (sector.len() - rest.len()) as u64, self.names)
                {
                    records.push(record);
                    rest = rest.get(length..).unwrap_or_default();
                }
            }
        }
        Ok(records)
    }

    /// Bytes of the device.
    pub fn read(&self, start: u64, length: u64) -> Result<Vec<u8>> {
        let end = start.checked_add(length).filter(|end| *end <= self.device.size());
        let end = end.ok_or_else(|| {
            let message =
                format!("{length} bytes from here are beyond the end of the disk: is the image complete?");
            Error::corrupt(start, message)
        })?;
        let mut bytes = Vec::new();
        while start + (bytes.len() as u64) < end {
            let at = start + bytes.len() as u64;
            bytes.extend(self.device.read(at, (end - at).min(u64::from(READ_MOST)) as u32)?);
        }
        Ok(bytes)
    }

    fn extra(&self, record: &Record) -> Result<Extra> {
        let Some(area) = self.rock.and_then(|skip| record.system.get(skip..)) else {
            return Ok(Extra::default());
        };
        rock::read(self.device.as_ref(), area, self.block)
    }

    fn entry(&self, record: &Record, extra: Extra) -> Result<Entry> {
        let name = record.shown(self.names, &extra);
        let (mut extents, mut size) = (vec![(record.extent * self.block, record.size)], record.size);
        let mut folder = record.is_directory();
        if let Some(child) = extra.child {
            // Its own record is the first of its data.
            let at = child * self.block;
            let first = self.read(at, SECTOR)?;
            let (own, _) = Record::parse(&first, at, self.names).ok_or_else(|| {
                Error::corrupt(at, format!("directory {name} is not where Rock Ridge says"))
            })?;
            (extents, size, folder) = (vec![(own.extent * self.block, own.size)], own.size, true);
        }
        let link = extra.target.is_some() && extra.posix.is_some_and(|[mode, ..]| mode & TYPE == LINK);
        let other = extra.posix.is_some_and(|[mode, ..]| !matches!(mode & TYPE, 0 | LINK | FOLDER | FILE));
        let kind = match () {
            () if folder => Kind::Directory,
            () if link => Kind::Symlink,
            () if other => Kind::Other,
            () => Kind::File,
        };
        let [mode, links, uid, gid] = extra.posix.unwrap_or([if folder { 0o555 } else { 0o444 }, 1, 0, 0]);
        let odd = match () {
            () if record.interleaved => Some("it lies in pieces with gaps (interleaved)"),
            () if extra.packed => Some("it is packed (zisofs)"),
            () => None,
        };
        let meta = Meta {
            kind,
            size: if kind == Kind::File || kind == Kind::Directory { size } else { 0 },
            mode: mode & 0o7777,
            uid,
            gid,
            mtime: extra.mtime.unwrap_or(record.mtime),
            id: record.at,
            links: links.max(1),
            attributes: Vec::new(),
        };
        Ok(Entry { name, meta, extents, target: extra.target, odd })
    }
}
