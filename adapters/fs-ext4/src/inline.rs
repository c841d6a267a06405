//! Content inside the inode: the block area, then the attribute `system.data` (Linux:
//! Documentation/filesystems/ext4, "Inline Data"). It is read here, and moved to blocks before any change.

use crate::Ext4;
use crate::bytes::{part, u32_at};
use crate::directory::{New, Records, damaged};
use crate::features;
use crate::inode::{self, AREA_LENGTH, Inode};
use wherry_sdk::{Blob, Error, ErrorKind, Kind, Result};

/// A directory's block area begins with the inode of its parent, in bytes.
const PARENT: usize = 4;

/// Content in memory that is written like any other.
pub struct Bytes(pub Vec<u8>);

impl Blob for Bytes {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }
    fn sector_size(&self) -> u32 {
        512
    }
    fn writable(&self) -> bool {
        false
    }
    fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        Ok(part(&self.0, offset as usize, length as usize).to_vec())
    }
    fn write(&self, _offset: u64, _bytes: &[u8]) -> Result<()> {
        Err(Error::new(ErrorKind::Denied, "new content is read-only"))
    }
}

impl Ext4 {
    /// All of the inline content, as long as the inode says.
    pub fn inline_content(&mut self, inode: &Inode) -> Result<Vec<u8>> {
        let mut content = inode.area().to_vec();
        let attributes = self.attributes(inode)?;
        let data = attributes.iter().find(|attribute| attribute.is_inline_data());
        let data = data.ok_or_else(|| {
            let message = format!("inode {} has lost its inline data: run e2fsck", inode.number);
            Error::new(ErrorKind::Corrupt, message)
        })?;
        content.extend_from_slice(&data.value);
        let size = usize::try_from(inode.size()).unwrap_or(usize::MAX);
        if size > content.len() {
            let message = format!("inode {} has less inline data than its length: run e2fsck", inode.number);
            return Err(Error::new(ErrorKind::Corrupt, message));
        }
        content.truncate(size);
        Ok(content)
    }

    /// The entries of an inline directory: inode, name, and where the next begins.
    pub fn inline_entries(&mut self, directory: &Inode) -> Result<Vec<(u32, Vec<u8>, u64)>> {
        let content = self.inline_content(directory)?;
        let mut entries = Vec::new();
        let halves = [(PARENT, AREA_LENGTH - PARENT), (AREA_LENGTH, content.len())];
        for (start, length) in halves {
            for record in Records::new(part(&content, start, length), self.is_typed()) {
                let record = record.ok_or_else(|| damaged(directory, "has a damaged record"))?;
                if record.inode != 0 {
                    let next = (start + record.at + record.length) as u64;
                    entries.push((record.inode, record.name.to_vec(), next));
                }
            }
        }
        Ok(entries)
    }

    /// Takes the content out of the inode, which is then an empty file with a block map or an extent tree.
    pub fn take_inline(&mut self, inode: &mut Inode) -> Result<Vec<u8>> {
        let content = self.inline_content(inode)?;
        let mut attributes = self.attributes(inode)?;
        attributes.retain(|attribute| !attribute.is_inline_data());
        self.store_attributes(inode, attributes)?;
        inode.set_flag(inode::INLINE_DATA, false);
        self.start_map(inode);
        inode.set_size(0);
        Ok(content)
    }

    /// Gives an inode an empty map of its blocks.
    pub fn start_map(&mut self, inode: &mut Inode) {
        let extents = self.superblock.has(features::EXTENTS);
        inode.set_flag(inode::EXTENTS, extents);
        inode.set_area(&if extents { Self::fresh_extent_root() } else { Vec::new() });
    }

    /// Moves a file's inline content to blocks.
    pub fn uninline_file(&mut self, inode: &mut Inode) -> Result<()> {
        if !inode.has(inode::INLINE_DATA) || inode.kind() != Kind::File {
            return Ok(());
        }
        let content = self.take_inline(inode)?;
        self.append_content(inode, &Bytes(content))
    }

    /// Moves a directory's inline entries to a block.
    pub fn uninline_directory(&mut self, directory: &mut Inode) -> Result<()> {
        if !directory.has(inode::INLINE_DATA) {
            return Ok(());
        }
        let parent = u32_at(directory.area(), 0);
        let mut entries = Vec::new();
        for (number, name, _) in self.inline_entries(directory)? {
            let file_type = self.inode(number)?.file_type();
            entries.push((number, name, file_type));
        }
        self.take_inline(directory)?;
        let mut news = vec![
            New { name: b".", inode: directory.number, file_type: 2 },
            New { name: b"..", inode: parent, file_type: 2 },
        ];
        news.extend(entries.iter().map(|(inode, name, file_type)| New {
            name,
            inode: *inode,
            file_type: *file_type,
        }));
        let bytes = self.pack_leaf(directory, &news);
        self.append_block(directory, bytes)?;
        Ok(())
    }

    /// The inode of a directory's parent.
    pub fn parent(&mut self, directory: &Inode) -> Result<u32> {
        if directory.has(inode::INLINE_DATA) {
            return Ok(u32_at(directory.area(), 0));
        }
        let found = self.find_in_block(directory, 0, b"..")?;
        Ok(found.ok_or_else(|| damaged(directory, "has no entry for its parent"))?.inode)
    }
}
