//! Both ways against QEMU, which calls this format `vpc` and has no check for it: `compare` has to do.

use format_vhd::Vhd;
use std::path::Path;
use tempfile::tempdir;
use wherry_sdk::testing::image::{PATTERNS, Pattern, SparseDisk, decode, run, text};

const MIB: u64 = 1 << 20;
const SIZES: [u64; 5] = [512, 2 * MIB - 512, 5 * MIB + 1024, 8 * MIB, 3000 * MIB + 512];

fn judge(ours: &Path, other: &Path, format: &str) {
    run("qemu-img", &["compare", "-f", "vpc", "-F", format, text(ours), text(other)]);
}

#[test]
fn our_images_pass_qemu_compare() {
    for size in SIZES {
        for pattern in PATTERNS {
            for options in [&[][..], &[("subformat", "fixed")], &[("align", "1M")]] {
                let folder = tempdir().unwrap();
                let (vhd, raw) = (folder.path().join("a.vhd"), folder.path().join("a.raw"));
                let disk = SparseDisk::new(size, pattern, size);
                disk.write_raw(&raw);
                disk.write_image::<Vhd>(&vhd, options);
                judge(&vhd, &raw, "raw");
            }
            let folder = tempdir().unwrap();
            let vhd = folder.path().join("a.vhd");
            let disk = SparseDisk::new(size, pattern, size);
            disk.write_image::<Vhd>(&vhd, &[]);
            disk.check_image::<Vhd>(&vhd);
        }
    }
}

#[test]
fn qemus_images_read_as_their_source() {
    for size in SIZES {
        for pattern in PATTERNS {
            for subformat in ["dynamic", "fixed"] {
                if subformat == "fixed" && size > 10 * MIB {
                    continue;
                }
                let folder = tempdir().unwrap();
                let (vhd, raw) = (folder.path().join("a.vhd"), folder.path().join("a.raw"));
                let disk = SparseDisk::new(size, pattern, size + 1);
                disk.write_raw(&raw);
                let options = format!("subformat={subformat},force_size=on");
                run(
                    "qemu-img",
                    &["convert", "-f", "raw", "-O", "vpc", "-o", &options, text(&raw), text(&vhd)],
                );
                disk.check_image::<Vhd>(&vhd);
                if size < 10 * MIB {
                    assert!(
                        decode::<Vhd>(&[&vhd], 1) == std::fs::read(&raw).unwrap(),
                        "{size} {pattern:?} {subformat}"
                    );
                }
            }
        }
    }
}

/// Without `force_size` QEMU rounds the size up to a geometry, and shows the guest that.
#[test]
fn sizes_by_geometry_are_qemus() {
    for size in [100 * MIB, 1000 * MIB + 512, 40 << 30] {
        let folder = tempdir().unwrap();
        let (vhd, raw) = (folder.path().join("a.vhd"), folder.path().join("a.raw"));
        run("qemu-img", &["create", "-q", "-f", "vpc", text(&vhd), &size.to_string()]);
        run("qemu-io", &["-f", "vpc", "-c", "write -P 5 3M 1M", text(&vhd)]);
        let info = run("qemu-img", &["info", "-f", "vpc", "--output", "json", text(&vhd)]);
        let mut reader = wherry_sdk::testing::image::open::<Vhd>(&[&vhd]).unwrap();
        let ours = wherry_sdk::FormatReader::facts(&reader).virtual_size;
        assert!(info.contains(&format!("\"virtual-size\": {ours}")), "{ours} in {info}");
        assert!(!wherry_sdk::testing::image::extents(&mut reader, 7).is_empty());
        if size < 1 << 30 {
            run("qemu-img", &["convert", "-f", "vpc", "-O", "raw", text(&vhd), text(&raw)]);
            assert!(decode::<Vhd>(&[&vhd], 3) == std::fs::read(&raw).unwrap());
        }
    }
}

/// Blocks that come in another order than the disk's, and single sectors.
#[test]
fn blocks_in_any_order_are_read() {
    let folder = tempdir().unwrap();
    let vhd = folder.path().join("a.vhd");
    run("qemu-img", &["create", "-q", "-f", "vpc", "-o", "force_size=on", text(&vhd), "16M"]);
    let mut arguments = vec!["-f", "vpc"];
    for command in ["write -P 1 15M 1M", "write -P 2 3M 70k", "write -P 3 0 512", "write -P 4 9M 1536"] {
        arguments.extend(["-c", command]);
    }
    arguments.push(text(&vhd));
    run("qemu-io", &arguments);
    let raw = folder.path().join("a.raw");
    run("qemu-img", &["convert", "-f", "vpc", "-O", "raw", text(&vhd), text(&raw)]);
    assert!(decode::<Vhd>(&[&vhd], 2) == std::fs::read(&raw).unwrap());
}

/// The largest there is: the judge is an image by QEMU with the same data.
#[test]
fn a_sparse_disk_of_2040_gib_is_read_and_written() {
    let folder = tempdir().unwrap();
    let (ours, theirs) = (folder.path().join("ours.vhd"), folder.path().join("theirs.qcow2"));
    let disk = SparseDisk::new(2040 << 30, Pattern::Scattered, 63);
    disk.write_image::<Vhd>(&ours, &[]);
    run("qemu-img", &["create", "-q", "-f", "qcow2", text(&theirs), &disk.size.to_string()]);
    disk.write_with_qemu(&theirs, "qcow2");
    judge(&ours, &theirs, "qcow2");
    disk.check_image::<Vhd>(&ours);
}
