//! A disk image that is half full: data that shrinks, data that does not, stored zeroes; and holes in between.

use anyhow::Result;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

const MIB: usize = 1 << 20;
/// Data and holes take turns by this many MiB.
const STRETCH: u64 = 16;
/// An alphabet of 16 letters: 4 bits of information a byte.
const LETTERS: &[u8; 16] = b"etaoinshrdlucm \n";

/// Makes it, the same every time, and says how many bytes of it are data.
pub fn make(path: &Path, mib: u64) -> Result<u64> {
    let file = File::options().write(true).create_new(true).open(path)?;
    file.set_len(mib * MIB as u64)?;
    let (mut random, mut data) = (0x9e37_79b9_7f4a_7c15u64, 0);
    let mut bytes = vec![0; MIB];
    for number in (0..mib).filter(|number| (number / STRETCH).is_multiple_of(2)) {
        let kind = number % 8;
        for word in bytes.chunks_exact_mut(8) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let noise = random.to_le_bytes();
            match kind {
                0..4 => word.copy_from_slice(&noise),
                4..7 => {
                    word.iter_mut().zip(noise).for_each(|(to, byte)| *to = LETTERS[usize::from(byte & 15)])
                }
                _ => word.fill(0),
            }
        }
        file.write_all_at(&bytes, number * MIB as u64)?;
        data += MIB as u64;
    }
    // On the disk and in the page cache: every copy begins alike.
    file.sync_all()?;
    Ok(data)
}
