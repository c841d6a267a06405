//! What edits changed, for people: each key with its values before and after.

use crate::name::Name;
use crate::value::Kind;
use std::collections::BTreeMap;
use wherry_sdk::checksum::crc32c;

/// Bytes of a value that are kept to be shown.
pub(crate) const SHOWN: usize = 1024;
/// Changed keys and values that are kept to be shown.
const ENTRIES: usize = 20_000;

/// A value's kind and data; of long data the beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    pub kind: Kind,
    pub size: usize,
    pub head: Vec<u8>,
    /// CRC-32C of all data where it is not shown whole, which tells such values apart.
    pub sum: u32,
}

impl Content {
    pub fn new(kind: Kind, data: &[u8]) -> Self {
        let head = data[..data.len().min(SHOWN)].to_vec();
        let sum = if data.len() > SHOWN { crc32c(0, data) } else { 0 };
        Self { kind, size: data.len(), head, sum }
    }
}

/// Something before and after.
#[derive(Clone, Debug, Default)]
pub(crate) struct Two<T> {
    pub before: T,
    pub after: T,
}

/// What became of a key.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// Whether it was there, and is.
    pub there: Two<bool>,
    pub class: Option<Two<Vec<u8>>>,
    pub values: BTreeMap<Name, Two<Option<Content>>>,
}

/// All of it since changes were last taken.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    pub keys: BTreeMap<Vec<Name>, Record>,
    entries: usize,
    /// Changes beyond those that are kept.
    pub left_out: usize,
    /// Whether nothing is to be kept.
    pub quiet: bool,
}

impl Journal {
    /// What there is; nothing is left.
    pub fn take(&mut self) -> Self {
        let fresh = Self { quiet: self.quiet, ..Self::default() };
        std::mem::replace(self, fresh)
    }

    fn record(&mut self, path: &[Name]) -> Option<&mut Record> {
        if self.quiet {
            return None;
        }
        if self.entries >= ENTRIES && !self.keys.contains_key(path) {
            self.left_out += 1;
            return None;
        }
        self.entries += usize::from(self.entries < ENTRIES);
        let fresh = || Record { there: Two { before: true, after: true }, ..Record::default() };
        Some(self.keys.entry(path.to_vec()).or_insert_with(fresh))
    }

    /// A key came or went. What it was before the first change counts, and what it is after the last.
    pub fn key(&mut self, path: &[Name], before: bool, after: bool) {
        let known = self.keys.contains_key(path);
        if let Some(record) = self.record(path) {
            record.there.after = after;
            if !known {
                record.there.before = before;
            }
        }
    }

    pub fn class(&mut self, path: &[Name], before: Vec<u8>, after: Vec<u8>) {
        if let Some(record) = self.record(path) {
            let class = record.class.get_or_insert_with(|| Two { before, after: Vec::new() });
            class.after = after;
        }
    }

    pub fn value(&mut self, path: &[Name], name: Name, before: Option<Content>, after: Option<Content>) {
        if let Some(record) = self.record(path) {
            record.values.entry(name).or_insert_with(|| Two { before, after: None }).after = after;
        }
    }
}
