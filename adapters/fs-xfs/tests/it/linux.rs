//! Volumes that Linux' own driver has filled: pieces, attributes, shared blocks, times, second names, and logs of every state.

use crate::images::{Flavour, Image, attributes, check, empty, find, links, populate};
use crate::sequence::Bench;
use fs_xfs::Xfs;
use std::fmt::Write;
use std::fs;
use std::process::Command;
use wherry_sdk::testing::filesystem::{
    Content, Files, assert_same, copy_used, from_adapter, from_directory, used,
};
use wherry_sdk::testing::{FileBlob, kernel, run_to};
use wherry_sdk::{FileSystem, find as fact};

const SIZE: u64 = 64 << 20;

/// Of the owner, of user 1000, of the group, with a mask, of others: all may read and write.
const ACL: &str =
    "020000000100 0600ffffffff 02000600e8030000 04000600ffffffff 10000600ffffffff 20000600ffffffff";

fn filled(flavour: &Flavour, script: &str) -> Image {
    let image = empty(flavour, SIZE);
    let source = image.beside("source");
    fs::create_dir(&source).unwrap();
    populate(&source);
    links(&source, &[155, 156, 157, 330, 336, 337, 500, 967, 968, 969, 1020]);
    fs::hard_link(source.join("etc/fstab"), source.join("second")).unwrap();
    kernel::fill(&image.path, "xfs", "rw", &source, script);
    image
}

/// Every second block of a file, room that was never written, blocks that two files share, a directory in pieces.
fn pieces(count: u32, reflink: bool) -> String {
    let mut script = format!(
        "i=0; while [ $i -lt {count} ]; do\n\
         dd if=etc/big of=pieces bs=1024 count=2 skip=$((i%1000)) seek=$((i*8)) conv=notrunc 2>/dev/null\n\
         echo $i >\"many/one more in a directory that is larger than its first piece $i\"; i=$((i+1)); done\n\
         fallocate -l 1000000 unwritten; echo start | dd of=unwritten conv=notrunc 2>/dev/null\n\
         touch -d '1960-02-03 04:05:06' etc/fstab; touch -d '2100-02-03 04:05:06' few/size-0; mknod pipe p; mknod null c 1 3\n\
         dd if=few/size-70000 of=huge bs=1k seek=100000000 2>/dev/null; rm huge\n"
    );
    if reflink {
        script.push_str("cp --reflink=always etc/big shared\n");
        script.push_str("echo other | dd of=shared bs=4096 seek=9 conv=notrunc 2>/dev/null\n");
    }
    script
}

/// Without what tar does not carry: times before 1970, attributes, modes of symbolic links.
fn compared(mut files: Files) -> Files {
    for node in files.values_mut() {
        if matches!(node.content, Content::Link(_)) {
            node.mode = 0o777;
        }
        (node.id, node.mtime, node.attributes) = (0, node.mtime.max(0), Vec::new());
    }
    files
}

/// What Linux reads, what the adapter reads, and attributes as they were set; and all of it again from a copy of what is used.
/// A file has at least `count` pieces in a tree of so many levels.
fn same_as_linux(name: &str, count: u32, levels: u32, reflink: bool) -> Image {
    let mut script = pieces(count, reflink);
    let set = attributes(&mut script);
    writeln!(script, "setfattr -n system.posix_acl_access -v 0x{} etc/fstab", ACL.replace(' ', "")).unwrap();
    let image = filled(find(name), &script);
    check(&image.path);
    let mut xfs_db = Command::new("/sbin/xfs_db");
    let said = run_to(xfs_db.args(["-r", "-f", "-c", "path /pieces", "-c", "p"]).arg(&image.path), &[0]);
    assert!(said.contains(&format!("bmbt.level = {levels}\n")), "{name}: {said}");
    let folder = image.beside("linux");
    fs::create_dir(&folder).unwrap();
    kernel::unpack(&image.path, "xfs", &folder);
    let there = compared(from_directory(&folder));
    let device = FileBlob::open(&image.path).unwrap();
    assert!(Xfs::probe(&device).unwrap().unwrap().clean, "{name}");
    let mut fs = Xfs::mount(Box::new(device), false).unwrap();
    let files = from_adapter(&mut fs);
    assert_eq!(files["/second"].id, files["/etc/fstab"].id);
    assert_eq!((files["/etc/fstab"].links, files["/etc/fstab"].mtime < 0), (2, true));
    assert!(files["/few/size-1"].attributes.len() == 60, "{name}");
    for (path, attribute, value) in &set {
        let found = files[path].attributes.iter().find(|(name, _)| name == attribute);
        assert!(
            found.is_some_and(|(_, found)| found == value.as_bytes()),
            "{name}: {attribute} of {path}: {found:?}"
        );
    }
    let list = files["/second"].attributes.iter().find(|(name, _)| name == "system.posix_acl_access");
    let shown: String = list.unwrap().1.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(shown, ACL.replace(' ', ""), "{name}");
    let all: usize = files.values().map(|node| node.attributes.len()).sum();
    assert_eq!(all - files["/second"].attributes.len() - 1, set.len(), "{name}");
    assert_same(&compared(files), &there, name);
    let ranges = used(&mut fs, SIZE, 100).unwrap();
    let target = image.beside("target");
    copy_used(&image.path, &target, &ranges);
    check(&target);
    let mut again = Xfs::mount(Box::new(FileBlob::open(&target).unwrap()), false).unwrap();
    assert_same(&compared(from_adapter(&mut again)), &there, name);
    image
}

#[test]
fn defaults() {
    same_as_linux("default", 60, 1, true);
}

#[test]
fn large_counts_and_reverse_maps() {
    same_as_linux("rmapbt", 30, 1, true);
}

/// Small blocks, so that trees have several leaves.
#[test]
fn small_blocks() {
    same_as_linux("1k", 150, 1, false);
}

/// Smaller still, and trees of two levels.
#[test]
fn version_4_with_blocks_of_512() {
    changed(same_as_linux("v4-512", 300, 2, false), "v4-512", 2);
}

/// A machine whose power was cut: Linux' replay and ours come to the same; everything counts as used while it is not replayed.
fn power_cut(name: &str) {
    let mut script = pieces(40, false);
    attributes(&mut script);
    script.push_str(
        "sync; rm -r some; mkdir late; echo x >late/file; cp -r few late; mv late/few/size-4097 .; sync\n",
    );
    script.push_str("echo 'wherry: complete'; poweroff -f; sleep 100\n");
    let image = filled(find(name), &script);
    run_to(Command::new("/sbin/xfs_repair").arg("-f").arg(&image.path), &[2]);
    let device = FileBlob::open(&image.path).unwrap();
    let identity = Xfs::probe(&device).unwrap().unwrap();
    assert!(!identity.clean);
    assert_eq!(fact(&identity.facts, "journal"), Some("has to be replayed"));
    let mut fs = Xfs::mount(Box::new(device.clone()), false).unwrap();
    assert_eq!(used(&mut fs, SIZE, 9).unwrap()[0].length, SIZE);
    let mut seen = from_adapter(&mut fs);
    assert_eq!(fs.read("/late/file", 0, 9).unwrap(), b"x\n", "{name}");
    let mut fs = Xfs::mount(Box::new(device.clone()), true).unwrap();
    assert_same(&from_adapter(&mut fs), &seen, name);
    // The script, which is another the next time.
    seen.remove("/.fill");
    let ours = image.beside("ours");
    fs::copy(&image.path, &ours).unwrap();
    device.apply(&ours).unwrap();
    check(&ours);
    // Linux replays it, and leaves a log that is clean again.
    let source = image.beside("more");
    fs::create_dir(&source).unwrap();
    for path in [&image.path, &ours] {
        kernel::fill(path, "xfs", "rw", &source, "cat late/file\n");
        check(path);
        let device = FileBlob::open(path).unwrap();
        assert!(Xfs::probe(&device).unwrap().unwrap().clean);
        let mut fs = Xfs::mount(Box::new(device), false).unwrap();
        let mut there = from_adapter(&mut fs);
        there.remove("/.fill");
        assert_same(&there, &seen, name);
    }
}

#[test]
fn power_cut_of_version_4() {
    power_cut("v4");
}

/// Version 4, which this machine's kernel may not know: what Linux made is changed, and Linux reads what comes of it.
fn changed(image: Image, name: &str, seed: u64) {
    let mut bench = Bench::new(image, find(name), seed, 300_000);
    (0..4).for_each(|round| bench.round(80, &format!("{name}, round {round}")));
    bench.verify(name);
    let folder = bench.image.beside("changed");
    fs::create_dir(&folder).unwrap();
    let said = kernel::unpack(&bench.image.path, "xfs", &folder);
    assert!(!said.contains("orrupt"), "{said}");
    assert_same(&compared(bench.expected()), &compared(from_directory(&folder)), name);
}

#[test]
fn changed_in_version_4() {
    let mut script = pieces(60, false);
    attributes(&mut script);
    changed(filled(find("v4"), &script), "v4", 1);
}
