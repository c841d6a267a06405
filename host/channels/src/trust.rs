//! Servers that may be asked, and how each is known to be who it says.

use crate::origin::Origin;
use crate::stream::Stream;
use crate::tls;
use md5::Md5;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use sha2::{Digest, Sha256, Sha384, Sha512};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Whose certificate is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// One of the system's authorities has signed it.
    System,
    /// An authority of this file (PEM) has.
    Authority(PathBuf),
    /// Its SHA-256 is this, whoever has signed it and whatever name it is for.
    Fingerprint([u8; 32]),
    /// Anybody's: whoever is in between can read and change everything.
    Anybody,
}

/// A server that the operator named: `https://HOST[:PORT][,ca=FILE | ,fingerprint=SHA256 | ,verify=no]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its origin, or with `*.` in front of the host those of a domain.
    pub origin: Origin,
    /// How it is known.
    pub trust: Trust,
}

impl Server {
    /// From the operator's words; `authority` is believed where they do not say otherwise.
    pub fn parse(text: &str, authority: Option<&PathBuf>) -> Result<Self, String> {
        let mut words = text.split(',');
        let origin = Origin::parse(words.next().unwrap_or_default())?;
        let usual = authority.map_or(Trust::System, |file| Trust::Authority(file.clone()));
        let trust = match (words.next(), words.next()) {
            (None, _) => usual,
            (Some(_), Some(more)) => return Err(format!("{origin}: `{more}` is one word too many")),
            (Some(word), None) => match word.split_once('=') {
                Some(("ca", file)) => Trust::Authority(file.into()),
                Some(("fingerprint", hex)) => Trust::Fingerprint(fingerprint(hex)?),
                Some(("verify", "no")) => Trust::Anybody,
                _ => {
                    return Err(format!(
                        "{origin}: `{word}` is not ca=FILE, fingerprint=SHA256 or verify=no"
                    ));
                }
            },
        };
        if !origin.tls && text.contains(',') {
            return Err(format!("{origin} is not encrypted, so there is nothing to verify"));
        }
        Ok(Self { origin, trust })
    }
}

/// 64 hexadecimal digits, with or without colons, as `openssl x509 -fingerprint -sha256` prints them.
fn fingerprint(text: &str) -> Result<[u8; 32], String> {
    let digits: Vec<u32> = text.chars().filter(|c| *c != ':').map_while(|c| c.to_digit(16)).collect();
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect();
    let whole = text.chars().filter(|c| *c != ':').count() == 64;
    bytes.try_into().ok().filter(|_| whole).ok_or_else(|| {
        format!("`{text}` is no fingerprint: say the certificate's SHA-256 as 64 hexadecimal digits")
    })
}

/// An encrypted connection, and what it is bound to.
pub(crate) struct Secured {
    pub stream: Box<dyn Stream>,
    /// Of the server's certificate, for [`bindings`].
    pub bindings: Option<[u8; 16]>,
}

/// Encrypts a connection to `host`.
pub(crate) fn secure(stream: Box<dyn Stream>, host: &str, config: Arc<ClientConfig>) -> io::Result<Secured> {
    let wrong = |e: String| io::Error::new(io::ErrorKind::PermissionDenied, e);
    let name = ServerName::try_from(host.to_owned()).map_err(|e| wrong(e.to_string()))?;
    let session = ClientConnection::new(config, name).map_err(|e| wrong(e.to_string()))?;
    let tls::Agreed { stream, certificate } = tls::agree(session.into(), stream)?;
    Ok(Secured { stream, bindings: certificate.as_deref().and_then(bindings) })
}

/// MD5 of the channel bindings `tls-server-end-point` (RFC 5929, section 4.1) as GSS-API has them (RFC 2744, section 3.11):
/// no addresses, and the certificate's hash, by the hash of its signature, or SHA-256 where that is weaker.
fn bindings(certificate: &[u8]) -> Option<[u8; 16]> {
    let hash = match signature_algorithm(certificate)? {
        // sha384WithRSAEncryption, ecdsa-with-SHA384
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 12] | [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3] => {
            Sha384::digest(certificate).to_vec()
        }
        // sha512WithRSAEncryption, ecdsa-with-SHA512
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 13] | [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4] => {
            Sha512::digest(certificate).to_vec()
        }
        _ => Sha256::digest(certificate).to_vec(),
    };
    let data = [b"tls-server-end-point:".as_slice(), &hash].concat();
    let length = (data.len() as u32).to_le_bytes();
    Some(Md5::digest([&[0; 16][..], &length, &data].concat()).into())
}

/// The object identifier of the signature: `Certificate ::= SEQUENCE { tbs, SEQUENCE { OID, ... }, ... }` (RFC 5280, section
/// 4.1).
fn signature_algorithm(certificate: &[u8]) -> Option<&[u8]> {
    let (whole, _) = element(certificate, 0x30)?;
    let (_, rest) = element(whole, 0x30)?;
    let (algorithm, _) = element(rest, 0x30)?;
    element(algorithm, 6).map(|(oid, _)| oid)
}

/// The content of a DER element with this tag, and what follows it (X.690, section 8.1.3).
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, first], rest) = bytes.split_first_chunk::<2>()?;
    if found != tag {
        return None;
    }
    let count = match first {
        0..=0x7f => return rest.split_at_checked(first.into()),
        0x81..=0x83 => usize::from(first & 0x7f),
        _ => return None,
    };
    let (length, rest) = rest.split_at_checked(count)?;
    rest.split_at_checked(length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::{Server, Trust, element, fingerprint};

    #[test]
    fn a_servers_words() {
        let parse = |text: &str| Server::parse(text, None);
        assert_eq!(parse("https://a").unwrap().trust, Trust::System);
        assert_eq!(parse("https://a,ca=/x").unwrap().trust, Trust::Authority("/x".into()));
        assert_eq!(
            Server::parse("https://a", Some(&"/y".into())).unwrap().trust,
            Trust::Authority("/y".into())
        );
        assert_eq!(parse("https://a,verify=no").unwrap().trust, Trust::Anybody);
        for wrong in ["https://a,verify=yes", "https://a,", "http://a,verify=no", "https://a,ca=/x,verify=no"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        let hex = "0a:".repeat(31) + "ff";
        assert_eq!(fingerprint(&hex).unwrap()[30..], [10, 255]);
        for wrong in ["", "0a", &hex[1..], &(hex.clone() + "00"), &hex.replace("ff", "fg")] {
            assert!(fingerprint(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_damaged_element_is_none() {
        assert_eq!(element(&[6, 2, 1, 2, 9], 6), Some((&[1, 2][..], &[9][..])));
        assert_eq!(element(&[6, 0x81, 1, 7], 6), Some((&[7][..], &[][..])));
        for wrong in [&[][..], &[6], &[6, 1], &[5, 0], &[6, 0x80], &[6, 0x84, 0, 0, 0, 0], &[6, 0x82, 1]] {
            assert_eq!(element(wrong, 6), None, "{wrong:?}");
        }
    }
}
