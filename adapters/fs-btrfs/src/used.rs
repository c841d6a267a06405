//! Which parts of the device are in use, as the tree of extents says.

use crate::Btrfs;
use crate::chunk::Column;
use crate::key::{self, Key};
use crate::tree::Range;
use wherry_sdk::{Ranges, Result};

/// A piece of the device with chunks' content, or with something that is always used.
struct Piece {
    from: u64,
    to: u64,
    /// What of a chunk lies there; none: all of it is used.
    column: Option<Column>,
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
        let end = self.store.members.size().min(size);
        for piece in self.pieces(end) {
            let (from, to) = (piece.from, piece.to);
            if to <= start {
                continue;
            }
            let Some(column) = piece.column else { if list.push(from, to) { continue } else { break } };
            let mut full = false;
            let root = self.root(key::EXTENT_TREE)?;
            // An extent may begin before where the caller wants to go on.
            let first = column.logical(from.max(start));
            let before = self.extent_before(first)?.filter(|before| *before >= column.chunk);
            let before = before.unwrap_or(column.chunk);
            let last = column.logical(to - 1);
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
                let end = column.place(key.object.saturating_add(length)).min(to);
                full = !list.push(column.place(key.object).max(behind), end);
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
        let mut columns: Vec<Column> = self.store.chunks.iter().flat_map(|chunk| chunk.columns()).collect();
        columns.sort_unstable_by_key(|column| column.base);
        let mut fixed = self.store.members.reserved();
        fixed.retain(|(from, _)| *from < end);
        let mut list: Vec<Piece> = Vec::new();
        let mut at = 0;
        let mut add = |list: &mut Vec<Piece>, from: u64, to: u64, column: Option<Column>| {
            let from = at.max(from);
            if from < to {
                list.push(Piece { from, to, column });
                at = to;
            }
        };
        let mut fixed = fixed.into_iter().peekable();
        for column in columns {
            let (mut from, end) = (column.base, column.base.saturating_add(column.length));
            while let Some((start, stop)) = fixed.next_if(|(start, _)| *start < end) {
                if start > from {
                    add(&mut list, from, start, Some(column));
                }
                add(&mut list, start, stop, None);
                from = from.max(stop);
            }
            if from < end {
                add(&mut list, from, end, Some(column));
            }
        }
        fixed.for_each(|(from, to)| add(&mut list, from, to, None));
        list
    }
}
