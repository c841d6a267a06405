//! Both ways against QEMU.

use format_vdi::Vdi;
use std::path::Path;
use tempfile::tempdir;
use wherry_sdk::testing::image::{PATTERNS, Pattern, SparseDisk, decode, run, text};

const MIB: u64 = 1 << 20;
const SIZES: [u64; 6] = [0, 512, MIB - 512, 5 * MIB + 1024, 7 * MIB, 3000 * MIB + 512];

/// No error and no leaked block, and the same content.
fn judge(ours: &Path, other: &Path, format: &str) {
    let report = run("qemu-img", &["check", "-f", "vdi", text(ours)]);
    assert!(report.contains("No errors were found on the image."), "{report}");
    run("qemu-img", &["compare", "-f", "vdi", "-F", format, text(ours), text(other)]);
}

#[test]
fn our_images_pass_qemu_check_and_compare() {
    for size in SIZES {
        for pattern in PATTERNS {
            let folder = tempdir().unwrap();
            let (vdi, raw) = (folder.path().join("a.vdi"), folder.path().join("a.raw"));
            let disk = SparseDisk::new(size, pattern, size);
            disk.write_raw(&raw);
            disk.write_image::<Vdi>(&vdi, &[]);
            judge(&vdi, &raw, "raw");
            disk.check_image::<Vdi>(&vdi);
        }
    }
}

#[test]
fn qemus_images_read_as_their_source() {
    for size in SIZES {
        for pattern in PATTERNS {
            for options in ["static=off", "static=on"] {
                if options == "static=on" && size > 10 * MIB {
                    continue;
                }
                let folder = tempdir().unwrap();
                let (vdi, raw) = (folder.path().join("a.vdi"), folder.path().join("a.raw"));
                let disk = SparseDisk::new(size, pattern, size + 1);
                disk.write_raw(&raw);
                run(
                    "qemu-img",
                    &["convert", "-f", "raw", "-O", "vdi", "-o", options, text(&raw), text(&vdi)],
                );
                disk.check_image::<Vdi>(&vdi);
                if size < 10 * MIB {
                    assert!(
                        decode::<Vdi>(&[&vdi], 1) == std::fs::read(&raw).unwrap(),
                        "{size} {pattern:?} {options}"
                    );
                }
            }
        }
    }
}

/// Blocks that come in another order than the disk's, and blocks that QEMU writes as zero.
#[test]
fn blocks_in_any_order_are_read() {
    let folder = tempdir().unwrap();
    let vdi = folder.path().join("a.vdi");
    run("qemu-img", &["create", "-q", "-f", "vdi", text(&vdi), "8M"]);
    let mut arguments = vec!["-f", "vdi"];
    for command in ["write -P 1 7M 1M", "write -P 2 3M 70k", "write -P 3 0 512", "write -z 5M 1M"] {
        arguments.extend(["-c", command]);
    }
    arguments.push(text(&vdi));
    run("qemu-io", &arguments);
    let raw = folder.path().join("a.raw");
    run("qemu-img", &["convert", "-f", "vdi", "-O", "raw", text(&vdi), text(&raw)]);
    assert!(decode::<Vdi>(&[&vdi], 2) == std::fs::read(&raw).unwrap());
}

/// No file system here holds a raw file of this size: the judge is an image by QEMU with the same data.
#[test]
fn a_sparse_disk_of_8_tib_is_read_and_written() {
    let folder = tempdir().unwrap();
    let (ours, theirs) = (folder.path().join("ours.vdi"), folder.path().join("theirs.qcow2"));
    let disk = SparseDisk::new((8 << 40) - 512, Pattern::Scattered, 63);
    disk.write_image::<Vdi>(&ours, &[]);
    run("qemu-img", &["create", "-q", "-f", "qcow2", text(&theirs), &disk.size.to_string()]);
    disk.write_with_qemu(&theirs, "qcow2");
    judge(&ours, &theirs, "qcow2");
    disk.check_image::<Vdi>(&ours);
}
