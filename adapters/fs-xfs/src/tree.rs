//! A tree of an allocation group. Its nodes are read at once, its leaves when they are needed. Leaves are changed in memory;
//! [`Tree::write`] writes those that changed and builds the nodes above them anew, as `xfs_repair` does. A leaf is split or
//! joined with its neighbour when that is due, its blocks come from whoever writes the tree (XFS Algorithms & Data
//! Structures, "Short Format Btrees"; Linux: fs/xfs/libxfs/xfs_btree.c).

use crate::bytes::{Own, be16_at, be32_at, check_place, damaged, finish, part, put, put_be16, put_be32};
use crate::device::Disk;
use crate::record::{Key, Kind, Record};
use std::collections::HashSet;
use wherry_sdk::{Error, ErrorKind, Result};

/// Header of a block in version 4 and 5.
const HEADER: [usize; 2] = [16, 56];
pub const OWN: Own = Own { checksum: 52, sector: 16, uuid: 32, owner: 48, change: 24 };
const NONE: u32 = u32::MAX;
const LEVELS_MOST: u32 = 9;
/// Leaves of one tree: with blocks of 4 KiB 33 million records of free space.
const LEAVES_MOST: usize = 1 << 16;
/// Leaves with records that may overlap a block.
const OVERLAPPING_MOST: usize = 256;
/// Leaves in memory, those without changes and all.
const IDLE_MOST: usize = 64;
const LOADED_MOST: usize = 1 << 10;

struct Leaf {
    block: Option<u32>,
    /// the order of its first record, and what its last records end with
    low: Key,
    high: Key,
    /// what the key of its first record has as its second number
    second: u64,
    records: Option<Vec<Record>>,
    changed: bool,
    /// as they are on the disk
    neighbours: (u32, u32),
}

/// One tree.
pub struct Tree {
    pub kind: Kind,
    group: u32,
    leaves: Vec<Leaf>,
    /// blocks of the nodes, the lowest level first
    nodes: Vec<u32>,
    /// blocks that are not used any more, or not yet
    spare: Vec<u32>,
    changed: bool,
    loaded: usize,
    /// records in a leaf and children of a node, at most
    most: usize,
    children: usize,
}

/// A node or a leaf, as its parent has to know it.
struct Child {
    low: Key,
    high: Key,
    second: u64,
    block: u32,
}

fn highest(kind: Kind, records: &[Record]) -> Key {
    records.iter().map(|record| kind.last(record)).max().unwrap_or_default()
}

/// How many things go into each of the fewest blocks that hold `count`, `most` each: nearly the same in all, so that each
/// is at least half full.
pub fn shares(count: usize, most: usize) -> Vec<usize> {
    let blocks = count.div_ceil(most.max(1)).max(1);
    (0..blocks).map(|index| count / blocks + usize::from(index < count % blocks)).collect()
}

impl Tree {
    /// Reads the nodes of the tree with this root.
    pub fn read(disk: &mut Disk, kind: Kind, group: u32, root: u32, levels: u32) -> Result<Self> {
        let room = disk.superblock.block_size as usize - HEADER[disk.superblock.form()];
        let mut tree = Self {
            kind,
            group,
            leaves: Vec::new(),
            nodes: Vec::new(),
            spare: Vec::new(),
            changed: false,
            loaded: 0,
            most: room / kind.record(),
            children: room / (kind.key() + 4),
        };
        if !(1..=LEVELS_MOST).contains(&levels) {
            return Err(tree.damaged(0, "has an impossible height"));
        }
        let mut row = vec![Child { low: [0; 3], high: [u64::MAX; 3], second: 0, block: root }];
        let mut seen = HashSet::from([root]);
        for level in (1..levels).rev() {
            let mut below = Vec::new();
            let mut nodes = Vec::new();
            for node in &row {
                nodes.push(node.block);
                tree.children_of(disk, node, level, &mut below)?;
            }
            if below.len() > LEAVES_MOST || below.iter().any(|child| !seen.insert(child.block)) {
                return Err(tree.damaged(0, "is too large, or leads to a block twice"));
            }
            nodes.append(&mut tree.nodes);
            tree.nodes = nodes;
            row = below;
        }
        let blocks: Vec<u32> = row.iter().map(|child| child.block).collect();
        let at = |index: Option<usize>| index.and_then(|index| blocks.get(index)).copied().unwrap_or(NONE);
        tree.leaves = row
            .into_iter()
            .enumerate()
            .map(|(index, child)| Leaf {
                block: Some(child.block),
                low: child.low,
                high: child.high,
                second: child.second,
                records: None,
                changed: false,
                neighbours: (at(index.checked_sub(1)), at(index.checked_add(1))),
            })
            .collect();
        if levels == 1 {
            // Nobody told its order.
            tree.load(disk, 0)?;
            if let Some(leaf) = tree.leaves.first_mut() {
                Self::refresh(kind, leaf);
            }
        }
        Ok(tree)
    }

    fn damaged(&self, place: u64, why: &str) -> Error {
        damaged(place, &format!("the tree {:?} of allocation group {} {why}", self.kind, self.group))
    }

    /// The bytes of a block that must be of this level, and how many things are in it.
    fn block(&self, disk: &mut Disk, block: u32, level: u32) -> Result<(Vec<u8>, usize)> {
        let place = disk.superblock.place_in(self.group, u64::from(block), 1);
        let place = place.ok_or_else(|| self.damaged(0, "leaves its group"))?;
        let bytes = disk.device.get(place, disk.superblock.block_size)?;
        let form = disk.superblock.form();
        let own = form == 0
            || check_place(&disk.superblock, &bytes, &OWN, place, "a block of a group's tree").is_ok()
                && be32_at(&bytes, OWN.owner) == self.group;
        let count = usize::from(be16_at(&bytes, 6));
        let most = if level == 0 { self.most } else { self.children };
        let known = be32_at(&bytes, 0) == self.kind.magic(form) && u32::from(be16_at(&bytes, 4)) == level;
        if !own || !known || count > most || level > 0 && count == 0 {
            return Err(self.damaged(place, "has a damaged block"));
        }
        Ok((bytes, count))
    }

    fn children_of(&self, disk: &mut Disk, node: &Child, level: u32, to: &mut Vec<Child>) -> Result<()> {
        let (bytes, count) = self.block(disk, node.block, level)?;
        let (header, size) = (HEADER[disk.superblock.form()], self.kind.key());
        for index in 0..count {
            let key = part(&bytes, header + index * size, size);
            let low = self.kind.read_key(key);
            let block = be32_at(&bytes, header + self.children * size + index * 4);
            let second = u64::from(be32_at(key, 4));
            let high = if self.kind == Kind::Owners { self.kind.read_key(part(key, 20, 20)) } else { low };
            if to.last().is_some_and(|last| last.low >= low) {
                return Err(self.damaged(0, "has nodes out of order"));
            }
            to.push(Child { low, high, second, block });
        }
        Ok(())
    }

    /// Brings a leaf's records into memory.
    fn load(&mut self, disk: &mut Disk, index: usize) -> Result<()> {
        let missing = || Error::new(ErrorKind::Failed, "a leaf of a tree is lost");
        let leaf = self.leaves.get(index).ok_or_else(missing)?;
        if leaf.records.is_some() {
            return Ok(());
        }
        if self.loaded >= IDLE_MOST {
            for leaf in self.leaves.iter_mut().filter(|leaf| !leaf.changed) {
                leaf.records = None;
            }
            self.loaded = self.leaves.iter().filter(|leaf| leaf.records.is_some()).count();
        }
        if self.loaded >= LOADED_MOST {
            let message =
                "one change touches too many blocks of free space: copy the file system onto a fresh one";
            return Err(Error::new(ErrorKind::Limit, message));
        }
        let leaf = self.leaves.get(index).ok_or_else(missing)?;
        let block = leaf.block.ok_or_else(missing)?;
        let (bytes, count) = self.block(disk, block, 0)?;
        let header = HEADER[disk.superblock.form()];
        let size = self.kind.record();
        let records: Vec<Record> = part(&bytes, header, count * size)
            .chunks_exact(size)
            .map(|bytes| self.kind.read(bytes))
            .collect();
        let order: Vec<Key> = records.iter().map(|record| self.kind.order(record)).collect();
        let alone = self.leaves.len() == 1;
        let behind = self.leaves.get(index + 1).map_or([u64::MAX; 3], |leaf| leaf.low);
        let fits = order.first().map_or(alone, |first| alone || *first == leaf.low)
            && order.iter().zip(order.iter().skip(1)).all(|(one, next)| one < next)
            && order.last().is_none_or(|last| *last < behind)
            && (be32_at(&bytes, 8), be32_at(&bytes, 12)) == leaf.neighbours;
        if !fits {
            return Err(self.damaged(0, "has a leaf whose records are not in their places"));
        }
        if let Some(leaf) = self.leaves.get_mut(index) {
            leaf.records = Some(records);
            self.loaded += 1;
        }
        Ok(())
    }

    /// The leaf that a key belongs to.
    fn leaf_of(&self, key: &Key) -> usize {
        self.leaves.partition_point(|leaf| leaf.low <= *key).saturating_sub(1)
    }

    fn records(&mut self, disk: &mut Disk, index: usize) -> Result<&[Record]> {
        self.load(disk, index)?;
        Ok(self.leaves.get(index).and_then(|leaf| leaf.records.as_deref()).unwrap_or_default())
    }

    /// The last record that is not behind `key`.
    pub fn at_or_before(&mut self, disk: &mut Disk, key: Key) -> Result<Option<Record>> {
        let (kind, index) = (self.kind, self.leaf_of(&key));
        let records = self.records(disk, index)?;
        let at = records.partition_point(|record| kind.order(record) <= key);
        Ok(at.checked_sub(1).and_then(|at| records.get(at)).copied())
    }

    /// The last record that is not behind `key`, reaches beyond `block`, and fits. Leaves all of whose records end before are
    /// passed over: where files share blocks, records overlap, and the one that is looked for may be far away.
    pub fn last_over(
        &mut self,
        disk: &mut Disk,
        key: Key,
        block: u64,
        fits: impl Fn(&Record) -> bool,
    ) -> Result<Option<Record>> {
        let (kind, mut looked) = (self.kind, 0);
        for index in (0..=self.leaf_of(&key)).rev() {
            if self.leaves.get(index).is_none_or(|leaf| leaf.high[0] < block) {
                continue;
            }
            looked += 1;
            if looked > OVERLAPPING_MOST {
                let message = "more files share a block than are looked at: copy one of them in the guest";
                return Err(Error::unsupported(message));
            }
            let reaches = |record: &&Record| {
                kind.order(record) <= key && record.start + record.count > block && fits(record)
            };
            if let Some(found) = self.records(disk, index)?.iter().rev().find(reaches) {
                return Ok(Some(*found));
            }
        }
        Ok(None)
    }

    /// The first record that is not before `key`.
    pub fn at_or_behind(&mut self, disk: &mut Disk, key: Key) -> Result<Option<Record>> {
        let (kind, index) = (self.kind, self.leaf_of(&key));
        let records = self.records(disk, index)?;
        let at = records.partition_point(|record| kind.order(record) < key);
        if let Some(record) = records.get(at) {
            return Ok(Some(*record));
        }
        if index + 1 >= self.leaves.len() {
            return Ok(None);
        }
        Ok(self.records(disk, index + 1)?.first().copied())
    }

    /// The last record.
    pub fn last(&mut self, disk: &mut Disk) -> Result<Option<Record>> {
        self.at_or_before(disk, [u64::MAX; 3])
    }

    fn refresh(kind: Kind, leaf: &mut Leaf) {
        let records = leaf.records.as_deref().unwrap_or_default();
        let first = records.first().copied().unwrap_or_default();
        leaf.low = kind.order(&first);
        leaf.second = first.count;
        leaf.high = if kind == Kind::Owners { highest(kind, records) } else { leaf.low };
    }

    /// Runs a change of a leaf's records.
    fn change(
        &mut self,
        disk: &mut Disk,
        index: usize,
        act: impl FnOnce(Kind, &mut Vec<Record>) -> bool,
    ) -> Result<()> {
        self.load(disk, index)?;
        let kind = self.kind;
        let done = self.leaves.get_mut(index).is_some_and(|leaf| {
            leaf.changed = true;
            let done = leaf.records.as_mut().is_some_and(|records| act(kind, records));
            Self::refresh(kind, leaf);
            done
        });
        self.changed = true;
        if done { Ok(()) } else { Err(self.damaged(0, "has a record that is not where it should be")) }
    }

    /// Adds a record, which must not be there.
    pub fn insert(&mut self, disk: &mut Disk, record: Record) -> Result<()> {
        let key = self.kind.order(&record);
        let index = self.leaf_of(&key);
        self.change(disk, index, |kind, records| {
            let at = records.partition_point(|other| kind.order(other) < key);
            let free = records.get(at).is_none_or(|other| kind.order(other) != key);
            records.insert(at, record);
            free
        })?;
        let full = self.leaves.get(index).and_then(|leaf| leaf.records.as_ref()).map_or(0, Vec::len);
        if full > self.most {
            self.split(index);
        }
        Ok(())
    }

    /// Halves a leaf.
    fn split(&mut self, index: usize) {
        let kind = self.kind;
        let Some(leaf) = self.leaves.get_mut(index) else { return };
        let Some(records) = leaf.records.as_mut() else { return };
        let rest = records.split_off(records.len() / 2);
        let mut other = Leaf {
            block: None,
            low: [0; 3],
            high: [0; 3],
            second: 0,
            records: Some(rest),
            changed: true,
            neighbours: (NONE, NONE),
        };
        Self::refresh(kind, leaf);
        Self::refresh(kind, &mut other);
        self.leaves.insert(index + 1, other);
        self.loaded += 1;
    }

    /// Removes the record with the same order, which must be there.
    pub fn remove(&mut self, disk: &mut Disk, record: &Record) -> Result<()> {
        let key = self.kind.order(record);
        let index = self.leaf_of(&key);
        self.change(disk, index, |kind, records| {
            let at = records.partition_point(|other| kind.order(other) < key);
            let there = records.get(at).is_some_and(|other| kind.order(other) == key);
            if there {
                records.remove(at);
            }
            there
        })?;
        let empty = self.leaves.get(index).and_then(|leaf| leaf.records.as_ref()).is_some_and(Vec::is_empty);
        if empty && self.leaves.len() > 1 {
            self.drop_leaf(index);
        }
        Ok(())
    }

    /// Puts a record in the place of another.
    pub fn replace(&mut self, disk: &mut Disk, old: &Record, new: Record) -> Result<()> {
        self.remove(disk, old)?;
        self.insert(disk, new)
    }

    fn drop_leaf(&mut self, index: usize) {
        let leaf = self.leaves.remove(index);
        self.spare.extend(leaf.block);
        self.loaded -= usize::from(leaf.records.is_some());
    }

    /// Whether it should be written, so that there is room in memory for more.
    pub fn is_heavy(&self) -> bool {
        self.loaded > LOADED_MOST / 4
    }

    /// Whether anything has to be written.
    pub fn is_changed(&self) -> bool {
        self.changed
    }

    /// Joins leaves that are less than half full with a neighbour.
    pub fn settle(&mut self, disk: &mut Disk) -> Result<()> {
        let (kind, least) = (self.kind, self.most / 2);
        let mut index = 0;
        while index < self.leaves.len() {
            let few = |leaf: &Leaf| {
                leaf.changed && leaf.records.as_ref().is_some_and(|records| records.len() < least)
            };
            if self.leaves.len() == 1 || !self.leaves.get(index).is_some_and(few) {
                index += 1;
                continue;
            }
            let first = index.min(self.leaves.len() - 2);
            self.change(disk, first, |_, _| true)?;
            self.change(disk, first + 1, |_, _| true)?;
            let rest =
                self.leaves.get_mut(first + 1).and_then(|leaf| leaf.records.take()).unwrap_or_default();
            self.loaded -= 1;
            self.drop_leaf(first + 1);
            let Some(leaf) = self.leaves.get_mut(first) else { continue };
            leaf.records.get_or_insert_default().extend(rest);
            let count = leaf.records.as_ref().map_or(0, Vec::len);
            Self::refresh(kind, leaf);
            if count > self.most {
                self.split(first);
                // The second half takes up the block of the second leaf when it is written.
                index = first + 2;
            } else {
                index = first;
            }
        }
        Ok(())
    }

    /// Blocks that the tree has.
    pub fn blocks(&self) -> usize {
        self.leaves.iter().filter(|leaf| leaf.block.is_some()).count() + self.nodes.len() + self.spare.len()
    }

    /// Blocks that it needs.
    pub fn needs(&self) -> usize {
        let (mut row, mut all) = (self.leaves.len(), self.leaves.len());
        while row > 1 {
            row = row.div_ceil(self.children.max(2));
            all += row;
        }
        all
    }

    /// Blocks that it needs and has not.
    pub fn wants(&self) -> u64 {
        if self.changed { self.needs().saturating_sub(self.blocks()) as u64 } else { 0 }
    }

    /// How many levels it needs.
    pub fn levels(&self) -> u32 {
        let (mut row, mut levels) = (self.leaves.len(), 1);
        while row > 1 {
            row = row.div_ceil(self.children.max(2));
            levels += 1;
        }
        levels
    }

    /// Gives it one more block.
    pub fn add_block(&mut self, block: u32) {
        self.changed = true;
        self.spare.push(block);
    }

    /// Takes a block from it that it does not need.
    pub fn take_block(&mut self) -> Option<u32> {
        self.spare.pop().or_else(|| self.nodes.pop())
    }

    fn put_block(
        &self,
        disk: &mut Disk,
        block: u32,
        level: u32,
        count: usize,
        neighbours: (u32, u32),
        body: &[u8],
    ) -> Result<()> {
        let place = disk.superblock.place_in(self.group, u64::from(block), 1);
        let place = place.ok_or_else(|| self.damaged(0, "leaves its group"))?;
        let form = disk.superblock.form();
        let mut bytes = vec![0; disk.superblock.block_size as usize];
        put_be32(&mut bytes, 0, self.kind.magic(form));
        put_be16(&mut bytes, 4, level as u16);
        put_be16(&mut bytes, 6, count as u16);
        put_be32(&mut bytes, 8, neighbours.0);
        put_be32(&mut bytes, 12, neighbours.1);
        put(&mut bytes, HEADER[form], body);
        finish(disk, &mut bytes, &OWN, place, &self.group.to_be_bytes())
    }

    /// Writes the tree, which has as many blocks as it needs, and tells its root and height.
    pub fn write(&mut self, disk: &mut Disk) -> Result<(u32, u32)> {
        let short = || Error::new(ErrorKind::Failed, "a tree has too few blocks");
        for leaf in self.leaves.iter_mut().filter(|leaf| leaf.block.is_none()) {
            leaf.block = Some(self.spare.pop().or_else(|| self.nodes.pop()).ok_or_else(short)?);
        }
        let blocks: Vec<u32> = self.leaves.iter().filter_map(|leaf| leaf.block).collect();
        for index in 0..self.leaves.len() {
            let neighbours = beside(&blocks, index);
            let Some(leaf) = self.leaves.get(index) else { continue };
            if !leaf.changed && leaf.neighbours == neighbours {
                continue;
            }
            self.load(disk, index)?;
            let Some(leaf) = self.leaves.get(index) else { continue };
            let (kind, records) = (self.kind, leaf.records.as_deref().unwrap_or_default());
            let mut body = Vec::new();
            records.iter().for_each(|record| kind.write(record, &mut body));
            self.put_block(disk, leaf.block.unwrap_or(0), 0, records.len(), neighbours, &body)?;
            if let Some(leaf) = self.leaves.get_mut(index) {
                (leaf.changed, leaf.neighbours) = (false, neighbours);
            }
        }
        let root = self.write_nodes(disk)?;
        self.changed = false;
        Ok(root)
    }

    fn write_nodes(&mut self, disk: &mut Disk) -> Result<(u32, u32)> {
        let mut row: Vec<Child> = self
            .leaves
            .iter()
            .map(|leaf| Child {
                low: leaf.low,
                high: leaf.high,
                second: leaf.second,
                block: leaf.block.unwrap_or(0),
            })
            .collect();
        self.nodes.append(&mut self.spare);
        let mut free = self.nodes.clone().into_iter();
        let mut level = 0;
        while row.len() > 1 {
            level += 1;
            let counts = shares(row.len(), self.children.max(2));
            let blocks: Vec<u32> = free.by_ref().take(counts.len()).collect();
            if blocks.len() < counts.len() {
                return Err(Error::new(ErrorKind::Failed, "a tree has too few blocks"));
            }
            let (mut above, mut rest) = (Vec::new(), row.as_slice());
            for (index, (count, block)) in counts.iter().zip(&blocks).enumerate() {
                let (children, behind) = rest.split_at_checked(*count).unwrap_or((rest, &[]));
                rest = behind;
                let body = self.node(children);
                self.put_block(disk, *block, level, *count, beside(&blocks, index), &body)?;
                let low = children.first();
                above.push(Child {
                    low: low.map_or([0; 3], |child| child.low),
                    high: children.iter().map(|child| child.high).max().unwrap_or_default(),
                    second: low.map_or(0, |child| child.second),
                    block: *block,
                });
            }
            row = above;
        }
        self.nodes.truncate(self.nodes.len() - free.count());
        Ok((row.first().map_or(0, |root| root.block), level + 1))
    }

    fn node(&self, children: &[Child]) -> Vec<u8> {
        let mut body = Vec::new();
        for child in children {
            self.kind.write_key(&child.low, child.second, &mut body);
            if self.kind == Kind::Owners {
                self.kind.write_key(&child.high, 0, &mut body);
            }
        }
        body.resize(self.children * self.kind.key(), 0);
        children.iter().for_each(|child| body.extend_from_slice(&child.block.to_be_bytes()));
        body
    }
}

/// The blocks before and behind one of a row.
fn beside(blocks: &[u32], index: usize) -> (u32, u32) {
    let at = |index: Option<usize>| index.and_then(|index| blocks.get(index)).copied().unwrap_or(NONE);
    (at(index.checked_sub(1)), at(index.checked_add(1)))
}
