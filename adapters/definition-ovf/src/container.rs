//! The members of a tar file. POSIX.1-2017, pax: "ustar Interchange Format" and "pax Header Block"; GNU tar manual,
//! "Basic Tar Format" for numbers in base 256 and long names.

use wherry_sdk::bytes::{field, text};
use wherry_sdk::{Blob, Error, ErrorKind, Range, Result};

const BLOCK: u64 = 512;
/// An appliance has a handful; thousands are an attack.
const MEMBERS_MOST: usize = 4096;
/// A long name or a pax header; a real one has some hundred bytes.
const EXTENSION_MOST: u64 = 64 << 10;
const NAME: usize = 0;
const SIZE: usize = 124;
const CHECKSUM: usize = 148;
const TYPE: usize = 156;
const MAGIC: usize = 257;
const PREFIX: usize = 345;

/// One member.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// As the container has it, without `./` at its beginning: not to be trusted.
    pub name: String,
    /// Its bytes in the container.
    pub range: Range,
    /// Whether it is an ordinary file, not a link, device or directory.
    pub regular: bool,
}

/// What extension headers say of the member behind them.
#[derive(Default)]
struct Extension {
    name: Option<String>,
    size: Option<u64>,
    sparse: bool,
}

/// All members in order. Ends at a block of zeroes or at the end of the file.
pub fn entries(file: &dyn Blob) -> Result<Vec<Entry>> {
    let (mut list, mut at, size) = (Vec::new(), 0u64, file.size());
    let mut extension = Extension::default();
    while size.saturating_sub(at) >= BLOCK {
        let header = file.read(at, BLOCK as u32)?;
        if header.iter().all(|byte| *byte == 0) {
            break;
        }
        check(&header, at)?;
        let stored = number(field(&header, SIZE, 12)).ok_or_else(|| odd(at, "has no size"))?;
        let kind = header.get(TYPE).copied().unwrap_or_default();
        let regular = matches!(kind, 0 | b'0' | b'7');
        let length = match kind {
            b'x' | b'g' | b'L' | b'K' => stored,
            // POSIX: the size of a link, device or directory says nothing of bytes behind it.
            b'1'..=b'6' => 0,
            _ => extension.size.take().unwrap_or(stored),
        };
        let data = at + BLOCK;
        let next = length.checked_next_multiple_of(BLOCK).and_then(|padded| data.checked_add(padded));
        let end = data.checked_add(length).filter(|end| *end <= size);
        let (Some(next), Some(_)) = (next, end) else {
            return Err(odd(at, &format!("ends behind the container's {size} bytes: it is cut off")));
        };
        match kind {
            b'x' => pax(&body(file, data, length)?, &mut extension).map_err(|what| odd(at, what))?,
            b'L' => extension.name = Some(text(&body(file, data, length)?)),
            b'g' | b'K' => {}
            _ => {
                if std::mem::take(&mut extension.sparse) || kind == b'S' {
                    return Err(Error {
                        at: Some(at),
                        ..Error::unsupported("a sparse member; pack it again without")
                    });
                }
                let name = extension.name.take().unwrap_or_else(|| name(&header));
                let name = name.strip_prefix("./").unwrap_or(&name).to_owned();
                list.push(Entry { name, range: Range { offset: data, length }, regular });
                extension = Extension::default();
            }
        }
        if list.len() > MEMBERS_MOST {
            return Err(Error::new(ErrorKind::Limit, format!("more than {MEMBERS_MOST} members")));
        }
        at = next;
    }
    Ok(list)
}

fn odd(at: u64, what: &str) -> Error {
    Error::corrupt(at, format!("a member of the container {what}"))
}

fn body(file: &dyn Blob, data: u64, length: u64) -> Result<Vec<u8>> {
    if length > EXTENSION_MOST {
        return Err(odd(data, &format!("has an extension header of {length} bytes")));
    }
    file.read(data, length as u32)
}

/// The sum of all bytes with the checksum itself as spaces; some old writers summed signed bytes.
fn check(header: &[u8], at: u64) -> Result<()> {
    let said = number(field(header, CHECKSUM, 8));
    let bytes = || header.iter().enumerate();
    let blank = |position: usize| (CHECKSUM..CHECKSUM + 8).contains(&position);
    let sum: u64 = bytes().map(|(n, byte)| u64::from(if blank(n) { b' ' } else { *byte })).sum();
    let signed: i64 = bytes().map(|(n, byte)| i64::from(if blank(n) { 32 } else { *byte as i8 })).sum();
    if said == Some(sum) || said.and_then(|said| i64::try_from(said).ok()) == Some(signed) {
        return Ok(());
    }
    let next = if at == 0 { "this is no tar file" } else { "the container is damaged" };
    Err(odd(at, &format!("has a wrong checksum: {next}")))
}

/// Octal digits with blanks around them, or base 256 where the first bit is set.
fn number(bytes: &[u8]) -> Option<u64> {
    match bytes.split_first()? {
        (first, rest) if first & 0x80 != 0 => {
            let start = u64::from(first & 0x7f);
            rest.iter().try_fold(start, |value, byte| value.checked_mul(256)?.checked_add(u64::from(*byte)))
        }
        _ => {
            let text = std::str::from_utf8(bytes).ok()?;
            let digits = text.trim_matches(['\0', ' ']);
            if digits.is_empty() { Some(0) } else { u64::from_str_radix(digits, 8).ok() }
        }
    }
}

fn name(header: &[u8]) -> String {
    let name = text(field(header, NAME, 100));
    // GNU's older format has other things where ustar has the prefix.
    let ustar = field(header, MAGIC, 6) == b"ustar\0";
    match text(field(header, PREFIX, 155)) {
        prefix if ustar && !prefix.is_empty() => format!("{prefix}/{name}"),
        _ => name,
    }
}

/// Records `LENGTH KEY=VALUE\n`, the length that of the whole record.
fn pax(mut bytes: &[u8], extension: &mut Extension) -> std::result::Result<(), &'static str> {
    const BROKEN: &str = "has a broken extension header";
    while !bytes.is_empty() {
        let blank = bytes.iter().position(|byte| *byte == b' ').ok_or(BROKEN)?;
        let length = bytes.get(..blank).and_then(|digits| std::str::from_utf8(digits).ok()).ok_or(BROKEN)?;
        let length: usize = length.parse().map_err(|_| BROKEN)?;
        let record =
            bytes.get(blank + 1..length).and_then(|record| record.strip_suffix(b"\n")).ok_or(BROKEN)?;
        let record = std::str::from_utf8(record).map_err(|_| BROKEN)?;
        let (key, value) = record.split_once('=').ok_or(BROKEN)?;
        match key {
            "path" => extension.name = Some(value.to_owned()),
            "size" => extension.size = Some(value.parse().map_err(|_| BROKEN)?),
            key if key.starts_with("GNU.sparse.") => extension.sparse = true,
            _ => {}
        }
        bytes = bytes.get(length..).ok_or(BROKEN)?;
    }
    Ok(())
}
