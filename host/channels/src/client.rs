//! An export as a disk. Several threads share a connection: each sends its request at once, and the one whose turn it
//! is to read hands the others their replies. Where the server allows it there are several connections.

use crate::address::{Address, Stream};
use crate::wire::{self, Fields, wrong};
use block::{Disk, Error, Extent, Kind, Result};
use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Connections to a server that allows several.
const CONNECTIONS: usize = 4;
/// Bytes of one request: what every server takes.
const REQUEST_MOST: usize = 4 << 20;
/// Block status is asked for by this much; servers answer for less if they like.
const STATUS_MOST: u64 = 1 << 30;
/// Extents of one reply at most.
const EXTENTS_MOST: u32 = 1 << 20;

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

/// What the server said of the export.
#[derive(Clone, Copy, Default)]
struct Said {
    length: u64,
    flags: u16,
    block: u32,
    structured: bool,
    context: Option<u32>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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

/// One connection.
struct Link {
    writer: Mutex<Box<dyn Stream>>,
    inbox: Mutex<Inbox>,
    arrived: Condvar,
    cookies: AtomicU64,
    structured: bool,
    context: u32,
}

struct Inbox {
    /// None while a thread reads from it.
    reader: Option<Box<dyn Stream>>,
    waiting: HashMap<u64, Reply>,
    /// Why there will be no more replies.
    broken: Option<String>,
}

/// What has come for a request.
struct Reply {
    offset: u64,
    length: u32,
    /// Filled if another thread read it; its own thread reads into the caller's buffer.
    data: Option<Vec<u8>>,
    is_read: bool,
    received: u64,
    states: Vec<(u32, u32)>,
    error: Option<io::Error>,
    done: bool,
}

impl Link {
    /// Connects and agrees on the export.
    fn open(address: &Address) -> io::Result<(Self, Said)> {
        let mut stream = address.connect()?;
        let said = handshake(stream.as_mut(), &address.export)?;
        let reader = Some(stream.twin()?);
        let inbox = Inbox { reader, waiting: HashMap::new(), broken: None };
        let link = Self {
            writer: Mutex::new(stream),
            inbox: Mutex::new(inbox),
            arrived: Condvar::new(),
            cookies: AtomicU64::new(1),
            structured: said.structured,
            context: said.context.unwrap_or_default(),
        };
        Ok((link, said))
    }

    /// Sends a request and waits for its reply: the states if it was about those.
    fn ask(
        &self,
        kind: u16,
        flags: u16,
        offset: u64,
        length: u32,
        payload: &[u8],
        into: &mut [u8],
    ) -> io::Result<Vec<(u32, u32)>> {
        let cookie = self.cookies.fetch_add(1, Relaxed);
        let reply = Reply {
            offset,
            length,
            data: None,
            is_read: kind == wire::READ,
            received: 0,
            states: Vec::new(),
            error: None,
            done: false,
        };
        lock(&self.inbox).waiting.insert(cookie, reply);
        let head = request(kind, flags, cookie, offset, length);
        let sent = {
            let mut writer = lock(&self.writer);
            writer.write_all(&head).and_then(|()| writer.write_all(payload))
        };
        if let Err(e) = sent {
            lock(&self.inbox).waiting.remove(&cookie);
            return Err(e);
        }
        let reply = self.wait(cookie, into)?;
        if let Some(e) = reply.error {
            return Err(e);
        }
        if reply.is_read && reply.received != u64::from(length) {
            return Err(wrong(format!("{} of {length} bytes came", reply.received)));
        }
        Ok(reply.states)
    }

    fn wait(&self, cookie: u64, into: &mut [u8]) -> io::Result<Reply> {
        let mut inbox = lock(&self.inbox);
        loop {
            let done = inbox.waiting.get(&cookie).is_none_or(|reply| reply.done);
            if done {
                let lost = || wrong("a reply was lost");
                let reply = inbox.waiting.remove(&cookie).ok_or_else(lost)?;
                if let (Some(data), None) = (&reply.data, &reply.error) {
                    into.copy_from_slice(data);
                }
                return Ok(reply);
            }
            if let Some(why) = &inbox.broken {
                return Err(io::Error::new(io::ErrorKind::ConnectionAborted, why.clone()));
            }
            match inbox.reader.take() {
                None => inbox = self.arrived.wait(inbox).unwrap_or_else(PoisonError::into_inner),
                Some(mut reader) => {
                    drop(inbox);
                    let read = self.chunk(reader.as_mut(), cookie, into);
                    inbox = lock(&self.inbox);
                    match read {
                        Ok(()) => inbox.reader = Some(reader),
                        Err(e) => inbox.broken = Some(format!("the connection ended: {e}")),
                    }
                    self.arrived.notify_all();
                }
            }
        }
    }

    /// Reads one reply, or one chunk of one, for whomever it is.
    fn chunk(&self, reader: &mut dyn Stream, own: u64, into: &mut [u8]) -> io::Result<()> {
        let magic = reader.u32()?;
        if magic == wire::SIMPLE_MAGIC {
            let (error, cookie) = (reader.u32()?, reader.u64()?);
            let (is_read, length) = self.expected(cookie)?;
            if error == 0 && is_read {
                self.data(reader, cookie, own, (0, length), into)?;
            }
            return self.settle(cookie, error, true, String::new());
        }
        if magic != wire::STRUCTURED_MAGIC || !self.structured {
            return Err(wrong(format!("{magic:#x} is no reply")));
        }
        let (flags, kind, cookie, length) = (reader.u16()?, reader.u16()?, reader.u64()?, reader.u32()?);
        self.expected(cookie)?;
        let done = flags & wire::CHUNK_DONE != 0;
        match kind {
            wire::CHUNK_NONE if length == 0 => self.settle(cookie, 0, done, String::new()),
            wire::CHUNK_DATA if length >= 8 => {
                let offset = reader.u64()?;
                self.data(reader, cookie, own, (self.relative(cookie, offset)?, length - 8), into)?;
                self.settle(cookie, 0, done, String::new())
            }
            wire::CHUNK_HOLE if length == 12 => {
                let (offset, size) = (reader.u64()?, reader.u32()?);
                let at = self.relative(cookie, offset)?;
                self.data(&mut Zeroes, cookie, own, (at, size), into)?;
                self.settle(cookie, 0, done, String::new())
            }
            wire::CHUNK_STATUS if length >= 4 && length.is_multiple_of(4) => {
                self.states(reader, cookie, length)?;
                self.settle(cookie, 0, done, String::new())
            }
            kind if kind & wire::CHUNK_ERROR != 0 && length >= 6 => {
                let (error, size) = (reader.u32()?, reader.u16()?);
                let rest = reader.bytes(length - 6, wire::OPTION_MOST)?;
                let text = rest.get(..usize::from(size)).unwrap_or_default();
                self.settle(cookie, error.max(1), done, String::from_utf8_lossy(text).into_owned())
            }
            other => Err(wrong(format!("a chunk of type {other} with {length} bytes"))),
        }
    }

    fn expected(&self, cookie: u64) -> io::Result<(bool, u32)> {
        let inbox = lock(&self.inbox);
        let reply = inbox.waiting.get(&cookie).filter(|reply| !reply.done);
        reply.map(|reply| (reply.is_read, reply.length)).ok_or_else(|| wrong("a reply that nobody asked for"))
    }

    /// Where in the request's buffer a byte of the disk belongs.
    fn relative(&self, cookie: u64, offset: u64) -> io::Result<u64> {
        let start = lock(&self.inbox).waiting.get(&cookie).map(|reply| reply.offset);
        start.and_then(|start| offset.checked_sub(start)).ok_or_else(|| wrong("data that was not asked for"))
    }

    /// `length` bytes that belong at `at` of the request's buffer.
    fn data(
        &self,
        reader: &mut (impl io::Read + ?Sized),
        cookie: u64,
        own: u64,
        (at, length): (u64, u32),
        into: &mut [u8],
    ) -> io::Result<()> {
        let (is_read, size) = self.expected(cookie)?;
        let end = at + u64::from(length);
        if !is_read || end > u64::from(size) {
            return Err(wrong("data that was not asked for"));
        }
        let range = at as usize..end as usize;
        if cookie == own {
            // What others read of it before is taken over first.
            if let Some(data) = lock(&self.inbox).waiting.get_mut(&own).and_then(|reply| reply.data.take()) {
                into.copy_from_slice(&data);
            }
            reader.read_exact(&mut into[range])?;
        } else {
            let taken = lock(&self.inbox).waiting.get_mut(&cookie).and_then(|reply| reply.data.take());
            let mut data = taken.unwrap_or_else(|| vec![0; size as usize]);
            reader.read_exact(&mut data[range])?;
            if let Some(reply) = lock(&self.inbox).waiting.get_mut(&cookie) {
                reply.data = Some(data);
            }
        }
        if let Some(reply) = lock(&self.inbox).waiting.get_mut(&cookie) {
            reply.received += u64::from(length);
        }
        Ok(())
    }

    fn states(&self, reader: &mut dyn Stream, cookie: u64, length: u32) -> io::Result<()> {
        let context = reader.u32()?;
        let bytes = reader.bytes(length - 4, EXTENTS_MOST * 8)?;
        let words: Vec<u32> = bytes
            .chunks_exact(4)
            .map(|word| word.iter().fold(0, |all, byte| all << 8 | u32::from(*byte)))
            .collect();
        if context == self.context
            && let Some(reply) = lock(&self.inbox).waiting.get_mut(&cookie)
        {
            reply.states.extend(words.chunks_exact(2).map(|pair| (pair[0], pair[1])));
        }
        Ok(())
    }

    fn settle(&self, cookie: u64, error: u32, done: bool, text: String) -> io::Result<()> {
        if let Some(reply) = lock(&self.inbox).waiting.get_mut(&cookie) {
            reply.done |= done;
            if error != 0 {
                let name = wire::error_name(error);
                let message = if text.is_empty() { name } else { format!("{name} ({text})") };
                reply.error = Some(io::Error::other(format!("the server says: {message}")));
            }
        }
        Ok(())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let writer = self.writer.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _gone = writer.write_all(&request(wire::DISCONNECT, 0, 0, 0, 0));
        writer.hang_up();
    }
}

/// What a hole reads as.
struct Zeroes;

impl io::Read for Zeroes {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        into.fill(0);
        Ok(into.len())
    }
}

fn request(kind: u16, flags: u16, cookie: u64, offset: u64, length: u32) -> Vec<u8> {
    let mut head = Vec::with_capacity(28);
    head.extend(wire::REQUEST_MAGIC.to_be_bytes());
    head.extend(flags.to_be_bytes());
    head.extend(kind.to_be_bytes());
    head.extend(cookie.to_be_bytes());
    head.extend(offset.to_be_bytes());
    head.extend(length.to_be_bytes());
    head
}

fn option(stream: &mut dyn Stream, option: u32, data: &[u8]) -> io::Result<()> {
    let mut bytes = wire::OPTION_MAGIC.to_be_bytes().to_vec();
    bytes.extend(option.to_be_bytes());
    bytes.extend((data.len() as u32).to_be_bytes());
    bytes.extend(data);
    stream.write_all(&bytes)
}

/// One reply to an option: its type and data.
fn option_reply(stream: &mut dyn Stream, option: u32) -> io::Result<(u32, Vec<u8>)> {
    let (magic, about) = (stream.u64()?, stream.u32()?);
    if magic != wire::OPTION_REPLY_MAGIC || about != option {
        return Err(wrong("no reply to the option that was asked for"));
    }
    let (kind, length) = (stream.u32()?, stream.u32()?);
    Ok((kind, stream.bytes(length, wire::OPTION_MOST)?))
}

fn named(name: &str) -> Vec<u8> {
    let mut bytes = (name.len() as u32).to_be_bytes().to_vec();
    bytes.extend(name.as_bytes());
    bytes
}

fn handshake(stream: &mut dyn Stream, export: &str) -> io::Result<Said> {
    if stream.u64()? != wire::NBD_MAGIC || stream.u64()? != wire::OPTION_MAGIC {
        return Err(wrong("this is no NBD server of our time (fixed newstyle)"));
    }
    if stream.u16()? & wire::FIXED_NEWSTYLE == 0 {
        return Err(wrong("the server is older than fixed newstyle negotiation"));
    }
    let flags = u32::from(wire::FIXED_NEWSTYLE | wire::NO_ZEROES);
    stream.write_all(&flags.to_be_bytes())?;
    let mut said = Said::default();
    option(stream, wire::STRUCTURED_REPLY, &[])?;
    said.structured = option_reply(stream, wire::STRUCTURED_REPLY)?.0 == wire::REPLY_ACK;
    if said.structured {
        let query = [named(export), 1u32.to_be_bytes().to_vec(), named(wire::ALLOCATION)].concat();
        option(stream, wire::SET_META_CONTEXT, &query)?;
        loop {
            let (kind, data) = option_reply(stream, wire::SET_META_CONTEXT)?;
            match kind {
                wire::REPLY_META_CONTEXT => said.context = Some(data.as_slice().u32()?),
                _ => break,
            }
        }
    }
    let infos = [1u16.to_be_bytes(), wire::INFO_BLOCK_SIZE.to_be_bytes()].concat();
    option(stream, wire::GO, &[named(export), infos].concat())?;
    loop {
        let (kind, data) = option_reply(stream, wire::GO)?;
        let mut data = data.as_slice();
        match kind {
            wire::REPLY_ACK if said.flags & wire::HAS_FLAGS != 0 => break,
            wire::REPLY_INFO => match data.u16()? {
                wire::INFO_EXPORT => (said.length, said.flags) = (data.u64()?, data.u16()?),
                wire::INFO_BLOCK_SIZE => said.block = data.u32()?,
                _ => {}
            },
            kind => return Err(refused(kind, export, data)),
        }
    }
    if said.length > i64::MAX as u64
        || (said.block != 0 && !(said.block.is_power_of_two() && said.block <= 64 << 10))
    {
        return Err(wrong(format!("an export of {} bytes in blocks of {}", said.length, said.block)));
    }
    Ok(said)
}

fn refused(kind: u32, export: &str, text: &[u8]) -> io::Error {
    let why = match kind {
        wire::REPLY_UNKNOWN => format!("it has no export {export:?}"),
        wire::REPLY_TLS_REQUIRED => "it wants TLS, which is not spoken here yet".to_owned(),
        wire::REPLY_UNSUPPORTED => "it is too old: it does not know NBD_OPT_GO".to_owned(),
        other => format!("it refused with {other:#x}"),
    };
    let text = String::from_utf8_lossy(text);
    wrong(if text.is_empty() { why } else { format!("{why} ({})", text.escape_default()) })
}
