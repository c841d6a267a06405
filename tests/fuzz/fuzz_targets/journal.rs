//! The checkpoint of a transfer: whatever is in the file, what is read from it is read again after its torn end was cut
//! off, and what is appended then follows it.
#![no_main]
#![allow(dead_code, reason = "parts of the crate wherry-transfer, which keeps them to itself")]

#[path = "../../../host/transfer/src/error.rs"]
mod error;
#[path = "../../../host/transfer/src/journal.rs"]
mod journal;
#[path = "../../../host/transfer/src/layout.rs"]
mod layout;

pub use error::{Error, ErrorKind, Result};

use journal::{Reader, Record};
use std::fs::File;
use std::io::Write;

/// The bytes as they are, and as payloads of frames with the right checksums.
fn framed(bytes: &[u8]) -> Vec<u8> {
    let mut frames = Vec::new();
    let mut rest = bytes;
    while let Some((length, more)) = rest.split_first() {
        let payload = &more[..usize::from(*length).min(more.len())];
        frames.extend((payload.len() as u32).to_le_bytes());
        frames.extend(crc32fast::hash(payload).to_le_bytes());
        frames.extend(payload);
        rest = &more[payload.len()..];
    }
    frames
}

/// All records, after which the file ends.
fn records(file: &File) -> Vec<Record> {
    let mut reader = Reader::open(file, HEADER).expect("a file").expect("of this transfer");
    let records = reader.by_ref().collect();
    reader.rewrite().expect("at most shorter");
    records
}

const HEADER: &[u8] = b"header";

fn check(bytes: &[u8]) {
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(HEADER).expect("room");
    file.write_all(bytes).expect("room");
    let mut found = records(&file);
    assert_eq!(records(&file), found);
    journal::append(&file, [&Record::Zero(7)]).expect("room");
    found.push(Record::Zero(7));
    assert_eq!(records(&file), found);
    assert!(Reader::open(&file, b"another").expect("a file").is_none());
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    check(&framed(bytes));
});
