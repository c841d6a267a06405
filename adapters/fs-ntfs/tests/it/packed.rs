//! What others packed: wimlib for XPRESS and LZX, ntfs-3g for LZNT1.

use crate::images::{Image, empty, find};
use crate::tools::{check, mounted};
use crate::wim::{PACKINGS, Resource, contents, pack};
use fs_ntfs::wof::{Packed, Packing};
use fs_ntfs::{Ntfs, lznt1};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use wherry_sdk::testing::filesystem::read_all;
use wherry_sdk::testing::{FileBlob, MemoryBlob, Random, can_fuse, noise, run};
use wherry_sdk::{ErrorKind, FileSystem};

fn packed(packing: Packing, resource: &Resource) -> Packed {
    Packed { packing, size: resource.size, stored: resource.packed.len() as u64 }
}

fn read(packing: Packing, resource: &Resource, offset: u64, length: u64) -> Vec<u8> {
    let stream =
        |offset: u64, length: u64| Ok(resource.packed[offset as usize..][..length as usize].to_vec());
    packed(packing, resource).read(offset, length, stream).unwrap()
}

/// Every resource is one of the contents, whole and by pieces.
#[test]
fn wimlib_packs_and_we_unpack() {
    let contents = contents();
    for (packing, method, chunk) in PACKINGS {
        let resources = pack(method, chunk, &contents);
        let mut seen = BTreeSet::new();
        for resource in &resources {
            let whole = read(packing, resource, 0, u64::MAX);
            let number = contents.iter().position(|content| *content == whole);
            seen.insert(
                number.unwrap_or_else(|| panic!("{packing:?}: {} bytes are none of the files", whole.len())),
            );
            let mut random = Random::new(resource.size);
            for _ in 0..20 {
                let (offset, length) = (random.below(resource.size), random.below(100_000));
                let end = (offset + length).min(resource.size);
                let piece = read(packing, resource, offset, length);
                assert!(piece == whole[offset as usize..end as usize], "{packing:?}: {offset}+{length}");
            }
            assert!(read(packing, resource, resource.size, 1).is_empty());
        }
        // The first are large enough to be packed; number 5 repeats itself further away than XPRESS' chunks reach.
        let missing =
            (0..8).find(|number| !seen.contains(number) && (*number != 5 || packing == Packing::Lzx));
        assert_eq!(missing, None, "{packing:?}: {seen:?}");
    }
}

#[test]
fn lznt1_by_the_document() {
    // The example of [MS-XCA] 3.3.
    let packed = [
        0x38, 0xb0, 0x88, 0x46, 0x23, 0x20, 0x00, 0x20, 0x47, 0x20, 0x41, 0x00, 0x10, 0xa2, 0x47, 0x01, 0xa0,
        0x45, 0x20, 0x44, 0x00, 0x08, 0x45, 0x01, 0x50, 0x79, 0x00, 0xc0, 0x45, 0x20, 0x05, 0x24, 0x13, 0x88,
        0x05, 0xb4, 0x02, 0x4a, 0x44, 0xef, 0x03, 0x58, 0x02, 0x8c, 0x09, 0x16, 0x01, 0x48, 0x45, 0x00, 0xbe,
        0x00, 0x9e, 0x00, 0x04, 0x01, 0x18, 0x90, 0x00,
    ];
    let text = b"F# F# G A A G F# E D D E F# F# E E F# F# G A A G F# E D D E F# E D D E E F# D E F# G F# D E F# G F# E D E A F# F# G A A G F# E D D E F# E D D\0";
    let unpacked = lznt1::unpack(&packed, 8192).unwrap();
    assert!(unpacked.starts_with(text), "{}", String::from_utf8_lossy(&unpacked));
    assert!(unpacked[text.len()..].iter().all(|byte| *byte == 0));
}

/// Files that ntfs-3g compresses, in units that pack well, badly and not at all, with holes.
#[test]
fn ntfs_3g_packs_and_we_unpack() {
    if !can_fuse() {
        return;
    }
    for flavour in ["4k", "512", "1k"] {
        let image = empty(find(flavour));
        let mount = mounted(&image.path, "compression");
        let folder = mount.path.join("packed");
        fs::create_dir(&folder).unwrap();
        run(Command::new("setfattr").args(["-n", "system.ntfs_attrib_be", "-v", "0x00000800"]).arg(&folder));
        let mut files: Vec<Vec<u8>> = contents();
        let mut mixed = noise(1, 65536);
        mixed.resize(200_000, 0);
        mixed.extend(b"mixed ".repeat(30_000));
        mixed.extend(noise(2, 70_001));
        files.push(mixed);
        for (index, content) in files.iter().enumerate() {
            fs::write(folder.join(index.to_string()), content).unwrap();
        }
        drop(mount);
        check(&image.path);
        let info = Command::new("ntfsinfo").args(["-F", "/packed/0"]).arg(&image.path).output().unwrap();
        let info = String::from_utf8_lossy(&info.stdout).into_owned();
        assert!(info.contains("COMPRESSED"), "ntfs-3g did not compress:\n{info}");
        let mut fs = Ntfs::mount(Box::new(FileBlob::open(&image.path).unwrap()), false).unwrap();
        for (index, content) in files.iter().enumerate() {
            let whole = read_all(&mut fs, &format!("/packed/{index}"), content.len() as u64);
            assert!(whole == *content, "{flavour}: file {index} of {} bytes", content.len());
        }
    }
}

/// A file as WOF leaves it: a hole, the packed stream, the reparse point.
fn store(root: &Path, name: &str, resource: &Resource, method: u32) {
    let path = root.join(name);
    fs::File::create(&path).unwrap().set_len(resource.size).unwrap();
    fs::write(root.join(format!("{name}:WofCompressedData")), &resource.packed).unwrap();
    let numbers = [0x8000_0017, 16, 1, 2, 1, method];
    let reparse: String =
        numbers.iter().flat_map(|number: &u32| number.to_le_bytes()).map(|b| format!("{b:02x}")).collect();
    let mut command = Command::new("setfattr");
    run(command.args(["-h", "-n", "system.ntfs_reparse_data", "-v", &format!("0x{reparse}")]).arg(&path));
}

/// No tool here makes such files: chunks by wimlib are put where Windows puts them, and read through the whole adapter.
#[test]
fn packed_files_are_read_through_the_adapter() {
    if !can_fuse() {
        return;
    }
    let contents = contents();
    let image = empty(find("4k"));
    let mount = mounted(&image.path, "streams_interface=windows");
    let mut sizes = Vec::new();
    for ((_, method, chunk), number) in PACKINGS.into_iter().zip([0, 2, 3, 1]) {
        for (index, resource) in pack(method, chunk, &contents[..8]).iter().enumerate() {
            let name = format!("{number}-{index}");
            store(&mount.path, &name, resource, number);
            sizes.push((name, resource.size));
        }
    }
    store(&mount.path, "unknown", &Resource { packed: vec![0; 100], size: 5000 }, 9);
    drop(mount);
    let mut fs = Ntfs::mount(Box::new(FileBlob::open(&image.path).unwrap()), false).unwrap();
    for (name, size) in sizes {
        let whole = read_all(&mut fs, &format!("/{name}"), size);
        assert!(contents.contains(&whole), "{name}");
    }
    assert_eq!(fs.read("/unknown", 0, 10).unwrap_err().kind, ErrorKind::Unsupported);
    packed_files_become_plain(&image);
}

/// A part is changed, or all of it: what is left is a file without stream and reparse point.
fn packed_files_become_plain(image: &Image) {
    let device = FileBlob::open(&image.path).unwrap();
    let mut fs = Ntfs::mount(Box::new(device.clone()), true).unwrap();
    let names: Vec<String> =
        fs.entries("/", 0, 100).unwrap().entries.into_iter().map(|one| one.name).collect();
    let mut expected = Vec::new();
    for (index, name) in names.iter().filter(|name| *name != "unknown").enumerate() {
        let path = format!("/{name}");
        let size = fs.stat(&path).unwrap().size;
        let mut content = read_all(&mut fs, &path, size);
        if index % 3 == 0 {
            content = noise(9, 3000);
            fs.write(&path, &MemoryBlob::read_only(content.clone()), None).unwrap();
        } else {
            let (at, new) = (content.len() / 2, noise(8, 5000));
            fs.modify(&path, at as u64, &MemoryBlob::read_only(new.clone())).unwrap();
            content.resize(content.len().max(at + new.len()), 0);
            content[at..at + new.len()].copy_from_slice(&new);
        }
        let attributes = fs.stat(&path).unwrap().attributes;
        let packed = attributes.iter().any(|(name, _)| name == "ntfs.reparse" || name == "ntfs.streams");
        assert!(!packed, "{path}: {attributes:?}");
        expected.push((path, content));
    }
    assert!(fs.modify("/unknown", 0, &MemoryBlob::read_only(vec![1])).is_err());
    fs.write("/unknown", &MemoryBlob::read_only(vec![1]), None).unwrap();
    fs.sync().unwrap();
    crate::check::check(&device);
    device.apply(&image.path).unwrap();
    check(&image.path);
    let mount = mounted(&image.path, "ro");
    for (path, content) in expected {
        assert!(fs::read(mount.path.join(&path[1..])).unwrap() == content, "{path}");
    }
}

#[test]
fn other_overlays_are_named() {
    let point =
        |numbers: &[u32]| -> Vec<u8> { numbers.iter().flat_map(|number| number.to_le_bytes()).collect() };
    let kind = |numbers: &[u32]| Packing::parse(&point(numbers)).unwrap_err();
    assert!(kind(&[0x8000_0017, 40, 1, 1, 1, 0]).message.contains("WIM image"));
    assert!(kind(&[0x8000_0017, 16, 1, 7, 1, 0]).message.contains("provider 7"));
    assert!(kind(&[0x8000_0017, 16, 1, 2, 1, 4]).message.contains("method 4"));
    assert_eq!(kind(&[0x8000_0017, 8, 1]).kind, ErrorKind::Corrupt);
    assert_eq!(Packing::parse(&point(&[0x8000_0017, 16, 1, 2, 1, 1])), Ok(Packing::Lzx));
}
