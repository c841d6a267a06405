//! Labels that are damaged, under checksums that are right and wrong.

use crate::exercise::exercise;
use crate::pools::unpack;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use wherry_sdk::testing::damage;
use wherry_zfs::{NVLIST, NVLIST_LENGTH, TRAILER, seal};

const CASES: u64 = 700;

#[test]
fn damaged_labels() {
    for name in ["fuse10", "fuse23z"] {
        let sound = unpack(name);
        let mut joined = 0;
        for case in 0..CASES {
            let mut devices = sound.clone();
            let number = case as usize % devices.len();
            let mut label = devices[number].lists[0].1.to_vec();
            let end = if case % 4 == 0 { NVLIST_LENGTH - TRAILER } else { 2000 };
            damage(&mut label, 0, end, case);
            if case % 8 != 0 {
                seal(&mut label, [NVLIST, 0, 0, 0], false);
            }
            devices[number].lists[0].1 = Rc::new(label);
            let layout = std::panic::catch_unwind(AssertUnwindSafe(|| exercise(&devices)));
            joined += layout.unwrap_or_else(|_| panic!("{name}, case {case}")).parts.len();
        }
        assert!(joined as u64 > CASES / 2, "{joined}: most pools are still seen");
    }
}
