//! btrfs volumes of mixed block groups, read and changed. Sums are made right, or nothing behind them would be reached.
#![no_main]

#[path = "../../../adapters/fs-btrfs/tests/it/exercise.rs"]
mod exercise;
#[path = "../sectors.rs"]
mod sectors;

use wherry_sdk::checksum::crc32c;

const SIZE: usize = 24 << 20;
const SUPER: usize = 64 << 10;
const NODE: usize = 4096;

fn stamped(mut volume: Vec<u8>) -> Vec<u8> {
    let uuid = volume[SUPER + 32..SUPER + 48].to_vec();
    for block in volume[SUPER..].chunks_exact_mut(NODE) {
        if block[32..48] == uuid[..] {
            let sum = !crc32c(!0, &block[32..]);
            block[..4].copy_from_slice(&sum.to_le_bytes());
        }
    }
    volume
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::exercise(&stamped(sectors::unpack(bytes, SIZE))));
