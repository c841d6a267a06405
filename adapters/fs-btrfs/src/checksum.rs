//! The four kinds of checksums (btrfs on-disk format, "Checksums"; Linux: `include/uapi/linux/btrfs_tree.h`, BTRFS_CSUM_TYPE_*).

use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest};
use sha2::Sha256;
use twox_hash::XxHash64;
use wherry_sdk::checksum::crc32c;
use wherry_sdk::{Error, Result};

/// The most bytes of a sum.
pub const LENGTH_MOST: usize = 32;

/// How a file system sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Crc32c,
    XxHash,
    Sha256,
    Blake2,
}

impl Algorithm {
    /// By the superblock's number.
    pub fn of(number: u16) -> Result<Self> {
        match number {
            0 => Ok(Self::Crc32c),
            1 => Ok(Self::XxHash),
            2 => Ok(Self::Sha256),
            3 => Ok(Self::Blake2),
            other => Err(Error::unsupported(format!("checksums of kind {other} are not known"))),
        }
    }

    /// As mkfs.btrfs calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crc32c => "crc32c",
            Self::XxHash => "xxhash64",
            Self::Sha256 => "sha256",
            Self::Blake2 => "blake2b",
        }
    }

    /// Bytes of a sum.
    pub fn length(self) -> usize {
        match self {
            Self::Crc32c => 4,
            Self::XxHash => 8,
            Self::Sha256 | Self::Blake2 => 32,
        }
    }

    /// The sum of some bytes.
    pub fn sum(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Crc32c => (!crc32c(!0, bytes)).to_le_bytes().to_vec(),
            Self::XxHash => XxHash64::oneshot(0, bytes).to_le_bytes().to_vec(),
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
            Self::Blake2 => Blake2b::<U32>::digest(bytes).to_vec(),
        }
    }
}

/// The hash of a name, by which directory items are found (Linux: fs/btrfs/ctree.h, btrfs_name_hash).
pub fn name_hash(name: &[u8]) -> u64 {
    u64::from(crc32c(!1, name))
}

/// The hash of a data reference (Linux: fs/btrfs/extent-tree.c, hash_extent_data_ref).
pub fn reference_hash(root: u64, object: u64, offset: u64) -> u64 {
    let high = crc32c(!0, &root.to_le_bytes());
    let low = crc32c(crc32c(!0, &object.to_le_bytes()), &offset.to_le_bytes());
    (u64::from(high) << 31) ^ u64::from(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums() {
        let sum = |algorithm: Algorithm| {
            let sum = algorithm.sum(b"123456789");
            assert_eq!(sum.len(), algorithm.length());
            sum.iter().take(4).fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
        };
        assert_eq!(sum(Algorithm::Crc32c), "839206e3");
        assert_eq!(sum(Algorithm::XxHash), "83aee640");
        assert_eq!(sum(Algorithm::Sha256), "15e2b0d3");
        assert_eq!(name_hash(b"default"), 0x8dbf_c2d2);
    }
}
