//! Long names in UTF-16 and short names in 8.3 (fatgen103, "FAT Long Directory Entries"; Linux's `fs/fat/namei_vfat.c`).

use std::collections::BTreeSet;
use wherry_sdk::{Error, ErrorKind, Result};

/// The upper half of code page 437, which Linux and mtools take when nothing else is said.
const CP437: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";
/// UTF-16 units of a long name.
const UNITS_MOST: usize = 255;
/// UTF-16 units in one slot.
pub const UNITS_PER_SLOT: usize = 13;
/// Numbers tried behind the tilde.
const TAILS_MOST: u32 = 999_999;

/// The 11 bytes of a short name.
pub type Short = [u8; 11];

fn decoded(byte: u8) -> char {
    match byte {
        b'/' | 0..0x20 => '\u{fffd}',
        0x20..0x7f => char::from(byte),
        0x7f => '\u{fffd}',
        _ => CP437.chars().nth(usize::from(byte) - 0x80).unwrap_or('\u{fffd}'),
    }
}

/// A volume label; none where it is blank or says that there is none.
pub fn label(bytes: &[u8]) -> Option<String> {
    let text: String = bytes.iter().map(|byte| decoded(*byte)).collect();
    Some(text.trim_end_matches(' ').to_string()).filter(|text| !text.is_empty() && text != "NO NAME")
}

/// A short name as it is shown: 05 in the first byte stands for E5; `flags` says which parts are lower case (bits 3
/// and 4 of the byte that NT reserved).
pub fn shown(short: &Short, flags: u64) -> String {
    let text = |bytes: &[u8], lower: bool| -> String {
        let text: String = bytes.iter().map(|byte| decoded(*byte)).collect();
        let text = text.trim_end_matches(' ');
        if lower { text.to_lowercase() } else { text.into() }
    };
    let mut bytes = *short;
    if let [first @ 0x05, ..] = &mut bytes {
        *first = 0xe5;
    }
    let (base, extension) = bytes.split_at(8);
    let (base, extension) = (text(base, flags & 0x08 != 0), text(extension, flags & 0x10 != 0));
    match (base.is_empty(), extension.is_empty()) {
        // Blanks alone: no path can name it.
        (true, true) => "\u{fffd}".into(),
        (false, true) => base,
        _ => format!("{base}.{extension}"),
    }
}

/// A long name's units as text; none where no path could name it.
pub fn long(units: &[u16]) -> Option<String> {
    let units = units.split(|unit| *unit == 0).next().unwrap_or_default();
    let text = String::from_utf16_lossy(units).replace(|c: char| c == '/' || c.is_control(), "\u{fffd}");
    Some(text).filter(|text| !text.is_empty() && text != "." && text != "..")
}

/// What names are compared by: case does not count.
pub fn folded(name: &str) -> String {
    name.chars().flat_map(char::to_uppercase).collect()
}

/// The checksum of a short name that each slot of its long name bears.
pub fn checksum(short: &Short) -> u8 {
    short.iter().fold(0, |sum: u8, byte| sum.rotate_right(1).wrapping_add(*byte))
}

/// Whether FAT can hold this name.
pub fn check(name: &str) -> Result<()> {
    let refuse = |why: &str| {
        Err(Error::new(ErrorKind::InvalidInput, format!("`{name}` cannot be a name on FAT: {why}")))
    };
    if name.is_empty() || name.encode_utf16().count() > UNITS_MOST {
        return refuse("it is empty or longer than 255");
    }
    if name.chars().any(|c| c.is_control() || "\"*/:<>?\\|\u{fffd}".contains(c)) {
        return refuse("it has one of the characters \" * / : < > ? \\ | or a control character");
    }
    if name.ends_with(['.', ' ']) {
        return refuse("it ends with a dot or a blank");
    }
    Ok(())
}

fn is_plain(c: char) -> bool {
    c.is_ascii_uppercase() || c.is_ascii_digit() || "$%'-_@~`!(){}^#&".contains(c)
}

/// A short name for `name` that is not in `taken`, and whether a long name is needed besides.
pub fn short(name: &str, taken: &BTreeSet<Short>) -> Result<(Short, bool)> {
    let trimmed = name.trim_start_matches('.');
    let (base, extension) = trimmed.rsplit_once('.').unwrap_or((trimmed, ""));
    let (base, extension) = (reduced(base), reduced(extension));
    let whole = packed(&base, &extension);
    if shown(&whole, 0) == name && base.chars().chain(extension.chars()).all(is_plain) {
        // Nothing else has this name: the caller has looked.
        return Ok((whole, false));
    }
    let fits = base.len() <= 8 && extension.len() <= 3 && !base.is_empty();
    if fits && shown(&whole, 0) == folded(name) && !taken.contains(&whole) {
        return Ok((whole, true));
    }
    for number in 1..=TAILS_MOST {
        let tail = format!("~{number}");
        let kept: String = base.chars().take(8 - tail.len()).collect();
        let candidate = packed(&(kept + &tail), &extension);
        if !taken.contains(&candidate) {
            return Ok((candidate, true));
        }
    }
    Err(Error::new(ErrorKind::NoSpace, format!("no short name is left for `{name}`")))
}

/// Upper case, without blanks and dots; what a short name cannot hold becomes an underscore.
fn reduced(part: &str) -> String {
    let kept = part.chars().filter(|c| !" .".contains(*c));
    kept.map(|c| c.to_ascii_uppercase()).map(|c| if is_plain(c) { c } else { '_' }).collect()
}

/// Cut to 8 and 3 bytes; both parts are ASCII.
fn packed(base: &str, extension: &str) -> Short {
    let mut short = [b' '; 11];
    let (front, back) = short.split_at_mut(8);
    front.iter_mut().zip(base.bytes()).for_each(|(place, byte)| *place = byte);
    back.iter_mut().zip(extension.bytes()).for_each(|(place, byte)| *place = byte);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_as_windows_makes_them() {
        let mut taken = BTreeSet::new();
        for (name, expected, long) in [
            ("README.TXT", "README  TXT", false),
            ("readme.txt", "README~1TXT", true),
            ("Makefile", "MAKEFILE   ", true),
            ("grub.cfg", "GRUB    CFG", true),
            ("long file name.text", "LONGFI~1TEX", true),
            ("long file names.text", "LONGFI~2TEX", true),
            (".bashrc", "BASHRC~1   ", true),
            ("a.tar.gz", "ATAR~1  GZ ", true),
            ("grün.é", "GR_N~1  _  ", true),
            ("...x", "X~1        ", true),
            ("日本", "__~1       ", true),
            ("A+B", "A_B~1      ", true),
        ] {
            let (short, needs_long) = short(name, &taken).unwrap();
            assert_eq!((std::str::from_utf8(&short).unwrap(), needs_long), (expected, long), "{name}");
            taken.insert(short);
        }
    }

    #[test]
    fn shown_with_case_and_code_page() {
        assert_eq!(shown(b"README  TXT", 0), "README.TXT");
        assert_eq!(shown(b"README  TXT", 0x18), "readme.txt");
        assert_eq!(shown(b"README  TXT", 0x08), "readme.TXT");
        assert_eq!(shown(b"\x05BC        ", 0), "σBC");
        assert_eq!(shown(b"A/B        ", 0), "A\u{fffd}B");
        assert_eq!(CP437.chars().count(), 128);
    }
}
