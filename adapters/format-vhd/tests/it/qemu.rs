//! Both ways against QEMU.

use format_vhd::Vhd;
use tempfile::tempdir;
use wherry_sdk::testing::image::{PATTERNS, Pattern, SparseDisk, decode, run, text};

const MIB: u64 = 1 << 20;
const SIZES: [u64; 6] = [0, 512, 2 * MIB - 512, 5 * MIB + 1024, 8 * MIB, 3001 * MIB + 512];
/// Without the empty disk: its fixed image is a footer alone, and so begins with one. QEMU (`vpc_open`) takes that for
/// the copy in front of a dynamic image, and finds no dynamic header; it cannot open what it makes itself either.
/// Without the large one, as all of it would be read.
const FIXED_SIZES: &[u64] = SIZES.split_at(1).1.split_at(4).0;

fn ours(size: u64, pattern: Pattern, options: &[(&str, &str)]) {
    let folder = tempdir().unwrap();
    let (vhd, raw) = (folder.path().join("a.vhd"), folder.path().join("a.raw"));
    let disk = SparseDisk::new(size, pattern, size);
    disk.write_raw(&raw);
    disk.write_image::<Vhd>(&vhd, options);
    run("qemu-img", &["compare", "-f", "vpc", "-F", "raw", text(&vhd), text(&raw)]);
    let info = run("qemu-img", &["info", "-f", "vpc", text(&vhd)]);
    assert!(info.contains(&format!("({size} bytes)")), "{info}");
    disk.check_image::<Vhd>(&vhd);
}

#[test]
fn our_dynamic_images_compare_as_equal() {
    for size in SIZES {
        for pattern in PATTERNS {
            ours(size, pattern, &[]);
        }
    }
}

#[test]
fn our_fixed_images_compare_as_equal() {
    for size in FIXED_SIZES {
        for pattern in PATTERNS {
            ours(*size, pattern, &[("subformat", "fixed")]);
        }
    }
}

fn theirs(size: u64, pattern: Pattern, options: &str) {
    let folder = tempdir().unwrap();
    let (vhd, raw) = (folder.path().join("a.vhd"), folder.path().join("a.raw"));
    let disk = SparseDisk::new(size, pattern, size + 1);
    disk.write_raw(&raw);
    run("qemu-img", &["convert", "-f", "raw", "-O", "vpc", "-o", options, text(&raw), text(&vhd)]);
    if options.contains("force_size") {
        disk.check_image::<Vhd>(&vhd);
    }
    if size < 10 * MIB {
        // Rounded up to whole cylinders without `force_size`.
        let by_qemu = folder.path().join("by-qemu.raw");
        run("qemu-img", &["convert", "-f", "vpc", "-O", "raw", text(&vhd), text(&by_qemu)]);
        assert!(
            decode::<Vhd>(&[&vhd], 1) == std::fs::read(&by_qemu).unwrap(),
            "{size} {pattern:?} {options}"
        );
    }
}

#[test]
fn qemus_images_read_as_their_source() {
    for size in SIZES {
        for pattern in PATTERNS {
            for subformat in ["dynamic", "fixed"] {
                if subformat == "fixed" && !FIXED_SIZES.contains(&size) {
                    continue;
                }
                theirs(size, pattern, &format!("subformat={subformat},force_size=on"));
                theirs(size, pattern, &format!("subformat={subformat}"));
            }
        }
    }
}

/// What QEMU cannot open is read here.
#[test]
fn empty_fixed_images_are_read() {
    let folder = tempdir().unwrap();
    let (ours, theirs) = (folder.path().join("ours.vhd"), folder.path().join("theirs.vhd"));
    let disk = SparseDisk::new(0, Pattern::Zero, 1);
    disk.write_image::<Vhd>(&ours, &[("subformat", "fixed")]);
    let options = ["create", "-q", "-f", "vpc", "-o", "subformat=fixed,force_size=on", text(&theirs), "0"];
    run("qemu-img", &options);
    for path in [ours, theirs] {
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 512);
        disk.check_image::<Vhd>(&path);
    }
}

#[test]
fn the_largest_disk_is_read_and_written() {
    let folder = tempdir().unwrap();
    let (ours, theirs) = (folder.path().join("ours.vhd"), folder.path().join("theirs.vhd"));
    for pattern in [Pattern::Scattered, Pattern::LastSector] {
        let disk = SparseDisk::new(2040 << 30, pattern, 63);
        disk.write_image::<Vhd>(&ours, &[]);
        let size = disk.size.to_string();
        run("qemu-img", &["create", "-q", "-f", "vpc", "-o", "force_size=on", text(&theirs), &size]);
        disk.write_with_qemu(&theirs, "vpc");
        run("qemu-img", &["compare", "-f", "vpc", "-F", "vpc", text(&ours), text(&theirs)]);
        disk.check_image::<Vhd>(&ours);
        disk.check_image::<Vhd>(&theirs);
    }
}
