//! Extended attributes, in the inode and in a block (Linux: Documentation/filesystems/ext4, "Extended Attributes";
//! fs/ext4/xattr.c for hashes and order).

use crate::Ext4;
use crate::acl;
use crate::bytes::{byte_at, part, put, put_u16, put_u32, u16_at, u32_at};
use crate::checksum::crc32c;
use crate::features;
use crate::inode::Inode;
use wherry_sdk::{Error, ErrorKind, Result};

const MAGIC: u32 = 0xea02_0000;
/// Header of a block and head of an entry, in bytes.
const HEADER: usize = 32;
const ENTRY: usize = 16;
const CHECKSUM: usize = 0x10;
/// Values of one inode together, in bytes; values outside of block and inode are at most 64 KiB each.
const VALUES_MOST: usize = 1 << 20;
const VALUE_MOST: usize = 1 << 16;

/// The prefix `system.`.
pub const SYSTEM: u8 = 7;
/// Numbers for prefixes; the access control lists are whole names.
const PREFIXES: [(u8, &str); 7] = [
    (acl::ACCESS, "system.posix_acl_access"),
    (acl::DEFAULT, "system.posix_acl_default"),
    (1, "user."),
    (4, "trusted."),
    (6, "security."),
    (SYSTEM, "system."),
    (10, "gnu."),
];

/// One attribute as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attribute {
    /// the prefix
    pub index: u8,
    /// the name behind the prefix
    pub name: Vec<u8>,
    /// the value's bytes
    pub value: Vec<u8>,
    /// the inode that holds the value, 0 for none
    pub inode: u32,
}

impl Attribute {
    /// The attribute for a full name and its value as programs see it.
    pub fn new(name: &str, value: &[u8]) -> Result<Self> {
        let found = PREFIXES.iter().find(|(index, prefix)| {
            name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() == acl::is_list(*index))
        });
        let Some((index, prefix)) = found.filter(|_| name.len() < 256) else {
            let message = format!("attribute {name:?} has a name that ext4 cannot store");
            return Err(Error::new(ErrorKind::InvalidInput, message));
        };
        let value = if acl::is_list(*index) { acl::to_disk(value)? } else { value.to_vec() };
        let name = name.as_bytes().get(prefix.len()..).unwrap_or_default().to_vec();
        Ok(Self { index: *index, name, value, inode: 0 })
    }

    /// Full name and value as programs see them, none for what is internal to the file system.
    pub fn public(&self) -> Option<(String, Vec<u8>)> {
        let prefix = PREFIXES.iter().find(|(index, _)| *index == self.index)?.1;
        if self.is_inline_data() {
            return None;
        }
        let value = if acl::is_list(self.index) { acl::from_disk(&self.value) } else { self.value.clone() };
        Some((format!("{prefix}{}", String::from_utf8_lossy(&self.name)), value))
    }

    /// Whether this is content of a file that is stored inline.
    pub fn is_inline_data(&self) -> bool {
        self.index == SYSTEM && self.name == b"data"
    }

    /// Bytes that the entry and its value take.
    fn space(&self) -> usize {
        (ENTRY + self.name.len()).next_multiple_of(4) + self.value.len().next_multiple_of(4)
    }

    /// The hash of name and value (`e_hash`).
    fn hash(&self) -> u32 {
        let name = self.name.iter().fold(0u32, |hash, byte| hash.rotate_left(5) ^ u32::from(*byte));
        let padded = self.value.chunks(4).map(|chunk| {
            let mut word = [0; 4];
            put(&mut word, 0, chunk);
            u32::from_le_bytes(word)
        });
        padded.fold(name, |hash, word| hash.rotate_left(16) ^ word)
    }
}

/// Where entries lie: values count from the beginning of `bytes`, entries begin at `first`.
struct Region<'a> {
    bytes: &'a [u8],
    first: usize,
}

fn damaged(inode: &Inode) -> Error {
    let message = format!("inode {} has damaged extended attributes: run e2fsck", inode.number);
    Error::new(ErrorKind::Corrupt, message)
}

/// Entries of a region, without values in other inodes.
fn parse(inode: &Inode, region: &Region<'_>, found: &mut Vec<(Attribute, u32)>) -> Result<()> {
    let bytes = region.bytes;
    let (mut at, mut values) = (region.first, 0usize);
    while at + 4 <= bytes.len() && u32_at(bytes, at) != 0 {
        let name_length = usize::from(byte_at(bytes, at));
        let (offset, size) = (usize::from(u16_at(bytes, at + 2)), u32_at(bytes, at + 8));
        let value_inode = u32_at(bytes, at + 4);
        let name = part(bytes, at + ENTRY, name_length);
        if at + ENTRY > bytes.len() || name.len() != name_length {
            return Err(damaged(inode));
        }
        let length = if value_inode == 0 { size as usize } else { 0 };
        let value = part(bytes, offset, length);
        // Values that overlap could be made to take up much more memory than the block has.
        values = values.saturating_add(length);
        if value.len() != length || values > bytes.len() {
            return Err(damaged(inode));
        }
        let attribute = Attribute {
            index: byte_at(bytes, at + 1),
            name: name.to_vec(),
            value: value.to_vec(),
            inode: value_inode,
        };
        found.push((attribute, size));
        at += (ENTRY + name_length).next_multiple_of(4);
    }
    Ok(())
}

/// Writes entries from `first` on and their values from the end of `bytes` down; entries in a block carry hashes.
fn write(bytes: &mut [u8], first: usize, attributes: &[Attribute], hashed: bool) {
    let (mut at, mut end) = (first, bytes.len());
    for attribute in attributes {
        end -= attribute.value.len().next_multiple_of(4);
        let offset = if attribute.value.is_empty() { 0 } else { end };
        put(bytes, at, &[attribute.name.len() as u8, attribute.index]);
        put_u16(bytes, at + 2, offset as u16);
        put_u32(bytes, at + 8, attribute.value.len() as u32);
        put_u32(bytes, at + 12, if hashed { attribute.hash() } else { 0 });
        put(bytes, at + ENTRY, &attribute.name);
        put(bytes, end, &attribute.value);
        at += (ENTRY + attribute.name.len()).next_multiple_of(4);
    }
}

/// Where attributes begin in an inode, in bytes; none when there is no room for any.
fn body(inode: &Inode) -> Option<usize> {
    let start = 128 + inode.extra();
    (inode.extra() > 0 && start + 4 + ENTRY <= inode.raw.len()).then_some(start)
}

impl Ext4 {
    /// All attributes of an inode, internal ones too.
    pub fn attributes(&mut self, inode: &Inode) -> Result<Vec<Attribute>> {
        let mut found = Vec::new();
        if let Some(start) = body(inode).filter(|start| u32_at(&inode.raw, *start) == MAGIC) {
            let bytes = part(&inode.raw, start + 4, inode.raw.len());
            parse(inode, &Region { bytes, first: 0 }, &mut found)?;
        }
        if inode.attribute_block() != 0 {
            let bytes = self.attribute_block(inode)?;
            parse(inode, &Region { bytes: &bytes, first: HEADER }, &mut found)?;
        }
        let mut total = 0;
        let mut attributes = Vec::new();
        for (mut attribute, size) in found {
            if attribute.inode != 0 {
                total += (size as usize).min(VALUE_MOST);
                if size as usize > VALUE_MOST
                    || total > VALUES_MOST
                    || !self.superblock.has(features::EA_INODE)
                {
                    return Err(damaged(inode));
                }
                let holder = self.inode(attribute.inode)?;
                if !holder.has(crate::inode::EA_INODE) || holder.size() != u64::from(size) {
                    return Err(damaged(inode));
                }
                attribute.value = self.read_file(&holder, 0, size)?;
            }
            attributes.push(attribute);
        }
        Ok(attributes)
    }

    /// Attributes as programs see them.
    pub fn public_attributes(&mut self, inode: &Inode) -> Result<Vec<(String, Vec<u8>)>> {
        Ok(self.attributes(inode)?.iter().filter_map(Attribute::public).collect())
    }

    fn attribute_sum(&self, block: u64, bytes: &[u8]) -> u32 {
        let sum = crc32c(self.superblock.seed, &block.to_le_bytes());
        let sum = crc32c(crc32c(sum, part(bytes, 0, CHECKSUM)), &[0; 4]);
        crc32c(sum, part(bytes, CHECKSUM + 4, bytes.len()))
    }

    fn attribute_block(&mut self, inode: &Inode) -> Result<std::rc::Rc<Vec<u8>>> {
        let block = inode.attribute_block();
        let bytes = self.device.get(block)?;
        if self.device.is_checked(block) {
            return Ok(bytes);
        }
        let summed = self.superblock.has(features::METADATA_CSUM);
        let right = u32_at(&bytes, 0) == MAGIC && u32_at(&bytes, 8) == 1 && u32_at(&bytes, 4) > 0;
        if !right || (summed && self.attribute_sum(block, &bytes) != u32_at(&bytes, CHECKSUM)) {
            return Err(damaged(inode).within(&format!("block {block}")));
        }
        self.device.mark_checked(block);
        Ok(bytes)
    }

    fn store_attribute_block(&mut self, block: u64, mut bytes: Vec<u8>) -> Result<()> {
        if self.superblock.has(features::METADATA_CSUM) {
            let sum = self.attribute_sum(block, &bytes);
            put_u32(&mut bytes, CHECKSUM, sum);
        }
        self.device.replace(block, bytes)
    }

    /// Refuses attributes whose values are inodes of their own; they can be read only.
    pub fn check_attributes(&mut self, inode: &Inode) -> Result<()> {
        if self.attributes(inode)?.iter().any(|attribute| attribute.inode != 0) {
            let message = format!(
                "inode {} has attributes in inodes of their own (ea_inode): change it in the guest",
                inode.number
            );
            return Err(Error::unsupported(message));
        }
        Ok(())
    }

    /// Gives up the inode's block of attributes, which other inodes may share.
    pub fn drop_attribute_block(&mut self, inode: &mut Inode) -> Result<()> {
        let block = inode.attribute_block();
        if block == 0 {
            return Ok(());
        }
        let mut bytes = self.attribute_block(inode)?.to_vec();
        match u32_at(&bytes, 4) {
            0 | 1 => self.free_blocks(block, 1)?,
            sharers => {
                put_u32(&mut bytes, 4, sharers - 1);
                self.store_attribute_block(block, bytes)?;
            }
        }
        inode.set_attribute_block(0);
        inode.add_blocks(-1, self.superblock.block_size);
        Ok(())
    }

    /// Replaces all attributes: as many as fit go into the inode, the others into a block.
    pub fn store_attributes(&mut self, inode: &mut Inode, mut attributes: Vec<Attribute>) -> Result<()> {
        attributes.sort_by_key(|attribute| !attribute.is_inline_data());
        let mut rest = Vec::new();
        let mut inside = Vec::new();
        let start = body(inode);
        // Both the magic number and the end of the entries take 4 bytes.
        let mut room = start.map_or(0, |start| inode.raw.len() - start - 8);
        for attribute in attributes {
            match room.checked_sub(attribute.space()) {
                Some(left) => {
                    room = left;
                    inside.push(attribute);
                }
                None => rest.push(attribute),
            }
        }
        if rest.iter().map(Attribute::space).sum::<usize>() + HEADER + 4 > self.superblock.block_size as usize
        {
            let message = format!("the attributes of inode {} do not fit into a block", inode.number);
            return Err(Error::new(ErrorKind::NoSpace, message));
        }
        if let Some(place) = start.and_then(|start| inode.raw.get_mut(start..)) {
            place.fill(0);
            if let Some((magic, entries)) = place.split_first_chunk_mut::<4>().filter(|_| !inside.is_empty())
            {
                *magic = MAGIC.to_le_bytes();
                write(entries, 0, &inside, false);
            }
        }
        self.drop_attribute_block(inode)?;
        if !rest.is_empty() {
            self.new_attribute_block(inode, rest)?;
        }
        Ok(())
    }

    fn new_attribute_block(&mut self, inode: &mut Inode, mut attributes: Vec<Attribute>) -> Result<()> {
        // The order in which the kernel searches a block.
        attributes.sort_by(|a, b| (a.index, a.name.len(), &a.name).cmp(&(b.index, b.name.len(), &b.name)));
        let mut bytes = vec![0; self.superblock.block_size as usize];
        put_u32(&mut bytes, 0, MAGIC);
        put_u32(&mut bytes, 4, 1);
        put_u32(&mut bytes, 8, 1);
        let hash = attributes.iter().fold(0u32, |hash, attribute| hash.rotate_left(16) ^ attribute.hash());
        put_u32(&mut bytes, 12, hash);
        write(&mut bytes, HEADER, &attributes, true);
        let group = (inode.number - 1) / self.superblock.inodes_per_group;
        let (block, _) = self.allocate_blocks(self.group_start(group), 1)?;
        self.store_attribute_block(block, bytes)?;
        inode.set_attribute_block(block);
        inode.add_blocks(1, self.superblock.block_size);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_prefixes() {
        for name in ["user.a", "security.selinux", "system.posix_acl_access", "trusted.x.y", "system.other"] {
            let value = if name.contains("acl") { vec![2, 0, 0, 0] } else { vec![1] };
            let attribute = Attribute::new(name, &value).unwrap();
            assert_eq!(attribute.public(), Some((name.to_owned(), value)));
        }
        assert!(Attribute::new("other.a", b"").is_err());
        assert!(Attribute::new("user.", b"").is_err());
    }
}
