//! Replay of the journal jbd2 (Linux: Documentation/filesystems/ext4, "Journal (jbd2)"). All of it is big-endian.

use crate::Ext4;
use crate::bytes::{be16_at, be32_at, byte_at, join, part, put};
use crate::checksum::{crc32_be, crc32c};
use crate::content::Run;
use crate::features;
use std::collections::HashMap;
use wherry_sdk::{Error, ErrorKind, Result};

const MAGIC: u32 = 0xc03b_3998;
const DESCRIPTOR: u32 = 1;
const COMMIT: u32 = 2;
const SUPERBLOCK_1: u32 = 3;
const SUPERBLOCK_2: u32 = 4;
const REVOKE: u32 = 5;
/// Header of each block of the log, in bytes.
const HEADER: usize = 12;
const CHECKSUM: usize = 0xfc;
/// Seconds of the time of a commit, 8 bytes.
const COMMIT_TIME: usize = 0x30;
const SUPERBLOCK: usize = 1024;

const COMPAT_CHECKSUM: u32 = 1;
const INCOMPAT_64BIT: u32 = 2;
const INCOMPAT_CSUM_2: u32 = 8;
const INCOMPAT_CSUM_3: u32 = 0x10;
const INCOMPAT_FAST: u32 = 0x20;
const INCOMPAT_KNOWN: u32 = 0x3f;

const ESCAPED: u32 = 1;
const SAME_UUID: u32 = 2;
const LAST: u32 = 8;

/// Revoked blocks that are remembered: a journal of 1 GiB has fewer.
const REVOKED_MOST: usize = 1 << 21;
/// Pieces of a journal file; mke2fs makes one of a few extents.
const RUNS_MOST: usize = 1 << 16;

/// An opened journal.
struct Journal {
    superblock: Vec<u8>,
    runs: Vec<Run>,
    block_size: usize,
    /// blocks of the log, behind the superblock
    first: u64,
    end: u64,
    compatible: u32,
    incompatible: u32,
    seed: u32,
}

/// One block that a transaction writes.
struct Tag {
    /// block of the file system
    block: u64,
    flags: u32,
    sum: u32,
}

/// A transaction that was committed.
struct Transaction {
    sequence: u32,
    /// its first block in the log
    start: u64,
    /// how many blocks it has there, with the commit
    length: u64,
}

fn dirty(problem: &str) -> Error {
    let message =
        format!("the journal has to be replayed, and {problem}: mount it in a Linux guest, or run e2fsck");
    Error::new(ErrorKind::Dirty, message)
}

impl Journal {
    fn has(&self, feature: u32) -> bool {
        self.incompatible & feature != 0
    }

    fn summed(&self) -> bool {
        self.has(INCOMPAT_CSUM_2 | INCOMPAT_CSUM_3)
    }

    /// The next block of the ring, `count` further.
    fn step(&self, block: u64, count: u64) -> u64 {
        self.first + (block - self.first + count) % (self.end - self.first)
    }

    fn tag_length(&self) -> usize {
        if self.has(INCOMPAT_CSUM_3) {
            return 16;
        }
        let sum = if self.has(INCOMPAT_CSUM_2) { 2 } else { 0 };
        sum + if self.has(INCOMPAT_64BIT) { 12 } else { 8 }
    }

    /// The tags of a descriptor block.
    fn tags(&self, bytes: &[u8]) -> Vec<Tag> {
        let end = self.block_size - if self.summed() { 4 } else { 0 };
        let (mut at, mut tags) = (HEADER, Vec::new());
        while at + self.tag_length() <= end {
            let wide = self.has(INCOMPAT_64BIT);
            let tag = if self.has(INCOMPAT_CSUM_3) {
                let high = if wide { be32_at(bytes, at + 8) } else { 0 };
                let (flags, sum) = (be32_at(bytes, at + 4), be32_at(bytes, at + 12));
                Tag { block: join(be32_at(bytes, at), high), flags, sum }
            } else {
                let high = if wide { be32_at(bytes, at + 8) } else { 0 };
                let (flags, sum) = (u32::from(be16_at(bytes, at + 6)), u32::from(be16_at(bytes, at + 4)));
                Tag { block: join(be32_at(bytes, at), high), flags, sum }
            };
            at += self.tag_length() + if tag.flags & SAME_UUID == 0 { 16 } else { 0 };
            let last = tag.flags & LAST != 0;
            tags.push(tag);
            if last {
                break;
            }
        }
        tags
    }

    /// The checksum at `at` of a block of the log, taken with that field as zero.
    fn is_right(&self, bytes: &[u8], at: usize) -> bool {
        let sum = crc32c(crc32c(self.seed, part(bytes, 0, at)), &[0; 4]);
        crc32c(sum, part(bytes, at + 4, bytes.len())) == be32_at(bytes, at)
    }

    fn is_tail_right(&self, bytes: &[u8]) -> bool {
        !self.summed() || self.is_right(bytes, self.block_size - 4)
    }

    /// Whether a data block is what its tag says.
    fn is_data_right(&self, tag: &Tag, sequence: u32, bytes: &[u8]) -> bool {
        let sum = || crc32c(crc32c(self.seed, &sequence.to_be_bytes()), bytes);
        if self.has(INCOMPAT_CSUM_3) {
            return sum() == tag.sum;
        }
        !self.has(INCOMPAT_CSUM_2) || sum() & 0xffff == tag.sum
    }
}

/// Whether sequence number `a` comes after `b`; they wrap.
fn is_after(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}

impl Ext4 {
    /// Brings the file system to the state of the journal's last commit, on the device or (`writing` is false) in
    /// memory. An external journal, and one that cannot be replayed, is refused.
    pub fn recover(&mut self, writing: bool) -> Result<()> {
        if self.superblock.has(features::HAS_JOURNAL) && self.superblock.journal_inode() == 0 {
            let message = "the journal is on another device, which is not supported: convert it with tune2fs";
            return Err(Error::unsupported(message));
        }
        if !self.superblock.has(features::RECOVER) {
            return Ok(());
        }
        if !self.superblock.has(features::HAS_JOURNAL) {
            return Err(dirty("there is none"));
        }
        let journal = self.open_journal()?;
        let start = u64::from(be32_at(&journal.superblock, 0x1c));
        if start != 0 {
            if !(journal.first..journal.end).contains(&start) {
                return Err(dirty("it begins outside of itself"));
            }
            let (transactions, next) = self.scan(&journal, start)?;
            self.refuse_fast_commits(&journal, next)?;
            let revoked = self.revoked(&journal, &transactions)?;
            for transaction in &transactions {
                self.replay(&journal, transaction, &revoked, writing)?;
            }
            if writing {
                self.close_journal(journal, next)?;
            }
        }
        self.device.forget_all();
        self.reload(writing)
    }

    /// Reads the superblock anew, since the journal had a copy, and takes the counters from the groups.
    fn reload(&mut self, writing: bool) -> Result<()> {
        let block_size = u64::from(self.superblock.block_size);
        let (block, within) = (crate::superblock::START / block_size, crate::superblock::START % block_size);
        let raw = self.device.read_content(block, within, SUPERBLOCK as u64)?;
        let superblock = crate::superblock::Superblock::parse(raw, self.device.size())?;
        if superblock.block_size != self.superblock.block_size || superblock.blocks > self.superblock.blocks {
            return Err(dirty("it changes the size of the file system"));
        }
        self.superblock = superblock;
        self.recount()?;
        if writing {
            self.superblock.set_feature(features::RECOVER, false);
            self.changed = true;
        }
        Ok(())
    }

    fn open_journal(&mut self) -> Result<Journal> {
        let block_size = self.superblock.block_size as usize;
        let inode = self.inode(self.superblock.journal_inode())?;
        let blocks = inode.size() / block_size as u64;
        let mut runs: Vec<Run> = Vec::new();
        let mut found = 0;
        while found < blocks {
            let run = self.run_at(&inode, found, blocks - found)?;
            if run.physical.is_none() || runs.len() >= RUNS_MOST {
                return Err(dirty("its file is damaged"));
            }
            found += run.count;
            runs.push(run);
        }
        let superblock = match runs.first().and_then(|run| run.physical) {
            Some(block) => self.device.read_content(block, 0, SUPERBLOCK as u64)?,
            None => return Err(dirty("its file is empty")),
        };
        let kind = be32_at(&superblock, 4);
        let sizes = u64::from(be32_at(&superblock, 0xc)) == block_size as u64;
        if be32_at(&superblock, 0) != MAGIC || !matches!(kind, SUPERBLOCK_1 | SUPERBLOCK_2) || !sizes {
            return Err(dirty("its superblock is damaged"));
        }
        let second = kind == SUPERBLOCK_2;
        let feature = |at| if second { be32_at(&superblock, at) } else { 0 };
        let mut journal = Journal {
            runs,
            block_size,
            first: u64::from(be32_at(&superblock, 0x14)),
            end: u64::from(be32_at(&superblock, 0x10)),
            compatible: feature(0x24),
            incompatible: feature(0x28),
            seed: crc32c(!0, part(&superblock, 0x30, 16)),
            superblock,
        };
        self.check_journal(&mut journal, blocks)?;
        Ok(journal)
    }

    fn check_journal(&self, journal: &mut Journal, blocks: u64) -> Result<()> {
        if journal.has(!INCOMPAT_KNOWN) {
            return Err(dirty(&format!("its features {:#x} are not all known", journal.incompatible)));
        }
        if journal.summed() {
            if byte_at(&journal.superblock, 0x50) != 4 {
                return Err(dirty("its checksum type is not known"));
            }
            let start = Journal { seed: !0, runs: Vec::new(), superblock: Vec::new(), ..*journal };
            if !start.is_right(&journal.superblock, CHECKSUM) {
                return Err(dirty("its superblock has a wrong checksum"));
            }
        }
        if journal.end > blocks {
            return Err(dirty("it says to be longer than its file"));
        }
        if journal.has(INCOMPAT_FAST) {
            let fast = u64::from(be32_at(&journal.superblock, 0x54));
            journal.end = journal.end.saturating_sub(if fast == 0 { 256 } else { fast });
        }
        if journal.first == 0 || journal.first >= journal.end {
            return Err(dirty("its limits are damaged"));
        }
        if be32_at(&journal.superblock, 0x20) != 0 {
            return Err(dirty("it has recorded an error"));
        }
        Ok(())
    }

    /// Where block `block` of the journal is on the device.
    fn journal_place(&self, journal: &Journal, block: u64) -> Result<u64> {
        let mut rest = block;
        for run in &journal.runs {
            if rest < run.count {
                return run.physical.map(|start| start + rest).ok_or_else(|| dirty("its file has a hole"));
            }
            rest -= run.count;
        }
        Err(dirty("it ends too early"))
    }

    fn journal_block(&mut self, journal: &Journal, block: u64) -> Result<Vec<u8>> {
        let place = self.journal_place(journal, block)?;
        self.device.read_content(place, 0, journal.block_size as u64)
    }

    /// All committed transactions from `start` on, and the sequence number that follows. A wrong checksum ends the log
    /// where it is left over from an earlier round of the ring, which the time of its commit tells; else it is damage.
    fn scan(&mut self, journal: &Journal, start: u64) -> Result<(Vec<Transaction>, u32)> {
        let mut sequence = be32_at(&journal.superblock, 0x18);
        let (mut transactions, mut begin, mut length) = (Vec::new(), start, 0);
        let (mut walked, mut time) = (0, 0);
        let (mut sum, mut wrong) = (!0, false);
        while walked < journal.end - journal.first {
            let bytes = self.journal_block(journal, journal.step(begin, length))?;
            if be32_at(&bytes, 0) != MAGIC || be32_at(&bytes, 8) != sequence {
                break;
            }
            let mut blocks = 1;
            match be32_at(&bytes, 4) {
                DESCRIPTOR => {
                    wrong |= !journal.is_tail_right(&bytes);
                    blocks += journal.tags(&bytes).len() as u64;
                    if journal.compatible & COMPAT_CHECKSUM != 0 {
                        sum = self.old_sum(journal, sum, journal.step(begin, length), blocks)?;
                    }
                }
                REVOKE => wrong |= !journal.is_tail_right(&bytes),
                COMMIT => {
                    let own = join(be32_at(&bytes, COMMIT_TIME + 4), be32_at(&bytes, COMMIT_TIME));
                    if wrong || !commit_is_right(journal, &bytes, sum) {
                        if own >= time {
                            return Err(dirty(&format!("transaction {sequence} has a wrong checksum")));
                        }
                        break;
                    }
                    transactions.push(Transaction { sequence, start: begin, length: length + 1 });
                    begin = journal.step(begin, length + 1);
                    sequence = sequence.wrapping_add(1);
                    (length, blocks, sum, time) = (0, 0, !0, own);
                    walked += 1;
                }
                _ => break,
            }
            length += blocks;
            walked += blocks;
        }
        Ok((transactions, sequence))
    }

    /// Journals of version 1 sum the descriptor and the data of a transaction.
    fn old_sum(&mut self, journal: &Journal, mut sum: u32, start: u64, blocks: u64) -> Result<u32> {
        for index in 0..blocks {
            let bytes = self.journal_block(journal, journal.step(start, index))?;
            sum = crc32_be(sum, &bytes);
        }
        Ok(sum)
    }

    /// Fast commits are changes in another form, behind the log; only those of the next transaction count.
    fn refuse_fast_commits(&mut self, journal: &Journal, next: u32) -> Result<()> {
        const FAST_HEAD: u16 = 9;
        if !journal.has(INCOMPAT_FAST) {
            return Ok(());
        }
        // Between the log and the area of fast commits the kernel leaves one block out.
        let bytes = self.journal_block(journal, journal.end + 1)?;
        let head = crate::bytes::u16_at(&bytes, 0) == FAST_HEAD;
        if head && crate::bytes::u32_at(&bytes, 8) == next {
            return Err(dirty("it holds fast commits"));
        }
        Ok(())
    }

    /// Blocks that must not be written any more, with the last transaction that said so.
    fn revoked(&mut self, journal: &Journal, transactions: &[Transaction]) -> Result<HashMap<u64, u32>> {
        let mut revoked = HashMap::new();
        let width = if journal.has(INCOMPAT_64BIT) { 8 } else { 4 };
        for transaction in transactions {
            let mut at = 0;
            while at < transaction.length {
                let bytes = self.journal_block(journal, journal.step(transaction.start, at))?;
                at += 1;
                match be32_at(&bytes, 4) {
                    DESCRIPTOR => at += journal.tags(&bytes).len() as u64,
                    REVOKE => {
                        let used = (be32_at(&bytes, HEADER) as usize).min(journal.block_size);
                        let records = part(&bytes, HEADER + 4, used.saturating_sub(HEADER + 4));
                        for record in records.chunks_exact(width) {
                            let (high, low) = record.split_at(width - 4);
                            let high = if high.is_empty() { 0 } else { be32_at(high, 0) };
                            revoked.insert(join(be32_at(low, 0), high), transaction.sequence);
                        }
                    }
                    _ => {}
                }
                if revoked.len() > REVOKED_MOST {
                    return Err(dirty("it revokes more blocks than can be remembered"));
                }
            }
        }
        Ok(revoked)
    }

    fn replay(
        &mut self,
        journal: &Journal,
        transaction: &Transaction,
        revoked: &HashMap<u64, u32>,
        writing: bool,
    ) -> Result<()> {
        let mut at = 0;
        while at < transaction.length {
            let bytes = self.journal_block(journal, journal.step(transaction.start, at))?;
            at += 1;
            if be32_at(&bytes, 4) != DESCRIPTOR {
                continue;
            }
            for tag in journal.tags(&bytes) {
                let place = journal.step(transaction.start, at);
                at += 1;
                if revoked.get(&tag.block).is_some_and(|last| !is_after(transaction.sequence, *last)) {
                    continue;
                }
                let mut data = self.journal_block(journal, place)?;
                if !journal.is_data_right(&tag, transaction.sequence, &data) {
                    return Err(dirty(&format!("block {place} of it has a wrong checksum")));
                }
                if tag.flags & ESCAPED != 0 {
                    put(&mut data, 0, &MAGIC.to_be_bytes());
                }
                if writing {
                    self.device.write_content(tag.block, &data)?
                } else {
                    self.device.overlay(tag.block, data)?
                }
            }
        }
        Ok(())
    }

    /// Marks the journal as empty.
    fn close_journal(&mut self, mut journal: Journal, next: u32) -> Result<()> {
        let place = self.journal_place(&journal, 0)?;
        put(&mut journal.superblock, 0x1c, &[0; 4]);
        put(&mut journal.superblock, 0x18, &next.wrapping_add(1).to_be_bytes());
        if journal.summed() {
            put(&mut journal.superblock, CHECKSUM, &[0; 4]);
            let sum = crc32c(!0, &journal.superblock);
            put(&mut journal.superblock, CHECKSUM, &sum.to_be_bytes());
        }
        let mut bytes = self.journal_block(&journal, 0)?;
        put(&mut bytes, 0, &journal.superblock);
        self.device.write_content(place, &bytes)
    }
}

/// Whether a commit block belongs to the transaction before it and is complete.
fn commit_is_right(journal: &Journal, bytes: &[u8], sum: u32) -> bool {
    const SUM: usize = 16;
    if journal.summed() {
        return journal.is_right(bytes, SUM);
    }
    if journal.compatible & COMPAT_CHECKSUM == 0 {
        return true;
    }
    let (kind, size, stored) = (byte_at(bytes, 12), byte_at(bytes, 13), be32_at(bytes, SUM));
    // Some kernels did not write the sum although the journal has the feature.
    (kind == 1 && size == 4 && stored == sum) || (kind == 0 && size == 0 && stored == 0)
}
