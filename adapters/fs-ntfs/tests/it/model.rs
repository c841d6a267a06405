//! Random changes against a model in memory, repeatable by seed.

use crate::check::check;
use crate::images::{Flavour, Image, empty, find, make};
use crate::tools;
use crate::tree::{Content, Tree, assert_same, bytes, from_adapter, from_directory};
use fs_ntfs::Ntfs;
use std::collections::BTreeMap;
use wherry_sdk::testing::{FileBlob, MemoryBlob, Random, kernel};
use wherry_sdk::{FileSystem, Meta};

/// An object: hard links share it.
struct Object {
    content: Content,
    streams: BTreeMap<String, Vec<u8>>,
}

/// What should be on the volume.
#[derive(Default)]
struct Model {
    paths: BTreeMap<String, usize>,
    objects: Vec<Object>,
}

impl Model {
    fn of(fs: &mut Ntfs) -> Self {
        let mut model = Self::default();
        let mut known = BTreeMap::new();
        for (path, node) in from_adapter(fs) {
            let next = model.objects.len();
            let id = *known.entry(node.id).or_insert(next);
            if id == next {
                let mut streams = BTreeMap::new();
                if path.ends_with("size-70000") {
                    streams.insert("stream".into(), b"what it says".to_vec());
                }
                model.objects.push(Object { content: node.content, streams });
            }
            model.paths.insert(path, id);
        }
        model
    }

    fn add(&mut self, path: &str, content: Content) {
        self.objects.push(Object { content, streams: BTreeMap::new() });
        self.paths.insert(path.into(), self.objects.len() - 1);
    }

    fn at(&mut self, path: &str) -> &mut Object {
        &mut self.objects[self.paths[path]]
    }

    fn is_empty(&self, path: &str) -> bool {
        let inside = format!("{path}/");
        !self.paths.range(inside.clone()..).next().is_some_and(|(other, _)| other.starts_with(&inside))
    }

    fn pick(&self, random: &mut Random, wanted: impl Fn(&Content) -> bool) -> Option<String> {
        let some: Vec<&String> = self
            .paths
            .iter()
            .filter(|(_, id)| wanted(&self.objects[**id].content))
            .map(|(path, _)| path)
            .collect();
        (!some.is_empty()).then(|| some[random.below(some.len() as u64) as usize].clone())
    }
}

fn is_file(content: &Content) -> bool {
    matches!(content, Content::File(_))
}

fn is_directory(content: &Content) -> bool {
    matches!(content, Content::Directory)
}

/// A size near one of the limits, or any.
fn size(random: &mut Random, cluster: usize) -> usize {
    match random.below(10) {
        0 => 0,
        1..4 => random.below(900) as usize,
        4..7 => random.below(3 * cluster as u64).min(20_000) as usize,
        7 => cluster.min(70_000),
        8 => 60_000 + random.below(20_000) as usize,
        _ => random.below(400) as usize,
    }
}

struct Run<'r> {
    fs: &'r mut Ntfs,
    model: Model,
    random: Random,
    cluster: usize,
    /// directories
    deep: usize,
}

impl Run<'_> {
    fn new_path(&mut self) -> String {
        let directory =
            if self.random.below(4) == 0 { None } else { self.model.pick(&mut self.random, is_directory) };
        let number = self.random.next_u64();
        let name = match number % 5 {
            0 => format!("{:x}", number >> 52),
            1 => format!("{:x}.txt", number >> 40),
            2 => format!("ü {:x} and so on", number >> 36),
            3 => format!("{:x}{}", number >> 44, "long".repeat((number >> 10) as usize % 45)),
            _ => format!("{:x}.with.dots", number >> 40),
        };
        format!("{}/{name}", directory.unwrap_or_default())
    }

    fn content(&mut self) -> Vec<u8> {
        let length = size(&mut self.random, self.cluster);
        bytes(self.random.next_u64(), length)
    }

    /// One change, and what should come of it.
    fn step(&mut self) {
        match self.random.below(20) {
            0..6 => self.create(),
            6..8 => self.replace(),
            8..11 => self.modify(),
            11..13 => self.rename(),
            13..16 => self.remove(),
            16 => self.make_directory(),
            17 => self.link(),
            18 => self.stream(),
            _ => self.set_meta(),
        }
    }

    fn create(&mut self) {
        let (path, content) = (self.new_path(), self.content());
        if self.model.paths.contains_key(&path) {
            return;
        }
        self.fs.write(&path, &MemoryBlob::read_only(content.clone()), None).unwrap();
        self.model.add(&path, Content::File(content));
    }

    fn replace(&mut self) {
        let Some(path) = self.model.pick(&mut self.random, is_file) else { return };
        let content = self.content();
        // Names are found in any case.
        self.fs.write(&path.to_uppercase(), &MemoryBlob::read_only(content.clone()), None).unwrap();
        self.model.at(&path).content = Content::File(content);
    }

    fn modify(&mut self) {
        let Some(path) = self.model.pick(&mut self.random, is_file) else { return };
        let new = self.content();
        let Content::File(old) = &mut self.model.objects[self.model.paths[&path]].content else { return };
        let at = self.random.below(old.len() as u64 + 1) as usize;
        self.fs.modify(&path, at as u64, &MemoryBlob::read_only(new.clone())).unwrap();
        old.resize(old.len().max(at + new.len()), 0);
        old[at..at + new.len()].copy_from_slice(&new);
    }

    fn rename(&mut self) {
        let Some(old) = self.model.pick(&mut self.random, |_| true) else { return };
        let new = match self.random.below(3) {
            0 => self.model.pick(&mut self.random, is_file).unwrap_or_else(|| "/x".into()),
            _ => self.new_path(),
        };
        if new.starts_with(&format!("{old}/")) {
            assert!(self.fs.rename(&old, &new).is_err(), "{old} into itself");
            return;
        }
        let kinds = |path: &String| {
            self.model.paths.get(path).map(|id| is_directory(&self.model.objects[*id].content))
        };
        if kinds(&new).is_some_and(|kind| Some(kind) != kinds(&old)) {
            assert!(self.fs.rename(&old, &new).is_err(), "{old} over {new}");
            return;
        }
        if self.model.paths.get(&old) == self.model.paths.get(&new) {
            return;
        }
        self.fs.rename(&old, &new).unwrap();
        let inside = format!("{old}/");
        let moved: Vec<String> =
            self.model.paths.keys().filter(|path| path.starts_with(&inside)).cloned().collect();
        for path in moved.into_iter().chain([old.clone()]) {
            let id = self.model.paths.remove(&path).unwrap();
            self.model.paths.insert(format!("{new}{}", &path[old.len()..]), id);
        }
    }

    fn remove(&mut self) {
        let Some(path) = self.model.pick(&mut self.random, |_| true) else { return };
        if !self.model.is_empty(&path) {
            assert!(self.fs.remove(&path).is_err(), "{path} is not empty");
            return;
        }
        self.fs.remove(&path).unwrap();
        self.model.paths.remove(&path);
    }

    fn make_directory(&mut self) {
        let path = self.new_path();
        if self.model.paths.contains_key(&path) || self.deep > 30 || path.len() > 600 {
            return;
        }
        self.deep += 1;
        self.fs.make_directory(&path, None).unwrap();
        assert!(self.fs.make_directory(&path, None).is_err());
        self.model.add(&path, Content::Directory);
    }

    fn link(&mut self) {
        let (path, target) = (self.new_path(), format!("../{}", "t".repeat(self.random.below(250) as usize)));
        if self.model.paths.contains_key(&path) {
            return;
        }
        self.fs.make_symlink(&path, &target, None).unwrap();
        self.model.add(&path, Content::Link(target));
    }

    fn stream(&mut self) {
        let Some(path) = self.model.pick(&mut self.random, |content| !matches!(content, Content::Link(_)))
        else {
            return;
        };
        let name = format!("s{}", self.random.below(4));
        let whole = format!("{path}:{name}");
        if self.model.at(&path).streams.remove(&name).is_some() && self.random.below(3) == 0 {
            self.fs.remove(&whole).unwrap();
            return;
        }
        let content = self.content();
        self.fs.write(&whole, &MemoryBlob::read_only(content.clone()), None).unwrap();
        self.model.at(&path).streams.insert(name, content);
    }

    fn set_meta(&mut self) {
        let Some(path) = self.model.pick(&mut self.random, is_file) else { return };
        let meta = self.fs.stat(&path).unwrap();
        let mtime = 1_000_000_000 + self.random.below(1 << 28) as i64;
        let flags = (self.random.below(4) as u32 | 0x20).to_le_bytes().to_vec();
        let attributes = vec![("ntfs.attributes".into(), flags.clone())];
        let mode = if flags[0] & 1 == 1 { 0o555 } else { 0o777 };
        self.fs.set_meta(&path, &Meta { mtime, mode, attributes, ..meta }).unwrap();
        let meta = self.fs.stat(&path).unwrap();
        assert_eq!((meta.mtime, meta.mode), (mtime, mode));
    }

    fn compare(&mut self, what: &str) {
        let there: BTreeMap<String, Content> =
            from_adapter(self.fs).into_iter().map(|(path, node)| (path, node.content)).collect();
        let content = |id: &usize| self.model.objects[*id].content.clone();
        let expected = self.model.paths.iter().map(|(path, id)| (path.clone(), content(id))).collect();
        assert_same(&there, &expected, what);
        for (path, id) in &self.model.paths {
            for (name, expected) in &self.model.objects[*id].streams {
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
    let cluster = Ntfs::probe(&device).unwrap().unwrap().block as usize;
    let model = Model::of(&mut fs);
    let mut run = Run { fs: &mut fs, model, random: Random::new(seed), cluster, deep: 0 };
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
    let plain = |tree: Tree| -> BTreeMap<String, (Content, i64)> {
        tree.into_iter().map(|(path, node)| (path, (node.content, node.mtime))).collect()
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

/// 100 changes at a time. WHERRY_SEQUENCES asks for more than what is worth the time in every run.
fn every(flavour: &Flavour, seed: u64) {
    let sequences = std::env::var("WHERRY_SEQUENCES").map_or(5, |count| count.parse().unwrap());
    for seed in seed..seed + sequences {
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
