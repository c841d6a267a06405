//! Inodes (illumos: `usr/src/uts/common/sys/fs/ufs_inode.h`, struct icommon; FreeBSD: `sys/ufs/ufs/dinode.h`).

use crate::Ufs;
use crate::order::Order;
use crate::superblock::Flavour;
use wherry_sdk::bytes::field;
use wherry_sdk::{Error, ErrorKind, Kind, Result};

/// The root directory.
pub const ROOT: u32 = 2;
/// Blocks that an inode names itself, and those that name further ones.
pub const DIRECT: usize = 12;
pub const INDIRECT: usize = 3;
/// Says that the owner's number is where numbers of 32 bits are (UID_LONG).
const LONG: u16 = u16::MAX;

/// An inode.
#[derive(Clone, Debug)]
pub struct Inode {
    pub number: u32,
    pub raw: Vec<u8>,
    pub order: Order,
    pub flavour: Flavour,
}

impl Inode {
    fn second(&self) -> bool {
        self.flavour == Flavour::Bsd2
    }

    pub fn mode(&self) -> u16 {
        self.order.u16(&self.raw, 0)
    }

    pub fn kind(&self) -> Kind {
        match self.mode() & 0o170_000 {
            0o100_000 => Kind::File,
            0o040_000 => Kind::Directory,
            0o120_000 => Kind::Symlink,
            _ => Kind::Other,
        }
    }

    pub fn links(&self) -> u16 {
        self.order.u16(&self.raw, 2)
    }

    pub fn owner(&self) -> (u32, u32) {
        if self.second() {
            return (self.order.u32(&self.raw, 4), self.order.u32(&self.raw, 8));
        }
        let (uid, gid) = (self.order.u16(&self.raw, 4), self.order.u16(&self.raw, 6));
        if self.flavour == Flavour::Bsd {
            return (self.order.u32(&self.raw, 112), self.order.u32(&self.raw, 116));
        }
        let (long_uid, long_gid) = (self.order.u32(&self.raw, 116), self.order.u32(&self.raw, 120));
        (if uid == LONG { long_uid } else { uid.into() }, if gid == LONG { long_gid } else { gid.into() })
    }

    pub fn size(&self) -> u64 {
        self.order.u64(&self.raw, if self.second() { 16 } else { 8 })
    }

    pub fn mtime(&self) -> i64 {
        if self.second() {
            self.order.u64(&self.raw, 40) as i64
        } else {
            self.order.i32(&self.raw, 24).into()
        }
    }

    /// Sectors of 512 bytes that it takes.
    pub fn sectors(&self) -> u64 {
        if self.second() { self.order.u64(&self.raw, 24) } else { self.order.u32(&self.raw, 104).into() }
    }

    /// The inode with the access control list (Solaris); 0: none.
    pub fn shadow(&self) -> u32 {
        if self.flavour == Flavour::Sun { self.order.u32(&self.raw, SHADOW) } else { 0 }
    }

    /// The directory of attributes (Solaris); 0: none.
    pub fn attribute_directory(&self) -> u32 {
        if self.flavour == Flavour::Sun { self.order.u32(&self.raw, ATTRIBUTES) } else { 0 }
    }

    /// The address of the slot of this number, in fragments; 0: none.
    pub fn address(&self, slot: usize) -> u64 {
        if self.second() {
            return self.order.u64(&self.raw, 112 + slot * 8);
        }
        // Negative: allocated ahead and never written (Solaris), which reads as zeros.
        let address = self.order.i32(&self.raw, 40 + slot * 4);
        u64::try_from(address).unwrap_or(0)
    }

    /// A short link's target, where the addresses would be.
    pub fn short_target(&self) -> Option<&[u8]> {
        let (at, most) = if self.second() { (112, 120) } else { (40, 60) };
        let size = self.size();
        (self.kind() == Kind::Symlink && self.sectors() == 0 && size < most)
            .then(|| field(&self.raw, at, size as usize))
    }

    pub fn set_address(&mut self, slot: usize, fragment: u32) {
        self.order.put32(&mut self.raw, 40 + slot * 4, fragment);
    }

    pub fn set_size(&mut self, size: u64) {
        self.order.put64(&mut self.raw, 8, size);
    }

    pub fn add_sectors(&mut self, more: i64) {
        let sectors = (self.sectors() as i64).saturating_add(more).max(0);
        self.order.put32(&mut self.raw, 104, sectors as u32);
    }

    pub fn set_links(&mut self, links: u16) {
        self.order.put16(&mut self.raw, 2, links);
    }

    pub fn set_mode(&mut self, mode: u16) {
        self.order.put16(&mut self.raw, 0, mode);
    }

    pub fn set_owner(&mut self, uid: u32, gid: u32) {
        let short = |id: u32| u16::try_from(id).unwrap_or(LONG);
        self.order.put16(&mut self.raw, 4, short(uid));
        self.order.put16(&mut self.raw, 6, short(gid));
        self.order.put32(&mut self.raw, 116, uid);
        self.order.put32(&mut self.raw, 120, gid);
    }

    /// Sets a time of the three: 16 access, 24 modification, 32 change.
    pub fn set_time(&mut self, at: usize, seconds: i64) {
        let seconds = i32::try_from(seconds).unwrap_or(if seconds < 0 { i32::MIN } else { i32::MAX });
        self.order.put32(&mut self.raw, at, seconds as u32);
        self.order.put32(&mut self.raw, at + 4, 0);
    }
}

/// Where Solaris has the number of the inode with the access control list, and that of the directory of attributes.
const SHADOW: usize = 112;
const ATTRIBUTES: usize = 124;

impl Ufs<'_> {
    fn inode_offset(&self, number: u32) -> Result<u64> {
        let superblock = &self.superblock;
        let (group, within) = (number / superblock.inodes, number % superblock.inodes);
        if number < ROOT || group >= superblock.groups {
            let message = format!("there is no inode {number}: run fsck");
            return Err(Error::new(ErrorKind::Corrupt, message));
        }
        let start = superblock.inode_place(group) * u64::from(superblock.fragment);
        Ok(start + u64::from(within) * u64::from(superblock.inode_size()))
    }

    /// The inode of this number.
    pub fn inode(&mut self, number: u32) -> Result<Inode> {
        let offset = self.inode_offset(number)?;
        let raw = self.device.get(offset, self.superblock.inode_size())?;
        Ok(Inode { number, raw, order: self.superblock.order, flavour: self.superblock.flavour })
    }

    /// Writes an inode back.
    pub fn put_inode(&mut self, inode: &Inode) -> Result<()> {
        let offset = self.inode_offset(inode.number)?;
        self.device.write(offset, &inode.raw)
    }
}
