//! What client and server agree on before the first request.

use crate::address::Address;
use crate::stream::Stream;
use crate::tls;
use crate::wire::{self, Fields, wrong};
use std::io;

/// Bytes of one request: what servers take that say nothing else.
const REQUEST_MOST: u32 = 4 << 20;

/// Replies to one option.
const REPLIES_MOST: usize = 64;

/// What the server said of the export.
#[derive(Clone, Copy, Default)]
pub(crate) struct Said {
    pub length: u64,
    pub flags: u16,
    /// Smallest request in bytes.
    pub block: u32,
    /// Largest payload in bytes; 0 if the server did not say.
    pub payload: u32,
    pub structured: bool,
    /// The number of the context that says what is zero.
    pub allocation: Option<u32>,
    /// The number of the one that says what changed.
    pub dirty: Option<u32>,
}

impl Said {
    /// Bytes of one request with a payload.
    pub fn most(&self) -> usize {
        let block = self.block.max(1);
        let payload = if self.payload == 0 { REQUEST_MOST } else { self.payload.min(REQUEST_MOST) };
        (payload - payload % block).max(block) as usize
    }
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

/// Agrees on encryption, the export and what is spoken.
pub(crate) fn handshake(
    mut stream: Box<dyn Stream>,
    address: &Address,
) -> io::Result<(Box<dyn Stream>, Said)> {
    if stream.u64()? != wire::NBD_MAGIC || stream.u64()? != wire::OPTION_MAGIC {
        return Err(wrong("this is no NBD server of our time (fixed newstyle)"));
    }
    if stream.u16()? & wire::FIXED_NEWSTYLE == 0 {
        return Err(wrong("the server is older than fixed newstyle negotiation"));
    }
    let flags = u32::from(wire::FIXED_NEWSTYLE | wire::NO_ZEROES);
    stream.write_all(&flags.to_be_bytes())?;
    if let Some(tls) = &address.tls {
        option(stream.as_mut(), wire::STARTTLS, &[])?;
        match option_reply(stream.as_mut(), wire::STARTTLS)? {
            (wire::REPLY_ACK, _) => stream = tls::connect(stream, address, tls)?,
            (kind, _) => return Err(wrong(format!("its server does not speak TLS ({kind:#x})"))),
        }
    }
    let said = go(stream.as_mut(), address)?;
    Ok((stream, said))
}

fn go(stream: &mut dyn Stream, address: &Address) -> io::Result<Said> {
    let export = &address.export;
    let mut said = Said::default();
    option(stream, wire::STRUCTURED_REPLY, &[])?;
    said.structured = option_reply(stream, wire::STRUCTURED_REPLY)?.0 == wire::REPLY_ACK;
    if said.structured {
        contexts(stream, address, &mut said)?;
    }
    if let (Some(name), None) = (&address.bitmap, said.dirty) {
        let next = "qemu-nbd serves one that is named with -B";
        return Err(wrong(format!("it has no dirty bitmap {name:?} for this export; {next}")));
    }
    let infos = [1u16.to_be_bytes(), wire::INFO_BLOCK_SIZE.to_be_bytes()].concat();
    option(stream, wire::GO, &[named(export), infos].concat())?;
    information(stream, export, &mut said)?;
    if said.length > i64::MAX as u64
        || (said.block != 0 && !(said.block.is_power_of_two() && said.block <= 64 << 10))
    {
        return Err(wrong(format!("an export of {} bytes in blocks of {}", said.length, said.block)));
    }
    Ok(said)
}

/// Asks for what is said about ranges: which are zero, and which changed if somebody wants to know.
fn contexts(stream: &mut dyn Stream, address: &Address, said: &mut Said) -> io::Result<()> {
    let dirty = address.bitmap.as_ref().map(|name| format!("{}{name}", wire::DIRTY_BITMAP));
    let queries: Vec<&str> = [wire::ALLOCATION].into_iter().chain(dirty.as_deref()).collect();
    let count = (queries.len() as u32).to_be_bytes().to_vec();
    let names = queries.iter().map(|query| named(query));
    let data: Vec<u8> = [named(&address.export), count].into_iter().chain(names).flatten().collect();
    option(stream, wire::SET_META_CONTEXT, &data)?;
    for _ in 0..REPLIES_MOST {
        let (kind, data) = option_reply(stream, wire::SET_META_CONTEXT)?;
        if kind != wire::REPLY_META_CONTEXT {
            return Ok(());
        }
        let mut name = data.as_slice();
        let number = name.u32()?;
        match dirty.as_ref().is_some_and(|dirty| name == dirty.as_bytes()) {
            true => said.dirty = Some(number),
            false if name == wire::ALLOCATION.as_bytes() => said.allocation = Some(number),
            false => return Err(wrong("a context that nobody asked for")),
        }
    }
    Err(wrong("contexts without end"))
}

/// What the server says of the export before it begins.
fn information(stream: &mut dyn Stream, export: &str, said: &mut Said) -> io::Result<()> {
    for _ in 0..REPLIES_MOST {
        let (kind, data) = option_reply(stream, wire::GO)?;
        let mut data = data.as_slice();
        match kind {
            wire::REPLY_ACK if said.flags & wire::HAS_FLAGS != 0 => return Ok(()),
            wire::REPLY_INFO => match data.u16()? {
                wire::INFO_EXPORT => (said.length, said.flags) = (data.u64()?, data.u16()?),
                wire::INFO_BLOCK_SIZE => {
                    (said.block, _, said.payload) = (data.u32()?, data.u32()?, data.u32()?);
                }
                _ => {}
            },
            kind => return Err(refused(kind, export, data)),
        }
    }
    Err(wrong("information without end"))
}

fn refused(kind: u32, export: &str, text: &[u8]) -> io::Error {
    let why = match kind {
        wire::REPLY_UNKNOWN => format!("it has no export {export:?}"),
        wire::REPLY_TLS_REQUIRED => "it wants TLS: say nbds:// instead of nbd://".to_owned(),
        wire::REPLY_UNSUPPORTED => "it is too old: it does not know NBD_OPT_GO".to_owned(),
        other => format!("it refused with {other:#x}"),
    };
    let text = String::from_utf8_lossy(text);
    wrong(if text.is_empty() { why } else { format!("{why} ({})", text.escape_default()) })
}
