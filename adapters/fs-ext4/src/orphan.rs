//! Inodes that were being removed or shortened at the time of a crash: the list that begins in the superblock, and
//! the orphan file (Linux: Documentation/filesystems/ext4, "Orphan file").

use crate::Ext4;
use crate::bytes::{part, put, put_u32, u32_at};
use crate::checksum::crc32c;
use crate::features;
use crate::inode::Inode;
use std::collections::HashSet;
use wherry_sdk::{Error, ErrorKind, Kind, Result};

const MAGIC: u32 = 0x0b10_ca04;
/// Magic number and checksum at the end of each block, in bytes.
const TAIL: usize = 8;
/// Blocks of an orphan file: mke2fs makes one of at most 512.
const BLOCKS_MOST: u64 = 1 << 14;

fn damaged(problem: &str) -> Error {
    Error::new(ErrorKind::Dirty, format!("{problem}: run e2fsck on it first"))
}

impl Ext4 {
    /// Finishes what the crash interrupted.
    pub fn settle_orphans(&mut self) -> Result<()> {
        let mut seen = HashSet::new();
        let mut next = self.superblock.last_orphan();
        while next != 0 {
            if !seen.insert(next) {
                return Err(damaged("the list of orphans is a circle"));
            }
            let inode = self.inode(next)?;
            next = inode.deletion();
            self.settle(inode)?;
        }
        if self.superblock.last_orphan() != 0 {
            self.superblock.clear_orphans();
            self.changed = true;
        }
        if self.superblock.has(features::ORPHAN_PRESENT) {
            self.settle_orphan_file()?;
            self.superblock.set_feature(features::ORPHAN_PRESENT, false);
            self.changed = true;
        }
        Ok(())
    }

    /// Without a name it is freed, with one it is cut to its length.
    fn settle(&mut self, mut inode: Inode) -> Result<()> {
        if inode.number < self.superblock.first_inode() {
            return Err(damaged("the list of orphans names a reserved inode"));
        }
        inode.set_deletion(0);
        if inode.links() == 0 {
            return self.free_object(inode);
        }
        if inode.kind() == Kind::File && !inode.has(crate::inode::INLINE_DATA) {
            let blocks = inode.size().div_ceil(u64::from(self.superblock.block_size));
            self.cut(&mut inode, blocks)?;
        }
        self.store_inode(&inode)
    }

    fn settle_orphan_file(&mut self) -> Result<()> {
        let file = self.inode(self.superblock.orphan_file())?;
        let block_size = self.superblock.block_size as usize;
        let blocks = file.size() / block_size as u64;
        if blocks > BLOCKS_MOST {
            return Err(damaged("the orphan file has an impossible length"));
        }
        for logical in 0..blocks {
            let Some(block) = self.run_at(&file, logical, 1)?.physical else {
                return Err(damaged("the orphan file has a hole"));
            };
            let mut bytes = self.device.get(block)?.to_vec();
            let end = block_size - TAIL;
            let sum = |bytes: &[u8]| {
                let start = crc32c(self.inode_seed(&file), &block.to_le_bytes());
                crc32c(start, part(bytes, 0, end))
            };
            let summed = self.superblock.has(features::METADATA_CSUM);
            if u32_at(&bytes, end) != MAGIC || (summed && sum(&bytes) != u32_at(&bytes, end + 4)) {
                return Err(damaged("the orphan file is damaged"));
            }
            let numbers: Vec<u32> = (0..end).step_by(4).map(|at| u32_at(&bytes, at)).collect();
            put(&mut bytes, 0, &vec![0; end]);
            if summed {
                let sum = sum(&bytes);
                put_u32(&mut bytes, end + 4, sum);
            }
            for number in numbers.into_iter().filter(|number| *number != 0) {
                let inode = self.inode(number)?;
                self.settle(inode)?;
            }
            self.device.replace(block, bytes)?;
        }
        Ok(())
    }
}
