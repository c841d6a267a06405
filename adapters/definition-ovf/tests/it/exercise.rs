//! Every public call on any bytes, and what must hold of the answers.

use crate::lab::system;
use definition_ovf::{Ovf, entries};
use wherry_sdk::definition::{Machine, Place};
use wherry_sdk::testing::MemoryBlob;
use wherry_sdk::{Blob, Error, MachineDefinition};

/// Reads the bytes as a descriptor, as a manifest and as a container.
pub fn exercise(bytes: &[u8]) {
    let blob = || Box::new(MemoryBlob::read_only(bytes)) as Box<dyn Blob>;
    let size = bytes.len() as u64;
    if let Ok(list) = entries(blob().as_ref()) {
        for entry in list {
            assert!(entry.range.offset.checked_add(entry.range.length).unwrap() <= size, "{entry:?}");
        }
    }
    let descriptor = Box::new(MemoryBlob::read_only(crate::lab::VMWARE)) as Box<dyn Blob>;
    let own = vec![("a.ovf".to_owned(), blob())];
    let with_manifest = vec![("a.ovf".to_owned(), descriptor), ("a.mf".to_owned(), blob())];
    let container = vec![("a.ova".to_owned(), blob())];
    for (word, files) in [("ovf", own), ("ovf", with_manifest), ("ova", container)] {
        let size = files[0].1.size();
        for options in [vec![], system("db")] {
            match Ovf::read(word, &files, &options) {
                Ok(machine) => sound(&machine, word, size),
                Err(Error { message, .. }) => assert!(!message.is_empty()),
            }
        }
    }
}

fn sound(machine: &Machine, word: &str, size: u64) {
    for member in &machine.members {
        match &member.at {
            Place::Beside(name) => {
                assert_eq!(word, "ovf");
                assert!(
                    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\\', '\0']),
                    "{name:?}"
                );
            }
            Place::Within(range) => assert!(range.offset.checked_add(range.length).unwrap() <= size),
        }
        for digest in &member.digests {
            let length =
                ["sha1", "sha256", "sha512"].iter().position(|one| *one == digest.algorithm).unwrap();
            assert_eq!(digest.hex.len(), [40, 64, 128][length]);
        }
    }
    assert!(machine.disks.iter().all(|disk| (disk.member as usize) < machine.members.len()));
    assert!(
        machine.disks.len() < machine.members.len(),
        "the descriptor is a member, each disk has one of its own"
    );
    assert!(!machine.disks.is_empty() || machine.concerns.iter().any(|concern| concern.id == "ovf.no-disk"));
    let kept: usize =
        machine.facts.iter().filter(|fact| fact.key.starts_with("kept")).map(|fact| fact.value.len()).sum();
    assert!(kept <= 512 << 10, "{kept}");
}
