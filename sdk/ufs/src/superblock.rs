//! The superblock (illumos: `usr/src/uts/common/sys/fs/ufs_fs.h`, struct fs; FreeBSD: `sys/ufs/ffs/fs.h` for UFS2 and the BSDs' own
//! fields).

use crate::order::Order;
use wherry_sdk::bytes::byte_at;
use wherry_sdk::{Blob, Error, Result};

/// Bytes that are read.
const LENGTH: u32 = 8192;
/// Where it may be (SBLOCKSEARCH): UFS1 and Solaris, UFS2, UFS2 on old disks, floppies.
const PLACES: [u64; 4] = [8192, 64 << 10, 256 << 10, 0];
/// Magic numbers: UFS1, Solaris' of more than a terabyte, UFS2.
const MAGIC: u32 = 0x0001_1954;
const MAGIC_LARGE: u32 = 0x00de_cade;
const MAGIC_2: u32 = 0x1954_0119;
/// `fs_state` is this less `fs_time` where `fs_clean` can be believed (FSOKAY).
const OKAY: u32 = 0x7c26_9d38;
/// Values of `fs_clean`, and of `fs_rolled`.
const CLEAN: u8 = 1;
const STABLE: u8 = 2;
const LOGGING: u8 = 0xfd;
const ALL_ROLLED: u32 = 1;
/// FreeBSD's flags (`fs_flags`): soft updates, a journal.
const SOFT_UPDATES: u32 = 2;
const JOURNALS: u32 = 0x28;
/// Fragments of a block.
const FRAGMENTS_MOST: u32 = 8;

/// Whose file system it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// Solaris, SunOS
    Sun,
    /// UFS1 of the BSDs
    Bsd,
    /// UFS2
    Bsd2,
}

/// A superblock that makes sense.
#[derive(Clone)]
pub struct Superblock {
    pub raw: Vec<u8>,
    pub place: u64,
    pub order: Order,
    pub flavour: Flavour,
    /// Bytes of a block and of a fragment, fragments of a block.
    pub block: u32,
    pub fragment: u32,
    pub fragments: u32,
    /// Cylinder groups; inodes and fragments of each.
    pub groups: u32,
    pub inodes: u32,
    pub span: u32,
    /// Fragments of the file system.
    pub size: u64,
}

/// The superblock; none if there is none.
pub fn read(device: &dyn Blob) -> Result<Option<Superblock>> {
    for place in PLACES {
        if place + u64::from(LENGTH) > device.size() {
            continue;
        }
        let raw = device.read(place, LENGTH)?;
        for order in [Order::Little, Order::Big] {
            let second = match order.u32(&raw, 1372) {
                MAGIC | MAGIC_LARGE => false,
                MAGIC_2 => true,
                _ => continue,
            };
            // A copy of UFS2's may be found where UFS1's would be.
            if second && order.u64(&raw, 1000) != place || !second && place > 8192 {
                continue;
            }
            return Superblock::parse(raw, place, order, second, device.size()).map(Some);
        }
    }
    Ok(None)
}

impl Superblock {
    fn parse(raw: Vec<u8>, place: u64, order: Order, second: bool, device: u64) -> Result<Self> {
        let bad = |what: String| Err(Error::corrupt(place, format!("the UFS superblock {what}: run fsck")));
        let number = |at: usize| order.u32(&raw, at);
        let (block, fragment, fragments) = (number(48), number(52), number(56));
        let (groups, inodes, span) = (number(44), number(184), number(188));
        let sizes =
            block.is_power_of_two() && fragment.is_power_of_two() && (4096..=64 << 10).contains(&block);
        if !sizes
            || fragment < 512
            || fragments > FRAGMENTS_MOST
            || fragment.checked_mul(fragments) != Some(block)
        {
            return bad(format!("says blocks of {block} bytes in {fragments} fragments of {fragment}"));
        }
        let size = if second { order.u64(&raw, 1080) } else { u64::from(number(36)) };
        let fits = |count: u32, each: u32| u64::from(count).saturating_mul(each.into());
        if size == 0 || size.saturating_mul(fragment.into()) > device {
            return bad(format!("says {size} fragments, more than its device has"));
        }
        if groups == 0
            || span == 0
            || inodes == 0
            || fits(groups, span) < size
            || fits(groups - 1, span) >= size
        {
            return bad(format!("says {groups} groups of {span} fragments for {size}"));
        }
        if inodes.checked_mul(groups).is_none() || number(160) > block || number(160) < 168 {
            return bad(format!(
                "says {inodes} inodes of each group, which is described in {} bytes",
                number(160)
            ));
        }
        let flavour = if second { Flavour::Bsd2 } else { Flavour::Bsd };
        Ok(Self { raw, place, order, flavour, block, fragment, fragments, groups, inodes, span, size })
    }

    /// A number of 4 bytes.
    pub fn number(&self, at: usize) -> u32 {
        self.order.u32(&self.raw, at)
    }

    /// Bytes of an inode.
    pub fn inode_size(&self) -> u32 {
        if self.flavour == Flavour::Bsd2 { 256 } else { 128 }
    }

    /// Where a group's own blocks begin, in fragments; old ones are spread over a disk's surfaces (cgstart).
    pub fn group_start(&self, group: u32) -> u64 {
        let base = u64::from(self.span) * u64::from(group);
        match self.flavour {
            Flavour::Bsd2 => base,
            _ => base + u64::from(self.number(24).wrapping_mul(group & !self.number(28))),
        }
    }

    /// Where a group is described, and where its inodes begin, in fragments.
    pub fn group_place(&self, group: u32) -> u64 {
        self.group_start(group) + u64::from(self.number(12))
    }

    pub fn inode_place(&self, group: u32) -> u64 {
        self.group_start(group) + u64::from(self.number(16))
    }

    /// Where the summaries of all groups are, in fragments, and their bytes.
    pub fn summaries(&self) -> (u64, u32) {
        let place = if self.flavour == Flavour::Bsd2 {
            self.order.u64(&self.raw, 1096)
        } else {
            self.number(152).into()
        };
        (place, self.number(156))
    }

    /// Free blocks, inodes and fragments.
    pub fn free(&self) -> (u64, u64, u64) {
        if self.flavour == Flavour::Bsd2 {
            let number = |at| self.order.u64(&self.raw, at);
            (number(1016), number(1024), number(1032))
        } else {
            (self.number(196).into(), self.number(200).into(), self.number(204).into())
        }
    }

    /// Where a log is, if the file system has one of its own.
    pub fn has_log(&self) -> bool {
        self.flavour == Flavour::Sun && self.number(1324) != 0
    }

    /// What speaks against reading it as it is, or changing it.
    pub fn doubt(&self) -> Option<String> {
        let clean = byte_at(&self.raw, 209);
        if self.flavour != Flavour::Sun {
            let flags = if self.flavour == Flavour::Bsd2 {
                self.number(1312)
            } else {
                u32::from(byte_at(&self.raw, 211))
            };
            let soft = if flags & SOFT_UPDATES != 0 { ", with soft updates" } else { "" };
            let journal = if flags & JOURNALS != 0 { " and a journal" } else { "" };
            return (clean != CLEAN).then(|| format!("it was not unmounted{soft}{journal}"));
        }
        let state = self.number(if self.order == Order::Little { 132 } else { 1336 });
        if self.has_log() && self.number(4) != ALL_ROLLED {
            return Some("its log has to be rolled".into());
        }
        if state.wrapping_add(self.number(32)) != OKAY {
            return Some("its state is not known".into());
        }
        let good = matches!(clean, CLEAN | STABLE) || clean == LOGGING && self.has_log();
        (!good).then(|| "it was not unmounted".into())
    }
}
