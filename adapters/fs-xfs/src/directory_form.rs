//! Directories that were changed are built anew: in the inode if they fit, as one block, or as many with leaves of hashes and
//! lists of free room (XFS Algorithms & Data Structures, "Directories"; Linux: fs/xfs/libxfs/xfs_dir2_sf.c,
//! xfs_dir2_block.c, xfs_dir2_leaf.c, xfs_dir2_node.c).

use crate::Xfs;
use crate::bytes::{put, put_be16, put_be32, put_be64};
use crate::da_block::{self, COUNTS, folded_hash, hash, headed, link, nodes, nodes_above};
use crate::directory::{BLOCK, DATA, DATA_END, FREE, HEADER, Listing, Name, OWN};
use crate::extent::Extent;
use crate::fork::{Held, fits};
use crate::inode::{Inode, Which};
use crate::tree::shares;
use wherry_sdk::{Error, ErrorKind, Result};

/// Leaves lie from here on, lists of free room from there on, in bytes of the directory.
const LEAF_START: u64 = DATA_END;
const FREE_START: u64 = 2 * DATA_END;
const FREE_END: u64 = 3 * DATA_END;
/// Magic numbers of the only leaf, of one of many, and of a list, in version 4 and 5.
const LEAF_ONLY: [u16; 2] = [0xd2f1, 0x3df1];
const LEAF_MANY: [u16; 2] = [0xd2ff, 0x3dff];
const FREE_MAGIC: [u32; 2] = [0x5844_3246, 0x5844_4633];
const LEAF_HEADER: [usize; 2] = [16, 64];
/// Where a list of free room counts.
const FREE_COUNTS: [usize; 2] = [4, 48];
/// Names in a directory that is in its inode.
const SHORT_MOST: usize = 255;
/// The type of a directory.
pub const DIRECTORY: u8 = 2;

/// What a directory of many blocks is made of.
struct Form {
    /// 0 in version 4, 1 in version 5
    form: usize,
    /// bytes of a block
    size: usize,
    /// Entries know types.
    types: bool,
    folds: bool,
}

/// Where names are: their hashes and places, sorted; and the largest free room of each block.
struct Index {
    entries: Vec<(u32, u32)>,
    bests: Vec<u16>,
}

impl Form {
    fn entry(&self, name: &[u8]) -> usize {
        (11 + name.len() + usize::from(self.types)).next_multiple_of(8)
    }

    fn hash(&self, name: &[u8]) -> u32 {
        if self.folds { folded_hash(name) } else { hash(name) }
    }

    /// The directory within its inode, if it has few names.
    fn short(&self, listing: &Listing) -> Option<Vec<u8>> {
        if listing.list.len() > SHORT_MOST {
            return None;
        }
        let large = |inode: u64| inode > u64::from(u32::MAX);
        let count = listing.list.iter().filter(|entry| large(entry.inode)).count()
            + usize::from(large(listing.parent));
        let width = if count > 0 { 8 } else { 4 };
        let number = |inode: u64| inode.to_be_bytes().into_iter().skip(8 - width);
        let mut bytes = vec![listing.list.len() as u8, count as u8];
        bytes.extend(number(listing.parent));
        let mut place = HEADER[self.form] + self.entry(b".") + self.entry(b"..");
        for entry in &listing.list {
            bytes.push(entry.name.len() as u8);
            bytes.extend_from_slice(&(place as u16).to_be_bytes());
            bytes.extend_from_slice(&entry.name);
            bytes.extend(self.types.then_some(entry.kind));
            bytes.extend(number(entry.inode));
            place += self.entry(&entry.name);
            // A directory that is as large as the largest inode has room for no more.
            if bytes.len() > 2048 {
                return None;
            }
        }
        Some(bytes)
    }

    /// How many names go into each block of names.
    fn counts(&self, names: &[Name]) -> Vec<usize> {
        let (mut counts, mut count, mut room) = (Vec::new(), 0, self.size - HEADER[self.form]);
        for entry in names {
            let length = self.entry(&entry.name);
            if length > room {
                counts.push(count);
                (count, room) = (0, self.size - HEADER[self.form]);
            }
            count += 1;
            room -= length.min(room);
        }
        counts.push(count);
        counts
    }

    /// A block of names, of which the last `tail` bytes are for something else; notes where each name is.
    fn names(&self, names: &[Name], number: u64, magic: u32, tail: usize, index: &mut Index) -> Vec<u8> {
        let mut bytes = vec![0; self.size];
        put_be32(&mut bytes, 0, magic);
        let mut at = HEADER[self.form];
        for entry in names {
            let length = self.entry(&entry.name);
            put_be64(&mut bytes, at, entry.inode);
            put(&mut bytes, at + 8, &[entry.name.len() as u8]);
            put(&mut bytes, at + 9, &entry.name);
            if self.types {
                put(&mut bytes, at + 9 + entry.name.len(), &[entry.kind]);
            }
            put_be16(&mut bytes, at + length - 2, at as u16);
            let place = number * self.size as u64 + at as u64;
            index.entries.push((self.hash(&entry.name), (place / 8) as u32));
            at += length;
        }
        let room = self.size - tail - at;
        if room > 0 {
            put_be16(&mut bytes, at, FREE);
            put_be16(&mut bytes, at + 2, room as u16);
            put_be16(&mut bytes, at + room - 2, at as u16);
            let best = if self.form == 1 { OWN.owner + 8 } else { 4 };
            put_be16(&mut bytes, best, at as u16);
            put_be16(&mut bytes, best + 2, room as u16);
        }
        index.bests.push(room as u16);
        bytes
    }

    /// All in one block, if there is room.
    fn block(&self, names: &[Name]) -> Option<Vec<u8>> {
        let tail = names.len() * 8 + 8;
        let all: usize = names.iter().map(|entry| self.entry(&entry.name)).sum();
        if HEADER[self.form] + all + tail > self.size {
            return None;
        }
        let mut index = Index { entries: Vec::new(), bests: Vec::new() };
        let mut bytes = self.names(names, 0, BLOCK[self.form], tail, &mut index);
        index.entries.sort_unstable();
        let start = self.size - tail;
        put(&mut bytes, start, &pairs(&index.entries));
        put_be32(&mut bytes, self.size - 8, names.len() as u32);
        Some(bytes)
    }

    /// The only leaf, if there is room for all hashes and for the free room of all blocks.
    fn only_leaf(&self, index: &Index) -> Option<Vec<u8>> {
        let header = LEAF_HEADER[self.form];
        let tail = index.bests.len() * 2 + 4;
        if header + index.entries.len() * 8 + tail > self.size {
            return None;
        }
        let mut bytes = headed(self.size, header, &pairs(&index.entries));
        link(&mut bytes, LEAF_ONLY[self.form], 0, 0);
        put_be16(&mut bytes, COUNTS[self.form], index.entries.len() as u16);
        let bests: Vec<u8> = index.bests.iter().flat_map(|best| best.to_be_bytes()).collect();
        put(&mut bytes, self.size - tail, &bests);
        put_be32(&mut bytes, self.size - 4, index.bests.len() as u32);
        Some(bytes)
    }

    /// Where names in a list of free room begin, and how many blocks it is for.
    fn free_most(&self) -> usize {
        (self.size - FREE_COUNTS[self.form] - 12 - self.form * 4) / 2
    }

    fn free_list(&self, number: usize, bests: &[u16]) -> Vec<u8> {
        let header = FREE_COUNTS[self.form] + 12 + self.form * 4;
        let body: Vec<u8> = bests.iter().flat_map(|best| best.to_be_bytes()).collect();
        let mut bytes = headed(self.size, header, &body);
        put_be32(&mut bytes, 0, FREE_MAGIC[self.form]);
        let at = FREE_COUNTS[self.form];
        put_be32(&mut bytes, at, (number * self.free_most()) as u32);
        put_be32(&mut bytes, at + 4, bests.len() as u32);
        put_be32(&mut bytes, at + 8, bests.len() as u32);
        bytes
    }
}

/// Pairs of hash and place, as leaves have them.
fn pairs(entries: &[(u32, u32)]) -> Vec<u8> {
    entries
        .iter()
        .flat_map(|(hash, place)| (u64::from(*hash) << 32 | u64::from(*place)).to_be_bytes())
        .collect()
}

impl Xfs {
    /// Writes all directories whose names were changed.
    pub fn write_directories(&mut self) -> Result<()> {
        let mut changed: Vec<u64> =
            self.listings.iter().filter(|(_, listing)| listing.changed).map(|(number, _)| *number).collect();
        changed.sort_unstable();
        for number in changed {
            self.write_directory(number, true)?;
        }
        Ok(())
    }

    /// Writes a directory, within its inode if it is small and that is wanted (`short`).
    pub fn write_directory(&mut self, number: u64, short: bool) -> Result<()> {
        let mut inode = self.inode(number)?;
        let listing = self.listing(&inode)?;
        self.build_directory(&mut inode, &listing, short)?;
        inode.store(&mut self.disk)?;
        drop(listing);
        self.settle_directory(number, inode.blocks());
        Ok(())
    }

    /// Builds a directory from its names. The inode has to be stored by the caller.
    pub fn build_directory(&mut self, inode: &mut Inode, listing: &Listing, short: bool) -> Result<()> {
        let superblock = &self.disk.superblock;
        let form = Form {
            form: superblock.form(),
            size: superblock.directory_block as usize,
            types: superblock.has_types(),
            folds: self.folds(),
        };
        let attributes = self.held(inode, Which::Attributes)?;
        let old = match self.held(inode, Which::Data)? {
            Held::Mapped(map) => map,
            _ => Vec::new(),
        };
        if let Some(bytes) = form.short(listing).filter(|_| short) {
            let length = bytes.len() as u64;
            let held = Held::Local(bytes);
            if fits(inode, &held, &attributes) {
                let mut old = old;
                self.cut(inode, Which::Data, &mut old, 0)?;
                inode.set_size(length);
                return self.set_forks(inode, &held, &attributes);
            }
        }
        let map = self.long_directory(inode, listing, &form, old)?;
        self.set_forks(inode, &Held::Mapped(map), &attributes)
    }

    /// Writes a directory in blocks: its extents.
    fn long_directory(
        &mut self,
        inode: &mut Inode,
        listing: &Listing,
        form: &Form,
        old: Vec<Extent>,
    ) -> Result<Vec<Extent>> {
        let unit = u64::from(self.disk.superblock.block_size);
        let step = form.size as u64 / unit;
        let (leaf, free, end) = (LEAF_START / unit, FREE_START / unit, FREE_END / unit);
        let mut names = Vec::with_capacity(listing.list.len() + 2);
        for (name, number) in [(&b"."[..], inode.number), (b"..", listing.parent)] {
            names.push(Name { name: name.into(), inode: number, kind: DIRECTORY });
        }
        names.extend(listing.list.iter().cloned());
        let mut map = old;
        if let Some(mut bytes) = form.block(&names) {
            self.fit_blocks(inode, Which::Data, &mut map, (0, leaf), step)?;
            self.fit_blocks(inode, Which::Data, &mut map, (leaf, end), 0)?;
            self.put_fork_block(inode, &map, 0, &mut bytes, &OWN)?;
            inode.set_size(form.size as u64);
            return Ok(map);
        }
        let counts = form.counts(&names);
        self.fit_blocks(inode, Which::Data, &mut map, (0, leaf), counts.len() as u64 * step)?;
        inode.set_size((counts.len() * form.size) as u64);
        let mut index = Index { entries: Vec::with_capacity(names.len()), bests: Vec::new() };
        let mut rest = names.as_slice();
        for (number, count) in counts.iter().enumerate() {
            let (here, behind) = rest.split_at_checked(*count).unwrap_or((rest, &[]));
            rest = behind;
            let mut bytes = form.names(here, number as u64, DATA[form.form], 0, &mut index);
            self.put_fork_block(inode, &map, number as u64 * step, &mut bytes, &OWN)?;
        }
        index.entries.sort_unstable();
        if let Some(mut bytes) = form.only_leaf(&index) {
            self.fit_blocks(inode, Which::Data, &mut map, (leaf, free), step)?;
            self.fit_blocks(inode, Which::Data, &mut map, (free, end), 0)?;
            self.put_fork_block(inode, &map, leaf, &mut bytes, &da_block::OWN)?;
            return Ok(map);
        }
        let lists = index.bests.len().div_ceil(form.free_most());
        self.fit_blocks(inode, Which::Data, &mut map, (free, end), lists as u64 * step)?;
        for (number, bests) in index.bests.chunks(form.free_most()).enumerate() {
            let mut bytes = form.free_list(number, bests);
            self.put_fork_block(inode, &map, free + number as u64 * step, &mut bytes, &OWN)?;
        }
        self.leaves_of(inode, form, &index, &mut map)?;
        Ok(map)
    }

    /// Many leaves, and the nodes above them, of which the root comes first.
    fn leaves_of(
        &mut self,
        inode: &mut Inode,
        form: &Form,
        index: &Index,
        map: &mut Vec<Extent>,
    ) -> Result<()> {
        let unit = u64::from(self.disk.superblock.block_size);
        let step = form.size as u64 / unit;
        let (start, end) = (LEAF_START / unit, FREE_START / unit);
        let counts = shares(index.entries.len(), (form.size - LEAF_HEADER[form.form]) / 8);
        let above = nodes_above(counts.len(), form.size, form.form);
        let blocks = (counts.len() + above) as u64;
        if blocks * step > end - start {
            return Err(Error::new(ErrorKind::Limit, "a directory would have more names than XFS can store"));
        }
        self.fit_blocks(inode, Which::Data, map, (start, end), blocks * step)?;
        let first = start + step * u64::from(above > 0);
        let number = |index: usize| first + index as u64 * step;
        let (mut leaves, mut rest) = (Vec::new(), index.entries.as_slice());
        for (place, count) in counts.iter().enumerate() {
            let (here, behind) = rest.split_at_checked(*count).unwrap_or((rest, &[]));
            rest = behind;
            let mut bytes = headed(form.size, LEAF_HEADER[form.form], &pairs(here));
            let before = place.checked_sub(1).map_or(0, number);
            let next = if place + 1 < counts.len() { number(place + 1) } else { 0 };
            link(&mut bytes, LEAF_MANY[form.form], before, next);
            put_be16(&mut bytes, COUNTS[form.form], here.len() as u16);
            self.put_fork_block(inode, map, number(place), &mut bytes, &da_block::OWN)?;
            leaves.push((here.last().map_or(0, |entry| entry.0), number(place)));
        }
        let mut numbers = (counts.len()..).map(number);
        for mut node in nodes(&leaves, form.size, form.form, start, &mut numbers) {
            self.put_fork_block(inode, map, node.number, &mut node.bytes, &da_block::OWN)?;
        }
        Ok(())
    }
}
