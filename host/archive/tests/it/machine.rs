//! Machines to be captured, made from a seed.

use block::{Disk, MemoryDisk};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use wherry_archive::{About, Archive, Local, Options, Secret, Settings, Snapshot, Source};

pub const KIB: usize = 1 << 10;
pub const MIB: usize = 1 << 20;

/// Pseudorandom bytes.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// A small number by a seed.
pub fn draw(seed: u64, below: u64) -> u64 {
    let bytes = noise(seed, 8);
    u64::from_le_bytes(bytes.try_into().unwrap()) % below
}

/// Holes, noise and text in runs of 4 KiB to 900 KiB.
pub fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length);
    let mut turn = seed * 1_000_003;
    while bytes.len() < length {
        turn += 1;
        let run = (4 * KIB + draw(turn, 900 * KIB as u64) as usize).min(length - bytes.len());
        match draw(turn + 500_000, 4) {
            0 => bytes.resize(bytes.len() + run, 0),
            1 => bytes.extend(noise(turn, run)),
            _ => bytes.extend((turn..).flat_map(|n| format!("line {n} of a log\n").into_bytes()).take(run)),
        }
    }
    bytes
}

pub fn disk(bytes: &[u8]) -> Arc<dyn Disk> {
    Arc::new(MemoryDisk::new(bytes.to_vec()))
}

pub fn source(name: &str, bytes: &[u8]) -> Source {
    Source { name: name.into(), disk: disk(bytes), changed: None }
}

pub fn about(machine: &str, time: u64) -> About {
    let description = serde_json::json!({ "cpus": 2 });
    About {
        machine: machine.into(),
        tags: Vec::new(),
        description,
        time: Duration::from_secs(time),
        origin: None,
    }
}

/// Small packs, so that there are many.
pub fn small() -> Settings {
    Settings { chunk_size: 64 << 10, pack_size: 1 << 20 }
}

pub fn password() -> Secret {
    Secret::Password("correct horse".into())
}

pub fn create(path: &Path, secret: Option<&Secret>) -> Archive {
    Archive::create(Arc::new(Local::new(path)), &small(), secret, 1_700_000_000).unwrap()
}

pub fn open(path: &Path, secret: Option<&Secret>) -> Archive {
    Archive::open(Arc::new(Local::new(path)), secret).unwrap()
}

pub fn capture(archive: &Archive, machine: &str, disks: &[&[u8]], parent: Option<&Snapshot>) -> Snapshot {
    let sources: Vec<Source> = disks.iter().map(|bytes| source("disk", bytes)).collect();
    let time = parent.map_or(1, |parent| parent.time + 1);
    archive.capture(&sources, &about(machine, time), parent, &Options::default(), &|_| {}).unwrap()
}

/// Everything in a snapshot's disk, read in pieces of odd sizes.
pub fn read(archive: &Archive, snapshot: &Snapshot, number: usize) -> block::Result<Vec<u8>> {
    let disk = archive.disks(snapshot).unwrap().swap_remove(number);
    let mut bytes = vec![0xaa; disk.length() as usize];
    let mut at = 0;
    while at < bytes.len() {
        let take = (1 + draw(at as u64, 700 * KIB as u64) as usize).min(bytes.len() - at);
        disk.read_at(at as u64, &mut bytes[at..at + take])?;
        at += take;
    }
    Ok(bytes)
}

/// Every file of an archive with its bytes.
pub fn files(root: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut list = Vec::new();
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => list.extend(files(&path)),
            false => list.push((path.clone(), std::fs::read(&path).unwrap())),
        }
    }
    list.sort();
    list
}
