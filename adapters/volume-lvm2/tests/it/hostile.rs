//! Damaged metadata, deterministic by seed; checksums are made right again, so that the damage gets through.

use crate::exercise::exercise;
use crate::lab::Lab;
use crate::made::{self, logical, striped};
use wherry_sdk::testing::damage;

/// A group with everything that the parser knows.
fn rich() -> Vec<u8> {
    let logicals = [
        logical("root", &[&striped(0, 4, &[("pv0", 2)]), &striped(4, 4, &[("pv0", 8), ("pv0", 12)])]),
        logical("odd", &[&striped(0, 1, &[("pv0", 14)])]),
        logical(
            "mirror",
            &["start_extent = 0 extent_count = 1 type = \"mirror\" mirrors = [\"odd\", 0, \"pv0\", 15]"],
        ),
        logical(
            "raid",
            &["start_extent = 0 extent_count = 2 type = \"raid5_ls\" device_count = 3 stripe_size = 128 \
               raids = [\"x_rmeta_0\", \"odd\", \"x_rmeta_1\", \"odd\", \"x_rmeta_2\", \"odd\"]"],
        ),
        logical(
            "pool",
            &[
                "start_extent = 0 extent_count = 1 type = \"thin-pool\" metadata = \"odd\" pool = \"root\" transaction_id = 1",
            ],
        ),
        logical(
            "thin",
            &[
                "start_extent = 0 extent_count = 9 type = \"thin\" thin_pool = \"pool\" device_id = 1 external_origin = \"odd\"",
            ],
        ),
        logical(
            "snap",
            &["start_extent = 0 extent_count = 1 type = \"snapshot\" origin = \"root\" cow_store = \"odd\""],
        ),
    ];
    made::group(&["A"], 1, &logicals.concat()).into_bytes()
}

#[test]
fn damaged_texts() {
    let text = rich();
    for seed in 0..600 {
        let mut damaged = text.clone();
        damage(&mut damaged, 0, text.len(), seed);
        exercise(&damaged);
    }
}

#[test]
fn damaged_disks() {
    let whole = made::physical("A", &rich());
    for seed in 0..600 {
        let mut disk = whole.clone();
        let (from, to) = match seed % 3 {
            0 => (512, 700),
            1 => (made::AREA, made::AREA + 70),
            _ => (made::AREA + 512, made::AREA + 512 + rich().len()),
        };
        damage(&mut disk, from, to, seed);
        exercise(&disk);
    }
}

/// What lvm2 wrote, damaged and cut off.
#[test]
fn damaged_groups_of_lvm2() {
    let lab = Lab::new(&[8]);
    lab.create();
    let whole = std::fs::read(&lab.images[0]).unwrap()[..2 << 20].to_vec();
    for seed in 0..100 {
        let mut disk = whole.clone();
        damage(&mut disk, 512, 8192, seed);
        exercise(&disk);
    }
    for length in (0..8192).step_by(173) {
        exercise(&whole[..length]);
    }
}
