//! Logs that Windows wrote. `WHERRY_NTFS_VOLUMES` names a directory of images of NTFS volumes whose logs have records of
//! version 1.1; without it there is nothing to look at. Each log is opened anew at every checkpoint it still has, and
//! replayed: over the volume as it is, which must not change it, and over the volume rolled back to that checkpoint,
//! which must give the volume again.

use crate::raw::{PAGE, Volume, differences, forget, mount, protected};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use wherry_sdk::Blob;
use wherry_sdk::bytes::{little, put};

/// A log in which records are found and changed.
struct Log<'v> {
    volume: &'v Volume,
    bits: u32,
    pages: BTreeMap<usize, (Vec<u8>, Vec<usize>)>,
    /// records by number: the page, the place in it
    records: BTreeMap<u64, (usize, usize)>,
}

impl<'v> Log<'v> {
    /// None where the log is not of version 1.1, or has no records.
    fn open(volume: &'v Volume) -> Option<Self> {
        let restart = volume.log_page(0)?;
        if !restart.starts_with(b"RSTR") || little(&restart, 0x1a, 4) != 0x1_0001 {
            return None;
        }
        let area = little(&restart, 0x18, 2) as usize;
        let mut log = Self {
            volume,
            bits: little(&restart, area + 0x10, 4) as u32,
            pages: BTreeMap::new(),
            records: BTreeMap::new(),
        };
        for at in (2 * PAGE..volume.size / PAGE * PAGE).step_by(PAGE) {
            let Some(page) = volume.log_page(at).filter(|page| page.starts_with(b"RCRD")) else { continue };
            let home = if at < 4 * PAGE { little(&page, 8, 8) as usize } else { at };
            let ended = |page: &[u8]| little(page, 0x20, 8);
            match log.pages.get_mut(&home) {
                Some((known, places)) if ended(known) == ended(&page) => places.push(at),
                Some((known, _)) if ended(known) > ended(&page) => {}
                _ => drop(log.pages.insert(home, (page, vec![at]))),
            }
        }
        for (home, (page, _)) in &log.pages {
            for at in (0x40..=PAGE - 0x30).step_by(8) {
                let number = little(page, at, 8);
                let place = (number << log.bits) >> (log.bits - 3);
                if number != 0 && place == (home + at) as u64 && matches!(little(page, at + 0x20, 4), 1 | 2) {
                    log.records.insert(number, (*home, at));
                }
            }
        }
        Some(log)
    }

    /// Where byte `offset` of a record is.
    fn spot(&self, number: u64, offset: usize) -> (usize, usize) {
        // One that is not there is beyond all pages.
        let (mut home, at) = self.records.get(&number).copied().unwrap_or_default();
        let mut at = at + offset;
        while at >= PAGE {
            at = at - PAGE + 0x40;
            home += PAGE;
            if home + PAGE > self.volume.size {
                home = 4 * PAGE;
            }
        }
        (home, at)
    }

    fn field(&self, number: u64, offset: usize, length: usize) -> u64 {
        let (home, at) = self.spot(number, offset);
        // Pages may be lost.
        self.pages.get(&home).map_or(0, |(page, _)| little(page, at, length))
    }

    fn poke(&mut self, number: u64, offset: usize, bytes: &[u8]) {
        let (home, at) = self.spot(number, offset);
        if let Some((page, _)) = self.pages.get_mut(&home) {
            put(page, at, bytes);
        }
    }

    fn checkpoints(&self) -> Vec<u64> {
        self.records.keys().copied().filter(|number| self.field(*number, 0x20, 4) == 2).collect()
    }

    fn write(&self) {
        for (page, places) in self.pages.values() {
            for at in places {
                self.volume.scatter(&self.volume.log, *at as u64, &protected(page.clone()));
            }
        }
    }

    /// The oldest record that the checkpoint needs: where it began, or where a page became dirty.
    fn oldest(&self, checkpoint: u64) -> u64 {
        let start = match self.field(checkpoint, 0x38, 8) {
            0 => checkpoint,
            start => start,
        };
        if self.field(checkpoint, 0x68, 4) == 0 {
            return start;
        }
        // Behind the record's header the operation's, then the table's.
        let (dump, wide) = (self.field(checkpoint, 0x50, 8), self.field(checkpoint, 0x30, 4) == 1);
        let table = 0x30 + self.field(dump, 0x34, 2) as usize;
        let (size, count) = (self.field(dump, table, 2) as usize, self.field(dump, table + 2, 2) as usize);
        let entries = (0..count).map(|index| table + 0x18 + index * size);
        let used = entries.filter(|at| self.field(dump, *at, 4) == 0xffff_ffff);
        // Fields of 8 bytes may go over the end of a page.
        let half = |at| self.field(dump, at, 4);
        let oldest =
            used.map(|at| at + if wide { 0x18 } else { 0x1c }).map(|at| half(at) | half(at + 4) << 32);
        oldest.min().unwrap_or(start).min(start)
    }

    /// Opens the log as of that checkpoint.
    fn rewind(&self, checkpoint: u64, end: u64) {
        for at in [0, PAGE] {
            let mut page = self.volume.log_page(at).unwrap();
            let area = little(&page, 0x18, 2) as usize;
            put(&mut page, area, &end.to_le_bytes());
            put(&mut page, area + 10, &[0xff, 0xff, 0, 0, 0, 0]);
            let client = area + little(&page, area + 0x16, 2) as usize;
            put(&mut page, client, &self.oldest(checkpoint).to_le_bytes());
            put(&mut page, client + 8, &checkpoint.to_le_bytes());
            self.volume.scatter(&self.volume.log, at as u64, &protected(page));
        }
    }

    /// Makes one transaction of all that follows `start`, which nothing committed; its records are undone one by one.
    fn unravel(&mut self, start: u64) -> Vec<(u64, u64)> {
        let (mut last, mut operations) = (0u64, Vec::new());
        for number in self.records.range(start + 1..).map(|(number, _)| *number).collect::<Vec<_>>() {
            if self.field(number, 0x20, 4) == 2 {
                continue;
            }
            self.poke(number, 0x10, &last.to_le_bytes());
            self.poke(number, 0x24, &0x18u32.to_le_bytes());
            let (redo, undo) = (self.field(number, 0x30, 2), self.field(number, 0x32, 2));
            operations.push((redo, undo));
            if redo == 0x1b {
                self.poke(number, 0x30, &[0, 0]);
            }
            if undo == 1 {
                self.poke(number, 0x32, &[0, 0]);
            }
            last = number;
        }
        operations
    }

    /// Windows begins anew after it closed a log: the last records of each such session.
    fn ends(&self) -> Vec<u64> {
        let pairs = self.records.keys().zip(self.records.keys().skip(1));
        // No record is as long as what lies between two sessions.
        let mut ends: Vec<u64> =
            pairs.filter(|(one, two)| *two - *one > 0x8000).map(|(one, _)| *one).collect();
        ends.extend(self.records.keys().last());
        ends
    }

    /// Forgets all pages that have records behind `end` only, or also such.
    fn cut(&mut self, end: u64) {
        for (page, places) in self.pages.values() {
            if little(page, 0x20, 8) > end {
                for at in places {
                    self.volume.scatter(&self.volume.log, *at as u64, &[0xff; PAGE]);
                }
            }
        }
        self.pages.retain(|_, (page, _)| little(page, 0x20, 8) <= end);
        self.records.retain(|number, _| *number <= end);
    }
}

fn volumes() -> Option<Vec<PathBuf>> {
    let directory = std::env::var_os("WHERRY_NTFS_VOLUMES")?;
    let mut list: Vec<PathBuf> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    list.sort();
    Some(list)
}

/// What was tried, and how often it went well.
#[derive(Default, Debug)]
struct Count {
    over: usize,
    again: usize,
    refused: usize,
    /// those on which `ntfsrecover` agrees
    theirs: usize,
    /// logs that were cut within a transaction
    cut: usize,
    wrong: usize,
    /// operations of the records that were undone and done again
    operations: BTreeMap<(u64, u64), usize>,
}

impl Log<'_> {
    /// Ends the log with that record, as if nothing behind it had been written.
    fn end_with(&mut self, end: u64) {
        let length = 0x30 + self.field(end, 0x18, 4) as usize;
        let (home, at) = self.spot(end, length - 1);
        for (page, (bytes, places)) in &mut self.pages {
            if *page == home {
                put(bytes, 8, &end.to_le_bytes());
                put(bytes, 0x10, &[1]);
                put(bytes, 0x20, &end.to_le_bytes());
                bytes[(at + 1).next_multiple_of(8)..].fill(0);
            }
            let behind = *page != home && little(bytes, 8, 8).max(little(bytes, 0x20, 8)) > end;
            for place in places {
                let copy = *place < 4 * PAGE;
                let bytes = if behind || copy { vec![0xff; PAGE] } else { protected(bytes.clone()) };
                self.volume.scatter(&self.volume.log, *place as u64, &bytes);
            }
            if *page == home {
                self.volume.scatter(&self.volume.log, home as u64, &protected(bytes.clone()));
            }
        }
    }
}

/// Cuts the log within transactions, over a volume as it was at the checkpoint: what is undone then leaves what there is if
/// the log ends before the transaction.
fn cut_within(path: &Path, checkpoint: u64, end: u64, count: &mut Count) {
    let volume = Volume::open(path);
    let log = Log::open(&volume).unwrap();
    let changes = log.records.range(checkpoint + 1..=end).map(|(number, _)| *number);
    let changes: Vec<u64> = changes.filter(|number| log.field(*number, 0x20, 4) == 1).collect();
    let forgets = |number: &u64| log.field(*number, 0x30, 2) == 0x1b;
    let replayed = |end: u64| {
        let copy = Volume::open(path);
        Log::open(&copy).unwrap().end_with(end);
        Log::open(&copy).unwrap().rewind(checkpoint, checkpoint);
        copy.written.borrow_mut().clear();
        mount(&copy).map(|()| copy.reopened())
    };
    // Times and what a directory said of a file are logged with what Windows had in mind before, not with what was there.
    let vague = |number: &u64| match log.field(*number, 0x30, 2) {
        0x13 | 0x14 => true,
        7 => log.field(*number, 0x40, 2) == 0x38,
        _ => false,
    };
    let (mut before, mut tried) = (None, 0);
    for (index, number) in changes.iter().enumerate() {
        if forgets(number) {
            before = Some(*number);
        } else if vague(number) {
            before = None;
        } else if let Some(before) = before
            && index % 23 == 3
            && tried < 6
        {
            tried += 1;
            match (replayed(before), replayed(*number)) {
                (Ok(one), Ok(two)) => {
                    let list = differences(&two, &one);
                    println!("    cut at {number:x}, undone to {before:x}: {list:?}");
                    count.cut += 1;
                    count.wrong += usize::from(!list.is_empty());
                }
                (one, two) => println!(
                    "    cut at {number:x}: {:?} {:?}",
                    one.err().as_ref().map(reason),
                    two.err().as_ref().map(reason)
                ),
            }
        }
    }
}

fn reason(error: &wherry_sdk::Error) -> String {
    error.message.split("not replayed here: ").last().unwrap_or_default().to_owned()
}

/// One log, as of one checkpoint; the log ends with record `end`.
fn look(path: &Path, checkpoint: u64, end: u64, count: &mut Count) {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let fresh = || {
        let volume = Volume::open(path);
        let mut log = Log::open(&volume).unwrap();
        log.cut(end);
        log.write();
        volume
    };
    let original = fresh();
    let volume = fresh();
    Log::open(&volume).unwrap().rewind(checkpoint, end);
    match mount(&volume) {
        Ok(()) => {
            let list = differences(&volume, &original);
            println!("{name} {checkpoint:x}: over: {list:?}");
            count.over += usize::from(list.is_empty());
            count.wrong += usize::from(!list.is_empty());
        }
        Err(error) => {
            println!("{name} {checkpoint:x}: over refused: {}", reason(&error));
            count.refused += 1;
            return;
        }
    }
    let volume = fresh();
    let mut log = Log::open(&volume).unwrap();
    let start = match log.field(checkpoint, 0x38, 8) {
        0 => checkpoint,
        start => start,
    };
    let operations = log.unravel(start);
    log.write();
    log.rewind(checkpoint, end);
    volume.written.borrow_mut().clear();
    if let Err(error) = mount(&volume) {
        println!("{name} {checkpoint:x}: back refused: {}", reason(&error));
        return;
    }
    let back = differences(&volume, &original).len();
    forget(&volume, start);
    for at in (0..volume.size / PAGE * PAGE).step_by(PAGE) {
        volume.scatter(&volume.log, at as u64, &original.gather(&original.log, at as u64, PAGE));
    }
    Log::open(&volume).unwrap().rewind(checkpoint, end);
    if back > 0 && volume.size() <= 64 << 20 {
        let directory = tempfile::tempdir().unwrap();
        let copy = directory.path().join("volume");
        std::fs::copy(path, &copy).unwrap();
        volume.blob.apply(&copy).unwrap();
        cut_within(&copy, checkpoint, end, count);
        ask_ntfsrecover(&copy, &volume, &original, count);
    }
    match mount(&volume) {
        Ok(()) => {
            let list = differences(&volume, &original);
            println!("{name} {checkpoint:x}: again, {back} apart: {list:?}");
            count.again += usize::from(list.is_empty() && back > 0);
            count.wrong += usize::from(!list.is_empty());
            for operation in operations {
                *count.operations.entry(operation).or_default() += 1;
            }
        }
        Err(error) => println!("{name} {checkpoint:x}: again refused: {}", reason(&error)),
    }
}

/// What `ntfsrecover` makes of a volume with an open log, compared with the volume that it should become.
fn ask_ntfsrecover(path: &Path, volume: &Volume, original: &Volume, count: &mut Count) {
    let output = std::process::Command::new("ntfsrecover").args(["-s", "-v"]).arg(path).output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        let why: Vec<&str> =
            text.lines().filter(|line| line.starts_with("**") || line.contains("failed")).collect();
        println!("    ntfsrecover refuses: {why:?}");
        return;
    }
    let theirs = Volume::open(path);
    theirs.written.borrow_mut().extend(volume.written.borrow().iter());
    let list = differences(&theirs, original);
    println!("    ntfsrecover: {list:?}");
    count.theirs += usize::from(list.is_empty());
}

#[test]
fn recorded_logs() {
    let Some(volumes) = volumes() else {
        eprintln!("NOT TESTED: logs that Windows wrote, in volumes that WHERRY_NTFS_VOLUMES would name");
        return;
    };
    let mut count = Count::default();
    for path in volumes {
        let original = Volume::open(&path);
        let Some(log) = Log::open(&original) else { continue };
        for end in log.ends() {
            for checkpoint in log.checkpoints().into_iter().filter(|checkpoint| *checkpoint <= end) {
                look(&path, checkpoint, end, &mut count);
            }
        }
    }
    println!("{count:?}");
    assert!(count.wrong == 0 && count.again > 0);
}
