//! Logs that Linux left, replayed by the adapter and by Linux: what both come to is the same.

use crate::images::{Image, check, find, flavours, make, program};
use crate::reading::compared;
use fs_btrfs::Driver;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use wherry_sdk::FileSystem;
use wherry_sdk::testing::filesystem::{
    Content, Node, assert_same, attributes, from_adapter, from_directory, sequences, used,
};
use wherry_sdk::testing::{FileBlob, MemoryBlob, Mount, Random, noise, run};

/// What is there before the log begins.
const BEFORE: &str = "mkdir -p var many @; echo kept > var/kept; echo old > file
for i in $(seq 60); do head -c $((i * 700)) $NOISE > many/$i; done; ln many/3 many/third; ln many/4 var/fourth
setfattr -n user.note -v hello many/5; btrfs -q subvolume create @/sub; cp -a many @/sub/";

/// Copies the device while Linux has it mounted.
fn copy(from: &Path, to: &Path) {
    run(Command::new("cp").arg("--sparse=always").arg(from).arg(to));
}

fn writable(path: &Path) -> (FileBlob, Driver) {
    let device = FileBlob::open(path).unwrap();
    let fs = Driver::mount(Box::new(device.clone()), true).unwrap_or_else(|e| panic!("{e:?}"));
    (device, fs)
}

fn by_linux(path: &Path) -> BTreeMap<String, Node> {
    // Linux remembers devices, and refuses an older copy on another loop device
    run(program("bin/btrfs").args(["device", "scan", "--forget"]));
    let mounted = Mount::by_kernel("btrfs", path, "rw,subvolid=5").unwrap();
    let mut there = compared(from_directory(&mounted.path));
    for (path, node) in &mut there {
        node.attributes = attributes(&mounted.path.join(path.trim_start_matches('/')));
    }
    there
}

/// Replays a log, changes something, and asks btrfs and Linux what they think of it.
fn verify(image: &Image, lost: &Path, what: &str) {
    let (device, mut fs) = writable(lost);
    let ours = compared(from_adapter(&mut fs));
    let mut reading = Driver::mount(Box::new(FileBlob::open(lost).unwrap()), false).unwrap();
    assert_same(&ours, &compared(from_adapter(&mut reading)), &format!("{what}, for reading"));
    fs.sync().unwrap();
    let path = image.beside("replayed");
    copy(lost, &path);
    device.apply(&path).unwrap();
    check(&path);
    assert!(Driver::probe(&FileBlob::open(&path).unwrap()).unwrap().unwrap().clean, "{what}");
    assert_same(&ours, &by_linux(&path), &format!("{what}, read by Linux"));
    // what is written then goes nowhere where the log had something
    fs.write("/written", &MemoryBlob::read_only(noise(3, 700_000)), None).unwrap();
    let last = ours.iter().rev().find(|(_, node)| matches!(node.content, Content::File(_)));
    last.into_iter().for_each(|(path, _)| fs.remove(path).unwrap());
    fs.sync().unwrap();
    copy(lost, &path);
    device.apply(&path).unwrap();
    check(&path);
    assert_same(&ours, &by_linux(lost), &format!("{what}, replayed by Linux"));
}

/// A machine that lost its power: what it had synced is in the log, on the copy.
#[test]
fn a_log_is_replayed() {
    let Some(image) = make(find("default"), BEFORE) else { return };
    let lost = image.beside("lost");
    let mounted = Mount::by_kernel("btrfs", &image.path, "rw,commit=300").unwrap();
    let script = "echo new > file; head -c 200000 /dev/zero | tr '\\0' x > var/large; sync file var/large";
    // the first time Linux may make a block group, and then writes all
    for _ in 0..2 {
        run(Command::new("bash").args(["-ec", script]).current_dir(&mounted.path));
    }
    copy(&image.path, &lost);
    drop(mounted);

    let device = FileBlob::open(&lost).unwrap();
    let identity = Driver::probe(&device).unwrap().unwrap();
    let told = identity.facts.iter().any(|fact| fact.key == "journal");
    assert!(!identity.clean && told, "{:?}", identity.facts);
    let mut fs = Driver::mount(Box::new(device), false).unwrap();
    assert_eq!(fs.read("/file", 0, 10).unwrap(), b"new\n");
    assert_eq!(fs.stat("/var/large").unwrap().size, 200_000);
    // All counts as used: a copy that is not edited still has the log.
    let all = used(&mut fs, identity.size, 16).unwrap();
    assert_eq!((all.len(), all[0].length), (1, identity.size), "{all:?}");
    verify(&image, &lost, "written and synced");
}

/// What is behind a new end does not come back when the file grows, nor does an attribute.
#[test]
fn what_was_taken_away() {
    let before = format!("{BEFORE}\nhead -c 200000 $NOISE > var/cut");
    let Some(image) = make(find("default"), &before) else { return };
    let lost = image.beside("lost");
    let mounted = Mount::by_kernel("btrfs", &image.path, "rw,commit=300").unwrap();
    let script = "setfattr -x user.note many/5; truncate -s 5000 var/cut; sync many/5 var/cut";
    run(Command::new("bash").args(["-ec", script]).current_dir(&mounted.path));
    copy(&image.path, &lost);
    drop(mounted);
    assert!(!Driver::probe(&FileBlob::open(&lost).unwrap()).unwrap().unwrap().clean);
    let (device, mut fs) = writable(&lost);
    assert_eq!(fs.stat("/many/5").unwrap().attributes, []);
    fs.sync().unwrap();
    let ours = image.beside("ours");
    copy(&lost, &ours);
    device.apply(&ours).unwrap();
    verify(&image, &lost, "taken away");
    run(program("bin/btrfs").args(["device", "scan", "--forget"]));
    let mounted = Mount::by_kernel("btrfs", &ours, "rw,subvolid=5").unwrap();
    // two sectors, in pieces of 512 bytes
    assert_eq!(fs::metadata(mounted.path.join("var/cut")).unwrap().blocks(), 16);
    OpenOptions::new().write(true).open(mounted.path.join("var/cut")).unwrap().set_len(250_000).unwrap();
    let mut expected = noise(7, 3 << 20)[..5000].to_vec();
    expected.resize(250_000, 0);
    assert!(fs::read(mounted.path.join("var/cut")).unwrap() == expected);
}

/// A program that changes files and syncs some of them.
struct Work {
    random: Random,
    /// Where it works, below the top.
    root: PathBuf,
    made: u64,
}

impl Work {
    /// Something that is there, most often not the root itself.
    fn any(&mut self) -> PathBuf {
        let mut path = self.root.clone();
        for _ in 0..4 {
            let Ok(list) = fs::read_dir(&path) else { break };
            let mut list: Vec<PathBuf> = list.map(|entry| entry.unwrap().path()).collect();
            list.sort();
            if list.is_empty() {
                break;
            }
            path = list.swap_remove(self.random.below(list.len() as u64) as usize);
            if self.random.below(3) == 0 {
                break;
            }
        }
        path
    }

    /// A name that is new, or sometimes one that was there before.
    fn name(&mut self) -> PathBuf {
        let mut folder = self.any();
        while !folder.is_dir() || folder.is_symlink() {
            folder.pop();
        }
        self.made += 1;
        let number = if self.random.below(4) == 0 { self.random.below(self.made) } else { self.made };
        folder.join(format!("n{number}"))
    }

    /// Changes something. What cannot be done, such as moving a directory into itself, is left.
    fn change(&mut self) {
        let (path, other) = (self.any(), self.name());
        let (size, place) = (self.random.below(200_000) as usize, self.random.below(150_000));
        let bytes = noise(self.made, if self.random.below(3) == 0 { size % 3000 } else { size });
        let open = || OpenOptions::new().write(true).open(&path);
        let tool = |program: &str, arguments: &[&str]| {
            Command::new(program).args(arguments).arg(&path).output().unwrap();
        };
        match self.random.below(17) {
            0..=2 => drop(fs::write(&other, &bytes)),
            3 => drop(open().and_then(|file| file.write_all_at(&bytes, place))),
            4 => {
                drop(open().and_then(|file| {
                    file.write_all_at(&bytes[..bytes.len().min(100)], file.metadata()?.len())
                }))
            }
            5 => drop(open().and_then(|file| file.set_len(place))),
            6 | 7 => drop(fs::rename(&path, &other)),
            8 => drop(fs::hard_link(&path, &other)),
            9 => drop(fs::remove_file(&path)),
            10 => drop(fs::create_dir(&other)),
            11 => drop(symlink("t".repeat(1 + size % 90), &other)),
            12 => tool("setfattr", &["-n", "user.note", "-v", &"v".repeat(size % 900)]),
            13 => tool("setfattr", &["-x", "user.note"]),
            14 => tool("fallocate", &["-p", "-o", "8192", "-l", "20000"]),
            15 => tool("fallocate", &["-l", &place.to_string()]),
            _ => {
                Command::new("cp").arg("--reflink=always").arg(&path).arg(&other).output().unwrap();
                drop(fs::set_permissions(&other, fs::Permissions::from_mode(0o600 + (size % 8) as u32)));
                if size % 3 == 0 && path.starts_with(self.root.join("n")) {
                    drop(fs::remove_dir_all(&path));
                }
            }
        }
    }

    /// Syncs a file or a directory, or now and then all.
    fn sync(&mut self) {
        if self.random.below(20) == 0 {
            run(Command::new("sync").arg("-f").arg(&self.root));
        } else if let Ok(file) = File::open(self.any()) {
            drop(file.sync_all());
        }
    }
}

/// Logs of programs that change all kinds of things, from one device each time it loses its power.
fn random_logs(layout: usize, seed: u64, copies: u64) -> u64 {
    let flavour = &flavours()[layout];
    let Some(image) = make(flavour, BEFORE) else { return 0 };
    let options = format!("{},commit=300", flavour.options);
    let mounted = Mount::by_kernel("btrfs", &image.path, &options).unwrap();
    let root = if seed % 3 == 2 { mounted.path.join("@/sub") } else { mounted.path.clone() };
    let mut work = Work { random: Random::new(seed), root, made: 0 };
    let mut lost = Vec::new();
    for number in 0..copies {
        for _ in 0..3 + work.random.below(12) {
            work.change();
            if work.random.below(3) == 0 {
                work.sync();
            }
        }
        work.sync();
        let path = image.beside(&format!("lost{number}"));
        copy(&image.path, &path);
        lost.push(path);
    }
    drop(mounted);
    let mut replayed = 0;
    for path in lost {
        if !Driver::probe(&FileBlob::open(&path).unwrap()).unwrap().unwrap().clean {
            verify(&image, &path, &format!("{}, seed {seed}, {}", flavour.name, path.display()));
            replayed += 1;
        }
        fs::remove_file(&path).unwrap();
    }
    replayed
}

#[test]
fn logs_of_busy_machines() {
    let mut replayed = 0;
    for layout in 0..flavours().len() {
        for round in 0..sequences().unwrap_or(1) {
            replayed += random_logs(layout, layout as u64 + 100 * round, 5);
        }
    }
    println!("{replayed} logs were replayed");
}
