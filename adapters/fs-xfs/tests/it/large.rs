//! Directories of thousands of names, files in hundreds of pieces, trees of several levels, and volumes that are full.

use crate::images::{Image, check, empty, find};
use fs_xfs::Xfs;
use std::process::Command;
use wherry_sdk::testing::filesystem::{Content, from_adapter};
use wherry_sdk::testing::{FileBlob, MemoryBlob, Mount, Random, noise, run};
use wherry_sdk::{ErrorKind, FileSystem, Kind};

fn blob(seed: u64, length: usize) -> MemoryBlob {
    MemoryBlob::read_only(noise(seed, length))
}

fn open(image: &Image) -> (FileBlob, Xfs) {
    let device = FileBlob::open(&image.path).unwrap();
    let fs = Xfs::mount(Box::new(device.clone()), true).unwrap();
    (device, fs)
}

fn written(image: &Image, device: &FileBlob, fs: &mut Xfs) {
    fs.sync().unwrap();
    device.apply(&image.path).unwrap();
    check(&image.path);
}

/// A number that xfs_db knows, the first with that name.
fn number(image: &Image, commands: &[&str], field: &str) -> u64 {
    let mut xfs_db = Command::new("/sbin/xfs_db");
    xfs_db.args(["-r", "-f"]).args(commands.iter().flat_map(|command| ["-c", command]));
    let said = run(xfs_db.arg(&image.path));
    let line = said.lines().find_map(|line| line.strip_prefix(&format!("{field} = ")));
    line.unwrap_or_else(|| panic!("{field}: {said}")).parse().unwrap()
}

fn file(index: usize) -> String {
    format!("/many/{index} {}", "a long name".repeat(index % 9))
}

/// Names and files in great number, every second of them removed again, a file in what they leave, everything removed.
/// `levels`: of the trees of free space when they are largest.
fn grow_and_shrink(name: &str, count: usize, levels: u64) {
    let image = empty(find(name), 192 << 20);
    let (device, mut fs) = open(&image);
    fs.make_directory("/many", None).unwrap();
    for index in 0..count {
        fs.write(&file(index), &blob(index as u64, 10), None).unwrap();
    }
    written(&image, &device, &mut fs);
    for index in (0..count).filter(|index| index % 2 == 1) {
        fs.remove(&file(index)).unwrap();
    }
    written(&image, &device, &mut fs);
    assert!(number(&image, &["agf 0", "p"], "bnolevel") >= levels, "{name}");
    // All that is free, so that nothing is left but the gaps.
    let unit = Xfs::probe(&device).unwrap().unwrap().block as usize;
    let gaps = count / 2 * unit;
    for index in 0..6 {
        let room = (fs.room().unwrap().free as usize).saturating_sub(gaps);
        fs.write(&format!("/rest{index}"), &blob(7, room * 19 / 20), None).unwrap();
    }
    written(&image, &device, &mut fs);
    fs.write("/pieces", &blob(8, 900 * unit), None).unwrap();
    fs.write("/appended", &blob(9, 100), None).unwrap();
    for index in 0..40 {
        fs.append("/appended", &blob(index, 9000)).unwrap();
        fs.append("/pieces", &blob(index, 900)).unwrap();
    }
    written(&image, &device, &mut fs);
    let files = from_adapter(&mut fs);
    assert_eq!(files.len(), 9 + count.div_ceil(2), "{name}");
    let pieces = number(&image, &["path /pieces", "p"], "core.nextents");
    eprintln!("{name}: {pieces} pieces");
    assert!(pieces > 300, "{name}: {pieces}");
    if let Some(mount) =
        find(name).features.contains(&"v5").then(|| Mount::by_kernel("xfs", &image.path, "ro")).flatten()
    {
        let names = std::fs::read_dir(mount.path.join("many")).unwrap().count();
        assert_eq!(names, count.div_ceil(2), "{name}");
        for (path, node) in &files {
            if let Content::File(bytes) = &node.content {
                assert!(std::fs::read(mount.path.join(&path[1..])).unwrap() == *bytes, "{name}: {path}");
            }
        }
    }
    fs.modify("/pieces", 1000, &blob(10, 300_000)).unwrap();
    assert_eq!(fs.read("/pieces", 1000, 300_000).unwrap(), noise(10, 300_000));
    written(&image, &device, &mut fs);
    for index in (0..count).filter(|index| index % 2 == 0) {
        fs.remove(&file(index)).unwrap();
    }
    for path in from_adapter(&mut fs).into_keys() {
        fs.remove(&path).unwrap();
    }
    written(&image, &device, &mut fs);
    assert!(from_adapter(&mut fs).is_empty());
}

#[test]
fn defaults() {
    grow_and_shrink("default", 3000, 2);
}

#[test]
fn owners() {
    // More records of owners than are looked at one by one.
    grow_and_shrink("rmapbt", 18_000, 2);
}

#[test]
fn small_blocks() {
    grow_and_shrink("1k", 4000, 2);
}

#[test]
fn version_4() {
    grow_and_shrink("v4-512", 6000, 3);
}

/// Until nothing fits any more: each time that is said before anything is changed.
fn full(name: &str, size: u64) {
    let image = empty(find(name), size);
    let (device, mut fs) = open(&image);
    for round in 0..3 {
        let mut random = Random::new(round);
        let (mut made, mut index, mut failed) = (Vec::new(), 0, 0);
        while failed < 100 {
            index += 1;
            let path = format!("/{round}-{index}");
            let length = random.below([2000, 40_000, 600_000][round as usize]) as usize;
            let done = match random.below(5) {
                0 => fs.make_directory(&path, None),
                1 => fs.make_symlink(&path, &"t".repeat(900), None),
                _ => fs.write(&path, &blob(index, length), None),
            };
            match done {
                Ok(()) => made.push(path),
                Err(error) => {
                    assert_eq!(error.kind, ErrorKind::NoSpace, "{name}: {error:?}");
                    failed += 1;
                }
            }
            let last = made.last().unwrap();
            if fs.stat(last).unwrap().kind == Kind::File
                && let Err(error) = fs.append(last, &blob(1, 3000))
            {
                assert_eq!(error.kind, ErrorKind::NoSpace, "{name}: {error:?}");
            }
        }
        written(&image, &device, &mut fs);
        let room = fs.room().unwrap();
        assert!(room.free < room.total / 5, "{name}: {room:?}");
        made.iter().for_each(|path| fs.remove(path).unwrap());
        written(&image, &device, &mut fs);
    }
}

#[test]
fn full_volumes() {
    for name in ["default", "rmapbt", "1k", "v4-512"] {
        full(name, 20 << 20);
    }
    full("groups", 50 << 20);
}
