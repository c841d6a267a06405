//! What the log says was begun: blocks to be freed, owners and shares to be changed. What was not ended before the machine
//! stopped is ended here, in the way in which Linux does (fs/xfs/xfs_extfree_item.c, xfs_rmap_item.c, xfs_refcount_item.c;
//! structures: fs/xfs/libxfs/xfs_log_format.h).

use crate::Xfs;
use crate::allocate::COPIES;
use crate::bytes::part;
use crate::device::Disk;
use crate::extent::{Extent, replace};
use crate::fork::Held;
use crate::group::Group;
use crate::inode::Which;
use crate::record::{OF_ATTRIBUTES, OF_TREE, Record, UNWRITTEN};
use std::collections::HashMap;
use wherry_sdk::bytes::{u16_at, u32_at, u64_at};
use wherry_sdk::{Error, ErrorKind, Result};

/// Kinds: blocks to be freed, owners, shares, extents of files. What is done has the next number; so have the others up to the
/// last.
const FREE: u16 = 0x1236;
const OWNERS: u16 = 0x1240;
const SHARES: u16 = 0x1242;
const EXTENTS: u16 = 0x1244;
const LAST: u16 = 0x1249;
/// Bytes before the list of an item.
const HEADER: usize = 16;
/// Flags of an owner's change: its kind, and what it is of.
const CHANGE: u32 = 0xff;
const IN_ATTRIBUTES: u32 = 1 << 31;
const IN_TREE: u32 = 1 << 30;
const NOT_WRITTEN: u32 = 1 << 29;
/// An extent has another one.
const EXTENT_NOT_WRITTEN: u32 = 1 << 30;
/// Changes that an error shows.
const SHOWN_MOST: usize = 8;
/// Items that are remembered.
const MOST: usize = 1 << 16;

/// Something that was begun.
#[derive(Clone, Debug)]
enum Begun {
    Free {
        block: u64,
        count: u64,
    },
    Owner {
        block: u64,
        record: Record,
        change: u32,
    },
    Share {
        block: u64,
        count: u64,
        change: u32,
    },
    Map {
        inode: u64,
        extent: Extent,
        flags: u32,
    },
    /// Nothing that is known here.
    Unknown,
}

/// What was begun and not ended, by kind and number; and when.
#[derive(Default)]
pub struct Intents {
    open: HashMap<(u16, u64), (usize, Vec<Begun>)>,
    seen: usize,
}

fn refuse<T>(why: &str) -> Result<T> {
    Err(Error::new(ErrorKind::Corrupt, format!("the log has {why}")))
}

/// Whether items of this kind are begun, or done.
pub fn is_intent(kind: u16) -> bool {
    matches!(kind, FREE | 0x1237) || (OWNERS..=LAST).contains(&kind)
}

fn list(kind: u16, head: &[u8]) -> Result<Vec<Begun>> {
    let count = u32_at(head, 4) as usize;
    let sizes: &[usize] = match kind {
        // Aligned as on machines of 64 and of 32 bits.
        FREE => &[16, 12],
        OWNERS | EXTENTS => &[32],
        SHARES => &[16],
        _ => return Ok(vec![Begun::Unknown]),
    };
    let size =
        sizes.iter().find(|size| count.checked_mul(**size).is_some_and(|all| all + HEADER == head.len()));
    let Some(size) = size else { return refuse("a list that does not fit") };
    let one = |bytes: &[u8]| match kind {
        FREE => Begun::Free { block: u64_at(bytes, 0), count: u64::from(u32_at(bytes, 8)) },
        SHARES => Begun::Share {
            block: u64_at(bytes, 0),
            count: u64::from(u32_at(bytes, 8)),
            change: u32_at(bytes, 12) & CHANGE,
        },
        EXTENTS => {
            let (block, start, flags) = (u64_at(bytes, 8), u64_at(bytes, 16), u32_at(bytes, 28));
            let (count, unwritten) = (u64::from(u32_at(bytes, 24)), flags & EXTENT_NOT_WRITTEN != 0);
            Begun::Map { inode: u64_at(bytes, 0), extent: Extent { start, block, count, unwritten }, flags }
        }
        _ => {
            let flags = u32_at(bytes, 28);
            let flag = |bit: u32, value: u64| if flags & bit != 0 { value } else { 0 };
            let place = if flags & IN_TREE == 0 { u64_at(bytes, 16) } else { 0 };
            let offset = place
                | flag(IN_ATTRIBUTES, OF_ATTRIBUTES)
                | flag(IN_TREE, OF_TREE)
                | flag(NOT_WRITTEN, UNWRITTEN);
            let (owner, count) = (u64_at(bytes, 0), u64::from(u32_at(bytes, 24)));
            let record = Record { start: 0, count, owner, offset };
            Begun::Owner { block: u64_at(bytes, 8), record, change: flags & CHANGE }
        }
    };
    Ok(part(head, HEADER, head.len()).chunks_exact(*size).map(one).collect())
}

impl Intents {
    /// Takes in an item.
    pub fn note(&mut self, head: &[u8]) -> Result<()> {
        let (kind, number) = (u16_at(head, 0), u64_at(head, 8));
        let done = kind == FREE + 1 || kind >= OWNERS && kind % 2 == 1;
        if done {
            self.open.remove(&(kind - 1, number));
            return Ok(());
        }
        self.seen += 1;
        self.open.insert((kind, number), (self.seen, list(kind, head)?));
        if self.open.len() > MOST {
            return Err(Error::new(
                ErrorKind::Limit,
                "the log has more changes that were begun than are looked at",
            ));
        }
        Ok(())
    }

    /// What is open: first extents, then owners, then shares, then blocks to be freed, each in the order in which they were begun.
    fn in_order(&self) -> Result<Vec<Begun>> {
        let mut all = Vec::new();
        for ((kind, _), (when, list)) in &self.open {
            let rank = [EXTENTS, OWNERS, SHARES, FREE].iter().position(|known| known == kind);
            let Some(rank) = rank else {
                return refuse(&format!("a change of kind {kind:#x} that was begun and not ended"));
            };
            all.push((rank, when, list));
        }
        all.sort_unstable_by_key(|(rank, when, _)| (*rank, **when));
        Ok(all.into_iter().flat_map(|(_, _, list)| list.iter().cloned()).collect())
    }

    /// What is open, for people.
    pub fn shown(&self) -> String {
        let all = self.in_order().unwrap_or_default();
        all.iter().take(SHOWN_MOST).map(|begun| format!("{begun:?}")).collect::<Vec<_>>().join(", ")
    }

    /// Fails where something was begun that is not known here.
    pub fn check(&self) -> Result<()> {
        for begun in self.in_order()? {
            match begun {
                Begun::Owner { change, .. } if !(1..=8).contains(&change) => {
                    return refuse("an unknown change of owners");
                }
                Begun::Share { change, .. } if !(1..=4).contains(&change) => {
                    return refuse("an unknown change of shares");
                }
                Begun::Map { flags, .. } if !(1..=2).contains(&(flags & CHANGE)) => {
                    return refuse("an unknown change of extents");
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Group {
    /// Blocks are no longer anybody's.
    fn disown_any(&mut self, disk: &mut Disk, start: u64, count: u64) -> Result<()> {
        let Some(owners) = &mut self.owners else { return Ok(()) };
        let found = owners.at_or_before(disk, [start, u64::MAX, u64::MAX])?;
        match found.filter(|found| found.start + found.count > start) {
            Some(found) => {
                let owner = crate::allocate::Owner { number: found.owner, offset: found.offset };
                let offset = owner.behind(start - found.start).offset;
                self.disown(disk, &Record { start, count, owner: found.owner, offset })
            }
            None => Ok(()),
        }
    }

    /// What an owner's change comes to.
    fn change_owner(&mut self, disk: &mut Disk, record: Record, change: u32) -> Result<()> {
        match change {
            // Mapped, mapped as shared, allocated.
            1 | 2 | 7 => self.own(disk, record),
            // The same undone.
            3 | 4 | 8 => self.disown(disk, &record),
            // Written now, or no longer: the flag is that of afterwards.
            _ => {
                self.disown(disk, &Record { offset: record.offset ^ UNWRITTEN, ..record })?;
                self.own(disk, record)
            }
        }
    }

    /// What a change of shares comes to; how many blocks are free by it.
    fn change_share(&mut self, disk: &mut Disk, start: u64, count: u64, change: u32) -> Result<u64> {
        let copy = Record { start: start | COPIES, count, owner: 1, offset: 0 };
        let (mut at, end, mut freed) = (start, start + count, 0);
        match change {
            3 => self.add_share(disk, copy)?,
            4 => self.cut_share(disk, &copy)?,
            _ => {
                while at < end {
                    let (shared, count) = self.is_shared(disk, at, end - at)?;
                    match (change, shared) {
                        (1, _) => self.share(disk, at, count)?,
                        (_, true) => self.unshare(disk, at, count)?,
                        (_, false) => {
                            self.give(disk, at, count)?;
                            freed += count;
                        }
                    }
                    at += count;
                }
            }
        }
        Ok(freed)
    }
}

impl Xfs {
    /// Ends what was begun.
    pub fn end_intents(&mut self, intents: &Intents) -> Result<()> {
        for begun in intents.in_order()? {
            let (block, count) = match &begun {
                Begun::Free { block, count } | Begun::Share { block, count, .. } => (*block, *count),
                Begun::Owner { block, record, .. } => (*block, record.count),
                Begun::Map { extent, .. } => (extent.block, extent.count),
                Begun::Unknown => return refuse("a change that is not known here"),
            };
            if self.disk.superblock.place(block, count).is_none() || count == 0 {
                return refuse("changes of blocks that do not exist");
            }
            if let Begun::Map { inode, extent, flags } = &begun {
                self.change_extent(*inode, *extent, *flags)?;
                continue;
            }
            let (number, start) = self.split(block);
            let (group, disk) = self.group(number)?;
            let freed = match begun {
                Begun::Owner { record, change, .. } => {
                    group.change_owner(disk, Record { start, ..record }, change)?;
                    0
                }
                Begun::Share { change, .. } => group.change_share(disk, start, count, change)?,
                _ => {
                    group.disown_any(disk, start, count)?;
                    group.give(disk, start, count)?;
                    count
                }
            };
            disk.superblock.count_blocks(freed as i64);
        }
        Ok(())
    }

    /// Puts an extent into a file, or takes it out; its blocks are others' business.
    fn change_extent(&mut self, number: u64, extent: Extent, flags: u32) -> Result<()> {
        let mut inode = self.any_inode(number, true)?;
        let which = if flags & IN_ATTRIBUTES != 0 { Which::Attributes } else { Which::Data };
        let other = if which == Which::Data { Which::Attributes } else { Which::Data };
        let Held::Mapped(mut map) = self.held(&inode, which)? else {
            return refuse("extents of an inode without them");
        };
        let mapped = flags & CHANGE == 1;
        let gone = replace(&mut map, extent.start, extent.count, mapped.then_some(extent));
        let right = if mapped { gone.is_empty() } else { gone == [extent] };
        if !right || extent.start.saturating_add(extent.count) >= 1 << 54 {
            return refuse("extents that are not as they were");
        }
        let owner = Self::fork_owner(&inode, which, &extent);
        let (group, start) = self.split(extent.block);
        let record = Record { start, count: extent.count, owner: owner.number, offset: owner.offset };
        let (group, disk) = self.group(group)?;
        if mapped {
            group.own(disk, record)?
        } else {
            group.disown(disk, &record)?
        }
        inode.count_blocks(if mapped { extent.count as i64 } else { -(extent.count as i64) });
        let (map, other) = (Held::Mapped(map), self.held(&inode, other)?);
        let (data, attributes) = if which == Which::Data { (map, other) } else { (other, map) };
        self.set_forks(&mut inode, &data, &attributes)?;
        inode.store(&mut self.disk)
    }
}
