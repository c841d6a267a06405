//! Changes of what Linux' own driver made: files that share blocks, holes, room that was never written, second names, devices,
//! attributes in every form, directories with gaps.

use crate::images::{Flavour, Image, check, empty, find, populate};
use crate::sequence::sequence;
use std::fs;
use std::path::Path;
use std::process::Command;
use wherry_sdk::testing::{Mount, Random, noise, run};

const SIZE: u64 = 128 << 20;

fn xfs_io(path: &Path, commands: &[String]) {
    let mut xfs_io = Command::new("/sbin/xfs_io");
    xfs_io.args(commands.iter().flat_map(|command| ["-c", command]));
    run(xfs_io.arg("-f").arg(path));
}

/// Files whose blocks are everywhere.
fn shapes(root: &Path, seed: u64, share: bool) {
    let mut random = Random::new(seed);
    fs::create_dir(root.join("shapes")).unwrap();
    fs::write(root.join("shapes/0"), noise(seed, 300_000)).unwrap();
    for index in 1..60 {
        let path = root.join(format!("shapes/{index}"));
        let other = root.join(format!("shapes/{}", random.below(index)));
        let mut commands = Vec::new();
        for _ in 0..1 + random.below(12) {
            let (at, length) = (random.below(60) * 4096, (1 + random.below(20)) * 4096);
            let from = random.below(30) * 4096;
            commands.push(match random.below(6) {
                0 => format!("falloc {at} {length}"),
                1 => format!("fpunch {at} {length}"),
                2 if share => format!("reflink {} {from} {at} {length}", other.display()),
                3 => format!("falloc -k {at} {length}"),
                _ => format!("pwrite -q -S {} {at} {length}", index % 256),
            });
        }
        if share && random.below(3) == 0 {
            run(Command::new("cp").arg("--reflink=always").arg(&other).arg(&path));
        }
        // Some go beyond the end of the other file.
        let mut xfs_io = Command::new("/sbin/xfs_io");
        xfs_io.args(commands.iter().flat_map(|command| ["-c", command]));
        xfs_io.arg("-f").arg(&path).output().unwrap();
        if random.below(4) == 0 {
            fs::hard_link(&path, root.join(format!("second {index}"))).unwrap();
        }
        for number in 0..random.below(30) {
            let value = "v".repeat(random.below(1500) as usize);
            run(Command::new("setfattr").args(["-n", &format!("trusted.{number}"), "-v", &value]).arg(&path));
        }
    }
    for index in (0..1500).filter(|index| index % 3 > 0) {
        fs::remove_file(
            root.join("many").join(format!("{index}-a_rather_long_name_so_that_one_block_is_not_enough")),
        )
        .unwrap();
    }
    run(Command::new("mknod").arg(root.join("null")).args(["c", "1", "3"]));
    run(Command::new("mkfifo").arg(root.join("pipe")));
}

fn made_by_linux(flavour: &Flavour, seed: u64) -> Option<Image> {
    let image = empty(flavour, SIZE);
    let mount = Mount::by_kernel("xfs", &image.path, "nouuid")?;
    populate(&mount.path);
    shapes(&mount.path, seed, flavour.name != "v5-plain");
    xfs_io(&mount.path.join("fragments"), &pieces());
    drop(mount);
    check(&image.path);
    Some(image)
}

/// Every second block of a file.
fn pieces() -> Vec<String> {
    (0..400).map(|index| format!("pwrite -q -S 5 {} 4096", index * 8192)).collect()
}

fn changed(name: &str, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let flavour = find(name);
        let Some(image) = made_by_linux(flavour, seed) else { return };
        sequence(image, flavour, seed, 4, 80, 300_000);
    }
}

#[test]
fn defaults() {
    changed("default", 0..1);
}

#[test]
fn owners() {
    changed("rmapbt", 10..12);
}

#[test]
fn small_blocks() {
    changed("1k", 20..21);
}

#[test]
fn without_sharing() {
    changed("v5-plain", 30..31);
}
