//! What every part of the adaptation needs: the guest, the target, its registry, and the list of what a person has to know.

use crate::files::is_directory;
use crate::hives::{Hives, Store};
use crate::package::Package;
use crate::packages::{self, Lent, Mounted};
use crate::place::Place;
use crate::system::System;
use std::collections::BTreeSet;
use std::rc::Rc;
use wherry_registry::{Kind, data};
use wherry_sdk::source::Adaptation;
use wherry_sdk::{DeviceProfile, Fact, Result, Severity, Tree, concern, find};

/// One adaptation under way.
pub struct Work<'a> {
    /// The guest's files.
    pub guest: &'a dyn Tree,
    /// What the guest will find.
    pub profile: &'a DeviceProfile,
    /// The operator's options.
    pub options: &'a [Fact],
    /// Where Windows is.
    pub place: Place,
    /// What it is.
    pub system: System,
    /// Its registry.
    pub hives: Hives<'a>,
    /// Concerns and notes so far.
    pub result: Adaptation,
    /// Where the operator's drivers are.
    supplies: Vec<Mounted>,
    /// Their files, once they have been looked for.
    lent: Option<Rc<Vec<Lent>>>,
    /// The packages there, once they have been looked for.
    packages: Option<Rc<Vec<Package>>>,
    /// Hives with edits that are not in the guest yet.
    pending: BTreeSet<Store>,
}

impl<'a> Work<'a> {
    /// For a guest whose volumes are mounted.
    pub fn new(
        guest: &'a dyn Tree,
        profile: &'a DeviceProfile,
        options: &'a [Fact],
        place: Place,
    ) -> Result<Self> {
        let mut hives = Hives::new(guest, &place.root);
        let system = System::read(&mut hives)?;
        let supplies = packages::mount(guest);
        let result = Adaptation { concerns: Vec::new(), notes: Vec::new() };
        Ok(Self {
            guest,
            profile,
            options,
            place,
            system,
            hives,
            result,
            supplies,
            lent: None,
            packages: None,
            pending: BTreeSet::new(),
        })
    }

    /// The driver packages that the operator lends.
    pub fn packages(&mut self) -> Result<Rc<Vec<Package>>> {
        if let Some(packages) = &self.packages {
            return Ok(packages.clone());
        }
        let lent = self.lent()?;
        let packages = Rc::new(packages::find(self, &lent)?);
        self.packages = Some(packages.clone());
        Ok(packages)
    }

    /// What the operator lends.
    pub fn lent(&mut self) -> Result<Rc<Vec<Lent>>> {
        if let Some(lent) = &self.lent {
            return Ok(lent.clone());
        }
        let lent = Rc::new(packages::list(self.guest, &self.supplies)?);
        self.lent = Some(lent.clone());
        Ok(lent)
    }

    /// What the operator said.
    pub fn option(&self, key: &str) -> Option<&'a str> {
        find(self.options, key)
    }

    /// Adds a concern, once.
    pub fn concern(&mut self, severity: Severity, id: &str, message: String, remedy: &str) {
        let new = concern(severity, id, message, Some(remedy));
        if !self.result.concerns.contains(&new) {
            self.result.concerns.push(new);
        }
    }

    /// The migration must not start.
    pub fn block(&mut self, id: &str, message: String, remedy: &str) {
        self.concern(Severity::Blocking, id, message, remedy);
    }

    /// It works, but differently from what one would expect.
    pub fn warn(&mut self, id: &str, message: String, remedy: &str) {
        self.concern(Severity::Warning, id, message, remedy);
    }

    /// Something to know or do afterwards.
    pub fn note(&mut self, note: String) {
        if !self.result.notes.contains(&note) {
            self.result.notes.push(note);
        }
    }

    /// A value, in the hive in memory; [`Work::commit`] brings it into the guest.
    pub fn set(&mut self, store: Store, path: &str, name: &str, kind: Kind, bytes: &[u8]) -> Result<()> {
        self.pending.insert(store);
        self.hives.get(store)?.set(path, name, kind, bytes)
    }

    /// A number of 32 bits.
    pub fn set_number(&mut self, store: Store, path: &str, name: &str, number: u32) -> Result<()> {
        self.set(store, path, name, Kind::DWORD, &data::dword(number))
    }

    /// A text.
    pub fn set_text(&mut self, store: Store, path: &str, name: &str, text: &str) -> Result<()> {
        self.set(store, path, name, Kind::SZ, &data::sz(text))
    }

    /// A key, with those above it.
    pub fn make(&mut self, store: Store, path: &str) -> Result<()> {
        self.pending.insert(store);
        self.hives.get(store)?.make(path).map(drop)
    }

    /// Removes a value, if it is there.
    pub fn unset(&mut self, store: Store, path: &str, name: &str) -> Result<()> {
        self.pending.insert(store);
        self.hives.get(store)?.unset(path, name)?;
        Ok(())
    }

    /// Removes a key with all that is below it, if it is there.
    pub fn remove(&mut self, store: Store, path: &str) -> Result<()> {
        self.pending.insert(store);
        self.hives.get(store)?.remove(path)?;
        Ok(())
    }

    /// The same in every control set.
    pub fn in_sets(&mut self, mut edit: impl FnMut(&mut Self, &str) -> Result<()>) -> Result<()> {
        for set in self.system.sets.clone() {
            edit(self, &set)?;
        }
        Ok(())
    }

    /// Brings what was set since the last call into the guest, under one reason. Nothing is written where nothing differs.
    pub fn commit(&mut self, reason: &str) -> Result<()> {
        for store in std::mem::take(&mut self.pending) {
            let path = self.hives.path(store);
            let taken = self.hives.get(store)?.take(&format!(r"HKEY_LOCAL_MACHINE\{}", store.name()))?;
            if taken.patches.is_empty() {
                continue;
            }
            self.guest.modify(&path, &taken.patches, Some(&taken.change), reason)?;
        }
        Ok(())
    }

    /// Makes a directory and those above it where they are missing.
    pub fn ensure_directory(&self, path: &str, reason: &str) -> Result<()> {
        let ends = path.match_indices('/').map(|(at, _)| at).skip(1).chain([path.len()]);
        for end in ends {
            if !is_directory(self.guest, &path[..end]) {
                self.guest.make_directory(&path[..end], None, reason)?;
            }
        }
        Ok(())
    }

    /// Writes a file where it is not there with this content already.
    pub fn write(&self, path: &str, bytes: &[u8], reason: &str) -> Result<()> {
        let there = self.guest.read_all(path, bytes.len() as u64 + 1).ok();
        if there.as_deref() == Some(bytes) {
            return Ok(());
        }
        if let Some((folder, _)) = path.rsplit_once('/').filter(|(folder, _)| !folder.is_empty()) {
            self.ensure_directory(folder, reason)?;
        }
        self.guest.write(path, bytes, None, reason)
    }
}
