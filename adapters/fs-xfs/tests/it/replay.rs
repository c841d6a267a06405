//! Logs that have to be replayed: volumes that Linux was working on when they were copied, replayed by the adapter and by Linux.

use crate::images::{Image, check, empty, find, populate};
use fs_xfs::Xfs;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use wherry_sdk::FileSystem;
use wherry_sdk::testing::filesystem::{
    Files, assert_same, attributes, from_adapter, from_directory, sequences,
};
use wherry_sdk::testing::{FileBlob, MemoryBlob, Mount, Random, noise, run};

const SIZE: u64 = 96 << 20;

/// Work of all kinds. What is open at the end was removed.
pub fn work(root: &Path, seed: u64, rounds: u64) -> Vec<fs::File> {
    let mut random = Random::new(seed);
    let mut open = Vec::new();
    for round in 0..rounds {
        let folder = root.join(format!("work{round}"));
        fs::create_dir(&folder).unwrap();
        for index in 0..150 {
            let path = folder.join(format!("{index} {}", "n".repeat(random.below(100) as usize)));
            let length = random.below(20_000) as usize;
            fs::write(&path, noise(index, length)).unwrap();
            if index % 7 == 0 {
                let value = "v".repeat(random.below(3000) as usize);
                run(Command::new("setfattr").args(["-n", "user.value", "-v", &value]).arg(&path));
            }
            match random.below(9) {
                0 => fs::remove_file(&path).unwrap(),
                1 => fs::rename(&path, root.join(format!("moved{round}-{index}"))).unwrap(),
                2 => std::os::unix::fs::symlink(
                    "t".repeat(1 + index as usize * 6),
                    root.join(format!("link{round}-{index}")),
                )
                .unwrap(),
                3 => fs::hard_link(&path, root.join(format!("second{round}-{index}"))).unwrap(),
                _ => {}
            }
        }
        if round % 3 == 2 {
            fs::remove_dir_all(root.join(format!("work{}", round - 1))).unwrap();
        }
        let pieces: Vec<String> =
            (0..40).flat_map(|index| ["-c".into(), format!("pwrite -q {} 4096", index * 8192)]).collect();
        run(Command::new("/sbin/xfs_io").args(&pieces).arg("-f").arg(root.join(format!("pieces{round}"))));
        let path = root.join(format!("open{round}"));
        fs::write(&path, noise(round, 50_000)).unwrap();
        open.push(fs::File::open(&path).unwrap());
        fs::remove_file(&path).unwrap();
        if random.below(2) == 0 {
            run(Command::new("sync").arg("-f").arg(root));
        }
    }
    open
}

/// How Linux is stopped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stop {
    /// After the log was written; its copy is of a file system that is shut down.
    Flushed,
    /// Right there.
    Now,
    /// It is frozen and copied; nothing is in the log but a sign.
    Frozen,
    /// In the middle of removing, copying and sharing.
    Busy,
}

/// Removes, copies and shares until it cannot go on.
const BUSY: &str = "cd $0; i=0; while :; do i=$((i+1)); mkdir busy$i || exit; \
    for f in work0/*; do cp --reflink=auto \"$f\" busy$i/ || exit; done; \
    for f in pieces*; do cp --reflink=auto $f busy$i/ || exit; \
        dd if=/dev/zero of=busy$i/$f bs=4096 count=3 seek=$((i%30)) conv=notrunc 2>/dev/null || exit; \
        truncate -s $((i*10007%300000)) busy$i/$f || exit; done; \
    if [ $i -gt 2 ]; then rm -r busy$((i-2)) || exit; fi; [ $((i%2)) = 1 ] || sync -f . ; done";

pub fn copy(from: &Path, to: &Path) {
    run(Command::new("cp").arg("--sparse=always").arg(from).arg(to));
}

fn stopped(name: &str, seed: u64, stop: Stop, orphans: bool) -> Option<Image> {
    let image = empty(find(name), SIZE);
    let mount = Mount::by_kernel("xfs", &image.path, "nouuid")?;
    populate(&mount.path);
    run(Command::new("sync").arg("-f").arg(&mount.path));
    let mut open = work(&mount.path, seed, 4 + seed % 5);
    open.retain(|_| orphans);
    let dirty = image.beside("dirty");
    match stop {
        Stop::Busy => {
            let mut busy = Command::new("sh");
            busy.args(["-c", BUSY]).arg(&mount.path).stderr(Stdio::null());
            let mut busy = busy.spawn().unwrap();
            std::thread::sleep(Duration::from_millis(100 + Random::new(seed).below(900)));
            run(Command::new("/sbin/xfs_io").args(["-x", "-c", "shutdown"]).arg(&mount.path));
            copy(&image.path, &dirty);
            busy.wait().unwrap();
        }
        Stop::Flushed | Stop::Now => {
            let how = if stop == Stop::Flushed { "shutdown -f" } else { "shutdown" };
            run(Command::new("/sbin/xfs_io").args(["-x", "-c", how]).arg(&mount.path));
            copy(&image.path, &dirty);
        }
        Stop::Frozen => {
            run(Command::new("/sbin/xfs_freeze").arg("-f").arg(&mount.path));
            copy(&image.path, &dirty);
            run(Command::new("/sbin/xfs_freeze").arg("-u").arg(&mount.path));
        }
    }
    drop(open);
    drop(mount);
    fs::rename(&dirty, &image.path).unwrap();
    Some(image)
}

/// What Linux finds after it has replayed the log of a copy.
fn by_linux(image: &Image) -> Files {
    let path = image.beside("linux");
    copy(&image.path, &path);
    let mount = Mount::by_kernel("xfs", &path, "nouuid").unwrap();
    let mut files = from_directory(&mount.path);
    for (path, node) in &mut files {
        node.attributes = attributes(&mount.path.join(&path[1..]));
    }
    drop(mount);
    check(&path);
    files
}

/// Replayed for reading and for writing, and seen by Linux and `xfs_repair` afterwards.
fn compare(image: &Image, what: &str) {
    let expected = by_linux(image);
    let device = FileBlob::open(&image.path).unwrap();
    assert!(!Xfs::probe(&device).unwrap().unwrap().clean, "{what}");
    let probed = Xfs::mount(Box::new(FileBlob::open(&image.path).unwrap()), true).map(|_| ());
    assert_eq!(probed, Ok(()), "{what}");
    let mut fs = Xfs::mount(Box::new(device.clone()), false).unwrap();
    assert_same(&from_adapter(&mut fs), &expected, what);
    assert_eq!(device.overlay_bytes(), 0, "{what}: mounted for reading, nothing is written");
    let mut fs =
        Xfs::mount(Box::new(device.clone()), true).unwrap_or_else(|error| panic!("{what}: {error:?}"));
    let ours = image.beside("ours");
    copy(&image.path, &ours);
    device.apply(&ours).unwrap();
    check(&ours);
    assert!(Xfs::probe(&FileBlob::open(&ours).unwrap()).unwrap().unwrap().clean, "{what}");
    assert_same(&from_adapter(&mut fs), &expected, what);
    fs.write("/after", &MemoryBlob::read_only(noise(1, 100_000)), None).unwrap();
    fs.remove("/after").unwrap();
    fs.sync().unwrap();
    device.apply(&ours).unwrap();
    check(&ours);
    for round in 0..2 {
        let mount = Mount::by_kernel("xfs", &ours, "nouuid").unwrap();
        let mut files = from_directory(&mount.path);
        for (path, node) in &mut files {
            node.attributes = attributes(&mount.path.join(&path[1..]));
        }
        files.retain(|path, _| !path.starts_with("/linux"));
        assert_same(&files, &expected, what);
        // It goes on where our unmount is.
        for index in 0..200 {
            fs::write(mount.path.join(format!("linux{round}-{index}")), noise(index, 3000)).unwrap();
        }
        drop(mount);
        check(&ours);
    }
}

fn replay(name: &str, seeds: std::ops::Range<u64>, stop: Stop, orphans: bool) {
    for seed in seeds {
        let Some(image) = stopped(name, seed, stop, orphans) else { return };
        let what = format!("{name}, seed {seed}, {stop:?}");
        eprintln!("{what}");
        compare(&image, &what);
    }
}

#[test]
fn flushed() {
    replay("default", 0..1, Stop::Flushed, false);
    replay("rmapbt", 3..5, Stop::Flushed, false);
    replay("1k", 5..6, Stop::Flushed, true);
    replay("v5-plain", 7..8, Stop::Flushed, true);
    replay("sector-4k", 8..9, Stop::Flushed, true);
}

#[test]
fn at_once() {
    replay("default", 10..11, Stop::Now, true);
    replay("rmapbt", 13..15, Stop::Now, true);
}

#[test]
fn busy() {
    for seed in 100..100 + sequences().unwrap_or(1) {
        for name in ["default", "rmapbt", "1k"] {
            replay(name, seed..seed + 1, Stop::Busy, true);
        }
    }
}

#[test]
fn frozen() {
    replay("default", 20..21, Stop::Frozen, true);
    replay("rmapbt", 22..23, Stop::Frozen, false);
}
