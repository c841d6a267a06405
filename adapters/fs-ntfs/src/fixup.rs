//! The update sequence: the last two bytes of every 512 are kept in an array, and a number stands in their place, so
//! that a structure which was written in part is noticed.

use crate::bytes::{part, put, put_u16, u16_at};

/// Bytes between two places, whatever the sector size.
const STRIDE: usize = 512;
/// Bytes of the smallest structure before its array: the log's restart page.
const HEADER: usize = 0x1e;

/// Numbers of the array for a structure of `length` bytes, with the one in front.
pub fn count(length: usize) -> usize {
    length / STRIDE + 1
}

/// Puts the kept bytes back into place; false where the structure is torn or its array makes no sense.
#[must_use]
pub fn apply(bytes: &mut [u8]) -> bool {
    let (at, numbers) = (usize::from(u16_at(bytes, 4)), usize::from(u16_at(bytes, 6)));
    if !sensible(bytes, at, numbers) {
        return false;
    }
    let number = u16_at(bytes, at);
    for index in 1..numbers {
        let place = index * STRIDE - 2;
        if u16_at(bytes, place) != number {
            return false;
        }
        let kept = u16_at(bytes, at + index * 2);
        put_u16(bytes, place, kept);
    }
    true
}

/// The other way: takes the next number and keeps the bytes in whose place it goes; false where the structure has no
/// sensible array, and stays as it is.
pub fn protect(bytes: &mut [u8]) -> bool {
    let (at, numbers) = (usize::from(u16_at(bytes, 4)), usize::from(u16_at(bytes, 6)));
    if !sensible(bytes, at, numbers) {
        return false;
    }
    // Neither 0 nor 0xffff is ever used.
    let number = match u16_at(bytes, at) {
        number @ 1..0xfffe => number + 1,
        _ => 1,
    };
    put_u16(bytes, at, number);
    for index in 1..numbers {
        let place = index * STRIDE - 2;
        let kept = part(bytes, place, 2).to_vec();
        put(bytes, at + index * 2, &kept);
        put_u16(bytes, place, number);
    }
    true
}

fn sensible(bytes: &[u8], at: usize, numbers: usize) -> bool {
    bytes.len().is_multiple_of(STRIDE)
        && numbers == count(bytes.len())
        && at >= HEADER
        && at.is_multiple_of(2)
        && at + numbers * 2 <= STRIDE - 2
}
