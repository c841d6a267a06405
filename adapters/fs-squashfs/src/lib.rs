//! SquashFS 4 as mksquashfs makes it: live systems' roots, snaps, firmware. Read, never written.

mod bytes;
mod compression;
mod content;
mod directory;
mod inode;
mod metadata;
mod superblock;
mod xattr;

use crate::content::{Place, Unpacked};
use crate::directory::{NAME_MOST, Stopped};
use crate::inode::{Body, Inode};
use crate::metadata::Blocks;
use crate::superblock::Superblock;
use std::collections::HashMap;
use wherry_sdk::filesystem::Identity;
use wherry_sdk::path::{Names, components, not_a_directory, not_found};
use wherry_sdk::{
    Blob, Entry, EntryPage, Error, ErrorKind, FileSystem, Kind, Meta, READ_MOST, Range, Result, Room, fact,
};

/// Entries in one page of a listing.
const ENTRIES_MOST: u32 = 1 << 13;

/// A mounted file system.
pub struct Squash {
    device: Box<dyn Blob>,
    superblock: Superblock,
    blocks: Blocks,
    unpacked: Unpacked,
    owners: HashMap<u16, u32>,
    /// References of inodes, by those of their directories.
    names: Names<u64>,
    /// Where the last listing and the last file that was read went on.
    stopped: Option<Stopped>,
    place: Option<Place>,
}

fn denied<T>() -> Result<T> {
    Err(Error::unsupported(
        "SquashFS is never changed, only made anew: change what it was made from, or what lies over it",
    ))
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}

impl Squash {
    fn find(&mut self, path: &str) -> Result<Inode> {
        let mut inode = self.inode(self.superblock.root)?;
        for name in components(path, |name| name.len() <= NAME_MOST)? {
            if inode.kind() != Kind::Directory {
                return Err(not_a_directory(path, name));
            }
            let found = self.look_up(path, &inode, name).map_err(|e| e.within(path))?;
            let reference = found.ok_or_else(|| not_found(path))?;
            inode = self.inode(reference).map_err(|e| e.within(path))?;
        }
        Ok(inode)
    }

    fn meta(inode: &Inode) -> Meta {
        Meta {
            kind: inode.kind(),
            size: inode.size,
            mode: inode.mode,
            uid: inode.owner.0,
            gid: inode.owner.1,
            mtime: inode.mtime.into(),
            id: inode.number.into(),
            links: inode.links,
            attributes: Vec::new(),
        }
    }
}

impl FileSystem for Squash {
    fn probe(device: &dyn Blob) -> Result<Option<Identity>> {
        let Some((major, minor)) = superblock::version(device)? else { return Ok(None) };
        let mut facts = vec![fact("squashfs.version", format!("{major}.{minor}"))];
        let (mut block, mut size) = (4096, device.size());
        match Superblock::read(device) {
            Ok(found) => {
                facts.push(fact("squashfs.compression", found.packing.name()));
                facts.push(fact("squashfs.made", found.made));
                (block, size) = (found.block, found.size);
            }
            Err(error) if error.kind == ErrorKind::Unsupported => {}
            Err(error) if error.kind == ErrorKind::Corrupt => return Ok(None),
            Err(error) => return Err(error),
        }
        Ok(Some(Identity {
            kind: "squashfs".into(),
            uuid: None,
            label: None,
            block,
            size,
            clean: true,
            facts,
        }))
    }

    fn mount(device: Box<dyn Blob>, writable: bool) -> Result<Self> {
        if writable {
            return denied();
        }
        let superblock = Superblock::read(device.as_ref())?;
        let mut squash = Self {
            device,
            superblock,
            blocks: Blocks::default(),
            unpacked: Unpacked::default(),
            owners: HashMap::new(),
            names: Names::default(),
            stopped: None,
            place: None,
        };
        let root = squash.inode(squash.superblock.root).map_err(|e| e.within("the root directory"))?;
        if root.kind() != Kind::Directory {
            return Err(Error::corrupt(32, "the superblock's root is not a directory"));
        }
        Ok(squash)
    }

    fn stat(&mut self, path: &str) -> Result<Meta> {
        let inode = self.find(path)?;
        let mut meta = Self::meta(&inode);
        if let Some(number) = inode.attributes {
            meta.attributes = self.attributes(number).map_err(|e| e.within(path))?;
        }
        Ok(meta)
    }

    fn entries(&mut self, path: &str, start: u64, most: u32) -> Result<EntryPage> {
        let directory = self.find(path)?;
        let most = most.clamp(1, ENTRIES_MOST);
        let (named, next) = self.page(path, &directory, start, most).map_err(|e| e.within(path))?;
        let mut entries = Vec::with_capacity(named.len());
        for one in named {
            let name = bytes::text(&one.name);
            let inode = self.inode(one.reference).map_err(|e| e.within(&format!("{path}: {name}")))?;
            entries.push(Entry { name, meta: Self::meta(&inode) });
        }
        Ok(EntryPage { entries, next })
    }

    fn read(&mut self, path: &str, offset: u64, length: u32) -> Result<Vec<u8>> {
        let inode = self.find(path)?;
        let Body::File(content) = &inode.body else { return Err(invalid(format!("{path} is no file"))) };
        let length = u64::from(length.min(READ_MOST));
        self.content(&inode, content, offset, length)
            .map_err(|e| e.within(&format!("{path} from {offset} on")))
    }

    fn read_link(&mut self, path: &str) -> Result<String> {
        match self.find(path)?.body {
            Body::Symlink(target) => Ok(target),
            _ => Err(invalid(format!("{path} is no symbolic link"))),
        }
    }

    fn room(&mut self) -> Result<Room> {
        Ok(Room { total: self.superblock.size, free: 0, free_files: Some(0) })
    }

    fn write(&mut self, _path: &str, _content: &dyn Blob, _like: Option<&Meta>) -> Result<()> {
        denied()
    }

    fn modify(&mut self, _path: &str, _offset: u64, _content: &dyn Blob) -> Result<()> {
        denied()
    }

    fn rename(&mut self, _old: &str, _new: &str) -> Result<()> {
        denied()
    }

    fn remove(&mut self, _path: &str) -> Result<()> {
        denied()
    }

    fn make_directory(&mut self, _path: &str, _like: Option<&Meta>) -> Result<()> {
        denied()
    }

    fn make_symlink(&mut self, _path: &str, _target: &str, _like: Option<&Meta>) -> Result<()> {
        denied()
    }

    fn set_meta(&mut self, _path: &str, _meta: &Meta) -> Result<()> {
        denied()
    }

    /// All of the device: firmware keeps what changes behind the file system's end.
    fn used(&mut self, start: u64, most: u32) -> Result<Vec<Range>> {
        let end = self.device.size();
        let all = (start < end && most > 0).then(|| Range { offset: start, length: end - start });
        Ok(all.into_iter().collect())
    }

    fn sync(&mut self) -> Result<()> {
        Ok(())
    }
}

wherry_sdk::register_filesystem_driver!(Squash, "../adapter.toml");
