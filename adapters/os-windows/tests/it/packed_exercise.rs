//! Reads bytes as a cabinet and as a packed file.

use os_windows::{cabinet, szdd};

/// Names that seeds and tests have.
const NAMES: [&str; 6] = ["atapi.sys", "halacpi.dll", "block0", "block1", "block2", ""];
/// What is unpacked at most.
const MOST: u64 = 1 << 20;

/// Unpacks all that may be in it.
pub fn exercise(bytes: &[u8]) {
    for name in NAMES {
        if let Ok(Some(content)) = cabinet::unpack(&bytes.to_vec(), name) {
            assert!(content.len() <= 32 << 20);
        }
    }
    if let Ok(content) = szdd::unpack(bytes, MOST) {
        assert!(content.len() as u64 <= MOST && bytes.starts_with(szdd::SIGNATURE));
        assert_eq!(bytes.get(10..14), Some(&(content.len() as u32).to_le_bytes()[..]));
    }
}
