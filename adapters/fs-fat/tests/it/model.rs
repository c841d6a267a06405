//! Random sequences of edits, on the volume and on a model of it; then fsck.fat, mtools and the adapter must agree.

use crate::lab::{Lab, SHAPES, read};
use fs_fat::Fat;
use wherry_sdk::FileSystem;
use wherry_sdk::testing::filesystem::{Habits, Model, assert_same, contents, sequences};

const NAMES: [&str; 14] = [
    "A.TXT",
    "b.txt",
    "grub.cfg",
    "GRUB.CF",
    "initrd.img-6.1.0-18-amd64",
    "initrd.img-6.1.0-17-amd64",
    "Grüße",
    "日本語の名前",
    ".hidden",
    "a.b.c",
    "with blanks",
    "name that is much longer than what two slots of a directory can hold",
    "EFI",
    "loader",
];

/// Rounds of so many changes.
fn sequence((arguments, kib): (&[&str], u64), seed: u64, (rounds, changes): (u32, u32)) {
    let lab = Lab::new(arguments, kib);
    let (blob, mut fat) = lab.mount();
    let habits = Habits {
        name: |random| NAMES[random.below(NAMES.len() as u64) as usize].to_owned(),
        spell: |path| path.to_ascii_uppercase(),
        like: |_, _| None,
        links: false,
        block: u64::from(Fat::probe(&blob).unwrap().unwrap().block),
        size_most: 70_000,
        time_most: i64::MAX,
    };
    let mut model = Model::new(&mut fat, seed, habits);
    for round in 0..rounds {
        let (blob, mut fat) = lab.mount();
        for _ in 0..changes {
            model.step(&mut fat);
        }
        let (what, expected) = (format!("seed {seed}, round {round}"), contents(model.files.clone()));
        assert_same(&read(&mut fat), &expected, &what);
        lab.apply(&blob, &mut fat);
        lab.assert_clean();
        assert_same(&lab.read_with_mtools(), &expected, &what);
    }
}

#[test]
fn random_edits_of_every_shape() {
    for (index, (arguments, kib)) in (0..).zip(SHAPES) {
        for seed in 0..3 {
            // The smallest volume would be full: FAT12 gets more room here.
            sequence((arguments, kib.max(2000)), index * 100 + seed, (3, 60));
        }
    }
}

/// After each single change all of them look.
#[test]
fn single_changes() {
    for (index, (arguments, kib)) in (50..).zip(SHAPES) {
        for seed in 0..sequences().unwrap_or(1) {
            sequence((arguments, kib.max(2000)), index * 1000 + seed, (10, 1));
        }
    }
}
