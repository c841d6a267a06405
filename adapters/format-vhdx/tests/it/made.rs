//! An image of 5 MiB around a few bytes of it, with every checksum right: what the fuzzer damages has to be small.

use wherry_sdk::checksum::crc32c;

const SECTOR: usize = 4096;
const LOG: usize = 1 << 20;
/// Bytes of the log that have entries.
const LOG_USED: usize = 64 << 10;
const LENGTH: usize = 5 << 20;
/// Offsets and lengths of the pieces, in the places that QEMU gives them: header, region table, entries of the first blocks
/// and of the first sector bitmap where blocks have 1 MiB, metadata table and items, a sector bitmap. The log is the rest.
const PIECES: [(usize, usize); 7] = [
    (128 << 10, 80),
    (192 << 10, 96),
    (2 << 20, 512),
    ((2 << 20) + 32768, 16),
    (3 << 20, 256),
    ((3 << 20) + (64 << 10), 256),
    (4 << 20, 512),
];
/// Structures that have checksums.
const SEALED: [(usize, usize); 2] = [(128 << 10, 4096), (192 << 10, 64 << 10)];

/// The image that has these pieces, as far as they go.
pub fn image(mut pieces: &[u8]) -> Vec<u8> {
    let mut image = vec![0; LENGTH];
    image[..8].copy_from_slice(b"vhdxfile");
    for (at, length) in PIECES.into_iter().chain([(LOG, LOG_USED)]) {
        let (piece, rest) = pieces.split_at(length.min(pieces.len()));
        image[at..at + piece.len()].copy_from_slice(piece);
        pieces = rest;
    }
    mend(&mut image, &SEALED);
    image
}

/// Mends the checksums of these structures, given by offsets and lengths, and of the log's entries one behind the other.
pub fn mend(image: &mut [u8], sealed: &[(usize, usize)]) {
    for (at, length) in sealed {
        seal(&mut image[*at..at + length]);
    }
    let mut at = LOG;
    while at < LOG + LOG_USED && image[at..].starts_with(b"loge") {
        let length =
            u32::from_le_bytes([image[at + 8], image[at + 9], image[at + 10], image[at + 11]]) as usize;
        if !(SECTOR..=LOG_USED).contains(&length) {
            break;
        }
        seal(&mut image[at..at + length]);
        at += length.next_multiple_of(SECTOR);
    }
}

/// Mends the checksum of a structure.
pub fn seal(part: &mut [u8]) {
    part[4..8].fill(0);
    let sum = !crc32c(!0, part);
    part[4..8].copy_from_slice(&sum.to_le_bytes());
}
