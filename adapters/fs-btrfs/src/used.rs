//! Which parts of the device are in use, as the tree of extents says.

use crate::Btrfs;
use crate::key::{self, Key};
use crate::superblock::{LENGTH, PLACES};
use crate::tree::Range;
use wherry_sdk::{Ranges, Result};

/// What no chunk lies in (BTRFS_DEVICE_RANGE_RESERVED).
const RESERVED: u64 = 1 << 20;

/// A piece of the device with chunks' content, or with something that is always used.
struct Piece {
    from: u64,
    to: u64,
    /// The logical address of its first byte; none: all of it is used.
    logical: Option<u64>,
}

impl Btrfs<'_> {
    /// Used ranges of the device from `start` on, at most `most`.
    pub fn used_ranges(&mut self, start: u64, most: u32) -> Result<Vec<wherry_sdk::Range>> {
        let size = self.store.device.size();
        let mut list = Ranges::new(start..size, most);
        if self.doubt {
            list.push(0, size);
            return Ok(list.finish());
        }
        let end = self.store.superblock.device_size().min(size);
        for piece in self.pieces(end) {
            let (from, to) = (piece.from, piece.to);
            if to <= start {
                continue;
            }
            let Some(logical) = piece.logical else { if list.push(from, to) { continue } else { break } };
            let mut full = false;
            let root = self.root(key::EXTENT_TREE)?;
            // An extent may begin before where the caller wants to go on.
            let first = logical + start.saturating_sub(from);
            let before = self.extent_before(first)?.filter(|before| *before >= logical).unwrap_or(logical);
            let last = logical + (to - from) - 1;
            let range = Range { from: Key::new(before, 0, 0), to: Key::new(last, u8::MAX, u64::MAX) };
            let node = u64::from(self.store.superblock.node);
            // Damaged extents may overlap.
            let mut behind = from;
            self.store.each(root, range, &mut |key, _| {
                let length = match key.kind {
                    key::EXTENT_ITEM => key.offset,
                    key::METADATA_ITEM => node,
                    _ => return Ok(true),
                };
                let at = from + (key.object - logical);
                let end = at.saturating_add(length).min(to);
                full = !list.push(at.max(behind), end);
                behind = behind.max(end);
                Ok(!full)
            })?;
            if full {
                break;
            }
        }
        let mut list = list.finish();
        if list.is_empty() && start == 0 {
            list.push(wherry_sdk::Range { offset: 0, length: size });
        }
        Ok(list)
    }

    /// Where the last extent before an address begins.
    fn extent_before(&mut self, address: u64) -> Result<Option<u64>> {
        let root = self.root(key::EXTENT_TREE)?;
        let found = self.store.before(root, Key::new(address, u8::MAX, u64::MAX))?;
        Ok(found.map(|(key, _)| key.object))
    }

    /// Pieces that cover everything that may be used, in order, without overlaps.
    fn pieces(&self, end: u64) -> Vec<Piece> {
        let mut chunks: Vec<(u64, u64, u64)> = Vec::new();
        for chunk in self.store.chunks.iter() {
            chunks.extend(chunk.whole().iter().map(|copy| (*copy, chunk.length, chunk.start)));
        }
        chunks.sort_unstable();
        let mut fixed: Vec<(u64, u64)> = vec![(0, RESERVED)];
        fixed.extend(PLACES.iter().map(|place| (*place, place + LENGTH as u64)));
        fixed.retain(|(from, _)| *from < end);
        let mut list: Vec<Piece> = Vec::new();
        let mut at = 0;
        let mut add = |list: &mut Vec<Piece>, from: u64, to: u64, logical: Option<u64>| {
            let skipped = at.max(from) - from;
            if from + skipped < to {
                list.push(Piece {
                    from: from + skipped,
                    to,
                    logical: logical.map(|logical| logical + skipped),
                });
                at = to;
            }
        };
        let mut fixed = fixed.into_iter().peekable();
        for (offset, length, logical) in chunks {
            let mut from = offset;
            while let Some((start, stop)) = fixed.next_if(|(start, _)| *start < offset + length) {
                if start > from {
                    add(&mut list, from, start, Some(logical + (from - offset)));
                }
                add(&mut list, start, stop, None);
                from = from.max(stop);
            }
            if from < offset + length {
                add(&mut list, from, offset + length, Some(logical + (from - offset)));
            }
        }
        fixed.for_each(|(from, to)| add(&mut list, from, to, None));
        list
    }
}
