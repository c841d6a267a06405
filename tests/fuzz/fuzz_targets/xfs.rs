//! XFS volumes, read and changed, their logs replayed. mkfs.xfs makes none of less than 16 MiB.
#![no_main]

#[path = "../../../adapters/fs-xfs/tests/it/exercise.rs"]
mod exercise;
#[path = "../sectors.rs"]
mod sectors;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| exercise::exercise(&sectors::unpack(bytes, 16 << 20)));
