//! Used ranges against what xfs_db lists as free, and against what must be copied for the files to survive.

use crate::images::{FLAVOURS, check, make, populate};
use fs_xfs::Xfs;
use std::path::Path;
use std::process::Command;
use wherry_sdk::FileSystem;
use wherry_sdk::testing::filesystem::{assert_same, copy_used, from_adapter, used};
use wherry_sdk::testing::{FileBlob, run};

fn xfs_db(image: &Path, commands: &[&str]) -> String {
    let mut xfs_db = Command::new("/sbin/xfs_db");
    xfs_db.args(["-r", "-f"]).args(commands.iter().flat_map(|command| ["-c", command]));
    run(xfs_db.arg(image))
}

/// Bytes that xfs_db says are free, without those that each group keeps for its trees.
fn free_by_xfs_db(image: &Path, block: u64) -> u64 {
    let number = |text: &str| text.rsplit(' ').next().unwrap().trim().parse::<u64>().unwrap();
    let groups = number(&xfs_db(image, &["sb 0", "p agcount"]));
    let kept = |group: u64| number(&xfs_db(image, &[&format!("agf {group}"), "p flcount"]));
    // Lines of group, block and length.
    let blocks = |line: &str| {
        let words: Vec<Option<u64>> = line.split_whitespace().map(|word| word.parse().ok()).collect();
        words.get(2).copied().flatten().filter(|_| words.len() == 3 && words[0].is_some())
    };
    let all: u64 = xfs_db(image, &["freesp -d"]).lines().filter_map(blocks).sum();
    (all - (0..groups).map(kept).sum::<u64>()) * block
}

/// A copy of the used ranges, with noise everywhere else, is a good file system with the same files.
#[test]
fn a_copy_of_what_is_used() {
    for flavour in FLAVOURS {
        let image = make(flavour, 48 << 20, populate);
        let device = FileBlob::open(&image.path).unwrap();
        let block = u64::from(Xfs::probe(&device).unwrap().unwrap().block);
        let mut fs = Xfs::mount(Box::new(device), false).unwrap();
        let tree = from_adapter(&mut fs);
        let (few, all) = (used(&mut fs, 48 << 20, 2).unwrap(), used(&mut fs, 48 << 20, 10_000).unwrap());
        let sum = |ranges: &[wherry_sdk::Range]| ranges.iter().map(|range| range.length).sum::<u64>();
        assert_eq!(sum(&few), sum(&all), "{}", flavour.name);
        assert_eq!((48 << 20) - sum(&all), free_by_xfs_db(&image.path, block), "{}", flavour.name);
        let target = image.beside("target");
        copy_used(&image.path, &target, &all);
        check(&target);
        let mut again = Xfs::mount(Box::new(FileBlob::open(&target).unwrap()), false).unwrap();
        assert_same(&from_adapter(&mut again), &tree, flavour.name);
        let rest = fs.used(5, 1).unwrap();
        assert_eq!(rest[0].offset, 5, "from the middle of a range");
        assert!(fs.used(48 << 20, 10).unwrap().is_empty());
    }
}
