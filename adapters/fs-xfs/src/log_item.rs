//! Transactions of the log, put together from operations in its records (XFS Algorithms & Data Structures, "Log Operations";
//! Linux: fs/xfs/libxfs/xfs_log_format.h, fs/xfs/xfs_log_recover.c).

use crate::bytes::{be32_at, byte_at, field};
use crate::log::{Record, UNMOUNT};
use std::collections::BTreeMap;
use wherry_sdk::bytes::{u16_at, u32_at};
use wherry_sdk::{Error, ErrorKind, Result};

/// Flags of an operation.
const START: u8 = 1;
const COMMIT: u8 = 2;
const CONTINUE: u8 = 4;
const CONTINUED: u8 = 8;
const END: u8 = 0x10;
/// A transaction's header.
const HEADER: usize = 16;
const HEADER_MAGIC: u32 = 0x5452_414e;
/// Bytes of an operation's header.
const OPERATION: usize = 12;
/// Bytes of transactions whose end has not been seen, and regions of an item.
const PENDING_MOST: usize = 24 << 20;
const REGIONS_MOST: usize = 1 << 10;

/// One logged change: its description, then what it is about.
#[derive(Default, Debug)]
pub struct Item {
    pub regions: Vec<Vec<u8>>,
}

impl Item {
    /// What it is.
    pub fn kind(&self) -> u16 {
        u16_at(self.region(0), 0)
    }
    /// One of its regions; empty if there is none.
    pub fn region(&self, index: usize) -> &[u8] {
        self.regions.get(index).map_or(&[], Vec::as_slice)
    }
    /// How many regions it has to have.
    fn wants(&self) -> usize {
        usize::from(u16_at(self.region(0), 2))
    }
}

/// A transaction that was committed.
#[derive(Default, Debug)]
pub struct Transaction {
    /// the number of the record in which it begins
    pub number: u64,
    header: Vec<u8>,
    pub items: Vec<Item>,
}

/// Transactions on their way.
#[derive(Default)]
pub struct Pending {
    list: BTreeMap<u32, Transaction>,
    bytes: usize,
}

fn refuse<T>(why: &str) -> Result<T> {
    Err(Error::new(ErrorKind::Corrupt, format!("the log has {why}")))
}

impl Transaction {
    /// Adds a region to the last item, or begins a new one.
    fn add(&mut self, bytes: &[u8]) -> Result<()> {
        if self.header.len() < HEADER {
            self.header.extend_from_slice(bytes);
            let known = self.header.len() <= HEADER
                && (self.header.len() < 4 || u32_at(&self.header, 0) == HEADER_MAGIC);
            return if known { Ok(()) } else { refuse("a transaction with a damaged header") };
        }
        if self.items.last().is_none_or(|item| item.regions.len() >= item.wants()) {
            self.items.push(Item::default());
        }
        let Some(item) = self.items.last_mut() else { return Ok(()) };
        item.regions.push(bytes.to_vec());
        let wants = item.wants();
        if bytes.len() < 4 && item.regions.len() == 1 || wants == 0 || wants > REGIONS_MOST {
            return refuse("an item of an impossible size");
        }
        Ok(())
    }

    /// Adds to the last region.
    fn go_on(&mut self, bytes: &[u8]) -> Result<()> {
        if self.header.len() < HEADER {
            return self.add(bytes);
        }
        let Some(region) = self.items.last_mut().and_then(|item| item.regions.last_mut()) else {
            return refuse("a region without a beginning");
        };
        region.extend_from_slice(bytes);
        Ok(())
    }

    fn is_whole(&self) -> bool {
        self.items.iter().all(|item| item.regions.len() == item.wants())
    }
}

impl Pending {
    /// Takes in a record; `each` gets the transactions that end in it.
    pub fn take(&mut self, record: &Record, mut each: impl FnMut(Transaction) -> Result<()>) -> Result<()> {
        let mut at = 0;
        for _ in 0..record.count {
            let head = field(&record.data, at, OPERATION);
            let (id, length, flags) = (be32_at(head, 0), be32_at(head, 4) as usize, byte_at(head, 9));
            let bytes = field(&record.data, at + OPERATION, length);
            if head.is_empty() || bytes.len() != length {
                return refuse("an operation that does not fit into its record");
            }
            at += OPERATION + length;
            if let Some(done) = self.operation(record.number, id, flags, bytes)? {
                each(done)?;
            }
        }
        Ok(())
    }

    fn operation(&mut self, number: u64, id: u32, flags: u8, bytes: &[u8]) -> Result<Option<Transaction>> {
        if flags & START != 0 {
            self.list.insert(id, Transaction { number, ..Transaction::default() });
            return Ok(None);
        }
        // Of a transaction that began before the oldest record that is needed.
        let Some(transaction) = self.list.get_mut(&id) else { return Ok(None) };
        let mut kind = flags & !END;
        if kind & CONTINUED != 0 {
            kind &= !CONTINUE;
        }
        self.bytes += bytes.len();
        if self.bytes > PENDING_MOST {
            return Err(Error::new(ErrorKind::Limit, "the log has transactions of more than 24 MiB"));
        }
        match kind {
            0 | CONTINUE if bytes.is_empty() => {}
            0 | CONTINUE => transaction.add(bytes)?,
            CONTINUED => transaction.go_on(bytes)?,
            COMMIT => {
                let done = self.list.remove(&id).unwrap_or_default();
                let size: usize = done.items.iter().flat_map(|item| &item.regions).map(Vec::len).sum();
                self.bytes = self.bytes.saturating_sub(size + done.header.len());
                return if done.is_whole() { Ok(Some(done)) } else { refuse("an item without its end") };
            }
            UNMOUNT => {}
            _ => return refuse("an operation of an unknown kind"),
        }
        Ok(None)
    }
}
