//! NTLM version 2 as a client: MS-NLMP, sections 2.2.1 (messages), 3.1.5 (what a client does) and 3.3.2 (keys).

use crate::sealed::Session;
use hmac::{Hmac, KeyInit, Mac};
use md4::Md4;
use md5::{Digest, Md5};
use rc4::{Rc4, StreamCipher};

/// A challenge is never longer.
const CHALLENGE_MOST: usize = 64 << 10;
const SIGNATURE: &[u8; 8] = b"NTLMSSP\0";

/// Section 2.2.2.5: unicode, request target, sign, seal, NTLM, always sign, extended session security, target info, version,
/// 128 bits, key exchange, 56 bits.
const FLAGS: u32 = 0xe288_8235;
/// Of these a server may not have taken back: unicode, sign, seal, extended session security, 128 bits, key exchange.
const NEEDED: u32 = 0x6008_0031;
/// Section 2.2.2.10: a version of Windows (10.0), and revision 15 of NTLM.
const VERSION: [u8; 8] = [10, 0, 0, 0, 0, 0, 0, 15];

/// Attributes of the target's information, section 2.2.2.1.
const END: u16 = 0;
const FLAGS_OF_CLIENT: u16 = 6;
const TIMESTAMP: u16 = 7;
const TARGET_NAME: u16 = 9;
const CHANNEL_BINDINGS: u16 = 10;

/// Who wants to be let in, and where.
pub(crate) struct Account<'a> {
    pub domain: &'a str,
    pub user: &'a str,
    pub password: &'a str,
    /// Service and host, such as `HTTP/hv1.example`.
    pub service: &'a str,
    /// MD5 of the channel's bindings (RFC 5929, RFC 2744), if there is an encrypted channel.
    pub bindings: Option<[u8; 16]>,
}

/// What a run makes up.
pub(crate) struct Chance {
    pub challenge: [u8; 8],
    pub key: [u8; 16],
    /// 100 ns since 1601-01-01, where the server does not say what time it is.
    pub time: u64,
}

/// What the client says last, and the keys both sides have then.
pub(crate) struct Proof {
    pub message: Vec<u8>,
    pub session: Session,
}

pub(crate) fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 16] {
    let mut mac = Hmac::<Md5>::new_from_slice(key).expect("HMAC takes keys of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// NTOWFv2, section 3.3.2.
fn owner_key(account: &Account<'_>) -> [u8; 16] {
    let whose = utf16(&(account.user.to_uppercase() + account.domain));
    hmac(&Md4::digest(utf16(account.password)), &[&whose])
}

/// The first message, section 2.2.1.1: no domain, no workstation.
pub(crate) fn negotiate() -> Vec<u8> {
    [SIGNATURE.as_slice(), &1u32.to_le_bytes(), &FLAGS.to_le_bytes(), &[0; 16], &VERSION].concat()
}

/// The server's message, section 2.2.1.2, as far as it is needed.
struct Challenge {
    flags: u32,
    nonce: [u8; 8],
    /// Attributes without the last, in their order.
    target: Vec<(u16, Vec<u8>)>,
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], String> {
    let field = bytes.get(at..).and_then(|rest| rest.first_chunk::<N>());
    field.copied().ok_or_else(|| "the server's NTLM challenge is cut off".into())
}

impl Challenge {
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > CHALLENGE_MOST
            || !bytes.starts_with(SIGNATURE)
            || field(bytes, 8)? != 2u32.to_le_bytes()
        {
            return Err("what the server sent is no NTLM challenge".into());
        }
        let flags = u32::from_le_bytes(field(bytes, 20)?);
        if flags & NEEDED != NEEDED {
            return Err(format!("the server's NTLM is too old or too weak (flags {flags:08x})"));
        }
        let length = usize::from(u16::from_le_bytes(field(bytes, 40)?));
        let start = u32::from_le_bytes(field(bytes, 44)?) as usize;
        let info = start.checked_add(length).and_then(|end| bytes.get(start..end));
        let mut rest = info.ok_or("the server's NTLM challenge is cut off")?;
        let mut target = Vec::new();
        loop {
            let kind = u16::from_le_bytes(field(rest, 0)?);
            if kind == END {
                break;
            }
            let length = usize::from(u16::from_le_bytes(field(rest, 2)?));
            let value = rest.get(4..4 + length).ok_or("the server's NTLM challenge is cut off")?;
            target.push((kind, value.to_vec()));
            rest = &rest[4 + length..];
        }
        Ok(Self { flags, nonce: field(bytes, 24)?, target })
    }

    fn time(&self) -> Option<[u8; 8]> {
        let (_, value) = self.target.iter().find(|(kind, _)| *kind == TIMESTAMP)?;
        value.as_slice().try_into().ok()
    }

    /// The information that the client answers with, section 3.1.5.1.2: with a time there is a code over all messages, and it
    /// says so, for which channel and for which service.
    fn answered(&self, account: &Account<'_>) -> Vec<u8> {
        let ours = [FLAGS_OF_CLIENT, CHANNEL_BINDINGS, TARGET_NAME];
        let mut all: Vec<_> = self.target.iter().filter(|(kind, _)| !ours.contains(kind)).cloned().collect();
        if self.time().is_some() {
            all.push((FLAGS_OF_CLIENT, 2u32.to_le_bytes().to_vec()));
        }
        all.push((CHANNEL_BINDINGS, account.bindings.unwrap_or_default().to_vec()));
        all.push((TARGET_NAME, utf16(account.service)));
        all.push((END, Vec::new()));
        let pair = |(kind, value): &(u16, Vec<u8>)| {
            [&kind.to_le_bytes()[..], &(value.len() as u16).to_le_bytes(), value].concat()
        };
        all.iter().flat_map(pair).collect()
    }
}

/// NTLMv2's answer and the key of the session, section 3.3.2.
fn answer(
    key: &[u8; 16],
    nonce: &[u8; 8],
    time: [u8; 8],
    ours: &[u8; 8],
    target: &[u8],
) -> (Vec<u8>, [u8; 16]) {
    let blob = [&[1, 1, 0, 0, 0, 0, 0, 0][..], &time, ours, &[0; 4], target, &[0; 4]].concat();
    let proof = hmac(key, &[nonce, &blob]);
    ([&proof[..], &blob].concat(), hmac(key, &[&proof]))
}

/// The last message, section 2.2.1.3, to the server's `challenge` after our `first`.
pub(crate) fn authenticate(
    account: &Account<'_>,
    first: &[u8],
    challenge: &[u8],
    chance: &Chance,
) -> Result<Proof, String> {
    let said = Challenge::parse(challenge)?;
    let key = owner_key(account);
    let time = said.time().unwrap_or(chance.time.to_le_bytes());
    let (long, base) = answer(&key, &said.nonce, time, &chance.challenge, &said.answered(account));
    // With the server's time in it the older answer is left out.
    let short = match said.time() {
        Some(_) => vec![0; 24],
        None => [&hmac(&key, &[&said.nonce, &chance.challenge])[..], &chance.challenge].concat(),
    };
    let mut exchanged = chance.key.to_vec();
    rc4(&base).apply_keystream(&mut exchanged);
    let flags = FLAGS & said.flags;
    let (domain, user) = (utf16(account.domain), utf16(account.user));
    let fields: [&[u8]; 6] = [&short, &long, &domain, &user, &[], &exchanged];
    const FIXED: usize = 8 + 4 + 6 * 8 + 4 + 8 + 16;
    let mut at = FIXED as u32;
    let mut head = [SIGNATURE.as_slice(), &3u32.to_le_bytes()].concat();
    for field in fields {
        let length = u16::try_from(field.len()).map_err(|_| "the server's NTLM challenge is too long")?;
        head.extend([length.to_le_bytes(), length.to_le_bytes()].as_flattened());
        head.extend(at.to_le_bytes());
        at += u32::from(length);
    }
    head.extend(flags.to_le_bytes());
    head.extend(VERSION);
    let code = head.len();
    let mut message = [&head, &[0; 16][..], &fields.concat()].concat();
    if said.time().is_some() {
        let all = hmac(&chance.key, &[first, challenge, &message]);
        message[code..code + 16].copy_from_slice(&all);
    }
    Ok(Proof { message, session: Session::of_client(&chance.key) })
}

pub(crate) fn rc4(key: &[u8; 16]) -> Rc4 {
    use rc4::KeyInit as _;
    Rc4::new_from_slice(key).expect("RC4 takes keys of 16 bytes")
}

#[cfg(test)]
mod tests {
    //! The numbers of MS-NLMP, section 4.2.4 (NTLMv2): user `User`, password `Password`, domain `Domain`, server `Server`.

    use super::{Account, Chance, answer, authenticate, negotiate, owner_key, rc4};
    use rc4::StreamCipher as _;

    const NONCE: [u8; 8] = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];
    const OURS: [u8; 8] = [0xaa; 8];

    fn account() -> Account<'static> {
        let service = "HTTP/server";
        Account { domain: "Domain", user: "User", password: "Password", service, bindings: None }
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
        let pair = |two: &[char]| u8::from_str_radix(&two.iter().collect::<String>(), 16).unwrap();
        digits.chunks(2).map(pair).collect()
    }

    fn target() -> Vec<u8> {
        hex("02000c0044006f006d00610069006e00 01000c00530065007200760065007200 00000000")
    }

    #[test]
    fn keys_and_answer_are_the_specifications() {
        let key = owner_key(&account());
        assert_eq!(key[..], hex("0c868a403bfd7a93a3001ef22ef02e3f"));
        let (long, base) = answer(&key, &NONCE, [0; 8], &OURS, &target());
        assert_eq!(long[..16], hex("68cd0ab851e51c96aabc927bebef6a1c"));
        assert_eq!(base[..], hex("8de40ccadbc14a82f15cb0ad0de95ca3"));
        let mut exchanged = vec![0x55; 16];
        rc4(&base).apply_keystream(&mut exchanged);
        assert_eq!(exchanged, hex("c5dad2544fc9799094ce1ce90bc9d03e"));
        let short = super::hmac(&key, &[&NONCE, &OURS]);
        assert_eq!(short[..], hex("86c35097ac9cec102554764a57cccc19"));
    }

    /// The challenge of section 4.2.4.3, without and with a time.
    fn challenge(with_time: bool) -> Vec<u8> {
        let mut info = target();
        if with_time {
            info.truncate(info.len() - 4);
            info.extend(hex("07000800 0011223344556677 00000000"));
        }
        let mut message =
            hex("4e544c4d53535000 02000000 0c000c0038000000 33828ae2 0123456789abcdef 0000000000000000");
        let length = (info.len() as u16).to_le_bytes();
        message.extend([length, length].concat());
        message.extend(hex("44000000 0600701700 00000f 530065007200760065007200"));
        message.extend(info);
        message
    }

    #[test]
    fn a_challenge_with_a_time_gets_a_code_over_all_messages() {
        let chance = Chance { challenge: OURS, key: [0x55; 16], time: 0 };
        let code = |with_time| {
            let proof = authenticate(&account(), &negotiate(), &challenge(with_time), &chance).unwrap();
            proof.message[72..88].to_vec()
        };
        assert_eq!(code(false), [0; 16]);
        assert_ne!(code(true), [0; 16]);
    }

    #[test]
    fn damaged_challenges_are_errors() {
        let chance = Chance { challenge: OURS, key: [0x55; 16], time: 0 };
        let whole = challenge(true);
        let answer = |bytes: &[u8]| authenticate(&account(), &negotiate(), bytes, &chance);
        for length in 0..whole.len() {
            assert!(answer(&whole[..length]).is_err(), "{length}");
        }
        for at in 0..whole.len() {
            for value in [0, 0x7f, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] = value;
                let _either = answer(&damaged);
            }
        }
        let mut weak = whole;
        weak[20] &= !0x20;
        assert!(answer(&weak).err().unwrap().contains("too weak"));
    }
}
