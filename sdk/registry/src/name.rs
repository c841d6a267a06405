//! Names of keys and values: UTF-16 as it is stored, unpaired surrogates and all, compared as Windows does.

use std::fmt;
use std::hash::{Hash, Hasher};

/// A name, at most 255 units of a key's and 16,383 of a value's.
#[derive(Clone, Debug, Default)]
pub struct Name(Vec<u16>);

/// Letters that stay as they are on Windows: those that Unicode did not know or map when Windows' table was made, and those whose
/// upper-case letter has another lower-case one. The table is that of Windows 7 (ntfs-3g writes it as `$UpCase`).
const KEPT: [std::ops::RangeInclusive<u16>; 46] = [
    0xb5..=0xb5,
    0x131..=0x131,
    0x17f..=0x17f,
    0x19b..=0x19b,
    0x1c5..=0x1c5,
    0x1c8..=0x1c8,
    0x1cb..=0x1cb,
    0x1f2..=0x1f2,
    0x23f..=0x240,
    0x252..=0x252,
    0x25c..=0x25c,
    0x261..=0x261,
    0x264..=0x266,
    0x26a..=0x26a,
    0x26c..=0x26c,
    0x282..=0x282,
    0x287..=0x287,
    0x29d..=0x29e,
    0x345..=0x345,
    0x3c2..=0x3c2,
    0x3d0..=0x3d1,
    0x3d5..=0x3d6,
    0x3f0..=0x3f1,
    0x3f3..=0x3f3,
    0x3f5..=0x3f5,
    0x525..=0x52f,
    0x10d0..=0x10ff,
    0x13f8..=0x13fd,
    0x1c80..=0x1c8a,
    0x1d8e..=0x1d8e,
    0x1e9b..=0x1e9b,
    0x1fbe..=0x1fbe,
    0x2c5f..=0x2c5f,
    0x2cec..=0x2cec,
    0x2cee..=0x2cee,
    0x2cf3..=0x2cf3,
    0x2d27..=0x2d27,
    0x2d2d..=0x2d2d,
    0xa661..=0xa661,
    0xa699..=0xa699,
    0xa69b..=0xa69b,
    0xa791..=0xa7a9,
    0xa7b5..=0xa7db,
    0xa7f6..=0xa7f6,
    0xab53..=0xab53,
    0xab70..=0xabbf,
];

/// The upper-case letter of one unit. Windows maps units one to one: what Unicode makes several letters of stays, but for Greek
/// letters with an iota, of which the title-case letter is taken.
fn upper(unit: u16) -> u16 {
    // Most are these, and quicker.
    if unit < 128 {
        return u16::from((unit as u8).to_ascii_uppercase());
    }
    match unit {
        0x1f80..=0x1f87 | 0x1f90..=0x1f97 | 0x1fa0..=0x1fa7 => return unit + 8,
        0x1fb3 | 0x1fc3 | 0x1ff3 => return unit + 9,
        _ if KEPT.iter().any(|kept| kept.contains(&unit)) => return unit,
        _ => {}
    }
    let Some(letter) = char::from_u32(unit.into()) else { return unit };
    let mut letters = letter.to_uppercase();
    match (letters.next().map(u32::from), letters.next()) {
        (Some(upper), None) => u16::try_from(upper).unwrap_or(unit),
        _ => unit,
    }
}

impl Name {
    /// As stored: a byte a letter (Latin-1, "ASCII string"), or UTF-16LE.
    pub(crate) fn stored(bytes: &[u8], compressed: bool) -> Self {
        match compressed {
            true => Self(bytes.iter().map(|byte| u16::from(*byte)).collect()),
            false => Self(bytes.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect()),
        }
    }

    /// The way it is stored: its bytes, and whether they are a byte a letter.
    pub(crate) fn store(&self) -> (Vec<u8>, bool) {
        match self.0.iter().all(|unit| *unit < 256) {
            true => (self.0.iter().map(|unit| *unit as u8).collect(), true),
            false => (self.0.iter().flat_map(|unit| unit.to_le_bytes()).collect(), false),
        }
    }

    /// Its units.
    pub fn units(&self) -> &[u16] {
        &self.0
    }

    /// Whether it has no letters: a key's default value.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn uppercase(&self) -> impl Iterator<Item = u16> {
        self.0.iter().map(|unit| upper(*unit))
    }

    /// "Hash leaf", note.
    pub(crate) fn hash_of_leaf(&self) -> u32 {
        self.uppercase().fold(0, |hash: u32, unit| hash.wrapping_mul(37).wrapping_add(unit.into()))
    }

    /// "Fast leaf": the first four letters, where all of them are bytes.
    pub(crate) fn hint(&self) -> [u8; 4] {
        let mut hint = [0; 4];
        if self.0.iter().take(4).all(|unit| *unit < 256) {
            hint.iter_mut().zip(&self.0).for_each(|(to, unit)| *to = *unit as u8);
        }
        hint
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Self(text.encode_utf16().collect())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        char::decode_utf16(self.0.iter().copied())
            .try_for_each(|letter| write!(f, "{}", letter.unwrap_or(char::REPLACEMENT_CHARACTER)))
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.uppercase().eq(other.uppercase())
    }
}
impl Eq for Name {}
impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
/// The order of subkeys in their lists.
impl Ord for Name {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.uppercase().cmp(other.uppercase())
    }
}
impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.uppercase().for_each(|unit| unit.hash(state));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_equal_whatever_their_case() {
        let name = |text: &str| Name::from(text);
        assert_eq!(name("ControlSet001"), name("CONTROLSET001"));
        assert_eq!(name("Größe"), name("GRÖßE"));
        assert_ne!(name("Größe"), name("GRÖSSE"));
        assert!(name("a") < name("B") && name("_") > name("Z") && name("a") < name("aa"));
        assert_eq!(Name::stored(b"Caf\xe9", true), name("CAFÉ"));
        assert_eq!(Name::stored(&[0x00, 0xd8, b'a', 0], false).units(), [0xd800, 97]);
        assert_eq!(Name::stored(&[0x00, 0xd8], false).to_string(), "\u{fffd}");
        // Worked out by hand: 37 * 'A' + 'B'.
        assert_eq!(name("ab").hash_of_leaf(), 37 * 65 + 66);
        assert_eq!((name("abc").hint(), name("añŁ").hint()), (*b"abc\0", [0; 4]));
    }

    #[test]
    fn letters_are_those_of_windows_7() {
        let folder = tempfile::tempdir().expect("a folder");
        let image = folder.path().join("image");
        std::fs::File::create(&image).and_then(|file| file.set_len(8 << 20)).expect("an image");
        let run = |program: &str, arguments: &[&str]| {
            let done = std::process::Command::new(program).args(arguments).arg(&image).output();
            done.expect("Debian's ntfs-3g is installed").stdout
        };
        run("/usr/sbin/mkntfs", &["-q", "-F"]);
        let table = run("/usr/bin/ntfscat", &["-f", "-i", "10"]);
        assert_eq!(table.len(), 2 << 16);
        let windows =
            |unit: u16| u16::from_le_bytes([table[2 * unit as usize], table[2 * unit as usize + 1]]);
        let differing: Vec<u16> = (0..=u16::MAX).filter(|unit| upper(*unit) != windows(*unit)).collect();
        assert!(differing.is_empty(), "{differing:04x?}");
    }
}
