//! Random changes against a model in memory, repeatable by seed.

use crate::check::check;
use crate::images::{Flavour, Image, empty, find, make};
use crate::tools;
use crate::tree::{from_adapter, from_directory};
use fs_ntfs::Ntfs;
use std::collections::{BTreeMap, BTreeSet};
use wherry_sdk::testing::filesystem::{Content, Files, Habits, Model, assert_same, sequences};
use wherry_sdk::testing::{FileBlob, MemoryBlob, Random, kernel};
use wherry_sdk::{FileSystem, Kind, Meta};

/// Streams by the number of their file, then by name.
type Streams = BTreeMap<u64, BTreeMap<String, Vec<u8>>>;

fn name(random: &mut Random) -> String {
    let number = random.next_u64();
    match number % 5 {
        0 => format!("{:x}", number >> 52),
        1 => format!("{:x}.txt", number >> 40),
        2 => format!("ü {:x} and so on", number >> 36),
        3 => format!("{:x}{}", number >> 44, "long".repeat((number >> 10) as usize % 45)),
        _ => format!("{:x}.with.dots", number >> 40),
    }
}

fn like(random: &mut Random, kind: Kind) -> Option<Meta> {
    let mtime = 1_000_000_000 + random.below(1 << 28) as i64;
    let flags = (random.below(4) as u32 | 0x20).to_le_bytes().to_vec();
    let mode = if flags[0] & 1 == 1 { 0o555 } else { 0o777 };
    let attributes = vec![("ntfs.attributes".into(), flags)];
    let file = Meta { kind, size: 0, mode, uid: 0, gid: 0, mtime, id: 0, links: 1, attributes };
    (kind == Kind::File).then_some(file)
}

struct Run<'r> {
    fs: &'r mut Ntfs,
    model: Model,
    streams: Streams,
}

impl<'r> Run<'r> {
    fn new(fs: &'r mut Ntfs, seed: u64, block: u64) -> Self {
        // No letter of NTFS is `ß` in upper case.
        let spell = |path: &str| path.split('ß').map(str::to_uppercase).collect::<Vec<_>>().join("ß");
        let habits = Habits { name, spell, like, links: true, block, size_most: 80_000, time_most: i64::MAX };
        let model = Model::new(fs, seed, habits);
        let known = model.files.get("/few/size-70000").map(|node| node.id);
        let stream = BTreeMap::from([("stream".into(), b"what it says".to_vec())]);
        Self { fs, model, streams: known.map(|id| (id, stream)).into_iter().collect() }
    }

    /// One change, and what should come of it.
    fn step(&mut self) {
        if self.model.random.below(20) == 0 {
            return self.stream();
        }
        self.model.step(self.fs);
        let known: BTreeSet<u64> = self.model.files.values().map(|node| node.id).collect();
        self.streams.retain(|id, _| known.contains(id));
    }

    fn stream(&mut self) {
        let Some(path) = self.model.pick(|node| !matches!(node.content, Content::Link(_))) else { return };
        let name = format!("s{}", self.model.random.below(4));
        let whole = format!("{path}:{name}");
        let streams = self.streams.entry(self.model.files[&path].id).or_default();
        if streams.remove(&name).is_some() && self.model.random.below(3) == 0 {
            self.fs.remove(&whole).unwrap();
            return;
        }
        let content = self.model.content();
        self.fs.write(&whole, &MemoryBlob::read_only(content.clone()), None).unwrap();
        streams.insert(name, content);
    }

    fn compare(&mut self, what: &str) {
        let there: BTreeMap<String, Content> =
            from_adapter(self.fs).into_iter().map(|(path, node)| (path, node.content)).collect();
        let files = &self.model.files;
        let expected = files.iter().map(|(path, node)| (path.clone(), node.content.clone())).collect();
        assert_same(&there, &expected, what);
        for (path, node) in files {
            for (name, expected) in self.streams.get(&node.id).into_iter().flatten() {
                let stream = format!("{path}:{name}");
                let size = self.fs.stat(&stream).unwrap_or_else(|error| panic!("{what}: {error:?}")).size;
                assert_eq!(size, expected.len() as u64, "{what}: {stream}");
                assert!(self.fs.read(&stream, 0, 1 << 20).unwrap() == *expected, "{what}: {stream}");
            }
        }
    }
}

/// `rounds` times `steps` changes; after each round everybody looks at the volume, the tools at least after every 200.
fn sequence(image: &Image, flavour: &Flavour, seed: u64, rounds: u64, steps: u64) {
    let device = FileBlob::open(&image.path).unwrap();
    let mut fs = Ntfs::mount(Box::new(device.clone()), true).unwrap();
    let cluster = u64::from(Ntfs::probe(&device).unwrap().unwrap().block);
    let mut run = Run::new(&mut fs, seed, cluster);
    for round in 0..rounds {
        let what = format!("{}, seed {seed}, round {round}", flavour.name);
        (0..steps).for_each(|_| run.step());
        run.fs.sync().unwrap();
        check(&device);
        run.compare(&what);
        if steps == 1 || round % 4 == 3 || round + 1 == rounds {
            device.apply(&image.path).unwrap();
            tools::check(&image.path);
        }
    }
}

/// What Linux' own driver finds after all the changes is what should be there.
fn linux(image: &Image, flavour: &Flavour, seed: u64) {
    sequence(image, flavour, seed, 5, 60);
    let folder = image.beside("linux");
    std::fs::create_dir(&folder).unwrap();
    let said = kernel::unpack(&image.path, "ntfs3", &folder);
    let plain = |files: Files| -> BTreeMap<String, (Content, i64)> {
        files.into_iter().map(|(path, node)| (path, (node.content, node.mtime))).collect()
    };
    let mut fs = Ntfs::mount(Box::new(FileBlob::open(&image.path).unwrap()), false).unwrap();
    let what = format!("{}, seed {seed}", flavour.name);
    assert_same(&plain(from_adapter(&mut fs)), &plain(from_directory(&folder)), &what);
    assert!(!said.contains("orrupt") && !said.contains("rror"), "{said}");
}

fn small(name: &str, size: u64) -> Flavour {
    Flavour { size, ..*find(name) }
}

#[test]
fn on_what_ntfs_3g_made() {
    let flavour = small("4k", 64 << 20);
    for seed in 0..4 {
        sequence(&make(&flavour), &flavour, seed, 5, 60);
    }
}

#[test]
fn clusters_of_4096() {
    let flavour = small("4k", 64 << 20);
    for seed in 10..18 {
        sequence(&empty(&flavour), &flavour, seed, 8, 60);
    }
}

#[test]
fn clusters_of_512() {
    let flavour = small("512", 48 << 20);
    for seed in 20..25 {
        sequence(&empty(&flavour), &flavour, seed, 8, 60);
    }
}

#[test]
fn clusters_of_65536() {
    let flavour = small("64k", 512 << 20);
    for seed in 30..34 {
        sequence(&empty(&flavour), &flavour, seed, 8, 50);
    }
}

#[test]
fn large_sectors() {
    let flavour = small("sector-4k", 96 << 20);
    for seed in 40..44 {
        sequence(&empty(&flavour), &flavour, seed, 8, 50);
    }
}

/// 100 changes at a time.
fn every(flavour: &Flavour, seed: u64) {
    for seed in seed..seed + sequences().unwrap_or(5) {
        sequence(&empty(flavour), flavour, seed, 100, 1);
    }
}

#[test]
fn all_look_after_every_single_change() {
    every(&small("4k", 8 << 20), 1000);
}

#[test]
fn all_look_after_every_single_change_of_clusters_of_512() {
    every(&small("512", 8 << 20), 2000);
}

#[test]
fn linux_reads_what_ntfs_3g_made_and_we_changed() {
    let flavour = small("4k", 64 << 20);
    linux(&make(&flavour), &flavour, 50);
}

#[test]
fn linux_reads_clusters_of_512() {
    let flavour = small("512", 48 << 20);
    linux(&empty(&flavour), &flavour, 51);
}

#[test]
fn linux_reads_large_sectors() {
    let flavour = small("sector-4k", 96 << 20);
    linux(&empty(&flavour), &flavour, 52);
}
