//! Answers of a vSphere server: whatever the bytes are, every call comes back.
#![no_main]
#![allow(dead_code, reason = "the adapter's own tests have more")]

#[path = "../../../adapters/target-vmware/tests/it/bench.rs"]
#[allow(unused_imports)]
mod bench;
#[path = "../../../adapters/target-vmware/tests/it/exercise.rs"]
mod exercise;
#[path = "../../../adapters/target-vmware/tests/it/replay.rs"]
mod replay;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // The first byte says which call is answered so.
    let Some((first, answer)) = bytes.split_first() else { return };
    let call = replay::CALLS[usize::from(*first) % replay::CALLS.len()];
    let _ = exercise::way(&replay::Replay::new(call, answer));
});
