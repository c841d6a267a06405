//! A target that is overwritten in place: its first MiB, without which nobody takes the rest for a disk, comes last.

use crate::layout::MIB;
use crate::sink::Sink;
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// What is held back.
const HEAD: u64 = MIB;
/// What is written last of all, over the mark: the partition table's sector, or a file system's first block.
const FIRST: usize = 4096;
/// The unit that media write as a whole.
const SECTOR: usize = 512;
const MAGIC: &[u8] = b"wherry: an incomplete copy\n";

/// Whether a device begins as one does whose copy was not completed.
pub fn is_incomplete(beginning: &[u8]) -> bool {
    beginning.starts_with(MAGIC)
}

/// What an incomplete target begins with: whose it is, for people and for the run that goes on.
pub(crate) struct Mark([u8; FIRST]);

impl Mark {
    /// `header`: the checkpoint's, which no other transfer has.
    pub fn new(header: &[u8]) -> Self {
        let whose = blake3::hash(header).to_hex();
        let next =
            "The same command of wherry goes on with it; until it is done there is nothing to use here.\n";
        let text = [MAGIC, whose.as_bytes(), b"\n", next.as_bytes()].concat();
        let mut bytes = [0; FIRST];
        bytes[..text.len()].copy_from_slice(&text);
        Self(bytes)
    }
}

/// A sink whose first MiB is kept in a file until all the rest is durable.
pub(crate) struct Held<S> {
    /// What is overwritten.
    pub body: S,
    head: File,
    /// Where the disk ends. Its last unit is written as a whole, and what lies behind is nobody's business.
    end: u64,
    released: AtomicBool,
}

impl<S: Sink> Held<S> {
    /// Marks `body` as incomplete; `head` is new or of no use any more.
    pub fn begin(body: S, head: File, end: u64, mark: &Mark) -> io::Result<Self> {
        head.set_len(0)?;
        head.set_len(HEAD)?;
        head.sync_all()?;
        body.write_at(&mark.0, 0)?;
        body.sync()?;
        Ok(Self { body, head, end, released: AtomicBool::new(false) })
    }

    /// Goes on, if `body` is still what `begin` marked; none if it is another, or somebody wrote to it.
    pub fn resume(body: S, head: File, end: u64, mark: &Mark) -> io::Result<Option<Self>> {
        let (mut there, mut last) = ([0; FIRST], [0; FIRST]);
        let read = body.read_at(&mut there, 0)?;
        let kept = head.metadata()?.len();
        if kept < HEAD {
            return Ok(None);
        }
        head.read_exact_at(&mut last, 0)?;
        // The very last write may have been cut off between two sectors.
        let last = if kept > HEAD { last } else { mark.0 };
        let ours = |at: usize| {
            let of =
                |bytes: &[u8; FIRST]| bytes[at..read.min(at + SECTOR)] == there[at..read.min(at + SECTOR)];
            of(&mark.0) || of(&last)
        };
        let held = Self { body, head, end, released: AtomicBool::new(false) };
        Ok((0..read).step_by(SECTOR).all(ours).then_some(held))
    }

    /// How much of a range belongs to what is held back.
    fn share(&self, offset: u64, length: u64) -> u64 {
        HEAD.saturating_sub(offset).min(length)
    }
}

impl<S: Sink> Sink for Held<S> {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let bytes = &bytes[..self.end.saturating_sub(offset).min(bytes.len() as u64) as usize];
        let (head, body) = bytes.split_at(self.share(offset, bytes.len() as u64) as usize);
        self.head.write_all_at(head, offset)?;
        if body.is_empty() { Ok(()) } else { self.body.write_at(body, offset + head.len() as u64) }
    }

    fn lend(&self, bytes: &[u8], offset: u64) -> io::Result<Option<(BorrowedFd<'_>, u64)>> {
        let within = offset >= HEAD && offset.saturating_add(bytes.len() as u64) <= self.end;
        if within { self.body.lend(bytes, offset) } else { Ok(None) }
    }

    fn lends(&self) -> bool {
        self.body.lends()
    }

    fn zero(&self, offset: u64, length: u64) -> io::Result<()> {
        let head = self.share(offset, length);
        self.head.write_all_at(&vec![0; head as usize], offset)?;
        if head == length { Ok(()) } else { self.body.zero(offset + head, length - head) }
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if self.released.load(Relaxed) {
            return self.body.read_at(buffer, offset);
        }
        let (head, body) = buffer.split_at_mut(self.share(offset, buffer.len() as u64) as usize);
        self.head.read_exact_at(head, offset)?;
        let read = if body.is_empty() { 0 } else { self.body.read_at(body, offset + head.len() as u64)? };
        Ok(head.len() + read)
    }

    fn holds_old_bytes(&self) -> bool {
        true
    }

    fn written(&self) -> Option<u64> {
        self.body.written()
    }

    fn sync(&self) -> io::Result<()> {
        self.head.sync_data()?;
        self.body.sync()
    }

    /// The rest, durably; then what is held back but for its first block; then that.
    fn finish(&self, length: u64) -> io::Result<()> {
        self.head.sync_data()?;
        self.body.finish(length)?;
        let mut head = vec![0; HEAD.min(length) as usize];
        self.head.read_exact_at(&mut head, 0)?;
        let (first, rest) = head.split_at(FIRST.min(head.len()));
        if !rest.is_empty() {
            self.body.write_at(rest, FIRST as u64)?;
            self.body.finish(length)?;
        }
        // A longer file says that this has begun.
        self.head.set_len(HEAD + 1)?;
        self.head.sync_all()?;
        self.body.write_at(first, 0)?;
        self.body.finish(length)?;
        self.released.store(true, Relaxed);
        Ok(())
    }
}
