//! ZFS pools. What is behind checksums cannot be reached by wrong bytes on a device: the input says which of the blocks that are read
//! become which, three numbers and a byte each, in a pool of which the first byte tells.
#![no_main]

#[path = "../../../adapters/fs-zfs/tests/it/exercise.rs"]
mod exercise;

use exercise::{Overlay, exercise, look};
use fs_zfs::Driver;
use std::cell::Cell;
use std::process::Command;
use wherry_sdk::Blob;

/// Bytes of one change: the number of the block, where in it, what is there then.
const CHANGE: usize = 5;

thread_local! {
    static POOLS: Vec<Overlay> = ["fuse23", "single"].map(unpack).to_vec();
}

fn unpack(name: &str) -> Overlay {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../../adapters/fs-zfs/tests/it/fixtures");
    let tar = Command::new("tar").args(["--zstd", "-xOf"]).arg(format!("{fixtures}/{name}.tar.zst")).arg("0").output();
    Overlay::new(tar.expect("tar runs").stdout)
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((first, changes)) = bytes.split_first() else { return };
    let base = POOLS.with(|pools| pools[usize::from(*first) % pools.len()].clone());
    if first & 0x80 != 0 {
        // The list in the first label, which the second one replaces when it is not sound.
        let (at, mut label) = (wherry_zfs::NVLIST as usize, base.base[16 << 10..128 << 10].to_vec());
        for change in changes.chunks_exact(3) {
            label[usize::from(u16::from_le_bytes([change[0], change[1]]) % 4096)] = change[2];
        }
        wherry_zfs::seal(&mut label, [wherry_zfs::NVLIST, 0, 0, 0], false);
        exercise(&Overlay { patches: vec![(at, label)], ..base });
        return;
    }
    let changes = changes.to_vec();
    let block = Cell::new(0u16);
    let damage = move |_kind: u8, bytes: &mut Vec<u8>| {
        for change in changes.chunks_exact(CHANGE) {
            let place = usize::from(u16::from_le_bytes([change[2], change[3]]));
            if u16::from_le_bytes([change[0], change[1]]) == block.get()
                && let Some(byte) = bytes.get_mut(place)
            {
                *byte = change[4];
            }
        }
        block.set(block.get().wrapping_add(1));
    };
    if let Ok(Some(mut fs)) = Driver::mount_damaged(Box::new(base.clone()), Box::new(damage)) {
        look(&mut fs, base.size());
    }
});
