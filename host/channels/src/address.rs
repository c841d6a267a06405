//! Where a server is: `nbd://HOST[:PORT][/EXPORT]` and `nbd+unix://[/EXPORT]?socket=PATH`, as the specification's
//! `doc/uri.md` has them.

use std::fmt;
use std::io;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// The port that IANA gave to NBD.
const PORT: u16 = 10809;
/// A server that does not answer for this long is not there.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server and one of its exports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Where.
    pub place: Place,
    /// The export's name; empty is the server's default.
    pub export: String,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Host and port.
    Tcp(String, u16),
    /// A socket in the file system.
    Unix(PathBuf),
}

/// Both ends of a connection.
pub(crate) trait Stream: io::Read + io::Write + Send {
    /// A second handle of the same connection, so that one thread can read while another writes.
    fn twin(&self) -> io::Result<Box<dyn Stream>>;
    /// How long to wait for the other side until that is an error.
    fn patience(&self, time: Duration) -> io::Result<()>;
    /// Ends both directions, which wakes a thread that reads.
    fn hang_up(&self);
}

impl Stream for TcpStream {
    fn twin(&self) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(self.try_clone()?))
    }
    fn patience(&self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time))?;
        self.set_write_timeout(Some(time))
    }
    fn hang_up(&self) {
        let _gone = self.shutdown(std::net::Shutdown::Both);
    }
}

impl Stream for UnixStream {
    fn twin(&self) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(self.try_clone()?))
    }
    fn patience(&self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time))?;
        self.set_write_timeout(Some(time))
    }
    fn hang_up(&self) {
        let _gone = self.shutdown(std::net::Shutdown::Both);
    }
}

/// `%41` is `A`.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = after.get(2..)?;
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

impl Address {
    /// The address in a URI; none if it is not one of NBD.
    pub fn parse(uri: &str) -> Option<Self> {
        if let Some(rest) = uri.strip_prefix("nbd+unix://") {
            let (export, query) = rest.split_once('?')?;
            let socket = query.split('&').find_map(|pair| pair.strip_prefix("socket="))?;
            let place = Place::Unix(decoded(socket)?.into());
            let export = decoded(export.strip_prefix('/').unwrap_or(export))?;
            return Some(Self { place, export });
        }
        let rest = uri.strip_prefix("nbd://")?;
        let (host, export) = rest.split_once('/').unwrap_or((rest, ""));
        let (name, port) = match host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
            Some((name, port)) => (name, port.parse().ok()?),
            None => (host, PORT),
        };
        let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        let place = Place::Tcp(name.to_owned(), port);
        (!name.is_empty()).then_some(Self { place, export: decoded(export)? })
    }

    /// Whether both are the same export, as far as names tell.
    pub fn is_same(&self, other: &Self) -> bool {
        self.place == other.place && self.export == other.export
    }

    pub(crate) fn connect(&self) -> io::Result<Box<dyn Stream>> {
        let stream: Box<dyn Stream> = match &self.place {
            Place::Tcp(host, port) => {
                let stream = TcpStream::connect((host.as_str(), *port))?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Place::Unix(path) => Box::new(UnixStream::connect(path)?),
        };
        stream.patience(PATIENCE)?;
        Ok(stream)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Tcp(host, port) => write!(f, "nbd://{host}:{port}/{}", self.export),
            Place::Unix(path) => write!(f, "nbd+unix:///{}?socket={}", self.export, path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_say_place_and_export() {
        let tcp = |host: &str, port, export: &str| Address {
            place: Place::Tcp(host.into(), port),
            export: export.into(),
        };
        assert_eq!(Address::parse("nbd://a.example"), Some(tcp("a.example", 10809, "")));
        assert_eq!(Address::parse("nbd://a:99/disk%20one"), Some(tcp("a", 99, "disk one")));
        assert_eq!(Address::parse("nbd://[::1]:99/x"), Some(tcp("::1", 99, "x")));
        assert_eq!(Address::parse("nbd://[::1]"), Some(tcp("::1", 10809, "")));
        let unix = Address { place: Place::Unix("/run/a b".into()), export: "x".into() };
        assert_eq!(Address::parse("nbd+unix:///x?socket=/run/a%20b"), Some(unix));
        for wrong in ["http://a", "nbd://", "nbd://a:b", "nbd://a/%4", "nbd+unix:///x", "/dev/sda"] {
            assert_eq!(Address::parse(wrong), None, "{wrong}");
        }
    }
}
