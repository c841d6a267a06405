//! Random changes against a model; then what the checker, the adapter and Linux say.

use crate::images::{FLAVOURS, Flavour, Image, find, make, populate};
use crate::raw::Raw;
use crate::reading::{Compared, compared};
use fs_ufs::Ufs;
use std::collections::BTreeMap;
use wherry_sdk::testing::filesystem::{
    Content, Habits, Model, assert_same, from_adapter, from_directory, sequences,
};
use wherry_sdk::testing::{FileBlob, MemoryBlob, Random, kernel};
use wherry_sdk::{ErrorKind, FileSystem, Kind, Meta};

fn meta(random: &mut Random) -> Meta {
    Meta {
        kind: Kind::Other,
        size: 77,
        mode: random.below(0o10000) as u32,
        uid: random.below(200_000) as u32,
        gid: random.below(200_000) as u32,
        mtime: random.below(1 << 31) as i64 - (1 << 30),
        id: 1,
        links: 9,
        attributes: Vec::new(),
    }
}

fn name(random: &mut Random) -> String {
    format!("n{:x}{}", random.next_u64(), "é".repeat(random.below(60) as usize))
}

/// A file system that is changed, and what it should contain.
struct Bench {
    image: Image,
    device: FileBlob,
    fs: Ufs,
    model: Model,
}

impl Bench {
    fn new(flavour: &Flavour, seed: u64) -> Self {
        let image = make(flavour, populate);
        let device = FileBlob::open(&image.path).unwrap();
        let mut fs = Ufs::mount(Box::new(device.clone()), true).unwrap();
        let habits = Habits {
            name,
            spell: |path| path.to_owned(),
            like: |random, _| Some(meta(random)),
            links: true,
            block: 8192,
            size_most: 300_000,
            time_most: i64::from(i32::MAX),
        };
        let model = Model::new(&mut fs, seed, habits);
        Self { image, device, fs, model }
    }

    /// The bytes as they are now, checked.
    fn check(&mut self, name: &str) -> Raw {
        let model = compared(self.model.files.clone());
        assert_same(&compared(from_adapter(&mut self.fs)), &model, name);
        self.fs.sync().unwrap();
        let path = self.image.beside("edited");
        std::fs::copy(&self.image.path, &path).unwrap();
        self.device.apply(&path).unwrap();
        let raw = Raw { bytes: std::fs::read(&path).unwrap(), big: name.starts_with("sparc") };
        raw.check();
        let mut fresh = Ufs::mount(Box::new(MemoryBlob::read_only(raw.bytes.clone())), true).unwrap();
        assert_same(&compared(from_adapter(&mut fresh)), &model, name);
        raw
    }
}

#[test]
fn random_edits() {
    for (seed, flavour) in (1..).zip(FLAVOURS) {
        let mut bench = Bench::new(flavour, seed);
        for _ in 0..12 {
            for _ in 0..40 {
                bench.model.step(&mut bench.fs);
            }
            bench.check(flavour.name);
        }
    }
}

/// After each single change everything is in order.
#[test]
fn single_changes() {
    for (number, flavour) in (7..).zip(FLAVOURS) {
        for sequence in 0..sequences().unwrap_or(1) {
            let mut bench = Bench::new(flavour, number + 100 * sequence);
            for change in 0..60 {
                eprintln!("{}, sequence {sequence}, change {change}", flavour.name);
                bench.model.step(&mut bench.fs);
                bench.check(flavour.name);
            }
        }
    }
}

#[test]
fn linux_reads_what_was_changed() {
    for seed in 0..sequences().unwrap_or(1) {
        linux_reads("x86", "sunx86", 2000 + seed);
        linux_reads("sparc", "sun", 3000 + seed);
    }
}

/// At the end Linux' driver looks; in long runs our own checker does so after each single change.
fn linux_reads(name: &str, kind: &str, seed: u64) {
    let mut bench = Bench::new(find(name), seed);
    for change in 0..150 {
        eprintln!("{name}, seed {seed}, change {change}");
        bench.model.step(&mut bench.fs);
        if sequences().is_some() {
            bench.check(name);
        }
    }
    bench.check(name);
    let folder = bench.image.beside("linux");
    std::fs::create_dir(&folder).unwrap();
    kernel::unpack_with(&bench.image.beside("edited"), "ufs", &format!("ro,ufstype={kind}"), &folder);
    let model = compared(bench.model.files.clone());
    // A tar tells no mode of links.
    let contents = |files: Compared| -> BTreeMap<String, (Content, u32, (u32, u32))> {
        let mode = |content: &Content, mode| if matches!(content, Content::Link(_)) { 0o777 } else { mode };
        let all = files.into_iter();
        all.map(|(path, (content, own, owner, _))| (path, (content.clone(), mode(&content, own), owner)))
            .collect()
    };
    assert_same(&contents(compared(from_directory(&folder))), &contents(model), name);
}

#[test]
fn a_full_volume() {
    let mut bench = Bench::new(find("x86"), 20);
    let free = bench.fs.room().unwrap().free;
    let large = MemoryBlob::read_only(vec![7; free as usize + 1]);
    assert_eq!(bench.fs.write("/large", &large, None).unwrap_err().kind, ErrorKind::NoSpace);
    let most = MemoryBlob::read_only(vec![7; free as usize - 200_000]);
    bench.fs.write("/large", &most, None).unwrap();
    assert_eq!(
        bench.fs.write("/more", &MemoryBlob::read_only(vec![1; 300_000]), None).unwrap_err().kind,
        ErrorKind::NoSpace
    );
    bench.fs.remove("/large").unwrap();
    assert_eq!(bench.fs.room().unwrap().free, free);
    bench.model.step(&mut bench.fs);
    bench.check("x86");
}
