//! An export as a disk. Where the server allows it there are several connections.

use crate::address::Address;
use crate::link::Link;
use crate::wire;
use block::{Disk, Error, Extent, Kind, Ranges, Result};
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A server that does not answer for this long is not there.
const PATIENCE: Duration = Duration::from_secs(30);
/// The same for connections that are good to have.
const PATIENCE_FOR_MORE: Duration = Duration::from_secs(3);
/// Connections to a server that allows several: with 4 instead of 8, writes took 1.7 times as long.
const CONNECTIONS: usize = 8;
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
    /// Whether the server tells what is zero, and whether it tells what changed.
    tells: (bool, bool),
    links: Vec<Link>,
    /// Held while a part of a block is written: the rest of it is read and written again.
    edges: Mutex<()>,
}

impl NbdDisk {
    /// Connects. Nothing is ever written unless [`Disk::write_at`] is called.
    pub fn open(address: &Address) -> Result<Self> {
        let io = |e: io::Error| failed(format!("cannot open {address}"), e);
        let (first, said) = Link::open(address, PATIENCE).map_err(io)?;
        let mut links = vec![first];
        if said.flags & wire::CAN_MULTI_CONN != 0 {
            for _ in 1..CONNECTIONS {
                // Servers let only so many in at once, and do not say how many.
                let Ok((link, again)) = Link::open(address, PATIENCE_FOR_MORE) else { break };
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
            tells: (said.allocation.is_some(), said.dirty.is_some()),
            links,
            edges: Mutex::new(()),
        })
    }

    /// The connection with the fewest requests under way.
    fn link(&self) -> &Link {
        self.links.iter().min_by_key(|link| link.busy.load(Relaxed)).unwrap_or(&self.links[0])
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
            let read = self.link().ask(wire::READ, at, length as u32, &[], piece);
            read.map_err(|e| failed(format!("cannot read {length} bytes at {at} of {}", self.address), e))?;
        }
        Ok(())
    }

    fn write_blocks(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        for (at, piece) in (offset..).step_by(self.most).zip(bytes.chunks(self.most)) {
            let length = piece.len();
            let written = self.link().ask(wire::WRITE, at, length as u32, piece, &mut []);
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
            let done = self.link().ask(wire::WRITE_ZEROES, at, length, &[], &mut []);
            done.map_err(|e| failed(format!("cannot zero {length} bytes at {at} of {}", self.address), e))?;
        }
        self.write_zeroes(to, end)
    }

    fn flush(&self) -> Result<()> {
        if self.flags & wire::SEND_FLUSH == 0 {
            return Ok(());
        }
        // With several connections the server flushes what came by any of them.
        let flushed = self.link().ask(wire::FLUSH, 0, 0, &[], &mut []);
        flushed.map(|_| ()).map_err(|e| failed(format!("cannot flush {}", self.address), e))
    }

    fn extents(&self, start: u64, length: u64) -> Result<Vec<Extent>> {
        self.check(start, length)?;
        if !self.tells.0 {
            let data = Extent { offset: start, length, kind: Kind::Data };
            return Ok(Some(data).filter(|data| data.length > 0).into_iter().collect());
        }
        let mut list: Vec<Extent> = Vec::new();
        self.states(
            start,
            length,
            |link| link.allocation,
            |offset, length, flags| {
                let kind = if flags & wire::STATE_ZERO != 0 { Kind::Zero } else { Kind::Data };
                match list.last_mut() {
                    Some(last) if last.kind == kind => last.length += length,
                    _ => list.push(Extent { offset, length, kind }),
                }
            },
        )?;
        Ok(list)
    }
}

impl NbdDisk {
    /// What changed in a range, by the dirty bitmap that the address names (`bitmap=NAME`). For a large disk ask range
    /// by range: what comes back grows with the changes.
    pub fn changed(&self, start: u64, length: u64) -> Result<Ranges> {
        self.check(start, length)?;
        if !self.tells.1 {
            return Err(Error::new(format!("{} was opened without a dirty bitmap", self.address)));
        }
        let mut list = Vec::new();
        self.states(
            start,
            length,
            |link| link.dirty,
            |offset, length, flags| {
                if flags & wire::STATE_DIRTY != 0 {
                    list.push(offset..offset + length);
                }
            },
        )?;
        Ok(Ranges::new(list))
    }

    /// Calls `each` with the parts of a range in order, without gaps: offset, length, and what a context says of it.
    fn states(
        &self,
        start: u64,
        length: u64,
        context: impl Fn(&Link) -> Option<u32>,
        mut each: impl FnMut(u64, u64, u32),
    ) -> Result<()> {
        let (mut at, end) = (start, start + length);
        while at < end {
            let (from, to) = self.blocks(at, (end - at).min(STATUS_MOST));
            // Each connection has its own numbers for contexts.
            let link = self.link();
            let context = context(link);
            let reply = link.ask(wire::BLOCK_STATUS, from, (to - from) as u32, &[], &mut []);
            let states = reply.map_err(|e| failed(format!("cannot ask {} what it has", self.address), e))?;
            let (before, mut upto) = (at, from);
            for state in states.iter().filter(|state| Some(state.context) == context) {
                upto += u64::from(state.length);
                let next = upto.min(end);
                if next > at {
                    each(at, next - at, state.flags);
                    at = next;
                }
            }
            if at == before {
                return Err(Error::new(format!("{} does not say what it has at byte {at}", self.address)));
            }
        }
        Ok(())
    }
}
