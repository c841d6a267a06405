//! GRUB's core as grub-mkimage makes it, of the same files: the same kernel, modules and objects, once unpacked.

use os_linux::core_image::{Parts, boot_sector, compose, resolve};
use os_linux::grub_image;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;
use wherry_sdk::testing::{Random, damage, run};

pub const FOLDER: &str = "/usr/lib/grub/i386-pc";
const COMMANDS: &str = "search.fs_uuid 1111-root root\nset prefix=($root)'/boot/grub'\n";

pub fn file(name: &str) -> Vec<u8> {
    fs::read(Path::new(FOLDER).join(name)).expect("cargo xtask test installs grub-pc-bin")
}

fn text(name: &str) -> String {
    String::from_utf8(file(name)).unwrap()
}

fn made(wanted: &[&str], first: u64) -> Vec<u8> {
    let names = resolve(&text("moddep.lst"), wanted).unwrap();
    let modules: Vec<Vec<u8>> = names.iter().map(|name| file(&format!("{name}.mod"))).collect();
    let parts = Parts {
        diskboot: &file("diskboot.img"),
        decompressor: &file("lzma_decompress.img"),
        kernel: &file("kernel.img"),
        modules: &modules,
        commands: COMMANDS,
        folder: "/boot/grub",
    };
    compose(&parts, first).unwrap()
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// Kernel and objects of a core, unpacked by its own numbers.
pub fn unpacked(core: &[u8]) -> Vec<u8> {
    let decompressor = file("lzma_decompress.img").len();
    let (packed, size) = (number(core, 512 + 8) as usize, number(core, 512 + 12));
    let start = 512 + decompressor;
    let source = &core[start..start + packed];
    let mut bytes = Vec::new();
    let reader = lzma_rust2::LzmaReader::new(source, size.into(), 3, 0, 2, 1 << 16, None);
    reader.unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len(), size as usize);
    bytes
}

#[test]
fn the_same_as_grub_mkimage_makes() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("load.cfg"), COMMANDS).unwrap();
    for wanted in [
        ["biosdisk", "part_msdos", "ext2", "search_fs_uuid"],
        ["biosdisk", "part_gpt", "xfs", "search_fs_uuid"],
        ["biosdisk", "part_msdos", "btrfs", "lvm"],
        ["biosdisk", "normal", "linux", "search_fs_uuid"],
    ] {
        let mut tool = Command::new("grub-mkimage");
        tool.args(["-O", "i386-pc", "-p", "/boot/grub", "-c"]).arg(path("load.cfg"));
        run(tool.arg("-o").arg(path("core.img")).args(wanted));
        let theirs = fs::read(path("core.img")).unwrap();
        let ours = made(&wanted, 1);
        assert!(unpacked(&ours) == unpacked(&theirs), "{wanted:?}");
        // the loader's sector: the same but for the number of sectors, and the terminator
        assert_eq!(ours[..488], theirs[..488]);
        assert_eq!(ours[500..508], theirs[500..508], "where the second sector is, with the core in sector 1");
        assert_eq!(ours[510..512], theirs[510..512]);
        // the packed length differs, and what grub-bios-setup makes of redundancy is not there
        assert_eq!(ours[512..520], theirs[512..520]);
        assert_eq!(ours[524..1024], theirs[524..1024]);
        let (mine, other) = (ours.len(), theirs.len());
        assert!(mine.abs_diff(other) < other / 20, "{mine} bytes, and {other} by grub-mkimage");
        assert_eq!(ours.len() % 512, 0);
        assert_eq!(u16::from_le_bytes([ours[508], ours[509]]) as usize, ours.len() / 512 - 1);
    }
    let core = made(&["biosdisk", "part_msdos", "ext2", "search_fs_uuid"], 63);
    assert_eq!((number(&core, 500), core.len() < 62 * 512), (64, true), "the gap of an old disk is enough");
}

#[test]
fn the_first_sector() {
    let image = file("boot.img");
    let [(start, head), (behind, code)] = boot_sector(&image, 34).unwrap();
    assert_eq!((start, head.len(), behind, code.len()), (0, 3, 0x5a, 440 - 0x5a));
    assert_eq!(u64::from_le_bytes(code[2..10].try_into().unwrap()), 34);
    assert_eq!(code[12..14], [0x90, 0x90]);
    assert!(boot_sector(&image[..511], 1).is_err());
}

/// Deterministic by seed: damaged and cut files, and lists of modules. Whatever comes of it is a core within its limits.
#[test]
fn five_hundred_damaged_files() {
    let names = ["diskboot.img", "lzma_decompress.img", "kernel.img", "moddep.lst", "ext2.mod"];
    let whole = names.map(file);
    let (mut good, mut bad) = (0, 0);
    for seed in 0..500 {
        let mut random = Random::new(seed);
        let mut files = whole.clone();
        let hit = &mut files[random.below(4) as usize];
        let length = hit.len();
        match random.below(3) {
            0 => hit.truncate(random.below(length as u64) as usize),
            1 => damage(hit, 0, length.min(64), random.next_u64()),
            _ => damage(hit, length.saturating_sub(300), length, random.next_u64()),
        }
        let list = String::from_utf8_lossy(&files[3]).into_owned();
        let modules = match resolve(&list, &["ext2", "search_fs_uuid"]) {
            Ok(order) => {
                assert!(order.len() <= 256 && order.iter().all(|name| !name.contains('/')));
                vec![files[4].clone(); order.len().min(3)]
            }
            Err(_) => Vec::new(),
        };
        let [diskboot, decompressor, kernel, ..] = &files;
        let parts =
            Parts { diskboot, decompressor, kernel, modules: &modules, commands: COMMANDS, folder: "/g" };
        match compose(&parts, random.next_u64() >> 2) {
            Ok(core) => {
                assert!(core.len() % 512 == 0 && core.len() < 0x78000);
                good += 1;
            }
            Err(e) => {
                assert!(!e.message.is_empty());
                bad += 1;
            }
        }
    }
    assert!(good > 50 && bad > 50, "{good} {bad}");
}

/// The objects of Debian's image for UEFI, whole and damaged.
#[test]
fn five_hundred_damaged_images() {
    let image = fs::read("/usr/lib/grub/x86_64-efi/monolithic/grubx64.efi").unwrap();
    let head = [&b"mimg\0\0\0\0"[..], &24u64.to_le_bytes()].concat();
    let start = image.windows(16).position(|bytes| bytes == head).unwrap();
    let mods = &image[start..];
    assert_eq!(grub_image::folder(mods).as_deref(), Some("/EFI/debian"));
    // a section with two objects: the search goes over small ones as well
    let object = |kind: u32, content: &[u8]| {
        let length = content.len().next_multiple_of(8);
        let mut bytes = [kind.to_le_bytes(), (length as u32 + 8).to_le_bytes()].concat();
        bytes.extend_from_slice(content);
        bytes.resize(length + 8, 0);
        bytes
    };
    let small = |path: &[u8]| {
        let objects = [object(2, b"normal\0"), object(3, path)].concat();
        let size = objects.len() as u64 + 24;
        [&b"mimg\0\0\0\0"[..], &24u64.to_le_bytes(), &size.to_le_bytes(), &objects].concat()
    };
    for (path, expected) in [
        (&b"/EFI/fedora\0"[..], Some("/EFI/fedora")),
        (b"/boot/grub/\0", Some("/boot/grub")),
        (b"(hd0,gpt1)/grub\0", None),
        (b"/EFI/../../etc\0", None),
        (b"/\xff\0", None),
        (b"\0", None),
    ] {
        assert_eq!(grub_image::folder(&small(path)).as_deref(), expected);
    }
    let whole = small(b"/EFI/debian\0");
    let mut found = 0;
    for seed in 0..500 {
        let mut random = Random::new(seed);
        let mut bytes = whole.clone();
        damage(&mut bytes, 0, whole.len(), random.next_u64());
        bytes.truncate(whole.len() - random.below(9) as usize);
        if let Some(path) = grub_image::folder(&bytes) {
            assert!(path.starts_with('/') && !path.contains("..") && path.len() <= 256, "{path}");
            found += 1;
        }
    }
    assert!(found > 5 && found < 480, "{found}");
}
