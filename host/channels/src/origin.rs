//! Where a request goes: RFC 3986 URLs of the schemes `http` and `https`, and the servers that may be asked.

use std::fmt;

/// Scheme, host and port: what a grant is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// In lower case; an IPv6 address without its brackets. `*.NAME` in a grant is every host below NAME.
    pub host: String,
    /// The port, said or usual.
    pub port: u16,
}

/// An origin and what is asked of it.
pub(crate) struct Url {
    pub origin: Origin,
    /// Path and query, from `/` on.
    pub path: String,
}

const fn usual(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

impl Origin {
    /// `https://host`, `https://host:5986`, `http://[::1]:8080`; nothing may follow.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("`{text}` is no server ({what}); say it as https://HOST[:PORT]");
        let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("it has no scheme"))?;
        let tls = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(wrong("its scheme is neither https nor http")),
        };
        let (host, port) = match rest.strip_prefix('[') {
            Some(inner) => {
                let (host, port) = inner.split_once(']').ok_or_else(|| wrong("a bracket is not closed"))?;
                host.parse::<std::net::Ipv6Addr>().map_err(|_| wrong("that is no IPv6 address"))?;
                (host, port)
            }
            None => rest.find(':').map_or((rest, ""), |at| rest.split_at(at)),
        };
        let letter = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
        let name = host.strip_prefix("*.").unwrap_or(host);
        if name.is_empty() || name.len() > 253 || !name.chars().all(letter) {
            return Err(wrong("that is no host"));
        }
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => usual(tls),
            Some(digits) if digits.chars().all(|c| c.is_ascii_digit()) => {
                digits.parse().ok().filter(|port| *port != 0).ok_or_else(|| wrong("that is no port"))?
            }
            _ => return Err(wrong("something follows the host")),
        };
        Ok(Self { tls, host: host.to_ascii_lowercase(), port })
    }

    /// Whether a grant of this origin is one of `other`.
    pub fn covers(&self, other: &Origin) -> bool {
        let host = match self.host.strip_prefix('*') {
            Some(end) => other.host.len() > end.len() && other.host.ends_with(end),
            None => self.host == other.host,
        };
        host && (self.tls, self.port) == (other.tls, other.port)
    }

    /// As the header `host` has it (RFC 9110, section 7.2).
    pub(crate) fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == usual(self.tls) { host } else { format!("{host}:{}", self.port) }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.authority())
    }
}

impl Url {
    pub fn parse(text: &str) -> Result<Self, String> {
        let after = text.find("://").map_or(0, |at| at + 3);
        let start = text[after..].find(['/', '?', '#']).map_or(text.len(), |at| after + at);
        let (origin, path) = text.split_at(start);
        let origin = Origin::parse(origin)?;
        if origin.host.starts_with('*') {
            return Err(format!("{origin} is many servers; a request goes to one"));
        }
        let plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        match plain && path.len() <= 8192 {
            true => Ok(Self { origin, path }),
            false => Err(format!("the path of a request to {origin} has characters that no path has")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Origin, Url};

    #[test]
    fn only_what_is_an_origin_is_one() {
        let shown = |text: &str| Origin::parse(text).unwrap().to_string();
        assert_eq!(shown("https://HV1.example:443"), "https://hv1.example");
        assert_eq!(shown("http://[::1]:5985"), "http://[::1]:5985");
        for wrong in [
            "",
            "host",
            "ftp://host",
            "https://",
            "https://host/",
            "https://host:0",
            "https://host:65536",
            "https://host:+1",
            "https://user@host",
            "https://granted.example@other.example",
            "https://ho st",
            "https://[host]",
            "https://[::1",
            "https://[::1]x",
            "https://host\\@other",
            "https://*",
            "https://a.*.b",
        ] {
            assert!(Origin::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_grant_covers_itself_and_what_is_below_its_star() {
        let one = |text: &str| Origin::parse(text).unwrap();
        assert!(one("https://a.example").covers(&one("https://A.example:443")));
        assert!(one("https://*.lab.example").covers(&one("https://esx1.lab.example")));
        for other in
            ["https://lab.example", "https://xlab.example", "http://a.lab.example", "https://a.lab.example:1"]
        {
            assert!(!one("https://*.lab.example").covers(&one(other)), "{other}");
        }
        assert!(!one("https://a.example").covers(&one("https://b.a.example")));
    }

    #[test]
    fn a_url_is_cut_at_its_path() {
        let url = Url::parse("https://h:5986/wsman?a=b").unwrap();
        assert_eq!((url.origin.port, url.path.as_str()), (5986, "/wsman?a=b"));
        assert_eq!(Url::parse("http://h?x").unwrap().path, "/?x");
        for wrong in
            ["https://h/a b", "https://h/\r\nx", "https://h/#x", "https://*.h/", "https:h", "https://h#@g/"]
        {
            assert!(Url::parse(wrong).is_err(), "{wrong}");
        }
    }
}
