//! Files inside a cpio archive in the portable format (magic 070707; cpio(5), POSIX.1-1990 10.1.2), which is the one that illumos'
//! kernel reads (bootrd_cpio.c). The kernel takes the first file of a name, so one that is appended would not be seen: content
//! is replaced where it is, and ends in empty lines so that the sizes stay.

use crate::hsfs::Read;
use wherry_sdk::{Error, Patch, Result};

/// Bytes of a header without the name.
const HEADER: u64 = 76;
const MAGIC: &[u8] = b"070707";
/// Bytes of the longest name that is compared.
const NAME_MOST: u64 = 1024;
/// Files that are looked at.
const FILES: usize = 100_000;
const END: &[u8] = b"TRAILER!!!";

/// A number in octal digits.
fn octal(bytes: Option<&[u8]>) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(bytes?).ok()?, 8).ok()
}

/// The file's content of at most `most` bytes, and what has to be written so that it is the new one; nothing where it is. It is for files
/// of lines, in which empty ones mean nothing.
pub fn replace(
    read: &Read<'_>,
    size: u64,
    path: &str,
    content: &[u8],
    most: u64,
) -> Result<(Vec<u8>, Vec<Patch>)> {
    let (start, length) = find(read, size, path)?;
    if length > most || (content.len() as u64) > length {
        let message = format!("{path} has {length} bytes in the archive, which is too little or too much");
        return Err(Error::unsupported(message));
    }
    let mut old = Vec::new();
    while (old.len() as u64) < length {
        let done = old.len() as u64;
        old.extend(read(start + done, (length - done).min(64 << 10))?);
    }
    let mut new = content.to_vec();
    new.resize(old.len(), b'\n');
    let patches = if new == old { Vec::new() } else { vec![Patch { offset: start, bytes: new }] };
    Ok((old, patches))
}

/// Where the content of a file is, and how long.
fn find(read: &Read<'_>, size: u64, path: &str) -> Result<(u64, u64)> {
    let mut at = 0_u64;
    for _ in 0..FILES {
        let corrupt = || Error::corrupt(at, "the archive has no header here");
        let rest = size.checked_sub(at).filter(|rest| *rest >= HEADER).ok_or_else(corrupt)?;
        let bytes = read(at, rest.min(HEADER + NAME_MOST))?;
        if !bytes.starts_with(MAGIC) {
            return Err(corrupt());
        }
        let named = octal(bytes.get(59..65)).ok_or_else(corrupt)?;
        let length = octal(bytes.get(65..76)).ok_or_else(corrupt)?;
        let name = bytes.get(HEADER as usize..).unwrap_or_default();
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        if name == END {
            break;
        }
        let start = at.checked_add(HEADER + named).ok_or_else(corrupt)?;
        let end = start.checked_add(length).filter(|end| *end <= size).ok_or_else(corrupt)?;
        if name == path.as_bytes() {
            return Ok((start, length));
        }
        at = end;
    }
    Err(Error::unsupported(format!("{path} is not in the archive")))
}
