//! Volumes of a special kind: chunks of inodes that are there in part, quotas, another UUID.

use crate::images::{FLAVOURS, Image, check, empty, find, populate};
use crate::sequence::sequence;
use fs_xfs::Xfs;
use std::fs;
use std::path::Path;
use std::process::Command;
use wherry_sdk::FileSystem;
use wherry_sdk::testing::{FileBlob, MemoryBlob, Mount, kernel, noise, run, run_to};

fn xfs_db(image: &Image, commands: &[&str]) -> String {
    let mut xfs_db = Command::new("/sbin/xfs_db");
    xfs_db.args(["-r", "-f"]).args(commands.iter().flat_map(|command| ["-c", command]));
    run(xfs_db.arg(&image.path))
}

/// Free space in pieces that are too short for whole chunks.
#[test]
fn chunks_in_part() {
    for name in ["default", "rmapbt"] {
        let flavour = find(name);
        let image = empty(flavour, 20 << 20);
        let Some(mount) = Mount::by_kernel("xfs", &image.path, "nouuid") else { return };
        let file = |index: usize| mount.path.join(format!("fill{index}"));
        let mut count = 0;
        while fs::write(file(count), noise(1, 6 * 4096)).is_ok() {
            count += 1;
            if count % 100 == 0 {
                run(Command::new("sync").arg("-f").arg(&mount.path));
            }
        }
        for index in (0..count).filter(|index| index % 2 == 0) {
            fs::remove_file(file(index)).unwrap();
        }
        run(Command::new("sync").arg("-f").arg(&mount.path));
        for index in 0..30_000 {
            if fs::write(mount.path.join(format!("empty{index}")), "").is_err() {
                break;
            }
        }
        for index in (0..count).filter(|index| index % 8 == 1) {
            fs::remove_file(file(index)).unwrap();
        }
        for index in (0..30_000).filter(|index| index % 7 == 3) {
            if fs::remove_file(mount.path.join(format!("empty{index}"))).is_err() {
                break;
            }
        }
        drop(mount);
        // The leaves of the tree, if it has more than one.
        let leaf = |pointer| xfs_db(&image, &["agi 0", "addr root", pointer, "p"]);
        let said = ["addr ptrs[1]", "addr ptrs[2]"].map(leaf).concat();
        assert!(said.contains(",0xff"), "{name}: {said}");
        more_inodes(&image);
        sequence(image, flavour, 5, 5, 60, 30_000);
    }
}

/// Small files until there is no room for inodes: chunks in part are made, too, and completed.
fn more_inodes(image: &Image) {
    let device = FileBlob::open(&image.path).unwrap();
    let mut fs = Xfs::mount(Box::new(device.clone()), true).unwrap();
    let holes = |image: &Image| {
        let leaf = |pointer| xfs_db(image, &["agi 0", "addr root", pointer, "p"]);
        ["addr ptrs[1]", "addr ptrs[2]"].map(leaf).concat().matches(",0xff").count()
    };
    let before = holes(image);
    fs.make_directory("/more", None).unwrap();
    let mut made = Vec::new();
    for index in 0..3000 {
        let path = format!("/more/{index}");
        if fs.write(&path, &MemoryBlob::read_only(Vec::new()), None).is_err() {
            break;
        }
        made.push(path);
    }
    fs.sync().unwrap();
    device.apply(&image.path).unwrap();
    check(&image.path);
    eprintln!("{} more, chunks in part: {before}, then {}", made.len(), holes(image));
    assert!(made.len() > 300 && holes(image) != before);
    made.iter().for_each(|path| fs.remove(path).unwrap());
    // Room for what comes.
    for index in (3..2000).step_by(8) {
        let _ = fs.remove(&format!("/fill{index}"));
    }
    fs.sync().unwrap();
    device.apply(&image.path).unwrap();
    check(&image.path);
}

/// Linux counts again what everybody has, since that is not kept.
#[test]
fn quotas() {
    let flavour = find("default");
    let image = empty(flavour, 64 << 20);
    let source = image.beside("source");
    fs::create_dir(&source).unwrap();
    populate(&source);
    kernel::fill(&image.path, "xfs", "rw,uquota,gquota", &source, "chown -R 1000:7 few many\n");
    let flags = |path: &Path| {
        let said =
            run(Command::new("/sbin/xfs_db").args(["-r", "-f", "-c", "sb 0", "-c", "p qflags"]).arg(path));
        u32::from_str_radix(said.trim().trim_start_matches("qflags = 0x"), 16).unwrap()
    };
    // Users' and groups' are counted and have been.
    assert_eq!(flags(&image.path) & 0x145, 0x145);
    let copy = image.beside("copy");
    let device = FileBlob::open(&image.path).unwrap();
    let mut fs = Xfs::mount(Box::new(device.clone()), true).unwrap();
    fs.write("/few/new", &MemoryBlob::read_only(noise(1, 100_000)), None).unwrap();
    fs.remove("/many").unwrap_err();
    fs.sync().unwrap();
    fs::copy(&image.path, &copy).unwrap();
    device.apply(&copy).unwrap();
    check(&copy);
    assert_eq!(flags(&copy) & 0x145, 0x41);
}

/// Blocks carry another UUID than the superblock.
#[test]
fn another_uuid() {
    for name in ["default", "rmapbt"] {
        let flavour = find(name);
        let image = empty(flavour, 64 << 20);
        run_to(Command::new("/sbin/xfs_admin").args(["-U", "generate"]).arg(&image.path), &[0]);
        assert!(xfs_db(&image, &["version"]).contains("META_UUID"));
        sequence(image, flavour, 7, 3, 80, 200_000);
    }
}

/// Nothing here is checked if this does not fail.
#[test]
fn the_checker_sees() {
    let image = empty(find("default"), 32 << 20);
    check(&image.path);
    let mut bytes = fs::read(&image.path).unwrap();
    // The count of free blocks of the first group.
    bytes[512 + 55] ^= 1;
    fs::write(&image.path, bytes).unwrap();
    run_to(Command::new("/sbin/xfs_repair").args(["-n", "-f"]).arg(&image.path), &[1]);
}

/// Targets move out for attributes, and back when these go: `xfs_repair` wants no target in blocks that would fit.
#[test]
fn targets_move_with_attributes() {
    for flavour in FLAVOURS {
        let image = empty(flavour, 64 << 20);
        let device = FileBlob::open(&image.path).unwrap();
        let mut fs = Xfs::mount(Box::new(device.clone()), true).unwrap();
        for length in [8, 60, 120, 150, 300] {
            let (path, target) = (format!("/link-{length}"), "t".repeat(length));
            fs.make_symlink(&path, &target, None).unwrap();
            for value in [100, 0, 230, 40, 3000, 20, 0] {
                let mut meta = fs.stat(&path).unwrap();
                meta.attributes.clear();
                if value > 0 {
                    meta.attributes.push(("trusted.more".into(), vec![7; value]));
                }
                fs.set_meta(&path, &meta).unwrap();
                fs.sync().unwrap();
                device.apply(&image.path).unwrap();
                check(&image.path);
                assert_eq!(fs.read_link(&path).unwrap(), target, "{}", flavour.name);
            }
        }
    }
}
