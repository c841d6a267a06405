//! A HAL that does not start elsewhere keeps its entry, and another goes beside it.

use crate::generations::{find, volumes};
use crate::profiles;
use os_windows::Windows;
use wherry_sdk::testing::{MemoryTree, MemoryVolume};
use wherry_sdk::{SourceOs, Tree, fact};

fn program(name: &str) -> Vec<u8> {
    format!("OriginalFilename\0\0{name}\0").encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// NT 4.0 with a computer maker's HAL for several processors, and a service pack's files.
fn guest(service_pack: bool) -> MemoryTree {
    let mut all = volumes(find("nt4"));
    let mut volume: MemoryVolume = all.pop().unwrap();
    volume = volume
        .file("/WINNT/System32/hal.dll", program("halsp.dll"))
        .file("/WINNT/System32/ntoskrnl.exe", program("ntkrnlmp.exe"));
    if service_pack {
        volume = volume.file("/WINNT/ServicePackFiles/i386/halmps.dll", "the MPS HAL");
    }
    all.push(volume);
    MemoryTree::new(all)
}

#[test]
fn a_makers_hal_gets_one_beside_it() {
    let tree = guest(true);
    let os = Windows::identify(&tree).unwrap().unwrap();
    assert_eq!(wherry_sdk::find(&os.facts, "hal"), Some("halsp.dll"));
    let before = tree.text("/boot.ini");
    let result = Windows::adapt(&tree, &profiles::kvm("bios", (4, 0)), &profiles::options()).unwrap();
    assert!(result.notes.iter().any(|note| note.contains("boot.ini has a new entry")), "{:?}", result.notes);
    let after = tree.text("/boot.ini");
    assert!(before.lines().all(|line| after.contains(line)), "the old entry stays: {after}");
    let entries: Vec<&str> = after.lines().filter(|line| line.contains("=\"")).collect();
    assert_eq!(entries.len(), 2);
    assert!(entries[0].ends_with("/fastdetect /HAL=halwhy.dll"), "{after}");
    assert_eq!(tree.read_all("/WINNT/System32/halwhy.dll", 100).unwrap(), b"the MPS HAL");
    assert_eq!(tree.read_all("/WINNT/System32/hal.dll", 100).unwrap(), program("halsp.dll"));
    tree.forget();
    Windows::identify(&tree).unwrap().unwrap();
    Windows::adapt(&tree, &profiles::kvm("bios", (4, 0)), &profiles::options()).unwrap();
    assert_eq!(tree.edits(), []);
}

#[test]
fn a_hal_that_is_nowhere_blocks() {
    let tree = guest(false);
    Windows::identify(&tree).unwrap().unwrap();
    let result = Windows::adapt(&tree, &profiles::kvm("bios", (4, 0)), &profiles::options()).unwrap();
    let missing = result.concerns.iter().find(|concern| concern.id == "windows.hal.missing").unwrap();
    assert!(missing.message.contains("halmps.dll"), "{}", missing.message);
    let mut options = profiles::options();
    options.push(fact("hal", "acpiapic_mq"));
    let odd = Windows::adapt(&tree, &profiles::kvm("bios", (4, 0)), &options).unwrap();
    assert!(odd.concerns.iter().any(|concern| concern.id == "windows.hal.unknown"));
}
