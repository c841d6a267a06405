//! Random changes against a model in memory, repeatable by seed; `xfs_repair -n` and Linux look at what comes of them.

use crate::images::{FLAVOURS, Flavour, Image, check, empty, find, make, populate};
use fs_xfs::Xfs;
use std::path::Path;
use wherry_sdk::testing::filesystem::{
    Content, Files, Habits, Model, assert_same, attributes, from_adapter, from_directory, sequences,
};
use wherry_sdk::testing::{FileBlob, Mount, Random};
use wherry_sdk::{FileSystem, Kind, Meta};

/// The last times that inodes can hold, in seconds since 1970.
const TIME_SHORT: i64 = i32::MAX as i64;
const TIME_LONG: i64 = 16_299_260_425;

fn name(random: &mut Random) -> String {
    format!("n{:x}{}", random.next_u64(), "é".repeat(random.below(60) as usize))
}

fn ascii_name(random: &mut Random) -> String {
    format!("N{:x}{}", random.next_u64(), "e".repeat(random.below(120) as usize))
}

fn like(random: &mut Random, kind: Kind) -> Option<Meta> {
    let mut attributes = vec![("security.selinux".to_owned(), b"system_u:object_r:boot_t:s0\0".to_vec())];
    let length = match random.below(12) {
        0..4 => Some(random.below(600)),
        4 => Some(random.below(6000)),
        5 => Some(1 << 16),
        _ => None,
    };
    if let Some(length) = length {
        attributes.push(("trusted.more".into(), random.bytes(length as usize)));
    }
    for index in 0..(if random.below(16) == 0 { random.below(90) } else { 0 }) {
        attributes.push((format!("trusted.n{index}"), random.bytes(index as usize * 3)));
    }
    if random.below(4) == 0 {
        attributes.clear();
    }
    attributes.sort();
    Some(Meta {
        kind,
        size: 77,
        mode: random.below(0o10000) as u32,
        uid: random.below(200_000) as u32,
        gid: random.below(200_000) as u32,
        mtime: random.below(1 << 35) as i64 - (1 << 31),
        id: 1,
        links: 9,
        attributes,
    })
}

/// A volume that is changed, and what should be on it.
pub struct Bench {
    pub image: Image,
    device: FileBlob,
    fs: Xfs,
    model: Model,
    /// Linux here has the driver for it.
    mounts: bool,
}

impl Bench {
    pub fn new(image: Image, flavour: &Flavour, seed: u64, size_most: u64) -> Self {
        let device = FileBlob::open(&image.path).unwrap();
        let mut fs = Xfs::mount(Box::new(device.clone()), true).unwrap();
        let identity = Xfs::probe(&device).unwrap().unwrap();
        let features = identity.facts.iter().find(|fact| fact.key == "features").unwrap().value.clone();
        let has = |name: &str| features.split(',').any(|feature| feature == name);
        let habits = Habits {
            name: if flavour.name == "ci" { ascii_name } else { name },
            spell: |path: &str| path.to_owned(),
            like,
            links: true,
            block: u64::from(identity.block),
            size_most,
            time_most: if has("bigtime") { TIME_LONG } else { TIME_SHORT },
        };
        let model = Model::new(&mut fs, seed, habits);
        Self { image, device, fs, model, mounts: has("v5") && !has("ascii-ci") }
    }

    /// What should be there, with the number of names of each directory.
    pub fn expected(&self) -> Files {
        let mut files = self.model.files.clone();
        let is_directory = |node: &wherry_sdk::testing::filesystem::Node| node.content == Content::Directory;
        let parents: Vec<String> = files
            .iter()
            .filter(|(_, node)| is_directory(node))
            .map(|(path, _)| path.rsplit_once('/').unwrap().0.to_owned())
            .collect();
        for (path, node) in files.iter_mut().filter(|(_, node)| is_directory(node)) {
            node.links = 2 + parents.iter().filter(|parent| *parent == path).count() as u32;
        }
        files
    }

    /// Changes, then everything is written back and `xfs_repair` looks.
    pub fn round(&mut self, steps: u64, what: &str) {
        (0..steps).for_each(|_| self.model.step(&mut self.fs));
        self.fs.sync().unwrap();
        self.device.apply(&self.image.path).unwrap();
        eprintln!("{what}");
        check(&self.image.path);
    }

    /// The adapter that made the changes, a fresh one, and Linux see what should be there.
    pub fn verify(&mut self, what: &str) {
        let expected = self.expected();
        assert_same(&from_adapter(&mut self.fs), &expected, what);
        let mut again = Xfs::mount(Box::new(FileBlob::open(&self.image.path).unwrap()), false).unwrap();
        assert_same(&from_adapter(&mut again), &expected, what);
        if !self.mounts {
            return;
        }
        let copy = self.image.beside("mounted-copy");
        std::fs::copy(&self.image.path, &copy).unwrap();
        let Some(mount) = Mount::by_kernel("xfs", &copy, "nouuid") else { return };
        let mut there = from_directory(&mount.path);
        for (path, node) in &mut there {
            node.attributes = attributes(&mount.path.join(&path[1..]));
        }
        assert_same(&there, &expected, what);
        change_by_kernel(&mount.path, &expected);
        drop(mount);
        check(&copy);
    }
}

/// There may be no room.
fn written(path: &Path, content: Vec<u8>) {
    let done = std::fs::write(path, content);
    assert!(done.is_ok() || done.is_err_and(|error| error.kind() == std::io::ErrorKind::StorageFull));
}

/// The kernel adds, removes, lengthens and shortens in every directory, so that it looks at all that was made.
fn change_by_kernel(root: &Path, model: &Files) {
    for (index, (path, node)) in model.iter().enumerate() {
        let path = root.join(&path[1..]);
        match &node.content {
            Content::Directory => written(&path.join("by the kernel"), vec![7; index % 7000]),
            Content::File(_) if index % 2 == 0 => std::fs::remove_file(path).unwrap(),
            Content::File(old) => {
                let mut content = old.clone();
                content.extend(vec![8; 5000]);
                written(&path, content);
            }
            _ => {}
        }
    }
}

/// `rounds` times `steps` changes.
pub fn sequence(image: Image, flavour: &Flavour, seed: u64, rounds: u64, steps: u64, size_most: u64) {
    let mut bench = Bench::new(image, flavour, seed, size_most);
    for round in 0..rounds {
        bench.round(steps, &format!("{}, seed {seed}, round {round}", flavour.name));
    }
    bench.verify(&format!("{}, seed {seed}", flavour.name));
}

fn of(name: &str, seed: u64) {
    let flavour = find(name);
    sequence(make(flavour, 64 << 20, populate), flavour, seed, 4, 60, 400_000);
    sequence(empty(flavour, 64 << 20), flavour, seed + 1, 4, 100, 80_000);
}

#[test]
fn defaults() {
    of("default", 10);
}

#[test]
fn without_newer_features() {
    of("v5-plain", 20);
}

#[test]
fn owners_and_large_counts() {
    of("rmapbt", 30);
}

#[test]
fn small_blocks() {
    of("1k", 40);
    of("1k-wide", 45);
}

#[test]
fn large_inodes_and_sectors() {
    of("2k", 50);
    of("sector-4k", 55);
}

#[test]
fn several_groups() {
    of("groups", 60);
}

#[test]
fn names_in_any_case() {
    // What populates the others has a name beyond ASCII.
    let flavour = find("ci");
    sequence(empty(flavour, 64 << 20), flavour, 70, 6, 100, 80_000);
}

#[test]
fn version_4() {
    of("v4", 80);
    of("v4-ftype", 82);
    of("v4-old", 84);
}

#[test]
fn version_4_with_blocks_of_512() {
    of("v4-512", 90);
}

/// `xfs_repair` looks after every single change, of an empty volume or of one with large directories.
#[test]
fn after_every_single_change() {
    let few = |flavour: &Flavour| ["default", "rmapbt", "v4-512"].contains(&flavour.name);
    for seed in 0..sequences().unwrap_or(1) {
        let all = (1..).zip(FLAVOURS);
        for (index, flavour) in all.filter(|(_, flavour)| sequences().is_some() || few(flavour)) {
            // What populates the others has a name beyond ASCII.
            let image = if seed % 4 == 3 && flavour.name != "ci" {
                make(flavour, 64 << 20, populate)
            } else {
                empty(flavour, if flavour.name == "groups" { 64 << 20 } else { 24 << 20 })
            };
            sequence(image, flavour, 1000 * index + seed, 40, 1, 80_000);
        }
    }
}
