//! What may begin on a device although its first bytes say something else: many tools that make a file system leave there what they
//! do not need themselves, an old header of swap or of LUKS among it.
//!
//! Sources: util-linux, `libblkid/src/superblocks`; Linux, `include/uapi/linux/magic.h` and `fs/ufs/ufs_fs.h`.

use crate::{Blob, Result};

/// Offset and bytes of a signature.
const SIGNATURES: &[(u64, &[u8])] = &[
    (0, b"LABELONE"),
    (512, b"LABELONE"),
    // An array of md, version 1.2.
    (4096, b"\xfc\x4e\x2b\xa9"),
    // bcache and bcachefs.
    (4096 + 24, b"\xc6\x85\x73\xf6"),
    // VxFS of big-endian machines.
    (8192, b"\xa5\x01\xfc\xf5"),
    (8192 + 52, b"ReIsErFs"),
    // The first name in a label of ZFS.
    (16384 + 24, b"version\0"),
    (32768, b"JFS1"),
    (32768 + 1, b"CD001"),
    (32768 + 1, b"BEA01"),
    (32768 + 9, b"CDROM"),
    (65536, b"ReIsEr4"),
    (65536 + 52, b"ReIsEr"),
    // GFS and GFS2.
    (65536, b"\x01\x16\x19\x70"),
    (65536 + 64, b"_BHRfS_M"),
    // VMFS.
    (1 << 20, b"\x0d\xd0\x01\xc0"),
];
/// UFS: places of superblocks, where its number is in one, and the numbers of UFS1, UFS2 and Solaris' for more than 1 TiB.
const UFS_PLACES: [u64; 3] = [8 << 10, 64 << 10, 256 << 10];
const UFS_NUMBER: u64 = 1372;
const UFS_NUMBERS: [u32; 3] = [0x0001_1954, 0x1954_0119, 0x00de_cade];

/// Whether anything of that kind seems to be on the device: it was made later than the header that its maker spared.
///
/// # Errors
/// What reading says.
pub fn are_here(device: &dyn Blob) -> Result<bool> {
    for (at, signature) in SIGNATURES {
        if bytes(device, *at, signature.len())? == *signature {
            return Ok(true);
        }
    }
    for place in UFS_PLACES {
        let found = bytes(device, place + UFS_NUMBER, 4)?;
        if UFS_NUMBERS.iter().any(|one| found == one.to_le_bytes() || found == one.to_be_bytes()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Bytes of the device; none beyond its end.
fn bytes(device: &dyn Blob, at: u64, length: usize) -> Result<Vec<u8>> {
    let there = at.checked_add(length as u64).is_some_and(|end| end <= device.size());
    if there { device.read(at, length as u32) } else { Ok(Vec::new()) }
}
