//! An export as a disk. Where the server allows it there are several connections.

use crate::address::Address;
use crate::link::Link;
use crate::wire;
use block::{Disk, Error, Extent, Kind, Result};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Connections to a server that allows several.
const CONNECTIONS: usize = 4;
/// Zeroes of one request: a server that has to write them does it before anybody's patience ends.
const ZERO_MOST: usize = 256 << 20;
/// Block status is asked for by this much; servers answer for less if they like.
const STATUS_MOST: u64 = 1 << 30;

/// An export of an NBD server.
pub struct NbdDisk {
    address: Address,
    length: u64,
    flags: u16,
    /// Smallest request in bytes.
    block: u32,
    /// Largest one with a payload, a multiple of that.
    most: usize,
    /// Whether the server tells holes.
    status: bool,
    links: Vec<Link>,
    next: AtomicUsize,
    /// Held while a part of a block is written: the rest of it is read and written again.
    edges: Mutex<()>,
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
            most: said.most(),
            status: said.structured && said.context.is_some(),
            links,
            next: AtomicUsize::new(0),
            edges: Mutex::new(()),
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

    /// Why nothing can be kept on this export, if nothing can.
    pub fn unwritable(&self) -> Option<&'static str> {
        match self.flags {
            flags if flags & wire::READ_ONLY != 0 => Some("it is read-only"),
            flags if flags & wire::SEND_FLUSH == 0 => {
                Some("its server cannot flush, so nothing on it is durable")
            }
            _ => None,
        }
    }

    fn check_write(&self, offset: u64, length: u64) -> Result<()> {
        if self.flags & wire::READ_ONLY != 0 {
            return Err(Error::new(format!("{} is read-only", self.address)));
        }
        self.check(offset, length)
    }

    /// The whole blocks that a range touches.
    fn blocks(&self, offset: u64, length: u64) -> (u64, u64) {
        let block = u64::from(self.block);
        (offset - offset % block, (offset + length).next_multiple_of(block).min(self.length))
    }

    fn read_blocks(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        for (at, piece) in (offset..).step_by(self.most).zip(buffer.chunks_mut(self.most)) {
            let length = piece.len();
            let read = self.link().ask(wire::READ, 0, at, length as u32, &[], piece);
            read.map_err(|e| failed(format!("cannot read {length} bytes at {at} of {}", self.address), e))?;
        }
        Ok(())
    }

    fn write_blocks(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        for (at, piece) in (offset..).step_by(self.most).zip(bytes.chunks(self.most)) {
            let length = piece.len();
            let written = self.link().ask(wire::WRITE, 0, at, length as u32, piece, &mut []);
            written
                .map_err(|e| failed(format!("cannot write {length} bytes at {at} of {}", self.address), e))?;
        }
        Ok(())
    }

    fn write_zeroes(&self, from: u64, to: u64) -> Result<()> {
        let zeroes = vec![0; (to - from).min(self.most as u64) as usize];
        (from..to)
            .step_by(self.most)
            .try_for_each(|at| self.write_at(at, &zeroes[..(to - at).min(self.most as u64) as usize]))
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
        let (from, to) = self.blocks(offset, buffer.len() as u64);
        if to - from == buffer.len() as u64 || buffer.is_empty() {
            return self.read_blocks(offset, buffer);
        }
        let mut wide = vec![0; (to - from) as usize];
        self.read_blocks(from, &mut wide)?;
        buffer.copy_from_slice(&wide[(offset - from) as usize..][..buffer.len()]);
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.check_write(offset, bytes.len() as u64)?;
        let (from, to) = self.blocks(offset, bytes.len() as u64);
        if to - from == bytes.len() as u64 || bytes.is_empty() {
            return self.write_blocks(offset, bytes);
        }
        let _alone = self.edges.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wide = vec![0; (to - from) as usize];
        self.read_blocks(from, &mut wide)?;
        wide[(offset - from) as usize..][..bytes.len()].copy_from_slice(bytes);
        self.write_blocks(from, &wide)
    }

    /// The server may leave holes; it is not told to trim, since what was trimmed need not read as zeroes.
    fn zero(&self, offset: u64, length: u64) -> Result<()> {
        self.check_write(offset, length)?;
        let (block, end) = (u64::from(self.block), offset + length);
        let (from, to) = (offset.next_multiple_of(block).min(end), end - end % block);
        if self.flags & wire::SEND_WRITE_ZEROES == 0 || from >= to {
            return self.write_zeroes(offset, end);
        }
        self.write_zeroes(offset, from)?;
        for at in (from..to).step_by(ZERO_MOST) {
            let length = (to - at).min(ZERO_MOST as u64) as u32;
            let done = self.link().ask(wire::WRITE_ZEROES, 0, at, length, &[], &mut []);
            done.map_err(|e| failed(format!("cannot zero {length} bytes at {at} of {}", self.address), e))?;
        }
        self.write_zeroes(to, end)
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
        let (from, to) = self.blocks(at, (end - at).min(STATUS_MOST));
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
