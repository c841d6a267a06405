//! Labels are changed as a moved root pool needs it, and the pool is as it was.

use crate::pools::Pool;
use crate::reading::{expected, mount, read};
use std::fs;
use wherry_sdk::testing::MemoryBlob;
use wherry_sdk::testing::filesystem::assert_same;
use wherry_sdk::{Blob, ErrorKind};
use wherry_zfs::edit::{Change, apply};
use wherry_zfs::{Label, NVLIST, NVLIST_LENGTH, is_sealed, places};

fn change(guid: u64, key: &'static str, value: Option<&str>) -> Change {
    Change { guid, key, value: value.map(str::to_owned) }
}

#[test]
fn paths_in_all_labels() {
    let pool = Pool::unpack("mir");
    let bytes = fs::read(&pool.devices[0]).unwrap();
    let device = MemoryBlob::new(bytes.clone());
    let label = Label::read(&device, 0).unwrap().unwrap();
    let other = label.tree.leaves()[1].guid;
    let long = "/pci@0,0/pci1af4,2@4/disk@0,0:a".repeat(3);
    let changes = [
        change(label.guid, "path", Some("/dev/dsk/c1t0d0s0")),
        change(label.guid, "phys_path", Some(&long)),
        change(label.guid, "devid", None),
        change(other, "path", Some("/x")),
    ];
    assert_eq!(apply(&device, &changes), Ok(4));
    let changed = Label::read(&device, 0).unwrap().unwrap();
    let leaves = changed.tree.leaves();
    assert_eq!(leaves[0].path.as_deref(), Some("/dev/dsk/c1t0d0s0"));
    assert_eq!(
        (leaves[0].phys_path.as_deref(), leaves[1].path.as_deref()),
        (Some(long.as_str()), Some("/x"))
    );
    assert_eq!(
        (leaves[0].devid.as_ref(), leaves[1].devid.as_ref()),
        (None, label.tree.leaves()[1].devid.as_ref())
    );
    for place in places(bytes.len() as u64).unwrap() {
        let block = device.read(place + NVLIST, NVLIST_LENGTH as u32).unwrap();
        assert_eq!(is_sealed(&block, [place + NVLIST, 0, 0, 0]), Some(false));
    }
    // Back again: not one byte differs from before.
    let old = label.tree.leaves();
    let back = [
        change(label.guid, "path", old[0].path.as_deref()),
        change(label.guid, "phys_path", old[0].phys_path.as_deref()),
        change(other, "path", old[1].path.as_deref()),
    ];
    let target = pool.beside("changed");
    fs::write(&target, device.bytes()).unwrap();
    assert_same(&read(&mut mount(&target)), &expected(&pool), "the pool is the same");
    assert_eq!(apply(&device, &back), Ok(4));
    let mut again = Label::read(&device, 0).unwrap().unwrap();
    again.tree.children[0].devid.clone_from(&old[0].devid);
    assert_eq!(again, label);
}

#[test]
fn refusals() {
    let pool = Pool::unpack("mir");
    let bytes = fs::read(&pool.devices[0]).unwrap();
    let device = MemoryBlob::new(bytes.clone());
    let guid = Label::read(&device, 0).unwrap().unwrap().guid;
    let long = "x".repeat(120_000);
    let kinds = [
        apply(&device, &[change(guid, "name", Some("x"))]),
        apply(&device, &[change(7, "path", Some("x"))]),
        apply(&device, &[change(guid, "path", Some(&long))]),
        apply(&MemoryBlob::new(vec![0; 8 << 20]), &[change(guid, "path", Some("x"))]),
    ]
    .map(|result| result.unwrap_err().kind);
    use ErrorKind::{Corrupt, InvalidInput, NoSpace, NotFound};
    assert_eq!(kinds, [InvalidInput, NotFound, NoSpace, Corrupt]);
    assert!(device.bytes() == bytes, "what is refused changes nothing");
}
