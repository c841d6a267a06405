//! Damaged and malicious hives.

use crate::checker::{Writer, assert_sound};
use crate::exercise::exercise;
use crate::hives::{BASE, empty, merged, seal};
use std::panic::catch_unwind;
use wherry_registry::bcd::{Element, Store, element, object};
use wherry_registry::device::{Device, Partition};
use wherry_registry::{Hive, Kind};
use wherry_sdk::image::Uuid;
use wherry_sdk::testing::damage;

fn hive(minor: u32) -> Vec<u8> {
    let text: String = (0..60)
        .map(|n| {
            format!(
                "[HKEY_LOCAL_MACHINE\\A{n}\\B\\C]\n\"V{n}\"=\"{n}\"\n\"W\"=dword:{n:08x}\n@=hex:{}\n",
                "00,".repeat(n) + "01"
            )
        })
        .collect();
    merged(&empty(minor), &text)
}

/// A boot configuration with many devices.
fn store() -> Vec<u8> {
    let mut hive = Hive::empty(3).unwrap();
    let mut store = Store::create(&mut hive).unwrap();
    for number in 0..20 {
        let id = Uuid([number; 16]);
        store.make(&id, object::TYPE_LOADER).unwrap();
        let partition = Partition::Gpt { disk: id, partition: Uuid([7; 16]) };
        store.set(&id, element::OS_DEVICE, &Element::Device(Device::partition(&partition))).unwrap();
        store.set(&id, element::DISPLAY_ORDER, &Element::Objects(vec![id; 3])).unwrap();
    }
    hive.bytes().unwrap()
}

#[test]
fn damaged_hives_never_break_the_reader() {
    let hives = [hive(3), hive(5), store()];
    let (mut read, mut edited) = (0, 0);
    for seed in 0..600 {
        let mut bytes = hives[seed as usize % 3].clone();
        let (from, to) = if seed % 5 == 0 { (0, 512) } else { (BASE, bytes.len()) };
        damage(&mut bytes, from, to, seed);
        if from == 0 && seed % 10 == 0 {
            seal(&mut bytes);
        }
        let outcome = catch_unwind(|| exercise(&bytes));
        assert!(outcome.is_ok(), "seed {seed}");
        let (was_read, was_edited) = outcome.unwrap();
        (read, edited) = (read + u32::from(was_read), edited + u32::from(was_edited));
    }
    assert!(
        (50..550).contains(&read) && (50..550).contains(&edited),
        "{read} could be read, {edited} edited, of 600: the damage is not where it should be"
    );
}

#[test]
fn truncated_hives_never_break_the_reader() {
    let whole = hive(5);
    for length in (0..600).chain((600..whole.len()).step_by(97)) {
        assert!(!exercise(&whole[..length]).0, "{length} bytes");
    }
}

#[test]
fn circles_end() {
    let mut hive = merged(&empty(5), "[HKEY_LOCAL_MACHINE\\A]\n");
    // The list of subkeys of A is the root's, so A is in A.
    let at = |hive: &[u8], at: usize| u32::from_le_bytes(hive[at..at + 4].try_into().unwrap()) as usize;
    let root = BASE + 36;
    let list = at(&hive, root + 28);
    let key = BASE + at(&hive, BASE + list + 8) + 4;
    let list = (list as u32).to_le_bytes();
    hive[key + 28..key + 32].copy_from_slice(&list);
    hive[key + 20] = 1;
    assert_eq!(exercise(&hive), (false, true));
}

#[test]
fn what_is_in_use_twice_is_not_freed() {
    let mut hive = Hive::empty(5).unwrap();
    let (one, two) = ([1; 50], [2; 50]);
    hive.set(r"A\B", "one", Kind::BINARY, &one).unwrap();
    hive.set(r"A\C", "two", Kind::BINARY, &two).unwrap();
    let mut bytes = hive.bytes().unwrap();
    let value = |bytes: &[u8], name: &[u8]| bytes.windows(3).position(|at| at == name).unwrap() - 20;
    let (from, to) = (value(&bytes, b"one"), value(&bytes, b"two"));
    bytes.copy_within(from + 8..from + 12, to + 8);
    let mut hive = Hive::open(bytes.clone(), &[]).unwrap();
    assert!(hive.remove("A").unwrap_err().message.contains("in use twice"));
    assert_eq!(hive.bytes().unwrap(), bytes);
    // What frees it first takes it from the other, which is found out when that is freed too.
    assert!(hive.remove(r"A\B").unwrap());
    assert!(hive.remove(r"A\C").is_err());
    let after = [hive.take("").map(drop), hive.make("D").map(drop)];
    assert!(after.iter().all(|outcome| outcome.is_err()), "{after:?}");
}

#[test]
fn a_count_without_a_list_is_nothing() {
    let mut bytes = empty(5);
    let root = BASE + 36;
    for count in [root + 20, root + 36] {
        bytes[count..count + 4].fill(0xff);
    }
    let mut hive = Hive::open(bytes, &[]).unwrap();
    hive.set("A", "V", Kind::DWORD, &[0; 4]).unwrap();
    hive.set("", "V", Kind::DWORD, &[0; 4]).unwrap();
    assert_sound(&hive.bytes().unwrap(), Writer::Ours);
}
