//! Damaged and malicious hives.

use crate::hives::{BASE, dump, empty, merged, seal};
use std::panic::catch_unwind;
use wherry_registry::Hive;
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

/// Opens it and reads all there is.
fn exercise(bytes: &[u8]) -> bool {
    Hive::open(bytes.to_vec(), &[bytes.to_vec()]).is_ok_and(|mut hive| dump(&mut hive).is_ok())
}

#[test]
fn damaged_hives_never_break_the_reader() {
    let hives = [hive(3), hive(5)];
    let mut read = 0;
    for seed in 0..2000 {
        let mut bytes = hives[seed as usize % 2].clone();
        let (from, to) = if seed % 5 == 0 { (0, 512) } else { (BASE, bytes.len()) };
        damage(&mut bytes, from, to, seed);
        if from == 0 && seed % 10 == 0 {
            seal(&mut bytes);
        }
        let outcome = catch_unwind(|| exercise(&bytes));
        assert!(outcome.is_ok(), "seed {seed}");
        read += u32::from(outcome.unwrap());
    }
    assert!(
        (100..1900).contains(&read),
        "{read} of 2000 could be read: the damage is not where it should be"
    );
}

#[test]
fn truncated_hives_never_break_the_reader() {
    let whole = hive(5);
    for length in (0..600).chain((600..whole.len()).step_by(97)) {
        assert!(!exercise(&whole[..length]), "{length} bytes");
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
    assert!(!exercise(&hive));
}
