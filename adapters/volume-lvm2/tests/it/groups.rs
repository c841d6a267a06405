//! Groups that the lvm2 tools made.

use crate::lab::{Lab, assert_clean_ext4, content, scan, text};
use crate::made::{logical, striped};
use std::os::unix::fs::FileExt;
use std::process::Command;
use wherry_sdk::find;
use wherry_sdk::testing::Random;

const MIB: u64 = 1 << 20;

/// Three disks; linear over two of them, striped over three, both in one volume.
fn mixed() -> Lab {
    let lab = Lab::new(&[24, 24, 32]);
    lab.create();
    let root = [&*striped(0, 8, &[("pv0", 2)]), &striped(8, 4, &[("pv2", 11)])];
    let data = [&*striped(0, 6, &[("pv1", 4), ("pv0", 12), ("pv2", 0)])];
    let both = [&*striped(0, 3, &[("pv1", 12)]), &striped(3, 4, &[("pv2", 20), ("pv1", 8)])];
    lab.define(&(logical("root", &root) + &logical("data", &data) + &logical("both", &both)));
    lab
}

#[test]
fn every_byte_lies_where_lvs_says() {
    let lab = mixed();
    lab.lvm(&["vgck", "vg"]);
    let layout = lab.scan();
    assert!(layout.concerns.is_empty(), "{:?}", layout.concerns);
    let ids: Vec<&str> = layout.parts.iter().map(|part| part.id.as_str()).collect();
    assert_eq!(ids, ["lvm:vg/root", "lvm:vg/data", "lvm:vg/both"]);
    for part in &layout.parts {
        let name = find(&part.facts, "lvm.lv").unwrap();
        assert_eq!((find(&part.facts, "lvm.vg"), part.kind.as_str()), (Some("vg"), "logical-volume"));
        let rows = lab.rows(name);
        let size: u64 = rows.iter().map(|row| row.length).sum();
        assert_eq!(part.segments.iter().map(|segment| segment.length).sum::<u64>(), size, "{name}");
        for at in (0..size).step_by(4096) {
            let segment = part.segments.iter().find(|s| at < s.logical + s.length).unwrap();
            let found = (segment.device as usize, segment.offset + at - segment.logical);
            assert_eq!(found, lab.place(&rows, at), "byte {at} of {name}");
        }
    }
}

#[test]
fn file_systems_are_whole() {
    let lab = mixed();
    let image = lab.folder.path().join("ext4");
    for name in ["root", "data", "both"] {
        let rows = lab.rows(name);
        let size: u64 = rows.iter().map(|row| row.length).sum();
        let files = lab.folder.path().join(name);
        std::fs::create_dir(&files).unwrap();
        let mut random = Random::new(size);
        let payload: Vec<u8> = (0..MIB).map(|_| random.next_u64() as u8).collect();
        std::fs::write(files.join("payload"), payload).unwrap();
        std::fs::File::create(&image).unwrap().set_len(size).unwrap();
        text(Command::new("/sbin/mke2fs").args(["-q", "-t", "ext4", "-d"]).arg(&files).arg(&image));
        let bytes = std::fs::read(&image).unwrap();
        let disks: Vec<_> =
            lab.images.iter().map(|path| std::fs::File::options().write(true).open(path).unwrap()).collect();
        for (at, sector) in (0u64..).step_by(512).zip(bytes.chunks(512)) {
            let (disk, offset) = lab.place(&rows, at);
            disks[disk].write_all_at(sector, offset).unwrap();
        }
        let layout = lab.scan();
        let part = layout.parts.iter().find(|part| part.id == format!("lvm:vg/{name}")).unwrap();
        let read = content(&lab.images, part);
        assert!(read == bytes, "{name}");
        std::fs::write(&image, read).unwrap();
        assert_clean_ext4(&image);
    }
}

/// Each vgcfgrestore writes the whole text behind the last one: the ring goes round.
#[test]
fn the_ring_buffer_goes_round() {
    let lab = Lab::new(&[24]);
    // A small area goes round soon.
    lab.lvm(&["pvcreate", "--quiet", "--metadatasize", "60k", "--dataalignment", "64k", &lab.loops[0]]);
    lab.create();
    let mut wrapped = 0;
    for round in 0..40 {
        let spare = |number| logical(&format!("spare{number}"), &[&striped(0, 1, &[("pv0", 10 + number)])]);
        let logicals = (0..round % 7).map(spare).collect::<String>();
        lab.define(&(logical("root", &[&striped(0, 2, &[("pv0", round % 4)])]) + &logicals));
        let disk = std::fs::read(&lab.images[0]).unwrap();
        let number = |at: usize| u64::from_le_bytes(disk[at..at + 8].try_into().unwrap());
        wrapped += u32::from(number(4096 + 40) + number(4096 + 48) > number(4096 + 32));
        let layout = lab.scan();
        assert!(layout.concerns.is_empty(), "{:?}", layout.concerns);
        assert_eq!(layout.parts[0].segments[0].offset, (64 << 10) + round % 4 * MIB, "round {round}");
    }
    assert!(wrapped > 0, "no text went over the end of the area");
    lab.lvm(&["vgck", "vg"]);
}

/// A disk that was away keeps the old text: the newest one counts, on whichever disk it is.
#[test]
fn the_newest_copy_counts() {
    let lab = Lab::new(&[8, 8]);
    lab.create();
    lab.define(&logical("root", &[&striped(0, 2, &[("pv0", 0)])]));
    let stale = std::fs::read(&lab.images[0]).unwrap();
    lab.define(&logical("moved", &[&striped(0, 2, &[("pv1", 3)])]));
    std::fs::write(&lab.images[0], &stale).unwrap();
    for images in [vec![0, 1], vec![1, 0]] {
        let images: Vec<_> = images.into_iter().map(|index: usize| lab.images[index].clone()).collect();
        let layout = scan(&images);
        let kinds: Vec<&str> = layout.concerns.iter().map(|one| one.id.as_str()).collect();
        assert_eq!(kinds, ["lvm.older-metadata"], "{:?}", layout.concerns);
        let ids: Vec<&str> = layout.parts.iter().map(|part| part.id.as_str()).collect();
        assert_eq!(ids, ["lvm:vg/moved"]);
        assert_eq!(images[layout.parts[0].segments[0].device as usize], lab.images[1]);
    }
}

/// Metadata at the end of the disk, none on another disk, and a backup that says nothing of either.
#[test]
fn areas_at_both_ends_and_none() {
    let lab = Lab::new(&[16, 8]);
    lab.lvm(&["pvcreate", "--quiet", "--metadatacopies", "2", &lab.loops[0]]);
    lab.lvm(&["pvcreate", "--quiet", "--metadatacopies", "0", &lab.loops[1]]);
    lab.create();
    lab.define(&logical("root", &[&striped(0, 2, &[("pv1", 1)])]));
    let layout = lab.scan();
    assert!(layout.concerns.is_empty(), "{:?}", layout.concerns);
    assert_eq!(
        (layout.parts[0].segments[0].device, layout.parts[0].segments[0].offset),
        (1, lab.place(&lab.rows("root"), 0).1)
    );
    let mut disk = std::fs::read(&lab.images[0]).unwrap();
    disk[4096..8192].fill(0xa5);
    std::fs::write(&lab.images[0], disk).unwrap();
    let layout = lab.scan();
    assert_eq!(layout.concerns.len(), 1, "{:?}", layout.concerns);
    assert_eq!((layout.concerns[0].id.as_str(), layout.parts.len()), ("lvm.bad-metadata", 1));
    assert!(!layout.parts[0].segments.is_empty());
}

/// A physical volume inside a logical volume, as in a host that keeps its guests' disks so.
#[test]
fn a_group_within_a_volume() {
    let outer = Lab::new(&[24]);
    outer.create();
    outer.define(&logical("guest", &[&striped(0, 16, &[("pv0", 3)])]));
    let inner = Lab::new(&[16]);
    inner.lvm(&["vgcreate", "--quiet", "-s", "1M", "inner", &inner.loops[0]]);
    let disk = std::fs::File::options().write(true).open(&outer.images[0]).unwrap();
    disk.write_all_at(&std::fs::read(&inner.images[0]).unwrap(), MIB + 3 * MIB).unwrap();
    let layout = outer.scan();
    let nested = outer.folder.path().join("nested");
    std::fs::write(&nested, content(&outer.images, &layout.parts[0])).unwrap();
    let again = scan(&[outer.images[0].clone(), nested]);
    assert_eq!(again.parts.len(), 1);
    assert!(again.concerns.is_empty(), "{:?}", again.concerns);
}
