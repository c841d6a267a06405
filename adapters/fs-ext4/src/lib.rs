//! ext2, ext3 and ext4 file systems, read and changed without being mounted by a kernel.
//!
//! The device is the host's copy-on-write overlay, which the host throws away when anything fails; so changes need no
//! journal of their own: a dirty journal is replayed first, then metadata is changed in memory and written back by
//! `sync`. Nothing on the device is trusted: numbers are checked where they are read, every walk ends.

mod acl;
mod allocate;
mod bitmap;
mod blockmap;
mod bytes;
mod checksum;
mod content;
mod device;
mod directory;
mod edit;
mod extent;
mod features;
mod group;
mod hash;
mod htree;
mod inline;
mod inode;
mod journal;
mod orphan;
mod path;
mod superblock;
mod used;
mod xattr;

use device::Device;
use inode::Inode;
use superblock::Superblock;
use wherry_sdk::filesystem::Identity;
use wherry_sdk::path::Names;
use wherry_sdk::{
    Blob, Entry, EntryPage, Error, ErrorKind, FileSystem, Kind, Meta, Range, Result, Room, Writing, fact,
    now_unix,
};

/// Entries in one page of a listing.
const ENTRIES_MOST: u32 = 1 << 13;
/// A symbolic link's target is shorter than a page.
const TARGET_MOST: u64 = 4096;

/// A mounted file system.
pub struct Ext4 {
    device: Device,
    superblock: Superblock,
    names: Names<u32>,
    writing: Writing,
    /// The superblock has to be written even if no block was changed.
    changed: bool,
}

impl Ext4 {
    fn meta(&mut self, inode: &Inode, attributes: bool) -> Result<Meta> {
        Ok(Meta {
            kind: inode.kind(),
            size: inode.size(),
            mode: u32::from(inode.mode() & 0o7777),
            uid: inode.uid(),
            gid: inode.gid(),
            mtime: inode.mtime(),
            id: u64::from(inode.number),
            links: u32::from(inode.links()),
            attributes: if attributes { self.public_attributes(inode)? } else { Vec::new() },
        })
    }

    fn write_superblock(&mut self) -> Result<()> {
        let block_size = u64::from(self.superblock.block_size);
        let raw = self.superblock.stamped(now_unix());
        let (block, within) = (superblock::START / block_size, superblock::START % block_size);
        bytes::put(self.device.modify(block)?, within as usize, raw);
        Ok(())
    }
}

impl FileSystem for Ext4 {
    fn probe(device: &dyn Blob) -> Result<Option<Identity>> {
        let Some(raw) = superblock::read(device)? else { return Ok(None) };
        let superblock = Superblock::parse(raw, device.size())?;
        if superblock.has(features::JOURNAL_DEV) {
            return Ok(None);
        }
        let mut facts = vec![fact("features", superblock.features().join(","))];
        if superblock.has(features::RECOVER) {
            facts.push(fact("journal", "has to be replayed"));
        }
        if let Some(doubt) = superblock.doubt() {
            facts.push(fact("doubt", doubt));
        }
        Ok(Some(Identity {
            kind: superblock.kind().into(),
            uuid: superblock.uuid(),
            label: superblock.label(),
            block: u32::try_from(u64::from(superblock.block_size) * superblock.cluster).unwrap_or(u32::MAX),
            size: superblock.blocks * u64::from(superblock.block_size),
            clean: superblock.is_clean(),
            facts,
        }))
    }

    fn mount(device: Box<dyn Blob>, writable: bool) -> Result<Self> {
        let Some(raw) = superblock::read(device.as_ref())? else {
            return Err(Error::corrupt(superblock::START, "there is no ext superblock here"));
        };
        let superblock = Superblock::parse(raw, device.size())?;
        superblock.check_readable()?;
        if writable && !device.writable() {
            return Err(Error::new(ErrorKind::Denied, "the device is read-only: mount it for reading"));
        }
        let device = Device::new(device, superblock.block_size, superblock.blocks);
        let names = Names::default();
        let writing = Writing::new(writable);
        let mut mounted = Self { device, superblock, names, writing, changed: false };
        if writable {
            mounted.superblock.check_writable()?;
        }
        mounted.recover(writable)?;
        if writable {
            // The journal may have brought news of errors.
            mounted.superblock.check_writable()?;
            mounted.settle_orphans()?;
        }
        if mounted.named_inode(inode::ROOT)?.kind() != Kind::Directory {
            return Err(Error::new(ErrorKind::Corrupt, "the root inode is not a directory: run e2fsck"));
        }
        Ok(mounted)
    }

    fn stat(&mut self, path: &str) -> Result<Meta> {
        let inode = self.resolve(path)?;
        self.meta(&inode, true)
    }

    fn entries(&mut self, path: &str, start: u64, most: u32) -> Result<EntryPage> {
        let directory = self.resolve(path)?;
        if directory.kind() != Kind::Directory {
            return Err(Error::new(ErrorKind::InvalidInput, format!("{path} is not a directory")));
        }
        let most = most.clamp(1, ENTRIES_MOST) as usize;
        let list = self.list(&directory, start, most)?;
        let next = list.last().filter(|_| list.len() == most).map(|(_, _, next)| *next);
        let mut entries = Vec::with_capacity(list.len());
        for (number, name, _) in list {
            let name = String::from_utf8_lossy(&name).into_owned();
            let inode = self.named_inode(number).map_err(|error| error.within(&format!("{path}/{name}")))?;
            entries.push(Entry { name, meta: self.meta(&inode, false)? });
        }
        Ok(EntryPage { entries, next })
    }

    fn read(&mut self, path: &str, offset: u64, length: u32) -> Result<Vec<u8>> {
        let inode = self.resolve(path)?;
        if inode.kind() != Kind::File {
            return Err(Error::new(ErrorKind::InvalidInput, format!("{path} is not a regular file")));
        }
        self.read_file(&inode, offset, length).map_err(|error| error.within(path))
    }

    fn read_link(&mut self, path: &str) -> Result<String> {
        let inode = self.resolve(path)?;
        if inode.kind() != Kind::Symlink {
            return Err(Error::new(ErrorKind::InvalidInput, format!("{path} is not a symbolic link")));
        }
        if inode.has(inode::ENCRYPTED) {
            return Err(Error::unsupported(format!(
                "{path} is encrypted by fscrypt: only the guest has its key"
            )));
        }
        if inode.size() > TARGET_MOST {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!("{path} has an impossible length: run e2fsck"),
            ));
        }
        let bytes = if self.is_short_link(&inode) {
            bytes::part(inode.area(), 0, inode.size() as usize).to_vec()
        } else if inode.has(inode::INLINE_DATA) {
            self.inline_content(&inode)?
        } else {
            self.long_target(&inode)?
        };
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn room(&mut self) -> Result<Room> {
        let block_size = u64::from(self.superblock.block_size);
        Ok(Room {
            total: self.superblock.blocks * block_size,
            free: self.superblock.free_blocks().min(self.superblock.blocks) * block_size,
            free_files: Some(u64::from(self.superblock.free_inodes())),
        })
    }

    fn write(&mut self, path: &str, content: &dyn Blob, like: Option<&Meta>) -> Result<()> {
        self.edit(|fs| fs.write_file(path, content, like))
    }

    fn modify(&mut self, path: &str, offset: u64, content: &dyn Blob) -> Result<()> {
        self.edit(|fs| fs.modify_file(path, offset, content))
    }

    fn rename(&mut self, old: &str, new: &str) -> Result<()> {
        self.edit(|fs| fs.rename_object(old, new))
    }

    fn remove(&mut self, path: &str) -> Result<()> {
        self.edit(|fs| fs.remove_object(path))
    }

    fn make_directory(&mut self, path: &str, like: Option<&Meta>) -> Result<()> {
        self.edit(|fs| fs.make_directory_at(path, like))
    }

    fn make_symlink(&mut self, path: &str, target: &str, like: Option<&Meta>) -> Result<()> {
        self.edit(|fs| fs.make_symlink_at(path, target, like))
    }

    fn set_meta(&mut self, path: &str, meta: &Meta) -> Result<()> {
        self.edit(|fs| fs.set_metadata(path, meta))
    }

    fn used(&mut self, start: u64, most: u32) -> Result<Vec<Range>> {
        self.used_ranges(start, most)
    }

    fn sync(&mut self) -> Result<()> {
        if !self.writing.is_allowed() {
            return Ok(());
        }
        self.edit(|fs| {
            if fs.device.changes() > 0 || fs.changed {
                fs.write_superblock()?;
                fs.device.flush()?;
                fs.changed = false;
            }
            Ok(())
        })
    }
}

wherry_sdk::register_filesystem_driver!(Ext4, "../adapter.toml");
