//! Pools' labels that are told where their devices are, read again by the library (tried with zdb 0.7 of zfs-fuse by hand).

use crate::exercise::Device;
use std::path::Path;
use std::process::Command;
use volume_zfs::Zfs;
use wherry_sdk::testing::{MemoryBlob, damage, run};
use wherry_sdk::{Blob, ErrorKind, Fact, VolumeMap, fact};
use wherry_zfs::{Label, NVLIST, NVLIST_LENGTH, is_sealed, places};

/// A pool's devices, whole.
fn whole(name: &str) -> Vec<Vec<u8>> {
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let packed = Path::new(env!("CARGO_MANIFEST_DIR"));
    let packed = packed.join(format!("../fs-zfs/tests/it/fixtures/{name}.tar.zst"));
    run(Command::new("tar").args(["--zstd", "-xSf"]).arg(packed).arg("-C").arg(directory.path()));
    let paths = (0..).map(|number: usize| directory.path().join(number.to_string()));
    paths.map_while(|path| std::fs::read(path).ok()).collect()
}

fn blobs(devices: &[Vec<u8>]) -> Vec<Box<dyn Blob>> {
    devices.iter().map(|bytes| Box::new(MemoryBlob::read_only(bytes.clone())) as Box<dyn Blob>).collect()
}

fn facts(pool: &str, devices: usize) -> Vec<Fact> {
    let mut facts = vec![fact("pool", pool)];
    for number in 0..devices {
        facts.push(fact(format!("{number}.path"), format!("/dev/dsk/c0t{number}d0s0")));
        facts.push(fact(
            format!("{number}.phys-path"),
            format!("/pci@0,0/pci1af4,1100@1f,2/disk@{number},0:a"),
        ));
        facts.push(fact(format!("{number}.devid"), ""));
    }
    facts
}

fn label(bytes: &[u8]) -> Label {
    Label::read(&MemoryBlob::read_only(bytes), 0).unwrap().unwrap()
}

fn patched(devices: &[Vec<u8>], facts: &[Fact]) -> Vec<Vec<u8>> {
    let mut new = devices.to_vec();
    let patches = Zfs::relabel(&blobs(devices), facts).unwrap();
    assert!(!patches.is_empty() && patches.iter().map(|one| one.bytes.len()).sum::<usize>() < 256 << 10);
    for patch in patches {
        let at = patch.offset as usize;
        new[patch.device as usize][at..at + patch.bytes.len()].copy_from_slice(&patch.bytes);
    }
    new
}

#[test]
fn every_label_names_every_device_in_its_new_place() {
    for name in ["mir", "fuse10", "fuse23", "rz1"] {
        let devices = whole(name);
        let pool = label(&devices[0]).name;
        let facts = facts(&pool, devices.len());
        let new = patched(&devices, &facts);
        let guids: Vec<u64> = devices.iter().map(|bytes| label(bytes).guid).collect();
        for bytes in &new {
            let label = label(bytes);
            for leaf in label.tree.leaves() {
                let number = guids.iter().position(|guid| *guid == leaf.guid).unwrap();
                assert_eq!(
                    leaf.path.as_deref(),
                    Some(format!("/dev/dsk/c0t{number}d0s0").as_str()),
                    "{name}"
                );
                let phys_path = format!("/pci@0,0/pci1af4,1100@1f,2/disk@{number},0:a");
                assert_eq!(leaf.phys_path.as_deref(), Some(phys_path.as_str()), "{name}");
                assert_eq!(leaf.devid, None, "{name}");
            }
            for place in places(bytes.len() as u64).unwrap() {
                let at = (place + NVLIST) as usize;
                assert!(is_sealed(&bytes[at..at + NVLIST_LENGTH], [at as u64, 0, 0, 0]).is_some(), "{name}");
            }
        }
        // nothing is left to do
        assert!(Zfs::relabel(&blobs(&new), &facts).unwrap().is_empty(), "{name}");
    }
}

#[test]
fn what_is_refused() {
    let devices = whole("mir");
    let pool = label(&devices[0]).name;
    let kind = |devices: &[Vec<u8>], facts: &[Fact]| Zfs::relabel(&blobs(devices), facts).unwrap_err().kind;
    assert_eq!(kind(&devices, &[]), ErrorKind::InvalidInput);
    assert_eq!(kind(&devices, &facts("other", 2)), ErrorKind::NotFound);
    assert_eq!(kind(&[], &facts(&pool, 2)), ErrorKind::NotFound);
    let twice = [devices[0].clone(), devices[0].clone()];
    assert_eq!(kind(&twice, &facts(&pool, 2)), ErrorKind::InvalidInput);
    // of one side alone, the other's place in its labels stays
    let one = patched(&devices[..1], &facts(&pool, 1));
    assert_eq!(label(&one[0]).tree.leaves()[1].path, label(&devices[0]).tree.leaves()[1].path);
    // a device that is none of the pool's is passed over
    let mixed = [vec![0; 8 << 20], devices[0].clone(), devices[1].clone()];
    let patches = Zfs::relabel(&blobs(&mixed), &facts(&pool, 3)).unwrap();
    assert!(patches.iter().all(|patch| patch.device > 0));
}

#[test]
fn damaged_labels() {
    let devices = whole("mir");
    let pool = label(&devices[0]).name;
    let facts = facts(&pool, 2);
    let good: Vec<Device> = devices.iter().map(|bytes| Device::new(bytes)).collect();
    for seed in 0..500 {
        let mut devices = good.clone();
        for (at, list) in &mut devices[seed as usize % 2].lists {
            let mut bytes = list.to_vec();
            damage(&mut bytes, 0, 3000, seed);
            // with the right sum, so that what is in it is looked at
            if seed % 3 > 0 {
                wherry_zfs::seal(&mut bytes, [*at, 0, 0, 0], false);
            }
            *list = std::rc::Rc::new(bytes);
        }
        let blobs: Vec<Box<dyn Blob>> =
            devices.iter().map(|one| Box::new(one.clone()) as Box<dyn Blob>).collect();
        if let Ok(patches) = Zfs::relabel(&blobs, &facts) {
            for patch in patches {
                let size = devices[patch.device as usize].size;
                assert!(patch.offset + patch.bytes.len() as u64 <= size);
            }
        }
    }
}
