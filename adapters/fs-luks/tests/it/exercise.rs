//! Drives the adapter on any bytes.

use fs_luks::Driver;
use wherry_sdk::testing::MemoryBlob;
use wherry_sdk::{ErrorKind, FileSystem};

/// Whatever is named is refused with the remedy, and what is told of it stays short.
pub fn exercise(bytes: &[u8]) {
    let device = MemoryBlob::read_only(bytes);
    let found = Driver::probe(&device).expect("reading does not fail here");
    if let Some(found) = &found {
        let told: usize = found.facts.iter().map(|fact| fact.key.len() + fact.value.len()).sum();
        assert!(found.kind == "crypto_LUKS" && found.size == bytes.len() as u64 && told < 32 << 10);
        assert!(matches!(found.block, 512 | 1024 | 2048 | 4096));
        let text = found.uuid.iter().chain(&found.label).chain(found.facts.iter().map(|fact| &fact.value));
        assert!(text.into_iter().all(|text| !text.contains(char::is_control)));
    }
    let refused = Driver::mount(Box::new(device), false).err();
    let kind = if found.is_some() { ErrorKind::Unsupported } else { ErrorKind::Corrupt };
    assert!(refused.is_some_and(|e| e.kind == kind && (found.is_none() || e.message.contains("decrypt it"))));
}
