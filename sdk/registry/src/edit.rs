//! Edits: what is asked for, checked before anything is changed, and noted for people.

use crate::hive::{Hive, State};
use crate::journal::Content;
use crate::key::{DEPTH_MOST, Key, NAME_MOST};
use crate::name::Name;
use crate::pages::Storage;
use crate::value::{DATA_MOST, Kind};
use wherry_sdk::{Error, ErrorKind, Result};

/// Units of a value's name (Microsoft, "Registry element size limits").
const VALUE_NAME_MOST: usize = 16_383;
/// Bytes of a value before version 1.4, which has no big data (the same).
const OLD_DATA_MOST: u32 = 1 << 20;

fn invalid<T>(message: String) -> Result<T> {
    Err(Error::new(ErrorKind::InvalidInput, message))
}

/// A path's names.
fn names(path: &str) -> Result<Vec<Name>> {
    let names: Vec<Name> = path.split('\\').filter(|part| !part.is_empty()).map(Name::from).collect();
    if names.len() > DEPTH_MOST {
        return invalid(format!("a key {} levels deep: {DEPTH_MOST} are possible", names.len()));
    }
    match names.iter().find(|name| name.units().len() >= NAME_MOST / 2) {
        Some(name) => invalid(format!("`{name}` is longer than the 255 letters of a key's name")),
        None => Ok(names),
    }
}

/// How far a path leads: the names as they are stored, the last key that is there, and the names that are missing.
struct Found {
    path: Vec<Name>,
    key: Key,
    missing: Vec<Name>,
}

impl<S: Storage> Hive<S> {
    /// The time of edits from now on, as FILETIME. Without it new keys have the hive's, and all others keep theirs.
    pub fn set_time(&mut self, filetime: u64) {
        self.now = Some(filetime);
    }

    /// Makes a key, and every one that is missing on the way; each has its parent's security. `\` divides names.
    ///
    /// # Errors
    /// A name that cannot be, a hive that is damaged where this leads, or that is full. After an error half-way the hive takes no
    /// further edits.
    pub fn make(&mut self, path: &str) -> Result<Key> {
        let names = names(path)?;
        self.edit(|hive| Ok(hive.make_all(names)?.1))
    }

    /// Sets a value of a key, and makes the key. Nothing is changed where all is the same already.
    ///
    /// # Errors
    /// As `make`; data of more than 64 MiB, or of more than 1 MiB before version 1.4.
    pub fn set(&mut self, path: &str, name: &str, kind: Kind, data: &[u8]) -> Result<()> {
        let (names, name) = (names(path)?, Name::from(name));
        let most = if self.base.minor < 4 { OLD_DATA_MOST } else { DATA_MOST };
        if data.len() > most as usize {
            let message = format!("`{path}\\{name}`: {} bytes, more than the {most} of a value", data.len());
            return Err(Error::new(ErrorKind::Limit, message));
        }
        if name.units().len() > VALUE_NAME_MOST {
            return invalid(format!(
                "a value's name of {} letters: {VALUE_NAME_MOST} are possible",
                name.units().len()
            ));
        }
        self.edit(|hive| hive.set_value(names, name, kind, data))
    }

    /// Removes a value of a key; false if it is not there.
    ///
    /// # Errors
    /// As `make`.
    pub fn unset(&mut self, path: &str, name: &str) -> Result<bool> {
        let (names, name) = (names(path)?, Name::from(name));
        self.edit(|hive| {
            let found = hive.locate(names)?;
            if !found.missing.is_empty() {
                return Ok(false);
            }
            let Some(value) = hive.value_named(&found.key, &name)? else { return Ok(false) };
            let before = Content::new(value.kind, &hive.data(&value)?);
            hive.drop_value(&found.key, &value)?;
            hive.journal.value(&found.path, value.name, Some(before), None);
            Ok(true)
        })
    }

    /// Removes a key and all below it; false if it is not there.
    ///
    /// # Errors
    /// As `make`; the root cannot be removed.
    pub fn remove(&mut self, path: &str) -> Result<bool> {
        let mut names = names(path)?;
        let Some(last) = names.pop() else { return invalid("the root of a hive cannot be removed".into()) };
        self.edit(|hive| {
            let found = hive.locate(names)?;
            if !found.missing.is_empty() {
                return Ok(false);
            }
            let Some(key) = hive.subkey(&found.key, &last)? else { return Ok(false) };
            hive.drop_tree(&found.key, key, found.path)?;
            Ok(true)
        })
    }

    /// Gives a key its class, UTF-16LE as a rule, and makes the key. Windows' passwords and NT 4's `Lsa` keys use it.
    ///
    /// # Errors
    /// As `make`; 65,535 bytes are possible.
    pub fn set_class(&mut self, path: &str, class: &[u8]) -> Result<()> {
        let names = names(path)?;
        let Ok(length) = u16::try_from(class.len()) else {
            return invalid(format!("a class of {} bytes: 65,535 are possible", class.len()));
        };
        self.edit(|hive| {
            let (path, key) = hive.make_all(names)?;
            let before = hive.class(&key)?;
            if before != class {
                hive.put_class(&key, class, length)?;
                hive.journal.class(&path, before, class.to_vec());
            }
            Ok(())
        })
    }

    /// Runs an edit. One that fails after it has written something leaves a hive that must not be taken.
    fn edit<T>(&mut self, run: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.check_whole()?;
        if self.base.minor < 2 {
            return Err(Error::unsupported(
                "regf 1.1 of Windows NT 3.1 is not edited: its cells are other ones",
            ));
        }
        let writes = self.pages.writes();
        let outcome = run(self);
        if self.pages.writes() != writes {
            self.state = if outcome.is_ok() { State::Edited } else { State::Broken };
        }
        outcome
    }

    pub(crate) fn check_whole(&self) -> Result<()> {
        match self.state {
            State::Broken => Err(Error::corrupt(0, "an edit of this hive failed half-way: open it again")),
            _ => Ok(()),
        }
    }

    fn locate(&mut self, names: Vec<Name>) -> Result<Found> {
        // Edits of one key often follow each other.
        if let Some((path, at)) = self.recent.take().filter(|(path, _)| *path == names) {
            return Ok(Found { path, key: self.key(at)?, missing: Vec::new() });
        }
        let mut found = Found { path: Vec::new(), key: self.root()?, missing: Vec::new() };
        let mut names = names.into_iter();
        while let Some(name) = names.next() {
            match self.subkey(&found.key, &name)? {
                Some(key) => {
                    found.path.push(key.name.clone());
                    found.key = key;
                }
                None => {
                    found.missing = std::iter::once(name).chain(names).collect();
                    break;
                }
            }
        }
        Ok(found)
    }

    /// The key of these names, which is made if it is not there, and its names as they are stored.
    fn make_all(&mut self, names: Vec<Name>) -> Result<(Vec<Name>, Key)> {
        let Found { mut path, mut key, missing } = self.locate(names)?;
        for name in missing {
            key = self.make_key(&key, &name)?;
            path.push(name);
            self.journal.key(&path, false, true);
        }
        self.recent = Some((path.clone(), key.at));
        Ok((path, key))
    }

    fn set_value(&mut self, names: Vec<Name>, name: Name, kind: Kind, data: &[u8]) -> Result<()> {
        let (path, key) = self.make_all(names)?;
        let there = self.value_named(&key, &name)?;
        let before = match &there {
            None => None,
            Some(value) => {
                let before = self.data(value)?;
                if value.kind == kind && before == data {
                    return Ok(());
                }
                Some(Content::new(value.kind, &before))
            }
        };
        let name = there.as_ref().map_or(name, |value| value.name.clone());
        self.put_value(&key, &name, there, kind, data)?;
        let after = Content::new(kind, data);
        self.journal.value(&path, name, before, Some(after));
        Ok(())
    }
}
