//! What the host is told of an encrypted volume, in words.

use wherry_sdk::{Error, ErrorKind, Result};

/// One encrypted volume. Its words are those of `wit/volume.wit`.
pub struct Sealed {
    pub uuid: String,
    pub version: u16,
    pub label: String,
    /// The encrypted bytes, of the device.
    pub offset: u64,
    pub length: u64,
    pub cipher: String,
    pub slots: Vec<String>,
    pub digests: Vec<String>,
}

/// What the specification does not allow.
pub fn bad(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corrupt, message)
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A name that goes into a fact: printable, without blanks.
pub fn word(text: &str) -> Result<&str> {
    let plain = |c: char| c.is_ascii_graphic() && c != '=';
    if text.is_empty() || text.len() > 64 || !text.chars().all(plain) {
        return Err(bad("a name in it cannot be printed"));
    }
    Ok(text)
}

/// A uuid as it is stored: hexadecimal digits and hyphens.
pub fn uuid(text: &str) -> Result<String> {
    let plain = |c: char| c.is_ascii_hexdigit() || c == '-';
    if text.is_empty() || text.len() > 40 || !text.chars().all(plain) {
        return Err(bad("it has no readable uuid"));
    }
    Ok(text.into())
}

/// Length of whole sectors from `offset` to the device's end.
pub fn rest(offset: u64, size: u64, sector: u64) -> Result<u64> {
    let length = size.checked_sub(offset).map(|length| length - length % sector);
    length.filter(|length| *length > 0).ok_or_else(|| {
        bad(format!("its data begin at byte {offset}, beyond the device's end at byte {size}"))
    })
}
