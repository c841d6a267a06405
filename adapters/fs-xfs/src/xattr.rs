//! Extended attributes: in the inode, in leaves, and with values in blocks of their own (XFS Algorithms & Data Structures,
//! "Extended Attributes"; Linux: fs/xfs/libxfs/xfs_da_format.h).

use crate::Xfs;
use crate::acl;
use crate::bytes::{Own, be16_at, be32_at, byte_at, check, damaged, field, part};
use crate::da_block::{COUNTS, OWN};
use crate::extent::Extent;
use crate::inode::{Format, Inode, Which};
use std::collections::HashSet;
use wherry_sdk::{Error, ErrorKind, Result};

/// Flags of an entry.
pub const LOCAL: u8 = 1;
const ROOT: u8 = 2;
const SECURE: u8 = 4;
const PARENT: u8 = 8;
const INCOMPLETE: u8 = 0x80;
/// Magic numbers of leaves and nodes, in version 4 and 5.
pub const LEAF: [u16; 2] = [0xfbee, 0x3bee];
const NODE: [u16; 2] = [0xfebe, 0x3ebe];
/// Where entries of leaves and nodes begin, in bytes.
pub const LEAF_ENTRIES: [usize; 2] = [32, 80];
const NODE_ENTRIES: [usize; 2] = [16, 64];
/// A value has at most 64 KiB; names and values of one inode together 16 MiB here.
pub const VALUE_MOST: u32 = 1 << 16;
pub const ALL_MOST: usize = 16 << 20;

/// Blocks of values in version 5.
pub const REMOTE_MAGIC: u32 = 0x5841_524d;
pub const REMOTE_HEADER: usize = 56;
pub const REMOTE_OWN: Own = Own { checksum: 12, sector: 40, uuid: 16, owner: 32, change: 48 };

/// Attributes as programs see them.
type Attributes = Vec<(String, Vec<u8>)>;

/// An attribute as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attribute {
    /// its namespace, in flags
    pub flags: u8,
    pub name: Vec<u8>,
    pub value: Vec<u8>,
}

impl Attribute {
    /// From what programs call it.
    pub fn new(name: &str, value: &[u8]) -> Result<Self> {
        let refuse = |kind, why: &str| Err(Error::new(kind, format!("attribute {name}: {why}")));
        if value.len() > VALUE_MOST as usize {
            return refuse(ErrorKind::Limit, "its value has more than 64 KiB, which XFS cannot store");
        }
        if let Some(own) = acl::own_name(name) {
            let value = acl::to_disk(value)?;
            return Ok(Self { flags: ROOT, name: own.to_vec(), value });
        }
        let spaces = [("user.", 0), ("trusted.", ROOT), ("security.", SECURE)];
        let found =
            spaces.iter().find_map(|(space, flags)| name.strip_prefix(space).map(|name| (name, *flags)));
        match found {
            Some((name, _)) if name.is_empty() || name.len() > 255 || name.contains('\0') => {
                refuse(ErrorKind::InvalidInput, "XFS cannot store such a name")
            }
            Some((name, flags)) => Ok(Self { flags, name: name.as_bytes().to_vec(), value: value.to_vec() }),
            None => refuse(ErrorKind::Unsupported, "XFS has none of this kind"),
        }
    }

    /// As programs see it.
    fn public(&self) -> (String, Vec<u8>) {
        let list = acl::public_name(&self.name).filter(|_| self.flags & ROOT != 0);
        if let Some((public, value)) = list.and_then(|public| Some((public, acl::from_disk(&self.value)?))) {
            return (public.to_owned(), value);
        }
        let space = match self.flags & (ROOT | SECURE) {
            0 => "user",
            ROOT => "trusted",
            _ => "security",
        };
        (format!("{space}.{}", String::from_utf8_lossy(&self.name)), self.value.clone())
    }
}

/// Attributes that were found.
#[derive(Default)]
struct Found {
    list: Vec<Attribute>,
    /// bytes of all names and values
    total: usize,
}

impl Found {
    /// Adds an attribute; what only the file system's own driver sees is left out.
    fn add(&mut self, flags: u8, name: &[u8], value: Vec<u8>) -> Result<()> {
        self.total += name.len() + value.len();
        if self.total > ALL_MOST {
            return Err(Error::new(ErrorKind::Limit, "an inode has attributes of more than 16 MiB"));
        }
        if flags & (INCOMPLETE | PARENT) == 0 {
            self.list.push(Attribute { flags: flags & (ROOT | SECURE), name: name.to_vec(), value });
        }
        Ok(())
    }
}

fn refuse(inode: &Inode) -> Error {
    damaged(inode.place, &format!("the attributes of inode {} are damaged", inode.number))
}

fn short(inode: &Inode, bytes: &[u8]) -> Result<Vec<Attribute>> {
    let bytes = part(bytes, 0, usize::from(be16_at(bytes, 0)));
    let mut found = Found::default();
    let mut at = 4;
    for _ in 0..byte_at(bytes, 2) {
        let (name, value) = (usize::from(byte_at(bytes, at)), usize::from(byte_at(bytes, at + 1)));
        let end = at + 3 + name + value;
        if end > bytes.len() {
            return Err(refuse(inode));
        }
        let held = field(bytes, at + 3 + name, value).to_vec();
        found.add(byte_at(bytes, at + 2), field(bytes, at + 3, name), held)?;
        at = end;
    }
    Ok(found.list)
}

impl Xfs {
    /// All attributes of an inode, as programs see them.
    pub fn attributes(&mut self, inode: &Inode) -> Result<Attributes> {
        Ok(self.stored_attributes(inode)?.iter().map(Attribute::public).collect())
    }

    /// All attributes of an inode.
    pub fn stored_attributes(&mut self, inode: &Inode) -> Result<Vec<Attribute>> {
        let fork = inode.fork(Which::Attributes);
        match fork.format {
            Format::Nothing => Ok(Vec::new()),
            Format::Local => short(inode, fork.bytes),
            Format::Extents if fork.extents == 0 => Ok(Vec::new()),
            Format::Extents | Format::Btree => self.leaves(inode),
        }
    }

    fn attribute_block(&mut self, inode: &Inode, extents: &[Extent], block: u32) -> Result<(Vec<u8>, u64)> {
        let (bytes, place) = self.fork_blocks(extents, u64::from(block), 1)?;
        if self.disk.superblock.version == 5 {
            check(&self.disk.superblock, &bytes, &OWN, place, inode.number, "a block of attributes")?;
        }
        Ok((bytes, place))
    }

    /// Down to the first leaf, then from leaf to leaf.
    fn leaves(&mut self, inode: &Inode) -> Result<Vec<Attribute>> {
        let extents = self.extents(inode, Which::Attributes)?;
        let form = self.disk.superblock.form();
        let (mut block, mut found, mut seen) = (0, Found::default(), HashSet::new());
        let mut is_leaf = false;
        loop {
            let (bytes, place) = self.attribute_block(inode, &extents, block)?;
            let magic = be16_at(&bytes, 8);
            if !seen.insert(place) {
                return Err(refuse(inode));
            }
            if magic == NODE[form] && !is_leaf {
                block = be32_at(&bytes, NODE_ENTRIES[form] + 4);
                continue;
            }
            is_leaf = magic == LEAF[form];
            if !is_leaf {
                return Err(refuse(inode));
            }
            self.leaf(inode, &extents, &bytes, &mut found)?;
            block = be32_at(&bytes, 0);
            if block == 0 {
                return Ok(found.list);
            }
        }
    }

    fn leaf(&mut self, inode: &Inode, extents: &[Extent], bytes: &[u8], found: &mut Found) -> Result<()> {
        let form = self.disk.superblock.form();
        let count = usize::from(be16_at(bytes, COUNTS[form]));
        let entries = field(bytes, LEAF_ENTRIES[form], count * 8);
        if entries.len() != count * 8 {
            return Err(refuse(inode));
        }
        for entry in entries.chunks_exact(8) {
            let (at, flags) = (usize::from(be16_at(entry, 4)), byte_at(entry, 6));
            if flags & INCOMPLETE != 0 {
                continue;
            }
            let (name, value) = if flags & LOCAL != 0 {
                let (value, name) = (usize::from(be16_at(bytes, at)), usize::from(byte_at(bytes, at + 2)));
                let held = field(bytes, at + 3 + name, value);
                if held.len() != value {
                    return Err(refuse(inode));
                }
                (field(bytes, at + 3, name), held.to_vec())
            } else {
                let (block, length) = (be32_at(bytes, at), be32_at(bytes, at + 4));
                let name = usize::from(byte_at(bytes, at + 8));
                (field(bytes, at + 9, name), self.remote(inode, extents, block, length)?)
            };
            if name.is_empty() {
                return Err(refuse(inode));
            }
            found.add(flags, name, value)?;
        }
        Ok(())
    }

    /// A value in blocks of its own.
    fn remote(&mut self, inode: &Inode, extents: &[Extent], block: u32, length: u32) -> Result<Vec<u8>> {
        if length > VALUE_MOST {
            return Err(refuse(inode));
        }
        let length = length as usize;
        let unit = self.disk.superblock.block_size as usize;
        if self.disk.superblock.version == 4 {
            let blocks = length.div_ceil(unit) as u64;
            let (mut bytes, _) = self.fork_blocks(extents, u64::from(block), blocks)?;
            bytes.truncate(length);
            return Ok(bytes);
        }
        let mut value = Vec::with_capacity(length);
        let mut next = u64::from(block);
        while value.len() < length {
            let (bytes, place) = self.fork_blocks(extents, next, 1)?;
            check(
                &self.disk.superblock,
                &bytes,
                &REMOTE_OWN,
                place,
                inode.number,
                "a block of an attribute's value",
            )?;
            let held = (be32_at(&bytes, 8) as usize).min(length - value.len());
            let right = be32_at(&bytes, 0) == REMOTE_MAGIC && be32_at(&bytes, 4) as usize == value.len();
            let part = field(&bytes, REMOTE_HEADER, held);
            if !right || part.is_empty() {
                return Err(refuse(inode));
            }
            value.extend_from_slice(part);
            next += 1;
        }
        Ok(value)
    }
}
