//! Free blocks, whose they become, and who shares them (XFS Algorithms & Data Structures, "AG Free Space Management",
//! "Reverse-Mapping B+tree", "Reference Count B+tree"; Linux: fs/xfs/libxfs/xfs_alloc.c, xfs_rmap.c, xfs_refcount.c).

use crate::Xfs;
use crate::device::Disk;
use crate::group::{Group, RESERVE, WANTS_MOST};
use crate::record::{FLAGS, Key, OF_TREE, OWNER_SPECIAL, Record};
use wherry_sdk::{Error, ErrorKind, Result};

/// Records of shared blocks from here on are of copies that are being made.
pub const COPIES: u64 = 1 << 31;
/// Who owns those.
const OWNER_COPIES: u64 = -9i64 as u64;
/// Runs of free space that are looked at for one with the right alignment.
const ALIGNED_MOST: usize = 1000;
/// Blocks in one piece that another group is asked for before the nearest one gives fewer.
const PIECE_LEAST: u64 = 256;
/// Blocks of a change without content: names, inodes, a long target.
const CHANGE_MOST: u64 = 80;
/// Groups in memory.
const GROUPS_MOST: usize = 16;

/// Whose new blocks are: an inode's, or one of the special owners.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Owner {
    pub number: u64,
    /// the first block of the file, with flags
    pub offset: u64,
}

impl Owner {
    /// Whether each block has an offset of its own.
    fn counts(self) -> bool {
        self.number < OWNER_SPECIAL && self.offset & OF_TREE == 0
    }

    /// The owner of what lies `count` blocks behind.
    pub fn behind(self, count: u64) -> Self {
        if self.counts() { Self { offset: self.offset + count, ..self } } else { self }
    }
}

/// What comes just before a key.
fn before(key: Key) -> Option<Key> {
    let [first, second, third] = key;
    match (third.checked_sub(1), second.checked_sub(1), first.checked_sub(1)) {
        (Some(third), _, _) => Some([first, second, third]),
        (None, Some(second), _) => Some([first, second, u64::MAX]),
        (None, None, Some(first)) => Some([first, u64::MAX, u64::MAX]),
        _ => None,
    }
}

fn end(record: &Record) -> u64 {
    record.start + record.count
}

impl Group {
    fn add_run(&mut self, disk: &mut Disk, start: u64, count: u64) -> Result<()> {
        let run = Record { start, count, ..Record::default() };
        if count == 0 {
            return Ok(());
        }
        self.by_place.insert(disk, run)?;
        self.by_size.insert(disk, run)
    }

    fn drop_run(&mut self, disk: &mut Disk, run: &Record) -> Result<()> {
        self.by_place.remove(disk, run)?;
        self.by_size.remove(disk, run)
    }

    /// Takes blocks out of free space, where all of them must be.
    pub fn take(&mut self, disk: &mut Disk, start: u64, count: u64) -> Result<()> {
        let run = self.by_place.at_or_before(disk, [start, 0, 0])?.filter(|run| end(run) >= start + count);
        let run = run.ok_or_else(|| self.damaged("its two trees of free space differ"))?;
        self.changed = true;
        self.drop_run(disk, &run)?;
        self.add_run(disk, run.start, start - run.start)?;
        self.add_run(disk, start + count, end(&run) - start - count)?;
        self.free = self.free.saturating_sub(count);
        Ok(())
    }

    /// Gives blocks back to free space, in which none of them may be.
    pub fn give(&mut self, disk: &mut Disk, start: u64, count: u64) -> Result<()> {
        self.changed = true;
        let (mut from, mut to) = (start, start + count);
        let left = self.by_place.at_or_before(disk, [start, 0, 0])?;
        let right = self.by_place.at_or_behind(disk, [start, 0, 0])?;
        if left.is_some_and(|left| end(&left) > start) || right.is_some_and(|right| right.start < to) {
            return Err(self.damaged("blocks that are in use are free already"));
        }
        if let Some(left) = left.filter(|left| end(left) == start) {
            self.drop_run(disk, &left)?;
            from = left.start;
        }
        if let Some(right) = right.filter(|right| right.start == to) {
            self.drop_run(disk, &right)?;
            to = end(&right);
        }
        self.add_run(disk, from, to - from)?;
        self.free += count;
        Ok(())
    }

    /// The reverse mapping of `wanted`'s owner, offset and flags that holds its first block.
    fn holder(&mut self, disk: &mut Disk, wanted: &Record) -> Result<Option<Record>> {
        let Some(owners) = &mut self.owners else { return Ok(None) };
        let key = [wanted.start, wanted.owner, wanted.offset];
        let counts = Owner { number: wanted.owner, offset: wanted.offset }.counts();
        owners.last_over(disk, key, wanted.start, |found| {
            let shift = if counts { wanted.start.saturating_sub(found.start) } else { 0 };
            found.owner == wanted.owner
                && found.offset & FLAGS == wanted.offset & FLAGS
                && (!counts || found.offset.checked_add(shift) == Some(wanted.offset))
        })
    }

    /// Notes whose blocks these are, together with his neighbouring ones.
    pub fn own(&mut self, disk: &mut Disk, new: Record) -> Result<()> {
        if self.owners.is_none() {
            return Ok(());
        }
        self.changed = true;
        let counts = Owner { number: new.owner, offset: new.offset }.counts();
        let shift = |offset: u64, count: i64| if counts { offset.wrapping_add_signed(count) } else { offset };
        let mut all = new;
        if new.start > 0 && (!counts || new.offset & !FLAGS > 0) {
            let last = Record { start: new.start - 1, offset: shift(new.offset, -1), ..new };
            if let Some(left) = self.holder(disk, &last)? {
                if end(&left) != new.start {
                    return Err(self.damaged("blocks that are free have an owner"));
                }
                self.owners.as_mut().map_or(Ok(()), |owners| owners.remove(disk, &left))?;
                all = Record { count: left.count + new.count, ..left };
            }
        }
        let Some(owners) = &mut self.owners else { return Ok(()) };
        let behind = Record { start: end(&new), offset: shift(new.offset, new.count as i64), ..new };
        let right = owners.at_or_behind(
            disk,
            [behind.start, behind.owner, if counts { behind.offset & !crate::record::UNWRITTEN } else { 0 }],
        )?;
        let follows = |right: &Record| {
            right.start == behind.start
                && right.owner == behind.owner
                && if counts {
                    right.offset == behind.offset
                } else {
                    right.offset & FLAGS == behind.offset & FLAGS
                }
        };
        if let Some(right) = right.filter(follows) {
            owners.remove(disk, &right)?;
            all.count += right.count;
        }
        owners.insert(disk, all)
    }

    /// Notes that these blocks are no longer that owner's.
    pub fn disown(&mut self, disk: &mut Disk, old: &Record) -> Result<()> {
        if self.owners.is_none() {
            return Ok(());
        }
        self.changed = true;
        let found = self.holder(disk, old)?.filter(|found| end(found) >= end(old));
        let found = found.ok_or_else(|| self.damaged("blocks in use have no owner in its tree of owners"))?;
        let owner = Owner { number: found.owner, offset: found.offset };
        let Some(owners) = &mut self.owners else { return Ok(()) };
        owners.remove(disk, &found)?;
        if found.start < old.start {
            owners.insert(disk, Record { count: old.start - found.start, ..found })?;
        }
        let skip = end(old) - found.start;
        if found.count > skip {
            let offset = owner.behind(skip).offset;
            owners.insert(
                disk,
                Record { start: end(old), count: found.count - skip, owner: found.owner, offset },
            )?;
        }
        Ok(())
    }

    /// Whether the block is shared, and for how many blocks from there on that is so, at most `count`.
    pub fn is_shared(&mut self, disk: &mut Disk, start: u64, count: u64) -> Result<(bool, u64)> {
        let Some(shares) = &mut self.shares else { return Ok((false, count)) };
        if let Some(here) = shares.at_or_before(disk, [start, 0, 0])?.filter(|here| end(here) > start) {
            return Ok((true, count.min(end(&here) - start)));
        }
        let next = shares.at_or_behind(disk, [start, 0, 0])?.filter(|next| next.start < COPIES);
        Ok((false, next.map_or(count, |next| count.min(next.start.saturating_sub(start)).max(1))))
    }

    /// Notes how many share blocks, together with neighbouring ones that as many share.
    pub fn add_share(&mut self, disk: &mut Disk, new: Record) -> Result<()> {
        let Some(shares) = &mut self.shares else { return Ok(()) };
        self.changed = true;
        let mut all = new;
        let same = |other: &Record| other.owner == new.owner && (other.start ^ new.start) & COPIES == 0;
        let left = before([new.start, 0, 0]).map_or(Ok(None), |key| shares.at_or_before(disk, key))?;
        if let Some(left) = left.filter(|left| end(left) == new.start && same(left)) {
            shares.remove(disk, &left)?;
            all = Record { count: left.count + new.count, ..left };
        }
        let right = shares.at_or_behind(disk, [end(&new), 0, 0])?;
        if let Some(right) = right.filter(|right| right.start == end(&new) && same(right)) {
            shares.remove(disk, &right)?;
            all.count += right.count;
        }
        shares.insert(disk, all)
    }

    /// Takes blocks out of the record that has them; what it says of others stays.
    pub fn cut_share(&mut self, disk: &mut Disk, old: &Record) -> Result<()> {
        let Some(shares) = &mut self.shares else { return Ok(()) };
        self.changed = true;
        let found = shares.at_or_before(disk, [old.start, 0, 0])?;
        let found = found.filter(|found| end(found) >= end(old) && found.owner == old.owner);
        let Some(found) = found else { return Err(self.damaged("blocks are not shared as they should be")) };
        shares.remove(disk, &found)?;
        if found.start < old.start {
            shares.insert(disk, Record { count: old.start - found.start, ..found })?;
        }
        if end(&found) > end(old) {
            shares.insert(disk, Record { start: end(old), count: end(&found) - end(old), ..found })?;
        }
        Ok(())
    }

    /// How many share a block that is shared.
    fn users(&mut self, disk: &mut Disk, start: u64) -> Result<u64> {
        let Some(shares) = &mut self.shares else { return Ok(1) };
        let found = shares.at_or_before(disk, [start, 0, 0])?.filter(|found| end(found) > start);
        Ok(found.map_or(1, |found| found.owner))
    }

    /// One user fewer of blocks that are shared alike.
    pub fn unshare(&mut self, disk: &mut Disk, start: u64, count: u64) -> Result<()> {
        let owner = self.users(disk, start)?;
        if owner < 2 {
            return Err(self.damaged("blocks are shared by fewer than two"));
        }
        self.cut_share(disk, &Record { start, count, owner, offset: 0 })?;
        if owner == 2 {
            return Ok(());
        }
        self.add_share(disk, Record { start, count, owner: owner - 1, offset: 0 })
    }

    /// One user more of blocks that are used alike.
    pub fn share(&mut self, disk: &mut Disk, start: u64, count: u64) -> Result<()> {
        let owner = self.users(disk, start)?;
        if owner >= 2 {
            self.cut_share(disk, &Record { start, count, owner, offset: 0 })?;
        }
        self.add_share(disk, Record { start, count, owner: owner + 1, offset: 0 })
    }

    /// Frees blocks that were to become copies; how many.
    pub fn drop_copies(&mut self, disk: &mut Disk) -> Result<u64> {
        let mut freed = 0;
        loop {
            let Some(shares) = &mut self.shares else { return Ok(freed) };
            let Some(found) = shares.at_or_behind(disk, [COPIES, 0, 0])? else { return Ok(freed) };
            shares.remove(disk, &found)?;
            self.changed = true;
            let start = found.start - COPIES;
            if disk.superblock.place_in(self.number, start, found.count).is_none() {
                return Err(self.damaged("copies lie outside of it"));
            }
            self.disown(disk, &Record { start, count: found.count, owner: OWNER_COPIES, offset: 0 })?;
            self.give(disk, start, found.count)?;
            freed += found.count;
        }
    }

    /// Where `count` free blocks are that begin at a multiple of `alignment`.
    pub fn find_aligned(&mut self, disk: &mut Disk, count: u64, alignment: u64) -> Result<Option<u64>> {
        let mut key = [count, 0, 0];
        for _ in 0..ALIGNED_MOST {
            let Some(run) = self.by_size.at_or_behind(disk, key)? else { return Ok(None) };
            let start = run.start.next_multiple_of(alignment.max(1));
            if start + count <= end(&run) {
                return Ok(Some(start));
            }
            key = [run.count, run.start + 1, 0];
        }
        Ok(None)
    }

    /// Free blocks, at most `count`, as near behind `goal` as is easily told: there, or where they best fit.
    fn find(&mut self, disk: &mut Disk, goal: u64, count: u64) -> Result<Option<(u64, u64)>> {
        let here = self.by_place.at_or_before(disk, [goal, 0, 0])?.filter(|run| end(run) > goal);
        if let Some(run) = here {
            return Ok(Some((goal, count.min(end(&run) - goal))));
        }
        let fits = self.by_size.at_or_behind(disk, [count, 0, 0])?;
        let run = match fits {
            Some(run) => Some(run),
            None => self.by_size.last(disk)?,
        };
        Ok(run.map(|run| (run.start, count.min(run.count))))
    }
}

impl Xfs {
    /// A group that is to be changed, and the disk.
    pub fn group(&mut self, number: u32) -> Result<(&mut Group, &mut Disk)> {
        if !self.groups.contains_key(&number) {
            if self.groups.len() >= GROUPS_MOST {
                self.write_groups()?;
                self.groups.clear();
            }
            let group = Group::read(&mut self.disk, number)?;
            self.groups.insert(number, group);
        }
        let lost = || Error::new(ErrorKind::Failed, "an allocation group that was just read is lost");
        let group = self.groups.get_mut(&number).ok_or_else(lost)?;
        if group.is_heavy() {
            group.write(&mut self.disk)?;
        }
        Ok((group, &mut self.disk))
    }

    /// Writes all groups that were changed.
    pub fn write_groups(&mut self) -> Result<()> {
        for group in self.groups.values_mut() {
            group.write(&mut self.disk)?;
        }
        Ok(())
    }

    /// A block's number in the whole file system as its group and its number in there.
    pub fn split(&self, block: u64) -> (u32, u64) {
        let bits = self.disk.superblock.group_bits;
        (u32::try_from(block >> bits).unwrap_or(u32::MAX), block & ((1 << bits) - 1))
    }

    /// The other way round.
    pub fn join(&self, group: u32, block: u64) -> u64 {
        u64::from(group) << self.disk.superblock.group_bits | block
    }

    /// At most `count` blocks in one piece, near `goal`: the first and how many.
    pub fn allocate(&mut self, goal: u64, count: u64, owner: Owner) -> Result<(u64, u64)> {
        let groups = self.disk.superblock.groups;
        let (home, near) = self.split(goal);
        let home = if home < groups { home } else { 0 };
        // Small pieces only where no group has larger ones.
        let wanted = [count.min(PIECE_LEAST), 1];
        for (least, step) in wanted.into_iter().flat_map(|least| (0..groups).map(move |step| (least, step))) {
            let number = ((u64::from(home) + u64::from(step)) % u64::from(groups)) as u32;
            let (group, disk) = self.group(number)?;
            let spare = group.spare();
            let near = if step == 0 { near } else { 0 };
            let found =
                group.find(disk, near, count.min(spare))?.filter(|found| spare > 0 && found.1 >= least);
            let Some((start, found)) = found else { continue };
            group.take(disk, start, found)?;
            group.own(disk, Record { start, count: found, owner: owner.number, offset: owner.offset })?;
            disk.superblock.count_blocks(-(found as i64));
            return Ok((self.join(number, start), found));
        }
        Err(Error::new(ErrorKind::NoSpace, "no group has free blocks: make room in the guest"))
    }

    /// Takes blocks away from an owner; they are free if nobody shares them.
    pub fn release(&mut self, block: u64, count: u64, owner: Owner) -> Result<()> {
        let (number, mut start) = self.split(block);
        let end = start + count;
        let mut owner = owner;
        let (group, disk) = self.group(number)?;
        while start < end {
            let (shared, count) = group.is_shared(disk, start, end - start)?;
            group.disown(disk, &Record { start, count, owner: owner.number, offset: owner.offset })?;
            if shared {
                group.unshare(disk, start, count)?;
            } else {
                group.give(disk, start, count)?;
                disk.superblock.count_blocks(count as i64);
            }
            start += count;
            owner = owner.behind(count);
        }
        Ok(())
    }

    /// Whether a block is shared with other files, and for how many blocks from there on that is so.
    pub fn is_shared(&mut self, block: u64, count: u64) -> Result<(bool, u64)> {
        if !self.disk.superblock.has(crate::features::REFLINK) {
            return Ok((false, count));
        }
        let (number, start) = self.split(block);
        let (group, disk) = self.group(number)?;
        group.is_shared(disk, start, count)
    }

    /// Blocks that can still be used for content: not those that trees and directories will need when they are written.
    pub fn spare_blocks(&self) -> u64 {
        let kept = u64::from(self.disk.superblock.groups).saturating_mul(RESERVE + WANTS_MOST);
        self.disk.superblock.free_blocks().saturating_sub(kept.saturating_add(self.promised))
    }

    /// Refuses (`no-space`) what cannot fit, before anything is changed; `back` blocks will be freed first.
    pub fn check_room(&self, bytes: u64, back: u64) -> Result<()> {
        let blocks = bytes.div_ceil(u64::from(self.disk.superblock.block_size));
        // Trees of extents and of the groups take a twentieth, in the worst case, of single blocks.
        let need = blocks.saturating_add(if blocks > back { blocks / 20 + CHANGE_MOST } else { CHANGE_MOST });
        let free = self.spare_blocks().saturating_add(back);
        if need <= free {
            return Ok(());
        }
        let message =
            format!("{bytes} bytes need up to {need} blocks, and {free} can be had: make room in the guest");
        Err(Error::new(ErrorKind::NoSpace, message))
    }
}
