//! An export as a disk. Where the server allows it there are several connections.

use crate::address::Address;
use crate::link::Link;
use crate::wire;
use block::{Disk, Error, Extent, Kind, Result};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Connections to a server that allows several.
const CONNECTIONS: usize = 4;
/// Bytes of one request: what every server takes.
const REQUEST_MOST: usize = 4 << 20;
/// Block status is asked for by this much; servers answer for less if they like.
const STATUS_MOST: u64 = 1 << 30;

/// An export of an NBD server.
pub struct NbdDisk {
    address: Address,
    length: u64,
    flags: u16,
    /// Smallest request in bytes.
    block: u32,
    /// Whether the server tells holes.
    status: bool,
    links: Vec<Link>,
    next: AtomicUsize,
}

impl NbdDisk {
    /// Connects. Nothing is ever written unless [`Disk::write_at`] is called.
    pub fn open(address: &Address) -> Result<Self> {
        let io = |e: io::Error| failed(format!("cannot open {address}"), e);
        let (first, said) = Link::open(address).map_err(io)?;
        let mut links = vec![first];
        if said.flags & wire::CAN_MULTI_CONN != 0 {
            for _ in 1..CONNECTIONS {
                let (link, again) = Link::open(address).map_err(io)?;
                if again.length != said.length {
                    return Err(Error::new(format!("{address} changed its size while it was opened")));
                }
                links.push(link);
            }
        }
        Ok(Self {
            address: address.clone(),
            length: said.length,
            flags: said.flags,
            block: said.block.max(1),
            status: said.structured && said.context.is_some(),
            links,
            next: AtomicUsize::new(0),
        })
    }

    fn link(&self) -> &Link {
        &self.links[self.next.fetch_add(1, Relaxed) % self.links.len()]
    }

    fn check(&self, offset: u64, length: u64) -> Result<()> {
        if offset.checked_add(length).is_none_or(|end| end > self.length) {
            let what = format!("range {offset}+{length} lies beyond the end of {}", self.address);
            return Err(Error::new(format!("{what} at {}", self.length)));
        }
        Ok(())
    }

    fn aligned(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        for (at, piece) in (offset..).step_by(REQUEST_MOST).zip(buffer.chunks_mut(REQUEST_MOST)) {
            let length = piece.len();
            let read = self.link().ask(wire::READ, 0, at, length as u32, &[], piece);
            read.map_err(|e| failed(format!("cannot read {length} bytes at {at} of {}", self.address), e))?;
        }
        Ok(())
    }
}

fn failed(what: String, e: io::Error) -> Error {
    Error { context: format!("{what}: {e}"), source: Some(e) }
}

impl Disk for NbdDisk {
    fn length(&self) -> u64 {
        self.length
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.check(offset, buffer.len() as u64)?;
        let block = u64::from(self.block);
        let end = offset + buffer.len() as u64;
        if offset.is_multiple_of(block) && end.is_multiple_of(block) || buffer.is_empty() {
            return self.aligned(offset, buffer);
        }
        let from = offset - offset % block;
        let to = end.next_multiple_of(block).min(self.length);
        let mut wide = vec![0; (to - from) as usize];
        self.aligned(from, &mut wide)?;
        buffer.copy_from_slice(&wide[(offset - from) as usize..(end - from) as usize]);
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.check(offset, bytes.len() as u64)?;
        if self.flags & wire::READ_ONLY != 0 {
            return Err(Error::new(format!("{} is read-only", self.address)));
        }
        for (at, piece) in (offset..).step_by(REQUEST_MOST).zip(bytes.chunks(REQUEST_MOST)) {
            let length = piece.len() as u32;
            let written = self.link().ask(wire::WRITE, 0, at, length, piece, &mut []);
            written
                .map_err(|e| failed(format!("cannot write {length} bytes at {at} of {}", self.address), e))?;
        }
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        if self.flags & wire::SEND_FLUSH == 0 {
            return Ok(());
        }
        // With several connections the server flushes what came by any of them.
        let flushed = self.link().ask(wire::FLUSH, 0, 0, 0, &[], &mut []);
        flushed.map(|_| ()).map_err(|e| failed(format!("cannot flush {}", self.address), e))
    }

    fn extents(&self, start: u64, length: u64) -> Result<Vec<Extent>> {
        self.check(start, length)?;
        let mut list: Vec<Extent> = Vec::new();
        let (mut at, end) = (start, start + length);
        while at < end {
            let known = if self.status { self.states(at, end)? } else { vec![(end - at, Kind::Data)] };
            for (length, kind) in known {
                let length = length.min(end - at);
                match list.last_mut() {
                    Some(last) if last.kind == kind => last.length += length,
                    _ if length > 0 => list.push(Extent { offset: at, length, kind }),
                    _ => {}
                }
                at += length;
            }
        }
        Ok(list)
    }
}

impl NbdDisk {
    /// What the server says from `at` on; at least one range that is not empty.
    fn states(&self, at: u64, end: u64) -> Result<Vec<(u64, Kind)>> {
        let block = u64::from(self.block);
        let from = at - at % block;
        let to = end.min(from + STATUS_MOST).next_multiple_of(block).min(self.length);
        let reply = self.link().ask(wire::BLOCK_STATUS, 0, from, (to - from) as u32, &[], &mut []);
        let io = |e| failed(format!("cannot ask {} where it has data", self.address), e);
        let mut skip = at - from;
        let mut list = Vec::new();
        for (length, state) in reply.map_err(io)? {
            let kind = if state & wire::STATE_ZERO != 0 { Kind::Zero } else { Kind::Data };
            let length = u64::from(length);
            let cut = skip.min(length);
            skip -= cut;
            if length > cut {
                list.push((length - cut, kind));
            }
        }
        if list.is_empty() {
            return Err(Error::new(format!("{} does not say what it has at byte {at}", self.address)));
        }
        Ok(list)
    }
}
