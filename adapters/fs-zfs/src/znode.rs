//! Files and directories of the ZFS POSIX layer, versions 1 to 5 (OpenZFS' include/sys/zfs_znode.h, zfs_sa.h).

use crate::bytes::Block;
use crate::dataset::Dataset;
use crate::dnode::{Dnode, ObjectSet};
use crate::pool::Pool;
use crate::system_attributes::{self, Registry};
use std::rc::Rc;
use wherry_sdk::{Error, ErrorKind, Kind, Result};

/// The object that names the others of a file system (MASTER_NODE_OBJ), and the highest version of it.
const MASTER: u64 = 1;
const VERSION_MOST: u64 = 5;
/// A set of objects that is a file system (dmu_objset_type).
const FILE_SYSTEM: u64 = 2;
/// Bytes of the old structure: what is behind it in the bonus buffer is a symbolic link's target.
const OLD_LENGTH: usize = 264;
/// The longest target of a symbolic link, in bytes.
pub const TARGET_MOST: usize = 4096;

/// A file system that was opened.
#[derive(Clone, Debug)]
pub struct FileSystem {
    pub set: ObjectSet,
    pub root: u64,
    pub version: u64,
    /// Case does not count.
    pub any_case: bool,
    registry: Option<Rc<Registry>>,
}

/// What is known of an object.
#[derive(Clone, Debug, Default)]
pub struct Znode {
    pub number: u64,
    pub dnode: Dnode,
    pub mode: u64,
    pub size: u64,
    pub links: u64,
    pub uid: u64,
    pub gid: u64,
    /// Seconds since 1970.
    pub mtime: u64,
    /// The directory of attributes; 0 if there is none.
    pub attributes: u64,
    /// Attributes by the side of the others, as a list (ZPL_DXATTR).
    pub list: Option<Vec<u8>>,
    /// A symbolic link's target where it is not in a block.
    target: Option<Vec<u8>>,
}

impl Znode {
    pub fn kind(&self) -> Kind {
        match self.mode >> 12 & 0xf {
            0x4 => Kind::Directory,
            0x8 => Kind::File,
            0xa => Kind::Symlink,
            _ => Kind::Other,
        }
    }

    /// The fixed structure of pools before version 24 (znode_phys_t).
    fn old(bonus: &Block) -> Self {
        let target = bonus.part(OLD_LENGTH, bonus.len().saturating_sub(OLD_LENGTH));
        let size = bonus.u64(80);
        Self {
            mtime: bonus.u64(16),
            mode: bonus.u64(72),
            size,
            links: bonus.u64(96),
            attributes: bonus.u64(104),
            uid: bonus.u64(128),
            gid: bonus.u64(136),
            target: (target.len() as u64 >= size).then_some(target.bytes),
            ..Self::default()
        }
    }
}

impl Pool<'_> {
    /// Opens a dataset that is a file system.
    pub fn file_system(&mut self, dataset: &Dataset) -> Result<FileSystem> {
        if let Some(format) = dataset.key_format {
            return Err(Error::unsupported(format!(
                "the dataset {} is encrypted (key format {format}): its files cannot be read",
                dataset.name
            )));
        }
        let refuse = |what: &str| Error::unsupported(format!("the dataset {} {what}", dataset.name));
        let pointer = dataset.pointer.as_ref().ok_or_else(|| refuse("has no content"))?;
        let set = self.object_set(pointer)?;
        if set.kind != FILE_SYSTEM {
            return Err(refuse("is not a file system"));
        }
        let master = self.object(&set, MASTER)?;
        let number = |pool: &mut Self, name| pool.zap_number(&master, name);
        let version = number(self, "VERSION")?.unwrap_or(0);
        if version == 0 || version > VERSION_MOST {
            return Err(refuse(&format!(
                "has version {version} of file systems: known are 1 to {VERSION_MOST}"
            )));
        }
        let missing = || Error::new(ErrorKind::Corrupt, format!("{} has no root directory", dataset.name));
        let root = number(self, "ROOT")?.ok_or_else(missing)?;
        let any_case = number(self, "casesensitivity")?.unwrap_or(0) != 0;
        let registry = match number(self, "SA_ATTRS")? {
            Some(object) if object != 0 => Some(Rc::new(self.registry(&set, object)?)),
            _ => None,
        };
        Ok(FileSystem { set, root, version, any_case, registry })
    }

    /// The file or directory of that number.
    pub fn znode(&mut self, of: &FileSystem, number: u64) -> Result<Znode> {
        let dnode = self.object(&of.set, number)?;
        let mut znode = match (dnode.bonus_kind, &of.registry) {
            (system_attributes::OLD, _) => Znode::old(&dnode.bonus),
            (system_attributes::NEW, Some(registry)) => self.by_attributes(&Rc::clone(registry), &dnode)?,
            (kind, _) => {
                let message = format!("object {number} is no file (bonus type {kind}): run zpool scrub");
                return Err(Error::new(ErrorKind::Corrupt, message));
            }
        };
        (znode.number, znode.dnode) = (number, dnode);
        Ok(znode)
    }

    fn by_attributes(&mut self, registry: &Rc<Registry>, dnode: &Dnode) -> Result<Znode> {
        let mut all = self.system_attributes(registry, dnode)?;
        let number = |name: &str| all.get(name).map_or(0, |value| value.u64(0));
        let mut znode = Znode {
            mode: number("ZPL_MODE"),
            size: number("ZPL_SIZE"),
            links: number("ZPL_LINKS"),
            uid: number("ZPL_UID"),
            gid: number("ZPL_GID"),
            mtime: number("ZPL_MTIME"),
            attributes: number("ZPL_XATTR"),
            ..Znode::default()
        };
        znode.list = all.remove("ZPL_DXATTR").map(|block| block.bytes);
        znode.target = all.remove("ZPL_SYMLINK").map(|block| block.bytes);
        Ok(znode)
    }

    /// A symbolic link's target.
    pub fn target(&mut self, znode: &Znode) -> Result<Vec<u8>> {
        let size = usize::try_from(znode.size).ok().filter(|size| *size <= TARGET_MOST);
        let size = size.ok_or_else(|| Error::new(ErrorKind::Corrupt, "a symbolic link is too long"))?;
        let mut target = match &znode.target {
            Some(target) => target.clone(),
            None => self.content(&znode.dnode, 0, size)?.bytes,
        };
        target.truncate(size);
        Ok(target)
    }
}
