//! Damaged logs, deterministic by seed.

use crate::idle::{Record, checkpointed};
use crate::states::{OPEN, Restart, pages};
use crate::states_exercise::exercise;
use fs_ntfs::log;
use wherry_sdk::bytes::field;
use wherry_sdk::testing::damage;

#[test]
fn damaged_logs() {
    for seed in 0..500 {
        let mut bytes = pages(&OPEN, &Restart { newest: 5, flags: 2, ..OPEN });
        bytes.truncate(16 << 10);
        let from = if seed % 2 == 0 { 0 } else { 4096 };
        damage(&mut bytes, from, from + 0x80, seed);
        exercise(&bytes);
    }
}

/// Idle logs: some are so still.
#[test]
fn damaged_idle_logs() {
    let (log, checkpoint) = checkpointed(&[Record::Change(0x1d, 376), Record::Change(0x1f, 9000)], 0, 0);
    let whole = log.finish(checkpoint);
    let mut idle = 0;
    for seed in 0..500 {
        let mut bytes = whole.clone();
        if seed % 2 == 0 {
            damage(&mut bytes, 0x30, 0xc0, seed);
            bytes.copy_within(0..4096, 4096);
        } else {
            damage(&mut bytes, 12 * 4096, 20 * 4096, seed);
        }
        exercise(&bytes);
        let read = |offset: u64, length: u64| Ok(field(&bytes, offset as usize, length as usize).to_vec());
        idle += usize::from(log::judge(bytes.len() as u64, read) == Ok(log::State::Idle));
    }
    assert!((10..490).contains(&idle), "{idle}");
}
