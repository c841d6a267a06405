//! Cabinets that gcab has made, and LZX that wimlib has packed, each read by cabextract too.

use crate::media::run;
use crate::packed_exercise::exercise;
use os_windows::cabinet::unpack;
use std::path::Path;
use std::process::Command;
use wherry_sdk::ErrorKind;
use wherry_sdk::bytes::little;
use wherry_sdk::testing::{Random, damage};

/// A driver cache: names as Windows has them, contents with matches near and far, over many blocks.
fn contents() -> Vec<(&'static str, Vec<u8>)> {
    let mut random = Random::new(1);
    let noise: Vec<u8> = (0..100_000).map(|_| random.below(256) as u8).collect();
    let text =
        |size: usize| (0..size).flat_map(|n| format!("driver {n} of {}\n", n % 97).into_bytes()).collect();
    vec![
        ("atapi.sys", text(5000)),
        ("HALACPI.DLL", [&noise[..], &noise[..40_000]].concat()),
        ("empty.sys", Vec::new()),
        ("one.sys", b"x".to_vec()),
        ("ntkrnlmp.exe", text(40_000)),
    ]
}

fn gcab(folder: &Path, how: &[&str]) -> Vec<u8> {
    for (name, bytes) in contents() {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    let names: Vec<&str> = contents().iter().map(|(name, _)| *name).collect();
    let arguments = [how, &["--create", "driver.cab"], &names].concat();
    run(folder, "gcab", &arguments);
    std::fs::read(folder.join("driver.cab")).unwrap()
}

/// Blocks that stand alone, each a folder of an LZX cabinet with one file: `block0`, `block1`, ...
fn lzx(blocks: &[Vec<u8>]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("in")).unwrap();
    for (number, block) in blocks.iter().enumerate() {
        std::fs::write(folder.path().join(format!("in/{number}")), block).unwrap();
    }
    let arguments = ["in", "out.wim", "--compress=LZX", "--chunk-size=32768", "--no-acls", "--threads=1"];
    run(folder.path(), "wimcapture", &arguments);
    let image = std::fs::read(folder.path().join("out.wim")).unwrap();
    // The table of resources: packed size, flags (4: packed), place, size ("Windows Imaging File Format").
    let (size, start) = (little(&image, 48, 7) as usize, little(&image, 56, 8) as usize);
    let mut packed = Vec::new();
    for entry in image[start..start + size].chunks_exact(50).filter(|entry| entry[7] == 4) {
        let (length, at) = (little(entry, 0, 7) as usize, little(entry, 8, 8) as usize);
        if little(entry, 16, 8) == 32768 {
            packed.push(as_cabinet(&image[at..at + length]));
        }
    }
    assert_eq!(packed.len(), blocks.len());
    cabinet(&packed, 0x0f03)
}

/// A chunk of WIM begins with three bits of kind and one that says 32 KiB; a cabinet's folder has a bit for calls of x86 code,
/// the kind, and 24 bits of size ([MS-PATCH] 2.2, [MS-CAB] 2.4).
fn as_cabinet(chunk: &[u8]) -> Vec<u8> {
    let words = chunk.chunks(2).map(|two| u16::from_le_bytes([two[0], two.get(1).copied().unwrap_or(0)]));
    let bits: Vec<bool> = words.flat_map(|word| (0..16).rev().map(move |bit| word >> bit & 1 == 1)).collect();
    assert!(bits[3], "not one block of 32 KiB");
    let size = (0..24).rev().map(|bit| 0x8000 >> bit & 1 == 1);
    let all: Vec<bool> =
        [false].into_iter().chain(bits[..3].to_vec()).chain(size).chain(bits[4..].to_vec()).collect();
    let word = |bits: &[bool]| {
        let value = (0..16).fold(0_u16, |value, at| value << 1 | u16::from(bits.get(at) == Some(&true)));
        value.to_le_bytes()
    };
    all.chunks(16).flat_map(word).collect()
}

/// A cabinet of blocks, each a folder of its own with 32 KiB ([MS-CAB] 2.1 to 2.4).
fn cabinet(blocks: &[Vec<u8>], method: u16) -> Vec<u8> {
    let count = blocks.len();
    let names: Vec<String> = (0..count).map(|number| format!("block{number}\0")).collect();
    let files = 36 + 8 * count;
    let mut data = files + names.iter().map(|name| 16 + name.len()).sum::<usize>();
    let size = data + blocks.iter().map(|block| 8 + block.len()).sum::<usize>();
    let mut all = b"MSCF\0\0\0\0".to_vec();
    [size, 0, files, 0].iter().for_each(|number| all.extend((*number as u32).to_le_bytes()));
    all.extend([3, 1, count as u8, 0, count as u8, 0, 0, 0, 7, 0, 0, 0]);
    for block in blocks {
        all.extend((data as u32).to_le_bytes());
        all.extend([1, 0]);
        all.extend(method.to_le_bytes());
        data += 8 + block.len();
    }
    for (number, name) in names.iter().enumerate() {
        all.extend([32768_u32, 0].iter().flat_map(|number| number.to_le_bytes()));
        all.extend([number as u8, 0, 0x21, 0x5a, 0, 0, 0x20, 0]);
        all.extend(name.bytes());
    }
    for block in blocks {
        // No sum: zero.
        all.extend([0; 4]);
        all.extend((block.len() as u16).to_le_bytes());
        all.extend(32768_u16.to_le_bytes());
        all.extend(block);
    }
    all
}

/// What cabextract makes of a file.
fn extracted(cabinet: &[u8], name: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.cab");
    std::fs::write(&path, cabinet).unwrap();
    let done = Command::new("cabextract").args(["-q", "-p", "-F", name]).arg(&path).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}

fn read(cabinet: &[u8], name: &str) -> wherry_sdk::Result<Option<Vec<u8>>> {
    unpack(&cabinet.to_vec(), name)
}

#[test]
fn a_driver_cache() {
    for how in [&["--zip"][..], &[]] {
        let folder = tempfile::tempdir().unwrap();
        let bytes = gcab(folder.path(), how);
        for (name, content) in contents() {
            assert!(read(&bytes, &name.to_uppercase()).unwrap() == Some(content.clone()), "{name} {how:?}");
            assert!(extracted(&bytes, name) == content, "{name} {how:?}");
        }
        assert_eq!(read(&bytes, "none.sys").unwrap(), None);
        let mut damaged = bytes.clone();
        *damaged.last_mut().unwrap() ^= 1;
        let e = read(&damaged, "ntkrnlmp.exe").unwrap_err();
        assert!(e.kind == ErrorKind::Corrupt && e.message.contains("checksum"), "{}", e.message);
    }
}

/// Blocks that wimlib packs by LZX in both kinds, verbatim and with aligned offsets, without calls of x86 code in them.
fn blocks() -> Vec<Vec<u8>> {
    let mut random = Random::new(2);
    let text: String = (0..3000).map(|n| format!("{} line {n} of {}\n", n * n, n % 77)).collect();
    let records =
        (0..4096_u32).flat_map(|n| [1, 0, (n % 7) as u8, 0, (n >> 4) as u8, 0, random.below(3) as u8, 0]);
    let all = [text.into_bytes(), records.collect(), b"halmacpi.dll ".repeat(3000)];
    all.into_iter()
        .map(|mut block| {
            block.truncate(32768);
            block
        })
        .collect()
}

#[test]
fn lzx_as_wimlib_packs_it() {
    let blocks = blocks();
    let bytes = lzx(&blocks);
    for number in 0..blocks.len() {
        let name = format!("block{number}");
        let own = read(&bytes, &name).unwrap().unwrap();
        // The order of resources in a WIM file is its own.
        assert!(blocks.contains(&own), "{name}");
        assert!(extracted(&bytes, &name) == own, "{name}");
    }
}

#[test]
fn what_is_not_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = gcab(folder.path(), &["--zip"]);
    let with = |at: usize, value: &[u8]| {
        let mut bytes = bytes.clone();
        bytes[at..at + value.len()].copy_from_slice(value);
        read(&bytes, "atapi.sys").unwrap_err()
    };
    assert_eq!(with(0, b"MSCG").kind, ErrorKind::Corrupt);
    assert_eq!(with(30, &[1]).kind, ErrorKind::Unsupported);
    let quantum = with(36 + 6, &[2, 7]);
    assert!(
        quantum.kind == ErrorKind::Unsupported && quantum.message.contains("0x702"),
        "{}",
        quantum.message
    );
    let file = u32::from_le_bytes(bytes[16..20].try_into().unwrap()) as usize;
    assert_eq!(with(file, &[0xff; 4]).kind, ErrorKind::Limit);
    assert_eq!(with(file + 8, &[9]).kind, ErrorKind::Corrupt);
    assert_eq!(with(file, &[0, 0, 0, 1]).kind, ErrorKind::Corrupt);
}

#[test]
fn cabinets_that_lie() {
    let folder = tempfile::tempdir().unwrap();
    let stored = gcab(folder.path(), &[]);
    let whole = [gcab(folder.path(), &["--zip"]), lzx(&blocks()), stored];
    for (kind, whole) in whole.iter().enumerate() {
        for seed in 0..250 {
            let mut bytes = whole.clone();
            let end = if seed % 2 == 0 { 220 } else { 40_000 };
            damage(&mut bytes, 0, end.min(whole.len()), seed * 3 + kind as u64);
            if seed % 7 == 0 {
                bytes.truncate(Random::new(seed).below(whole.len() as u64) as usize);
            }
            exercise(&bytes);
        }
    }
}
