//! Disks that are written as several files: VMDK with a descriptor and extents beside it.

use crate::{program, text};
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// What one file of a split disk holds.
const CUT: u64 = 2047 << 20;
const GIB: u64 = 1 << 30;
/// Each, and what files beside the descriptor are called.
const SUBFORMATS: [(&str, &str, bool); 3] = [
    ("twoGbMaxExtentSparse", "s", true),
    ("twoGbMaxExtentFlat", "f", true),
    ("monolithicFlat", "flat", false),
];

fn command(words: &[&str]) -> Command {
    let mut command = program();
    command.args(words);
    command
}

fn run(words: &[&str]) -> Output {
    command(words).output().unwrap()
}

fn succeeds(program: &str, words: &[&str]) {
    let done = Command::new(program).args(words).output().unwrap();
    assert!(done.status.success(), "{words:?}: {}{}", text(&done.stdout), text(&done.stderr));
}

/// Two files; their holes are not read.
fn identical(one: &Path, other: &Path) {
    let [one, other] = [one, other].map(|path| format!("raw:{}", path.display()));
    let same = run(&["disk", "compare", &one, &other, "--output", "json"]);
    let answer: serde_json::Value = serde_json::from_slice(&same.stdout).unwrap();
    assert!(answer["identical"] == true && answer["same-size"] == true, "{one} {other}: {answer}");
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }
    /// A disk with some bytes at each of these places, as far as it goes.
    fn disk(&self, size: u64, places: &[(u64, usize)]) {
        let file = File::create(self.path("disk")).unwrap();
        file.set_len(size).unwrap();
        for (number, (at, length)) in (1u32..).zip(places) {
            let length = size.saturating_sub(*at).min(*length as u64) as u32;
            let bytes: Vec<u8> = (0..length).map(|at| 1 | (at.wrapping_mul(number) >> 9) as u8).collect();
            file.write_all_at(&bytes, *at).unwrap();
        }
    }
    fn convert(&self, from: &str, to: &str, more: &[&str]) -> Output {
        run(&[&["convert", from, "--to", to], more].concat())
    }
    fn files(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(folder)).unwrap();
        let mut files: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        files.sort();
        files
    }
    fn stored(&self, folder: &str) -> u64 {
        let files = self.files(folder);
        files.iter().map(|name| self.path(folder).join(name).metadata().unwrap().blocks() * 512).sum()
    }
}

#[test]
fn disks_of_all_sizes_come_back_and_qemu_agrees() {
    let sizes = [512, 65_536 + 512, CUT, CUT + 512, 2 * GIB - 512, 2 * GIB, 2 * GIB + 512, 5 * GIB];
    let edges = [(0, 700), (60_000, 9000), (CUT - 70_000, 140_000), (2 * GIB - 5, 10), (5 * GIB - 700, 700)];
    for size in sizes {
        for (subformat, letter, split) in SUBFORMATS {
            let place = Place::new();
            place.disk(size, &edges);
            std::fs::create_dir(place.path("new")).unwrap();
            let (raw, vmdk) = (place.text("disk"), place.text("new/a.vmdk"));
            let (from, to) = (format!("raw:{raw}"), format!("vmdk:{vmdk}"));
            let set = format!("subformat={subformat}");
            let done = place.convert(&from, &to, &["--verify", "--set", &set]);
            assert!(done.status.success(), "{size} {subformat}: {}", text(&done.stderr));
            let mut expected: Vec<String> = match split {
                true => {
                    (1..=size.div_ceil(CUT)).map(|number| format!("a-{letter}{number:03}.vmdk")).collect()
                }
                false => vec![format!("a-{letter}.vmdk")],
            };
            expected.push("a.vmdk".into());
            assert_eq!(place.files("new"), expected);
            assert!(place.stored("new") < 4 << 20, "{size} {subformat}: holes are stored");
            succeeds("qemu-img", &["check", "-q", "-f", "vmdk", &vmdk]);
            succeeds("qemu-img", &["compare", "-q", "-f", "raw", "-F", "vmdk", &raw, &vmdk]);
            let back = place.text("back");
            let done = place.convert(&to, &format!("raw:{back}"), &["--verify"]);
            assert!(done.status.success(), "{size} {subformat}: {}", text(&done.stderr));
            identical(&place.path("disk"), &place.path("back"));
            // And the other way: QEMU's own, which has other cuts.
            let theirs = place.text("theirs.vmdk");
            succeeds("qemu-img", &["convert", "-O", "vmdk", "-o", &set, &raw, &theirs]);
            let same = run(&["disk", "compare", &to, &format!("vmdk:{theirs}")]);
            assert!(same.status.success(), "{size} {subformat}: {}", text(&same.stdout));
        }
    }
}

#[test]
fn a_disk_without_bytes_and_files_that_exist_are_refused() {
    let place = Place::new();
    place.disk(0, &[]);
    std::fs::create_dir(place.path("new")).unwrap();
    let (from, to) = (format!("raw:{}", place.text("disk")), format!("vmdk:{}", place.text("new/a.vmdk")));
    for (subformat, ..) in SUBFORMATS {
        let set = format!("subformat={subformat}");
        let refused = place.convert(&from, &to, &["--set", &set]);
        assert!(!refused.status.success() && text(&refused.stderr).contains("a disk of 0 bytes"));
    }
    assert!(place.files("new").is_empty());
    place.disk(3 * GIB, &[(9, 9)]);
    for (name, subformat) in [("a-s002.vmdk", "twoGbMaxExtentSparse"), ("a-flat.vmdk", "monolithicFlat")] {
        let there = place.path("new").join(name);
        std::fs::write(&there, "mine").unwrap();
        let set = format!("subformat={subformat}");
        let refused = place.convert(&from, &to, &["--set", &set]);
        let said = text(&refused.stderr);
        assert!(!refused.status.success() && said.contains(&format!("{name} exists already")), "{said}");
        assert_eq!((std::fs::read(&there).unwrap(), place.files("new").len()), (b"mine".to_vec(), 1));
        std::fs::remove_file(there).unwrap();
    }
}

#[test]
fn a_split_copy_survives_kills_at_any_moment() {
    let place = Place::new();
    let data: Vec<(u64, usize)> = (0..5).map(|number| (number * GIB + (200 << 20), 5 << 20)).collect();
    place.disk(5 * GIB, &data);
    let raw = place.text("disk");
    let from = format!("raw:{raw}");
    for (subformat, ..) in SUBFORMATS {
        let set = format!("subformat={subformat}");
        for folder in ["calm", "rough"] {
            let _old = std::fs::remove_dir_all(place.path(folder));
            std::fs::create_dir(place.path(folder)).unwrap();
        }
        let target = |folder: &str| format!("vmdk:{}", place.path(folder).join("a.vmdk").display());
        assert!(place.convert(&from, &target("calm"), &["--set", &set]).status.success());
        let (mut random, mut killed, mut begun) = (41u64, 0, 0);
        while killed < 20 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let speed = ["--verify", "--limit-rate", "40M", "--checkpoint", "0.05", "--set", &set];
            let mut command = command(&[&["convert", &from, "--to", &target("rough")], &speed[..]].concat());
            let said = File::create(place.path("said")).unwrap();
            let mut child = command.stdout(Stdio::null()).stderr(said).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(30 + random % 500));
            let ended = child.try_wait().unwrap();
            child.kill().unwrap();
            child.wait().unwrap();
            killed += u32::from(ended.is_none());
            let files = place.files("rough");
            let named = files.iter().filter(|name| !name.starts_with('.')).count();
            begun += u32::from(files.len() > named);
            if files.contains(&"a.vmdk".into()) {
                // The descriptor appears last.
                assert_eq!(named, place.files("calm").len(), "{files:?}");
            }
            if let Some(status) = ended {
                let said = std::fs::read_to_string(place.path("said")).unwrap();
                // The one before was killed when it had just finished.
                assert!(status.success() || said.contains("exists already"), "{subformat}: {said}");
                same(&place);
                std::fs::remove_dir_all(place.path("rough")).unwrap();
                std::fs::create_dir(place.path("rough")).unwrap();
            }
        }
        assert!(begun > 5, "only {begun} of {killed} were killed while they wrote");
        let last = place.convert(&from, &target("rough"), &["--verify", "--set", &set]);
        let said = text(&last.stderr);
        assert!(last.status.success() || said.contains("exists already"), "{said}");
        same(&place);
        let vmdk = place.text("rough/a.vmdk");
        succeeds("qemu-img", &["compare", "-q", "-f", "raw", "-F", "vmdk", &raw, &vmdk]);
    }
}

/// A copy that was killed is, file by file, one that was not.
fn same(place: &Place) {
    assert_eq!(place.files("calm"), place.files("rough"));
    for name in place.files("calm") {
        let [calm, rough] = ["calm", "rough"].map(|folder| place.path(folder).join(&name));
        if name == "a.vmdk" {
            assert!(std::fs::read(&calm).unwrap() == std::fs::read(&rough).unwrap());
        } else {
            identical(&calm, &rough);
        }
    }
    let (calm, rough) = (place.stored("calm"), place.stored("rough"));
    assert!(rough < calm + (1 << 20), "{rough} bytes are stored, of an undisturbed copy {calm}");
}
