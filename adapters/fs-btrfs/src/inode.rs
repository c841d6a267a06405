//! Inodes (Linux: `include/uapi/linux/btrfs_tree.h`, struct btrfs_inode_item).

use crate::Btrfs;
use crate::bytes::{put, put_u32, put_u64, u32_at, u64_at};
use crate::key::{self, Key};
use wherry_sdk::{Error, ErrorKind, Kind, Result};

/// Bytes of the item.
pub const LENGTH: usize = 160;
/// Where the item has the number of names.
pub const LINKS: usize = 40;
/// Flags: content without sums, protected by chattr.
pub const NO_SUMS: u64 = 1;
pub const IMMUTABLE: u64 = 1 << 6;
pub const APPEND_ONLY: u64 = 1 << 7;
/// Features of the upper half: sealed by fs-verity.
pub const VERITY: u64 = 1 << 32;

/// Which inode: a number in a subvolume's tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    pub tree: u64,
    pub number: u64,
}

impl Place {
    /// One number for both: subvolumes have few, inodes many.
    pub fn id(self) -> u64 {
        self.tree << 40 ^ self.number
    }
}

/// An inode.
#[derive(Clone, Debug)]
pub struct Inode {
    pub place: Place,
    pub raw: Vec<u8>,
}

impl Inode {
    pub fn size(&self) -> u64 {
        u64_at(&self.raw, 16)
    }

    pub fn links(&self) -> u32 {
        u32_at(&self.raw, LINKS)
    }

    pub fn owner(&self) -> (u32, u32) {
        (u32_at(&self.raw, 44), u32_at(&self.raw, 48))
    }

    pub fn mode(&self) -> u32 {
        u32_at(&self.raw, 52)
    }

    pub fn kind(&self) -> Kind {
        match self.mode() & 0o170_000 {
            0o100_000 => Kind::File,
            0o040_000 => Kind::Directory,
            0o120_000 => Kind::Symlink,
            _ => Kind::Other,
        }
    }

    pub fn flags(&self) -> u64 {
        u64_at(&self.raw, 64)
    }

    pub fn mtime(&self) -> i64 {
        u64_at(&self.raw, 136) as i64
    }

    pub fn bytes(&self) -> u64 {
        u64_at(&self.raw, 24)
    }

    pub fn set_size(&mut self, size: u64) {
        put_u64(&mut self.raw, 16, size);
    }

    /// Bytes of the device that its content takes.
    pub fn set_bytes(&mut self, bytes: u64) {
        put_u64(&mut self.raw, 24, bytes);
    }

    pub fn set_links(&mut self, links: u32) {
        put_u32(&mut self.raw, LINKS, links);
    }

    pub fn set_owner(&mut self, uid: u32, gid: u32) {
        put_u32(&mut self.raw, 44, uid);
        put_u32(&mut self.raw, 48, gid);
    }

    pub fn set_permissions(&mut self, mode: u32) {
        let kind = self.mode() & !0o7777;
        put_u32(&mut self.raw, 52, kind | mode & 0o7777);
    }

    pub fn set_mtime(&mut self, seconds: i64) {
        self.set_time(136, seconds);
    }

    pub fn set_ctime(&mut self, seconds: i64) {
        self.set_time(124, seconds);
    }

    fn set_time(&mut self, at: usize, seconds: i64) {
        put(&mut self.raw, at, &seconds.to_le_bytes());
        put_u32(&mut self.raw, at + 8, 0);
    }

    /// A new one, with one link.
    pub fn new(place: Place, kind: Kind, mode: u32, generation: u64, now: i64) -> Self {
        let mut inode = Self { place, raw: vec![0; LENGTH] };
        let bits = match kind {
            Kind::Directory => 0o040_000,
            Kind::Symlink => 0o120_000,
            Kind::File | Kind::Other => 0o100_000,
        };
        put_u64(&mut inode.raw, 0, generation);
        put_u64(&mut inode.raw, 8, generation);
        put_u32(&mut inode.raw, 52, bits | mode & 0o7777);
        inode.set_links(1);
        // access, change, modification, birth
        for at in [112, 124, 136, 148] {
            inode.set_time(at, now);
        }
        inode
    }
}

impl Btrfs<'_> {
    /// The inode at a place.
    pub fn inode(&mut self, place: Place) -> Result<Inode> {
        let raw = self.item(place.tree, Key::new(place.number, key::INODE_ITEM, 0))?;
        match raw.filter(|raw| raw.len() >= LENGTH) {
            Some(raw) => Ok(Inode { place, raw }),
            None => {
                let message =
                    format!("inode {} of subvolume {} is missing: run btrfs check", place.number, place.tree);
                Err(Error::new(ErrorKind::Corrupt, message))
            }
        }
    }
}
