//! Replay of logs written here, by the documents: the records that lead from one state of a volume to the next, both made
//! by ntfs-3g, on a volume of which some structures have the changes already. (The logs of Windows are in `recorded`.)

use crate::check::check;
use crate::described::{Change, Opened, Piece, describe, write};
use crate::idle::Log;
use crate::images::{Image, empty, find};
use crate::raw::{PAGE, Volume, differences, mount};
use crate::tools::{self, mounted};
use crate::tree::from_adapter;
use fs_ntfs::Ntfs;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use wherry_sdk::bytes::{little, put};
use wherry_sdk::testing::filesystem::assert_same;
use wherry_sdk::testing::{FileBlob, Random, can_fuse, noise};
use wherry_sdk::{Blob, ErrorKind, FileSystem, find as fact};

/// A volume in three states, one after the other.
pub struct States {
    _image: Image,
    pub paths: [PathBuf; 3],
}

fn populate(root: &Path) {
    fs::create_dir(root.join("many")).unwrap();
    for number in 0..150 {
        let name = root.join(format!("many/a rather long name of a file, number {number}"));
        fs::write(name, noise(number, number as usize * 7)).unwrap();
    }
    for (name, length) in
        [("small", 100), ("large", 50_000), ("grows", 300), ("shrinks", 90_000), ("gone", 9000)]
    {
        fs::write(root.join(name), noise(length, length as usize)).unwrap();
    }
}

fn change(root: &Path) {
    fs::write(root.join("grows"), noise(1, 70_000)).unwrap();
    fs::write(root.join("shrinks"), noise(2, 8000)).unwrap();
    fs::write(root.join("small"), noise(3, 220)).unwrap();
    fs::rename(root.join("large"), root.join("renamed to something else")).unwrap();
    fs::hard_link(root.join("small"), root.join("linked")).unwrap();
    fs::remove_file(root.join("gone")).unwrap();
    for number in (0..150).step_by(9) {
        fs::remove_file(root.join(format!("many/a rather long name of a file, number {number}"))).unwrap();
    }
    fs::create_dir(root.join("new directory")).unwrap();
    fs::write(root.join("new directory/new"), noise(4, 40)).unwrap();
}

fn change_again(root: &Path) {
    fs::write(root.join("new directory/other"), noise(5, 30_000)).unwrap();
    fs::rename(root.join("linked"), root.join("many/linked")).unwrap();
    fs::remove_file(root.join("new directory/new")).unwrap();
    for number in 200..240 {
        fs::write(root.join(format!("many/another name, number {number}")), noise(number, 20)).unwrap();
    }
    fs::write(root.join("grows"), noise(6, 120_000)).unwrap();
}

/// The states, with clusters as that flavour has them.
pub fn states(flavour: &str) -> States {
    let image = empty(find(flavour));
    let paths = ["one", "two", "three"].map(|name| image.beside(name));
    let mut last = image.path.clone();
    for (path, step) in paths.iter().zip([populate, change, change_again]) {
        fs::copy(&last, path).unwrap();
        step(&mounted(path, "").path);
        last.clone_from(path);
    }
    States { _image: image, paths }
}

/// How a log is written.
#[derive(Clone, Copy)]
pub struct Style {
    /// tables of 64 bits
    pub wide: bool,
    /// the page where it begins
    pub page: usize,
    /// the checkpoint is in the middle, not before everything
    pub middle: bool,
    /// the last page is only in the copies
    pub copies: bool,
    /// the second transaction was not committed
    pub open: bool,
}

/// Windows of 64 bits, simple.
pub const PLAIN: Style = Style { wide: true, page: 4, middle: false, copies: false, open: false };

struct Writer {
    log: Log,
    style: Style,
    opened: Vec<Opened>,
    /// the newest change of each piece, by its place
    newest: HashMap<u64, u64>,
    /// pages with changes: attribute, first cluster, oldest change, clusters
    dirty: Vec<(u32, u64, u64, Vec<u64>)>,
    last: [u64; 2],
    clusters: usize,
}

impl Writer {
    fn new(volume: &Volume, style: Style) -> Self {
        let clusters = (4096 / volume.cluster as usize).max(1);
        let (opened, newest, dirty, log) = (Vec::new(), HashMap::new(), Vec::new(), Log::at_page(style.page));
        Self { log, style, opened, newest, dirty, last: [0; 2], clusters }
    }

    /// Records of an earlier time; the last of them.
    fn begin(&mut self) -> u64 {
        (0..200).for_each(|_| self.forget(0));
        self.last = [0; 2];
        let forget = Self::bare(0x1b, 1, Vec::new(), Vec::new());
        self.log.push(1, 0x18, 0, &Self::content(&forget, 0x18))
    }

    fn content(change: &Change, attribute: u32) -> Vec<u8> {
        let redo = 0x20 + 8 * change.lcns.len().max(1);
        let shared = matches!(change.redo, 0x15 | 0x16);
        let undo = if shared { redo } else { (redo + change.after.len()).next_multiple_of(8) };
        let mut content = vec![0; (undo + change.before.len()).next_multiple_of(8)];
        let numbers = [
            change.redo as usize,
            change.undo as usize,
            redo,
            change.after.len(),
            undo,
            change.before.len(),
            attribute as usize,
            change.lcns.len(),
            change.record_offset,
            change.attribute_offset,
            change.cluster_offset,
        ];
        for (index, number) in numbers.into_iter().enumerate() {
            put(&mut content, index * 2, &(number as u16).to_le_bytes());
        }
        put(&mut content, 0x18, &change.vcn.to_le_bytes());
        for (index, lcn) in change.lcns.iter().enumerate() {
            put(&mut content, 0x20 + index * 8, &lcn.to_le_bytes());
        }
        put(&mut content, redo, &change.after);
        put(&mut content, undo, &change.before);
        content
    }

    fn length(&self) -> usize {
        if self.style.wide { 0x28 } else { 0x2c }
    }

    fn entry(&self, opened: &Opened) -> Vec<u8> {
        let mut entry = vec![0; self.length()];
        let [file, kind, block] = if self.style.wide { [0x10, 8, 4] } else { [8, 0x1c, 0x28] };
        put(&mut entry, 0, &[0xff; 4]);
        put(&mut entry, file, &opened.file.to_le_bytes());
        put(&mut entry, kind, &opened.kind.to_le_bytes());
        put(&mut entry, block, &opened.block.to_le_bytes());
        entry
    }

    fn bare(redo: u16, undo: u16, after: Vec<u8>, before: Vec<u8>) -> Change {
        let opened = Opened { file: 0, kind: 0, name: Vec::new(), block: 0 };
        let (record_offset, attribute_offset, cluster_offset, vcn, lcns) = (0, 0, 0, 0, Vec::new());
        Change {
            redo,
            undo,
            opened,
            record_offset,
            attribute_offset,
            cluster_offset,
            vcn,
            lcns,
            after,
            before,
        }
    }

    /// The attribute's place in the table; it is opened if need be.
    fn open(&mut self, opened: &Opened, transaction: usize) -> u32 {
        let at = self.opened.iter().position(|known| known == opened).unwrap_or_else(|| {
            self.opened.push(opened.clone());
            let attribute = (0x18 + (self.opened.len() - 1) * self.length()) as u32;
            let change = Self::bare(0x1c, 0, self.entry(opened), opened.name.clone());
            self.add(&change, attribute, transaction);
            self.opened.len() - 1
        });
        (0x18 + at * self.length()) as u32
    }

    fn add(&mut self, change: &Change, attribute: u32, transaction: usize) -> u64 {
        let content = Self::content(change, attribute);
        let id = 0x18 + 0x28 * transaction as u32;
        let number = self.log.push(1, id, self.last[transaction], &content);
        self.last[transaction] = number;
        number
    }

    fn piece(&mut self, piece: &Piece, transaction: usize) {
        for change in &piece.changes {
            let attribute = self.open(&change.opened, transaction);
            let number = self.add(change, attribute, transaction);
            self.newest.insert(piece.places[0], number);
            let first = change.vcn / self.clusters as u64 * self.clusters as u64;
            let found = self.dirty.iter().position(|page| page.0 == attribute && page.1 == first);
            let at = found.unwrap_or_else(|| {
                self.dirty.push((attribute, first, number, vec![0; self.clusters]));
                self.dirty.len() - 1
            });
            let from = (change.vcn - first) as usize;
            self.dirty[at].3[from..from + change.lcns.len()].copy_from_slice(&change.lcns);
        }
    }

    fn forget(&mut self, transaction: usize) {
        self.last[transaction] = 0;
        self.add(&Self::bare(0x1b, 1, Vec::new(), Vec::new()), 0x18, transaction);
    }

    fn table(size: usize, entries: &[Vec<u8>]) -> Vec<u8> {
        let mut table = vec![0; 0x18];
        for (at, number) in [(0, size), (2, entries.len()), (4, entries.len())] {
            put(&mut table, at, &(number as u16).to_le_bytes());
        }
        table.extend(entries.concat());
        table
    }

    /// A checkpoint with what is known now; `first` is where the first transaction began, if it is under way.
    fn checkpoint(&mut self, first: Option<u64>, start: u64) -> u64 {
        let mut content = vec![0; 112];
        put(&mut content, 0, &u32::from(self.style.wide).to_le_bytes());
        put(&mut content, 8, &start.to_le_bytes());
        let attributes: Vec<_> = self.opened.iter().map(|opened| self.entry(opened)).collect();
        let mut names = Vec::new();
        for (index, opened) in self.opened.iter().enumerate().filter(|(_, opened)| !opened.name.is_empty()) {
            let numbers = [(0x18 + index * self.length()) as u16, opened.name.len() as u16];
            names.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
            names.extend(opened.name.iter().chain(&[0, 0]));
        }
        names.extend([0; 4]);
        let [vcn, oldest, lcns] = if self.style.wide { [0x10, 0x18, 0x20] } else { [0x14, 0x1c, 0x24] };
        let pages = self.dirty.iter().map(|page| {
            let mut entry = vec![0; lcns + 8 * self.clusters];
            put(&mut entry, 0, &[0xff; 4]);
            put(&mut entry, 4, &page.0.to_le_bytes());
            put(&mut entry, 12, &(self.clusters as u32).to_le_bytes());
            put(&mut entry, vcn, &page.1.to_le_bytes());
            put(&mut entry, oldest, &page.2.to_le_bytes());
            for (index, lcn) in page.3.iter().enumerate() {
                put(&mut entry, lcns + 8 * index, &lcn.to_le_bytes());
            }
            entry
        });
        let pages: Vec<_> = pages.collect();
        let mut transaction = vec![0; 0x28];
        put(&mut transaction, 0, &[0xff, 0xff, 0xff, 0xff, 1]);
        put(&mut transaction, 8, &first.unwrap_or_default().to_le_bytes());
        put(&mut transaction, 0x18, &self.last[0].to_le_bytes());
        let tables = [
            (0x1d, 0x10, 0x30, Self::table(self.length(), &attributes), !attributes.is_empty()),
            (0x1e, 0x18, 0x34, names, !attributes.is_empty()),
            (0x1f, 0x20, 0x38, Self::table(lcns + 8 * self.clusters, &pages), !pages.is_empty()),
            (0x20, 0x28, 0x3c, Self::table(0x28, &[transaction]), first.is_some()),
        ];
        for (operation, at, length, table, needed) in tables {
            if needed {
                put(&mut content, length, &(table.len() as u32).to_le_bytes());
                let dump = Self::content(&Self::bare(operation, 0, table, Vec::new()), 0x18);
                put(&mut content, at, &self.log.push(1, 0x68, 0, &dump).to_le_bytes());
            }
        }
        self.log.push(2, 0, 0, &content)
    }
}

/// Writes the log of two transactions to the volume, and gives the newest change of each piece.
fn write_log(volume: &Volume, pieces: &[Vec<Piece>; 2], style: Style) -> HashMap<u64, u64> {
    let mut writer = Writer::new(volume, style);
    let start = writer.begin();
    let mut checkpoint = writer.checkpoint(None, start);
    let (mut oldest, half) = (start, pieces[0].len() / 2);
    let first = writer.log.next();
    for piece in &pieces[0][..half] {
        writer.piece(piece, 0);
    }
    if style.middle {
        oldest = first;
        let start = writer.last[0];
        checkpoint = writer.checkpoint(Some(first), start);
    }
    for piece in &pieces[0][half..] {
        writer.piece(piece, 0);
    }
    writer.forget(0);
    for piece in &pieces[1] {
        writer.piece(piece, 1);
    }
    if !style.open {
        writer.forget(1);
    }
    let bytes = writer.log.finish_copied(checkpoint, oldest, style.copies);
    volume.scatter(&volume.log, 0, &bytes);
    writer.newest
}

/// A volume whose log is to be replayed: in its last state but for some pieces, which `choose` takes from the first.
pub fn pending(
    states: &States,
    path: &Path,
    style: Style,
    choose: &mut dyn FnMut() -> bool,
) -> (Volume, Vec<u64>) {
    let [one, two, three] = [0, 1, 2].map(|index| Volume::open(&states.paths[index]));
    let pieces = [describe(&one, &two), describe(&two, &three)];
    fs::copy(&states.paths[2], path).unwrap();
    let volume = Volume::open(path);
    let newest = write_log(&volume, &pieces, style);
    let mut old: HashMap<u64, bool> = HashMap::new();
    for piece in pieces[1].iter().chain(&pieces[0]) {
        let first = piece.places[0];
        if *old.entry(first).or_insert_with(&mut *choose) {
            write(&volume, piece);
        } else if piece.numbered && volume.read(first, 4).unwrap() != [0; 4] {
            let number = newest.get(&first).copied().unwrap_or_default();
            volume.write(first + 8, &number.to_le_bytes()).unwrap();
        }
    }
    // What was copied of the first records is not logged.
    let records = volume.gather(&volume.mft, 0, volume.copied);
    volume.scatter(&volume.mirror, 0, &records);
    volume.written.borrow_mut().clear();
    for piece in pieces.iter().flatten() {
        volume.written.borrow_mut().extend(piece.places.iter().map(|place| place / 512));
    }
    // An index block that was made anew has no state before.
    let new = |piece: &&Piece| piece.changes.iter().any(|change| (change.redo, change.undo) == (8, 0));
    let new = pieces[1].iter().filter(new).flat_map(|piece| &piece.places).map(|place| place / 512).collect();
    (volume, new)
}

fn styles() -> Vec<(&'static str, Style)> {
    vec![
        ("4k", PLAIN),
        ("4k", Style { middle: true, copies: true, ..PLAIN }),
        ("4k", Style { wide: false, page: 508, ..PLAIN }),
        ("512", Style { wide: false, middle: true, ..PLAIN }),
        ("512", Style { page: 509, copies: true, ..PLAIN }),
        ("1k", Style { middle: true, page: 507, ..PLAIN }),
        ("64k", PLAIN),
    ]
}

/// A volume whose log is to be replayed, and how it came about.
struct Pending<'a> {
    what: String,
    states: &'a States,
    path: PathBuf,
    volume: Volume,
    /// Sectors of structures that were made anew.
    new: Vec<u64>,
    /// So many tenths of the volume are as they were before.
    chance: u64,
}

/// Logs in every style; `open`: their last transaction is not committed.
fn every_log(open: bool, mut look: impl FnMut(Pending<'_>)) {
    for flavour in ["4k", "512", "1k", "64k"] {
        if !can_fuse() {
            return;
        }
        let states = states(flavour);
        for (index, (_, style)) in styles().into_iter().filter(|(name, _)| *name == flavour).enumerate() {
            for chance in [10, 5, 0] {
                let mut random = Random::new(index as u64);
                let path = states.paths[0].with_extension("pending");
                let style = Style { open, ..style };
                let (volume, new) = pending(&states, &path, style, &mut || random.below(10) < chance);
                look(Pending {
                    what: format!("{flavour} {index}"),
                    states: &states,
                    path,
                    volume,
                    new,
                    chance,
                });
            }
        }
    }
}

#[test]
fn what_was_committed_is_done() {
    let mut agreed = 0;
    every_log(false, |Pending { what, states, path, volume, chance, .. }| {
        let end = &states.paths[2];
        agreed += usize::from(chance > 0 && ntfsrecover_agrees(&path, &volume, end));
        mount(&volume).unwrap();
        assert_eq!(differences(&volume, &Volume::open(end)), [""; 0], "{what}");
        check(&volume);
        volume.blob.apply(&path).unwrap();
        tools::check(&path);
    });
    assert!(agreed == 14 || !can_fuse(), "ntfsrecover accepts all logs, and comes to the same: {agreed}");
}

/// Whether `ntfsrecover` accepts the log; it must come to the same.
fn ntfsrecover_agrees(path: &Path, volume: &Volume, end: &Path) -> bool {
    let copy = path.with_extension("recovered");
    fs::copy(path, &copy).unwrap();
    volume.blob.apply(&copy).unwrap();
    let output = Command::new("ntfsrecover").args(["-s", "-v"]).arg(&copy).output().unwrap();
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let why: Vec<&str> =
            text.lines().filter(|line| line.starts_with("**") || line.contains("ailed")).collect();
        println!("ntfsrecover: {why:?}");
        return false;
    }
    let theirs = Volume::open(&copy);
    theirs.written.borrow_mut().extend(volume.written.borrow().iter());
    assert_eq!(differences(&theirs, &Volume::open(end)), [""; 0], "ntfsrecover");
    true
}

#[test]
fn what_was_not_committed_is_undone() {
    every_log(true, |Pending { what, states, volume, new, .. }| {
        mount(&volume).unwrap();
        volume.written.borrow_mut().retain(|sector| !new.contains(sector));
        assert_eq!(differences(&volume, &Volume::open(&states.paths[1])), [""; 0], "{what}");
        check(&volume);
    });
}

/// A volume that is only read shows what the replay makes of it, and keeps its log.
#[test]
fn a_replay_in_memory_writes_nothing() {
    if !can_fuse() {
        return;
    }
    let states = states("4k");
    let path = states.paths[0].with_extension("pending");
    let (volume, _) = pending(&states, &path, PLAIN, &mut || true);
    volume.blob.apply(&path).unwrap();
    let before = fs::read(&path).unwrap();
    let identity = Ntfs::probe(&FileBlob::open(&path).unwrap()).unwrap().unwrap();
    assert_eq!(fact(&identity.facts, "ntfs.log"), Some("replayable"));
    assert!(!identity.clean && fact(&identity.facts, "doubt").is_none());
    let tree = |path: &Path| {
        let mut fs = Ntfs::mount(Box::new(FileBlob::open(path).unwrap()), false).unwrap();
        from_adapter(&mut fs)
    };
    assert_same(&tree(&path), &tree(&states.paths[2]), "in memory");
    assert!(fs::read(&path).unwrap() == before);
    // On the device, the log is closed and clean afterwards.
    let device = FileBlob::open(&path).unwrap();
    drop(Ntfs::mount(Box::new(Volume::open(&path)), true).unwrap());
    let volume = Volume::open(&path);
    mount(&volume).unwrap();
    volume.blob.apply(&path).unwrap();
    let identity = Ntfs::probe(&FileBlob::open(&path).unwrap()).unwrap().unwrap();
    assert!(identity.clean && fact(&identity.facts, "ntfs.log") == Some("clean"));
    drop(device);
    tools::check(&path);
    assert_same(&tree(&path), &tree(&states.paths[2]), "on the device");
}

/// Clusters that were given back after they were changed may be anything by now, and are left alone.
#[test]
fn what_was_given_back_is_not_written() {
    if !can_fuse() {
        return;
    }
    let states = states("4k");
    for gone in [false, true] {
        let path = states.paths[0].with_extension("pending");
        fs::copy(&states.paths[2], &path).unwrap();
        let volume = Volume::open(&path);
        // The last cluster is free.
        let lcn = volume.size() / volume.cluster - 2;
        let opened = Opened { file: 9 | 9 << 48, kind: 0x80, name: b"$\0S\0D\0S\0".to_vec(), block: 0 };
        let change = |redo, undo, after, before| Change {
            lcns: vec![lcn],
            opened: opened.clone(),
            record_offset: 16,
            ..Writer::bare(redo, undo, after, before)
        };
        let mut writer = Writer::new(&volume, PLAIN);
        let start = writer.begin();
        let checkpoint = writer.checkpoint(None, start);
        let attribute = writer.open(&opened, 0);
        writer.add(&change(8, 8, vec![0x77; 100], vec![0; 100]), attribute, 0);
        if gone {
            let range = [lcn, 1].iter().flat_map(|number| number.to_le_bytes()).collect();
            writer.add(&Writer::bare(0x0a, 0, range, Vec::new()), attribute, 0);
        }
        writer.forget(0);
        volume.scatter(&volume.log, 0, &writer.log.finish_copied(checkpoint, start, false));
        mount(&volume).unwrap();
        let now = volume.read(lcn * volume.cluster + 16, 100).unwrap();
        assert_eq!(now == [0x77; 100], !gone);
    }
}

/// Changes the log's bytes on the volume and says why it is refused then.
fn refusal(states: &States, harm: &dyn Fn(&Volume, &mut Vec<u8>)) -> String {
    let path = states.paths[0].with_extension("pending");
    let (volume, _) = pending(states, &path, PLAIN, &mut || true);
    let mut log = volume.gather(&volume.log, 0, 2 << 20);
    harm(&volume, &mut log);
    volume.scatter(&volume.log, 0, &log);
    volume.blob.apply(&path).unwrap();
    let Err(error) = mount(&Volume::open(&path)) else { return "nothing".to_owned() };
    assert!(error.kind == ErrorKind::Dirty && error.message.contains("shutdown /s /t 0"), "{error:?}");
    // It can be read as it is all the same.
    let identity = Ntfs::probe(&FileBlob::open(&path).unwrap()).unwrap().unwrap();
    assert_eq!(fact(&identity.facts, "ntfs.log"), Some("pending"));
    Ntfs::mount(Box::new(FileBlob::open(&path).unwrap()), false).unwrap().stat("/").unwrap();
    error.message.split("not replayed here: ").last().unwrap_or_default().to_owned()
}

/// Where the first record with that operation is.
fn operation_at(log: &[u8], code: u16) -> usize {
    let mut places = (4 * PAGE..log.len() - 0x50).step_by(8);
    let is = |at: &usize| {
        let number = little(log, *at, 8);
        (number << 45 >> 42) as usize == *at && number != 0 && little(log, at + 0x30, 2) == u64::from(code)
    };
    places.find(is).unwrap()
}

/// Where in the table the first file of a user is that is changed.
fn changed_file(volume: &Volume, log: &[u8]) -> u64 {
    let places = (4 * PAGE..log.len() - 0x50).step_by(8);
    let mut offsets = places.filter_map(|at| {
        let number = little(log, at, 8);
        let record = (number << 45 >> 42) as usize == at && number != 0;
        let change = record
            && little(log, at + 0x48, 8) < 1 << 20
            && matches!(little(log, at + 0x30, 2), 5..=7 | 0xb | 0xc);
        let offset =
            change.then(|| little(log, at + 0x48, 8) * volume.cluster + little(log, at + 0x44, 2) * 512);
        offset.filter(|offset| *offset >= 24 * volume.record as u64)
    });
    offsets.next().unwrap()
}

/// A way to do harm to a volume and its log.
type Harm = Box<dyn Fn(&Volume, &mut Vec<u8>)>;

#[test]
fn what_is_not_understood_is_refused() {
    if !can_fuse() {
        return;
    }
    let states = states("4k");
    let poke = |code: u16, offset: usize, new: &'static [u8]| {
        move |_: &Volume, log: &mut Vec<u8>| {
            let at = operation_at(log, code);
            put(log, at + 0x30 + offset, new);
        }
    };
    let cases: Vec<(Harm, &str)> = vec![
        (Box::new(poke(7, 0, &[0x23, 0])), "unknown operation"),
        (Box::new(poke(7, 0, &[0x17, 0])), "unknown operation"),
        (Box::new(poke(7, 0, &[4, 0])), "unknown operation"),
        (Box::new(poke(7, 0x0c, &[0x18, 0x50])), "attribute that is not open"),
        (Box::new(poke(7, 0x10, &[0x3c, 0])), "attribute that is not there"),
        (Box::new(poke(0x0e, 0x12, &[0x44, 0])), "entry that is not there"),
        (Box::new(poke(0x0b, 0x20, &[0; 8])), "clusters that it does not name"),
        (Box::new(poke(0x15, 0x2c, &[0xff; 4])), "bits beyond its clusters"),
        (
            Box::new(|_, log| {
                // The restart pages know of a later record.
                let at = 0x30 + 5;
                (log[at], log[PAGE + at]) = (1, 1);
            }),
            "newest records are missing",
        ),
        (Box::new(|_, log| put(log, 6 * PAGE + 510, b"xx")), "was not written completely"),
        (Box::new(|_, log| put(log, 6 * PAGE, b"BAAD")), "page that is none"),
        (
            Box::new(|_, log| {
                let page = operation_at(log, 7) / PAGE * PAGE;
                log[page..page + PAGE].fill(0xff);
            }),
            "missing",
        ),
        (
            Box::new(|volume, _| {
                let place = volume.place(&volume.mft, 5 * volume.record as u64);
                volume.write(place + 8, &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]).unwrap();
            }),
            "newer than the log",
        ),
        (
            Box::new(|volume, log| {
                let offset = changed_file(volume, log);
                volume.write(volume.place(&volume.mft, offset), b"BAAD").unwrap();
            }),
            "none",
        ),
    ];
    for (harm, why) in cases {
        let reason = refusal(&states, &harm);
        assert!(reason.contains(why), "{why}: {reason}");
    }
}
