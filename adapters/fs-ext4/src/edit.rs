//! Changes to the tree of files. Every change ends with all inodes stored; blocks reach the device by `sync`.

use crate::Ext4;
use crate::checksum::crc32c;
use crate::content::Slice;
use crate::directory::New;
use crate::features;
use crate::inode::{self, AREA_LENGTH, Inode};
use crate::path::components;
use crate::xattr::Attribute;
use wherry_sdk::path::not_found;
use wherry_sdk::{Blob, Error, ErrorKind, Kind, Meta, Result, now_unix};

/// The most names of one object: what 16 bits were limited to at first, and with `dir_nlink`.
const LINKS_MOST: u16 = 32000;
const LINKS_MOST_COUNTED: u16 = 65000;

fn refuse<T>(kind: ErrorKind, message: String) -> Result<T> {
    Err(Error::new(kind, message))
}

/// Refuses objects that their owner protected by `chattr`.
fn check_protection(path: &str, inode: &Inode, appending: bool) -> Result<()> {
    let flags = if appending { inode::IMMUTABLE } else { inode::IMMUTABLE | inode::APPEND_ONLY };
    if inode.flags() & flags == 0 {
        return Ok(());
    }
    let letter = if inode.has(inode::IMMUTABLE) { "i" } else { "a" };
    refuse(ErrorKind::Denied, format!("{path} is protected: run chattr -{letter} on it in the guest"))
}

fn check_file(path: &str, inode: &Inode) -> Result<()> {
    match inode.kind() {
        Kind::File => Ok(()),
        _ => refuse(ErrorKind::InvalidInput, format!("{path} is not a regular file")),
    }
}

fn now() -> i64 {
    i64::try_from(now_unix()).unwrap_or(i64::MAX)
}

impl Ext4 {
    /// Runs one change.
    pub fn edit<T>(&mut self, act: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.writing.begin()?;
        let before = self.device.changes();
        let result = act(self);
        self.writing.end(&result, self.device.changes() != before);
        result
    }

    /// A new inode, not stored yet: mode, owner, modification time and project; then its attributes.
    fn make_inode(&mut self, parent: &Inode, kind: Kind, like: Option<&Meta>) -> Result<Inode> {
        let directory = kind == Kind::Directory;
        let number = self.allocate_inode(parent.number, directory)?;
        let mut inode = Inode { number, raw: vec![0; self.superblock.inode_size as usize] };
        let mode = match kind {
            Kind::Directory => 0o755,
            Kind::Symlink => 0o777,
            Kind::File | Kind::Other => 0o644,
        };
        crate::bytes::put_u16(&mut inode.raw, 0, inode::type_bits(kind));
        inode.set_permissions(like.map_or(mode, |like| like.mode));
        if inode.raw.len() > 128 {
            crate::bytes::put_u16(&mut inode.raw, 0x80, self.superblock.extra_isize());
        }
        inode.set_links(if directory { 2 } else { 1 });
        inode.set_birth(now());
        inode.set_generation(crc32c(number, &now_unix().to_le_bytes()));
        if parent.has(inode::PROJECT_INHERIT) {
            inode.set_project(parent.project());
            inode.set_flag(inode::PROJECT_INHERIT, directory);
        }
        if let Some(like) = like {
            inode.set_owner(like.uid, like.gid);
            inode.set_mtime(like.mtime);
        }
        Ok(inode)
    }

    /// Gives a new inode its attributes and a name.
    fn link_new(
        &mut self,
        mut parent: Inode,
        name: &str,
        mut inode: Inode,
        like: Option<&Meta>,
    ) -> Result<()> {
        if let Some(like) = like.filter(|like| !like.attributes.is_empty()) {
            let attributes = parse_attributes(&like.attributes)?;
            self.store_attributes(&mut inode, attributes)?;
        }
        self.store_inode(&inode)?;
        let entry = New { name: name.as_bytes(), inode: inode.number, file_type: inode.file_type() };
        self.insert(&mut parent, &entry)?;
        if inode.kind() == Kind::Directory {
            self.add_link(&mut parent)?;
        }
        self.touch_directory(&mut parent, name)
    }

    fn touch_directory(&mut self, directory: &mut Inode, name: &str) -> Result<()> {
        directory.set_mtime(now());
        directory.set_ctime(now());
        self.names.forget(u64::from(directory.number), name);
        self.store_inode(directory)
    }

    /// One more subdirectory. With `dir_nlink` the count 1 means "many".
    fn add_link(&mut self, directory: &mut Inode) -> Result<()> {
        let counted = self.superblock.has(features::DIR_NLINK);
        match directory.links() {
            1 => {}
            links if counted && links >= LINKS_MOST_COUNTED - 1 => directory.set_links(1),
            links if !counted && links >= LINKS_MOST => {
                let message =
                    format!("directory inode {} has {links} subdirectories already", directory.number);
                return refuse(ErrorKind::NoSpace, message);
            }
            links => directory.set_links(links + 1),
        }
        Ok(())
    }

    fn drop_link(directory: &mut Inode) {
        if directory.links() > 2 {
            directory.set_links(directory.links() - 1);
        }
    }

    /// Creates a file, or replaces the content of one.
    pub fn write_file(&mut self, path: &str, content: &dyn Blob, like: Option<&Meta>) -> Result<()> {
        let (parent, name, found) = self.resolve_name(path)?;
        let Some(mut inode) = found else {
            check_protection(path, &parent, true)?;
            check_attributes(like)?;
            self.check_room(content.size(), 0)?;
            let mut inode = self.make_inode(&parent, Kind::File, like)?;
            self.start_map(&mut inode);
            self.append_content(&mut inode, content)?;
            return self.link_new(parent, name, inode, like);
        };
        check_file(path, &inode)?;
        check_protection(path, &inode, false)?;
        self.check_room(content.size(), inode.blocks(self.superblock.block_size))?;
        if inode.has(inode::INLINE_DATA) {
            self.take_inline(&mut inode)?;
        } else {
            self.cut(&mut inode, 0)?;
        }
        inode.set_size(0);
        self.append_content(&mut inode, content)?;
        self.touch_file(inode)
    }

    /// Overwrites a file from `offset` on.
    pub fn modify_file(&mut self, path: &str, offset: u64, content: &dyn Blob) -> Result<()> {
        let mut inode = self.resolve(path)?;
        let size = inode.size();
        check_file(path, &inode)?;
        check_protection(path, &inode, offset == size)?;
        if offset > size {
            let message = format!("{path} has {size} bytes, so byte {offset} is beyond its end");
            return refuse(ErrorKind::InvalidInput, message);
        }
        let within = content.size().min(size - offset);
        self.check_room(content.size() - within, 0)?;
        self.uninline_file(&mut inode)?;
        self.overwrite_content(&mut inode, offset, &Slice { of: content, from: 0, length: within })?;
        let rest = Slice { of: content, from: within, length: content.size() - within };
        self.append_content(&mut inode, &rest)?;
        self.touch_file(inode)
    }

    fn touch_file(&mut self, mut inode: Inode) -> Result<()> {
        inode.set_mtime(now());
        inode.set_ctime(now());
        self.store_inode(&inode)
    }

    /// Makes a directory.
    pub fn make_directory_at(&mut self, path: &str, like: Option<&Meta>) -> Result<()> {
        let (parent, name) = self.free_name(path, like)?;
        let mut inode = self.make_inode(&parent, Kind::Directory, like)?;
        self.start_map(&mut inode);
        let entries = [
            New { name: b".", inode: inode.number, file_type: 2 },
            New { name: b"..", inode: parent.number, file_type: 2 },
        ];
        let bytes = self.pack_leaf(&inode, &entries);
        self.append_block(&mut inode, bytes)?;
        self.link_new(parent, name, inode, like)
    }

    /// Makes a symbolic link.
    pub fn make_symlink_at(&mut self, path: &str, target: &str, like: Option<&Meta>) -> Result<()> {
        let most = self.superblock.block_size.min(4096) as usize;
        if target.is_empty() || target.len() >= most || target.contains('\0') {
            let message =
                format!("{path} cannot point to {target:?}: 1 to {} bytes without NUL fit", most - 1);
            return refuse(ErrorKind::InvalidInput, message);
        }
        let (parent, name) = self.free_name(path, like)?;
        let mut inode = self.make_inode(&parent, Kind::Symlink, like)?;
        if target.len() < AREA_LENGTH {
            inode.set_area(target.as_bytes());
        } else {
            self.start_map(&mut inode);
            let mut bytes = target.as_bytes().to_vec();
            bytes.resize(self.superblock.block_size as usize, 0);
            self.append_block(&mut inode, bytes)?;
        }
        inode.set_size(target.len() as u64);
        self.link_new(parent, name, inode, like)
    }

    /// The directory and the name for a new object.
    fn free_name<'a>(&mut self, path: &'a str, like: Option<&Meta>) -> Result<(Inode, &'a str)> {
        let (parent, name, found) = self.resolve_name(path)?;
        if found.is_some() {
            return refuse(ErrorKind::Exists, format!("{path} exists already"));
        }
        check_protection(path, &parent, true)?;
        check_attributes(like)?;
        self.check_room(u64::from(self.superblock.block_size), 0)?;
        Ok((parent, name))
    }

    /// Removes a file, a symbolic link or an empty directory.
    pub fn remove_object(&mut self, path: &str) -> Result<()> {
        let (mut parent, name, found) = self.resolve_name(path)?;
        let inode = found.ok_or_else(|| not_found(path))?;
        check_protection(path, &inode, false)?;
        check_protection(path, &parent, false)?;
        self.check_removable(path, &inode)?;
        self.remove_entry(&mut parent, name.as_bytes())?;
        if inode.kind() == Kind::Directory {
            Self::drop_link(&mut parent);
        }
        self.touch_directory(&mut parent, name)?;
        self.unlink(inode)
    }

    fn check_removable(&mut self, path: &str, inode: &Inode) -> Result<()> {
        if inode.kind() == Kind::Directory && !self.list(inode, 0, 1)?.is_empty() {
            return refuse(ErrorKind::Exists, format!("directory {path} is not empty"));
        }
        self.check_attributes(inode)
    }

    /// One name less; the last one takes the object with it.
    fn unlink(&mut self, mut inode: Inode) -> Result<()> {
        if inode.kind() == Kind::Directory || inode.links() <= 1 {
            return self.free_object(inode);
        }
        inode.set_links(inode.links() - 1);
        inode.set_ctime(now());
        self.store_inode(&inode)
    }

    /// Gives back an object's blocks and its inode.
    pub fn free_object(&mut self, mut inode: Inode) -> Result<()> {
        let kind = inode.kind();
        self.check_attributes(&inode)?;
        self.drop_attribute_block(&mut inode)?;
        let mapped = kind != Kind::Other && !inode.has(inode::INLINE_DATA) && !self.is_short_link(&inode);
        if mapped {
            self.cut(&mut inode, 0)?;
        }
        inode.set_size(0);
        inode.set_links(0);
        inode.set_ctime(now());
        inode.set_deletion(now_unix() as u32);
        self.store_inode(&inode)?;
        self.names.forget_all(u64::from(inode.number));
        self.free_inode(inode.number, kind == Kind::Directory)
    }

    /// Whether a symbolic link's target is in the block area.
    pub fn is_short_link(&self, inode: &Inode) -> bool {
        inode.kind() == Kind::Symlink
            && !inode.has(inode::INLINE_DATA)
            && inode.is_blockless(self.superblock.block_size)
    }

    /// Renames, replacing what has the new name already.
    pub fn rename_object(&mut self, old: &str, new: &str) -> Result<()> {
        let (from, old_name, found) = self.resolve_name(old)?;
        let mut inode = found.ok_or_else(|| not_found(old))?;
        let (to, new_name, replaced) = self.resolve_name(new)?;
        if components(new)?.starts_with(&components(old)?) && components(new)? != components(old)? {
            return refuse(ErrorKind::InvalidInput, format!("{old} cannot be moved into itself"));
        }
        for (path, inode) in [(old, &inode), (old, &from), (new, &to)] {
            check_protection(path, inode, false)?;
        }
        if let Some(replaced) = &replaced {
            if replaced.number == inode.number {
                return Ok(());
            }
            self.check_replaceable(new, replaced, inode.kind())?;
        }
        let directory = inode.kind() == Kind::Directory;
        let across = from.number != to.number;
        self.put_name(to.number, new_name, &inode, replaced.as_ref())?;
        let mut from = self.inode(from.number)?;
        self.remove_entry(&mut from, old_name.as_bytes())?;
        if directory && (across || replaced.is_some()) {
            Self::drop_link(&mut from);
        }
        self.touch_directory(&mut from, old_name)?;
        if directory && across {
            let mut to = self.inode(to.number)?;
            if replaced.is_none() {
                self.add_link(&mut to)?;
                self.store_inode(&to)?;
            }
            self.retarget(&mut inode, &New { name: b"..", inode: to.number, file_type: 2 })?;
        }
        inode.set_ctime(now());
        self.store_inode(&inode)?;
        replaced.map_or(Ok(()), |replaced| self.unlink(replaced))
    }

    fn check_replaceable(&mut self, path: &str, replaced: &Inode, kind: Kind) -> Result<()> {
        let directory = replaced.kind() == Kind::Directory;
        if directory != (kind == Kind::Directory) {
            let what = if directory { "is a directory" } else { "is not a directory" };
            return refuse(
                ErrorKind::Exists,
                format!("{path} {what} and cannot be replaced by the other kind"),
            );
        }
        check_protection(path, replaced, false)?;
        self.check_removable(path, replaced)
    }

    /// Makes a name in a directory stand for `inode`.
    fn put_name(
        &mut self,
        directory: u32,
        name: &str,
        inode: &Inode,
        replaced: Option<&Inode>,
    ) -> Result<()> {
        let mut directory = self.inode(directory)?;
        let entry = New { name: name.as_bytes(), inode: inode.number, file_type: inode.file_type() };
        match replaced {
            Some(_) => self.retarget(&mut directory, &entry)?,
            None => self.insert(&mut directory, &entry)?,
        }
        self.touch_directory(&mut directory, name)
    }

    /// Sets mode, owner, modification time and exactly these attributes.
    pub fn set_metadata(&mut self, path: &str, meta: &Meta) -> Result<()> {
        let mut inode = self.resolve(path)?;
        check_protection(path, &inode, false)?;
        let mut attributes = parse_attributes(&meta.attributes)?;
        let mut wanted = meta.attributes.clone();
        let mut present = self.public_attributes(&inode)?;
        wanted.sort();
        present.sort();
        if wanted != present {
            self.check_attributes(&inode)?;
            let internal =
                self.attributes(&inode)?.into_iter().filter(|attribute| attribute.public().is_none());
            attributes.extend(internal);
            self.store_attributes(&mut inode, attributes)?;
        }
        inode.set_permissions(meta.mode);
        inode.set_owner(meta.uid, meta.gid);
        inode.set_mtime(meta.mtime);
        inode.set_ctime(now());
        self.store_inode(&inode)
    }
}

fn check_attributes(like: Option<&Meta>) -> Result<()> {
    like.map_or(Ok(()), |like| parse_attributes(&like.attributes).map(|_| ()))
}

/// Attributes as they are stored; names must differ.
fn parse_attributes(attributes: &[(String, Vec<u8>)]) -> Result<Vec<Attribute>> {
    let mut parsed: Vec<Attribute> = Vec::new();
    for (name, value) in attributes {
        let attribute = Attribute::new(name, value)?;
        if attribute.is_inline_data()
            || parsed.iter().any(|a| (a.index, &a.name) == (attribute.index, &attribute.name))
        {
            return refuse(ErrorKind::InvalidInput, format!("attribute {name} is internal or given twice"));
        }
        parsed.push(attribute);
    }
    Ok(parsed)
}
