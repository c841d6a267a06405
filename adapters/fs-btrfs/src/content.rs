//! What files hold: extents (struct btrfs_file_extent_item), packed or not, and their checksums.

use crate::Btrfs;
use crate::bytes::{byte_at, part, u64_at};
use crate::compression;
use crate::inode::{Inode, NO_SUMS};
use crate::key::{self, Key};
use crate::tree::Range;
use std::rc::Rc;
use wherry_sdk::{Error, READ_MOST, Result};

/// Bytes of an extent's item before inline content, and of one that is elsewhere.
pub const HEAD: usize = 21;
pub const LENGTH: usize = 53;
/// Kinds.
pub const INLINE: u8 = 0;
pub const REGULAR: u8 = 1;
pub const PREALLOCATED: u8 = 2;

/// A piece of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Where in the file, in bytes.
    pub at: u64,
    /// Bytes of the file.
    pub length: u64,
    pub kind: u8,
    pub compression: u8,
    /// Where it is, and how long it is there; 0: nowhere, it reads as zeros.
    pub address: u64,
    pub stored: u64,
    /// Bytes of the whole extent when it is unpacked, and where in them this piece begins.
    pub unpacked: u64,
    pub offset: u64,
    /// Content that is in the item.
    pub inline: Vec<u8>,
}

impl Extent {
    /// An item that makes sense.
    pub fn parse(key: Key, item: &[u8]) -> Result<Self> {
        let bad = |what: &str| {
            let message = format!("extent {} of inode {} {what}: run btrfs check", key.offset, key.object);
            Error::new(wherry_sdk::ErrorKind::Corrupt, message)
        };
        let mut extent = Self {
            at: key.offset,
            length: u64_at(item, 45),
            kind: byte_at(item, 20),
            compression: byte_at(item, 16),
            address: u64_at(item, 21),
            stored: u64_at(item, 29),
            unpacked: u64_at(item, 8),
            offset: u64_at(item, 37),
            inline: Vec::new(),
        };
        if byte_at(item, 17) != 0 {
            return Err(Error::unsupported(format!("inode {} is encrypted", key.object)));
        }
        if extent.kind == INLINE {
            (extent.address, extent.stored, extent.offset) = (0, 0, 0);
            extent.length = extent.unpacked;
            extent.inline = part(item, HEAD, item.len()).to_vec();
            if extent.length > compression::UNPACKED_MOST {
                return Err(bad("is too long"));
            }
        } else if item.len() < LENGTH || extent.kind > PREALLOCATED || extent.length == 0 {
            return Err(bad("makes no sense"));
        }
        if extent.at.checked_add(extent.length).is_none()
            || extent.offset.checked_add(extent.length).is_none()
        {
            return Err(bad("has no end"));
        }
        let whole = if extent.compression == 0 { extent.stored } else { extent.unpacked };
        if extent.address != 0 && extent.offset + extent.length > whole {
            return Err(bad("lies beyond the end of what is stored"));
        }
        Ok(extent)
    }

    pub fn end(&self) -> u64 {
        self.at + self.length
    }

    /// Where the next one can begin: what is in an item has its last sector to itself.
    pub fn room_end(&self, sector: u64) -> u64 {
        if self.kind == INLINE { self.end().next_multiple_of(sector) } else { self.end() }
    }

    /// Whether it reads as zeros.
    fn is_hole(&self) -> bool {
        self.kind == PREALLOCATED || self.kind == REGULAR && self.address == 0
    }
}

/// An unpacked extent that was read last.
pub struct Unpacked {
    address: u64,
    bytes: Rc<Vec<u8>>,
}

impl Btrfs<'_> {
    /// The extents of a file that have bytes from `from` to `to`, in order.
    pub fn extents(&mut self, inode: &Inode, from: u64, to: u64) -> Result<Vec<Extent>> {
        let place = inode.place;
        let first = self.last_before(place.tree, Key::new(place.number, key::EXTENT_DATA, from))?;
        let from = first.map_or(from, |(key, _)| key.offset);
        let range = Range {
            from: Key::new(place.number, key::EXTENT_DATA, from),
            to: Key::new(place.number, key::EXTENT_DATA, to.saturating_sub(1)),
        };
        self.items(place.tree, range)?.iter().map(|(key, item)| Extent::parse(*key, item)).collect()
    }

    /// Up to `length` bytes, at most [`READ_MOST`].
    pub fn read_file(&mut self, inode: &Inode, offset: u64, length: u32) -> Result<Vec<u8>> {
        let end = offset.saturating_add(u64::from(length.min(READ_MOST))).min(inode.size());
        if offset >= end {
            return Ok(Vec::new());
        }
        let mut bytes = vec![0; (end - offset) as usize];
        for extent in self.extents(inode, offset, end)? {
            let (from, to) = (extent.at.max(offset), extent.end().min(end));
            if from >= to || extent.is_hole() {
                continue;
            }
            let piece = self.piece(inode, &extent, from - extent.at, to - from)?;
            let place = bytes.get_mut((from - offset) as usize..(to - offset) as usize).unwrap_or_default();
            let shown = part(&piece, 0, place.len());
            place.get_mut(..shown.len()).unwrap_or_default().copy_from_slice(shown);
        }
        Ok(bytes)
    }

    /// `length` bytes of an extent from its byte `within` on.
    fn piece(&mut self, inode: &Inode, extent: &Extent, within: u64, length: u64) -> Result<Vec<u8>> {
        let sector = self.store.superblock.sector;
        if extent.kind == INLINE {
            let unpacked = match extent.compression {
                0 => extent.inline.clone(),
                kind => compression::unpack(kind, &extent.inline, extent.unpacked, sector)?,
            };
            return Ok(part(&unpacked, within as usize, length as usize).to_vec());
        }
        let start = extent.offset + within;
        if extent.compression == 0 {
            return self.summed(inode, extent.address + start, length);
        }
        if extent.stored > compression::UNPACKED_MOST {
            return Err(Error::corrupt(extent.address, "a packed extent is too long: run btrfs check"));
        }
        let known = self.unpacked.as_ref().filter(|known| known.address == extent.address);
        let bytes = match known {
            Some(known) => Rc::clone(&known.bytes),
            None => {
                let packed = self.summed(inode, extent.address, extent.stored)?;
                let bytes = compression::unpack(extent.compression, &packed, extent.unpacked, sector)?;
                let bytes = Rc::new(bytes);
                self.unpacked = Some(Unpacked { address: extent.address, bytes: Rc::clone(&bytes) });
                bytes
            }
        };
        Ok(part(&bytes, start as usize, length as usize).to_vec())
    }

    /// Content at an address, compared with its sums where there are some.
    fn summed(&mut self, inode: &Inode, address: u64, length: u64) -> Result<Vec<u8>> {
        let sector = u64::from(self.store.superblock.sector);
        let (from, to) = (address - address % sector, (address + length).next_multiple_of(sector));
        let algorithm = self.store.superblock.algorithm;
        let sums = if inode.flags() & NO_SUMS == 0 { self.sums(from, to)? } else { Vec::new() };
        let mut bytes = Vec::with_capacity((to - from) as usize);
        let mut at = from;
        while at < to {
            let piece = (to - at).min(u64::from(READ_MOST)).min(self.store.chunks.run(at));
            let first = ((at - from) / sector) as usize;
            let sound = |read: &[u8]| {
                read.chunks(sector as usize)
                    .zip(sums.iter().skip(first))
                    .all(|(bytes, sum)| sum.as_ref().is_none_or(|sum| algorithm.sum(bytes) == *sum))
            };
            let read = self.store.data(at, piece, &sound);
            let read = read.map_err(|error| error.within(&format!("inode {}", inode.place.number)))?;
            bytes.extend(read);
            at += piece;
        }
        Ok(part(&bytes, (address - from) as usize, length as usize).to_vec())
    }

    /// The sums of the sectors between two addresses, as far as there are some.
    fn sums(&mut self, from: u64, to: u64) -> Result<Vec<Option<Vec<u8>>>> {
        let (sector, length) =
            (u64::from(self.store.superblock.sector), self.store.superblock.algorithm.length());
        let mut list = vec![None; ((to - from) / sector) as usize];
        if self.find_tree(key::CSUM_TREE)?.is_none() {
            return Ok(list);
        }
        let key = |offset| Key::new(key::CSUM_OBJECT, key::EXTENT_CSUM, offset);
        let first = self.last_before(key::CSUM_TREE, key(from))?.map_or(from, |(key, _)| key.offset);
        let range = Range { from: key(first), to: key(to - 1) };
        for (key, item) in self.items(key::CSUM_TREE, range)? {
            for (number, sum) in item.chunks_exact(length).enumerate() {
                let at = key.offset.saturating_add(number as u64 * sector);
                let slot = at.checked_sub(from).map(|within| (within / sector) as usize);
                if let Some(place) = slot.and_then(|slot| list.get_mut(slot)) {
                    *place = Some(sum.to_vec());
                }
            }
        }
        Ok(list)
    }
}
