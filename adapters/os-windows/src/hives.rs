//! The registry, as it lies in files.

use crate::files::is_file;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use wherry_registry::{Hive, Kind, Storage, data};
use wherry_sdk::{Error, READ_MOST, Result, Tree, now_unix};

/// The most of a log that is read: Windows keeps them far below.
const LOG_MOST: u64 = 64 << 20;
/// Seconds from 1601-01-01, where FILETIME begins, to 1970-01-01.
const EPOCH: u64 = 11_644_473_600;

/// A hive of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Store {
    /// `HKEY_LOCAL_MACHINE\SYSTEM`.
    System,
    /// `HKEY_LOCAL_MACHINE\SOFTWARE`.
    Software,
    /// `HKEY_LOCAL_MACHINE\DRIVERS`, of Windows 8 and later.
    Drivers,
}

impl Store {
    /// Its name below `HKEY_LOCAL_MACHINE`, and its file's.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "SYSTEM",
            Self::Software => "SOFTWARE",
            Self::Drivers => "DRIVERS",
        }
    }
}

/// A file of the guest under a hive.
pub struct GuestFile<'a> {
    guest: &'a dyn Tree,
    path: String,
    size: u64,
}

impl<'a> GuestFile<'a> {
    /// Opens it for reading.
    pub fn open(guest: &'a dyn Tree, path: String) -> Result<Self> {
        let size = guest.stat(&guest.canonical(&path)?)?.size;
        Ok(Self { guest, path, size })
    }
}

impl Storage for GuestFile<'_> {
    fn size(&self) -> u64 {
        self.size
    }
    fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        let bytes = self.guest.read(&self.path, offset, length.min(READ_MOST))?;
        if bytes.len() < length as usize {
            return Err(Error::corrupt(offset, format!("{} ends here", self.path)));
        }
        Ok(bytes)
    }
}

/// A hive under its file's path.
pub type Open<'a> = Hive<GuestFile<'a>>;

/// Opens a hive with the logs beside it.
pub fn open<'a>(guest: &'a dyn Tree, path: &str) -> Result<Open<'a>> {
    let mut logs = Vec::new();
    for end in [".LOG1", ".LOG2", ".LOG"] {
        let log = format!("{path}{end}");
        if is_file(guest, &log) {
            logs.push(guest.read_all(&log, LOG_MOST)?);
        }
    }
    let file = GuestFile::open(guest, path.to_owned())?;
    let mut hive = Hive::open(file, &logs).map_err(|e| e.within(path))?;
    hive.set_time(filetime());
    Ok(hive)
}

/// The time of the run: 100 ns since 1601-01-01.
pub fn filetime() -> u64 {
    (now_unix() + EPOCH) * 10_000_000
}

/// The hives of one Windows, opened as they are needed.
pub struct Hives<'a> {
    guest: &'a dyn Tree,
    folder: String,
    open: BTreeMap<Store, Open<'a>>,
}

impl<'a> Hives<'a> {
    /// Of the Windows in this directory.
    pub fn new(guest: &'a dyn Tree, root: &str) -> Self {
        Self { guest, folder: format!("{root}/System32/config"), open: BTreeMap::new() }
    }

    /// Where a hive's file is.
    pub fn path(&self, store: Store) -> String {
        format!("{}/{}", self.folder, store.name())
    }

    /// Whether this Windows has it.
    pub fn exists(&self, store: Store) -> bool {
        is_file(self.guest, &self.path(store))
    }

    /// The hive, opened.
    pub fn get(&mut self, store: Store) -> Result<&mut Open<'a>> {
        let path = self.path(store);
        match self.open.entry(store) {
            Entry::Occupied(there) => Ok(there.into_mut()),
            Entry::Vacant(free) => Ok(free.insert(open(self.guest, &path)?)),
        }
    }

    /// The bytes of a value and what they mean; none where it or its key is missing.
    pub fn value(&mut self, store: Store, path: &str, name: &str) -> Result<Option<(Kind, Vec<u8>)>> {
        value(self.get(store)?, path, name)
    }

    /// A value that is text, without its end.
    pub fn text(&mut self, store: Store, path: &str, name: &str) -> Result<Option<String>> {
        Ok(self.value(store, path, name)?.map(|(_, bytes)| data::text(&bytes)))
    }

    /// A value that is several texts.
    pub fn texts(&mut self, store: Store, path: &str, name: &str) -> Result<Vec<String>> {
        Ok(self.value(store, path, name)?.map(|(_, bytes)| data::texts(&bytes)).unwrap_or_default())
    }

    /// A value that is a number.
    pub fn number(&mut self, store: Store, path: &str, name: &str) -> Result<Option<u64>> {
        Ok(self.value(store, path, name)?.and_then(|(_, bytes)| data::number(&bytes)))
    }

    /// Whether a key is there.
    pub fn has(&mut self, store: Store, path: &str) -> Result<bool> {
        let hive = self.get(store)?;
        let root = hive.root()?;
        Ok(hive.find(&root, path)?.is_some())
    }

    /// Names of the keys in a key; none where it is missing.
    pub fn keys(&mut self, store: Store, path: &str) -> Result<Vec<String>> {
        let hive = self.get(store)?;
        let root = hive.root()?;
        let Some(key) = hive.find(&root, path)? else { return Ok(Vec::new()) };
        Ok(hive.subkeys(&key)?.into_iter().map(|key| key.name.to_string()).collect())
    }

    /// Names of the values in a key; none where it is missing.
    pub fn values(&mut self, store: Store, path: &str) -> Result<Vec<String>> {
        let hive = self.get(store)?;
        let root = hive.root()?;
        let Some(key) = hive.find(&root, path)? else { return Ok(Vec::new()) };
        Ok(hive.values(&key)?.into_iter().map(|value| value.name.to_string()).collect())
    }

    /// `ControlSet001` and the like, all of them.
    pub fn control_sets(&mut self) -> Result<Vec<String>> {
        let digits = |name: &str| {
            let end =
                name.get(..10).filter(|head| head.eq_ignore_ascii_case("ControlSet")).map(|_| &name[10..]);
            end.is_some_and(|end| end.len() == 3 && end.bytes().all(|c| c.is_ascii_digit()))
        };
        Ok(self.keys(Store::System, "")?.into_iter().filter(|name| digits(name)).collect())
    }

    /// The one that the loader uses at the next start, or any where `Select` names none that is there (Microsoft KB 102984).
    pub fn current(&mut self) -> Result<String> {
        let sets = self.control_sets()?;
        for name in ["Default", "Current", "LastKnownGood"] {
            let number = self.number(Store::System, "Select", name)?.unwrap_or(0);
            let named = format!("ControlSet{number:03}");
            if let Some(set) = sets.iter().find(|set| set.eq_ignore_ascii_case(&named)) {
                return Ok(set.clone());
            }
        }
        let path = self.path(Store::System);
        sets.into_iter().next().ok_or_else(|| Error::corrupt(0, format!("{path} has no control set")))
    }
}

/// The bytes of a value and what they mean; none where it or its key is missing.
pub fn value<S: Storage>(hive: &mut Hive<S>, path: &str, name: &str) -> Result<Option<(Kind, Vec<u8>)>> {
    let root = hive.root()?;
    let Some(key) = hive.find(&root, path)? else { return Ok(None) };
    let Some(value) = hive.value(&key, name)? else { return Ok(None) };
    Ok(Some((value.kind, hive.data(&value)?)))
}
