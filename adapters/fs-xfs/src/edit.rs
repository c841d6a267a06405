//! Changes to the tree of files. Every change ends with all inodes stored; names, groups and the superblock reach the device
//! by `sync`. Nothing goes through the log, which stays as clean as it is: the host's overlay is dropped when anything fails.

use crate::Xfs;
use crate::content::TARGET_MOST;
use crate::directory_form::DIRECTORY;
use crate::fork::Held;
use crate::inode::{APPEND_ONLY, IMMUTABLE, Inode, Which};
use crate::path::names;
use crate::xattr::Attribute;
use wherry_sdk::path::not_found;
use wherry_sdk::{Blob, Error, ErrorKind, Kind, Meta, Result, now_unix};

/// Types in directories.
const REGULAR: u8 = 1;
const SYMLINK: u8 = 7;
/// The type of inodes in the mode, by the type in directories.
const OTHERS: [(u32, u8); 4] = [(0x2000, 3), (0x6000, 4), (0x1000, 5), (0xc000, 6)];
/// Names of one object.
const LINKS_MOST: u32 = i32::MAX as u32;

fn refuse<T>(kind: ErrorKind, message: String) -> Result<T> {
    Err(Error::new(kind, message))
}

/// Refuses objects that their owner protected by `chattr`.
fn check_protection(path: &str, inode: &Inode, appending: bool) -> Result<()> {
    let flags = if appending { IMMUTABLE } else { IMMUTABLE | APPEND_ONLY };
    if !inode.has(flags) {
        return Ok(());
    }
    let letter = if inode.has(IMMUTABLE) { "i" } else { "a" };
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

/// The type of an object as directories have it.
fn type_of(inode: &Inode) -> u8 {
    match inode.kind() {
        Kind::Directory => DIRECTORY,
        Kind::File => REGULAR,
        Kind::Symlink => SYMLINK,
        Kind::Other => {
            OTHERS.iter().find(|(bits, _)| *bits == inode.type_bits()).map_or(0, |(_, kind)| *kind)
        }
    }
}

/// Attributes as they are stored; names must differ.
fn parse_attributes(attributes: &[(String, Vec<u8>)]) -> Result<Vec<Attribute>> {
    let mut parsed: Vec<Attribute> = Vec::new();
    for (name, value) in attributes {
        let attribute = Attribute::new(name, value)?;
        if parsed.iter().any(|other| (other.flags, &other.name) == (attribute.flags, &attribute.name)) {
            return refuse(ErrorKind::InvalidInput, format!("attribute {name} is given twice"));
        }
        parsed.push(attribute);
    }
    Ok(parsed)
}

/// Bytes of attributes, with what each may take besides.
fn attribute_bytes(like: Option<&Meta>) -> u64 {
    like.map_or(0, |like| {
        like.attributes.iter().map(|(name, value)| (name.len() + value.len() + 4096) as u64).sum()
    })
}

impl Xfs {
    /// Runs one change.
    pub fn edit<T>(&mut self, act: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.writing.begin()?;
        let before = self.disk.device.changes();
        self.touched = false;
        let result = act(self);
        let changed = self.touched || self.disk.device.changes() != before;
        self.writing.end(&result, changed);
        result
    }

    /// Writes everything back.
    pub fn write_all(&mut self) -> Result<()> {
        self.write_directories()?;
        self.write_groups()?;
        if self.changed {
            self.disk.superblock.recount_quotas();
            self.disk.device.put(0, self.disk.superblock.bytes())?;
        }
        self.disk.device.flush()
    }

    /// The state in memory differs from the disk's from now on.
    fn touch(&mut self) {
        (self.touched, self.changed) = (true, true);
    }

    /// A new inode, not stored yet.
    fn make_inode(&mut self, parent: &Inode, kind: Kind, like: Option<&Meta>) -> Result<Inode> {
        let number = self.allocate_inode(parent.number)?;
        self.touch();
        let mut inode = Inode::make(&mut self.disk, number, kind, now())?;
        let mode = match kind {
            Kind::Directory => 0o755,
            Kind::Symlink => 0o777,
            Kind::File | Kind::Other => 0o644,
        };
        inode.set_permissions(like.map_or(mode, |like| like.mode));
        inode.set_links(if kind == Kind::Directory { 2 } else { 1 });
        inode.inherit(parent);
        if let Some(like) = like {
            inode.set_owner(like.uid, like.gid);
            inode.set_mtime(like.mtime);
        }
        self.extents = None;
        Ok(inode)
    }

    /// Gives a new inode its attributes and a name.
    fn link_new(&mut self, parent: Inode, name: &str, mut inode: Inode, like: Option<&Meta>) -> Result<()> {
        let attributes = like.map_or(Ok(Vec::new()), |like| parse_attributes(&like.attributes))?;
        if !attributes.is_empty() {
            self.store_attributes(&mut inode, &attributes)?;
        }
        inode.store(&mut self.disk)?;
        let kind = type_of(&inode);
        self.change_names(&parent, |listing| listing.add(name.as_bytes(), inode.number, kind))?;
        self.touch_directory(parent.number, i64::from(inode.kind() == Kind::Directory))
    }

    /// A name in a directory has changed, and so many more directories are in it. The inode is read again: it may have been
    /// written with its names since.
    fn touch_directory(&mut self, number: u64, more: i64) -> Result<()> {
        let mut directory = self.inode(number)?;
        let links = i64::from(directory.links()) + more;
        if more != 0 && links >= 2 {
            directory.set_links(links as u32);
        }
        directory.set_mtime(now());
        directory.set_ctime(now());
        directory.store(&mut self.disk)
    }

    /// Creates a file, or replaces the content of one.
    pub fn write_file(&mut self, path: &str, content: &dyn Blob, like: Option<&Meta>) -> Result<()> {
        let (parent, name, found) = self.resolve_name(path)?;
        let Some(mut inode) = found else {
            self.check_new(path, &parent, name, like)?;
            self.check_room(content.size().saturating_add(attribute_bytes(like)), 0)?;
            let mut inode = self.make_inode(&parent, Kind::File, like)?;
            self.write_content(&mut inode, 0, content)?;
            return self.link_new(parent, name, inode, like);
        };
        check_file(path, &inode)?;
        check_protection(path, &inode, false)?;
        let back = self.owned_blocks(&inode)?;
        self.check_room(content.size(), back)?;
        self.touch();
        self.empty(&mut inode)?;
        self.write_content(&mut inode, 0, content)?;
        self.touch_file(inode)
    }

    /// Blocks that are free when a file is emptied: none is counted where it may share them.
    fn owned_blocks(&mut self, inode: &Inode) -> Result<u64> {
        let shares = self.disk.superblock.has(crate::features::REFLINK) && inode.is_shared();
        Ok(if shares { 0 } else { self.extents(inode, Which::Data)?.iter().map(|extent| extent.count).sum() })
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
        // What is there may be a hole, or shared.
        if !self.is_in_place(&inode, offset, content.size())? {
            self.check_room(content.size(), 0)?;
        }
        self.touch();
        self.write_content(&mut inode, offset, content)?;
        self.touch_file(inode)
    }

    fn touch_file(&mut self, mut inode: Inode) -> Result<()> {
        inode.set_mtime(now());
        inode.set_ctime(now());
        inode.store(&mut self.disk)
    }

    /// Makes a directory.
    pub fn make_directory_at(&mut self, path: &str, like: Option<&Meta>) -> Result<()> {
        let (parent, name) = self.free_name(path, like)?;
        if parent.links() >= LINKS_MOST {
            return refuse(ErrorKind::NoSpace, format!("the directory of {path} has too many others in it"));
        }
        let mut inode = self.make_inode(&parent, Kind::Directory, like)?;
        self.start_directory(inode.number, parent.number)?;
        // Nothing yet: its names come with the others.
        self.set_forks(&mut inode, &Held::Local(Vec::new()), &Held::Nothing)?;
        let listing = self.listing(&inode)?;
        self.build_directory(&mut inode, &listing, true)?;
        drop(listing);
        self.link_new(parent, name, inode, like)
    }

    /// Makes a symbolic link.
    pub fn make_symlink_at(&mut self, path: &str, target: &str, like: Option<&Meta>) -> Result<()> {
        if target.is_empty() || target.len() as u64 >= TARGET_MOST || target.contains('\0') {
            let message = format!("{path} cannot point to {target:?}: 1 to 1023 bytes without NUL fit");
            return refuse(ErrorKind::InvalidInput, message);
        }
        let (parent, name) = self.free_name(path, like)?;
        let mut inode = self.make_inode(&parent, Kind::Symlink, like)?;
        let room = inode.room();
        let held = self.hold_target(&mut inode, target.as_bytes(), room)?;
        inode.set_size(target.len() as u64);
        self.set_forks(&mut inode, &held, &Held::Nothing)?;
        self.link_new(parent, name, inode, like)
    }

    /// Whether a new name can be put into a directory.
    fn check_new(&self, path: &str, parent: &Inode, name: &str, like: Option<&Meta>) -> Result<()> {
        check_protection(path, parent, true)?;
        if self.folds() && !name.is_ascii() {
            let message = format!("{path}: only ASCII names can be made where case does not count");
            return refuse(ErrorKind::Unsupported, message);
        }
        like.map_or(Ok(()), |like| parse_attributes(&like.attributes).map(|_| ()))
    }

    /// The directory and the name for a new object.
    fn free_name<'a>(&mut self, path: &'a str, like: Option<&Meta>) -> Result<(Inode, &'a str)> {
        let (parent, name, found) = self.resolve_name(path)?;
        if found.is_some() {
            return refuse(ErrorKind::Exists, format!("{path} exists already"));
        }
        self.check_new(path, &parent, name, like)?;
        self.check_room(attribute_bytes(like), 0)?;
        Ok((parent, name))
    }

    /// Removes a file, a symbolic link or an empty directory.
    pub fn remove_object(&mut self, path: &str) -> Result<()> {
        let (parent, name, found) = self.resolve_name(path)?;
        let inode = found.ok_or_else(|| not_found(path))?;
        check_protection(path, &inode, false)?;
        check_protection(path, &parent, false)?;
        self.check_removable(path, &inode)?;
        self.touch();
        self.remove_name(&parent, name)?;
        self.touch_directory(parent.number, -i64::from(inode.kind() == Kind::Directory))?;
        self.unlink(inode.number)
    }

    fn remove_name(&mut self, directory: &Inode, name: &str) -> Result<()> {
        self.change_names(directory, |listing| {
            listing.remove(name.as_bytes());
            Ok(())
        })
    }

    fn check_removable(&mut self, path: &str, inode: &Inode) -> Result<()> {
        if inode.kind() == Kind::Directory && !self.listing(inode)?.list.is_empty() {
            return refuse(ErrorKind::Exists, format!("directory {path} is not empty"));
        }
        if inode.is_realtime() {
            let message = format!("{path} is on a realtime device, which is not changed here");
            return refuse(ErrorKind::Unsupported, message);
        }
        Ok(())
    }

    /// One name less; the last one takes the object with it.
    fn unlink(&mut self, number: u64) -> Result<()> {
        let mut inode = self.inode(number)?;
        if inode.kind() == Kind::Directory || inode.links() <= 1 {
            return self.free_object(inode);
        }
        inode.set_links(inode.links() - 1);
        inode.set_ctime(now());
        inode.store(&mut self.disk)
    }

    /// Gives back an object's blocks and its inode.
    pub fn free_object(&mut self, mut inode: Inode) -> Result<()> {
        self.touch();
        self.forget_directory(inode.number);
        for which in [Which::Data, Which::Attributes] {
            if let Held::Mapped(mut map) = self.held(&inode, which)? {
                self.cut(&mut inode, which, &mut map, 0)?;
            }
        }
        self.set_forks(&mut inode, &Held::Mapped(Vec::new()), &Held::Nothing)?;
        inode.clear(&self.disk);
        inode.store(&mut self.disk)?;
        self.free_inode(inode.number)
    }

    /// Renames, replacing what has the new name already.
    pub fn rename_object(&mut self, old: &str, new: &str) -> Result<()> {
        let (from, old_name, found) = self.resolve_name(old)?;
        let inode = found.ok_or_else(|| not_found(old))?;
        let (to, new_name, replaced) = self.resolve_name(new)?;
        if names(new)?.starts_with(&names(old)?) && names(new)? != names(old)? {
            return refuse(ErrorKind::InvalidInput, format!("{old} cannot be moved into itself"));
        }
        for (path, inode) in [(old, &inode), (old, &from), (new, &to)] {
            check_protection(path, inode, false)?;
        }
        match &replaced {
            // With one name, this is another spelling of it, where case does not count.
            Some(same) if same.number == inode.number => {
                if inode.links() > 1 || old_name == new_name || !self.folds() {
                    return Ok(());
                }
            }
            Some(other) => self.check_replaceable(new, other, inode.kind())?,
            None => {
                self.check_new(new, &to, new_name, None)?;
                self.check_room(0, 0)?;
            }
        }
        let replaced = replaced.filter(|replaced| replaced.number != inode.number);
        self.touch();
        self.move_name(&from, old_name, &to, new_name, &inode)?;
        self.recount(&inode, &from, &to, replaced.as_ref())?;
        let mut inode = self.inode(inode.number)?;
        inode.set_ctime(now());
        inode.store(&mut self.disk)?;
        replaced.map_or(Ok(()), |replaced| self.unlink(replaced.number))
    }

    fn move_name(&mut self, from: &Inode, old: &str, to: &Inode, new: &str, inode: &Inode) -> Result<()> {
        let kind = type_of(inode);
        self.remove_name(from, old)?;
        self.change_names(to, |listing| {
            if listing.get(new.as_bytes()).is_some() {
                listing.retarget(new.as_bytes(), inode.number, kind);
                return Ok(());
            }
            listing.add(new.as_bytes(), inode.number, kind)
        })?;
        if inode.kind() == Kind::Directory && from.number != to.number {
            self.change_names(inode, |listing| {
                listing.parent = to.number;
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Times and counts of the two directories of a rename.
    fn recount(&mut self, inode: &Inode, from: &Inode, to: &Inode, replaced: Option<&Inode>) -> Result<()> {
        let directory = inode.kind() == Kind::Directory;
        let across = from.number != to.number;
        let fewer = directory && (across || replaced.is_some());
        self.touch_directory(from.number, -i64::from(fewer))?;
        if across {
            self.touch_directory(to.number, i64::from(directory && replaced.is_none()))?;
        }
        Ok(())
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

    /// Sets mode, owner, modification time and exactly these attributes.
    pub fn set_metadata(&mut self, path: &str, meta: &Meta) -> Result<()> {
        let mut inode = self.resolve(path)?;
        check_protection(path, &inode, false)?;
        let attributes = parse_attributes(&meta.attributes)?;
        let mut wanted = meta.attributes.clone();
        let mut present = self.attributes(&inode)?;
        wanted.sort();
        present.sort();
        let renewed = wanted != present;
        if renewed {
            self.check_room(attribute_bytes(Some(meta)), 0)?;
        }
        self.touch();
        if renewed {
            self.store_attributes(&mut inode, &attributes)?;
        }
        inode.set_permissions(meta.mode);
        inode.set_owner(meta.uid, meta.gid);
        inode.set_mtime(meta.mtime);
        inode.set_ctime(now());
        inode.store(&mut self.disk)
    }
}
