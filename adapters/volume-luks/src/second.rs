//! LUKS2: two copies of a binary header of 4 KiB with JSON behind it; of those whose checksum is right the newer one counts.

use crate::first::MAGIC;
use crate::sealed::{Sealed, bad, hex, rest, uuid, word};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest, Sha256};
use wherry_sdk::bytes::{be16_at, big, field, text};
use wherry_sdk::{Blob, Error, READ_MOST, Result};

const SECOND_MAGIC: &[u8] = b"SKUL\xba\xbe";
const BINARY: usize = 4096;
/// Where the second copy may be, which is how long the first one is.
const LENGTHS: [u64; 9] =
    [16 << 10, 32 << 10, 64 << 10, 128 << 10, 256 << 10, 512 << 10, 1 << 20, 2 << 20, 4 << 20];
/// More than the headers of this size have.
const SLOTS_MOST: usize = 32;

/// The header, if there is one of version 2.
pub fn read(device: &dyn Blob) -> Result<Option<Sealed>> {
    if device.size() < BINARY as u64 {
        return Ok(None);
    }
    let mut trouble = None;
    let mut copies = Vec::new();
    match copy(device, 0, MAGIC) {
        Ok(found) => copies.extend(found),
        Err(e) => trouble = Some(e),
    }
    // Where the first one is right, it says where the second one is.
    let places: Vec<u64> = match copies.first() {
        Some(first) => vec![first.length],
        None if trouble.is_some() => LENGTHS.to_vec(),
        None => return Ok(None),
    };
    for place in places {
        copies.extend(copy(device, place, SECOND_MAGIC).ok().flatten());
    }
    match copies.into_iter().max_by_key(|copy| copy.sequence) {
        Some(newest) => newest.sealed(device.size()).map(Some),
        None => trouble.map_or(Ok(None), Err),
    }
}

/// A copy whose checksum is right.
struct Copy {
    length: u64,
    sequence: u64,
    uuid: String,
    label: String,
    json: Value,
}

fn copy(device: &dyn Blob, at: u64, magic: &[u8]) -> Result<Option<Copy>> {
    if at.saturating_add(BINARY as u64) > device.size() {
        return Ok(None);
    }
    let mut bytes = device.read(at, BINARY as u32)?;
    if !bytes.starts_with(magic) || be16_at(&bytes, 6) != 2 {
        return Ok(None);
    }
    let length = big(&bytes, 8, 8);
    if !LENGTHS.contains(&length) || big(&bytes, 256, 8) != at || at.saturating_add(length) > device.size() {
        return Err(bad("its length or its place makes no sense"));
    }
    let mut next = BINARY as u64;
    while next < length {
        let piece = (length - next).min(u64::from(READ_MOST));
        bytes.extend(device.read(at + next, piece as u32)?);
        next += piece;
    }
    if field(&bytes, 72, 7) != b"sha256\0" {
        return Err(Error::unsupported("its checksum is not of sha256"));
    }
    let told = field(&bytes, 448, 32).to_vec();
    if let Some(place) = bytes.get_mut(448..512) {
        place.fill(0);
    }
    if Sha256::digest(&bytes).as_slice() != told {
        return Err(Error::corrupt(at, "its checksum is wrong"));
    }
    let json = wherry_sdk::bytes::until_nul(bytes.get(BINARY..).unwrap_or_default());
    let json = serde_json::from_slice(json).map_err(|e| bad(format!("its JSON cannot be read: {e}")))?;
    Ok(Some(Copy {
        length,
        sequence: big(&bytes, 16, 8),
        uuid: uuid(&text(field(&bytes, 168, 40)))?,
        label: text(field(&bytes, 24, 48)).chars().filter(|c| !c.is_control()).collect(),
        json,
    }))
}

/// A value of an object, by the names that lead to it.
fn at<'a>(value: &'a Value, path: &[&str]) -> Result<&'a Value> {
    let found = path.iter().try_fold(value, |value, name| value.get(name));
    found.ok_or_else(|| bad(format!("its JSON has no {}", path.join("."))))
}

fn string<'a>(value: &'a Value, path: &[&str]) -> Result<&'a str> {
    at(value, path)?.as_str().ok_or_else(|| bad(format!("{} is no string", path.join("."))))
}

/// A number; those of 64 bits are strings.
fn number(value: &Value, path: &[&str]) -> Result<u64> {
    let found = at(value, path)?;
    let number = found.as_u64().or_else(|| found.as_str()?.parse().ok());
    number.ok_or_else(|| bad(format!("{} is no number", path.join("."))))
}

fn bytes(value: &Value, path: &[&str]) -> Result<String> {
    let bytes = STANDARD.decode(string(value, path)?);
    let bytes = bytes.ok().filter(|bytes| bytes.len() <= 1024);
    bytes.map(|bytes| hex(&bytes)).ok_or_else(|| bad(format!("{} is not in base64", path.join("."))))
}

fn objects<'a>(value: &'a Value, name: &str) -> Result<Vec<(&'a str, &'a Value)>> {
    let object = at(value, &[name])?.as_object().ok_or_else(|| bad(format!("{name} is no object")))?;
    if object.len() > SLOTS_MOST {
        return Err(bad(format!("{name} has {} members", object.len())));
    }
    Ok(object.iter().map(|(id, value)| (id.as_str(), value)).collect())
}

impl Copy {
    fn sealed(&self, size: u64) -> Result<Sealed> {
        let mandatory =
            at(&self.json, &["config", "requirements", "mandatory"]).ok().and_then(Value::as_array);
        if let Some(needs) = mandatory.filter(|needs| !needs.is_empty()) {
            let names: Vec<&str> = needs.iter().filter_map(Value::as_str).take(8).collect();
            return Err(Error::unsupported(format!(
                "it requires {}: let the encryption or its change finish on the source",
                word(&names.join(",")).unwrap_or("what is unknown")
            )));
        }
        let segments = objects(&self.json, "segments")?;
        let [(id, segment)] = segments.as_slice() else {
            return Err(Error::unsupported(format!(
                "it has {} segments, it is being encrypted anew",
                segments.len()
            )));
        };
        if string(segment, &["type"])? != "crypt" || segment.get("integrity").is_some() {
            return Err(Error::unsupported("its segment is of another type, or has checksums (integrity)"));
        }
        let sector = number(segment, &["sector_size"])?;
        if ![512, 1024, 2048, 4096].contains(&sector) {
            return Err(bad(format!("sectors of {sector} bytes make no sense")));
        }
        let offset = number(segment, &["offset"])?;
        // Both copies of the header are before the data.
        if offset < 2 * self.length {
            return Err(Error::unsupported("its data are on another device (a detached header)"));
        }
        let length = match string(segment, &["size"])? {
            "dynamic" => rest(offset, size, sector)?,
            _ => number(segment, &["size"])?,
        };
        let inside = offset.checked_add(length).is_some_and(|end| end <= size);
        if length == 0 || !inside || !length.is_multiple_of(sector) || !offset.is_multiple_of(512) {
            return Err(bad(format!(
                "its data, {length} bytes from byte {offset} on, do not fit the device"
            )));
        }
        let (mut digests, mut ids, mut key) = (Vec::new(), Vec::new(), None);
        for (_, digest) in objects(&self.json, "digests")? {
            let is_own = |list: &Value| {
                list.as_array().is_some_and(|ids| ids.iter().any(|one| one.as_str() == Some(id)))
            };
            if at(digest, &["segments"]).is_ok_and(is_own) {
                ids.extend(
                    at(digest, &["keyslots"])?.as_array().into_iter().flatten().filter_map(Value::as_str),
                );
                digests.push(described(digest)?);
            }
        }
        let mut slots = Vec::new();
        for (id, slot) in objects(&self.json, "keyslots")? {
            // Others hold keys of something else, which may be of another length.
            if string(slot, &["type"])? == "luks2" && ids.contains(&id) {
                key = Some(number(slot, &["key_size"])?);
                slots.push(keyslot(id, slot)?);
            }
        }
        let key = key.ok_or_else(|| bad("it has no key slot"))?;
        let name = word(string(segment, &["encryption"])?)?;
        Ok(Sealed {
            uuid: self.uuid.clone(),
            version: 2,
            label: self.label.clone(),
            offset,
            length,
            cipher: format!(
                "name={name} key={key} sector={sector} first={}",
                number(segment, &["iv_tweak"])?
            ),
            slots,
            digests,
        })
    }
}

fn described(digest: &Value) -> Result<String> {
    let slots = at(digest, &["keyslots"])?.as_array().cloned().unwrap_or_default();
    let slots: Vec<String> =
        slots.iter().filter_map(|id| id.as_str()?.parse::<u32>().ok()).map(|id| id.to_string()).collect();
    if string(digest, &["type"])? != "pbkdf2" {
        return Err(Error::unsupported("its digest is not of pbkdf2"));
    }
    Ok(format!(
        "slots={} hash={} iterations={} salt={} value={}",
        slots.join(","),
        word(string(digest, &["hash"])?)?,
        number(digest, &["iterations"])?,
        bytes(digest, &["salt"])?,
        bytes(digest, &["digest"])?
    ))
}

fn keyslot(id: &str, slot: &Value) -> Result<String> {
    let id: u32 = id.parse().map_err(|_| bad("a key slot has no number"))?;
    let kdf = at(slot, &["kdf"])?;
    let way = match string(kdf, &["type"])? {
        "pbkdf2" => format!(
            "pbkdf2 hash={} iterations={}",
            word(string(kdf, &["hash"])?)?,
            number(kdf, &["iterations"])?
        ),
        argon => format!(
            "{} passes={} memory={} lanes={}",
            word(argon)?,
            number(kdf, &["time"])?,
            number(kdf, &["memory"])?,
            number(kdf, &["cpus"])?
        ),
    };
    Ok(format!(
        "id={id} way={way} salt={} cipher={} key={} offset={} stripes={} split={}",
        bytes(kdf, &["salt"])?,
        word(string(slot, &["area", "encryption"])?)?,
        number(slot, &["area", "key_size"])?,
        number(slot, &["area", "offset"])?,
        number(slot, &["af", "stripes"])?,
        word(string(slot, &["af", "hash"])?)?
    ))
}
