//! L2 table entries (docs/interop/qcow2, "Cluster mapping", "Extended L2 Entries").

use crate::header::Header;

/// A value, or what is wrong with it.
pub(crate) type Checked<T> = Result<T, &'static str>;

/// Bits 9 to 55 of an L1 or L2 entry: an offset in the file.
pub(crate) const OFFSET: u64 = (1 << 56) - (1 << 9);
/// "refcount is exactly one"
pub(crate) const COPIED: u64 = 1 << 63;
pub(crate) const COMPRESSED: u64 = 1 << 62;
const ZERO: u64 = 1;
/// Pieces of a cluster with an extended entry.
pub(crate) const SUBCLUSTERS: u64 = 32;
const SECTOR: u64 = 512;

/// Where one cluster of the disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mapping {
    Unallocated,
    Zero,
    Stored {
        host: u64,
    },
    /// Whole sectors: the compressed bytes may end before their last sector does.
    Compressed {
        host: u64,
        length: u64,
    },
    /// `allocated` has a bit for each subcluster that is stored, `zero` for each that reads as zeroes.
    Subclusters {
        host: u64,
        allocated: u32,
        zero: u32,
    },
}

/// Reads an entry; `bitmap` is the second half of an extended one. The error says what is wrong with it.
pub(crate) fn decode(header: &Header, entry: u64, bitmap: Option<u64>) -> Checked<Mapping> {
    if entry & COMPRESSED != 0 {
        return compressed(header, entry);
    }
    let host = entry & OFFSET;
    if !host.is_multiple_of(header.cluster_size()) {
        return Err("an offset that is not aligned to a cluster");
    }
    let zero = entry & ZERO != 0;
    if entry & !(OFFSET | COPIED | ZERO) != 0 {
        return Err("reserved bits that are not zero");
    }
    if zero && (header.version == 2 || bitmap.is_some()) {
        return Err("a zero flag, which images of this kind do not have");
    }
    match bitmap {
        None if zero => Ok(Mapping::Zero),
        None if host == 0 => Ok(Mapping::Unallocated),
        None => Ok(Mapping::Stored { host }),
        Some(bitmap) => subclusters(host, bitmap),
    }
}

fn subclusters(host: u64, bitmap: u64) -> Checked<Mapping> {
    let (allocated, zero) = (bitmap as u32, (bitmap >> SUBCLUSTERS) as u32);
    if allocated & zero != 0 {
        return Err("subclusters that are both stored and zero");
    }
    if allocated != 0 && host == 0 {
        return Err("subclusters that are stored nowhere");
    }
    Ok(match (allocated, zero) {
        (0, 0) => Mapping::Unallocated,
        (0, u32::MAX) => Mapping::Zero,
        (u32::MAX, 0) => Mapping::Stored { host },
        _ => Mapping::Subclusters { host, allocated, zero },
    })
}

fn compressed(header: &Header, entry: u64) -> Checked<Mapping> {
    if entry & COPIED != 0 {
        return Err("a compressed cluster that is marked for writing in place");
    }
    let (offset_bits, sector_bits) = compressed_bits(header.cluster_bits);
    let host = entry & ((1 << offset_bits) - 1);
    if host >> 56 != 0 {
        return Err("an offset beyond 64 PiB");
    }
    let sectors = (entry >> offset_bits & ((1 << sector_bits) - 1)) + 1;
    Ok(Mapping::Compressed { host, length: sectors * SECTOR - host % SECTOR })
}

/// The entry of a cluster stored from `host`, used once.
pub(crate) fn stored(host: u64) -> u64 {
    host | COPIED
}

/// The entry of a cluster that is compressed to `length` bytes at `host`; at least 1 byte.
pub(crate) fn packed(cluster_bits: u32, host: u64, length: u64) -> u64 {
    let further_sectors = (host + length - 1) / SECTOR - host / SECTOR;
    COMPRESSED | further_sectors << compressed_bits(cluster_bits).0 | host
}

/// Bits of the offset and of the number of further sectors in a compressed cluster's entry.
pub(crate) fn compressed_bits(cluster_bits: u32) -> (u32, u32) {
    (70 - cluster_bits, cluster_bits - 8)
}
