//! Images that were not closed: QEMU's, at every moment of a write, and such as it never leaves behind. QEMU's own replay
//! is the judge.

use crate::edit::{BAT, DATA, FIRST, HEADERS, LOG, edit, entry, make, read, seal, write};
use format_vhdx::Vhdx;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use tempfile::tempdir;
use wherry_sdk::testing::image::{Pattern, decode, open, run, text};
use wherry_sdk::{ErrorKind, FormatReader, Result, Severity};

const MIB: u64 = 1 << 20;
const SECTOR: usize = 4096;
const GUID: [u8; 16] = [7; 16];

/// The disk after QEMU has replayed the log into a copy of the file.
fn by_qemu(path: &Path) -> Vec<u8> {
    let (copy, raw) = (path.with_extension("copy"), path.with_extension("raw"));
    std::fs::copy(path, &copy).unwrap();
    // It says whether it has mended something by its exit code.
    Command::new("qemu-img").args(["check", "-q", "-r", "all", "-f", "vhdx", text(&copy)]).output().unwrap();
    run("qemu-img", &["convert", "-f", "vhdx", "-O", "raw", text(&copy), text(&raw)]);
    read(&raw)
}

/// The state of the log by the concerns: none, or the message of `vhdx.log`.
fn said(path: &Path) -> Option<(Severity, String)> {
    let concerns = open::<Vhdx>(&[path]).unwrap().facts().concerns;
    concerns.into_iter().find(|concern| concern.id == "vhdx.log").map(|one| (one.severity, one.message))
}

/// What QEMU's driver `blklogwrites` recorded: offsets and bytes of all writes, in order.
fn writes(log: &[u8]) -> Vec<(usize, &[u8])> {
    let number = |at: usize| u64::from_le_bytes(log[at..at + 8].try_into().unwrap()) as usize;
    let mut at = 512;
    let mut found = Vec::new();
    for _ in 0..number(16) {
        let (sector, count, flags) = (number(at), number(at + 8), number(at + 16));
        assert!(flags & 2 == 0, "a discard");
        found.push((sector * 512, &log[at + 512..at + 512 + count * 512]));
        at += 512 + count * 512;
    }
    found
}

/// After each of QEMU's writes to its file the power goes off.
#[test]
fn a_crash_of_qemu_at_any_moment() {
    let folder = tempdir().unwrap();
    let name = |name: &str| folder.path().join(name);
    let (image, log, crashed) = (name("a.vhdx"), name("log"), name("crashed.vhdx"));
    run("qemu-img", &["create", "-q", "-f", "vhdx", "-o", "block_size=1M", text(&image), "6M"]);
    run("qemu-io", &["-f", "vhdx", "-c", "write -P 9 0 100k", text(&image)]);
    let mut file = read(&image);
    std::fs::write(&log, []).unwrap();
    let options = format!(
        "driver=vhdx,file.driver=blklogwrites,file.file.driver=file,file.file.filename={},file.log.driver=file,file.log.filename={}",
        image.display(),
        log.display()
    );
    let commands = ["write -P 7 3M 64k", "write -P 6 1000k 30k"];
    let commands: Vec<&str> = commands.iter().flat_map(|command| ["-c", command]).collect();
    run("qemu-io", &[&commands[..], &["--image-opts", &options]].concat());
    let (end, log) = (read(&image), read(&log));
    // QEMU lets the file grow before it writes, and does not record that.
    file.resize(end.len(), 0);
    let mut states = BTreeSet::new();
    for (at, bytes) in writes(&log) {
        file[at..at + bytes.len()].copy_from_slice(bytes);
        write(&crashed, &file);
        let state = said(&crashed);
        match &state {
            Some((Severity::Blocking, _)) => {
                assert!(open::<Vhdx>(&[&crashed]).unwrap().extents(0, 9).is_err());
                // The way out that the concern names.
                by_qemu(&crashed);
            }
            _ => assert!(decode::<Vhdx>(&[&crashed], 9) == by_qemu(&crashed), "{state:?}"),
        }
        states.insert(state.map(|(severity, message)| format!("{severity:?} {message}")));
    }
    assert!(file == end, "all writes were recorded");
    let words = ["nothing was written", "in memory: 1", "is damaged"];
    for word in words {
        assert!(states.iter().flatten().any(|state| state.contains(word)), "{word}: {states:?}");
    }
    assert_eq!(states.len(), words.len() + 1);
}

/// What a log entry writes.
pub enum Write {
    Zero(usize, usize),
    Data(usize, Vec<u8>),
}

/// An entry; `length` of the file is what it knows.
pub fn logged(sequence: u64, tail: usize, length: usize, writes: &[Write]) -> Vec<u8> {
    let mut entry = vec![0; (64 + writes.len() * 32).next_multiple_of(SECTOR)];
    let mut at = 64;
    for write in writes {
        let (name, trailing, leading, offset) = match write {
            Write::Zero(offset, length) => (b"zero", [0; 4], (*length as u64).to_le_bytes(), offset),
            Write::Data(offset, bytes) => {
                let mut sector = bytes.clone();
                sector[..4].copy_from_slice(b"data");
                sector[4..8].copy_from_slice(&((sequence >> 32) as u32).to_le_bytes());
                sector[SECTOR - 4..].copy_from_slice(&(sequence as u32).to_le_bytes());
                entry.extend(sector);
                (b"desc", bytes[SECTOR - 4..].try_into().unwrap(), bytes[..8].try_into().unwrap(), offset)
            }
        };
        let descriptor =
            [&name[..], &trailing, &leading, &(*offset as u64).to_le_bytes(), &sequence.to_le_bytes()]
                .concat();
        entry[at..at + 32].copy_from_slice(&descriptor);
        at += 32;
    }
    let all = entry.len();
    entry[..4].copy_from_slice(b"loge");
    for (at, value) in [(8, all), (12, tail), (24, writes.len())] {
        entry[at..at + 4].copy_from_slice(&(value as u32).to_le_bytes());
    }
    for (at, value) in [(16, sequence), (48, length as u64), (56, length as u64)] {
        entry[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
    entry[32..48].copy_from_slice(&GUID);
    seal(&mut entry, (0, all));
    entry
}

/// Puts an entry at `at` of the ring; where the next one goes.
pub fn put(image: &mut [u8], at: usize, entry: &[u8]) -> usize {
    let mut next = at;
    for sector in entry.chunks(SECTOR) {
        image[LOG + next..LOG + next + SECTOR].copy_from_slice(sector);
        next = (next + SECTOR) % FIRST;
    }
    next
}

pub fn in_use(image: &mut [u8]) {
    for at in HEADERS {
        edit(image, (at, 4096), &[(48, &GUID)]);
    }
}

/// 6 MiB of data in blocks of 1 MiB, and 2 MiB without; the log is in use.
fn image() -> (tempfile::TempDir, std::path::PathBuf, Vec<u8>) {
    let (folder, path) = make(8 * MIB, Pattern::Dense, &[("block-size", "1M")]);
    let mut image = read(&path);
    in_use(&mut image);
    (folder, path, image)
}

/// The table's first sector with block 6 where block 0 was, and block 0 empty.
fn table(image: &[u8]) -> Vec<u8> {
    let mut changed = image.to_vec();
    entry(&mut changed, 6, DATA, 6);
    entry(&mut changed, 0, 0, 2);
    changed[BAT..BAT + SECTOR].to_vec()
}

fn sector(fill: u8) -> Vec<u8> {
    (0..SECTOR).map(|at| fill.wrapping_add(at as u8)).collect()
}

fn judge(path: &Path, image: &[u8], entries: usize) {
    write(path, image);
    let (severity, message) = said(path).unwrap();
    assert!(severity == Severity::Warning && message.contains(&format!("in memory: {entries}")), "{message}");
    for most in [1, 1000] {
        assert!(decode::<Vhdx>(&[path], most) == by_qemu(path), "{entries} {most}");
    }
}

#[test]
fn tables_and_even_payload_are_replayed() {
    let (_folder, path, mut image) = image();
    let length = image.len();
    let one = [
        Write::Data(BAT, table(&image)),
        Write::Data(DATA + 2 * FIRST, sector(1)),
        Write::Zero(DATA + 2 * FIRST + SECTOR, 16 * SECTOR),
    ];
    put(&mut image, 0, &logged(1 << 40, 0, length, &one));
    judge(&path, &image, 1);
    // Later writes win, in either order of zeroes and data, and cut what they lie in.
    let two = [
        Write::Data(DATA + 2 * FIRST + 3 * SECTOR, sector(2)),
        Write::Zero(DATA + 2 * FIRST + 5 * SECTOR, 2 * SECTOR),
        Write::Data(DATA + 2 * FIRST, sector(3)),
    ];
    let three = [
        Write::Zero(DATA + 2 * FIRST + 2 * SECTOR, 3 * SECTOR),
        Write::Zero(DATA + 3 * FIRST - SECTOR, 4 * SECTOR),
        Write::Data(DATA + 3 * FIRST, sector(4)),
    ];
    let mut at = 0;
    for (sequence, writes) in [one, two, three].iter().enumerate() {
        at = put(&mut image, at, &logged((1 << 40) + sequence as u64, 0, length, writes));
        judge(&path, &image, sequence + 1);
    }
}

/// The disk after the test itself has done what the log says.
fn by_hand(path: &Path, image: &[u8], writes: &[Write]) -> Vec<u8> {
    let mut image = image.to_vec();
    for write in writes {
        match write {
            Write::Zero(at, length) => image[*at..at + length].fill(0),
            Write::Data(at, bytes) => image[*at..at + SECTOR].copy_from_slice(bytes),
        }
    }
    for at in HEADERS {
        edit(&mut image, (at, 4096), &[(48, &[0; 16])]);
    }
    write(path, &image);
    decode::<Vhdx>(&[path], 9)
}

fn many(count: usize) -> Vec<Write> {
    (0..count).map(|number| Write::Data(DATA + number * 2 * SECTOR, sector(number as u8))).collect()
}

#[test]
fn the_log_is_a_ring() {
    let (_folder, path, mut image) = image();
    let (length, first) = (image.len(), FIRST - 50 * SECTOR);
    let writes = many(100);
    let next = put(&mut image, first, &logged(5, first, length, &writes));
    assert_eq!(next, 51 * SECTOR);
    judge(&path, &image, 1);
    assert!(decode::<Vhdx>(&[&path], 9) == by_hand(&path, &image, &writes));
}

/// Which QEMU (`vhdx_log_read_sectors`, `vhdx_log_search`) does not read: more descriptors than fit into one sector, and a
/// sequence that goes on at the beginning of the ring.
#[test]
fn long_entries_and_sequences_around_the_ring_are_replayed() {
    let (_folder, path, mut image) = image();
    let (length, first) = (image.len(), FIRST - 100 * SECTOR);
    let mut writes = many(200);
    let next = put(&mut image, first, &logged(5, first, length, &writes));
    let last = Write::Zero(DATA + FIRST, 8 * SECTOR);
    put(&mut image, next, &logged(6, first, length, core::slice::from_ref(&last)));
    writes.push(last);
    write(&path, &image);
    assert!(said(&path).unwrap().1.contains("in memory: 2"));
    assert!(decode::<Vhdx>(&[&path], 1000) == by_hand(&path, &image, &writes));
}

/// Only what the newest entry says is not written yet; older entries may be of any content.
#[test]
fn entries_in_front_of_the_tail_are_not_replayed() {
    let (_folder, path, mut image) = image();
    let length = image.len();
    let next = put(&mut image, 0, &logged(1, 0, length, &[Write::Zero(DATA, FIRST)]));
    let last = [Write::Zero(DATA + FIRST, SECTOR)];
    put(&mut image, next, &logged(2, next, length, &last));
    write(&path, &image);
    assert!(said(&path).unwrap().1.contains("in memory: 1"));
    assert!(decode::<Vhdx>(&[&path], 9) == by_hand(&path, &image, &last));
}

/// The newest entry was not written to its end: those before it are replayed.
#[test]
fn a_torn_entry_does_not_count() {
    let (_folder, path, mut image) = image();
    let length = image.len();
    let table = Write::Data(BAT, table(&image));
    let next = put(&mut image, 0, &logged(1, 0, length, &[table]));
    let torn = logged(2, 0, length, &[Write::Data(DATA, sector(1)), Write::Data(DATA + SECTOR, sector(2))]);
    put(&mut image, next, &torn[..2 * SECTOR]);
    judge(&path, &image, 1);
    let expected = decode::<Vhdx>(&[&path], 9);
    put(&mut image, next, &torn);
    judge(&path, &image, 2);
    for (at, what) in
        [(4, "checksum"), (SECTOR + 100, "data"), (16, "sequence"), (32, "guid"), (64, "descriptor")]
    {
        let mut image = image.clone();
        image[LOG + next + at] ^= 1;
        write(&path, &image);
        assert!(said(&path).unwrap().1.contains("in memory: 1"), "{what}");
        assert!(decode::<Vhdx>(&[&path], 9) == expected, "{what}");
    }
}

/// Entries of an older log do not count: its identity is another one.
#[test]
fn entries_of_another_log_do_not_count() {
    let (_folder, path, mut image) = image();
    let length = image.len();
    let mut other = logged(9, 0, length, &[Write::Zero(DATA, FIRST)]);
    other[32] = 8;
    let all = other.len();
    seal(&mut other, (0, all));
    put(&mut image, 0, &other);
    write(&path, &image);
    let (severity, message) = said(&path).unwrap();
    assert!(severity == Severity::Warning && message.contains("nothing was written"), "{message}");
    assert!(decode::<Vhdx>(&[&path], 9) == by_qemu(&path));
}

#[test]
fn a_gap_in_the_sequence_blocks() {
    let (_folder, path, mut image) = image();
    let length = image.len();
    let mut at = 0;
    for sequence in [1, 2, 3] {
        at = put(&mut image, at, &logged(sequence, 0, length, &[Write::Zero(DATA, SECTOR)]));
    }
    image[LOG + SECTOR + 60] ^= 1;
    write(&path, &image);
    let mut reader = open::<Vhdx>(&[&path]).unwrap();
    let concern = reader.facts().concerns.remove(0);
    assert_eq!((concern.id.as_str(), concern.severity), ("vhdx.log", Severity::Blocking));
    assert!(concern.remedy.unwrap().contains("qemu-img check -r all"));
    assert!(reader.extents(0, 9).unwrap_err().message.contains("is damaged"));
}

fn refused(path: &Path, image: &[u8]) -> Result<()> {
    write(path, image);
    open::<Vhdx>(&[path]).map(|_| ())
}

#[test]
fn a_cut_file_is_refused_and_a_file_grows_to_what_the_log_knows() {
    let (_folder, path, mut image) = image();
    let length = image.len();
    put(&mut image, 0, &logged(1, 0, length + SECTOR, &[]));
    let error = refused(&path, &image).unwrap_err();
    assert!(error.kind == ErrorKind::Corrupt && error.message.contains("was cut"), "{error:?}");
    // A new block, of which the file has nothing yet: the table and the length are in the log.
    let mut table = image[BAT..BAT + SECTOR].to_vec();
    table[6 * 8..7 * 8].copy_from_slice(&(length as u64 | 6).to_le_bytes());
    let mut grown = logged(1, 0, length, &[Write::Data(BAT, table)]);
    grown[56..64].copy_from_slice(&((length + FIRST) as u64).to_le_bytes());
    let all = grown.len();
    seal(&mut grown, (0, all));
    put(&mut image, 0, &grown);
    write(&path, &image);
    let decoded = decode::<Vhdx>(&[&path], 9);
    assert!(decoded[..6 * FIRST] == image[DATA..] && decoded[6 * FIRST..] == [0; 2 * FIRST]);
    // Without that it is a block beyond the end.
    grown[56..64].copy_from_slice(&(length as u64).to_le_bytes());
    seal(&mut grown, (0, all));
    put(&mut image, 0, &grown);
    write(&path, &image);
    assert!(open::<Vhdx>(&[&path]).unwrap().extents(6 * MIB, 1).unwrap_err().message.contains("was it cut"));
}

#[test]
fn a_log_of_another_version_is_refused_if_it_is_in_use() {
    let (_folder, path, mut image) = image();
    edit(&mut image, (HEADERS[1], 4096), &[(64, &[1])]);
    assert_eq!(refused(&path, &image).unwrap_err().kind, ErrorKind::Unsupported);
    edit(&mut image, (HEADERS[1], 4096), &[(48, &[0; 16])]);
    assert!(refused(&path, &image).is_ok());
}
