//! What files contain: reading, appending and cutting, whichever way blocks are mapped.

use crate::Ext4;
use crate::bytes::part;
use crate::inline::Bytes;
use crate::inode::{self, Inode};
use wherry_sdk::{Blob, Error, ErrorKind, Kind, READ_MOST, Result};

/// What is written anew, at most, where a block is missing in the middle of a file.
const REWRITE_MOST: u64 = 64 << 20;

/// A part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// blocks, at least one
    pub count: u64,
    /// the first block on the device; none reads as zeroes
    pub physical: Option<u64>,
}

/// What is appended: the bytes that the file's last block held so far, then the new content, then zeroes.
struct Source<'a> {
    head: Vec<u8>,
    content: &'a dyn Blob,
}

impl Source<'_> {
    fn length(&self) -> u64 {
        self.content.size().saturating_add(self.head.len() as u64)
    }

    /// Exactly `length` bytes from `offset`.
    fn read(&self, offset: u64, length: u64) -> Result<Vec<u8>> {
        let head = self.head.len() as u64;
        let mut bytes = part(&self.head, offset.min(head) as usize, length as usize).to_vec();
        let from = (offset + bytes.len() as u64).saturating_sub(head);
        let take = (length - bytes.len() as u64).min(self.content.size().saturating_sub(from));
        if take > 0 {
            bytes.extend(self.content.read(from, take as u32)?);
        }
        bytes.resize(length as usize, 0);
        Ok(bytes)
    }
}

/// A part of a blob.
pub struct Slice<'a> {
    pub of: &'a dyn Blob,
    pub from: u64,
    pub length: u64,
}

impl Blob for Slice<'_> {
    fn size(&self) -> u64 {
        self.length
    }
    fn sector_size(&self) -> u32 {
        self.of.sector_size()
    }
    fn writable(&self) -> bool {
        false
    }
    fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        self.of.read(self.from + offset, length)
    }
    fn write(&self, _offset: u64, _bytes: &[u8]) -> Result<()> {
        Err(Error::new(ErrorKind::Denied, "new content is read-only"))
    }
}

impl Ext4 {
    /// Where the blocks of a file from `block` on are: at most `most`, at least one.
    pub fn run_at(&mut self, inode: &Inode, block: u64, most: u64) -> Result<Run> {
        let most = most.max(1);
        let run = if inode.has(inode::EXTENTS) {
            self.extent_run(inode, block, most)?
        } else {
            self.map_run(inode, block, most)?
        };
        Ok(Run { count: run.count.max(1), ..run })
    }

    /// Up to `length` bytes from `offset`; shorter at the end of the file.
    pub fn read_file(&mut self, inode: &Inode, offset: u64, length: u32) -> Result<Vec<u8>> {
        if inode.has(inode::ENCRYPTED) && inode.kind() == Kind::File {
            let message =
                format!("inode {} is encrypted by fscrypt: only the guest has its key", inode.number);
            return Err(Error::unsupported(message));
        }
        let size = inode.size();
        let length = u64::from(length.min(READ_MOST)).min(size.saturating_sub(offset));
        if inode.has(inode::INLINE_DATA) {
            let content = self.inline_content(inode)?;
            return Ok(part(&content, offset.min(size) as usize, length as usize).to_vec());
        }
        let block_size = u64::from(self.superblock.block_size);
        let mut bytes = Vec::with_capacity(length as usize);
        while (bytes.len() as u64) < length {
            let at = offset + bytes.len() as u64;
            let left = length - bytes.len() as u64;
            let within = at % block_size;
            let run = self.run_at(inode, at / block_size, (within + left).div_ceil(block_size))?;
            let take = (run.count.saturating_mul(block_size) - within).min(left);
            match run.physical {
                Some(block) => bytes.extend(self.device.read_content(block, within, take)?),
                None => bytes.resize(bytes.len() + take as usize, 0),
            }
        }
        Ok(bytes)
    }

    /// The target of a symbolic link that has a block; the block may be changed and not yet written.
    pub fn long_target(&mut self, inode: &Inode) -> Result<Vec<u8>> {
        let Some(block) = self.run_at(inode, 0, 1)?.physical else { return Ok(Vec::new()) };
        let bytes = self.device.get(block)?;
        Ok(part(&bytes, 0, inode.size() as usize).to_vec())
    }

    fn append_run(&mut self, inode: &mut Inode, block: u64, physical: u64, count: u64) -> Result<()> {
        if inode.has(inode::EXTENTS) {
            self.append_extent(inode, block, physical, count)?;
        } else {
            self.append_map(inode, block, physical, count)?;
        }
        inode.add_blocks(count as i64, self.superblock.block_size);
        Ok(())
    }

    /// Frees all blocks from `keep` on.
    pub fn cut(&mut self, inode: &mut Inode, keep: u64) -> Result<()> {
        if inode.has(inode::EXTENTS) { self.cut_extents(inode, keep) } else { self.cut_map(inode, keep) }
    }

    /// Where new blocks of a file would best be.
    fn goal(&mut self, inode: &Inode, block: u64) -> Result<u64> {
        if let Some(before) = block.checked_sub(1)
            && let Some(physical) = self.run_at(inode, before, 1)?.physical
        {
            return Ok(physical + 1);
        }
        let group = (inode.number - 1) / self.superblock.inodes_per_group;
        Ok(self.group_start(group))
    }

    /// Adds one block of metadata (a directory's block) at the end of a file whose length is whole blocks.
    pub fn append_block(&mut self, inode: &mut Inode, bytes: Vec<u8>) -> Result<u64> {
        let block_size = u64::from(self.superblock.block_size);
        let block = inode.size() / block_size;
        let goal = self.goal(inode, block)?;
        let (physical, _) = self.allocate_blocks(goal, 1)?;
        self.append_run(inode, block, physical, 1)?;
        inode.set_size((block + 1) * block_size);
        self.device.replace(physical, bytes)?;
        Ok(block)
    }

    /// Appends `content` to a file that has no inline data. The inode has to be stored by the caller.
    pub fn append_content(&mut self, inode: &mut Inode, content: &dyn Blob) -> Result<()> {
        let block_size = u64::from(self.superblock.block_size);
        let size = inode.size();
        if content.size() == 0 {
            return Ok(());
        }
        let (first, within) = (size / block_size, size % block_size);
        let last = if within == 0 { None } else { self.run_at(inode, first, 1)?.physical };
        // Blocks behind the end were allocated in advance; an unwritten last block gives way to a real one.
        self.cut(inode, first + u64::from(last.is_some()))?;
        let head = match last {
            Some(block) => self.device.read_content(block, 0, within)?,
            None => vec![0; within as usize],
        };
        let source = Source { head, content };
        let mut done = 0;
        if let Some(block) = last {
            self.device.write_content(block, &source.read(0, block_size)?)?;
            done = 1;
        }
        let count = source.length().div_ceil(block_size);
        let mut goal = self.goal(inode, first + done)?;
        while done < count {
            let (physical, taken) = self.allocate_blocks(goal, count - done)?;
            self.write_run(&source, done, physical, taken)?;
            self.append_run(inode, first + done, physical, taken)?;
            done += taken;
            goal = physical + taken;
        }
        inode.set_size(size.saturating_add(content.size()));
        self.note_large(inode);
        Ok(())
    }

    /// Writes `content` over what a file has from `offset` on. Where a block is missing there (a hole, one that was allocated
    /// and never written), the file gets new blocks from there on.
    pub fn overwrite_content(&mut self, inode: &mut Inode, offset: u64, content: &Slice<'_>) -> Result<()> {
        let block_size = u64::from(self.superblock.block_size);
        let mut done = 0;
        while done < content.length {
            let (at, left) = (offset + done, (content.length - done).min(u64::from(READ_MOST) / 2));
            let within = at % block_size;
            let run = self.run_at(inode, at / block_size, (within + left).div_ceil(block_size))?;
            let Some(physical) = run.physical else {
                let rest = Slice { of: content, from: done, length: content.length - done };
                return self.rewrite_tail(inode, at, &rest);
            };
            let take = left.min(run.count * block_size - within);
            let blocks = (within + take).div_ceil(block_size);
            let mut bytes = self.device.read_content(physical, 0, blocks * block_size)?;
            let place = within as usize..(within + take) as usize;
            bytes[place].copy_from_slice(&content.read(done, take as u32)?);
            self.device.write_content(physical, &bytes)?;
            done += take;
        }
        Ok(())
    }

    /// Everything of a file from `at` on anew, with `content` there.
    fn rewrite_tail(&mut self, inode: &mut Inode, at: u64, content: &Slice<'_>) -> Result<()> {
        let block_size = u64::from(self.superblock.block_size);
        let (size, start) = (inode.size(), at - at % block_size);
        if size - start > REWRITE_MOST {
            let message =
                format!("inode {} has a hole at byte {at}, and more than 64 MiB behind it", inode.number);
            return Err(Error::unsupported(message));
        }
        self.check_room(size - start, 0)?;
        let mut tail = Vec::with_capacity((size - start) as usize);
        while (tail.len() as u64) < size - start {
            tail.extend(self.read_file(inode, start + tail.len() as u64, READ_MOST)?);
        }
        let mut done = 0;
        while done < content.length {
            let piece = content.read(done, (content.length - done).min(u64::from(READ_MOST)) as u32)?;
            let from = (at - start + done) as usize;
            tail[from..from + piece.len()].copy_from_slice(&piece);
            done += piece.len() as u64;
        }
        self.cut(inode, start / block_size)?;
        inode.set_size(start);
        self.append_content(inode, &Bytes(tail))
    }

    fn write_run(&mut self, source: &Source<'_>, from: u64, physical: u64, count: u64) -> Result<()> {
        let block_size = u64::from(self.superblock.block_size);
        let most = (u64::from(READ_MOST) / block_size).max(1);
        let mut done = 0;
        while done < count {
            let piece = (count - done).min(most);
            let bytes = source.read((from + done) * block_size, piece * block_size)?;
            self.device.write_content(physical + done, &bytes)?;
            done += piece;
        }
        Ok(())
    }

    /// The first file of 2 GiB switches a feature on.
    fn note_large(&mut self, inode: &Inode) {
        if inode.size() > i32::MAX as u64 {
            self.superblock.set_feature(crate::features::LARGE_FILE, true);
        }
    }

    /// Refuses (`no-space`) what cannot fit, before anything is changed; `back` blocks will be freed first.
    pub fn check_room(&self, bytes: u64, back: u64) -> Result<()> {
        let blocks = bytes.div_ceil(u64::from(self.superblock.block_size));
        // Tables and tree nodes: one for each 80 blocks in the worst case, of 1 KiB blocks in single extents.
        let need = blocks.saturating_add(if blocks > back { blocks / 80 + 4 } else { 0 });
        let free = self.superblock.free_blocks().saturating_add(back);
        if need <= free {
            return Ok(());
        }
        let message =
            format!("{bytes} bytes need up to {need} blocks, and {free} are free: make room in the guest");
        Err(Error::new(ErrorKind::NoSpace, message))
    }
}
