//! Random sequences of edits, on the volume and on a model of it; then fsck.fat, mtools and the adapter must agree.

use crate::lab::{Lab, SHAPES, Tree, assert_same, noise, walk};
use fs_fat::Fat;
use wherry_sdk::testing::{MemoryBlob, Random};
use wherry_sdk::{ErrorKind, FileSystem, Result};

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

/// What the volume should be after the calls that were made.
struct Model {
    tree: Tree,
    random: Random,
}

impl Model {
    fn below(&mut self, end: usize) -> usize {
        self.random.below(end as u64) as usize
    }

    /// A directory of the model; its path without a slash at the end.
    fn directory(&mut self) -> String {
        let known: Vec<String> =
            self.tree.iter().filter(|(_, c)| c.is_none()).map(|(p, _)| p.clone()).collect();
        let index = self.below(known.len() + 1);
        known.get(index).cloned().unwrap_or_default()
    }

    fn path(&mut self) -> String {
        let name = NAMES[self.below(NAMES.len())];
        format!("{}/{name}", self.directory())
    }

    fn object(&mut self) -> String {
        let known: Vec<String> = self.tree.keys().cloned().collect();
        if known.is_empty() { "/none".into() } else { known[self.below(known.len())].clone() }
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = [0, 1, 511, 512, 513, 4096, 10_000, 70_000][self.below(8)];
        noise(&mut self.random, length)
    }

    fn is_empty(&self, path: &str) -> bool {
        !self.tree.keys().any(|other| other.starts_with(&format!("{path}/")))
    }

    /// One call on both sides; they must agree on whether it works.
    fn step(&mut self, fat: &mut Fat) {
        match self.below(12) {
            0..4 => {
                let (path, bytes) = (self.path(), self.bytes());
                let done = fat.write(&path, &MemoryBlob::new(bytes.clone()), None);
                let allowed = self.tree.get(&path).is_none_or(Option::is_some);
                self.agree(&path, done, allowed);
                if allowed {
                    self.tree.insert(path, Some(bytes));
                }
            }
            4..6 => {
                let (path, bytes) = (self.object(), self.bytes());
                let allowed = matches!(self.tree.get(&path), Some(Some(_)));
                let old = self.tree.get(&path).cloned().flatten().unwrap_or_default().len();
                let offset = [old, self.below(old + 1)][self.below(2)];
                let done = fat.modify(&path, offset as u64, &MemoryBlob::new(bytes.clone()));
                self.agree(&path, done, allowed);
                if let Some(Some(content)) = self.tree.get_mut(&path) {
                    content.resize(old.max(offset + bytes.len()), 0);
                    content[offset..offset + bytes.len()].copy_from_slice(&bytes);
                }
            }
            6..8 => {
                let path = self.path();
                let allowed = !self.tree.contains_key(&path);
                self.agree(&path, fat.make_directory(&path, None), allowed);
                self.tree.entry(path).or_default();
            }
            8..10 => {
                let path = self.object();
                let allowed = self.tree.contains_key(&path) && self.is_empty(&path);
                self.agree(&path, fat.remove(&path), allowed);
                if allowed {
                    self.tree.remove(&path);
                }
            }
            _ => self.rename(fat),
        }
    }

    fn rename(&mut self, fat: &mut Fat) {
        let (old, new) = (self.object(), self.path());
        let (source, target) = (self.tree.get(&old), self.tree.get(&new));
        let same_kind = target.is_none_or(|target| source.is_some_and(|s| s.is_some() == target.is_some()));
        let inside = new.starts_with(&format!("{old}/"));
        let free = target.is_none() || self.is_empty(&new) || old == new;
        let allowed = source.is_some() && same_kind && !inside && free;
        self.agree(&format!("{old} to {new}"), fat.rename(&old, &new), allowed);
        if !allowed || old == new {
            return;
        }
        let below = format!("{old}/");
        let moved: Vec<String> =
            self.tree.keys().filter(|path| **path == old || path.starts_with(&below)).cloned().collect();
        for path in moved {
            let content = self.tree.remove(&path).unwrap();
            self.tree.insert(format!("{new}{}", &path[old.len()..]), content);
        }
    }

    /// A full root directory of FAT12 is the only excuse; `allowed` says what should have come of it.
    fn agree(&self, what: &str, done: Result<()>, allowed: bool) {
        assert_eq!(done.is_ok(), allowed, "{what}: {done:?}");
        if let Err(e) = done {
            assert!(
                matches!(e.kind, ErrorKind::InvalidInput | ErrorKind::NotFound | ErrorKind::Exists),
                "{what}: {e:?}"
            );
        }
    }
}

fn sequence(arguments: &[&str], kib: u64, seed: u64) {
    let lab = Lab::new(arguments, kib);
    let mut model = Model { tree: Tree::new(), random: Random::new(seed) };
    for _ in 0..3 {
        let (blob, mut fat) = lab.mount();
        for _ in 0..60 {
            model.step(&mut fat);
        }
        let mut tree = Tree::new();
        walk(&mut fat, "/", &mut tree);
        assert_same(&tree, &model.tree);
        lab.apply(&blob, &mut fat);
        lab.assert_clean();
        assert_same(&lab.read_with_mtools(), &model.tree);
    }
}

#[test]
fn random_edits_of_every_shape() {
    for (index, (arguments, kib)) in (0..).zip(SHAPES) {
        for seed in 0..3 {
            // The smallest volume would be full: FAT12 gets more room here.
            sequence(arguments, kib.max(2000), index * 100 + seed);
        }
    }
}
