//! Files that Microsoft's COMPRESS.EXE has packed one by one (`HALMPS.DL_`): the SZDD format, of which nothing was ever
//! published by Microsoft. Source: libmspack's description, "COMPRESS.EXE file formats: SZDD and KWAJ".
//!
//! Fourteen bytes of header (signature, mode `A`, the name's missing letter, the unpacked size), then LZSS: a byte of eight
//! flags, the lowest first, and as many items. Flag 1: a byte as it is. Flag 0: two bytes, twelve bits a place in a ring of the
//! last 4096 bytes, four bits a length, less three. The ring is full of blanks at first, and written from place 4080 on.

use wherry_sdk::{Error, ErrorKind, Result};

/// How such a file begins.
pub const SIGNATURE: &[u8] = b"SZDD\x88\xf0\x27\x33";
const HEADER: usize = 14;
const RING: usize = 4096;
const START: usize = RING - 16;

/// Unpacks a file of at most `most` bytes.
pub fn unpack(packed: &[u8], most: u64) -> Result<Vec<u8>> {
    let corrupt =
        |what: &str| Error::new(ErrorKind::Corrupt, format!("no packed file that can be read: {what}"));
    let rest = packed.strip_prefix(SIGNATURE).ok_or_else(|| corrupt("no SZDD signature"))?;
    let Some([b'A', _, size @ ..]) = rest.first_chunk::<6>() else {
        return Err(corrupt("mode other than A"));
    };
    let size = u64::from(u32::from_le_bytes(*size));
    if size > most {
        return Err(Error::new(ErrorKind::Limit, format!("{size} bytes unpacked, more than {most}")));
    }
    let bytes = lzss(packed.get(HEADER..).unwrap_or_default(), size as usize);
    if bytes.len() as u64 != size {
        return Err(corrupt(&format!("it ends after {} of {size} bytes", bytes.len())));
    }
    Ok(bytes)
}

/// The first `size` bytes; less where the items end before.
fn lzss(items: &[u8], size: usize) -> Vec<u8> {
    let (mut bytes, mut items) = (Vec::new(), items.iter().copied());
    while let Some(flags) = items.next().filter(|_| bytes.len() < size) {
        for bit in 0..8 {
            let Some(first) = items.next() else { break };
            if flags >> bit & 1 == 1 {
                bytes.push(first);
                continue;
            }
            let Some(second) = items.next() else { break };
            let place = usize::from(first) | usize::from(second & 0xf0) << 4;
            repeat(&mut bytes, place, usize::from(second & 0x0f) + 3);
        }
    }
    bytes.truncate(size);
    bytes
}

/// Adds what is at a place of the ring, which is known by how long ago it was written.
fn repeat(bytes: &mut Vec<u8>, place: usize, length: usize) {
    let ago = match (START + RING + bytes.len() - place) % RING {
        0 => RING,
        ago => ago,
    };
    for _ in 0..length {
        let byte = bytes.len().checked_sub(ago).and_then(|at| bytes.get(at).copied());
        bytes.push(byte.unwrap_or(b' '));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(size: u32, items: &[u8]) -> Vec<u8> {
        [SIGNATURE, b"Al", &size.to_le_bytes(), items].concat()
    }

    #[test]
    fn items_and_ends() {
        // Three letters, five of them again from place 4080 on, four blanks of the ring's beginning.
        let items = [0b0000_0111, b'a', b'b', b'c', 0xf0, 0xf2, 0x00, 0x01];
        assert_eq!(unpack(&file(12, &items), 100).unwrap(), b"abcabcab    ");
        assert_eq!(unpack(&file(5, &items), 100).unwrap(), b"abcab");
        assert!(unpack(&file(13, &items), 100).unwrap_err().message.contains("after 12 of 13"));
        assert!(unpack(&file(12, &items[..5]), 100).unwrap_err().message.contains("after 3 of 12"));
        assert_eq!(unpack(&file(101, &items), 100).unwrap_err().kind, ErrorKind::Limit);
        assert_eq!(unpack(&file(0, &[]), 0).unwrap(), b"");
        for odd in
            [&b"SZDD"[..], &file(1, b"")[..12], b"KWAJ\x88\xf0\x27\xd1", &[SIGNATURE, b"Bl\0\0\0\0"].concat()]
        {
            assert_eq!(unpack(odd, 100).unwrap_err().kind, ErrorKind::Corrupt);
        }
    }
}
