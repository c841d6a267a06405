//! Dirty journals: images copied while the kernel has them mounted, replayed by the adapter and by the kernel.

use crate::images::{copy_sparse, find, make};
use crate::tools::{check, debugfs, mounted, tool};
use crate::tree::{from_adapter, from_directory};
use fs_ext4::Ext4;
use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use wherry_sdk::testing::filesystem::{Files, assert_same};
use wherry_sdk::testing::{FileBlob, MemoryBlob, noise, run, run_to};
use wherry_sdk::{Error, ErrorKind, FileSystem};

fn mount(device: &FileBlob, writable: bool) -> Result<Ext4, Error> {
    Ext4::mount(Box::new(device.clone()), writable)
}

/// Work that leaves transactions, revoked blocks and escaped blocks in the journal, and files that were removed while
/// they were open.
fn work(root: &Path) -> Vec<fs::File> {
    let flush = || run(Command::new("sync").arg("-f").arg(root));
    let mut open = Vec::new();
    for round in 0..4u64 {
        for index in 0..60 {
            let path = root.join(format!("many/{round}-{index}"));
            fs::write(&path, noise(index, (index * 517) as usize)).unwrap();
        }
        let directory = root.join(format!("var/round{round}"));
        fs::create_dir(&directory).unwrap();
        for index in 0..40 {
            fs::write(directory.join(format!("a name to fill blocks of directories {index}")), "x").unwrap();
        }
        flush();
        // Freed blocks of directories are revoked, and may come back as content.
        for index in 0..40 {
            fs::remove_file(directory.join(format!("a name to fill blocks of directories {index}"))).unwrap();
        }
        fs::remove_dir(&directory).unwrap();
        // Journal magic at the beginning of a block is escaped where data goes through the journal.
        let mut content = 0xc03b_3998u32.to_be_bytes().repeat(4096);
        content.extend(noise(round, 300_000));
        fs::write(root.join(format!("few/magic{round}")), &content).unwrap();
        fs::rename(root.join(format!("many/{round}-1")), root.join(format!("etc/renamed{round}"))).unwrap();
        let path = root.join(format!("few/open{round}"));
        fs::write(&path, noise(round, 123_456)).unwrap();
        open.push(fs::File::open(&path).unwrap());
        flush();
        fs::remove_file(&path).unwrap();
    }
    flush();
    open
}

/// What the kernel makes of the journal.
fn replayed_by_kernel(path: &Path) -> Files {
    let mount = mounted(path, "rw").unwrap();
    from_directory(&mount.path)
}

/// Makes a dirty copy of the flavour's image, mounted with `options`.
fn dirty(name: &str, options: &str) {
    eprintln!("{name} {options}");
    let image = make(find(name));
    let copy = image.beside("dirty");
    let Some(mounted) = mounted(&image.path, options) else {
        eprintln!("NOT TESTED: the replay of what the kernel leaves behind");
        return;
    };
    let open = work(&mounted.path);
    copy_sparse(&image.path, &copy);
    drop(open);
    drop(mounted);

    let device = FileBlob::open(&copy).unwrap();
    let identity = Ext4::probe(&device).unwrap().unwrap();
    assert!(!identity.clean && identity.facts.iter().any(|fact| fact.key == "journal"));
    let seen = from_adapter(&mut mount(&device, false).unwrap());
    assert_eq!(device.overlay_bytes(), 0, "mounted for reading, the journal is replayed in memory");
    let mut fs = mount(&device, true).unwrap();
    assert!(device.overlay_bytes() > 0);
    assert_same(&seen, &from_adapter(&mut fs), name);
    fs.write("/few/after", &MemoryBlob::read_only(b"replay".to_vec()), None).unwrap();
    fs.sync().unwrap();
    let ours = image.beside("ours");
    copy_sparse(&copy, &ours);
    device.apply(&ours).unwrap();
    check(&ours);
    assert!(Ext4::probe(&FileBlob::open(&ours).unwrap()).unwrap().unwrap().clean);
    let theirs = replayed_by_kernel(&copy);
    assert_same(&seen, &theirs, name);
    assert!(theirs.contains_key("/etc/renamed3"));
    let mut again = replayed_by_kernel(&ours);
    again.remove("/few/after").unwrap();
    again.get_mut("/few").unwrap().mtime = theirs["/few"].mtime;
    assert_same(&again, &theirs, name);
}

#[test]
fn replay_with_checksums() {
    dirty("default", "rw");
    dirty("1k", "rw,data=journal");
    dirty("orphan-file", "rw");
}

#[test]
fn replay_without_checksums() {
    dirty("no-sums", "rw");
    dirty("ext3", "rw,data=journal");
    dirty("no-sums", "rw,journal_checksum,data=journal");
}

#[test]
fn replay_with_old_checksums() {
    dirty("no-sums", "rw,journal_checksum");
    dirty("fast-commit", "rw");
}

/// debugfs writes journals of every version, and revokes.
#[test]
fn replay_of_what_debugfs_writes() {
    // It does not sum revoke blocks as version 1 wants it, and nobody would replay that.
    for (name, options, revoke) in [
        ("default", "-c -v 3", true),
        ("default", "-c -v 2", true),
        ("ext3-4k", "-c", false),
        ("ext3-4k", "", true),
        ("no-sums", "", true),
    ] {
        let image = make(find(name));
        let content = image.beside("content");
        fs::write(&content, noise(9, 3 * 4096)).unwrap();
        let (write, path) = (|blocks: &str| format!("jw -b {blocks} {}\n", content.display()), &image.path);
        let commands = [
            format!("jo {options}\n"),
            write("9000,9001,9002"),
            write("9100,9101,9102"),
            if revoke { "jw -r 9001,9101\n".to_owned() } else { String::new() },
            write("9200,9101,9202"),
            "jc\n".to_owned(),
        ];
        debugfs(path, &commands.concat());
        let device = FileBlob::open(path).unwrap();
        assert!(!Ext4::probe(&device).unwrap().unwrap().clean, "{name} {options}");
        let mut fs = mount(&device, true).unwrap();
        fs.sync().unwrap();
        let ours = image.copy("ours");
        device.apply(&ours).unwrap();
        let theirs = image.copy("theirs");
        run_to(tool("e2fsck").args(["-y", "-E", "journal_only"]).arg(&theirs), &[0, 1]);
        let block = |path: &Path, number: u64| {
            let mut bytes = vec![0; 4096];
            fs::File::open(path).unwrap().read_exact_at(&mut bytes, number * 4096).unwrap();
            bytes
        };
        for number in [9000, 9001, 9002, 9100, 9101, 9102, 9200, 9202] {
            assert!(block(&ours, number) == block(&theirs, number), "{name} {options}: block {number}");
        }
        assert!(block(&ours, 9000) == noise(9, 4096), "{name} {options}");
        assert_eq!(block(&ours, 9001) == block(path, 9001), revoke, "{name} {options}: revoked");
    }
}

#[test]
fn fast_commits_are_refused() {
    let image = make(find("fast-commit"));
    let copy = image.beside("dirty");
    let Some(mounted) = mounted(&image.path, "rw") else { return };
    let mut open = work(&mounted.path);
    let mut file = fs::File::options().append(true).open(mounted.path.join("etc/fstab")).unwrap();
    file.write_all(b"more").unwrap();
    file.sync_all().unwrap();
    copy_sparse(&image.path, &copy);
    open.push(file);
    drop((open, mounted));
    for writable in [false, true] {
        let error = mount(&FileBlob::open(&copy).unwrap(), writable).map(|_| ()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Dirty);
        assert!(error.message.contains("fast commits"), "{}", error.message);
    }
}

/// Where the journal's block `number` is, in bytes.
fn journal_at(image: &Path, number: u64) -> u64 {
    let text = run(tool("debugfs").arg("-R").arg(format!("bmap <8> {number}")).arg(image));
    text.lines().find_map(|line| line.trim().parse::<u64>().ok()).unwrap() * 4096
}

#[test]
fn journals_that_cannot_be_replayed() {
    let image = make(find("default"));
    let copy = image.beside("dirty");
    let content = image.beside("content");
    fs::write(&content, noise(9, 3 * 4096)).unwrap();
    let write = |blocks: &str| format!("jw -b {blocks} {}\n", content.display());
    let (first, second) = (write("9000,9001,9002"), write("9100,9101,9102"));
    debugfs(&image.path, &format!("jo -c -v 3\n{first}{second}jc\n"));
    copy_sparse(&image.path, &copy);
    let block = |number| {
        let mut bytes = vec![0; 4096];
        fs::File::open(&copy).unwrap().read_exact_at(&mut bytes, journal_at(&copy, number)).unwrap();
        bytes
    };
    let superblock = block(0);
    let start = u64::from(u32::from_be_bytes(superblock[0x1c..0x20].try_into().unwrap()));
    assert!(start > 0);
    let broken = |number: u64, at: u64, byte: u8| {
        let path = image.beside("broken");
        copy_sparse(&copy, &path);
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.write_all_at(&[byte], journal_at(&copy, number) + at).unwrap();
        [false, true].map(|writable| {
            mount(&FileBlob::open(&path).unwrap(), writable).map(|_| ()).map_err(|error| error.kind)
        })
    };
    // Its superblock: magic, an unknown feature, the length, a recorded error; all of them also break the checksum.
    for at in [0, 0x28, 0x10, 0x20] {
        assert_eq!(broken(0, at, 0x7f), [Err(ErrorKind::Dirty); 2], "superblock byte {at}");
    }
    // A data block that is not what its tag says.
    assert_eq!(broken(start + 1, 77, block(start + 1)[77] ^ 1), [Err(ErrorKind::Dirty); 2]);
    // So is its descriptor; the kernel refuses it too, unless the transaction is older than the one before it.
    assert_eq!(broken(start, 4000, block(start)[4000] ^ 1), [Err(ErrorKind::Dirty); 2]);
    // What is not committed is not replayed: the log ends at its first transaction.
    assert_eq!(broken(start, 0, 0), [Ok(()), Ok(())]);
}

#[test]
fn an_external_journal_is_refused() {
    let image = make(find("no-journal"));
    let file = fs::File::options().write(true).open(&image.path).unwrap();
    let mut features = [0; 4];
    fs::File::open(&image.path).unwrap().read_exact_at(&mut features, 1024 + 0x5c).unwrap();
    features[0] |= 4;
    file.write_all_at(&features, 1024 + 0x5c).unwrap();
    let mut raw = vec![0; 1020];
    fs::File::open(&image.path).unwrap().read_exact_at(&mut raw, 1024).unwrap();
    file.write_all_at(&crate::tools::crc32c(!0, &raw).to_le_bytes(), 2044).unwrap();
    let error = mount(&FileBlob::open(&image.path).unwrap(), false).map(|_| ()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert!(error.message.contains("another device"), "{}", error.message);
}

/// ext2 that was mounted when it was copied, and a file system with recorded errors.
#[test]
fn a_check_that_is_due() {
    for state in ["0", "3"] {
        let image = make(find("ext2"));
        debugfs(&image.path, &format!("set_super_value state {state}\n"));
        let device = FileBlob::open(&image.path).unwrap();
        assert!(!Ext4::probe(&device).unwrap().unwrap().clean);
        let error = mount(&device, true).map(|_| ()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Dirty);
        assert!(error.message.contains("e2fsck"), "{}", error.message);
        let mut fs = mount(&device, false).unwrap();
        assert!(fs.stat("/etc/fstab").is_ok());
        let used = fs.used(0, 10).unwrap();
        assert_eq!(used.len(), 1, "all of it, since the bitmaps may be wrong");
        assert_eq!((used[0].offset, used[0].length), (0, 48 << 20));
    }
}
