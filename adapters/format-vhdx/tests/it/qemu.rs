//! Both ways against QEMU.

use format_vhdx::Vhdx;
use std::path::Path;
use tempfile::tempdir;
use wherry_sdk::format::Place;
use wherry_sdk::testing::image::{PATTERNS, Pattern, SparseDisk, data, decode, extents, open, run, text};

const MIB: u64 = 1 << 20;
const SIZES: [u64; 4] = [512, MIB - 512, 5 * MIB + 1024, 20 * MIB];

/// In the smallest disks most patterns are the same.
fn patterns(size: u64) -> &'static [Pattern] {
    if size < MIB { &[Pattern::Zero, Pattern::Dense] } else { &PATTERNS }
}

fn check(ours: &Path) {
    let report = run("qemu-img", &["check", "-f", "vhdx", text(ours)]);
    assert!(report.contains("No errors were found on the image."), "{report}");
}

/// No error, and the same content.
fn judge(ours: &Path, other: &Path, format: &str) {
    check(ours);
    run("qemu-img", &["compare", "-f", "vhdx", "-F", format, text(ours), text(other)]);
}

#[test]
fn our_images_pass_qemu_check_and_compare() {
    let folder = tempdir().unwrap();
    let (vhdx, raw) = (folder.path().join("a.vhdx"), folder.path().join("a.raw"));
    let options: [&[(&str, &str)]; 5] = [
        &[],
        &[("block-size", "1M")],
        &[("block-size", "32M")],
        &[("block-size", "256M")],
        &[("subformat", "fixed"), ("block-size", "4M")],
    ];
    for size in SIZES {
        for pattern in patterns(size) {
            let disk = SparseDisk::new(size, *pattern, size);
            disk.write_raw(&raw);
            for options in options {
                disk.write_image::<Vhdx>(&vhdx, options);
                judge(&vhdx, &raw, "raw");
                disk.check_image::<Vhdx>(&vhdx);
            }
        }
    }
}

#[test]
fn qemus_images_read_as_their_source() {
    let folder = tempdir().unwrap();
    let (vhdx, raw) = (folder.path().join("a.vhdx"), folder.path().join("a.raw"));
    let options = [
        "subformat=dynamic,block_size=1M",
        "subformat=dynamic,block_size=32M",
        "subformat=dynamic,block_size=256M",
        "subformat=dynamic,block_size=1M,block_state_zero=off,log_size=3M",
        "subformat=fixed,block_size=4M",
    ];
    for size in SIZES {
        for pattern in patterns(size) {
            let disk = SparseDisk::new(size, *pattern, size + 1);
            disk.write_raw(&raw);
            for options in options {
                let convert = ["convert", "-f", "raw", "-O", "vhdx", "-o", options, text(&raw), text(&vhdx)];
                run("qemu-img", &convert);
                disk.check_image::<Vhdx>(&vhdx);
                if size < 10 * MIB {
                    let same = decode::<Vhdx>(&[&vhdx], 1) == std::fs::read(&raw).unwrap();
                    assert!(same, "{size} {pattern:?} {options}");
                }
            }
        }
    }
}

/// QEMU (`vhdx_calc_bat_entries`) takes the table of an empty disk to be a huge one, which it makes, but nobody else.
#[test]
fn empty_images_are_read() {
    let folder = tempdir().unwrap();
    let (ours, theirs) = (folder.path().join("ours.vhdx"), folder.path().join("theirs.vhdx"));
    let disk = SparseDisk::new(0, Pattern::Zero, 1);
    disk.write_image::<Vhdx>(&ours, &[]);
    run("qemu-img", &["create", "-q", "-f", "vhdx", text(&theirs), "0"]);
    check(&theirs);
    for path in [ours, theirs] {
        disk.check_image::<Vhdx>(&path);
    }
}

/// Blocks that come in another order than the disk's, and blocks behind the first chunk's sector bitmap.
#[test]
fn blocks_in_any_order_are_read() {
    let folder = tempdir().unwrap();
    let vhdx = folder.path().join("a.vhdx");
    run("qemu-img", &["create", "-q", "-f", "vhdx", "-o", "block_size=1M", text(&vhdx), "9G"]);
    let mut arguments = vec!["-f", "vhdx"];
    let commands = [
        "write -P 1 7M 1M",
        "write -P 2 3M 70k",
        "write -P 3 0 512",
        "write -P 4 4095M 3M",
        "write -P 5 8191M 2M",
        "write -P 6 9215M 1M",
    ];
    for command in commands {
        arguments.extend(["-c", command]);
    }
    arguments.push(text(&vhdx));
    run("qemu-io", &arguments);
    let mut reader = open::<Vhdx>(&[&vhdx]).unwrap();
    let stored: Vec<_> = extents(&mut reader, 4)
        .into_iter()
        .filter(|extent| extent.at != Place::Zero)
        .map(|extent| {
            let bytes = data(&extent, &[&vhdx]);
            (extent.logical / MIB, bytes[0], bytes[bytes.len() - 1])
        })
        .collect();
    assert_eq!(stored, [(0, 3, 0), (3, 2, 0), (7, 1, 1), (4095, 4, 4), (8191, 5, 5), (9215, 6, 6)]);
}

/// QEMU does not know where a VHDX has holes, so that it cannot compare two of this size: piece by piece it can.
#[test]
fn a_sparse_disk_of_63_tib_is_read_and_written() {
    let folder = tempdir().unwrap();
    let (vhdx, piece) = (folder.path().join("a.vhdx"), folder.path().join("piece"));
    for (by_qemu, pattern) in
        [(false, Pattern::Scattered), (true, Pattern::Scattered), (false, Pattern::LastSector)]
    {
        let disk = SparseDisk::new((63 << 40) + 512, pattern, 63);
        if by_qemu {
            let size = disk.size.to_string();
            run("qemu-img", &["create", "-q", "-f", "vhdx", text(&vhdx), &size]);
            disk.write_with_qemu(&vhdx, "vhdx");
        } else {
            disk.write_image::<Vhdx>(&vhdx, &[]);
            check(&vhdx);
        }
        disk.check_image::<Vhdx>(&vhdx);
        for (offset, bytes) in disk.pieces() {
            let (from, to) = (format!("if={}", text(&vhdx)), format!("of={}", text(&piece)));
            // Its count is where to stop.
            let end = offset + bytes.len() as u64;
            let (skip, count) = (format!("skip={}", offset / 512), format!("count={}", end / 512));
            run("qemu-img", &["dd", "-f", "vhdx", "-O", "raw", "bs=512", &skip, &count, &from, &to]);
            assert!(std::fs::read(&piece).unwrap() == bytes, "{offset}");
        }
    }
}
