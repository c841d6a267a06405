//! Changes, judged by ntfs-3g's tools, its driver, and a checker of our own.

use crate::check::check;
use crate::images::{FLAVOURS, Flavour, Image, empty, find, make};
use crate::tools::{self, mounted};
use crate::tree::{from_adapter, from_directory};
use fs_ntfs::Ntfs;
use wherry_sdk::testing::filesystem::{Content, Files, assert_same};
use wherry_sdk::testing::{FileBlob, MemoryBlob, can_fuse, noise, run};
use wherry_sdk::{ErrorKind, FileSystem, Meta};

fn blob(seed: u64, length: usize) -> MemoryBlob {
    MemoryBlob::read_only(noise(seed, length))
}

/// Writes the changes into the image, and has everybody look at it.
pub fn settle(image: &Image, device: &FileBlob, fs: &mut Ntfs, what: &str) {
    fs.sync().unwrap();
    check(device);
    device.apply(&image.path).unwrap();
    tools::check(&image.path);
    let own = from_adapter(&mut Ntfs::mount(Box::new(FileBlob::open(&image.path).unwrap()), false).unwrap());
    assert_same(&own, &from_adapter(fs), what);
    if can_fuse() {
        let mount = mounted(&image.path, "ro");
        assert_same(&strip(own), &strip(from_directory(&mount.path)), what);
    }
}

/// Links lead out of the mount for ntfs-3g, which shows them in its own way.
fn strip(mut tree: Files) -> Files {
    tree.retain(|_, node| !matches!(node.content, Content::Link(_) | Content::Other));
    tree
}

#[test]
fn what_ntfs_3g_made_is_sound() {
    for flavour in FLAVOURS {
        check(&FileBlob::open(&make(flavour).path).unwrap());
    }
}

#[test]
fn files_of_all_sizes_in_every_geometry() {
    for flavour in FLAVOURS {
        let image = empty(flavour);
        let device = FileBlob::open(&image.path).unwrap();
        let mut fs = Ntfs::mount(Box::new(device.clone()), true).unwrap();
        fs.make_directory("/sub", None).unwrap();
        for (seed, size) in [0, 1, 500, 700, 900, 4096, 65536, 65537, 3_000_001].into_iter().enumerate() {
            let path = format!("/sub/size {size}");
            fs.write(&path, &blob(seed as u64, size), None).unwrap();
            assert_eq!(fs.stat(&path).unwrap().size, size as u64);
        }
        settle(&image, &device, &mut fs, flavour.name);
        fs.write("/sub/size 65536", &blob(50, 10), None).unwrap();
        fs.write("/sub/SIZE 0", &blob(51, 100_000), None).unwrap();
        fs.modify("/sub/size 3000001", 1_000_000, &blob(52, 100_000)).unwrap();
        fs.modify("/sub/size 3000001", 3_000_001, &blob(53, 200_000)).unwrap();
        fs.modify("/sub/size 500", 500, &blob(54, 2)).unwrap();
        fs.modify("/sub/size 700", 100, &blob(55, 5000)).unwrap();
        assert_eq!(fs.modify("/sub/size 1", 2, &blob(1, 1)).unwrap_err().kind, ErrorKind::InvalidInput);
        fs.rename("/sub/size 4096", "/moved.txt").unwrap();
        fs.rename("/sub/size 65537", "/sub/size 900").unwrap();
        fs.remove("/sub/size 1").unwrap();
        let names: Vec<String> =
            fs.entries("/sub", 0, 100).unwrap().entries.into_iter().map(|e| e.name).collect();
        assert_eq!(names, ["size 0", "size 3000001", "size 500", "size 65536", "size 700", "size 900"]);
        assert_eq!(fs.read("/sub/size 3000001", 1_000_000, 1000).unwrap(), noise(52, 1000));
        settle(&image, &device, &mut fs, flavour.name);
    }
}

/// Access rights that mkntfs made; the root's own do not fit into records.
fn like(fs: &mut Ntfs) -> Meta {
    let rights = vec![("ntfs.security-id".into(), 0x100u32.to_le_bytes().to_vec())];
    Meta { attributes: rights, mtime: 1_600_000_000, ..fs.stat("/").unwrap() }
}

#[test]
fn a_directory_of_thousands() {
    for name in ["4k", "512", "64k", "sector-4k"] {
        let image = empty(find(name));
        let device = FileBlob::open(&image.path).unwrap();
        let mut fs = Ntfs::mount(Box::new(device.clone()), true).unwrap();
        let like = like(&mut fs);
        fs.make_directory("/d", Some(&like)).unwrap();
        let path = |index: u64| {
            format!(
                "/d/{:x}-{index}{}",
                index.wrapping_mul(0x9e37_79b9) & 0xffff,
                "n".repeat(index as usize % 40)
            )
        };
        for index in 0..2500 {
            fs.write(&path(index), &blob(index, index as usize % 20), None).unwrap();
        }
        settle(&image, &device, &mut fs, name);
        assert!(check(&device).levels >= 3, "{name}");
        for index in (0..2500).filter(|index| index % 7 != 3) {
            fs.remove(&path(index)).unwrap();
            if index % 500 == 0 {
                fs.sync().unwrap();
                check(&device);
            }
        }
        settle(&image, &device, &mut fs, name);
        for index in (0..2500).filter(|index| index % 7 == 3) {
            fs.remove(&path(index)).unwrap();
        }
        settle(&image, &device, &mut fs, name);
        fs.remove("/d").unwrap();
        settle(&image, &device, &mut fs, name);
    }
}

#[test]
fn of_the_boot_sector_only_the_geometry_changes() {
    let image = empty(find("4k"));
    let device = FileBlob::open(&image.path).unwrap();
    let mut fs = Ntfs::mount(Box::new(device.clone()), true).unwrap();
    fs.modify("/$Boot", 0x1a, &MemoryBlob::read_only(vec![0x80, 0])).unwrap();
    assert_eq!(fs.read("/$Boot", 0x18, 4).unwrap()[2..], [0x80, 0]);
    for (offset, length) in [(0, 2), (0x17, 2), (0x1b, 2), (0x1c, 1), (0x1a, 3)] {
        let refused = fs.modify("/$Boot", offset, &MemoryBlob::read_only(vec![1; length])).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Denied, "{offset} {length}");
    }
    settle(&image, &device, &mut fs, "geometry");
}

/// Free space in single clusters: content, the master file table and directories are in thousands of pieces, which takes
/// lists of attributes, in the record and outside.
#[test]
fn everything_in_pieces() {
    for (name, cluster, size, left) in [("512", 512, 24 << 20, 7000), ("4k", 4096, 64 << 20, 1700)] {
        let image = empty(&Flavour { size, ..*find(name) });
        let device = FileBlob::open(&image.path).unwrap();
        let mut fs = Ntfs::mount(Box::new(device.clone()), true).unwrap();
        let like = like(&mut fs);
        fs.make_directory("/small", Some(&like)).unwrap();
        fs.make_directory("/new", Some(&like)).unwrap();
        let free = fs.room().unwrap().free / cluster;
        let large = blob(1, (free.saturating_sub(left) * cluster) as usize);
        fs.write("/large", &large, None).unwrap();
        // Each of these files takes a cluster of its own, and a record.
        let mut count = 0;
        while fs.room().unwrap().free > 300 * cluster {
            fs.write(&format!("/small/{count}"), &blob(count, cluster.max(900) as usize), None).unwrap();
            count += 1;
        }
        (0..count)
            .filter(|index| index % 2 == 0)
            .for_each(|index| fs.remove(&format!("/small/{index}")).unwrap());
        let free = fs.room().unwrap().free;
        fs.write("/in pieces", &blob(2, (free / 4) as usize), None).unwrap();
        fs.write("/in pieces:stream", &blob(3, (free / 10) as usize), None).unwrap();
        let mut more = 0;
        while fs.room().unwrap().free > 40 * cluster {
            fs.write(&format!("/new/{more}{}", "n".repeat(9)), &blob(more, 40), None).unwrap();
            more += 1;
        }
        assert!(more > 100, "{name}: {more} more files");
        settle(&image, &device, &mut fs, name);
        let uses = check(&device);
        assert!(uses.lists_outside > 0 && uses.mft, "{name}: {uses:?}");
        let old = fs.read("/in pieces", 100_000, 50_000).unwrap();
        fs.modify("/in pieces", 120_000, &blob(4, 10_000)).unwrap();
        assert_eq!(fs.read("/in pieces", 100_000, 20_000).unwrap(), old[..20_000]);
        assert_eq!(fs.read("/in pieces", 120_000, 10_000).unwrap(), noise(4, 10_000));
        let full = fs.write("/too large", &blob(5, 60 * cluster as usize), None).unwrap_err();
        assert_eq!(full.kind, ErrorKind::NoSpace);
        settle(&image, &device, &mut fs, name);
        fs.write("/in pieces", &blob(6, 10), None).unwrap();
        fs.remove("/in pieces:stream").unwrap();
        (0..more).for_each(|index| fs.remove(&format!("/new/{index}{}", "n".repeat(9))).unwrap());
        settle(&image, &device, &mut fs, name);
    }
}

/// An object id is in an index of the whole volume, as long as the file is there.
#[test]
fn object_ids_go_with_their_files() {
    let image = empty(find("4k"));
    let mount = mounted(&image.path, "streams_interface=xattr");
    for index in 0..3 {
        let path = mount.path.join(index.to_string());
        std::fs::write(&path, "x").unwrap();
        let id = format!("0x{}", format!("{:02x}", 0x70 + index).repeat(16));
        let arguments = ["-n", "system.ntfs_object_id", "-v", &id];
        run(std::process::Command::new("setfattr").args(arguments).arg(&path));
    }
    drop(mount);
    let device = FileBlob::open(&image.path).unwrap();
    check(&device);
    let mut fs = Ntfs::mount(Box::new(device.clone()), true).unwrap();
    fs.remove("/1").unwrap();
    fs.write("/2", &blob(1, 5000), None).unwrap();
    fs.rename("/2", "/0").unwrap();
    settle(&image, &device, &mut fs, "object ids");
}
