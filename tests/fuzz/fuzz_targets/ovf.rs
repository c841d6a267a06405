//! OVF descriptors, manifests and containers: whatever the bytes are, no answer leads out of the package.
#![no_main]

use definition_ovf::{Ovf, entries};
use libfuzzer_sys::fuzz_target;
use wherry_sdk::definition::Place;
use wherry_sdk::testing::MemoryBlob;
use wherry_sdk::{Blob, MachineDefinition};

fuzz_target!(|bytes: &[u8]| {
    let blob = || Box::new(MemoryBlob::read_only(bytes)) as Box<dyn Blob>;
    let size = bytes.len() as u64;
    for entry in entries(blob().as_ref()).unwrap_or_default() {
        assert!(entry.range.offset + entry.range.length <= size);
    }
    for word in ["ovf", "ova"] {
        let files = [("a.ovf".to_owned(), blob()), ("a.mf".to_owned(), blob())];
        let Ok(machine) = Ovf::read(word, &files, &[]) else { continue };
        for member in &machine.members {
            match &member.at {
                Place::Beside(name) => assert!(!name.contains(['/', '\\', '\0']) && name != ".." && !name.is_empty()),
                Place::Within(range) => assert!(range.offset + range.length <= size),
            }
        }
        assert!(machine.disks.iter().all(|disk| (disk.member as usize) < machine.members.len()));
    }
});
