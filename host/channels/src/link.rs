//! One connection. Several threads share it: each sends its request at once, and the one whose turn it is to read hands
//! the others their replies.

use crate::address::Address;
use crate::handshake::{Said, handshake};
use crate::stream::{Stream, lock};
use crate::wire::{self, Fields, wrong};
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// A server that does not answer a request for this long will not any more; a flush of a slow disk may take minutes.
const PATIENCE: Duration = Duration::from_secs(300);
/// Extents of one reply at most.
const EXTENTS_MOST: u32 = 1 << 20;

/// One connection.
pub(crate) struct Link {
    writer: Mutex<Box<dyn Stream>>,
    inbox: Mutex<Inbox>,
    arrived: Condvar,
    cookies: AtomicU64,
    /// Requests under way.
    pub busy: AtomicUsize,
    structured: bool,
    /// The number of the context that says what is zero.
    pub allocation: Option<u32>,
    /// The number of the one that says what changed.
    pub dirty: Option<u32>,
}

/// What a context says of the next bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct State {
    pub context: u32,
    pub length: u32,
    pub flags: u32,
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
    states: Vec<State>,
    error: Option<io::Error>,
    done: bool,
}

impl Link {
    /// Connects and agrees on the export.
    pub fn open(address: &Address, patience: Duration) -> io::Result<(Self, Said)> {
        let stream = address.connect()?;
        stream.patience(Some(patience))?;
        let (stream, said) = handshake(stream, address).map_err(silent)?;
        stream.patience(Some(PATIENCE))?;
        let reader = Some(stream.twin()?);
        let inbox = Inbox { reader, waiting: HashMap::new(), broken: None };
        let link = Self {
            writer: Mutex::new(stream),
            inbox: Mutex::new(inbox),
            arrived: Condvar::new(),
            cookies: AtomicU64::new(1),
            busy: AtomicUsize::new(0),
            structured: said.structured,
            allocation: said.allocation,
            dirty: said.dirty,
        };
        Ok((link, said))
    }

    /// Sends a request and waits for its reply: the states if it was about those.
    pub fn ask(
        &self,
        kind: u16,
        offset: u64,
        length: u32,
        payload: &[u8],
        into: &mut [u8],
    ) -> io::Result<Vec<State>> {
        self.busy.fetch_add(1, Relaxed);
        let answer = self.exchange(kind, offset, length, payload, into);
        self.busy.fetch_sub(1, Relaxed);
        answer
    }

    fn exchange(
        &self,
        kind: u16,
        offset: u64,
        length: u32,
        payload: &[u8],
        into: &mut [u8],
    ) -> io::Result<Vec<State>> {
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
        let head = request(kind, cookie, offset, length);
        let sent = {
            let mut writer = lock(&self.writer);
            writer.write_all(&head).and_then(|()| writer.write_all(payload))
        };
        if let Err(e) = sent {
            lock(&self.inbox).waiting.remove(&cookie);
            return Err(silent(e));
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
                        Err(e) => inbox.broken = Some(format!("the connection ended: {}", silent(e))),
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
        let end = at.checked_add(length.into()).filter(|end| is_read && *end <= u64::from(size));
        let end = end.ok_or_else(|| wrong("data that was not asked for"))?;
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
        let word = |bytes: &[u8]| bytes.iter().fold(0, |all, byte| all << 8 | u32::from(*byte));
        let states = bytes.chunks_exact(8).map(|pair| State {
            context,
            length: word(&pair[..4]),
            flags: word(&pair[4..]),
        });
        if let Some(reply) = lock(&self.inbox).waiting.get_mut(&cookie) {
            reply.states.extend(states);
            if reply.states.len() > EXTENTS_MOST as usize {
                return Err(wrong("extents without end"));
            }
        }
        Ok(())
    }

    fn settle(&self, cookie: u64, error: u32, done: bool, text: String) -> io::Result<()> {
        if let Some(reply) = lock(&self.inbox).waiting.get_mut(&cookie) {
            reply.done |= done;
            if error != 0 {
                let system = io::Error::from_raw_os_error(error as i32);
                let more = if text.is_empty() { String::new() } else { format!(" ({text})") };
                let message = format!("the server says: {system}{more}");
                reply.error = Some(io::Error::new(system.kind(), message));
            }
        }
        Ok(())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let writer = self.writer.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _gone = writer.write_all(&request(wire::DISCONNECT, 0, 0, 0));
        writer.hang_up();
    }
}

/// A wait that was too long, in words.
fn silent(e: io::Error) -> io::Error {
    match e.kind() {
        io::ErrorKind::WouldBlock => io::Error::new(io::ErrorKind::TimedOut, "the server does not answer"),
        _ => e,
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

fn request(kind: u16, cookie: u64, offset: u64, length: u32) -> Vec<u8> {
    let mut head = Vec::with_capacity(28);
    head.extend(wire::REQUEST_MAGIC.to_be_bytes());
    head.extend(0u16.to_be_bytes());
    head.extend(kind.to_be_bytes());
    head.extend(cookie.to_be_bytes());
    head.extend(offset.to_be_bytes());
    head.extend(length.to_be_bytes());
    head
}
