//! Volumes that consist mostly of equal sectors: an input is runs of sectors as seeds.sh packs them, first sector and sectors as
//! u16, then their bytes, or one byte for all where the count has its highest bit.

const SECTOR: usize = 512;
const EQUAL: u16 = 0x8000;

fn number(bytes: &mut &[u8]) -> Option<u16> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u16::from_le_bytes(*head))
}

/// A volume of so many bytes.
pub fn unpack(mut bytes: &[u8], size: usize) -> Vec<u8> {
    let mut volume = vec![0; size];
    while let (Some(first), Some(count)) = (number(&mut bytes), number(&mut bytes)) {
        let start = (usize::from(first) * SECTOR).min(size);
        let end = (start + usize::from(count & !EQUAL) * SECTOR).min(size);
        if count & EQUAL == 0 {
            let (run, rest) = bytes.split_at((end - start).min(bytes.len()));
            volume[start..][..run.len()].copy_from_slice(run);
            bytes = rest;
        } else if let Some((byte, rest)) = bytes.split_first() {
            volume[start..end].fill(*byte);
            bytes = rest;
        }
    }
    volume
}
