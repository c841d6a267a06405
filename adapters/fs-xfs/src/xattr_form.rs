//! Attributes that were changed are stored anew: in the inode if they fit, in one leaf, or in many below nodes, large values
//! in blocks of their own (XFS Algorithms & Data Structures, "Extended Attributes"; Linux: fs/xfs/libxfs/xfs_attr_leaf.c,
//! xfs_attr_remote.c).

use crate::Xfs;
use crate::bytes::{damaged, field, put, put_be16, put_be32, put_be64, seal, stamp};
use crate::da_block::{COUNTS, OWN, hash, link, nodes, nodes_above};
use crate::extent::{Extent, at};
use crate::features;
use crate::fork::{Held, fits};
use crate::inode::{Inode, Which};
use crate::xattr::{ALL_MOST, Attribute, LEAF, LEAF_ENTRIES, LOCAL, REMOTE_HEADER, REMOTE_MAGIC, REMOTE_OWN};
use wherry_sdk::{Error, ErrorKind, Kind, Result};

/// Bytes of an entry, of what is before a name and its value in a leaf, and what a name whose value is elsewhere takes
/// besides: it begins behind nine of these, and two were the padding of the structure that Linux had first.
const ENTRY: usize = 8;
const LOCAL_HEADER: usize = 3;
const AWAY_HEADER: usize = 11;
/// Bytes before the first attribute within an inode, and before each.
const SHORT_HEADER: usize = 4;
const SHORT_ENTRY: usize = 3;
/// The longest name, and the longest value within an inode.
const SHORT_MOST: usize = 255;

/// An attribute on its way into a leaf.
struct Item<'a> {
    hash: u32,
    attribute: &'a Attribute,
    /// the first block of its value, if that lies elsewhere
    away: Option<u64>,
}

/// The attributes within an inode, if each is short enough.
fn short(attributes: &[Attribute]) -> Option<Vec<u8>> {
    let mut bytes = vec![0; SHORT_HEADER];
    for attribute in attributes {
        if attribute.value.len() > SHORT_MOST {
            return None;
        }
        bytes.extend([attribute.name.len() as u8, attribute.value.len() as u8, attribute.flags]);
        bytes.extend_from_slice(&attribute.name);
        bytes.extend_from_slice(&attribute.value);
    }
    debug_assert_eq!(
        SHORT_HEADER
            + attributes.iter().map(|one| SHORT_ENTRY + one.name.len() + one.value.len()).sum::<usize>(),
        bytes.len()
    );
    let (length, count) = (u16::try_from(bytes.len()).ok()?, u8::try_from(attributes.len()).ok()?);
    put_be16(&mut bytes, 0, length);
    put(&mut bytes, 2, &[count]);
    Some(bytes)
}

/// Bytes of a name with its value, or of one whose value lies elsewhere.
fn local_size(attribute: &Attribute) -> usize {
    (LOCAL_HEADER + attribute.name.len() + attribute.value.len()).next_multiple_of(4)
}

impl Item<'_> {
    fn size(&self) -> usize {
        match self.away {
            Some(_) => (AWAY_HEADER + self.attribute.name.len()).next_multiple_of(4),
            None => local_size(self.attribute),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let (name, value) = (&self.attribute.name, &self.attribute.value);
        let mut bytes = Vec::new();
        match self.away {
            Some(block) => {
                bytes.extend_from_slice(&(block as u32).to_be_bytes());
                bytes.extend_from_slice(&(value.len() as u32).to_be_bytes());
                bytes.push(name.len() as u8);
                bytes.extend_from_slice(name);
            }
            None => {
                bytes.extend_from_slice(&(value.len() as u16).to_be_bytes());
                bytes.push(name.len() as u8);
                bytes.extend_from_slice(name);
                bytes.extend_from_slice(value);
            }
        }
        bytes
    }
}

/// A leaf: entries from the front on, names from the end.
fn leaf(items: &[Item<'_>], size: usize, form: usize, before: u64, behind: u64) -> Vec<u8> {
    let mut bytes = vec![0; size];
    link(&mut bytes, LEAF[form], before, behind);
    let mut end = size;
    for (slot, item) in items.iter().enumerate() {
        end -= item.size().min(end);
        put(&mut bytes, end, &item.bytes());
        let entry = LEAF_ENTRIES[form] + slot * ENTRY;
        put_be32(&mut bytes, entry, item.hash);
        put_be16(&mut bytes, entry + 4, end as u16);
        let local = if item.away.is_none() { LOCAL } else { 0 };
        put(&mut bytes, entry + 6, &[item.attribute.flags | local]);
    }
    let counts = COUNTS[form];
    let first = LEAF_ENTRIES[form] + items.len() * ENTRY;
    put_be16(&mut bytes, counts, items.len() as u16);
    put_be16(&mut bytes, counts + 2, (size - end) as u16);
    put_be16(&mut bytes, counts + 4, end as u16);
    put_be16(&mut bytes, counts + 8, first as u16);
    put_be16(&mut bytes, counts + 10, (end - first) as u16);
    bytes
}

/// How many items go into each leaf.
fn counts(items: &[Item<'_>], room: usize) -> Vec<usize> {
    let (mut counts, mut count, mut left) = (Vec::new(), 0, room);
    for item in items {
        let size = item.size() + ENTRY;
        if size > left && count > 0 {
            counts.push(count);
            (count, left) = (0, room);
        }
        count += 1;
        left -= size.min(left);
    }
    counts.push(count);
    counts
}

impl Xfs {
    /// Gives an inode exactly these attributes. The inode has to be stored by the caller.
    pub fn store_attributes(&mut self, inode: &mut Inode, attributes: &[Attribute]) -> Result<()> {
        let total: usize = attributes.iter().map(|one| one.name.len() + one.value.len()).sum();
        if total > ALL_MOST {
            let message = format!("the attributes of inode {} have more than 16 MiB", inode.number);
            return Err(Error::new(ErrorKind::Limit, message));
        }
        if let Held::Mapped(mut old) = self.held(inode, Which::Attributes)? {
            self.cut(inode, Which::Attributes, &mut old, 0)?;
        }
        let data = self.held(inode, Which::Data)?;
        if attributes.is_empty() {
            let data = self.draw_in(inode, data, &Held::Nothing)?;
            return self.set_forks(inode, &data, &Held::Nothing);
        }
        self.disk.superblock.note(features::ATTRIBUTES);
        self.disk.superblock.note(features::ATTRIBUTES_2);
        if let Some(held) = short(attributes).map(Held::Local)
            && fits(inode, &data, &held)
        {
            let data = self.draw_in(inode, data, &held)?;
            return self.set_forks(inode, &data, &held);
        }
        let held = Held::Mapped(self.long_attributes(inode, attributes)?);
        let data =
            if fits(inode, &data, &held) { self.draw_in(inode, data, &held)? } else { self.move_out(inode)? };
        self.set_forks(inode, &data, &held)
    }

    /// A link's target that fits beside the new attributes comes back into the inode: `xfs_repair` takes it for damaged in blocks
    /// (repair/dinode.c, `process_symlink_extlist`).
    fn draw_in(&mut self, inode: &mut Inode, data: Held, attributes: &Held) -> Result<Held> {
        let Held::Mapped(mut extents) = data else { return Ok(data) };
        if inode.kind() == Kind::Symlink && inode.size() <= inode.room() as u64 {
            let target = Held::Local(self.target(inode)?);
            if fits(inode, &target, attributes) {
                self.cut(inode, Which::Data, &mut extents, 0)?;
                return Ok(target);
            }
        }
        Ok(Held::Mapped(extents))
    }

    /// Makes room in an inode for attributes: what it holds itself goes into blocks.
    fn move_out(&mut self, inode: &mut Inode) -> Result<Held> {
        match (inode.kind(), self.held(inode, Which::Data)?) {
            (Kind::Symlink, Held::Local(target)) => self.hold_target(inode, &target, 0),
            (Kind::Directory, Held::Local(_)) => {
                // It is built from its names, without attributes for now.
                self.set_forks(inode, &Held::Mapped(Vec::new()), &Held::Nothing)?;
                let listing = self.listing(inode)?;
                self.build_directory(inode, &listing, false)?;
                self.held(inode, Which::Data)
            }
            (_, held) => Ok(held),
        }
    }

    /// Writes attributes into blocks: their extents.
    fn long_attributes(&mut self, inode: &mut Inode, attributes: &[Attribute]) -> Result<Vec<Extent>> {
        let (form, size) = (self.disk.superblock.form(), self.disk.superblock.block_size as usize);
        let piece = if form == 1 { size - REMOTE_HEADER } else { size };
        let mut items: Vec<Item<'_>> = attributes
            .iter()
            .map(|attribute| {
                // As Linux does: what takes more than three quarters of a leaf lies elsewhere.
                let away = (local_size(attribute) >= size / 4 * 3).then_some(0);
                Item { hash: hash(&attribute.name), attribute, away }
            })
            .collect();
        items.sort_by_key(|item| item.hash);
        let counts = counts(&items, size - LEAF_ENTRIES[form]);
        let above = nodes_above(counts.len(), size, form);
        let mut next = (counts.len() + above) as u64;
        for item in items.iter_mut().filter(|item| item.away.is_some()) {
            item.away = Some(next);
            next += item.attribute.value.len().div_ceil(piece) as u64;
        }
        let mut map = Vec::new();
        self.fit_blocks(inode, Which::Attributes, &mut map, (0, next), next)?;
        for item in &items {
            if let Some(block) = item.away {
                self.put_value(inode, &map, block, &item.attribute.value)?;
            }
        }
        let first = u64::from(above > 0);
        let (mut leaves, mut rest) = (Vec::new(), items.as_slice());
        for (index, count) in counts.iter().enumerate() {
            let (here, behind) = rest.split_at_checked(*count).unwrap_or((rest, &[]));
            rest = behind;
            let number = first + index as u64;
            let before = if index > 0 { number - 1 } else { 0 };
            let next = if index + 1 < counts.len() { number + 1 } else { 0 };
            let mut bytes = leaf(here, size, form, before, next);
            self.put_fork_block(inode, &map, number, &mut bytes, &OWN)?;
            leaves.push((here.last().map_or(0, |item| item.hash), number));
        }
        let mut numbers = first + counts.len() as u64..;
        for mut node in nodes(&leaves, size, form, 0, &mut numbers) {
            self.put_fork_block(inode, &map, node.number, &mut node.bytes, &OWN)?;
        }
        Ok(map)
    }

    /// Writes a value into blocks of its own; in version 5 each of them has a header.
    fn put_value(&mut self, inode: &Inode, map: &[Extent], first: u64, value: &[u8]) -> Result<()> {
        let (form, size) = (self.disk.superblock.form(), self.disk.superblock.block_size as usize);
        let header = if form == 1 { REMOTE_HEADER } else { 0 };
        let (mut block, mut done) = (first, 0);
        while done < value.len() {
            let held = (size - header).min(value.len() - done);
            let extent = at(map, block).filter(|extent| extent.start <= block);
            let place = extent
                .and_then(|extent| self.disk.superblock.place(extent.block + (block - extent.start), 1))
                .ok_or_else(|| damaged(inode.place, "a value has no block"))?;
            let mut bytes = vec![0; size];
            put(&mut bytes, header, field(value, done, held));
            if form == 1 {
                put_be32(&mut bytes, 0, REMOTE_MAGIC);
                put_be32(&mut bytes, 4, done as u32);
                put_be32(&mut bytes, 8, held as u32);
            }
            seal(&mut self.disk, &mut bytes, &REMOTE_OWN, place, &inode.number.to_be_bytes())?;
            if form == 1 {
                // Values never go through the log.
                put_be64(&mut bytes, REMOTE_OWN.change, u64::MAX);
                stamp(&mut bytes, REMOTE_OWN.checksum);
            }
            self.disk.device.put(place, &bytes)?;
            block += 1;
            done += held;
        }
        Ok(())
    }
}
