//! What is sent after NTLM has agreed on keys, over a connection that is not encrypted: MS-NLMP, section 3.4, in the envelope
//! of MS-WSMV, section 2.2.9.1.

use crate::ntlm::{hmac, rc4};
use md5::{Digest, Md5};
use rc4::{Rc4, StreamCipher};

const PROTOCOL: &str = "application/HTTP-SPNEGO-session-encrypted";
const BOUNDARY: &str = "--Encrypted Boundary";
/// Bytes of a signature.
const SIGNATURE: usize = 16;

/// One direction.
struct Way {
    sign: [u8; 16],
    seal: Rc4,
    count: u32,
}

/// Both directions.
pub(crate) struct Session {
    ours: Way,
    theirs: Way,
}

impl Way {
    /// SIGNKEY and SEALKEY, sections 3.4.5.2 and 3.4.5.3, for 128 bits.
    fn new(key: &[u8; 16], direction: &str) -> Self {
        let made = |what: &str| -> [u8; 16] {
            let magic = format!("session key to {direction} {what} key magic constant\0");
            Md5::new().chain_update(key).chain_update(magic).finalize().into()
        };
        Self { sign: made("signing"), seal: rc4(&made("sealing")), count: 0 }
    }

    /// The signature of section 3.4.4.2, with key exchange, over `message` in clear.
    fn signature(&mut self, message: &[u8]) -> [u8; SIGNATURE] {
        let count = self.count.to_le_bytes();
        let mut sum: [u8; 8] = [0; 8];
        sum.copy_from_slice(&hmac(&self.sign, &[&count, message])[..8]);
        self.seal.apply_keystream(&mut sum);
        self.count = self.count.wrapping_add(1);
        let mut signature = [0; SIGNATURE];
        signature[0] = 1;
        signature[4..12].copy_from_slice(&sum);
        signature[12..].copy_from_slice(&count);
        signature
    }
}

impl Session {
    /// The client's side.
    pub(crate) fn of_client(key: &[u8; 16]) -> Self {
        Self { ours: Way::new(key, "client-to-server"), theirs: Way::new(key, "server-to-client") }
    }

    fn seal(&mut self, message: &[u8]) -> (Vec<u8>, [u8; SIGNATURE]) {
        let mut sealed = message.to_vec();
        self.ours.seal.apply_keystream(&mut sealed);
        let signature = self.ours.signature(message);
        (sealed, signature)
    }

    fn open(&mut self, sealed: &[u8], signature: &[u8]) -> Option<Vec<u8>> {
        let mut message = sealed.to_vec();
        self.theirs.seal.apply_keystream(&mut message);
        (self.theirs.signature(&message)[..] == *signature).then_some(message)
    }

    /// A body of this content type in its envelope; and the envelope's own content type.
    pub(crate) fn wrap(&mut self, body: &[u8], content_type: &str) -> (Vec<u8>, String) {
        let (sealed, signature) = self.seal(body);
        // The type is repeated without blanks, as Windows does.
        let original = content_type.replace(' ', "");
        let head = format!(
            "{BOUNDARY}\r\n\tContent-Type: {PROTOCOL}\r\n\tOriginalContent: type={original};Length={}\r\n\
             {BOUNDARY}\r\n\tContent-Type: application/octet-stream\r\n",
            body.len()
        );
        let length = (SIGNATURE as u32).to_le_bytes();
        let end = format!("{BOUNDARY}--\r\n");
        let all = [head.as_bytes(), &length, &signature, &sealed, end.as_bytes()].concat();
        (all, format!("multipart/encrypted;protocol=\"{PROTOCOL}\";boundary=\"Encrypted Boundary\""))
    }

    /// What is in an envelope; none if it is not sealed by the server.
    pub(crate) fn unwrap(&mut self, envelope: &[u8]) -> Option<Vec<u8>> {
        let find = |bytes: &[u8], what: &str| {
            bytes.windows(what.len()).position(|window| window.eq_ignore_ascii_case(what.as_bytes()))
        };
        let after = |bytes: &'_ [u8], what: &str| find(bytes, what).map(|at| at + what.len());
        let start = after(envelope, "Content-Type: application/octet-stream\r\n")?;
        let (head, rest) = envelope.split_at(start);
        let length = head.get(after(head, ";Length=")?..)?;
        let digits = length.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let length: usize = std::str::from_utf8(length.get(..digits)?).ok()?.parse().ok()?;
        let (count, rest) = rest.split_first_chunk::<4>()?;
        if u32::from_le_bytes(*count) as usize != SIGNATURE {
            return None;
        }
        let (signature, rest) = rest.split_at_checked(SIGNATURE)?;
        let (sealed, end) = rest.split_at_checked(length)?;
        if find(end, BOUNDARY) != Some(0) {
            return None;
        }
        self.open(sealed, signature)
    }
}

#[cfg(test)]
mod tests {
    use super::{Session, Way};

    /// MS-NLMP, section 4.2.4.4: "Plaintext" sealed with the key of 16 times 0x55.
    #[test]
    fn a_message_is_sealed_as_in_the_specification() {
        let mut session = Session::of_client(&[0x55; 16]);
        let message: Vec<u8> = "Plaintext".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let (sealed, signature) = session.seal(&message);
        let expected = [
            0x54, 0xe5, 0x01, 0x65, 0xbf, 0x19, 0x36, 0xdc, 0x99, 0x60, 0x20, 0xc1, 0x81, 0x1b, 0x0f, 0x06,
            0xfb, 0x5f,
        ];
        assert_eq!(sealed, expected);
        assert_eq!(signature, [1, 0, 0, 0, 0x7f, 0xb3, 0x8e, 0xc5, 0xc5, 0x5d, 0x49, 0x76, 0, 0, 0, 0]);
    }

    #[test]
    fn an_envelope_is_opened_by_the_other_side_alone() {
        let key = [7; 16];
        let mut server =
            Session { ours: Way::new(&key, "server-to-client"), theirs: Way::new(&key, "client-to-server") };
        let mut client = Session::of_client(&key);
        let (envelope, kind) = client.wrap(b"<a/>", "application/soap+xml; charset=UTF-8");
        assert!(kind.starts_with("multipart/encrypted;protocol="));
        assert_eq!(server.unwrap(&envelope).unwrap(), b"<a/>");
        let (envelope, _) = server.wrap(b"--Encrypted Boundary", "a/b");
        for at in 0..envelope.len() {
            let mut damaged = envelope.clone();
            damaged[at] ^= 0xff;
            let opened = Session::of_client(&key).unwrap(&damaged);
            assert!(opened.is_none_or(|opened| opened == b"--Encrypted Boundary"), "{at}");
            assert!(
                Session::of_client(&key).unwrap(&envelope[..at.min(envelope.len() - 24)]).is_none(),
                "{at}"
            );
        }
        assert_eq!(client.unwrap(&envelope).unwrap(), b"--Encrypted Boundary");
    }
}
