//! Damaged descriptors, manifests and containers.

use crate::exercise::exercise;
use crate::lab::{DMTF, VIRTUALBOX, VMWARE, appliance, beside};
use std::panic::catch_unwind;
use wherry_sdk::testing::{Random, damage};

fn survives(bytes: &[u8], what: &str) {
    assert!(catch_unwind(|| exercise(bytes)).is_ok(), "{what}");
}

/// Damages text so that it often stays XML: words of it exchanged, doubled or removed.
fn shuffle(text: &str, seed: u64) -> String {
    let mut random = Random::new(seed);
    let mut pieces: Vec<&str> = text.split_inclusive(['>', '"', ' ']).collect();
    for _ in 0..=random.below(3) {
        let one = random.below(pieces.len() as u64) as usize;
        let other = random.below(pieces.len() as u64) as usize;
        match random.below(5) {
            0 => pieces.swap(one, other),
            1 => pieces.insert(one, pieces[other]),
            2 => drop(pieces.remove(one)),
            3 => pieces[one] = "99999999999999999999\"",
            _ => pieces[one] = "../../etc/passwd\"",
        }
    }
    pieces.concat()
}

#[test]
fn damaged_descriptors_never_break_the_reader() {
    for (number, text) in [VMWARE, VIRTUALBOX, DMTF].into_iter().enumerate() {
        let mut read = 0;
        for seed in 0..250 {
            let words = shuffle(text, seed);
            read += u32::from(
                beside(&words, None, &crate::lab::system("db")).is_ok() || beside(&words, None, &[]).is_ok(),
            );
            survives(words.as_bytes(), &format!("words of {number}, seed {seed}"));
            let mut bytes = text.as_bytes().to_vec();
            damage(&mut bytes, 0, text.len(), seed);
            survives(&bytes, &format!("bytes of {number}, seed {seed}"));
        }
        assert!(read > 20, "only {read} of the changed texts are still descriptors");
    }
}

#[test]
fn damaged_containers_never_break_the_reader() {
    for (number, format) in ["ustar", "gnu", "posix"].into_iter().enumerate() {
        let whole = appliance(&["--format", format]);
        let headers = |seed: u64| {
            let at =
                [0, whole.len() / 512 * 512 - 1024, (seed as usize * 512) % whole.len()][seed as usize % 3];
            (at, at + 512)
        };
        for seed in 0..300 {
            let mut bytes = whole.clone();
            let (from, to) = headers(seed);
            damage(&mut bytes, from, to, seed);
            if seed % 2 == 0 {
                mend(&mut bytes);
            }
            survives(&bytes, &format!("container {number}, seed {seed}"));
        }
        for cut in (0..whole.len()).step_by(701) {
            survives(&whole[..cut], &format!("container {number}, cut at {cut}"));
        }
    }
}

/// Rightens all checksums, so that damage gets past them.
fn mend(bytes: &mut [u8]) {
    for header in bytes.chunks_exact_mut(512).filter(|header| header[257..262] == *b"ustar") {
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    }
}

#[test]
fn damaged_manifests_never_break_the_reader() {
    let text = format!(
        "SHA256(web 01-disk1.vmdk)= {}\nSHA1 (web 01-disk2.vmdk) = {}\n",
        "ab".repeat(32),
        "cd".repeat(20)
    );
    for seed in 0..500 {
        let mut bytes = text.clone().into_bytes();
        damage(&mut bytes, 0, text.len(), seed);
        survives(&bytes, &format!("seed {seed}"));
    }
}

#[test]
fn bombs_are_bounded() {
    let deep = "<a>".repeat(100_000);
    survives(deep.as_bytes(), "deep");
    let nested = VIRTUALBOX.replace(
        "<EulaSection>",
        &format!("<x>{}{}</x><EulaSection>", "<y>".repeat(5000), "</y>".repeat(5000)),
    );
    let machine = beside(&nested, None, &[]).unwrap();
    assert!(
        machine.concerns.iter().any(|concern| concern.message.contains("left out")),
        "{:?}",
        machine.concerns
    );
    let many = VIRTUALBOX.replace("<EulaSection>", &format!("{}<EulaSection>", "<x/>".repeat(150_000)));
    assert!(beside(&many, None, &[]).unwrap().concerns.len() < 300);
    survives(many.as_bytes(), "many");
    let large = VIRTUALBOX.replace("Do as you like.", &"a".repeat(5 << 20));
    assert!(beside(&large, None, &[]).unwrap_err().message.contains("more than"));
}
