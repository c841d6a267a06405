//! What begins a volume, whichever version it is of.

use crate::{first, second};
use wherry_sdk::bytes::{be16_at, until_nul};
use wherry_sdk::{Blob, Fact, READ_MOST, Result};

/// What both versions begin with.
const MAGIC: &[u8] = b"LUKS\xba\xbe";
/// Characters of one word of the header that are shown.
const WORD_MOST: usize = 80;

/// What a header says.
#[derive(Clone, Debug)]
pub struct Found {
    /// As it is written there; empty where it is not.
    pub uuid: String,
    /// The same.
    pub label: String,
    /// Bytes that are encrypted as one.
    pub sector: u32,
    /// Whether nothing is under way and no header damaged.
    pub clean: bool,
    /// Facts for people.
    pub facts: Vec<Fact>,
}

/// What the header of a volume says; none if LUKS does not begin here.
pub fn read(device: &dyn Blob) -> Result<Option<Found>> {
    if device.size() < first::LENGTH as u64 {
        return Ok(None);
    }
    let bytes = device.read(0, first::LENGTH as u32)?;
    if !bytes.starts_with(MAGIC) {
        return Ok(None);
    }
    match be16_at(&bytes, MAGIC.len()) {
        1 => Ok(Some(first::read(&bytes))),
        2 => second::read(device),
        _ => Ok(None),
    }
}

/// Text of the header up to the first zero, fit to be shown.
pub fn shown(bytes: &[u8]) -> String {
    word(&String::from_utf8_lossy(until_nul(bytes)))
}

/// Text, fit to be shown.
pub fn word(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(WORD_MOST).collect()
}

/// Bytes of the device in as many pieces as it takes; none where there are fewer.
pub fn bytes(device: &dyn Blob, at: u64, length: u64) -> Result<Option<Vec<u8>>> {
    let Some(end) = at.checked_add(length).filter(|end| *end <= device.size()) else { return Ok(None) };
    let (mut all, mut from) = (Vec::new(), at);
    while from < end {
        let piece = (end - from).min(u64::from(READ_MOST));
        all.extend(device.read(from, piece as u32)?);
        from += piece;
    }
    Ok(Some(all))
}
