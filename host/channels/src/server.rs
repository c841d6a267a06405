//! A disk for NBD clients: one thread for each connection, several connections allowed.

use crate::stream::Stream;
use crate::tls::ServerTls;
use crate::wire::{self, Fields, wrong};
use block::{Disk, Kind};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Connections at once; each holds a buffer of a request.
const CONNECTIONS_MOST: usize = 64;
/// A client has to agree within this time.
const PATIENCE: Duration = Duration::from_secs(30);
/// Extents of one answer about block status.
const EXTENTS_MOST: usize = 4096;
/// Options that a client may ask for before it has to begin.
const OPTIONS_MOST: usize = 64;

/// What is served.
#[derive(Clone)]
pub struct Export {
    /// Its name; clients that name none get it as well.
    pub name: String,
    /// Its bytes.
    pub disk: Arc<dyn Disk>,
    /// Whether clients may write (into an overlay, if the disk is one).
    pub writable: bool,
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A bound server.
pub struct Server {
    listener: Listener,
    export: Export,
    tls: Option<ServerTls>,
}

impl Server {
    /// Listens on a socket in the file system; an old socket there is an error.
    pub fn unix(path: &Path, export: Export) -> io::Result<Self> {
        Ok(Self { listener: Listener::Unix(UnixListener::bind(path)?), export, tls: None })
    }

    /// Listens on an address such as `127.0.0.1:10809`; port 0 is any free one.
    pub fn tcp(address: &str, export: Export) -> io::Result<Self> {
        Ok(Self { listener: Listener::Tcp(TcpListener::bind(address)?), export, tls: None })
    }

    /// Serves nobody but who encrypts.
    pub fn encrypted(self, tls: ServerTls) -> Self {
        Self { tls: Some(tls), ..self }
    }

    /// Where it listens, if that is a network address.
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.listener {
            Listener::Tcp(listener) => listener.local_addr().ok(),
            Listener::Unix(_) => None,
        }
    }

    fn accept(&self) -> io::Result<Box<dyn Stream>> {
        match &self.listener {
            Listener::Tcp(listener) => {
                let stream = listener.accept()?.0;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            Listener::Unix(listener) => Ok(Box::new(listener.accept()?.0)),
        }
    }

    /// Serves until the process ends. `tell` hears why a connection ended badly.
    pub fn run(&self, tell: impl Fn(&str) + Send + Sync + 'static) -> io::Result<()> {
        let (tell, alive) = (Arc::new(tell), Arc::new(()));
        loop {
            let stream = self.accept()?;
            if Arc::strong_count(&alive) > CONNECTIONS_MOST {
                tell("too many connections: one was refused");
                stream.hang_up();
                continue;
            }
            let (export, tls) = (self.export.clone(), self.tls.clone());
            let (tell, held) = (tell.clone(), alive.clone());
            std::thread::spawn(move || {
                let _held = held;
                if let Err(e) = serve(stream, &export, tls.as_ref())
                    && e.kind() != io::ErrorKind::UnexpectedEof
                {
                    tell(&format!("a client was sent away: {e}"));
                }
            });
        }
    }
}

/// What a client agreed to.
#[derive(Default)]
struct Agreed {
    encrypted: bool,
    structured: bool,
    status: bool,
}

/// The number of the one context.
const CONTEXT: u32 = 1;

fn serve(mut stream: Box<dyn Stream>, export: &Export, tls: Option<&ServerTls>) -> io::Result<()> {
    stream.patience(Some(PATIENCE))?;
    let mut hello = wire::NBD_MAGIC.to_be_bytes().to_vec();
    hello.extend(wire::OPTION_MAGIC.to_be_bytes());
    hello.extend((wire::FIXED_NEWSTYLE | wire::NO_ZEROES).to_be_bytes());
    stream.write_all(&hello)?;
    let flags = stream.u32()?;
    if flags & !u32::from(wire::FIXED_NEWSTYLE | wire::NO_ZEROES) != 0 {
        return Err(wrong("flags that nobody knows"));
    }
    if let Some(tls) = tls {
        if !encrypts(stream.as_mut())? {
            return Ok(());
        }
        stream = tls.accept(stream)?;
    }
    let no_zeroes = flags & u32::from(wire::NO_ZEROES) != 0;
    let agreed = Agreed { encrypted: tls.is_some(), ..Agreed::default() };
    let served = match negotiate(stream.as_mut(), export, agreed, no_zeroes) {
        Ok(Some(agreed)) => {
            // Clients may be silent for as long as they like.
            stream.patience(None).and_then(|()| transmit(stream.as_mut(), export, &agreed))
        }
        other => other.map(|_| ()),
    };
    stream.hang_up();
    served
}

/// An option and its data.
fn option(stream: &mut dyn Stream) -> io::Result<(u32, Vec<u8>)> {
    if stream.u64()? != wire::OPTION_MAGIC {
        return Err(wrong("no option where one has to be"));
    }
    let (option, length) = (stream.u32()?, stream.u32()?);
    Ok((option, stream.bytes(length, wire::OPTION_MOST)?))
}

/// Waits for the word to begin with TLS, and answers nothing else; false if the client went away politely.
fn encrypts(stream: &mut dyn Stream) -> io::Result<bool> {
    for _ in 0..OPTIONS_MOST {
        let (option, data) = option(stream)?;
        match option {
            wire::STARTTLS if data.is_empty() => {
                reply(stream, option, wire::REPLY_ACK, &[])?;
                return Ok(true);
            }
            wire::STARTTLS => reply(stream, option, wire::REPLY_INVALID, b"it has no data")?,
            wire::ABORT => {
                reply(stream, option, wire::REPLY_ACK, &[])?;
                return Ok(false);
            }
            wire::EXPORT_NAME => return Err(wrong("a client that does not encrypt")),
            _ => reply(stream, option, wire::REPLY_TLS_REQUIRED, b"TLS first")?,
        }
    }
    Err(wrong("options without end"))
}

fn reply(stream: &mut dyn Stream, option: u32, kind: u32, data: &[u8]) -> io::Result<()> {
    let mut bytes = wire::OPTION_REPLY_MAGIC.to_be_bytes().to_vec();
    bytes.extend(option.to_be_bytes());
    bytes.extend(kind.to_be_bytes());
    bytes.extend((data.len() as u32).to_be_bytes());
    bytes.extend(data);
    stream.write_all(&bytes)
}

/// Length and flags, as clients get them.
fn about(export: &Export) -> Vec<u8> {
    let mut flags = wire::HAS_FLAGS | wire::CAN_MULTI_CONN | wire::SEND_FLUSH | wire::SEND_DF;
    flags |= match export.writable {
        true => wire::SEND_FUA | wire::SEND_WRITE_ZEROES,
        false => wire::READ_ONLY,
    };
    [&export.disk.length().to_be_bytes()[..], &flags.to_be_bytes()].concat()
}

/// What was agreed on, or none if the client went away politely.
fn negotiate(
    stream: &mut dyn Stream,
    export: &Export,
    mut agreed: Agreed,
    no_zeroes: bool,
) -> io::Result<Option<Agreed>> {
    for _ in 0..OPTIONS_MOST {
        let (option, data) = option(stream)?;
        match option {
            wire::EXPORT_NAME => {
                // This option has no way to refuse but to hang up.
                if !is_named(export, &data) {
                    return Err(wrong("an export that is not here"));
                }
                let zeroes = if no_zeroes { 0 } else { 124 };
                stream.write_all(&[about(export), vec![0; zeroes]].concat())?;
                return Ok(Some(agreed));
            }
            wire::ABORT => {
                reply(stream, option, wire::REPLY_ACK, &[])?;
                return Ok(None);
            }
            wire::LIST => {
                let name = [&(export.name.len() as u32).to_be_bytes()[..], export.name.as_bytes()].concat();
                reply(stream, option, wire::REPLY_SERVER, &name)?;
                reply(stream, option, wire::REPLY_ACK, &[])?;
            }
            wire::INFO | wire::GO => {
                if information(stream, option, export, &data)? && option == wire::GO {
                    return Ok(Some(agreed));
                }
            }
            wire::STRUCTURED_REPLY => {
                agreed.structured = true;
                reply(stream, option, wire::REPLY_ACK, &[])?;
            }
            wire::LIST_META_CONTEXT | wire::SET_META_CONTEXT => {
                contexts(stream, option, export, &data, &mut agreed)?;
            }
            wire::STARTTLS if agreed.encrypted => {
                reply(stream, option, wire::REPLY_INVALID, b"it is encrypted already")?;
            }
            _ => reply(stream, option, wire::REPLY_UNSUPPORTED, b"this option is not known here")?,
        }
    }
    Err(wrong("options without end"))
}

fn is_named(export: &Export, name: &[u8]) -> bool {
    name.is_empty() || name == export.name.as_bytes()
}

/// A name with its length in front.
fn name_of(data: &mut &[u8]) -> io::Result<Vec<u8>> {
    let length = data.u32()?;
    data.bytes(length, wire::OPTION_MOST)
}

/// Answers `INFO` and `GO`; whether the client may begin.
fn information(stream: &mut dyn Stream, option: u32, export: &Export, data: &[u8]) -> io::Result<bool> {
    let mut data = data;
    let Ok(name) = name_of(&mut data) else {
        reply(stream, option, wire::REPLY_INVALID, b"a name that does not fit")?;
        return Ok(false);
    };
    if !is_named(export, &name) {
        reply(stream, option, wire::REPLY_UNKNOWN, b"there is no such export here")?;
        return Ok(false);
    }
    let head = wire::INFO_EXPORT.to_be_bytes();
    reply(stream, option, wire::REPLY_INFO, &[&head[..], &about(export)].concat())?;
    let sizes = [1u32, 4096, wire::PAYLOAD_MOST].map(u32::to_be_bytes).concat();
    let head = wire::INFO_BLOCK_SIZE.to_be_bytes();
    reply(stream, option, wire::REPLY_INFO, &[&head[..], &sizes].concat())?;
    reply(stream, option, wire::REPLY_ACK, &[])?;
    Ok(true)
}

fn contexts(
    stream: &mut dyn Stream,
    option: u32,
    export: &Export,
    data: &[u8],
    agreed: &mut Agreed,
) -> io::Result<()> {
    let setting = option == wire::SET_META_CONTEXT;
    if setting {
        agreed.status = false;
    }
    let mut data = data;
    let mut queries = || -> io::Result<Option<Vec<Vec<u8>>>> {
        if !is_named(export, &name_of(&mut data)?) {
            return Ok(None);
        }
        let count = data.u32()?;
        (0..count).map(|_| name_of(&mut data)).collect::<io::Result<Vec<_>>>().map(Some)
    };
    if setting && !agreed.structured {
        return reply(stream, option, wire::REPLY_INVALID, b"structured replies have to be agreed on first");
    }
    let Ok(queries) = queries() else {
        return reply(stream, option, wire::REPLY_INVALID, b"queries that do not fit");
    };
    let Some(queries) = queries else {
        return reply(stream, option, wire::REPLY_UNKNOWN, b"there is no such export here");
    };
    let wanted = |query: &Vec<u8>| query == wire::ALLOCATION.as_bytes() || (!setting && query == b"base:");
    if queries.iter().any(wanted) || (!setting && queries.is_empty()) {
        let context = [&CONTEXT.to_be_bytes()[..], wire::ALLOCATION.as_bytes()].concat();
        reply(stream, option, wire::REPLY_META_CONTEXT, &context)?;
        agreed.status |= setting;
    }
    reply(stream, option, wire::REPLY_ACK, &[])
}

struct Request {
    flags: u16,
    kind: u16,
    cookie: u64,
    offset: u64,
    length: u32,
}

/// The error's number and a word about it.
type Refusal = (u32, String);

fn transmit(stream: &mut dyn Stream, export: &Export, agreed: &Agreed) -> io::Result<()> {
    let mut buffer = Vec::new();
    loop {
        if stream.u32()? != wire::REQUEST_MAGIC {
            return Err(wrong("no request where one has to be"));
        }
        let (flags, kind, cookie) = (stream.u16()?, stream.u16()?, stream.u64()?);
        let request = Request { flags, kind, cookie, offset: stream.u64()?, length: stream.u32()? };
        if kind == wire::DISCONNECT {
            return Ok(());
        }
        buffer.clear();
        if kind == wire::WRITE {
            if request.length > wire::PAYLOAD_MOST {
                return Err(wrong("a payload larger than was agreed on"));
            }
            buffer.resize(request.length as usize, 0);
            stream.read_exact(&mut buffer)?;
        }
        match answer(&request, export, agreed, &mut buffer) {
            Ok(()) => accept(stream, &request, agreed, &buffer)?,
            Err(refusal) => refuse(stream, &request, agreed, &refusal)?,
        }
    }
}

fn failed(e: block::Error) -> Refusal {
    let full = e.source.as_ref().is_some_and(|e| e.kind() == io::ErrorKind::StorageFull);
    let number = if full { wire::ENOSPC } else { wire::EIO };
    (number, e.context)
}

/// Does what was asked for; what is to be sent back is in `buffer` then.
fn answer(request: &Request, export: &Export, agreed: &Agreed, buffer: &mut Vec<u8>) -> Result<(), Refusal> {
    let refusal = |number, what: &str| Err((number, what.to_owned()));
    let disk = export.disk.as_ref();
    let inside = request.offset.checked_add(request.length.into()).is_some_and(|end| end <= disk.length());
    let writes = matches!(request.kind, wire::WRITE | wire::WRITE_ZEROES);
    if writes && !export.writable {
        return refusal(wire::EPERM, "this export is read-only");
    }
    if !inside {
        return refusal(if writes { wire::ENOSPC } else { wire::EINVAL }, "beyond the end of the disk");
    }
    match request.kind {
        wire::READ if request.length > wire::PAYLOAD_MOST => {
            return refusal(wire::EINVAL, "more than can be read at once");
        }
        wire::READ => {
            buffer.resize(request.length as usize, 0);
            disk.read_at(request.offset, buffer).map_err(failed)?;
        }
        wire::WRITE => {
            disk.write_at(request.offset, buffer).map_err(failed)?;
            buffer.clear();
        }
        wire::WRITE_ZEROES => disk.zero(request.offset, request.length.into()).map_err(failed)?,
        wire::FLUSH => disk.flush().map_err(failed)?,
        wire::BLOCK_STATUS if agreed.status && request.length > 0 => status(disk, request, buffer)?,
        wire::BLOCK_STATUS => return refusal(wire::EINVAL, "block status was not agreed on"),
        _ => return refusal(wire::ENOTSUP, "this command is not known here"),
    }
    if writes && request.flags & wire::FLAG_FUA != 0 {
        disk.flush().map_err(failed)?;
    }
    Ok(())
}

/// Context, then length and state of each range.
fn status(disk: &dyn Disk, request: &Request, into: &mut Vec<u8>) -> Result<(), Refusal> {
    let list = disk.extents(request.offset, request.length.into()).map_err(failed)?;
    let most = if request.flags & wire::FLAG_REQUEST_ONE != 0 { 1 } else { EXTENTS_MOST };
    into.extend(CONTEXT.to_be_bytes());
    for extent in list.iter().take(most) {
        let state = if extent.kind == Kind::Zero { wire::STATE_HOLE | wire::STATE_ZERO } else { 0 };
        into.extend((extent.length as u32).to_be_bytes());
        into.extend(state.to_be_bytes());
    }
    Ok(())
}

fn chunk(request: &Request, kind: u16, length: usize) -> Vec<u8> {
    let mut head = wire::STRUCTURED_MAGIC.to_be_bytes().to_vec();
    head.extend(wire::CHUNK_DONE.to_be_bytes());
    head.extend(kind.to_be_bytes());
    head.extend(request.cookie.to_be_bytes());
    head.extend((length as u32).to_be_bytes());
    head
}

fn simple(request: &Request, error: u32) -> Vec<u8> {
    let mut head = wire::SIMPLE_MAGIC.to_be_bytes().to_vec();
    head.extend(error.to_be_bytes());
    head.extend(request.cookie.to_be_bytes());
    head
}

fn accept(stream: &mut dyn Stream, request: &Request, agreed: &Agreed, bytes: &[u8]) -> io::Result<()> {
    let head = match request.kind {
        wire::READ if agreed.structured => {
            let mut head = chunk(request, wire::CHUNK_DATA, bytes.len() + 8);
            head.extend(request.offset.to_be_bytes());
            head
        }
        wire::BLOCK_STATUS => chunk(request, wire::CHUNK_STATUS, bytes.len()),
        _ => simple(request, 0),
    };
    stream.write_all(&head)?;
    stream.write_all(bytes)
}

fn refuse(stream: &mut dyn Stream, request: &Request, agreed: &Agreed, refusal: &Refusal) -> io::Result<()> {
    let (number, text) = refusal;
    if !agreed.structured {
        return stream.write_all(&simple(request, *number));
    }
    let text = text.get(..text.floor_char_boundary(1024)).unwrap_or_default();
    let mut bytes = chunk(request, wire::CHUNK_ERROR_PLAIN, 6 + text.len());
    bytes.extend(number.to_be_bytes());
    bytes.extend((text.len() as u16).to_be_bytes());
    bytes.extend(text.as_bytes());
    stream.write_all(&bytes)
}
