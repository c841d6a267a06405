//! Where a server is: `nbd://HOST[:PORT][/EXPORT]` and `nbd+unix://[/EXPORT]?socket=PATH`, with `nbds` for TLS, as the
//! specification's `doc/uri.md` has them.

use crate::stream::Stream;
use block::{Error, Result};
use std::fmt;
use std::io;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

/// The port that IANA gave to NBD.
const PORT: u16 = 10809;

/// A server and one of its exports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Where.
    pub place: Place,
    /// The export's name; empty is the server's default.
    pub export: String,
    /// How the connection is encrypted, if it is.
    pub tls: Option<Tls>,
    /// `bitmap`: the dirty bitmap that says what changed (qemu's `qemu:dirty-bitmap:NAME`).
    pub bitmap: Option<String>,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Host and port.
    Tcp(String, u16),
    /// A socket in the file system.
    Unix(PathBuf),
}

/// How a server is known by its certificate, and we by ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// `tls-certificates`: a folder with `ca-cert.pem` and, if the server asks for one, `client-cert.pem` and
    /// `client-key.pem`. Without it the system's authorities are trusted.
    pub certificates: Option<PathBuf>,
    /// `tls-hostname`: the name in the server's certificate, if it is not the host's; `localhost` for a socket.
    pub hostname: Option<String>,
    /// `tls-verify-peer`: whether the server has to prove who it is.
    pub verify: bool,
}

/// The schemes, and whether each is a socket's and encrypted.
const SCHEMES: [(&str, bool, bool); 4] = [
    ("nbd://", false, false),
    ("nbds://", false, true),
    ("nbd+unix://", true, false),
    ("nbds+unix://", true, true),
];

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

/// The other way round, for what would end a part of a URI.
fn encoded(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~/:@!$'()*+,;=".contains(byte);
    let each = |byte: u8| match plain(&byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(each).collect()
}

/// A URI's query.
#[derive(Default)]
struct Query {
    socket: Option<String>,
    certificates: Option<String>,
    hostname: Option<String>,
    verify: Option<bool>,
    bitmap: Option<String>,
}

impl Query {
    fn parse(text: &str) -> std::result::Result<Self, String> {
        let mut query = Self::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decoded(value).ok_or_else(|| format!("`{pair}` is not encoded as URIs are"))?;
            match (key, value.as_str()) {
                ("socket", _) => query.socket = Some(value),
                ("bitmap", name) if !name.is_empty() => query.bitmap = Some(value),
                ("tls-certificates", _) => query.certificates = Some(value),
                ("tls-hostname", _) => query.hostname = Some(value),
                ("tls-verify-peer", "1" | "true") => query.verify = Some(true),
                ("tls-verify-peer", "0" | "false") => query.verify = Some(false),
                ("tls-type", "x509") => {}
                ("tls-type" | "tls-psk-file" | "tls-username", _) => {
                    return Err(format!("`{pair}`: only certificates (x509) are known here, no shared keys"));
                }
                _ => return Err(format!("`{pair}` says nothing here")),
            }
        }
        Ok(query)
    }

    fn tls(&mut self, encrypted: bool) -> std::result::Result<Option<Tls>, String> {
        let (certificates, hostname) = (self.certificates.take().map(PathBuf::from), self.hostname.take());
        if !encrypted && (certificates.is_some() || hostname.is_some() || self.verify.is_some()) {
            return Err("it speaks of TLS, which nbds:// and nbds+unix:// have".into());
        }
        let verify = self.verify.unwrap_or(true);
        Ok(encrypted.then_some(Tls { certificates, hostname, verify }))
    }
}

impl Address {
    /// Whether a text is meant as an address.
    pub fn is_uri(text: &str) -> bool {
        SCHEMES.iter().any(|(scheme, ..)| text.starts_with(scheme))
    }

    /// The address in a URI.
    pub fn parse(uri: &str) -> Result<Self> {
        Self::parts(uri).map_err(|why| Error::new(format!("{uri} is no address of an NBD server: {why}")))
    }

    fn parts(uri: &str) -> std::result::Result<Self, String> {
        let scheme = |(scheme, socket, tls): &(&str, _, _)| Some((uri.strip_prefix(scheme)?, *socket, *tls));
        let (rest, socket, tls) =
            SCHEMES.iter().find_map(scheme).ok_or("say nbd://HOST/NAME or nbd+unix:///NAME?socket=PATH")?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (host, export) = rest.split_once('/').unwrap_or((rest, ""));
        let export = decoded(export).ok_or("its export is not encoded as URIs are")?;
        let mut query = Query::parse(query)?;
        let place = match (socket, query.socket.take()) {
            (true, Some(path)) if host.is_empty() => Place::Unix(path.into()),
            (true, _) => return Err("say nbd+unix:///NAME?socket=PATH".into()),
            (false, None) => tcp(host)?,
            (false, Some(_)) => return Err("sockets go with nbd+unix://".into()),
        };
        let bitmap = query.bitmap.take();
        Ok(Self { place, export, tls: query.tls(tls)?, bitmap })
    }

    /// Whether both are the same export, as far as names tell.
    pub fn is_same(&self, other: &Self) -> bool {
        self.place == other.place && self.export == other.export
    }

    pub(crate) fn connect(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match &self.place {
            Place::Tcp(host, port) => {
                let stream = TcpStream::connect((host.as_str(), *port))?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Place::Unix(path) => Box::new(UnixStream::connect(path)?),
        })
    }
}

/// `HOST[:PORT]`, `[IPv6]:PORT`.
fn tcp(host: &str) -> std::result::Result<Place, String> {
    let (name, port) = match host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
        Some((name, port)) => (name, port.parse().map_err(|_| format!("`{port}` is no port"))?),
        None => (host, PORT),
    };
    let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    if name.is_empty() || name.contains('@') {
        return Err(format!("`{host}` is no host"));
    }
    Ok(Place::Tcp(name.to_owned(), port))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls.is_some() { "nbds" } else { "nbd" };
        let export = encoded(&self.export);
        match &self.place {
            Place::Tcp(host, port) if host.contains(':') => write!(f, "{scheme}://[{host}]:{port}/{export}"),
            Place::Tcp(host, port) => write!(f, "{scheme}://{host}:{port}/{export}"),
            Place::Unix(path) => {
                write!(f, "{scheme}+unix:///{export}?socket={}", encoded(&path.to_string_lossy()))
            }
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
            tls: None,
            bitmap: None,
        };
        let unix = Address { place: Place::Unix("/run/a b".into()), ..tcp("", 0, "x") };
        for (uri, address) in [
            ("nbd://a.example", tcp("a.example", 10809, "")),
            ("nbd://a:99/disk%20one", tcp("a", 99, "disk one")),
            ("nbd://a//b?", tcp("a", 10809, "/b")),
            ("nbd://[::1]:99/x%3fy%25", tcp("::1", 99, "x?y%")),
            ("nbd://[::1]", tcp("::1", 10809, "")),
            ("nbd+unix:///x?socket=/run/a%20b", unix),
        ] {
            assert_eq!(Address::parse(uri).unwrap(), address);
            assert_eq!(Address::parse(&address.to_string()).unwrap(), address, "{address}");
        }
        for wrong in [
            "http://a",
            "nbd://",
            "nbd://a:b",
            "nbd://a/%4",
            "nbd+unix:///x",
            "/dev/sda",
            "nbd://u@a/x",
            "nbd://a/x?socket=/y",
            "nbd+unix://h/x?socket=/y",
            "nbd://a?more=1",
            "nbd://a?bitmap=",
            "nbd://a?tls-hostname=b",
            "nbds://a?tls-verify-peer=2",
            "nbds://a?tls-type=psk",
            "nbds://a?tls-psk-file=keys",
        ] {
            let said = Address::parse(wrong).unwrap_err().to_string();
            assert!(said.starts_with(&format!("{wrong} is no address of an NBD server: ")), "{said}");
        }
    }

    #[test]
    fn uris_say_whom_to_trust() {
        let whole = "nbds+unix:///x?socket=s&tls-certificates=/etc/pki&tls-hostname=a&tls-verify-peer=0";
        let tls = Tls { certificates: Some("/etc/pki".into()), hostname: Some("a".into()), verify: false };
        assert_eq!(Address::parse(whole).unwrap().tls, Some(tls));
        let plain = Address::parse("nbds://a/x?tls-type=x509").unwrap();
        assert_eq!(plain.tls, Some(Tls { certificates: None, hostname: None, verify: true }));
        assert_eq!(plain.to_string(), "nbds://a:10809/x");
        assert_eq!(Address::parse("nbd://a?bitmap=b%200").unwrap().bitmap.as_deref(), Some("b 0"));
    }
}
