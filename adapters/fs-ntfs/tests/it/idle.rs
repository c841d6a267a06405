//! Logs that were left open, written here by the documents: with nothing to do, and with something. (The logs of ten volumes of
//! Windows Server 2003 R2 and 2008 R2, opened by hand, were judged idle as well, and ntfsrecover had nothing to redo on them.)

use crate::states::{OPEN, Restart, page as restart_page};
use fs_ntfs::log::{self, State};
use wherry_sdk::bytes::{field, little, put};

const SIZE: usize = 2 << 20;
const PAGE: usize = 4096;
/// Bits of a record's number above its place, for a log of 2 MiB.
const BITS: u32 = 45;
/// Where the first record's page is; the number of the round that the log is in.
const FIRST: usize = 4 * PAGE;
const ROUND: u64 = 2;

/// A log in the making.
pub struct Log {
    pub bytes: Vec<u8>,
    at: usize,
    last: u64,
    round: u64,
}

/// What is logged.
pub enum Record {
    /// an operation, with bytes behind it
    Change(u16, usize),
    /// a checkpoint that began at that record, with so many bytes of dirty pages and of transactions
    Checkpoint(u64, u32, u32),
}

impl Log {
    /// Nothing is logged.
    pub fn new() -> Self {
        Self { bytes: vec![0xff; SIZE], at: FIRST + 0x40, last: 0, round: ROUND }
    }

    /// Nothing is logged, and the next record is in that page.
    pub fn at_page(page: usize) -> Self {
        Self { at: page * PAGE + 0x40, ..Self::new() }
    }

    /// Adds a record and gives its number.
    pub fn add(&mut self, record: &Record) -> u64 {
        let (kind, content) = match record {
            Record::Change(operation, more) => {
                let mut content = vec![0x55; 0x20 + more];
                put(&mut content, 0, &operation.to_le_bytes());
                (1u32, content)
            }
            Record::Checkpoint(start, dirty, transactions) => {
                let mut content = vec![0; 104];
                put(&mut content, 8, &start.to_le_bytes());
                put(&mut content, 0x38, &dirty.to_le_bytes());
                put(&mut content, 0x3c, &transactions.to_le_bytes());
                (2, content)
            }
        };
        self.push(kind, 0x18, self.last, &content)
    }

    /// The number of the next record.
    pub fn next(&self) -> u64 {
        self.round << (64 - BITS) | (self.at / 8) as u64
    }

    /// Adds a record of a transaction, behind which `undo_next` is undone.
    pub fn push(&mut self, kind: u32, transaction: u32, undo_next: u64, content: &[u8]) -> u64 {
        let number = self.next();
        let mut header = vec![0; 0x30];
        put(&mut header, 0, &number.to_le_bytes());
        put(&mut header, 8, &undo_next.to_le_bytes());
        put(&mut header, 0x10, &undo_next.to_le_bytes());
        put(&mut header, 0x18, &(content.len() as u32).to_le_bytes());
        put(&mut header, 0x20, &kind.to_le_bytes());
        put(&mut header, 0x24, &transaction.to_le_bytes());
        header[0x28] = u8::from(self.at % PAGE + 0x30 + content.len() > PAGE);
        self.last = number;
        let start = self.at / PAGE * PAGE;
        header.extend(content);
        self.append(&header, number);
        // Of the page in which it starts; one that ends elsewhere is not the last that ends here.
        put(&mut self.bytes, start + 8, &number.to_le_bytes());
        number
    }

    fn append(&mut self, mut bytes: &[u8], number: u64) {
        while !bytes.is_empty() {
            let page = self.at / PAGE * PAGE;
            if field(&self.bytes, page, 4) != b"RCRD" {
                self.bytes[page..page + PAGE].fill(0);
                put(&mut self.bytes, page, b"RCRD\x28\0\x09\0");
                put(&mut self.bytes, page + 8, &number.to_le_bytes());
            }
            let take = bytes.len().min(page + PAGE - self.at);
            put(&mut self.bytes, self.at, &bytes[..take]);
            self.at += take;
            bytes = &bytes[take..];
            if bytes.is_empty() {
                put(&mut self.bytes, page + 0x10, &[1]);
                put(&mut self.bytes, page + 0x20, &number.to_le_bytes());
                self.at = self.at.next_multiple_of(8);
                put(&mut self.bytes, page + 0x18, &((self.at - page) as u16).to_le_bytes());
            }
            if self.at.next_multiple_of(PAGE) - self.at < 0x30 || self.at.is_multiple_of(PAGE) {
                self.at = self.at.next_multiple_of(PAGE) + 0x40;
                if self.at >= SIZE {
                    (self.at, self.round) = (FIRST + 0x40, self.round + 1);
                }
            }
        }
    }

    /// The log on the disk, of which records from `oldest` on are needed; the last page has its two copies, or `lost` itself.
    pub fn finish_copied(mut self, checkpoint: u64, oldest: u64, lost: bool) -> Vec<u8> {
        let ends = |page: &[u8]| little(page, 0x20, 8);
        let homes = (FIRST..SIZE).step_by(PAGE).filter(|at| field(&self.bytes, *at, 4) == b"RCRD");
        let home = homes.max_by_key(|at| ends(&self.bytes[*at..])).unwrap();
        for copy in [2 * PAGE, 3 * PAGE] {
            self.bytes.copy_within(home..home + PAGE, copy);
            put(&mut self.bytes, copy + 8, &(home as u64).to_le_bytes());
        }
        if lost {
            self.bytes[home..home + PAGE].fill(0xff);
        }
        let mut bytes = self.finish(checkpoint);
        for page in [0, PAGE] {
            put(&mut bytes, page + 0x30 + 0x40, &oldest.to_le_bytes());
        }
        bytes
    }

    /// The log on the disk: restart pages that name the checkpoint, update sequences.
    pub fn finish(mut self, checkpoint: u64) -> Vec<u8> {
        let mut restart = restart_page(&Restart { newest: checkpoint, ..OPEN });
        put(&mut restart, 0x30 + 0x40 + 8, &checkpoint.to_le_bytes());
        put(&mut self.bytes, 0, &restart);
        put(&mut self.bytes, PAGE, &restart);
        for page in self.bytes.chunks_mut(PAGE).skip(2).filter(|page| page.starts_with(b"RCRD")) {
            put(page, 0x28, &9u16.to_le_bytes());
            for index in 1..9 {
                let kept = field(page, index * 512 - 2, 2).to_vec();
                put(page, 0x28 + index * 2, &kept);
                put(page, index * 512 - 2, &9u16.to_le_bytes());
            }
        }
        self.bytes
    }
}

fn judge(bytes: &[u8]) -> State {
    log::judge(SIZE as u64, |offset, length| Ok(field(bytes, offset as usize, length as usize).to_vec()))
        .unwrap()
}

/// A log with changes, a checkpoint, and what is told between the start of the checkpoint and itself.
pub fn checkpointed(between: &[Record], dirty: u32, transactions: u32) -> (Log, u64) {
    let mut log = Log::new();
    for number in 0..300 {
        log.add(&Record::Change(0x07, number % 90));
    }
    let start = log.add(&Record::Change(0x1b, 8));
    between.iter().for_each(|record| {
        log.add(record);
    });
    let checkpoint = log.add(&Record::Checkpoint(start, dirty, transactions));
    (log, checkpoint)
}

/// The tables of a checkpoint, one of them longer than a page.
const TABLES: [Record; 4] =
    [Record::Change(0x1d, 376), Record::Change(0x1e, 32), Record::Change(0x1f, 9000), Record::Change(0, 0)];

#[test]
fn a_log_with_nothing_to_do_is_idle() {
    for between in [&[][..], &TABLES, &[Record::Change(0x1c, 100)]] {
        let (log, checkpoint) = checkpointed(between, 0, 0);
        assert_eq!(judge(&log.finish(checkpoint)), State::Idle);
    }
    // The page with the checkpoint is only in the copy of the page that was not full yet.
    let (mut log, checkpoint) = checkpointed(&TABLES, 0, 0);
    let home = log.at / PAGE * PAGE;
    log.bytes.copy_within(home..home + PAGE, 3 * PAGE);
    put(&mut log.bytes, 3 * PAGE + 8, &(home as u64).to_le_bytes());
    log.bytes[home..home + PAGE].fill(0xff);
    assert_eq!(judge(&log.finish(checkpoint)), State::Idle);
    assert_eq!(State::Idle.doubt(), None);
}

#[test]
fn a_log_with_something_to_do_is_not() {
    let pending = |log: Log, checkpoint, what: &str| {
        assert_eq!(judge(&log.finish(checkpoint)), State::Pending, "{what}")
    };
    let (mut log, checkpoint) = checkpointed(&TABLES, 0, 0);
    log.add(&Record::Change(0x07, 20));
    pending(log, checkpoint, "a change behind the checkpoint");
    let (mut log, checkpoint) = checkpointed(&TABLES, 0, 0);
    log.add(&Record::Change(0x1d, 5000));
    pending(log, checkpoint, "anything behind the checkpoint");
    let (log, checkpoint) = checkpointed(&TABLES, 3224, 0);
    pending(log, checkpoint, "dirty pages");
    let (log, checkpoint) = checkpointed(&TABLES, 0, 64);
    pending(log, checkpoint, "transactions");
    for operation in [0x02, 0x07, 0x0f, 0x15, 0x1a, 0x1b, 0x25] {
        let (log, checkpoint) =
            checkpointed(&[Record::Change(0x1d, 50), Record::Change(operation, 50)], 0, 0);
        pending(log, checkpoint, "a change while the checkpoint was made");
    }
    let (log, checkpoint) = checkpointed(&TABLES, 0, 0);
    let mut torn = log.finish(checkpoint);
    torn[FIRST + 510] ^= 1;
    assert_eq!(judge(&torn), State::Pending, "a torn page");
    let (log, checkpoint) = checkpointed(&TABLES, 0, 0);
    let mut other = log.finish(checkpoint);
    other[100 * PAGE..100 * PAGE + 4].copy_from_slice(b"BAAD");
    assert_eq!(judge(&other), State::Pending, "a page that is none");
    // A newer page far away, from a round that the restart page does not know yet.
    let (log, checkpoint) = checkpointed(&TABLES, 0, 0);
    let mut newer = log.finish(checkpoint);
    newer.copy_within(FIRST..FIRST + PAGE, 200 * PAGE);
    put(&mut newer, 200 * PAGE + 0x20, &(checkpoint + 1).to_le_bytes());
    assert_eq!(judge(&newer), State::Pending, "a newer page");
    // The checkpoint is not there.
    let (log, checkpoint) = checkpointed(&TABLES, 0, 0);
    let whole = log.finish(checkpoint);
    let place = (little(&whole, 0x30, 8) << BITS >> (BITS - 3)) as usize;
    for at in [place, place + 0x20, place / PAGE * PAGE] {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        assert_eq!(judge(&damaged), State::Pending, "byte {at}");
    }
}
