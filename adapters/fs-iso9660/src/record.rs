//! Directory records (ECMA-119, 9.1; those of High Sierra have a shorter date: illumos, `sys/fs/hsfs_spec.h`, `HDE_flags`).

use crate::descriptor::{Names, wide};
use crate::rock::Extra;
use wherry_sdk::bytes::{field, little};

/// Bytes before the name.
pub const FIXED: usize = 33;
/// Bits of the file flags (9.1.6).
const DIRECTORY: u8 = 0x02;
const ASSOCIATED: u8 = 0x04;
const MORE: u8 = 0x80;

/// One record.
#[derive(Clone, Debug)]
pub struct Record {
    /// Byte of the device where it is.
    pub at: u64,
    /// First logical block.
    pub extent: u64,
    /// Bytes.
    pub size: u64,
    /// Seconds since 1970.
    pub mtime: i64,
    flags: u8,
    /// Whether the file lies in pieces with gaps.
    pub interleaved: bool,
    name: Vec<u8>,
    /// What is behind the name: Rock Ridge's.
    pub system: Vec<u8>,
}

impl Record {
    /// The record at the beginning of `bytes`, which is at byte `at` of the device, and its length; none where there is no more in
    /// this sector, or no valid one.
    pub fn parse(bytes: &[u8], at: u64, names: Names) -> Option<(Self, usize)> {
        let length = usize::from(*bytes.first()?);
        let record = bytes.get(..length).filter(|_| length > FIXED)?;
        let name_length = usize::from(*record.get(32)?);
        let name = record.get(FIXED..FIXED + name_length)?.to_vec();
        // The name is padded to an even offset (9.1.12).
        let system = record.get(FIXED + name_length + (1 - name_length % 2)..).unwrap_or_default().to_vec();
        // High Sierra's dates are in no zone, and the flags follow at once.
        let (date, flags) = match names {
            Names::Sierra => ([field(record, 18, 6), &[0]].concat(), 24),
            _ => (field(record, 18, 7).to_vec(), 25),
        };
        let own = Self {
            at,
            // The extended attributes come before the data (9.1.2).
            extent: little(record, 2, 4) + little(record, 1, 1),
            size: little(record, 10, 4),
            mtime: time(&date),
            flags: *record.get(flags)?,
            interleaved: little(record, 26, 2) != 0,
            name,
            system,
        };
        Some((own, length))
    }

    /// Whether it is a directory's.
    pub fn is_directory(&self) -> bool {
        self.flags & DIRECTORY != 0
    }

    /// Whether the next record is of the same file.
    pub fn goes_on(&self) -> bool {
        self.flags & MORE != 0
    }

    /// Whether it is the directory itself, the one above, or a file that belongs to another.
    pub fn is_hidden(&self) -> bool {
        matches!(self.name.as_slice(), [0] | [1]) || self.flags & ASSOCIATED != 0
    }

    /// Whether it is the same file's as another's.
    pub fn continues(&self, other: &Self) -> bool {
        self.name == other.name
    }

    /// The name for people, without its version (7.5.1): Rock Ridge's, or in lower case, as Linux shows plain ones. What no path
    /// can hold becomes U+FFFD.
    pub fn shown(&self, names: Names, extra: &Extra) -> String {
        let text = match names {
            _ if !extra.name.is_empty() => String::from_utf8_lossy(&extra.name).into_owned(),
            Names::Joliet => without_version(&wide(&self.name)).to_owned(),
            Names::Enhanced => without_version(&String::from_utf8_lossy(&self.name)).to_owned(),
            Names::Plain | Names::Sierra => {
                let text = String::from_utf8_lossy(&self.name).to_lowercase();
                let text = without_version(&text);
                text.strip_suffix('.').unwrap_or(text).to_owned()
            }
        };
        let odd = text.is_empty() || matches!(text.as_str(), "." | "..");
        let odd = if odd { "\u{fffd}".to_owned() } else { text };
        odd.replace(['/', '\0'], "\u{fffd}")
    }
}

fn without_version(name: &str) -> &str {
    match name.rsplit_once(';') {
        Some((head, digits)) if digits.bytes().all(|c| c.is_ascii_digit()) => head,
        _ => name,
    }
}

/// Seconds since 1970 of the seven bytes of a date (9.1.5); zero where none is said.
pub fn time(bytes: &[u8]) -> i64 {
    let [year, month, day, hour, minute, second, zone] = bytes else { return 0 };
    let (month, day) = (i64::from(*month), i64::from(*day));
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return 0;
    }
    let year = 1900 + i64::from(*year);
    // Days by the Gregorian calendar, of years that begin in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 719_469;
    let seconds = i64::from(*hour) * 3600 + i64::from(*minute) * 60 + i64::from(*second);
    days * 86_400 + seconds - i64::from(*zone as i8) * 900
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(time(&[70, 1, 1, 0, 0, 0, 0]), 0);
        assert_eq!(time(&[124, 2, 29, 12, 34, 56, 0]), 1_709_210_096);
        assert_eq!(time(&[124, 2, 29, 14, 34, 56, 8]), 1_709_210_096);
        assert_eq!((time(&[0; 7]), time(&[1])), (0, 0));
    }
}
