//! Checksums that several formats use. None of them is inverted at the end, the caller gives the start value.

const fn reflected(polynomial: u32) -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { value >> 1 ^ polynomial } else { value >> 1 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
}

const ISO: [u32; 256] = reflected(0xedb8_8320);
const CASTAGNOLI: [u32; 256] = reflected(0x82f6_3b78);
const ANSI: [u32; 256] = reflected(0xa001);

/// CRC-32 (ISO-HDLC): BitLocker's metadata, GPT, LVM2.
pub fn crc32(start: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(start, |crc, byte| ISO[usize::from(crc as u8 ^ byte)] ^ crc >> 8)
}

/// CRC-32C (Castagnoli): ext4's and XFS' metadata, VHDX.
pub fn crc32c(start: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(start, |crc, byte| CASTAGNOLI[usize::from(crc as u8 ^ byte)] ^ crc >> 8)
}

/// CRC-16 (ANSI): ext4's older group descriptors.
pub fn crc16(start: u16, bytes: &[u8]) -> u16 {
    bytes.iter().fold(start, |crc, byte| ANSI[usize::from(crc as u8 ^ byte)] as u16 ^ crc >> 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check values of the catalogue of parametrised CRC algorithms, for "123456789".
    #[test]
    fn check_values() {
        assert_eq!(crc32(!0, b"123456789") ^ !0, 0xcbf4_3926);
        assert_eq!(crc32c(!0, b"123456789") ^ !0, 0xe306_9283);
        assert_eq!(crc16(!0, b"123456789"), 0x4b37);
    }
}
