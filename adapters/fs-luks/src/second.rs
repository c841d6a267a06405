//! LUKS2: a binary header, text in JSON behind it, and both once more.
//!
//! Source: "LUKS2 On-Disk Format Specification" 1.1.1, sections 2 (layout, checksum) and 3 (the JSON area).

use crate::header::{Found, bytes, shown, word};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use wherry_sdk::bytes::{big, field, put, until_nul};
use wherry_sdk::{Blob, Fact, Result, fact};

/// Sizes that a header with its JSON area may have; the second header is that far from the first.
const SIZES: [u64; 9] =
    [16 << 10, 32 << 10, 64 << 10, 128 << 10, 256 << 10, 512 << 10, 1 << 20, 2 << 20, 4 << 20];
/// Bytes of the binary header.
const BINARY: usize = 4096;
/// JSON that is read: 16 KiB are usual, and what a text means takes many times its room.
const JSON_MOST: usize = 1 << 20;
const SECOND_MAGIC: &[u8] = b"SKUL\xba\xbe";
const CHECKSUM: usize = 448;
/// Slots, tokens and segments that are looked at; cryptsetup has 32 of each at most.
const OBJECTS_MOST: usize = 64;

/// What the header that begins the volume says, or the second one where the first is damaged.
pub fn read(device: &dyn Blob) -> Result<Option<Found>> {
    let Some(start) = bytes(device, 0, BINARY as u64)? else { return Ok(None) };
    if big(&start, 256, 8) != 0 {
        return Ok(None);
    }
    if let Some(first) = whole(device, &start, 0)? {
        return Ok(Some(describe(&first, None)));
    }
    for at in SIZES {
        let Some(other) = bytes(device, at, BINARY as u64)? else { break };
        if other.starts_with(SECOND_MAGIC)
            && big(&other, 256, 8) == at
            && let Some(second) = whole(device, &other, at)?
        {
            return Ok(Some(describe(&second, Some("the first is damaged, the second is not"))));
        }
    }
    Ok(Some(describe(&start, Some("the checksum of neither is right"))))
}

/// A header with its JSON area, if the checksum is right.
fn whole(device: &dyn Blob, binary: &[u8], at: u64) -> Result<Option<Vec<u8>>> {
    let size = big(binary, 8, 8);
    if !SIZES.contains(&size) || shown(field(binary, 72, 32)) != "sha256" {
        return Ok(None);
    }
    let Some(mut all) = bytes(device, at, size)? else { return Ok(None) };
    let told = field(&all, CHECKSUM, 32).to_vec();
    put(&mut all, CHECKSUM, &[0; 64]);
    Ok((Sha256::digest(&all).as_slice() == told).then_some(all))
}

fn describe(header: &[u8], damage: Option<&str>) -> Found {
    let mut facts = vec![fact("luks.version", 2)];
    let mut found = Found {
        uuid: shown(field(header, 168, 40)),
        label: shown(field(header, 24, 48)),
        sector: 512,
        clean: damage.is_none(),
        facts: Vec::new(),
    };
    let subsystem = shown(field(header, 208, 48));
    if !subsystem.is_empty() {
        facts.push(fact("luks.subsystem", subsystem));
    }
    facts.extend(damage.map(|what| fact("luks.header", what)));
    let json = until_nul(header.get(BINARY..).unwrap_or_default());
    let json = Some(json).filter(|json| !json.is_empty() && json.len() <= JSON_MOST);
    if let Some(Value::Object(all)) = json.and_then(|json| serde_json::from_slice(json).ok()) {
        found.sector = segments(&all, &mut facts);
        facts.extend(slots(&all));
        facts.extend(tokens(&all));
        found.clean &= requirements(&all, &mut facts);
    }
    found.facts = facts;
    found
}

/// The objects in a part of the JSON area, by their numbers.
fn objects<'a>(all: &'a Map<String, Value>, part: &str) -> Vec<(u32, &'a Value)> {
    let listed = all.get(part).and_then(Value::as_object).into_iter().flatten();
    let mut listed: Vec<(u32, &Value)> =
        listed.filter_map(|(number, value)| Some((number.parse().ok()?, value))).collect();
    listed.sort_by_key(|(number, _)| *number);
    listed.truncate(OBJECTS_MOST);
    listed
}

fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key).and_then(Value::as_str).map(word)
}

/// Facts about the encrypted parts; bytes that are encrypted as one.
fn segments(all: &Map<String, Value>, facts: &mut Vec<Fact>) -> u32 {
    let segments = objects(all, "segments");
    let crypt: Vec<&Value> = segments
        .iter()
        .map(|(_, one)| *one)
        .filter(|one| text(one, "type").as_deref() == Some("crypt"))
        .collect();
    let mut ciphers: Vec<String> = crypt.iter().filter_map(|one| text(one, "encryption")).collect();
    ciphers.dedup();
    facts.push(fact("luks.cipher", ciphers.join(", ")));
    let Some(first) = crypt.first() else { return 512 };
    facts.extend(text(first, "offset").map(|offset| fact("luks.offset", offset)));
    let integrity = first.get("integrity").and_then(|integrity| text(integrity, "type"));
    facts.extend(integrity.map(|kind| fact("luks.integrity", kind)));
    let sector = first.get("sector_size").and_then(Value::as_u64);
    sector.filter(|size| matches!(size, 512 | 1024 | 2048 | 4096)).map_or(512, |size| size as u32)
}

/// What the key slots are made with.
fn slots(all: &Map<String, Value>) -> Vec<Fact> {
    let slots = objects(all, "keyslots");
    let kind = |slot: &Value| {
        slot.get("kdf").and_then(|kdf| text(kdf, "type")).or_else(|| text(slot, "type")).unwrap_or_default()
    };
    let listed: Vec<String> =
        slots.iter().map(|(number, slot)| format!("{number}: {}", kind(slot))).collect();
    let bits = slots.first().and_then(|(_, slot)| slot.get("key_size")?.as_u64()?.checked_mul(8));
    let mut facts = vec![fact("luks.key-slots", listed.join(", "))];
    facts.extend(bits.map(|bits| fact("luks.key-bits", bits)));
    facts
}

/// Who else can open the volume: a TPM, a server, a smart card.
fn tokens(all: &Map<String, Value>) -> Option<Fact> {
    let tokens = objects(all, "tokens");
    let listed: Vec<String> = tokens
        .iter()
        .map(|(number, token)| format!("{number}: {}", text(token, "type").unwrap_or_default()))
        .collect();
    (!listed.is_empty()).then(|| fact("luks.tokens", listed.join(", ")))
}

/// What a program has to know to open it; whether the encryption is not just being changed.
fn requirements(all: &Map<String, Value>, facts: &mut Vec<Fact>) -> bool {
    let listed = all
        .get("config")
        .and_then(|config| config.get("requirements")?.get("mandatory")?.as_array())
        .into_iter()
        .flatten()
        .take(OBJECTS_MOST);
    let listed: Vec<String> = listed.filter_map(|one| one.as_str().map(word)).collect();
    if !listed.is_empty() {
        facts.push(fact("luks.requirements", listed.join(", ")));
    }
    !listed.iter().any(|one| one.contains("reencrypt"))
}
