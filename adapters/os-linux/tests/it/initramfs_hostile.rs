//! Damaged and hand-made images, indexes and modules: no panic, no hang, bounded answers.

use crate::initramfs_exercise::exercise;
use crate::initramfs_guest::{filter, guest, kernel};
use std::fs;
use std::process::Command;
use wherry_sdk::testing::{Random, damage};

/// A small archive with every type of entry, some of which matter to the engine.
fn archive() -> Vec<u8> {
    let folder = tempfile::TempDir::new().unwrap();
    let script = "mkdir -p usr/lib/modules/1/kernel usr/sbin conf scripts etc/cmdline.d etc/lvm/devices
        ln -s usr/lib lib; ln -s usr/sbin sbin; mkfifo pipe; echo x > usr/sbin/udevd; ln usr/sbin/udevd usr/sbin/other
        echo ROOT > conf/initramfs.conf; : > scripts/functions; echo b > conf/modules
        echo root=/dev/sda1 > etc/cmdline.d/a.conf; echo x > etc/lvm/devices/system.devices
        cp \"$MODULE\" usr/lib/modules/1/kernel/b.ko; cp \"$INDEX\" usr/lib/modules/1/
        echo kernel/b.ko: > usr/lib/modules/1/modules.dep
        find . -mindepth 1 | LC_ALL=C sort | cpio --quiet -o -H ${FORMAT:-newc} -R 0:0";
    let mut command = Command::new("sh");
    command.env("MODULE", guest().0.join("kernel/lib/crc64.ko")).env("INDEX", small_index());
    command.env("FORMAT", "crc");
    filter(command.args(["-c", script]).current_dir(folder.path()), b"")
}

/// `modules.builtin.alias.bin` is the smallest real trie.
fn small_index() -> std::path::PathBuf {
    guest().0.join("modules.builtin.alias.bin")
}

fn cases(bytes: &[u8], from: usize, to: usize, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let mut case = bytes.to_vec();
        damage(&mut case, from, to, seed);
        exercise(&case);
    }
}

fn cuts(bytes: &[u8], count: u64) {
    let mut random = Random::new(7);
    for _ in 0..count {
        exercise(&bytes[..random.below(bytes.len() as u64) as usize]);
    }
}

#[test]
fn damaged_archives() {
    let archive = archive();
    exercise(&archive);
    cases(&archive, 0, archive.len(), 0..150);
    // The first headers, where each field counts.
    cases(&archive, 0, 1024, 150..300);
    cuts(&archive, 40);
}

#[test]
fn damaged_streams() {
    let archive = archive();
    for codec in [
        &["gzip", "-n"][..],
        &["bzip2"],
        &["xz", "--check=crc32"],
        &["xz", "--format=lzma"],
        &["zstd", "-q"],
        &["lz4", "-l"],
        &["lzop"],
    ] {
        let packed = filter(Command::new(codec[0]).args(&codec[1..]), &archive);
        exercise(&packed);
        cases(&packed, 0, packed.len(), 0..25);
        cases(&packed, 0, 64, 25..50);
        cuts(&packed, 8);
    }
}

#[test]
fn damaged_indexes() {
    let index = fs::read(small_index()).unwrap();
    assert!(!kernel().0.is_empty() && index.len() > 1000);
    cases(&index, 0, index.len(), 0..100);
    cases(&index, 0, 64, 100..200);
    cuts(&index, 20);
}

#[test]
fn damaged_modules() {
    let module = fs::read(guest().0.join("kernel/lib/crc64.ko")).unwrap();
    let sections = module.len().saturating_sub(64 * 40);
    cases(&module, 0, 64, 0..60);
    cases(&module, sections, module.len(), 60..160);
    cuts(&module, 20);
}

/// A trie whose nodes refer to themselves, to each other and to the header, and one that doubles at each level.
#[test]
fn circular_indexes() {
    let head = |root: u32| [0xb007_f457_u32, 0x0002_0001, root].map(u32::to_be_bytes).concat();
    exercise(&[head(0x2000_000c), b"aa".to_vec(), 0x2000_000c_u32.to_be_bytes().to_vec()].concat());
    exercise(&[head(0xe000_0000), vec![0; 8]].concat());
    exercise(&[head(0x4000_000c), u32::MAX.to_be_bytes().to_vec(), vec![0; 64]].concat());
    let mut doubling = head(0x2000_000c);
    for level in 0..60u32 {
        let next = 0x2000_0000 | (12 + 10 * (level + 1));
        doubling.extend(b"ab");
        doubling.extend([next, next].map(u32::to_be_bytes).concat());
    }
    exercise(&doubling);
    exercise(&[head(0x8000_000c), vec![b'a'; 100_000]].concat());
}

fn entry(name: &str, mode: u32, links: u32, content: &[u8]) -> Vec<u8> {
    let fields = [7, mode, 0, 0, links, 0, content.len() as u32, 0, 0, 0, 0, name.len() as u32 + 1, 0];
    let mut bytes = b"070701".to_vec();
    fields.iter().for_each(|field| bytes.extend(format!("{field:08x}").bytes()));
    bytes.extend(name.bytes());
    bytes.push(0);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

#[test]
fn hand_made_archives() {
    const LINK: u32 = 0o120_777;
    const FILE: u32 = 0o100_644;
    const DIRECTORY: u32 = 0o040_755;
    let udev = [entry("sbin", DIRECTORY, 2, b""), entry("sbin/udevd", FILE, 1, b"x")].concat();
    // Circles and chains of links where the modules must go.
    exercise(&[udev.clone(), entry("lib", LINK, 1, b"lib")].concat());
    exercise(&[udev.clone(), entry("lib", LINK, 1, b"a/b/../lib"), entry("a", LINK, 1, b"lib")].concat());
    exercise(&[udev.clone(), entry("lib", LINK, 1, b"/")].concat());
    exercise(&[udev.clone(), entry("lib", LINK, 1, b"../../../etc")].concat());
    exercise(&[udev.clone(), entry("lib", FILE, 1, b"a file")].concat());
    exercise(&[udev.clone(), entry("lib/modules/1", DIRECTORY, 1, b"")].concat());
    let mut chain = udev.clone();
    for n in 0..2000 {
        let target = format!("l{}/", n + 1).repeat(300);
        chain.extend(entry(&format!("l{n}"), LINK, 1, target.as_bytes()));
        chain.extend(entry(&format!("l0/l{n}/x"), FILE, 1, b""));
    }
    exercise(&chain);
    // Names of every sort, a shared file, types that change.
    for name in
        ["", ".", "..", "/", "a//b/", "../..", "\u{1}", "TRAILER!!!", &"n/".repeat(2047), &"n".repeat(5000)]
    {
        for mode in [LINK, FILE, DIRECTORY, 0o020_000, 0o140_000, 0, u32::MAX] {
            exercise(&[udev.clone(), entry(name, mode, 2, b""), entry(name, mode, 2, b"x")].concat());
        }
    }
    exercise(&[udev.clone(), entry("sbin", LINK, 1, b"x"), entry("sbin/udevd", DIRECTORY, 1, b"")].concat());
    // Lengths that the bytes do not have, archives without end, many segments.
    let mut long = entry("big", FILE, 1, b"");
    long[54..62].copy_from_slice(b"ffffffff");
    exercise(&long);
    long[94..102].copy_from_slice(b"ffffffff");
    exercise(&long);
    exercise(&vec![0; 1 << 20]);
    exercise(&udev.repeat(2000));
    let one = filter(Command::new("zstd").arg("-q"), &udev);
    exercise(&one.repeat(100));
}

/// Streams that unpack to much more than they have.
#[test]
fn bombs() {
    let zeros = vec![0u8; 32 << 20];
    for codec in [
        &["gzip", "-n", "-1"][..],
        &["xz", "-0", "--check=crc32"],
        &["zstd", "-q", "--long=31"],
        &["lz4", "-l"],
    ] {
        let packed = filter(Command::new(codec[0]).args(&codec[1..]), &zeros);
        exercise_image(&packed.repeat(2));
    }
    let wide = filter(Command::new("zstd").args(["-q", "--ultra", "-22", "--long=31", "--no-check"]), b"0");
    exercise_image(&wide);
    // Each archive says that it unpacks to 512 MiB; what all of them unpack to is limited, too.
    let mut large = entry("large", 0o100_644, 1, b"");
    large[54..62].copy_from_slice(b"20000000");
    exercise_image(&filter(Command::new("zstd").arg("-q"), &large).repeat(4));
}

/// As an image only: unpacking much in every place of every file would take minutes.
fn exercise_image(bytes: &[u8]) {
    use os_linux::initramfs::{Need, plan};
    plan(&Need { release: &kernel().0, image: &bytes, wanted: &["nvme"], modules: &guest() }).unwrap();
}
