//! What edits come to: ranges of the file, and text for people.

use crate::base::{BASE, checksum};
use crate::hive::{Hive, State};
use crate::pages::Storage;
use crate::reg;
use wherry_sdk::bytes::put;
use wherry_sdk::{Change, Patch, Result};

/// What has to be written to where the hive lies.
#[derive(Clone, Debug, PartialEq)]
pub struct Taken {
    /// Ranges that differ, in order; the last one may make the file longer, without a gap.
    pub patches: Vec<Patch>,
    /// Bytes that the file has afterwards.
    pub length: u64,
    /// What that means: the keys and values that changed, before and after, as text in the manner of `.reg` files.
    pub change: Change,
}

impl<S: Storage> Hive<S> {
    /// What edits changed since this was last called, or since the hive was opened; nothing if they changed nothing.
    /// `prefix` names the root in the text, such as `HKEY_LOCAL_MACHINE\SYSTEM`. With it comes what the logs had, and the
    /// hive counts as closed.
    ///
    /// # Errors
    /// An edit failed half-way: the hive has to be opened again.
    pub fn take(&mut self, prefix: &str) -> Result<Taken> {
        self.check_whole()?;
        if self.state == State::Unchanged {
            let change = Change { before: String::new(), after: String::new() };
            return Ok(Taken { patches: Vec::new(), length: self.pages.length(), change });
        }
        self.seal()?;
        let length = self.pages.length().max(BASE + u64::from(self.base.bins));
        let change = reg::change(&self.journal.take(), prefix);
        self.state = State::Unchanged;
        Ok(Taken { patches: self.pages.take(length)?, length, change })
    }

    /// Keeps no text of edits from now on: a hive of many MiB that is being made is done in half the time.
    pub fn quiet(&mut self) {
        self.journal.quiet = true;
    }

    /// The whole file as it is with all edits.
    ///
    /// # Errors
    /// As `take`, which this does first.
    pub fn bytes(&mut self) -> Result<Vec<u8>> {
        let length = self.take("")?.length;
        self.pages.read(0, length as usize)
    }

    /// The base block of what the hive is now: closed, one write later.
    fn seal(&mut self) -> Result<()> {
        self.base.primary = self.base.primary.wrapping_add(1);
        self.base.secondary = self.base.primary;
        let mut block = self.pages.read(0, 512)?;
        put(&mut block, 4, &self.base.primary.to_le_bytes());
        put(&mut block, 8, &self.base.secondary.to_le_bytes());
        if let Some(now) = self.now {
            self.base.written = now;
            // "Hive bin", note 3: a copy in the first bin's header.
            self.pages.put(20, &now.to_le_bytes())?;
        }
        put(&mut block, 12, &self.base.written.to_le_bytes());
        put(&mut block, 28, &[0; 4]);
        put(&mut block, 40, &self.base.bins.to_le_bytes());
        let sum = checksum(&block);
        put(&mut block, 508, &sum.to_le_bytes());
        self.pages.write(0, &block)
    }
}
