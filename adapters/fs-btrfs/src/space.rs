//! Free space: block groups, what is free in them, and the tree that says so (Linux: fs/btrfs/free-space-tree.c).

use crate::Btrfs;
use crate::bytes::{byte_at, put_u32, put_u64, u32_at, u64_at};
use crate::chunk::{DATA, METADATA};
use crate::features;
use crate::key::{self, Key};
use crate::reference::Piece;
use crate::tree::Range;
use std::collections::BTreeMap;
use wherry_sdk::{Error, ErrorKind, Result};

/// Around the copies of the superblock nothing is allocated (BTRFS_STRIPE_LEN).
const STRIPE: u64 = 64 << 10;
/// Blocks that have to be free before a change of a tree begins: more than it can take.
const RESERVED: usize = 64;
/// The most bytes of one extent (BTRFS_MAX_EXTENT_SIZE).
const EXTENT_MOST: u64 = 128 << 20;
/// In the tree of free space: sectors by bits.
const USING_BITMAPS: u32 = 1;

/// A block group.
pub struct Group {
    length: u64,
    kind: u64,
    /// Bytes.
    used: u64,
    /// It has to be written back.
    changed: bool,
    /// Free ranges by where they begin; none until they are asked for.
    free: Option<BTreeMap<u64, u64>>,
}

fn no_space(what: &str) -> Error {
    let message = format!(
        "no room for {what} in the block groups there are: free some in the guest, or run btrfs balance"
    );
    Error::new(ErrorKind::NoSpace, message)
}

impl Btrfs<'_> {
    fn group_tree(&self) -> u64 {
        let own = self.store.superblock.has_ro(features::BLOCK_GROUP_TREE);
        if own { key::BLOCK_GROUP_TREE } else { key::EXTENT_TREE }
    }

    /// Reads all block groups, before the first change.
    pub fn open_groups(&mut self) -> Result<()> {
        if !self.groups.is_empty() {
            return Ok(());
        }
        let chunks: Vec<(u64, u64)> =
            self.store.chunks.iter().map(|chunk| (chunk.start, chunk.length)).collect();
        let tree = self.group_tree();
        for (start, length) in chunks {
            let missing =
                || Error::corrupt(start, format!("the block group at {start} is missing: run btrfs check"));
            let key = Key::new(start, key::BLOCK_GROUP_ITEM, length);
            let item = self.item(tree, key)?.ok_or_else(missing)?;
            let (used, kind) = (u64_at(&item, 0), u64_at(&item, 16));
            self.groups.insert(start, Group { length, kind, used, changed: false, free: None });
        }
        Ok(())
    }

    /// Writes back how much is used.
    pub fn close_groups(&mut self) -> Result<()> {
        let tree = self.group_tree();
        let changed: Vec<(u64, u64, u64)> = self
            .groups
            .iter()
            .filter(|(_, group)| group.changed)
            .map(|(start, group)| (*start, group.length, group.used))
            .collect();
        for (start, length, used) in changed {
            let key = Key::new(start, key::BLOCK_GROUP_ITEM, length);
            let mut item = self.item(tree, key)?.unwrap_or_default();
            put_u64(&mut item, 0, used);
            self.put_item(tree, key, item)?;
            if let Some(group) = self.groups.get_mut(&start) {
                group.changed = false;
            }
        }
        Ok(())
    }

    /// Makes sure that changes of trees find room, whatever state the tree of extents is in meanwhile.
    pub fn reserve(&mut self) -> Result<()> {
        let node = u64::from(self.store.superblock.node);
        loop {
            let loaded = self.groups.values().filter(|group| group.kind & METADATA != 0);
            let free = loaded.filter_map(|group| group.free.as_ref());
            let blocks = free.flat_map(BTreeMap::values).map(|length| length / node);
            // Counting stops where there is enough.
            let mut found = 0;
            if blocks.into_iter().any(|count| {
                found += count as usize;
                found >= RESERVED
            }) {
                return Ok(());
            }
            let next = self.groups.iter().find(|(_, group)| {
                group.kind & METADATA != 0 && group.free.is_none() && group.used < group.length
            });
            let Some((start, _)) = next else { return Err(no_space("metadata")) };
            let start = *start;
            self.load(start)?;
        }
    }

    /// Finds out what is free in a group.
    fn load(&mut self, start: u64) -> Result<()> {
        let length = self.groups.get(&start).map_or(0, |group| group.length);
        let end = start + length;
        let node = u64::from(self.store.superblock.node);
        let root = self.root(key::EXTENT_TREE)?;
        let mut used: Vec<(u64, u64)> = Vec::new();
        let range = Range { from: Key::new(start, 0, 0), to: Key::new(end - 1, u8::MAX, u64::MAX) };
        self.store.each(root, range, &mut |key, _| {
            match key.kind {
                key::EXTENT_ITEM => used.push((key.object, key.offset)),
                key::METADATA_ITEM => used.push((key.object, node)),
                _ => {}
            }
            Ok(true)
        })?;
        used.extend(self.stripes(start));
        used.sort_unstable();
        let mut free = BTreeMap::new();
        let mut at = start;
        for (from, length) in used {
            if from > at {
                free.insert(at, from - at);
            }
            at = at.max(from.saturating_add(length));
        }
        if at < end {
            free.insert(at, end - at);
        }
        if let Some(group) = self.groups.get_mut(&start) {
            group.free = Some(free);
        }
        Ok(())
    }

    /// Ranges of a group where a copy of the superblock is on the device.
    fn stripes(&self, start: u64) -> Vec<(u64, u64)> {
        let Some(chunk) = self.store.chunks.of(start) else { return Vec::new() };
        let mut list = Vec::new();
        for place in self.store.members.superblocks() {
            list.extend(chunk.back(place, place + STRIPE));
        }
        list
    }

    /// The address of a new block of a tree; whoever takes it notes a reference.
    pub fn take_block(&mut self) -> Result<u64> {
        let node = u64::from(self.store.superblock.node);
        let groups = self.groups.values_mut().filter(|group| group.kind & METADATA != 0);
        for free in groups.filter_map(|group| group.free.as_mut()) {
            for (start, length) in free.iter() {
                // A block does not cross a stripe of 64 KiB.
                let at = start.next_multiple_of(node);
                if at + node <= start + length {
                    cut(free, at, node);
                    return Ok(at);
                }
            }
        }
        Err(no_space("metadata"))
    }

    /// A free range for content, as much of `length` bytes as is in one piece; whoever takes it notes a reference.
    pub fn take_data(&mut self, length: u64) -> Result<(u64, u64)> {
        let sector = u64::from(self.store.superblock.sector);
        let wanted = length.min(EXTENT_MOST);
        loop {
            let groups = self.groups.values().filter(|group| group.kind & DATA != 0);
            let ranges = groups.filter_map(|group| group.free.as_ref()).flatten();
            let mut best: Option<(u64, u64)> = None;
            for (start, length) in ranges {
                if best.is_none_or(|(_, known)| known < *length) {
                    best = Some((*start, *length));
                }
                if *length >= wanted {
                    best = Some((*start, *length));
                    break;
                }
            }
            if best.is_none_or(|(_, known)| known < wanted) {
                let unknown = |group: &Group| {
                    group.kind & DATA != 0 && group.free.is_none() && group.used < group.length
                };
                let next = self.groups.iter().find(|(_, group)| unknown(group)).map(|(start, _)| *start);
                if let Some(start) = next {
                    self.load(start)?;
                    continue;
                }
            }
            let (start, found) =
                best.filter(|(_, found)| *found >= sector).ok_or_else(|| no_space("content"))?;
            let taken = wanted.min(found - found % sector);
            let group = self.groups.range_mut(..=start).next_back();
            if let Some(free) = group.and_then(|(_, group)| group.free.as_mut()) {
                cut(free, start, taken);
            }
            return Ok((start, taken));
        }
    }

    /// Bytes that content can take.
    pub fn data_room(&mut self) -> u64 {
        let groups = self.groups.values().filter(|group| group.kind & DATA != 0);
        groups.map(|group| group.length.saturating_sub(group.used)).sum()
    }

    /// Takes a range that a log has content in out of what is free.
    pub fn hold(&mut self, address: u64, length: u64) -> Result<()> {
        let in_use =
            || Error::corrupt(address, format!("the log has content at {address}, which is not free for it"));
        let sector = u64::from(self.store.superblock.sector);
        let end =
            address.checked_add(length).filter(|_| length > 0 && (address | length).is_multiple_of(sector));
        let end = end.ok_or_else(in_use)?;
        let group = self.groups.range(..=address).next_back().filter(|(_, group)| group.kind & DATA != 0);
        let (start, unknown) =
            group.map(|(start, group)| (*start, group.free.is_none())).ok_or_else(in_use)?;
        if unknown {
            self.load(start)?;
        }
        let free = self.groups.get_mut(&start).and_then(|group| group.free.as_mut()).ok_or_else(in_use)?;
        let holds = |(at, size): (&u64, &u64)| end <= at + size;
        if !free.range(..=address).next_back().is_some_and(holds) {
            return Err(in_use());
        }
        cut(free, address, length);
        Ok(())
    }

    fn length_of(&self, piece: Piece) -> u64 {
        match piece {
            Piece::Block { .. } => self.store.superblock.node.into(),
            Piece::Data { length, .. } => length,
        }
    }

    /// A piece has its first reference.
    pub fn taken(&mut self, piece: Piece) -> Result<()> {
        let length = self.length_of(piece);
        let group = self.count(piece.address(), length, true)?;
        if self.store.superblock.has_ro(features::FREE_SPACE_TREE) {
            self.mark(group, piece.address(), length, false)?;
        }
        Ok(())
    }

    /// A piece has lost its last reference.
    pub fn freed(&mut self, piece: Piece) -> Result<()> {
        let (address, length) = (piece.address(), self.length_of(piece));
        let group = self.count(address, length, false)?;
        if matches!(piece, Piece::Data { .. }) {
            self.remove_sums(address, length)?;
        }
        if self.store.superblock.has_ro(features::FREE_SPACE_TREE) {
            self.mark(group, address, length, true)?;
        }
        let stripes = self.stripes(group);
        let inside = |(from, size): &(u64, u64)| *from < address + length && address < from + size;
        if let Some(free) = self.groups.get_mut(&group).and_then(|group| group.free.as_mut())
            && !stripes.iter().any(inside)
        {
            join(free, address, length);
        }
        Ok(())
    }

    /// Counts bytes of a group; answers where it begins.
    fn count(&mut self, address: u64, length: u64, add: bool) -> Result<u64> {
        let lost = || {
            Error::corrupt(address, format!("address {address} belongs to no block group: run btrfs check"))
        };
        let (start, group) = self.groups.range_mut(..=address).next_back().ok_or_else(lost)?;
        if address + length > start + group.length {
            return Err(lost());
        }
        let (_, all) = self.store.superblock.sizes();
        group.used = if add { group.used.saturating_add(length) } else { group.used.saturating_sub(length) };
        group.changed = true;
        self.store.superblock.set_used(if add {
            all.saturating_add(length)
        } else {
            all.saturating_sub(length)
        });
        Ok(*start)
    }

    /// Tells the tree of free space that a range is free now, or is not any more.
    fn mark(&mut self, group: u64, address: u64, length: u64, free: bool) -> Result<()> {
        let size = self.groups.get(&group).map_or(0, |group| group.length);
        let info = Key::new(group, key::FREE_SPACE_INFO, size);
        let missing = || {
            let message =
                format!("the tree of free space does not know the group at {group}: run btrfs check");
            Error::new(ErrorKind::Corrupt, message)
        };
        let mut item =
            self.item(key::FREE_SPACE_TREE, info)?.filter(|item| item.len() >= 8).ok_or_else(missing)?;
        let bitmaps = u32_at(&item, 4) & USING_BITMAPS != 0;
        let more = if bitmaps {
            self.mark_bits(group, size, address, length, free)?
        } else if free {
            self.mark_free(group, size, address, length)?
        } else {
            self.mark_used(address, length)?
        };
        let count = i64::from(u32_at(&item, 0)) + more;
        put_u32(&mut item, 0, u32::try_from(count).map_err(|_| missing())?);
        self.put_item(key::FREE_SPACE_TREE, info, item)
    }

    /// Takes a range out of the free one that holds it; how many more there are.
    fn mark_used(&mut self, address: u64, length: u64) -> Result<i64> {
        let root = self.root(key::FREE_SPACE_TREE)?;
        let found = self.store.before(root, Key::new(address, key::FREE_SPACE_EXTENT, u64::MAX))?;
        let holds = |key: &Key| {
            key.kind == key::FREE_SPACE_EXTENT && address + length <= key.object.saturating_add(key.offset)
        };
        let Some((range, _)) = found.filter(|(key, _)| holds(key)) else {
            let message = format!("the tree of free space says that {address} is in use: run btrfs check");
            return Err(Error::new(ErrorKind::Corrupt, message));
        };
        self.remove_item(key::FREE_SPACE_TREE, range)?;
        let (end, rest) = (address + length, range.object + range.offset);
        let mut more = -1;
        for (from, to) in [(range.object, address), (end, rest)] {
            if from < to {
                self.put_item(
                    key::FREE_SPACE_TREE,
                    Key::new(from, key::FREE_SPACE_EXTENT, to - from),
                    Vec::new(),
                )?;
                more += 1;
            }
        }
        Ok(more)
    }

    /// Adds a free range and joins it with its neighbours in the group; how many more there are.
    fn mark_free(&mut self, group: u64, size: u64, address: u64, length: u64) -> Result<i64> {
        let root = self.root(key::FREE_SPACE_TREE)?;
        let (mut from, mut to, mut more) = (address, address + length, 1);
        let before = self.store.before(root, Key::new(address, 0, 0))?.map(|(key, _)| key);
        let range = Range::of(to, key::FREE_SPACE_EXTENT);
        let after = self.items(key::FREE_SPACE_TREE, range)?.first().map(|(key, _)| *key);
        let touches = |key: &Key| {
            key.kind == key::FREE_SPACE_EXTENT && key.object + key.offset == address && key.object >= group
        };
        if let Some(key) = before.filter(touches) {
            from = key.object;
            more -= 1;
            self.remove_item(key::FREE_SPACE_TREE, key)?;
        }
        if let Some(key) = after.filter(|key| key.object < group + size) {
            to = key.object + key.offset;
            more -= 1;
            self.remove_item(key::FREE_SPACE_TREE, key)?;
        }
        self.put_item(key::FREE_SPACE_TREE, Key::new(from, key::FREE_SPACE_EXTENT, to - from), Vec::new())?;
        Ok(more)
    }

    /// The same in a group whose sectors have bits.
    fn mark_bits(&mut self, group: u64, size: u64, address: u64, length: u64, free: bool) -> Result<i64> {
        let end = address + length;
        let sector = u64::from(self.store.superblock.sector);
        let before = address > group && self.bit(address - sector)?;
        let after = end < group + size && self.bit(end)?;
        let mut at = address;
        while at < end {
            let (key, mut bits) = self.bitmap(at)?;
            let last = end.min(key.object + key.offset);
            while at < last {
                let number = ((at - key.object) / sector) as usize;
                if let Some(byte) = bits.get_mut(number / 8) {
                    let bit = 1 << (number % 8);
                    *byte = if free { *byte | bit } else { *byte & !bit };
                }
                at += sector;
            }
            self.put_item(key::FREE_SPACE_TREE, key, bits)?;
        }
        let joined = i64::from(before) + i64::from(after);
        Ok(if free { 1 - joined } else { joined - 1 })
    }

    fn bitmap(&mut self, address: u64) -> Result<(Key, Vec<u8>)> {
        let root = self.root(key::FREE_SPACE_TREE)?;
        let found = self.store.before(root, Key::new(address, key::FREE_SPACE_BITMAP, u64::MAX))?;
        let holds =
            |key: &Key| key.kind == key::FREE_SPACE_BITMAP && address < key.object.saturating_add(key.offset);
        found.filter(|(key, _)| holds(key)).ok_or_else(|| {
            let message = format!("the tree of free space says nothing of {address}: run btrfs check");
            Error::new(ErrorKind::Corrupt, message)
        })
    }

    fn bit(&mut self, address: u64) -> Result<bool> {
        let sector = u64::from(self.store.superblock.sector);
        let (key, bits) = self.bitmap(address)?;
        let number = ((address - key.object) / sector) as usize;
        Ok(byte_at(&bits, number / 8) & 1 << (number % 8) != 0)
    }
}

/// Takes a range out of the free one that holds it.
fn cut(free: &mut BTreeMap<u64, u64>, at: u64, length: u64) {
    let Some((start, size)) = free.range(..=at).next_back().map(|(start, size)| (*start, *size)) else {
        return;
    };
    free.remove(&start);
    if start < at {
        free.insert(start, at - start);
    }
    if at + length < start + size {
        free.insert(at + length, start + size - at - length);
    }
}

/// Adds a free range, joined with its neighbours.
fn join(free: &mut BTreeMap<u64, u64>, at: u64, length: u64) {
    let (mut from, mut to) = (at, at + length);
    if let Some((start, size)) = free.range(..at).next_back().map(|(start, size)| (*start, *size))
        && start + size == at
    {
        free.remove(&start);
        from = start;
    }
    if let Some(size) = free.remove(&to) {
        to += size;
    }
    free.insert(from, to - from);
}
