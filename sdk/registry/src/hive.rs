//! An opened hive: its base block, its cells.

use crate::base::{BASE, Base};
use crate::bytes::half;
use crate::cells::Cells;
use crate::journal::Journal;
use crate::key::Key;
use crate::log;
use crate::name::Name;
use crate::pages::{Pages, Storage};
use wherry_sdk::{Error, Result};

/// No cell, where an offset says so.
pub(crate) const NONE: u32 = u32::MAX;
/// A cell's own length, which lies before what it holds.
pub(crate) const LENGTH: u32 = 4;

/// A hive. Nothing is ever written to where it lies: edits are kept in memory until [`Hive::take`] hands them out.
pub struct Hive<S> {
    pub(crate) pages: Pages<S>,
    pub(crate) base: Base,
    pub(crate) cells: Cells,
    pub(crate) journal: Journal,
    pub(crate) state: State,
    /// The names and the place of the key that was edited last; forgotten by every other edit.
    pub(crate) recent: Option<(Vec<Name>, u32)>,
    /// FILETIME of edits.
    pub(crate) now: Option<u64>,
    /// Log entries that were applied.
    applied: usize,
}

/// What became of a hive since it was opened, or changes were taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Unchanged,
    Edited,
    /// An edit failed half-way.
    Broken,
}

impl<S: Storage> Hive<S> {
    /// Opens a hive. Where it was not closed, what its logs have (`.LOG`, or `.LOG1` and `.LOG2`, in this order) is applied in
    /// memory; if they have nothing for it, that is an error.
    pub fn open(storage: S, logs: &[Vec<u8>]) -> Result<Self> {
        let mut pages = Pages::new(storage);
        if pages.length() < BASE {
            return Err(Error::corrupt(
                0,
                format!("{} bytes are no hive: it begins with 4096", pages.length()),
            ));
        }
        let head = pages.read(0, BASE as usize)?;
        if !head.starts_with(b"regf") && !head.iter().all(|byte| *byte == 0) {
            return Err(Error::corrupt(0, "this is no hive: it does not begin with `regf`"));
        }
        let (base, applied) = match Base::read(&head).filter(|base| !base.is_dirty()) {
            Some(base) => (base, 0),
            None => log::apply(&mut pages, Base::read(&head), logs)?,
        };
        // Pages of a log may lie behind the end of the file, but not more than it has.
        let logged: u64 = if applied > 0 { logs.iter().map(|log| log.len() as u64).sum() } else { 0 };
        base.check(pages.length().saturating_add(logged))?;
        let (cells, journal) = (Cells::default(), Journal::default());
        Ok(Self { pages, base, cells, journal, state: State::Unchanged, recent: None, now: None, applied })
    }

    /// Minor version: 1 of NT 3.1 and 3.5, 2 of NT 3.51, 3 of NT 4.0 and 2000 and of small hives of later ones, 5 of XP and later.
    pub fn minor(&self) -> u32 {
        self.base.minor
    }

    /// How many entries of its logs were applied; 0 of a hive that was closed.
    pub fn applied(&self) -> usize {
        self.applied
    }

    /// How many blocks of 64 KiB were read from where the hive lies.
    pub fn reads(&self) -> u64 {
        self.pages.reads()
    }

    /// The key that all others are in.
    pub fn root(&mut self) -> Result<Key> {
        self.key(self.base.root)
    }

    /// Bytes before what a cell holds. Windows NT 3.1 and 3.5 have the place of the cell before it there too ("Very old versions
    /// of Windows").
    fn lead(&self) -> u32 {
        if self.base.minor < 2 { 2 * LENGTH } else { LENGTH }
    }

    /// What an allocated cell holds, but for its length.
    pub(crate) fn cell(&mut self, at: u32) -> Result<Vec<u8>> {
        let length = self.cell_length(at)?;
        self.pages.bins(at + self.lead(), length as usize)
    }

    /// The first `most` bytes of it.
    pub(crate) fn cell_head(&mut self, at: u32, most: usize) -> Result<Vec<u8>> {
        let length = self.cell_length(at)? as usize;
        self.pages.bins(at + self.lead(), length.min(most))
    }

    pub(crate) fn cell_length(&mut self, at: u32) -> Result<u32> {
        let place = |what: &str| Error::corrupt(BASE + u64::from(at), format!("a cell at {at} {what}"));
        if !at.is_multiple_of(8) || at.checked_add(LENGTH).is_none_or(|end| end > self.base.bins) {
            return Err(place("lies outside of the bins"));
        }
        let length = self.pages.word(at)? as i32;
        if length >= 0 {
            return Err(place("is not allocated"));
        }
        let length = length.unsigned_abs();
        if length < 8 || at.checked_add(length).is_none_or(|end| end > self.base.bins) {
            return Err(place(&format!("of {length} bytes leaves the bins")));
        }
        Ok(length - self.lead())
    }

    /// A cell that begins with a record's two letters.
    pub(crate) fn record(&mut self, at: u32, letters: &[u8; 2]) -> Result<Vec<u8>> {
        let bytes = self.cell(at)?;
        if !bytes.starts_with(letters) {
            let (is, name) = (half(&bytes, 0), String::from_utf8_lossy(letters));
            let message = format!("the cell at {at} should be `{name}` and begins with 0x{is:04x}");
            return Err(Error::corrupt(BASE + u64::from(at), message));
        }
        Ok(bytes)
    }
}
