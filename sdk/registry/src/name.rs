//! Names of keys and values: UTF-16 as it is stored, unpaired surrogates and all, compared as Windows does.

use std::fmt;
use std::hash::{Hash, Hasher};

/// A name, at most 255 units of a key's and 16,383 of a value's.
#[derive(Clone, Debug, Default)]
pub struct Name(Vec<u16>);

/// The upper-case letter of one unit. Windows maps units one to one: what Unicode makes several letters of stays.
fn upper(unit: u16) -> u16 {
    // Most are these, and quicker.
    if unit < 128 {
        return u16::from((unit as u8).to_ascii_uppercase());
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
}
