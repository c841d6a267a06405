//! Damaged chunks, deterministic by seed.

use crate::packed_exercise::exercise;
use crate::wim::{PACKINGS, contents, pack};
use fs_ntfs::lzx::Lzx;
use wherry_sdk::testing::{Random, damage};

/// Chunks of each packing, with what says how long they are.
fn chunks(method: &str, chunk: u32) -> Vec<Vec<u8>> {
    let contents: Vec<Vec<u8>> =
        contents().into_iter().map(|content| content.into_iter().take(9000).collect()).collect();
    let resources = pack(method, chunk, &contents[..7]);
    resources.iter().map(|one| [&(one.size as u32).to_be_bytes(), one.packed.as_slice()].concat()).collect()
}

#[test]
fn damaged_chunks_of_wimlib() {
    for (_, method, chunk) in PACKINGS {
        let chunks = chunks(method, chunk);
        for seed in 0..500 {
            let mut bytes = chunks[seed as usize % chunks.len()].clone();
            let end = if seed % 2 == 0 { 300 } else { bytes.len() };
            damage(&mut bytes, 4, end, seed);
            exercise(&bytes);
        }
        for length in (0..chunks[0].len()).step_by(chunks[0].len() / 100) {
            exercise(&chunks[0][..length]);
        }
    }
}

#[test]
fn noise() {
    for seed in 0..500 {
        let mut random = Random::new(seed);
        let mut bytes: Vec<u8> = (0..random.below(3000)).map(|_| random.next_u64() as u8).collect();
        // A chunk of LZNT1 that is to be looked at.
        if let Some(head) = bytes.get_mut(4..6) {
            head.copy_from_slice(&(0xb000 | random.below(0x900) as u16).to_le_bytes());
        }
        exercise(&bytes);
    }
}

/// A damaged chunk does not change how the next one is unpacked.
#[test]
fn tables_do_not_remember_damage() {
    let chunks = chunks("lzx", 32768);
    let mut lzx = Lzx::default();
    for seed in 0..100 {
        let good = &chunks[seed as usize % chunks.len()];
        let mut bad = good.clone();
        damage(&mut bad, 4, good.len(), seed);
        let size = u32::from_be_bytes(*good.first_chunk().unwrap()) as usize;
        let _ = lzx.unpack(&bad[4..], size);
        assert_eq!(lzx.unpack(&good[4..], size), Lzx::default().unpack(&good[4..], size));
    }
}
