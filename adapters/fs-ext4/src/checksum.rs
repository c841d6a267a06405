//! Checksums of ext4 metadata and of the journal (Linux: Documentation/filesystems/ext4, "Checksums"; jbd2's
//! "Checksumming"): CRC-32C with the feature `metadata_csum` and in journals of version 2 and 3, CRC-16 with
//! `uninit_bg`. None of them is inverted at the end, the caller gives the start value.

pub use wherry_sdk::checksum::{crc16, crc32c};

/// CRC-32 with the most significant bit first: commit blocks of journals of version 1.
pub fn crc32_be(start: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(start, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| {
            if crc >> 31 == 1 { crc << 1 ^ 0x04c1_1db7 } else { crc << 1 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check value of the catalogue of parametrised CRC algorithms, for "123456789".
    #[test]
    fn check_values() {
        assert_eq!(crc32_be(!0, b"123456789"), 0x0376_e6e7);
    }
}
