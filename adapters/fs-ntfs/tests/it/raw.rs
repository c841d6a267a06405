//! Volumes as bytes: where records and the log are, and what of two volumes is the same. Written without the adapter's code.

use fs_ntfs::Ntfs;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;
use wherry_sdk::bytes::little;
use wherry_sdk::testing::FileBlob;
use wherry_sdk::{Blob, FileSystem, Range, Result};

pub const PAGE: usize = 4096;

/// A volume that keeps which sectors were written.
#[derive(Clone)]
pub struct Volume {
    pub blob: Rc<FileBlob>,
    pub written: Rc<RefCell<BTreeSet<u64>>>,
    pub cluster: u64,
    pub record: usize,
    pub mft: Vec<(u64, u64)>,
    pub mirror: Vec<(u64, u64)>,
    /// bytes of the copy, and of the log
    pub copied: usize,
    pub log: Vec<(u64, u64)>,
    pub size: usize,
}

impl Blob for Volume {
    fn size(&self) -> u64 {
        self.blob.size()
    }
    fn sector_size(&self) -> u32 {
        512
    }
    fn writable(&self) -> bool {
        true
    }
    fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        self.blob.read(offset, length)
    }
    fn read_many(&self, ranges: &[Range]) -> Result<Vec<u8>> {
        self.blob.read_many(ranges)
    }
    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.written.borrow_mut().extend(offset / 512..(offset + bytes.len() as u64).div_ceil(512));
        self.blob.write(offset, bytes)
    }
}

/// Resolves the update sequence.
pub fn fixed(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = bytes.to_vec();
    let (at, count) = (little(&bytes, 4, 2) as usize, little(&bytes, 6, 2) as usize);
    if count != bytes.len() / 512 + 1 || at + count * 2 > 510 {
        return None;
    }
    for index in 1..count {
        if bytes[index * 512 - 2..index * 512] != bytes[at..at + 2] {
            return None;
        }
        bytes.copy_within(at + index * 2..at + index * 2 + 2, index * 512 - 2);
    }
    Some(bytes)
}

/// The other way.
pub fn protected(mut bytes: Vec<u8>) -> Vec<u8> {
    let at = little(&bytes, 4, 2) as usize;
    for index in 1..=bytes.len() / 512 {
        bytes.copy_within(index * 512 - 2..index * 512, at + index * 2);
        bytes.copy_within(at..at + 2, index * 512 - 2);
    }
    bytes
}

/// Runs of an attribute's mapping pairs.
pub fn runs(pairs: &[u8]) -> Vec<(u64, u64)> {
    let (mut at, mut lcn, mut list) = (0, 0i64, Vec::new());
    while pairs[at] != 0 {
        let (count, place) = (usize::from(pairs[at] & 15), usize::from(pairs[at] >> 4));
        let step = little(pairs, at + 1 + count, place) << (64 - 8 * place);
        lcn += step as i64 >> (64 - 8 * place);
        list.push((lcn as u64, little(pairs, at + 1, count)));
        at += 1 + count + place;
    }
    list
}

impl Volume {
    pub fn open(path: &Path) -> Self {
        let blob = FileBlob::open(path).unwrap();
        let boot = blob.read(0, 512).unwrap();
        let cluster = little(&boot, 11, 2) * u64::from(boot[13]);
        let record = if boot[0x40] > 127 {
            1 << (256 - usize::from(boot[0x40]))
        } else {
            cluster as usize * usize::from(boot[0x40])
        };
        let mut volume = Self {
            blob: Rc::new(blob),
            written: Rc::default(),
            cluster,
            record,
            mft: vec![(little(&boot, 0x30, 8), 16)],
            mirror: Vec::new(),
            copied: 0,
            log: Vec::new(),
            size: 0,
        };
        (volume.mft, _) = volume.data(0);
        (volume.mirror, volume.copied) = volume.data(1);
        (volume.log, volume.size) = volume.data(2);
        volume
    }

    /// The same, the file table as it is now.
    pub fn reopened(mut self) -> Self {
        (self.mft, _) = self.data(0);
        self
    }

    pub fn place(&self, runs: &[(u64, u64)], mut offset: u64) -> u64 {
        for (lcn, count) in runs {
            if offset < count * self.cluster {
                return lcn * self.cluster + offset;
            }
            offset -= count * self.cluster;
        }
        panic!("beyond the runs")
    }

    pub fn gather(&self, runs: &[(u64, u64)], offset: u64, length: usize) -> Vec<u8> {
        let pieces = (offset..offset + length as u64).step_by(512);
        pieces.flat_map(|at| self.blob.read(self.place(runs, at), 512).unwrap()).collect()
    }

    pub fn scatter(&self, runs: &[(u64, u64)], offset: u64, bytes: &[u8]) {
        for (at, piece) in (offset..).step_by(512).zip(bytes.chunks(512)) {
            self.write(self.place(runs, at), piece).unwrap();
        }
    }

    /// Runs and size of a system file's content.
    pub fn data(&self, number: u64) -> (Vec<(u64, u64)>, usize) {
        let record = fixed(&self.gather(&self.mft, number * self.record as u64, self.record)).unwrap();
        let mut at = little(&record, 0x14, 2) as usize;
        while little(&record, at, 4) != 0x80 {
            at += little(&record, at + 4, 4) as usize;
        }
        let pairs = at + little(&record, at + 0x20, 2) as usize;
        (runs(&record[pairs..]), little(&record, at + 0x30, 8) as usize)
    }

    pub fn log_page(&self, offset: usize) -> Option<Vec<u8>> {
        fixed(&self.gather(&self.log, offset as u64, PAGE))
    }
}

/// What counts of a structure: not its update sequence, the number of its newest change, or what is behind its end.
fn essence(bytes: &[u8], end: usize) -> Option<Vec<u8>> {
    let mut bytes = fixed(bytes)?;
    let (at, count) = (little(&bytes, 4, 2) as usize, little(&bytes, 6, 2) as usize);
    bytes[at..at + count * 2].fill(0);
    bytes[8..16].fill(0);
    let used = little(&bytes, end, 4) as usize + if end == 0x1c { 0x18 } else { 0 };
    bytes.truncate(used);
    Some(bytes)
}

/// A record without what is not defined, the number of its next attribute and the bytes that fill up its attributes, and what is not logged, content.
fn tidy(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes[0x28..0x2a].fill(0);
    let mut at = little(&bytes, 0x14, 2) as usize;
    while little(&bytes, at, 4) != 0xffff_ffff && at + 0x18 < bytes.len() {
        let length = little(&bytes, at + 4, 4) as usize;
        let end = match bytes[at + 8] {
            0 => at + (little(&bytes, at + 0x14, 2) + little(&bytes, at + 0x10, 4)) as usize,
            _ => {
                let mut pair = at + little(&bytes, at + 0x20, 2) as usize;
                while bytes[pair] != 0 {
                    pair += 1 + usize::from(bytes[pair] & 15) + usize::from(bytes[pair] >> 4);
                }
                pair + 1
            }
        };
        let content = little(&bytes, at, 4) == 0x80 && bytes[at + 8] == 0;
        let end = if content { at + little(&bytes, at + 0x14, 2) as usize } else { end };
        bytes[end..at + length].fill(0);
        at += length;
    }
    bytes.truncate(at);
    bytes
}

/// Differences between two volumes, in so far as they matter.
pub fn differences(ours: &Volume, theirs: &Volume) -> Vec<String> {
    let mut list = Vec::new();
    let within = |runs: &[(u64, u64)], place: u64| {
        let mut before = 0;
        for (lcn, count) in runs {
            if (lcn * ours.cluster..(lcn + count) * ours.cluster).contains(&place) {
                return Some(before + place - lcn * ours.cluster);
            }
            before += count * ours.cluster;
        }
        None
    };
    for sector in ours.written.borrow().iter() {
        let place = sector * 512;
        let (one, two) = (ours.read(place, 512).unwrap(), theirs.read(place, 512).unwrap());
        if one == two || within(&ours.log, place).is_some() {
            continue;
        }
        let table = [&ours.mft, &ours.mirror].into_iter().find_map(|runs| Some((runs, within(runs, place)?)));
        if let Some((runs, offset)) = table {
            let number = offset / ours.record as u64;
            let get = |volume: &Volume| volume.gather(runs, number * ours.record as u64, ours.record);
            let (one, two) = (get(ours), get(theirs));
            let in_use = |bytes: &[u8]| bytes.starts_with(b"FILE") && bytes[0x16] & 1 == 1;
            let [a, b] = [&one, &two].map(|bytes| essence(bytes, 0x18).map(tidy));
            if a != b && (in_use(&one) || in_use(&two)) {
                let at = a.iter().flatten().zip(b.iter().flatten()).position(|(a, b)| a != b);
                list.push(format!("record {number} at {at:x?}"));
            }
            continue;
        }
        let start =
            (0..16).map(|back| place - back * 512).find(|at| theirs.read(*at, 4).unwrap() == *b"INDX");
        match start.filter(|start| place - start < 4096) {
            Some(start) => {
                let [a, b] = [ours, theirs].map(|volume| essence(&volume.read(start, 4096).unwrap(), 0x1c));
                if a != b {
                    let at = a.iter().flatten().zip(b.iter().flatten()).position(|(a, b)| a != b);
                    list.push(format!("index block {start:#x} at {at:x?}"));
                }
            }
            None => {
                let at = one.iter().zip(&two).position(|(a, b)| a != b);
                list.push(format!("sector {sector:#x} at {at:x?}"));
            }
        }
    }
    list
}

/// Sets back the number of the newest change in all structures that were written.
pub fn forget(volume: &Volume, to: u64) {
    let sectors: Vec<u64> = volume.written.borrow().iter().copied().collect();
    for sector in sectors {
        let head = volume.read(sector * 512, 16).unwrap();
        if (head.starts_with(b"FILE") || head.starts_with(b"INDX")) && little(&head, 8, 8) > to {
            volume.write(sector * 512 + 8, &to.to_le_bytes()).unwrap();
        }
    }
}

pub fn mount(volume: &Volume) -> Result<()> {
    Ntfs::mount(Box::new(volume.clone()), true).map(drop)
}
