//! Names: how they are stored, compared and found without case.
//!
//! Source: the Linux-NTFS documentation, "$FILE_NAME", "$UpCase"; [MS-FSCC] 2.1.5 (names), 2.6 (file attributes).

use crate::bytes::{byte_at, part, put, put_u32, put_u64, u32_at, u64_at, unit_bytes, units};
use core::cmp::Ordering;
use wherry_sdk::{Error, ErrorKind, Result};

/// Any characters but `/` and zero, and case counts.
pub const POSIX: u8 = 0;
/// A long name.
pub const WIN32: u8 = 1;
/// A short name; the file has a long one as well.
pub const DOS: u8 = 2;
/// A long name that is a short one already.
pub const BOTH: u8 = 3;

/// The name may not be changed or written to (in the file's flags).
pub const READ_ONLY: u32 = 0x0001;
/// [MS-FSCC] FILE_ATTRIBUTE_DIRECTORY; not kept in `$STANDARD_INFORMATION`.
pub const DIRECTORY: u32 = 0x0010;
/// [MS-FSCC] FILE_ATTRIBUTE_ARCHIVE.
pub const ARCHIVE: u32 = 0x0020;
/// [MS-FSCC] FILE_ATTRIBUTE_SPARSE_FILE.
pub const SPARSE: u32 = 0x0200;
/// [MS-FSCC] FILE_ATTRIBUTE_REPARSE_POINT.
pub const REPARSE: u32 = 0x0400;
/// [MS-FSCC] FILE_ATTRIBUTE_COMPRESSED.
pub const COMPRESSED: u32 = 0x0800;
/// [MS-FSCC] FILE_ATTRIBUTE_ENCRYPTED.
pub const ENCRYPTED: u32 = 0x4000;
/// A name of something that has an index of names.
pub const INDEXED: u32 = 0x1000_0000;

/// Bytes in front of the name.
const HEADER: usize = 0x42;
/// UTF-16 units of the longest name.
pub const LENGTH_MOST: usize = 255;

/// What is said of a file beside each of its names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// creation, content changed, anything changed, access: FILETIME
    pub times: [u64; 4],
    /// bytes
    pub allocated: u64,
    /// bytes
    pub size: u64,
    /// FILE_ATTRIBUTE_*
    pub flags: u32,
    /// tag of the reparse point, if it has one
    pub tag: u32,
}

/// A name in a directory, as `$FILE_NAME` and the directory's index have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileName {
    /// reference of the directory
    pub parent: u64,
    pub summary: Summary,
    pub space: u8,
    pub name: Vec<u16>,
}

impl FileName {
    /// Reads an attribute's value or an index entry's key.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let name = key_units(bytes).ok_or_else(|| {
            Error::new(ErrorKind::Corrupt, "a name in a directory is longer than its place: run chkdsk")
        })?;
        let times = [8, 16, 24, 32].map(|at| u64_at(bytes, at));
        let summary = Summary {
            times,
            allocated: u64_at(bytes, 0x28),
            size: u64_at(bytes, 0x30),
            flags: u32_at(bytes, 0x38),
            tag: u32_at(bytes, 0x3c),
        };
        Ok(Self { parent: u64_at(bytes, 0), summary, space: byte_at(bytes, 0x41), name })
    }

    /// The bytes of an attribute's value or an index entry's key.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        put_u64(&mut bytes, 0, self.parent);
        for (index, time) in self.summary.times.iter().enumerate() {
            put_u64(&mut bytes, 8 + index * 8, *time);
        }
        put_u64(&mut bytes, 0x28, self.summary.allocated);
        put_u64(&mut bytes, 0x30, self.summary.size);
        put_u32(&mut bytes, 0x38, self.summary.flags);
        put_u32(&mut bytes, 0x3c, self.summary.tag);
        put(&mut bytes, 0x40, &[self.name.len() as u8, self.space]);
        bytes.extend(unit_bytes(&self.name));
        bytes
    }

    /// The name as text.
    pub fn text(&self) -> String {
        text(&self.name)
    }
}

/// The name in a key of a directory's index; none if it is longer than the key.
pub fn key_units(key: &[u8]) -> Option<Vec<u16>> {
    let length = usize::from(byte_at(key, 0x40)) * 2;
    let name = part(key, HEADER, length);
    (name.len() == length && length > 0).then(|| units(name))
}

/// A name as text; what a path cannot hold becomes U+FFFD.
pub fn text(name: &[u16]) -> String {
    let text = String::from_utf16_lossy(name);
    if text.contains(['/', '\0']) { text.replace(['/', '\0'], "\u{fffd}") } else { text }
}

/// The volume's table of upper case letters.
pub struct Upcase(Vec<u16>);

impl Upcase {
    /// From the content of `$UpCase`: a letter for each of 65536.
    pub fn new(bytes: &[u8]) -> Self {
        Self(units(bytes))
    }

    /// One letter.
    pub fn unit(&self, unit: u16) -> u16 {
        self.0.get(usize::from(unit)).copied().unwrap_or(unit)
    }

    /// A whole name.
    pub fn name(&self, name: &[u16]) -> Vec<u16> {
        name.iter().map(|unit| self.unit(*unit)).collect()
    }

    /// The order of names without case.
    pub fn compare(&self, left: &[u16], right: &[u16]) -> Ordering {
        left.iter().map(|unit| self.unit(*unit)).cmp(right.iter().map(|unit| self.unit(*unit)))
    }

    /// The order of names in a directory: without case, and with it where names differ in nothing else.
    pub fn collate(&self, left: &[u16], right: &[u16]) -> Ordering {
        self.compare(left, right).then_with(|| left.cmp(right))
    }
}

/// Whether a name, apart from its case, is a short one: eight letters, and three behind a dot.
fn is_short(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || "!#$%&'()-@^_`{}~".contains(c);
    let (stem, extension) = name.split_once('.').unwrap_or((name, "x"));
    (1..=8).contains(&stem.len())
        && (1..=3).contains(&extension.len())
        && (stem.to_owned() + extension).chars().all(letter)
}

/// A new name and the space it belongs to; one that Windows could not open is a POSIX name.
pub fn new(name: &str) -> Result<(Vec<u16>, u8)> {
    let units: Vec<u16> = name.encode_utf16().collect();
    if units.is_empty() || units.len() > LENGTH_MOST || name.contains(['/', '\0']) {
        let message =
            format!("{name:?} cannot be a name: at most {LENGTH_MOST} characters, neither / nor zero");
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    let foreign = name.contains(|c: char| c < ' ' || "\"*:<>?\\|".contains(c)) || name.ends_with([' ', '.']);
    let space = match (foreign, is_short(name)) {
        (true, _) => POSIX,
        (_, true) => BOTH,
        _ => WIN32,
    };
    Ok((units, space))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_of_new_names() {
        let space = |name: &str| new(name).map(|(_, space)| space).ok();
        assert_eq!(space("boot.ini"), Some(BOTH));
        assert_eq!(space("NTLDR"), Some(BOTH));
        for long in ["a long name", "x.y.z", "123456789", "a.html", ".profile", "ü", "a+b"] {
            assert_eq!(space(long), Some(WIN32), "{long}");
        }
        for posix in ["a:b", "end.", "end ", "what?"] {
            assert_eq!(space(posix), Some(POSIX), "{posix}");
        }
        for none in ["", "a/b", "\0", &"x".repeat(256)] {
            assert_eq!(space(none), None, "{none}");
        }
    }
}
