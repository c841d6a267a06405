//! What values hold, as numbers and texts, and the other way.

use crate::bytes::number as little;

/// Text with the NUL that ends it: the data of [`Kind::SZ`](crate::Kind::SZ) and `EXPAND_SZ`.
pub fn sz(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

/// Texts and the empty one that ends them: the data of [`Kind::MULTI_SZ`](crate::Kind::MULTI_SZ).
pub fn multi_sz<T: AsRef<str>>(texts: &[T]) -> Vec<u8> {
    let mut bytes: Vec<u8> = texts.iter().flat_map(|text| sz(text.as_ref())).collect();
    bytes.extend([0, 0]);
    bytes
}

/// The data of [`Kind::DWORD`](crate::Kind::DWORD).
pub fn dword(number: u32) -> Vec<u8> {
    number.to_le_bytes().to_vec()
}

/// The data of [`Kind::QWORD`](crate::Kind::QWORD).
pub fn qword(number: u64) -> Vec<u8> {
    number.to_le_bytes().to_vec()
}

fn units(data: &[u8]) -> Vec<u16> {
    data.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect()
}

/// Text up to its NUL, or as far as it goes where it has none; what is no UTF-16 becomes U+FFFD.
pub fn text(data: &[u8]) -> String {
    let units = units(data);
    let text = units.split(|unit| *unit == 0).next().unwrap_or_default();
    String::from_utf16_lossy(text)
}

/// Texts up to the empty one that ends them.
pub fn texts(data: &[u8]) -> Vec<String> {
    let units = units(data);
    let texts = units.split(|unit| *unit == 0).take_while(|text| !text.is_empty());
    texts.map(String::from_utf16_lossy).collect()
}

/// A number of 4 or 8 bytes; none of any other length.
pub fn number(data: &[u8]) -> Option<u64> {
    matches!(data.len(), 4 | 8).then(|| little(data, 0, 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_numbers_are_found_again() {
        assert_eq!(
            (text(&sz("Größe 𝄞")), text(b"a\0b\0"), text(b"")),
            ("Größe 𝄞".into(), "ab".into(), "".into())
        );
        assert_eq!((sz("a"), sz("")), (vec![97, 0, 0, 0], vec![0, 0]));
        assert_eq!(texts(&multi_sz(&["a", "bc"])), ["a", "bc"]);
        assert_eq!((multi_sz::<&str>(&[]), texts(&[0, 0]).len(), texts(b"a\0").len()), (vec![0, 0], 0, 1));
        assert_eq!(
            (number(&dword(7)), number(&qword(1 << 40)), number(&[1, 2])),
            (Some(7), Some(1 << 40), None)
        );
    }
}
