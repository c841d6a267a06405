//! A key with all below it, removed.

use crate::base::BASE;
use crate::hive::{Hive, NONE};
use crate::journal::Content;
use crate::key::{DEPTH_MOST, Key};
use crate::name::Name;
use crate::pages::Storage;
use std::collections::BTreeSet;
use wherry_sdk::{Error, Result};

/// What a removal takes away.
#[derive(Default)]
struct Doomed {
    cells: BTreeSet<u32>,
    /// Of each key one reference.
    security: Vec<u32>,
}

impl Doomed {
    /// Notes a cell; one that is in use twice would be freed twice.
    fn add(&mut self, at: u32) -> Result<()> {
        match self.cells.insert(at) {
            true => Ok(()),
            false => {
                let message = format!("the cell at {at} is in use twice, and cannot be freed");
                Err(Error::corrupt(BASE + u64::from(at), message))
            }
        }
    }
}

impl<S: Storage> Hive<S> {
    /// Removes a key of `parent`, whose names are `path`. All is looked at before anything is changed.
    pub(crate) fn drop_tree(&mut self, parent: &Key, key: Key, path: Vec<Name>) -> Result<()> {
        let mut doomed = Doomed::default();
        let mut pending = vec![(path, key.clone())];
        let mut gone = Vec::new();
        while let Some((mut path, key)) = pending.pop() {
            if path.len() > DEPTH_MOST {
                return Err(Error::corrupt(BASE + u64::from(key.at), "keys deeper than Windows allows"));
            }
            path.push(key.name.clone());
            self.doom(&key, &mut doomed)?;
            for child in self.subkeys(&key)? {
                pending.push((path.clone(), child));
            }
            gone.push((path, key));
        }
        if doomed.cells.contains(&parent.at) {
            return Err(Error::corrupt(BASE + u64::from(parent.at), "a key lies in itself"));
        }
        for (path, key) in &gone {
            self.note_removal(path, key)?;
        }
        self.unlist(parent, &key)?;
        doomed.security.into_iter().try_for_each(|at| self.drop_security(at))?;
        doomed.cells.into_iter().try_for_each(|at| self.free(at))
    }

    /// Notes every cell of one key.
    fn doom(&mut self, key: &Key, doomed: &mut Doomed) -> Result<()> {
        doomed.add(key.at)?;
        doomed.security.push(key.security);
        if key.class.0 != NONE {
            doomed.add(key.class.0)?;
        }
        if key.values > 0 {
            doomed.add(key.value_list)?;
        }
        for value in self.values(key)? {
            doomed.add(value.at)?;
            self.data_cells(&value)?.into_iter().try_for_each(|at| doomed.add(at))?;
        }
        if key.subkeys > 0 {
            doomed.add(key.list)?;
            self.leaves(key.list)?.into_iter().flatten().try_for_each(|at| doomed.add(at))?;
        }
        Ok(())
    }

    fn note_removal(&mut self, path: &[Name], key: &Key) -> Result<()> {
        self.journal.key(path, true, false);
        let class = self.class(key)?;
        if !class.is_empty() {
            self.journal.class(path, class, Vec::new());
        }
        for value in self.values(key)? {
            let before = Content::new(value.kind, &self.data(&value)?);
            self.journal.value(path, value.name, Some(before), None);
        }
        Ok(())
    }
}
