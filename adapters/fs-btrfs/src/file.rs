//! Changes of what files hold.

use crate::Btrfs;
use crate::bytes::{put, put_u64};
use crate::change::file_reference;
use crate::content::{Extent, HEAD, INLINE, LENGTH, REGULAR};
use crate::inode::{Inode, NO_SUMS};
use crate::key::{self, Key};
use crate::reference::Piece;
use wherry_sdk::{Blob, Error, ErrorKind, Result};

/// The most that goes into the item itself (Linux' default for the mount option max_inline).
const INLINE_MOST: u64 = 2048;
/// A file whose content is in an item has a sector at most; more than that is taken into memory only where others follow it.
const HELD_MOST: u64 = 1 << 20;
/// Content that is moved at once.
const PIECE: u64 = 1 << 20;

/// The item of an extent that is elsewhere, or nowhere.
fn regular(generation: u64, extent: &Extent) -> Vec<u8> {
    let mut item = vec![0; LENGTH];
    put_u64(&mut item, 0, generation);
    put_u64(&mut item, 8, extent.unpacked);
    put(&mut item, 16, &[extent.compression]);
    put(&mut item, 20, &[extent.kind]);
    put_u64(&mut item, 21, extent.address);
    put_u64(&mut item, 29, extent.stored);
    put_u64(&mut item, 37, extent.offset);
    put_u64(&mut item, 45, extent.length);
    item
}

/// The item of an extent that holds its content.
fn inline(generation: u64, content: &[u8]) -> Vec<u8> {
    let mut item = vec![0; HEAD];
    put_u64(&mut item, 0, generation);
    put_u64(&mut item, 8, content.len() as u64);
    item.extend_from_slice(content);
    item
}

impl Btrfs<'_> {
    /// Bytes that an item of an extent can hold itself.
    fn inline_most(&self) -> u64 {
        let sector = u64::from(self.store.superblock.sector);
        let item =
            u64::from(self.store.superblock.node) - (crate::block::HEADER + crate::block::ITEM + HEAD) as u64;
        item.min(sector - 1)
    }

    /// Puts short content, such as a link's target, into a new inode's item.
    pub fn put_inline(&mut self, inode: &mut Inode, content: &[u8]) -> Result<()> {
        let most = self.inline_most();
        if content.len() as u64 > most {
            let message =
                format!("{} bytes are more than the {most} that a link can have here", content.len());
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let item = inline(self.store.superblock.generation(), content);
        self.put_item(inode.place.tree, Key::new(inode.place.number, key::EXTENT_DATA, 0), item)?;
        inode.set_size(content.len() as u64);
        inode.set_bytes(content.len() as u64);
        Ok(())
    }

    /// Refuses content for which there is no room, before anything has changed.
    pub fn check_room(&mut self, length: u64) -> Result<()> {
        let free = self.data_room();
        if length <= free {
            return Ok(());
        }
        let message =
            format!("{length} bytes do not fit into the {free} that are free: free some in the guest");
        Err(Error::new(ErrorKind::NoSpace, message))
    }

    /// Replaces all that a file holds.
    pub fn set_content(&mut self, inode: &mut Inode, content: &dyn Blob) -> Result<()> {
        let size = content.size();
        self.cut_extents(inode, 0, u64::MAX)?;
        if size <= INLINE_MOST.min(self.inline_most()) {
            if size > 0 {
                let bytes = content.read(0, size as u32)?;
                self.put_inline(inode, &bytes)?;
            }
        } else {
            self.store_content(inode, 0, size, &|from, length| content.read(from, length as u32))?;
        }
        inode.set_size(size);
        Ok(())
    }

    /// Overwrites from `offset` on, which is not beyond the end.
    pub fn change_content(&mut self, inode: &mut Inode, offset: u64, content: &dyn Blob) -> Result<()> {
        let (size, sector) = (inode.size(), u64::from(self.store.superblock.sector));
        let end = offset.checked_add(content.size()).filter(|end| *end < 1 << 62);
        let end = end.ok_or_else(|| Error::new(ErrorKind::InvalidInput, "the file would have no end"))?;
        if content.size() == 0 {
            return Ok(());
        }
        let first = self.extents(inode, 0, 1)?;
        let held = first.first().filter(|extent| extent.kind == INLINE).map_or(0, |_| size);
        if held > HELD_MOST {
            let message = format!(
                "inode {} has {held} bytes and begins in an item: run btrfs check",
                inode.place.number
            );
            return Err(Error::new(ErrorKind::Corrupt, message));
        }
        // What is in an item is moved out, or written anew, as a whole.
        let (from, to) = if held > 0 { (0, end.max(size)) } else { (offset - offset % sector, end) };
        let to = to.max(end.next_multiple_of(sector).min(size));
        let old = inode.clone();
        let head = self.read_whole(&old, from, offset - from)?;
        let tail = if to > end {
            self.read_whole(&old, end, (size.min(to)).saturating_sub(end))?
        } else {
            Vec::new()
        };
        self.cut_extents(inode, from, to.next_multiple_of(sector))?;
        let piece = |at: u64, length: u64| -> Result<Vec<u8>> {
            let mut bytes = Vec::with_capacity(length as usize);
            let mut at = at;
            let stop = at + length;
            while at < stop {
                let (source, within): (&[u8], u64) = if at < offset {
                    (&head, at - from)
                } else if at < end {
                    let take = (end - at).min(stop - at);
                    bytes.extend(content.read(at - offset, take as u32)?);
                    at += take;
                    continue;
                } else {
                    (&tail, at - end)
                };
                let rest = source.get(within as usize..).unwrap_or_default();
                let take = (rest.len() as u64).min(stop - at).max(1);
                bytes.extend_from_slice(rest.get(..take as usize).unwrap_or(&[0]));
                at += take;
            }
            Ok(bytes)
        };
        let new_size = size.max(end);
        if held > 0 && new_size <= INLINE_MOST.min(self.inline_most()) {
            let bytes = piece(0, new_size)?;
            self.put_inline(inode, &bytes)?;
        } else {
            self.store_content(inode, from, to - from, &piece)?;
        }
        inode.set_size(new_size);
        Ok(())
    }

    fn read_whole(&mut self, inode: &Inode, from: u64, length: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(length as usize);
        while (bytes.len() as u64) < length {
            let rest = (length - bytes.len() as u64).min(PIECE);
            let piece = self.read_file(inode, from + bytes.len() as u64, rest as u32)?;
            if piece.is_empty() {
                break;
            }
            bytes.extend(piece);
        }
        Ok(bytes)
    }

    /// Stores `length` bytes from the sector's edge `from` on, where the file has nothing.
    fn store_content(
        &mut self,
        inode: &mut Inode,
        from: u64,
        length: u64,
        piece: &dyn Fn(u64, u64) -> Result<Vec<u8>>,
    ) -> Result<()> {
        let sector = u64::from(self.store.superblock.sector);
        let end = (from + length).next_multiple_of(sector);
        let generation = self.store.superblock.generation();
        let place = inode.place;
        let mut at = from;
        while at < end {
            let (address, taken) = self.take_data(end - at)?;
            let mut done = 0;
            while done < taken {
                let step = (taken - done).min(PIECE);
                let wanted = (from + length).saturating_sub(at + done).min(step);
                let mut bytes = piece(at + done, wanted)?;
                bytes.resize(step as usize, 0);
                self.store.write_data(address + done, &bytes)?;
                if inode.flags() & NO_SUMS == 0 {
                    self.add_sums(address + done, &bytes)?;
                }
                done += step;
            }
            let extent = Extent {
                at,
                length: taken,
                kind: REGULAR,
                compression: 0,
                address,
                stored: taken,
                unpacked: taken,
                offset: 0,
                inline: Vec::new(),
            };
            let data = Piece::Data { address, length: taken };
            self.note(data, file_reference(place.tree, place.number, &extent), true);
            self.put_item(
                place.tree,
                Key::new(place.number, key::EXTENT_DATA, at),
                regular(generation, &extent),
            )?;
            inode.set_bytes(inode.bytes() + taken);
            at += taken;
        }
        Ok(())
    }

    /// Takes a range, from one sector's edge to another, out of a file.
    pub fn cut_extents(&mut self, inode: &mut Inode, from: u64, to: u64) -> Result<()> {
        let place = inode.place;
        let (generation, sector) =
            (self.store.superblock.generation(), u64::from(self.store.superblock.sector));
        for extent in self.extents(inode, from, to)? {
            if extent.room_end(sector) <= from {
                continue;
            }
            let key = |at| Key::new(place.number, key::EXTENT_DATA, at);
            self.remove_item(place.tree, key(extent.at))?;
            if extent.kind == INLINE {
                inode.set_bytes(inode.bytes().saturating_sub(extent.length));
                continue;
            }
            let (left, right) =
                (from.saturating_sub(extent.at), extent.end().saturating_sub(to.max(extent.at)));
            let stored = extent.address != 0;
            let mut kept = 0;
            for (at, length) in [(extent.at, left), (extent.end() - right, right)] {
                if length == 0 {
                    continue;
                }
                let offset = if stored { extent.offset + (at - extent.at) } else { 0 };
                let part = Extent { at, length, offset, ..extent.clone() };
                self.put_item(place.tree, key(at), regular(generation, &part))?;
                kept += 1;
            }
            if stored {
                let piece = Piece::Data { address: extent.address, length: extent.stored };
                let reference = file_reference(place.tree, place.number, &extent);
                match kept {
                    0 => self.note(piece, reference, false),
                    2 => self.note(piece, reference, true),
                    _ => {}
                }
                inode.set_bytes(inode.bytes().saturating_sub(extent.length - left - right));
            }
        }
        Ok(())
    }
}
