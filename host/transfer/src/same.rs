//! A target that mostly holds what it should hold already: what is equal is read and compared, and only the rest is written.

use crate::layout::MIB;
use crate::sink::Sink;
use block::{Buffer, is_zero};
use std::cell::RefCell;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What is written at least where something differs.
const PIECE: usize = 64 << 10;

thread_local! {
    /// What the target holds; a worker's own.
    static THERE: RefCell<Buffer> = RefCell::new(Buffer::new(0));
}

/// Writes what differs.
pub(crate) struct Same<S> {
    body: S,
    written: AtomicU64,
}

impl<S: Sink> Same<S> {
    pub fn new(body: S) -> Self {
        Self { body, written: AtomicU64::new(0) }
    }

    /// What is there, and zeroes behind its end.
    fn there<T>(
        &self,
        offset: u64,
        length: usize,
        look: impl FnOnce(&[u8]) -> io::Result<T>,
    ) -> io::Result<T> {
        THERE.with_borrow_mut(|buffer| {
            if buffer.len() < length {
                *buffer = Buffer::new(length);
            }
            let read = self.body.read_at(&mut buffer[..length], offset)?;
            buffer[read..length].fill(0);
            look(&buffer[..length])
        })
    }
}

impl<S: Sink> Sink for Same<S> {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.there(offset, bytes.len(), |there| {
            let pieces =
                || bytes.chunks(PIECE).zip(there.chunks(PIECE)).map(|(wanted, there)| wanted != there);
            let differs: Vec<bool> = pieces().collect();
            let mut at = 0;
            for run in differs.chunk_by(|one, other| one == other) {
                let end = (at + run.len() * PIECE).min(bytes.len());
                if run[0] {
                    self.body.write_at(&bytes[at..end], offset + at as u64)?;
                    self.written.fetch_add((end - at) as u64, Relaxed);
                }
                at = end;
            }
            Ok(())
        })
    }

    fn zero(&self, offset: u64, length: u64) -> io::Result<()> {
        let (mut at, end) = (offset, offset + length);
        while at < end {
            let take = MIB.min(end - at);
            if !self.there(at, take as usize, |there| Ok(is_zero(there)))? {
                self.body.zero(at, take)?;
                self.written.fetch_add(take, Relaxed);
            }
            at += take;
        }
        Ok(())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.body.read_at(buffer, offset)
    }

    fn holds_old_bytes(&self) -> bool {
        true
    }

    fn written(&self) -> Option<u64> {
        Some(self.written.load(Relaxed))
    }

    fn sync(&self) -> io::Result<()> {
        self.body.sync()
    }

    fn finish(&self, length: u64) -> io::Result<()> {
        self.body.finish(length)
    }
}
