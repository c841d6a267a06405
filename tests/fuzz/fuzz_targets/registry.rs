//! Registry hives and boot configurations, read and edited; with the checksum mended where there is one.
#![no_main]

#[path = "../../../sdk/registry/tests/it/exercise.rs"]
mod exercise;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.to_vec();
    exercise::exercise(&bytes);
    if let (true, Some((summed, _))) = (bytes.starts_with(b"regf"), bytes.split_at_checked(508)) {
        let words = summed.as_chunks::<4>().0.iter();
        let sum = words.fold(0, |sum, word| sum ^ u32::from_le_bytes(*word));
        if let Some(place) = bytes.get_mut(508..512) {
            place.copy_from_slice(&sum.to_le_bytes());
            exercise::exercise(&bytes);
        }
    }
});
