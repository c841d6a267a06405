//! A system on a mirror of two whole disks (MD, superblock 1.0 at the end): it is one system, and edits reach both halves.

use crate::guest::disk;
use crate::migrate::DRIVERS;
use crate::{program, text};
use serde_json::Value;
use std::fs;
use std::process::Output;
const MIB: usize = 1 << 20;

/// The superblock of member `number` of a mirror of two, for a device that ends 1 MiB after its data (Linux,
/// `include/uapi/linux/raid/md_p.h`, mdp_superblock_1).
fn superblock(number: u32, data: usize, device: usize) -> (usize, Vec<u8>) {
    let place = (device / 512 - 16) & !7;
    let mut block = vec![0u8; 256 + 4];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &0xa92b_4efcu32.to_le_bytes());
    put(4, &1u32.to_le_bytes());
    put(16, &[7; 16]);
    put(32, b"mirror");
    put(72, &1u32.to_le_bytes());
    put(80, &(data as u64 / 512).to_le_bytes());
    put(92, &2u32.to_le_bytes());
    put(136, &(data as u64 / 512).to_le_bytes());
    put(144, &(place as u64).to_le_bytes());
    put(160, &number.to_le_bytes());
    put(168, &[number as u8 + 1; 16]);
    put(200, &5u64.to_le_bytes());
    put(208, &u64::MAX.to_le_bytes());
    put(220, &2u32.to_le_bytes());
    put(256, &[0, 0, 1, 0]);
    let words = block.chunks(4).map(|word| u64::from(u32::from_le_bytes(word.try_into().unwrap())));
    let sum: u64 = words.sum();
    let sum = (sum & 0xffff_ffff) as u32 + (sum >> 32) as u32;
    block[216..220].copy_from_slice(&sum.to_le_bytes());
    (place * 512, block)
}

fn wherry(verb: &str, halves: &[String], more: &[&str]) -> Output {
    let mut command = program();
    command.arg(verb).args(halves).args(more);
    command.output().unwrap()
}

#[test]
fn one_system_on_two_disks_is_edited_on_both() {
    let folder = tempfile::tempdir().unwrap();
    let data = fs::read(disk(folder.path(), DRIVERS)).unwrap();
    let mut halves = Vec::new();
    for number in 0..2 {
        let mut half = data.clone();
        half.resize(data.len() + MIB, 0);
        let (place, block) = superblock(number, data.len(), half.len());
        half[place..place + block.len()].copy_from_slice(&block);
        let path = folder.path().join(format!("half{number}"));
        fs::write(&path, &half).unwrap();
        halves.push(format!("raw:{}", path.display()));
    }
    let seen = wherry("inspect", &halves, &["--output", "json"]);
    assert!(seen.status.success(), "{}", text(&seen.stderr));
    let seen: Value = serde_json::from_slice(&seen.stdout).unwrap();
    let volumes = seen["volumes"].as_array().unwrap();
    let roots: Vec<&Value> = volumes.iter().filter(|volume| volume.to_string().contains("ext4")).collect();
    assert_eq!(roots.len(), 1, "the file system is there once: {seen}");
    assert_eq!(volumes.iter().filter(|volume| volume.to_string().contains("member-of")).count(), 2, "{seen}");

    let to = format!("kvm:{}", folder.path().join("out").display());
    let done = wherry("migrate", &halves, &["--to", &to, "--wish", "format=raw", "--output", "json"]);
    assert!(done.status.success(), "{} {}", text(&done.stdout), text(&done.stderr));
    let plan = &serde_json::from_slice::<Value>(&done.stdout).unwrap()["plan"];
    assert!(!plan["concerns"].to_string().contains("md.mirror"), "{}", plan["concerns"]);
    let mut made: Vec<Vec<u8>> = fs::read_dir(folder.path().join("out"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "raw"))
        .map(|path| fs::read(path).unwrap())
        .collect();
    let (one, two) = (made.pop().unwrap(), made.pop().unwrap());
    assert!(one[..data.len()] == two[..data.len()], "both halves hold the same");
    assert!(one[..data.len()] != data[..], "and were edited");
    assert!(one[data.len()..] != two[data.len()..], "each is still its own member");
}
