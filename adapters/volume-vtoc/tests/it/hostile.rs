//! Damaged labels, deterministic by seed; sums are made right again, so that the damage gets through.

use crate::exercise::{checked_scan, exercise};
use crate::labels::SOLARIS;
use crate::made::x86;
use wherry_sdk::bytes::{put, put_u32};
use wherry_sdk::testing::{damage, noise};

/// A SPARC label of 8 slices.
fn sparc() -> Vec<u8> {
    let mut label = vec![0; 512];
    put(&mut label, 128, &1u32.to_be_bytes());
    put(&mut label, 140, &8u16.to_be_bytes());
    put(&mut label, 188, &0x600d_deeeu32.to_be_bytes());
    put(&mut label, 436, &[0, 4, 0, 16]);
    for slice in 0..8u32 {
        put(&mut label, 142 + slice as usize * 4, &[0, slice as u8, 0, 0]);
        put(&mut label, 444 + slice as usize * 8, &(slice * 2).to_be_bytes());
        put(&mut label, 448 + slice as usize * 8, &128u32.to_be_bytes());
    }
    put(&mut label, 508, &[0xda, 0xbe]);
    label
}

#[test]
fn damaged_labels() {
    for seed in 0..800 {
        let mut label = if seed % 2 == 0 { x86(&SOLARIS) } else { sparc() };
        let (from, to) = if seed % 2 == 0 { (12, 270) } else { (128, 508) };
        damage(&mut label, from, to, seed);
        exercise(&label);
        exercise(&noise(seed, 512));
    }
    let mut device = [vec![0; 512], x86(&SOLARIS)].concat();
    put_u32(&mut device, 0, 0);
    for end in [0, 1, 511, 512, 1023, 1024] {
        checked_scan(&[&device[..end]]);
    }
}
