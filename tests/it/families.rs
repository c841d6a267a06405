//! Guests on other file systems than ext4: made and filled by the kernel, migrated by the built program, checked by their own
//! checkers, and compared file by file as the kernel sees them. Pools of ZFS are read.

use crate::guest::{noise, tool, tree};
use crate::loops::Loop;
use crate::migrate::DRIVERS;
use crate::{program, text};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use wherry_sdk::testing::Mount;

const MIB: u64 = 1 << 20;

/// A guest's folder of work, and the program that is tried on it.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn empty(&self, name: &str, size: u64) -> PathBuf {
        let path = self.path(name);
        fs::File::create(&path).unwrap().set_len(size).unwrap();
        path
    }

    fn wherry(&self, verb: &str, disks: &[&Path], more: &[&str]) -> Output {
        let mut command = program();
        command.arg(verb).args(disks.iter().map(|disk| format!("raw:{}", disk.display()))).args(more);
        command.output().unwrap()
    }

    /// Migrates to raw disks; the plan.
    fn migrate(&self, disks: &[&Path]) -> Value {
        let to = format!("kvm:{}", self.path("out").display());
        let words = ["--to", &to, "--wish", "format=raw", "--verify", "--output", "json"];
        let done = self.wherry("migrate", disks, &words);
        assert!(done.status.success(), "{} {}", text(&done.stdout), text(&done.stderr));
        serde_json::from_slice::<Value>(&done.stdout).unwrap()["plan"].clone()
    }

    /// The disks that were made, in order.
    fn made(&self) -> Vec<PathBuf> {
        let mut made: Vec<PathBuf> =
            fs::read_dir(self.path("out")).unwrap().map(|entry| entry.unwrap().path()).collect();
        made.retain(|path| path.extension().is_some_and(|extension| extension == "raw"));
        made.sort();
        made
    }
}

/// Every file below a folder with its kind, owner and content.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let script = "find . -mindepth 1 -printf '%P %y %m %U:%G %l ' \\( -type f -exec sh -c 'sha256sum <\"$1\"' - {} \\; -o -printf '\\n' \\)";
    let shown = Command::new("sh").args(["-c", script]).current_dir(folder).output().unwrap();
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    let line = |line: &str| line.split_once(' ').map(|(path, rest)| (path.to_owned(), rest.to_owned()));
    text(&shown.stdout).lines().filter_map(line).collect()
}

/// What differs between two trees is what the plan lists, and it lists nothing else.
fn assert_edits(plan: &Value, before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) {
    let mut differs: Vec<&String> =
        before.iter().filter(|(path, what)| after.get(*path) != Some(what)).map(|(path, _)| path).collect();
    differs.extend(after.keys().filter(|path| !before.contains_key(*path)));
    let edits = plan["edits"].as_array().unwrap();
    let listed: Vec<&str> = edits.iter().map(|edit| edit["object"].as_str().unwrap()).collect();
    for path in &differs {
        assert!(listed.contains(&format!("/{path}").as_str()), "{path} differs and is not in {listed:?}");
    }
    for path in &listed {
        assert!(differs.iter().any(|other| format!("/{other}") == *path), "{path} is listed and is the same");
    }
    assert!(listed.contains(&"/etc/fstab"), "{listed:?}");
}

/// The tree of a small guest on this file system.
fn guest(place: &Place, entry: &str) -> PathBuf {
    let tree = tree(place.0.path(), DRIVERS);
    fs::write(tree.join("etc/fstab"), entry).unwrap();
    fs::create_dir(tree.join("many")).unwrap();
    (0..300).for_each(|n| fs::write(tree.join(format!("many/file-{n}")), noise(n * 37)).unwrap());
    tree
}

fn fill(mounted: &Path, tree: &Path) {
    tool("cp", &["-a", &format!("{}/.", tree.display()), mounted.to_str().unwrap()]);
}

/// A file system on the first partition of a disk of 400 MiB, which is cut out and put back.
fn on_partition(place: &Place, kind: &str, make: &[&str], root: &str, check: &[&str]) {
    let entry = if root.is_empty() { "defaults".into() } else { format!("subvol={root}") };
    let tree = guest(place, &format!("/dev/sda1 / {kind} {entry} 0 1\n"));
    let image = place.empty("image", 399 * MIB);
    tool(make[0], &[&make[1..], &[image.to_str().unwrap()]].concat());
    let Some(mounted) = Mount::by_kernel(kind, &image, "rw") else { return };
    let inside = mounted.path.join(root);
    if !root.is_empty() {
        tool("btrfs", &["-q", "subvolume", "create", inside.to_str().unwrap()]);
    }
    fill(&inside, &tree);
    let before = files(&inside);
    drop(mounted);
    let disk = place.empty("disk.raw", 400 * MIB);
    let script =
        format!("printf 'label: dos\\nstart=1MiB,type=83,bootable\\n' | sfdisk -q '{}'", disk.display());
    tool("sh", &["-c", &script]);
    let dd = |from: &Path, to: &Path, place: &str| {
        let (from, to) = (format!("if={}", from.display()), format!("of={}", to.display()));
        tool("dd", &[&from, &to, "bs=1M", place, "conv=sparse,notrunc", "status=none"]);
    };
    dd(&image, &disk, "seek=1");

    let plan = place.migrate(&[&disk]);
    assert!(
        plan["bytes"]["data"].as_u64().unwrap() < 200 * MIB,
        "free blocks are left out: {}",
        plan["bytes"]
    );
    fs::remove_file(&image).unwrap();
    place.empty("image", 399 * MIB);
    dd(&place.made()[0], &image, "skip=1");
    tool(check[0], &[&check[1..], &[image.to_str().unwrap()]].concat());
    let mounted = Mount::by_kernel(kind, &image, "ro").unwrap();
    assert_edits(&plan, &before, &files(&mounted.path.join(root)));
}

#[test]
fn a_guest_on_xfs_is_migrated() {
    on_partition(&Place::new(), "xfs", &["mkfs.xfs", "-q"], "", &["xfs_repair", "-n"]);
}

#[test]
fn a_guest_in_a_subvolume_of_btrfs_is_migrated() {
    let check = ["btrfs", "check", "--check-data-csum"];
    on_partition(&Place::new(), "btrfs", &["mkfs.btrfs", "-q"], "@rootfs", &check);
}

#[test]
fn a_guest_on_two_disks_of_btrfs_is_migrated() {
    let place = Place::new();
    let tree = guest(&place, "/dev/sda / btrfs defaults 0 1\n");
    let menu = tree.join("boot/grub/grub.cfg");
    fs::write(&menu, fs::read_to_string(&menu).unwrap().replace("/dev/sda1", "/dev/sda")).unwrap();
    let disks = ["one", "two"].map(|name| place.empty(name, 300 * MIB));
    let mounted = |disks: &[PathBuf], options: &str| {
        let loops: Option<Vec<Loop>> = disks.iter().map(|disk| Loop::new(disk, 512)).collect();
        let loops = loops?;
        let options = format!("{options},device={}", loops[1].path);
        let folder = place.path("mounted");
        fs::create_dir_all(&folder).unwrap();
        tool("mount", &["-t", "btrfs", "-o", &options, &loops[0].path, folder.to_str().unwrap()]);
        Some((loops, folder))
    };
    let paths = disks.each_ref().map(|disk| disk.to_str().unwrap());
    tool("mkfs.btrfs", &[&["-q", "-d", "raid1", "-m", "raid1"], &paths[..]].concat());
    let Some((loops, folder)) = mounted(&disks, "rw") else { return };
    fill(&folder, &tree);
    let before = files(&folder);
    tool("umount", &[folder.to_str().unwrap()]);
    drop(loops);

    let plan = place.migrate(&[&disks[0], &disks[1]]);
    let made = place.made();
    assert_eq!(made.len(), 2);
    {
        let loops: Vec<Loop> = made.iter().map(|disk| Loop::new(disk, 512).unwrap()).collect();
        tool("btrfs", &["check", "--check-data-csum", &loops[0].path]);
    }
    let (loops, folder) = mounted(&made, "ro").unwrap();
    let after = files(&folder);
    tool("umount", &[folder.to_str().unwrap()]);
    drop(loops);
    assert_edits(&plan, &before, &after);
}

#[test]
fn a_pool_of_zfs_over_three_disks_is_read() {
    let place = Place::new();
    let fixture =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../adapters/fs-zfs/tests/it/fixtures/rz1.tar.zst");
    let (fixture, folder) =
        (fixture.to_str().unwrap().to_owned(), place.0.path().to_str().unwrap().to_owned());
    tool("tar", &["--zstd", "-xSf", &fixture, "-C", &folder]);
    let disks = ["0", "1", "2"].map(|name| place.path(name));
    let disks = disks.each_ref().map(PathBuf::as_path);
    let shown = place.wherry("inspect", &disks, &["--output", "json"]);
    let seen: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let volumes = seen["volumes"].as_array().unwrap();
    let pool =
        volumes.iter().find(|volume| volume["facts"]["fs.kind"] == "zfs").unwrap_or_else(|| panic!("{seen}"));
    let id = pool["id"].as_str().unwrap();
    let others: Vec<String> =
        disks[1..].iter().map(|disk| format!("--with=raw:{}", disk.display())).collect();
    let copy = place.path("copy");
    let words = ["/", copy.to_str().unwrap(), "--volume", id, &others[0], &others[1]];
    let done = place.wherry("cp", &disks[..1], &words);
    assert!(done.status.success(), "{}", text(&done.stderr));
    // Sums as the driver saw them.
    let sums = fs::read_to_string(place.path("seen/sums")).unwrap();
    let mut checked = 0;
    for line in sums.lines() {
        let (sum, name) = line.split_once("  ").unwrap();
        let file = copy.join(name.trim_start_matches("./"));
        if file.is_file() {
            assert!(tool("sha256sum", &[file.to_str().unwrap()]).starts_with(sum), "{name}");
            checked += 1;
        }
    }
    assert!(checked > 5, "{sums}");
}
