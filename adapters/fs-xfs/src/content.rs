//! Contents of files and targets of symbolic links.

use crate::Xfs;
use crate::bytes::{Own, be32_at, check, damaged, field};
use crate::extent::at;
use crate::inode::{Format, Inode, Which};
use wherry_sdk::{Error, READ_MOST, Result};

/// Bytes of the longest target (XFS Algorithms & Data Structures, "Symbolic Links").
const TARGET_MOST: u64 = 1024;
/// Runs of blocks with a target, in version 5.
const LINK_MAGIC: u32 = 0x5853_4c4d;
const LINK_HEADER: usize = 56;
const LINK_OWN: Own = Own { checksum: 12, sector: 40, uuid: 16, owner: 32 };

impl Xfs {
    /// Up to `length` bytes of a file's content.
    pub fn read_file(&mut self, inode: &Inode, offset: u64, length: u32) -> Result<Vec<u8>> {
        if inode.is_realtime() {
            return Err(Error::unsupported(
                "the content is on a realtime device, which is not read here: copy the file in the guest",
            ));
        }
        if !matches!(inode.fork(Which::Data).format, Format::Extents | Format::Btree) {
            return Err(damaged(inode.place, &format!("inode {} is a file without extents", inode.number)));
        }
        let end = inode.size().min(offset.saturating_add(u64::from(length.min(READ_MOST))));
        let extents = self.extents(inode, Which::Data)?;
        let unit = u64::from(self.superblock.block_size);
        let mut bytes = Vec::new();
        let mut from = offset;
        while from < end {
            let (block, within) = (from / unit, from % unit);
            let next = at(&extents, block);
            let extent = next.filter(|extent| extent.start <= block);
            let behind = match extent {
                Some(extent) => extent.end(),
                None => next.map_or(u64::MAX, |next| next.start),
            };
            let take = behind.saturating_mul(unit).min(end) - from;
            match extent.filter(|extent| !extent.unwritten) {
                Some(extent) => {
                    let block = extent.block + (block - extent.start);
                    let count = (within + take).div_ceil(unit);
                    let place = self.superblock.place(block, count);
                    let place = place.ok_or_else(|| damaged(inode.place, "an extent leaves its group"))?;
                    bytes.extend(self.device.content(place + within, take as u32)?);
                }
                None => bytes.resize(bytes.len() + take as usize, 0),
            }
            from += take;
        }
        Ok(bytes)
    }

    /// A symbolic link's target.
    pub fn target(&mut self, inode: &Inode) -> Result<Vec<u8>> {
        let refuse = || damaged(inode.place, &format!("symbolic link {} is damaged", inode.number));
        let fork = inode.fork(Which::Data);
        if inode.size() == 0 || inode.size() > TARGET_MOST {
            return Err(refuse());
        }
        let size = inode.size() as usize;
        if fork.format == Format::Local {
            let target = field(fork.bytes, 0, size);
            return if target.len() == size { Ok(target.to_vec()) } else { Err(refuse()) };
        }
        let extents = self.extents(inode, Which::Data)?;
        let mut target = Vec::new();
        for extent in extents.iter() {
            // A link that lies has more of them, each of which would be read.
            if target.len() == size {
                break;
            }
            let count = extent.count.min(TARGET_MOST);
            let (bytes, place) = self.fork_blocks(&extents, extent.start, count)?;
            let mut from = 0;
            if self.superblock.version == 5 {
                check(&self.superblock, &bytes, &LINK_OWN, place, inode.number, "a symbolic link's block")?;
                if be32_at(&bytes, 0) != LINK_MAGIC || be32_at(&bytes, 4) as usize != target.len() {
                    return Err(refuse());
                }
                from = LINK_HEADER;
            }
            let take = bytes.len().saturating_sub(from).min(size - target.len());
            target.extend_from_slice(field(&bytes, from, take));
        }
        if target.len() == size { Ok(target) } else { Err(refuse()) }
    }
}
