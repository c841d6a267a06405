//! Volumes that BitLocker encrypted: named, with what their metadata says in the clear, and not mounted.
//!
//! Source: libbde's "BitLocker Drive Encryption (BDE) format"; states and the identifier of volumes where only used space
//! is encrypted: dislocker and cryptsetup's BITLK.

use wherry_sdk::bytes::{part, u16_at, u32_at, u64_at};
use wherry_sdk::checksum::crc32;
use wherry_sdk::filesystem::Identity;
use wherry_sdk::image::Uuid;
use wherry_sdk::{Blob, Encrypted, Fact, Locked, Result, fact, find};

/// What volumes and blocks of metadata start with.
const SIGNATURE: &[u8] = b"-FVE-FS-";
/// BitLocker To Go looks like a FAT to who does not know it.
const TO_GO: &[u8] = b"MSWIN4.1";
/// Places of the identifier: Windows 7 and later, BitLocker To Go.
const IDENTIFIER: usize = 160;
const TO_GO_IDENTIFIER: usize = 424;
/// Volumes of Windows 7 and later, BitLocker To Go, and volumes of which only the used space is encrypted.
const IDENTIFIERS: [&str; 3] = [
    "4967d63b-2e29-4ad8-8399-f6a339e3d000",
    "4967d63b-2e29-4ad8-8399-f6a339e3d001",
    "92a84d3b-dd80-4d0e-9e4e-b1e3284eaed8",
];
/// Bytes of a block of metadata that are looked at.
const METADATA: u64 = 64 << 10;
/// Where the header of the entries is in a block, and where the entries start.
const HEADER: usize = 64;
const ENTRIES: usize = HEADER + 48;
/// Types of entries, and of their values.
const MASTER_KEY: u16 = 2;
const DESCRIPTION: u16 = 7;
/// Entries that are looked at.
const ENTRIES_MOST: usize = 1000;
/// The kind of a protector that protects nothing.
const CLEAR_KEY: &str = "clear key";

/// Where a volume's metadata is.
struct Place {
    version: &'static str,
    blocks: Vec<u64>,
}

/// A volume that BitLocker encrypted.
pub struct BitLocker;

/// The adapter.
pub type Driver = Locked<BitLocker>;

impl Encrypted for BitLocker {
    fn probe(device: &dyn Blob) -> Result<Option<Identity>> {
        if device.size() < 512 {
            return Ok(None);
        }
        let sector = device.read(0, 512)?;
        let Some(place) = place(&sector) else { return Ok(None) };
        let mut identity = Identity {
            kind: "bitlocker".into(),
            uuid: None,
            label: None,
            block: 512,
            size: device.size(),
            clean: true,
            facts: vec![fact("bitlocker.version", place.version)],
        };
        let blocks = place.blocks.iter().filter_map(|at| metadata(device, *at).transpose());
        let blocks = blocks.collect::<Result<Vec<_>>>()?;
        // Copies of each other; one that was written to its end, if there is one.
        if let Some(block) = blocks.iter().find(|block| is_whole(block)).or(blocks.first()) {
            identity.uuid = Some(Uuid::from_guid(part(block, HEADER + 16, 16)).to_string());
            identity.facts.extend(describe(block));
        }
        Ok(Some(identity))
    }

    fn refusal(identity: &Identity) -> String {
        let open =
            find(&identity.facts, "bitlocker.protectors").is_some_and(|kinds| kinds.contains(CLEAR_KEY));
        let why = if open {
            "it is encrypted by BitLocker, although the key for it lies open on it (suspended, or not yet done)"
        } else {
            "it is encrypted by BitLocker"
        };
        let remedy = "decrypt it on the source with manage-bde -off, and wait until manage-bde -status says that it is done";
        format!("{why}: {remedy}; to suspend its protectors is not enough")
    }
}

fn place(sector: &[u8]) -> Option<Place> {
    let offsets = |at: usize| (0..3).map(|index| u64_at(sector, at + index * 8)).collect();
    let known = |at: usize| IDENTIFIERS.contains(&Uuid::from_guid(part(sector, at, 16)).to_string().as_str());
    match part(sector, 3, 8) {
        SIGNATURE if known(IDENTIFIER) => Some(Place { version: "7", blocks: offsets(IDENTIFIER + 16) }),
        // Windows Vista keeps a cluster's number in the place of NTFS' table mirror.
        SIGNATURE => {
            let cluster =
                u64::from(u16_at(sector, 11)) * u64::from(part(sector, 13, 1).first().copied().unwrap_or(0));
            let block = u64_at(sector, 56).checked_mul(cluster).filter(|block| *block > 0);
            Some(Place { version: "Vista", blocks: block.into_iter().collect() })
        }
        TO_GO if known(TO_GO_IDENTIFIER) => {
            Some(Place { version: "To Go", blocks: offsets(TO_GO_IDENTIFIER + 16) })
        }
        _ => None,
    }
}

/// A block of metadata, if there is one.
fn metadata(device: &dyn Blob, at: u64) -> Result<Option<Vec<u8>>> {
    let length = METADATA.min(device.size().saturating_sub(at));
    if length < ENTRIES as u64 {
        return Ok(None);
    }
    let block = device.read(at, length as u32)?;
    Ok(block.starts_with(SIGNATURE).then_some(block))
}

/// Whether the checksum behind a block is right. The length is told in units of 16 bytes since Windows 7.
fn is_whole(block: &[u8]) -> bool {
    let length = usize::from(u16_at(block, 8)) << 4;
    let bytes = part(block, 0, length);
    bytes.len() == length && crc32(!0, bytes) ^ !0 == u32_at(block, length + 4)
}

/// What a block of metadata says in the clear.
fn describe(block: &[u8]) -> Vec<Fact> {
    let mut facts = vec![fact("bitlocker.method", method(u16_at(block, HEADER + 36)))];
    if u16_at(block, 10) >= 2 {
        facts.push(fact("bitlocker.state", state(u16_at(block, 12))));
        facts.push(fact("bitlocker.encrypted", u64_at(block, 16)));
    }
    let end = (u32_at(block, HEADER) as usize).saturating_add(HEADER).min(block.len());
    let (mut at, mut protectors) = (ENTRIES, Vec::new());
    for _ in 0..ENTRIES_MOST {
        let length = usize::from(u16_at(block, at));
        if length < 8 || at + length > end {
            break;
        }
        let entry = part(block, at, length);
        match u16_at(entry, 2) {
            MASTER_KEY if length >= 36 => protectors.push(protector(u16_at(entry, 34))),
            DESCRIPTION => {
                facts.push(fact("bitlocker.description", text(part(entry, 8, length))));
            }
            _ => {}
        }
        at += length;
    }
    facts.push(fact("bitlocker.protectors", protectors.join(", ")));
    facts
}

/// UTF-16 up to its end.
fn text(bytes: &[u8]) -> String {
    let units = bytes.as_chunks().0.iter().map(|pair| u16::from_le_bytes(*pair));
    String::from_utf16_lossy(&units.take_while(|unit| *unit != 0).collect::<Vec<_>>())
}

fn method(number: u16) -> String {
    match number {
        0 => "none".into(),
        0x8000 => "AES-CBC 128 with diffuser".into(),
        0x8001 => "AES-CBC 256 with diffuser".into(),
        0x8002 => "AES-CBC 128".into(),
        0x8003 => "AES-CBC 256".into(),
        0x8004 => "AES-XTS 128".into(),
        0x8005 => "AES-XTS 256".into(),
        other => format!("unknown ({other:#06x})"),
    }
}

fn state(number: u16) -> String {
    match number {
        1 => "decrypted".into(),
        2 => "changing".into(),
        4 => "encrypted".into(),
        5 => "paused while changing".into(),
        other => format!("unknown ({other})"),
    }
}

fn protector(number: u16) -> String {
    match number {
        0x0000 => CLEAR_KEY.into(),
        0x0100 => "TPM".into(),
        0x0200 => "startup key".into(),
        0x0500 => "TPM and PIN".into(),
        0x0800 => "recovery password".into(),
        0x1000 => "smart card".into(),
        0x2000 => "password".into(),
        other => format!("unknown ({other:#06x})"),
    }
}

wherry_sdk::register_filesystem_driver!(Driver, "../adapter.toml");
