//! Every way to unpack, on bytes that may be anything.

use fs_ntfs::lznt1;
use fs_ntfs::lzx::Lzx;
use fs_ntfs::wof::{Packed, Packing};
use fs_ntfs::xpress::Xpress;

/// What comes out is as long as it was asked for, or an error; nothing panics. The first bytes say how long.
pub fn exercise(input: &[u8]) {
    let (head, bytes) = input.split_at(input.len().min(4));
    let wanted = head.iter().fold(0, |all, byte| all << 8 | usize::from(*byte));
    for size in [wanted % 40_000, 4096, 32 << 10] {
        let outputs = [
            lznt1::unpack(bytes, size),
            Xpress::default().unpack(bytes, size),
            Lzx::default().unpack(bytes, size),
        ];
        assert!(outputs.iter().flatten().all(|output| output.len() == size));
    }
    for size in [65537, usize::MAX] {
        assert!(
            Xpress::default().unpack(bytes, size).is_err() && Lzx::default().unpack(bytes, size).is_err()
        );
    }
    if let Ok(packing) = Packing::parse(input) {
        assert!(input.len() >= 24 && packing.chunk() <= 32 << 10);
    }
    for packing in [4096, 8192, 16384].map(Packing::Xpress).into_iter().chain([Packing::Lzx]) {
        for size in [wanted as u64 % 200_000, 1 << 33, u64::MAX] {
            let packed = Packed { packing, size, stored: bytes.len() as u64 };
            for (offset, length) in
                [(0, 100_000), (wanted as u64 % 100_000, 5000), (size - size / 3, 1 << 40)]
            {
                let read = packed.read(offset, length, |from, length| {
                    assert!(length <= 3 << 20, "in proportion");
                    Ok(bytes[from as usize..][..length as usize].to_vec())
                });
                let there = length.min(1 << 20).min(size - offset.min(size));
                assert!(read.is_err() || read.is_ok_and(|read| read.len() as u64 == there));
            }
        }
    }
}
