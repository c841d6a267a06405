//! What a record of the log says: an operation that does something, one that undoes it, and where.
//!
//! Source: Linux' `fs/ntfs3/fslog.c`.

use crate::bytes::{part, u16_at, u64_at};
use crate::log_pages::{Record, refusal};
use wherry_sdk::Result;

/// Clusters that a record names at most: those of 64 KiB.
pub const CLUSTERS_MOST: usize = 128;

/// The operations of records, as far as they are known.
pub mod operation {
    pub const NONE: u16 = 0x00;
    pub const COMPENSATION: u16 = 0x01;
    pub const INITIALIZE_RECORD: u16 = 0x02;
    pub const FREE_RECORD: u16 = 0x03;
    pub const CREATE_ATTRIBUTE: u16 = 0x05;
    pub const DELETE_ATTRIBUTE: u16 = 0x06;
    pub const UPDATE_RESIDENT: u16 = 0x07;
    pub const UPDATE_STORED: u16 = 0x08;
    pub const UPDATE_PAIRS: u16 = 0x09;
    pub const DELETE_DIRTY_CLUSTERS: u16 = 0x0a;
    pub const SET_SIZES: u16 = 0x0b;
    pub const ADD_ROOT_ENTRY: u16 = 0x0c;
    pub const DELETE_ROOT_ENTRY: u16 = 0x0d;
    pub const ADD_BLOCK_ENTRY: u16 = 0x0e;
    pub const DELETE_BLOCK_ENTRY: u16 = 0x0f;
    pub const WRITE_BLOCK_END: u16 = 0x10;
    pub const SET_ROOT_CHILD: u16 = 0x11;
    pub const SET_BLOCK_CHILD: u16 = 0x12;
    pub const UPDATE_ROOT_NAME: u16 = 0x13;
    pub const UPDATE_BLOCK_NAME: u16 = 0x14;
    pub const SET_BITS: u16 = 0x15;
    pub const CLEAR_BITS: u16 = 0x16;
    pub const END_TOP_LEVEL: u16 = 0x18;
    pub const COMMIT: u16 = 0x1a;
    pub const FORGET: u16 = 0x1b;
    pub const OPEN_ATTRIBUTE: u16 = 0x1c;
    pub const DUMP_ATTRIBUTES: u16 = 0x1d;
    pub const DUMP_NAMES: u16 = 0x1e;
    pub const DUMP_PAGES: u16 = 0x1f;
    pub const DUMP_TRANSACTIONS: u16 = 0x20;
    pub const UPDATE_ROOT_DATA: u16 = 0x21;
    pub const UPDATE_BLOCK_DATA: u16 = 0x22;
    pub const ZERO_RECORD_END: u16 = 0x25;
}

/// What a record of a change says, its header taken apart.
pub struct Change<'a> {
    pub number: u64,
    pub transaction: u32,
    pub undo_next: u64,
    pub redo: u16,
    pub undo: u16,
    redo_place: (usize, usize),
    undo_place: (usize, usize),
    /// the attribute, by its place in the table
    pub attribute: u32,
    /// where the structure is in its clusters, in bytes: within it, and within its part
    pub record_offset: usize,
    pub attribute_offset: usize,
    /// bytes to the structure from the first cluster
    pub cluster_offset: usize,
    pub vcn: u64,
    /// the clusters that it touches
    pub lcns: Vec<u64>,
    data: &'a [u8],
}

impl<'a> Change<'a> {
    /// Takes a record apart.
    pub fn parse(record: &'a Record) -> Result<Self> {
        let data = &record.data[..];
        let number16 = |at| usize::from(u16_at(data, at));
        let count = number16(0x0e);
        let lcns: Vec<u64> = part(data, 0x20, count * 8).chunks_exact(8).map(|lcn| u64_at(lcn, 0)).collect();
        let change = Self {
            number: record.number,
            transaction: record.transaction,
            undo_next: record.undo_next,
            redo: u16_at(data, 0),
            undo: u16_at(data, 2),
            redo_place: (number16(4), number16(6)),
            undo_place: (number16(8), number16(0x0a)),
            attribute: u32::from(u16_at(data, 0x0c)),
            record_offset: number16(0x10),
            attribute_offset: number16(0x12),
            cluster_offset: number16(0x14) * 512,
            vcn: u64_at(data, 0x18),
            lcns,
            data,
        };
        let aligned = change.redo_place.0.is_multiple_of(8) && change.undo_place.0.is_multiple_of(8);
        let sensible = data.len() >= 0x28 && count <= CLUSTERS_MOST && change.lcns.len() == count;
        if !aligned || !sensible || change.transaction == 0 {
            return Err(refusal(format!("the log's record {:#x} is damaged", record.number)));
        }
        Ok(change)
    }

    /// Bytes that are to be there afterwards (`redo`) or were before.
    pub fn length(&self, redo: bool) -> usize {
        if redo { self.redo_place.1 } else { self.undo_place.1 }
    }

    /// These bytes; none where the record has only their number, and they are zero.
    pub fn bytes(&self, redo: bool) -> Option<&'a [u8]> {
        let (at, length) = if redo { self.redo_place } else { self.undo_place };
        at.checked_add(length).and_then(|end| self.data.get(at..end))
    }

    /// What is to be said when the record does not fit what is there.
    pub fn mismatch(&self, what: &str) -> wherry_sdk::Error {
        let (number, redo, undo) = (self.number, self.redo, self.undo);
        refusal(format!("the log's record {number:#x} (operation {redo:#x}, {undo:#x}) {what}"))
    }
}
