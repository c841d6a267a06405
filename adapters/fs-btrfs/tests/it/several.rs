//! File systems on several devices, one behind the other: read and changed as Linux and `btrfs check` see them.

use crate::images::FILL;
use crate::images::program;
use crate::reading::compared;
use fs_btrfs::Driver;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use tempfile::TempDir;
use wherry_sdk::checksum::crc32c;
use wherry_sdk::testing::filesystem::{
    Files, assert_same, attributes, copy_used, from_adapter, from_directory, used,
};
use wherry_sdk::testing::{FileBlob, Random, can_loop, damage, noise, run};
use wherry_sdk::{Blob, ErrorKind, FileSystem, Range, find};

const SIZE: u64 = 160 << 20;

/// One at a time: loop devices are few.
static ONE: Mutex<()> = Mutex::new(());

/// Data's and metadata's profile, and devices.
const PROFILES: &[(&str, &str, usize)] = &[
    ("raid1", "raid1", 2),
    ("raid0", "raid1", 3),
    ("raid0", "raid0", 2),
    ("raid10", "raid10", 4),
    ("raid1c3", "raid1c3", 3),
    ("single", "dup", 2),
];

/// Devices of one file system.
struct Several {
    directory: TempDir,
    paths: Vec<PathBuf>,
}

/// Loop devices, and a mount of them, undone when it goes out of scope.
struct Mounted {
    devices: Vec<String>,
    path: PathBuf,
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.path).output();
        for device in &self.devices {
            let _ = Command::new("losetup").args(["-d", device]).output();
        }
    }
}

impl Several {
    /// A new file system that a script fills; none where nothing may be mounted.
    fn new(&(data, metadata, count): &(&str, &str, usize), script: &str) -> Option<Self> {
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let paths: Vec<_> =
            (0..count).map(|number| directory.path().join(format!("device{number}"))).collect();
        paths.iter().for_each(|path| fs::File::create(path).unwrap().set_len(SIZE).unwrap());
        let mut mkfs = program("sbin/mkfs.btrfs");
        run(mkfs.args(["-q", "-L", "a label", "-d", data, "-m", metadata]).args(&paths));
        fs::write(directory.path().join("noise"), noise(7, 3 << 20)).unwrap();
        let several = Self { directory, paths };
        let mounted = several.mount("rw")?;
        let mut shell = Command::new("bash");
        shell.args(["-e", "-o", "pipefail", "-c", script]).current_dir(&mounted.path);
        run(shell.env("NOISE", several.directory.path().join("noise")));
        Some(several)
    }

    /// Mounted by the kernel.
    fn mount(&self, options: &str) -> Option<Mounted> {
        if !can_loop() {
            return None;
        }
        let path = self.directory.path().join("mounted");
        fs::create_dir_all(&path).unwrap();
        let mut mounted = Mounted { devices: Vec::new(), path };
        for path in &self.paths {
            let device = run(Command::new("losetup").args(["-f", "--show"]).arg(path)).trim().to_owned();
            mounted.devices.push(device);
        }
        let all: Vec<_> = mounted.devices.iter().map(|device| format!("device={device}")).collect();
        let options = format!("{options},{}", all.join(","));
        run(Command::new("mount")
            .args(["-t", "btrfs", "-o", &options, &mounted.devices[0]])
            .arg(&mounted.path));
        Some(mounted)
    }

    /// All that Linux sees.
    fn seen(&self) -> Files {
        let mounted = self.mount("ro,subvolid=5").unwrap();
        let mut files = from_directory(&mounted.path);
        for (path, node) in &mut files {
            node.attributes = attributes(&mounted.path.join(path.trim_start_matches('/')));
        }
        files
    }

    /// `btrfs check` finds nothing.
    fn check(&self) {
        let mounted = self.mount("ro").unwrap();
        assert!(Command::new("umount").arg(&mounted.path).status().unwrap().success());
        let said = run(program("bin/btrfs").args(["check", "--check-data-csum", &mounted.devices[0]]));
        assert!(!said.contains("ERROR") && said.contains("no error found"), "{said}");
    }

    /// The devices one behind the other.
    fn joined(&self) -> PathBuf {
        let path = self.directory.path().join("joined");
        join(&self.paths, &path);
        path
    }

    /// Writes the joined devices back.
    fn split(&self, joined: &Path) {
        for (number, path) in (0..).zip(&self.paths) {
            let skip = format!("skip={}", number * (SIZE >> 20));
            let count = format!("count={}", SIZE >> 20);
            let (from, to) = (format!("if={}", joined.display()), format!("of={}", path.display()));
            run(Command::new("dd").args([&from, &to, &skip, &count, "bs=1M", "conv=sparse", "status=none"]));
        }
    }
}

fn join(paths: &[PathBuf], to: &Path) {
    fs::File::create(to).unwrap().set_len(SIZE * paths.len() as u64).unwrap();
    for (number, path) in (0..).zip(paths) {
        let seek = format!("seek={}", number * (SIZE >> 20));
        let (from, to) = (format!("if={}", path.display()), format!("of={}", to.display()));
        run(Command::new("dd").args([&from, &to, &seek, "bs=1M", "conv=sparse,notrunc", "status=none"]));
    }
}

#[test]
fn read_and_changed() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    for profile in PROFILES {
        let Some(several) = Several::new(profile, FILL) else { return };
        let name = format!("{profile:?}");
        let joined = several.joined();
        let device = FileBlob::open(&joined).unwrap();
        let identity = Driver::probe(&device).unwrap().unwrap();
        assert_eq!(identity.size, SIZE * profile.2 as u64, "{name}");
        assert_eq!(find(&identity.facts, "default-subvolume"), Some("/@rootfs"), "{name}");
        let mut driver = Driver::mount(Box::new(device.clone()), true).unwrap();
        assert_same(&compared(from_adapter(&mut driver)), &compared(several.seen()), &name);
        // More than any stripe, packed in one piece and in many, in trees that snapshots share.
        for (number, length) in [(0, 100), (1, 70_000), (2, 1_000_000), (3, 3_000_000)] {
            let content = wherry_sdk::testing::MemoryBlob::read_only(noise(number, length));
            driver.write(&format!("/@rootfs/etc/new-{number}"), &content, None).unwrap();
        }
        let fstab = wherry_sdk::testing::MemoryBlob::read_only("# changed\n");
        driver.write("/@rootfs/etc/fstab", &fstab, None).unwrap();
        driver.remove("/etc/noise-3000000").unwrap();
        for number in 0..200 {
            driver.make_symlink(&format!("/many/link-{number}"), "somewhere", None).unwrap();
        }
        driver.sync().unwrap();
        let changed = compared(from_adapter(&mut driver));
        drop(driver);
        device.apply(&joined).unwrap();
        several.split(&joined);
        several.check();
        assert_same(&compared(several.seen()), &changed, &format!("{name}, changed"));
        let mounted = several.mount("rw,subvolid=5").unwrap();
        run(Command::new("cp").args(["-r", "etc", "once-more"]).current_dir(&mounted.path));
        let scrubbed = run(program("bin/btrfs").args(["scrub", "start", "-B"]).arg(&mounted.path));
        assert!(scrubbed.contains("no errors found"), "{scrubbed}");
        drop(mounted);
        several.check();
    }
}

/// What is used of all devices, with noise everywhere else, is a good file system with every copy of the same files.
#[test]
fn a_copy_of_what_is_used() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    for profile in [&PROFILES[1], &PROFILES[3], &PROFILES[5]] {
        let Some(several) = Several::new(profile, FILL) else { return };
        let name = format!("{profile:?}");
        let joined = several.joined();
        let mut fs = Driver::mount(Box::new(FileBlob::open(&joined).unwrap()), false).unwrap();
        let files = compared(from_adapter(&mut fs));
        let size = SIZE * profile.2 as u64;
        let (few, all) = (used(&mut fs, size, 3).unwrap(), used(&mut fs, size, 10_000).unwrap());
        let sum = |ranges: &[Range]| ranges.iter().map(|range| range.length).sum::<u64>();
        assert_eq!(sum(&few), sum(&all), "{name}");
        assert!(sum(&all) < size / 3, "{name}: {} of {size} bytes are used", sum(&all));
        let target = several.directory.path().join("target");
        copy_used(&joined, &target, &all);
        several.split(&target);
        several.check();
        assert_same(&compared(several.seen()), &files, &name);
        let mounted = several.mount("rw").unwrap();
        let scrubbed = run(program("bin/btrfs").args(["scrub", "start", "-B"]).arg(&mounted.path));
        assert!(scrubbed.contains("no errors found"), "{scrubbed}");
    }
}

/// One device of several is read as far as it goes, and never changed.
#[test]
fn some_of_them() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(several) = Several::new(&PROFILES[0], FILL) else { return };
    let whole = compared(several.seen());
    for path in &several.paths {
        let alone = FileBlob::open(path).unwrap();
        let error = Driver::mount(Box::new(alone.clone()), true).map(|_| ()).unwrap_err();
        assert!(error.kind == ErrorKind::Unsupported && error.message.contains("1 of its 2"), "{error:?}");
        let mut fs = Driver::mount(Box::new(alone), false).unwrap();
        assert_same(&compared(from_adapter(&mut fs)), &whole, "one mirror");
    }
    // In a wrong order the devices are still all there.
    let joined = several.directory.path().join("joined");
    join(&[several.paths[1].clone(), several.paths[0].clone()], &joined);
    let mut fs = Driver::mount(Box::new(FileBlob::open(&joined).unwrap()), false).unwrap();
    assert_same(&compared(from_adapter(&mut fs)), &whole, "another order");
}

/// Content whose copy on one device is damaged is read from the other, stripe by stripe.
#[test]
fn damaged_mirrors() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(several) = Several::new(&PROFILES[3], "head -c 1000000 \"$NOISE\" > file") else { return };
    let content = noise(7, 1_000_000);
    let mut damaged = 0;
    for (number, path) in several.paths.iter().enumerate() {
        let mut bytes = fs::read(path).unwrap();
        // A different sector of each device, so that no whole device is sound.
        let at = (number * 3 + 2) * 65_536 + 4096;
        let wanted = &content[at..at + 64];
        for place in (0..bytes.len() - 64).step_by(4096) {
            if &bytes[place..place + 64] == wanted {
                bytes[place] ^= 1;
                damaged += 1;
            }
        }
        fs::write(path, bytes).unwrap();
    }
    assert!(damaged > 0);
    let mut fs = Driver::mount(Box::new(FileBlob::open(several.joined()).unwrap()), false).unwrap();
    assert!(fs.read("/file", 0, 1_000_000).unwrap() == content);
}

/// Parity is named.
#[test]
fn parity() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(several) = Several::new(&("raid5", "raid1", 3), "head -c 100000 \"$NOISE\" > file") else {
        return;
    };
    let device = FileBlob::open(several.joined()).unwrap();
    assert!(Driver::mount(Box::new(device.clone()), true).is_err());
    let mut fs = Driver::mount(Box::new(device), false).unwrap();
    let error = fs.read("/file", 0, 100).unwrap_err();
    assert!(error.kind == ErrorKind::Unsupported && error.message.contains("RAID5"), "{error:?}");
}

/// Damaged superblocks and chunks, with their sums made right: no panic, no endless walk.
#[test]
fn damaged_members_and_chunks() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    for profile in [&PROFILES[2], &PROFILES[3]] {
        let Some(several) = Several::new(profile, "head -c 1000000 \"$NOISE\" > file") else { return };
        let joined = several.joined();
        let whole = FileBlob::open(&joined).unwrap();
        let first = whole.read(64 << 10, 4096).unwrap();
        let chunks = wherry_sdk::bytes::field(&first, 88, 8);
        let is_chunks = |at: &u64| whole.read(at + 48, 8).unwrap() == chunks;
        let leaves: Vec<u64> = (1 << 20..whole.size()).step_by(4096).filter(is_chunks).collect();
        assert!(!leaves.is_empty());
        let mut mounted = 0;
        for seed in 0..150 {
            let device = FileBlob::open(&joined).unwrap();
            let mut random = Random::new(seed);
            let (at, from, to, length) = match seed % 3 {
                0 => ((64 << 10) + SIZE * random.below(profile.2 as u64), 130, 300, 4096),
                1 => (64 << 10, 811, 1100, 4096),
                // Items of a leaf are at its end.
                _ => (leaves[random.below(leaves.len() as u64) as usize], 15_000, 16_384, 16_384),
            };
            let mut block = device.read(at, length).unwrap();
            damage(&mut block, from, to, seed);
            let sum = !crc32c(!0, &block[32..]);
            block[..4].copy_from_slice(&sum.to_le_bytes());
            device.write(at, &block).unwrap();
            let _ = Driver::probe(&device);
            for writable in [false, true] {
                let Ok(mut fs) = Driver::mount(Box::new(device.clone()), writable) else { continue };
                mounted += 1;
                let _ = fs.read("/file", 0, 1_000_000);
                let _ = fs.used(0, 100);
                let content = wherry_sdk::testing::MemoryBlob::read_only(noise(1, 300_000));
                let _ = fs.write("/new", &content, None);
                let _ = fs.sync();
            }
        }
        assert!(mounted > 20, "{mounted}");
    }
}
