//! Changes to the tree of files, on Solaris' UFS.

use crate::Ufs;
use crate::directory::Bytes;
use crate::inode::{Inode, ROOT};
use wherry_sdk::path::{components, not_a_directory, not_found, split_last};
use wherry_sdk::{Blob, Error, ErrorKind, Kind, Meta, Result, now_unix};

const NAME_MOST: usize = 255;
/// The most names of one object (LINK_MAX), and the longest target of a link.
const LINKS_MOST: u16 = 32767;
const TARGET_MOST: usize = 1023;

fn refuse<T>(kind: ErrorKind, message: String) -> Result<T> {
    Err(Error::new(kind, message))
}

/// The names in a path.
pub fn names(path: &str) -> Result<Vec<&str>> {
    components(path, |name| name.len() <= NAME_MOST)
}

impl Ufs<'_> {
    /// The inode at `path`, which must exist.
    pub fn resolve(&mut self, path: &str) -> Result<Inode> {
        let names = names(path)?;
        self.walk(path, &names)
    }

    fn walk(&mut self, path: &str, names: &[&str]) -> Result<Inode> {
        let mut inode = self.inode(ROOT)?;
        for name in names {
            if inode.kind() != Kind::Directory {
                return Err(not_a_directory(path, name));
            }
            let number = self.lookup(&inode, name.as_bytes())?.ok_or_else(|| not_found(path))?;
            inode = self.inode(number).map_err(|error| error.within(path))?;
        }
        Ok(inode)
    }

    /// The directory of a path, its last name, and what has it.
    fn resolve_name<'p>(&mut self, path: &'p str) -> Result<(Inode, &'p str, Option<Inode>)> {
        let names = names(path)?;
        let (name, above) = split_last(&names)?;
        let parent = self.walk(path, above)?;
        if parent.kind() != Kind::Directory {
            return Err(not_a_directory(path, name));
        }
        let found = self.lookup(&parent, name.as_bytes())?;
        let found = found.map(|number| self.inode(number)).transpose()?;
        Ok((parent, name, found))
    }

    /// Runs one change.
    pub(crate) fn edit<T>(&mut self, act: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.writing.begin()?;
        let before = (self.device.changes(), self.changes);
        let result = act(self);
        let changed = (self.device.changes(), self.changes) != before;
        if changed {
            self.listings.clear();
        }
        self.writing.end(&result, changed);
        result
    }

    fn now(&self) -> i64 {
        self.time.unwrap_or_else(|| i64::try_from(now_unix()).unwrap_or(i64::MAX))
    }

    fn touch(&mut self, inode: &mut Inode) -> Result<()> {
        inode.set_time(24, self.now());
        inode.set_time(32, self.now());
        self.put_inode(inode)
    }

    fn check_room(&self, bytes: u64) -> Result<()> {
        let (blocks, _, fragments) = self.superblock.free();
        let free =
            blocks * u64::from(self.superblock.block) + fragments * u64::from(self.superblock.fragment);
        if bytes <= free {
            return Ok(());
        }
        refuse(
            ErrorKind::NoSpace,
            format!("{bytes} bytes do not fit into the {free} that are free: free some in the guest"),
        )
    }

    /// Creates a file, or replaces the content of one.
    pub(crate) fn write_file(&mut self, path: &str, content: &dyn Blob, like: Option<&Meta>) -> Result<()> {
        let (parent, name, found) = self.resolve_name(path)?;
        match found {
            Some(mut inode) if inode.kind() == Kind::File => {
                let held = inode.sectors() * 512;
                self.check_room(content.size().saturating_sub(held))?;
                self.cut(&mut inode)?;
                self.write_range(&mut inode, 0, content)?;
                self.touch(&mut inode)
            }
            Some(_) => refuse(ErrorKind::InvalidInput, format!("{path} is not a regular file")),
            None => {
                self.check_room(content.size())?;
                check_attributes(like)?;
                let mut inode = self.new_inode(&parent, Kind::File, like)?;
                self.write_range(&mut inode, 0, content)?;
                self.link_new(parent, name, inode)
            }
        }
    }

    /// Overwrites a part of a file.
    pub(crate) fn modify_file(&mut self, path: &str, offset: u64, content: &dyn Blob) -> Result<()> {
        let mut inode = self.resolve(path)?;
        if inode.kind() != Kind::File {
            return refuse(ErrorKind::InvalidInput, format!("{path} is not a regular file"));
        }
        if offset > inode.size() {
            let message = format!("{path} has {} bytes, so byte {offset} is beyond its end", inode.size());
            return refuse(ErrorKind::InvalidInput, message);
        }
        self.check_room((offset + content.size()).saturating_sub(inode.size()))?;
        self.write_range(&mut inode, offset, content)?;
        self.touch(&mut inode)
    }

    pub(crate) fn new_directory(&mut self, path: &str, like: Option<&Meta>) -> Result<()> {
        let (mut parent, name) = self.free_name(path)?;
        check_attributes(like)?;
        if parent.links() >= LINKS_MOST {
            return refuse(
                ErrorKind::NoSpace,
                format!("the directory of {path} has too many subdirectories"),
            );
        }
        let mut inode = self.new_inode(&parent, Kind::Directory, like)?;
        self.start_directory(&mut inode, parent.number)?;
        inode.set_links(2);
        parent.set_links(parent.links() + 1);
        self.link_new(parent, name, inode)
    }

    pub(crate) fn new_symlink(&mut self, path: &str, target: &str, like: Option<&Meta>) -> Result<()> {
        if target.is_empty() || target.contains('\0') || target.len() > TARGET_MOST {
            return refuse(ErrorKind::InvalidInput, format!("{target:?} cannot be the target of a link"));
        }
        let (parent, name) = self.free_name(path)?;
        check_attributes(like)?;
        let mut inode = self.new_inode(&parent, Kind::Symlink, like)?;
        self.write_range(&mut inode, 0, &Bytes(target.as_bytes().to_vec()))?;
        self.link_new(parent, name, inode)
    }

    fn free_name<'p>(&mut self, path: &'p str) -> Result<(Inode, &'p str)> {
        let (parent, name, found) = self.resolve_name(path)?;
        match found {
            None => Ok((parent, name)),
            Some(_) => refuse(ErrorKind::Exists, format!("{path} exists already")),
        }
    }

    /// A new inode, not stored yet.
    fn new_inode(&mut self, parent: &Inode, kind: Kind, like: Option<&Meta>) -> Result<Inode> {
        let near = self.group_of_inode(parent.number);
        let number = self.take_inode(near, kind)?;
        let mut inode = self.inode(number)?;
        let generation = inode.order.u32(&inode.raw, 108);
        inode.raw.fill(0);
        inode.order.put32(&mut inode.raw, 108, generation.wrapping_add(1));
        let (bits, usual) = match kind {
            Kind::Directory => (0o040_000, 0o755),
            Kind::Symlink => (0o120_000, 0o777),
            Kind::File | Kind::Other => (0o100_000, 0o644),
        };
        let mode = like.map_or(usual, |like| like.mode as u16 & 0o7777);
        inode.set_mode(bits | mode);
        inode.set_links(1);
        for at in [16, 24, 32] {
            inode.set_time(at, self.now());
        }
        inode.set_owner(like.map_or(0, |like| like.uid), like.map_or(0, |like| like.gid));
        if let Some(like) = like {
            inode.set_time(24, like.mtime);
        }
        Ok(inode)
    }

    fn link_new(&mut self, mut parent: Inode, name: &str, inode: Inode) -> Result<()> {
        self.put_inode(&inode)?;
        self.add_name(&mut parent, name.as_bytes(), inode.number)?;
        self.touch(&mut parent)
    }

    pub(crate) fn remove_name(&mut self, path: &str) -> Result<()> {
        let (mut parent, name, found) = self.resolve_name(path)?;
        let inode = found.ok_or_else(|| not_found(path))?;
        if !self.is_empty(&inode)? {
            return refuse(ErrorKind::InvalidInput, format!("{path} is not empty"));
        }
        check_removable(path, &inode)?;
        self.set_name(&mut parent, name.as_bytes(), 0)?;
        if inode.kind() == Kind::Directory {
            parent.set_links(parent.links().saturating_sub(1));
        }
        self.touch(&mut parent)?;
        self.drop_link(inode)
    }

    /// One name fewer; without any the object goes.
    fn drop_link(&mut self, mut inode: Inode) -> Result<()> {
        let kind = inode.kind();
        if kind != Kind::Directory && inode.links() > 1 {
            inode.set_links(inode.links() - 1);
            inode.set_time(32, self.now());
            return self.put_inode(&inode);
        }
        self.cut(&mut inode)?;
        self.drop_list(inode.shadow())?;
        let generation = inode.order.u32(&inode.raw, 108);
        inode.raw.fill(0);
        inode.order.put32(&mut inode.raw, 108, generation);
        self.put_inode(&inode)?;
        self.give_inode(inode.number, kind)
    }

    /// One object fewer has this access control list.
    fn drop_list(&mut self, number: u32) -> Result<()> {
        if number == 0 {
            return Ok(());
        }
        let mut shadow = self.inode(number)?;
        if shadow.links() > 1 {
            shadow.set_links(shadow.links() - 1);
            return self.put_inode(&shadow);
        }
        self.cut(&mut shadow)?;
        shadow.raw.fill(0);
        self.put_inode(&shadow)?;
        self.give_inode(number, Kind::Other)
    }

    pub(crate) fn rename_name(&mut self, old: &str, new: &str) -> Result<()> {
        let (from, old_name, found) = self.resolve_name(old)?;
        let mut inode = found.ok_or_else(|| not_found(old))?;
        let (to, new_name, target) = self.resolve_name(new)?;
        if target.as_ref().is_some_and(|target| target.number == inode.number) {
            return Ok(());
        }
        let directory = inode.kind() == Kind::Directory;
        if directory && self.is_below(&to, inode.number)? {
            return refuse(ErrorKind::InvalidInput, format!("{new} is inside of {old}"));
        }
        if let Some(target) = &target {
            if directory != (target.kind() == Kind::Directory) {
                return refuse(ErrorKind::InvalidInput, format!("one of {old} and {new} is a directory"));
            }
            if !self.is_empty(target)? {
                return refuse(ErrorKind::InvalidInput, format!("{new} is not empty"));
            }
            check_removable(new, target)?;
        }
        let same = from.number == to.number;
        let mut parent = to;
        match target {
            Some(target) => {
                self.set_name(&mut parent, new_name.as_bytes(), inode.number)?;
                if directory {
                    parent.set_links(parent.links().saturating_sub(1));
                }
                self.put_inode(&parent)?;
                self.drop_link(target)?;
            }
            None => self.add_name(&mut parent, new_name.as_bytes(), inode.number)?,
        }
        if directory && !same {
            parent.set_links(parent.links() + 1);
        }
        self.touch(&mut parent)?;
        let mut above = self.inode(from.number)?;
        self.set_name(&mut above, old_name.as_bytes(), 0)?;
        if directory && !same {
            above.set_links(above.links().saturating_sub(1));
            self.set_name(&mut inode, b"..", parent.number)?;
        }
        self.touch(&mut above)?;
        inode.set_time(32, self.now());
        self.put_inode(&inode)
    }

    /// Whether a directory is the one of this number, or lies in it.
    fn is_below(&mut self, directory: &Inode, number: u32) -> Result<bool> {
        let mut at = directory.clone();
        for _ in 0..1 << 12 {
            if at.number == number {
                return Ok(true);
            }
            if at.number == ROOT {
                return Ok(false);
            }
            let above = self.above(&at)?;
            at = self.inode(above)?;
        }
        refuse(ErrorKind::Corrupt, "directories lie in one another without end: run fsck".into())
    }

    pub(crate) fn set_attributes(&mut self, path: &str, meta: &Meta) -> Result<()> {
        check_attributes(Some(meta))?;
        let mut inode = self.resolve(path)?;
        let kind = inode.mode() & 0o170_000;
        inode.set_mode(kind | meta.mode as u16 & 0o7777);
        inode.set_owner(meta.uid, meta.gid);
        inode.set_time(24, meta.mtime);
        inode.set_time(32, self.now());
        self.put_inode(&inode)
    }
}

/// There is no place for extended attributes of other systems.
fn check_attributes(like: Option<&Meta>) -> Result<()> {
    match like.and_then(|like| like.attributes.first()) {
        Some((name, _)) => Err(Error::unsupported(format!("the attribute {name} cannot be stored on UFS"))),
        None => Ok(()),
    }
}

/// A directory of attributes would have to go with its object.
fn check_removable(path: &str, inode: &Inode) -> Result<()> {
    if inode.attribute_directory() != 0 && inode.links() <= 1 {
        return Err(Error::unsupported(format!("{path} has extended attributes: remove it in the guest")));
    }
    Ok(())
}
