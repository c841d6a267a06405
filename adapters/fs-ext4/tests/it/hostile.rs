//! Damaged images: no panic, no endless walk, no boundless memory.

use crate::exercise::exercise;
use crate::images::directory;
use crate::tools::{crc32c, debugfs, tool};
use fs_ext4::Ext4;
use std::fs;
use std::panic::AssertUnwindSafe;
use wherry_sdk::testing::{FileBlob, MemoryBlob, Random, damage, noise, run, run_to};
use wherry_sdk::{ErrorKind, FileSystem};

const BLOCK: usize = 1024;
const INODE: usize = 256;

/// A small image with blocks of 1 KiB: every structure in little space.
struct Base {
    bytes: Vec<u8>,
    /// places of metadata, in bytes
    targets: Vec<(usize, usize)>,
}

fn number(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

impl Base {
    /// `journal`: with transactions to be replayed.
    fn new(arguments: &[&str], journal: bool) -> Self {
        let directory = directory();
        let source = directory.path().join("source");
        fs::create_dir_all(source.join("many")).unwrap();
        fs::create_dir_all(source.join("few")).unwrap();
        for index in 0..60 {
            fs::write(source.join(format!("many/{index}-{}", "n".repeat(60))), "").unwrap();
        }
        for (index, size) in [10, 100, 1500, 20_000, 290_000].iter().enumerate() {
            fs::write(source.join(format!("few/{size}")), noise(index as u64, *size)).unwrap();
        }
        std::os::unix::fs::symlink("s".repeat(90), source.join("long")).unwrap();
        std::os::unix::fs::symlink("short", source.join("link")).unwrap();
        let path = directory.path().join("image");
        fs::File::create(&path).unwrap().set_len(if journal { 4 << 20 } else { 1 << 20 }).unwrap();
        let mut mke2fs = tool("mke2fs");
        mke2fs.args(["-q", "-F", "-b", "1024", "-N", "128", "-I", "256", "-m", "0", "-d"]).arg(&source);
        run(mke2fs.args(arguments).arg(&path));
        let value = "v".repeat(300);
        debugfs(
            &path,
            &format!("ea_set /few/1500 user.long {value}\nea_set /few/100 security.selinux label\n"),
        );
        run_to(tool("e2fsck").args(["-fyD"]).arg(&path), &[0, 1]);
        // Two files that grow in turns are in pieces, and need tables or trees.
        let device = FileBlob::open(&path).unwrap();
        let mut ext4 = Ext4::mount(Box::new(device.clone()), true).unwrap();
        let one = MemoryBlob::read_only(vec![1; BLOCK]);
        ext4.write("/few/pieces", &one, None).unwrap();
        for _ in 0..30 {
            ext4.append("/few/10", &one).unwrap();
            ext4.append("/few/pieces", &one).unwrap();
        }
        ext4.sync().unwrap();
        device.apply(&path).unwrap();
        crate::tools::check(&path);
        if journal {
            let content = directory.path().join("content");
            fs::write(&content, noise(1, 3 * BLOCK)).unwrap();
            let content = content.display();
            let write = |blocks: &str| format!("jw -b {blocks} {content}\n");
            let commands =
                ["jo\n".into(), write("3900,3901,3902"), "jw -r 3901\n".into(), write("3903"), "jc\n".into()];
            debugfs(&path, &commands.concat());
        }
        Self::with_targets(fs::read(&path).unwrap())
    }

    /// The superblock and the descriptors; inodes in use; blocks that look like directories, trees, tables, attributes,
    /// or a journal.
    fn with_targets(bytes: Vec<u8>) -> Self {
        let table = number(&bytes, 2 * BLOCK + 8) * BLOCK;
        let mut targets = vec![(BLOCK, 2 * BLOCK), (2 * BLOCK, 2 * BLOCK + 64)];
        targets.extend((1..90).map(|index| (table + (index - 1) * INODE, table + index * INODE)));
        for at in (table + 128 * INODE..bytes.len()).step_by(BLOCK) {
            let block = &bytes[at..at + BLOCK];
            let magic = block.starts_with(&[0x0a, 0xf3]) || block.starts_with(&[0, 0, 2, 0xea]);
            let directory = block[4..6] == [12, 0] && block[8] == b'.';
            let pointers = (0..8).all(|index| (1..bytes.len() / BLOCK).contains(&number(block, index * 4)));
            let journal = block.starts_with(&[0xc0, 0x3b, 0x39, 0x98]);
            let leaf = number(block, 0) < 128 && block[4..6] != [0, 0] && block[8..12].contains(&b'n');
            if magic || directory || pointers || journal || leaf {
                targets.push((at, at + BLOCK));
            }
        }
        Self { bytes, targets }
    }

    fn inode(&self, path: &str) -> usize {
        let device = Box::new(MemoryBlob::read_only(self.bytes.clone()));
        let id = Ext4::mount(device, false).unwrap().stat(path).unwrap().id as usize;
        number(&self.bytes, 2 * BLOCK + 8) * BLOCK + (id - 1) * INODE
    }
}

/// Runs `exercise` and says which case it was if that panics.
fn survives(name: &str, bytes: &[u8]) {
    let result = std::panic::catch_unwind(AssertUnwindSafe(|| exercise(bytes)));
    assert!(result.is_ok(), "{name} makes it panic");
}

/// The superblock's checksum, where it has one.
fn stamp(bytes: &mut [u8]) {
    if bytes[BLOCK + 0x65] & 4 != 0 {
        let sum = crc32c(!0, &bytes[BLOCK..BLOCK + 1020]);
        bytes[BLOCK + 1020..2 * BLOCK].copy_from_slice(&sum.to_le_bytes());
    }
}

fn damaged(name: &str, arguments: &[&str], journal: bool, cases: u64) {
    let base = Base::new(arguments, journal);
    exercise(&base.bytes);
    for seed in 0..cases {
        let mut bytes = base.bytes.clone();
        let mut random = Random::new(seed);
        for _ in 0..=random.below(3) {
            let (from, to) = base.targets[random.below(base.targets.len() as u64) as usize];
            damage(&mut bytes, from, to, random.next_u64());
        }
        if seed % 8 == 0 {
            damage(&mut bytes, BLOCK, 2 * BLOCK, seed);
        }
        stamp(&mut bytes);
        survives(&format!("{name}, seed {seed}"), &bytes);
    }
}

/// Without checksums, so that the damage reaches the parsers.
const PLAIN: &[&str] = &["-t", "ext4", "-O", "^metadata_csum,^has_journal,^resize_inode,inline_data"];

#[test]
fn damaged_extents() {
    damaged("extents", PLAIN, false, 220);
}

#[test]
fn damaged_block_maps() {
    damaged("maps", &["-t", "ext2", "-O", "^resize_inode"], false, 200);
}

#[test]
fn damaged_journals() {
    damaged("journal", &["-t", "ext3", "-O", "^resize_inode"], true, 100);
}

#[test]
fn damaged_with_checksums() {
    damaged("sums", &["-t", "ext4", "-O", "^has_journal,^resize_inode"], false, 100);
}

#[test]
fn truncated() {
    let base = Base::new(PLAIN, false);
    for length in [0, 1, 1023, 1024, 1100, 2047, 2048, 2049, 4096, 100_000, (1 << 20) - 1] {
        survives(&format!("{length} bytes"), &base.bytes[..length]);
        let device = MemoryBlob::read_only(&base.bytes[..length]);
        let error = Ext4::mount(Box::new(device), false).map(|_| ()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Corrupt, "{length}");
    }
}

/// A number of the superblock with a value that makes arithmetic go wrong.
#[test]
fn superblocks_near_the_limits() {
    for (name, arguments) in [("plain", PLAIN), ("sums", &["-t", "ext4", "-O", "^has_journal,^resize_inode"])]
    {
        let base = Base::new(arguments, false);
        for at in (0..0x180).step_by(4).chain([0x24c, 0x250, 0x270, 0x280]) {
            for value in [0u32, 1, 3, 0x7fff_ffff, 0x8000_0000, u32::MAX - 1, u32::MAX] {
                let mut bytes = base.bytes.clone();
                bytes[BLOCK + at..BLOCK + at + 4].copy_from_slice(&value.to_le_bytes());
                stamp(&mut bytes);
                let mounted = std::panic::catch_unwind(|| {
                    let mounted = Ext4::mount(Box::new(MemoryBlob::new(bytes)), at % 8 == 0);
                    mounted.map(|mut fs| (fs.used(0, 100).is_ok(), fs.stat("/few/pieces").is_ok())).ok()
                });
                assert!(mounted.is_ok(), "{name}: {value:#x} at {at:#x} makes it panic");
            }
        }
    }
}

/// Structures that lead to themselves, overlap, or promise more than there is. The error is `corrupt` where one is due.
#[test]
fn made_by_hand() {
    let base = Base::new(PLAIN, false);
    let (pieces, few, long) = (base.inode("/few/pieces"), base.inode("/few"), base.inode("/long"));
    let node = number(&base.bytes, pieces + 0x28 + 16) as u32;
    let mut cases: Vec<(&str, usize, Vec<u8>, &str)> = vec![
        (
            "an extent index that points to the root directory",
            pieces + 0x28 + 16,
            1u32.to_le_bytes().to_vec(),
            "/few/pieces",
        ),
        ("an extent tree of depth 200", pieces + 0x28 + 6, vec![200, 0], "/few/pieces"),
        ("more extents than fit", pieces + 0x28 + 2, vec![255, 255, 255, 255], "/few/pieces"),
        ("an extent node that contains itself", node as usize * BLOCK + 6, vec![1, 0], "/few/pieces"),
        ("attributes in the superblock", pieces + 0x68, vec![1, 0, 0, 0], "/few/pieces"),
        ("attributes beyond the end", pieces + 0x68, vec![255; 4], "/few/pieces"),
        ("a directory that is longer than all blocks", few + 4, vec![0, 0, 0, 255], "/few/10"),
        ("a directory of odd length", few + 4, vec![1], "/few/10"),
        ("a symbolic link of 4 GiB", long + 4, vec![255; 4], "/long"),
        ("an inode longer than its place", pieces + 0x80, vec![255, 255], "/few/pieces"),
    ];
    let block = number(&base.bytes, few + 0x28 + 20);
    for (name, at, bytes) in [
        ("a record of length 0", 16, vec![0, 0]),
        ("a record of length 7", 16, vec![7, 0]),
        ("a record beyond its block", 16, vec![0, 16]),
        ("a name that is longer than its record", 6, vec![255]),
    ] {
        cases.push((name, block * BLOCK + at, bytes, "/few/10"));
    }
    for (name, at, patch, path) in cases {
        let mut bytes = base.bytes.clone();
        assert!(at > 2 * BLOCK, "{name}");
        bytes[at..at + patch.len()].copy_from_slice(&patch);
        survives(name, &bytes);
        let mut fs = Ext4::mount(Box::new(MemoryBlob::new(bytes)), true).unwrap();
        let link = fs.read_link(path).map(|_| ());
        let read = fs.read(path, 0, 100_000).map(|_| ());
        let kinds = [fs.stat(path).map(|_| ()), if path == "/long" { link } else { read }];
        assert!(
            kinds.iter().any(|kind| kind.as_ref().is_err_and(|error| error.kind == ErrorKind::Corrupt)),
            "{name}: {kinds:?}"
        );
    }
}

/// Block maps whose tables contain themselves, in every level: freeing them ends at the first block that is free.
#[test]
fn maps_that_contain_themselves() {
    let base = Base::new(&["-t", "ext2", "-O", "^resize_inode"], false);
    let file = base.inode("/few/290000");
    for level in 0..3 {
        let mut bytes = base.bytes.clone();
        let table = number(&bytes, file + 0x28 + 48) as u32;
        for slot in 0..=level {
            bytes[file + 0x28 + 48 + slot * 4..][..4].copy_from_slice(&table.to_le_bytes());
        }
        for zeroes in [false, true] {
            let at = table as usize * BLOCK;
            if zeroes {
                bytes[at..at + BLOCK].fill(0);
            }
            for slot in 0..64 {
                bytes[at + slot * 16..][..4].copy_from_slice(&table.to_le_bytes());
            }
            survives(&format!("level {level}"), &bytes);
            let mut fs = Ext4::mount(Box::new(MemoryBlob::new(bytes.clone())), true).unwrap();
            assert_eq!(fs.remove("/few/290000").unwrap_err().kind, ErrorKind::Corrupt);
        }
    }
}

#[test]
fn orphans_in_a_circle() {
    let base = Base::new(PLAIN, false);
    let mut bytes = base.bytes.clone();
    let file = base.inode("/few/10");
    let id = ((file - number(&bytes, 2 * BLOCK + 8) * BLOCK) / INODE + 1) as u32;
    bytes[BLOCK + 0xe8..][..4].copy_from_slice(&id.to_le_bytes());
    bytes[file + 0x14..][..4].copy_from_slice(&id.to_le_bytes());
    survives("orphans", &bytes);
    let error = Ext4::mount(Box::new(MemoryBlob::new(bytes)), true).map(|_| ()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Dirty);
}
