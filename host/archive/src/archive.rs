//! An opened archive.

use crate::config::{Config, Settings};
use crate::keys::{self, Keys, Secret, Slot};
use crate::seal::random;
use crate::store::Store;
use crate::{Error, ErrorKind, Result};
use std::sync::Arc;

/// An archive that can be read and written.
#[derive(Clone)]
pub struct Archive {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) keys: Keys,
    master: Option<[u8; 32]>,
    /// What it is.
    pub config: Config,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Archive {
    /// Makes an archive, encrypted if there is a secret. Killed half-way it is none, and can be made again.
    pub fn create(
        store: Arc<dyn Store>,
        settings: &Settings,
        secret: Option<&Secret>,
        now: u64,
    ) -> Result<Self> {
        settings.check()?;
        let master = secret.map(|_| random::<32>()).transpose()?;
        let id = hex(&random::<16>()?);
        let config = Config {
            wherry_archive: 1,
            key_check: master.map(|master| keys::key_check(&master, &id)),
            id,
            created: now,
            chunk_size: settings.chunk_size,
            pack_size: settings.pack_size,
            encryption: master.map(|_| "aes-256-gcm".into()),
            requires: Vec::new(),
        };
        if Config::read(store.as_ref()).is_ok() {
            return Err(Error::new(
                ErrorKind::Exists,
                format!("there is an archive at {} already", store.name()),
            ));
        }
        if let Some((master, secret)) = master.as_ref().zip(secret) {
            keys::add(store.as_ref(), master, secret, "first", now)?;
        }
        config.write(store.as_ref())?;
        Ok(Self { store, keys: Keys::new(master), master, config })
    }

    /// Opens an archive; `secret` is needed if it is encrypted.
    pub fn open(store: Arc<dyn Store>, secret: Option<&Secret>) -> Result<Self> {
        let config = Config::read(store.as_ref())?;
        let master = match (&config.encryption, secret) {
            (None, _) => None,
            (Some(_), Some(secret)) => Some(keys::unlock(store.as_ref(), secret, |key| {
                config.key_check.as_deref() == Some(&keys::key_check(key, &config.id))
            })?),
            (Some(_), None) => {
                let what = format!(
                    "the archive at {} is encrypted: a password or a key file is needed",
                    store.name()
                );
                return Err(Error::new(ErrorKind::Key, what));
            }
        };
        Ok(Self { store, keys: Keys::new(master), master, config })
    }

    /// For people: where it is.
    pub fn name(&self) -> String {
        self.store.name()
    }

    /// Every key slot.
    pub fn slots(&self) -> Result<Vec<Slot>> {
        keys::slots(self.store.as_ref())
    }

    /// Adds a key slot.
    pub fn add_slot(&self, secret: &Secret, label: &str, now: u64) -> Result<Slot> {
        let Some(master) = &self.master else {
            return Err(Error::new(
                ErrorKind::Key,
                format!("the archive at {} is not encrypted", self.name()),
            ));
        };
        keys::add(self.store.as_ref(), master, secret, label, now)
    }

    /// Removes a key slot, unless it is the last one.
    pub fn remove_slot(&self, id: &str) -> Result<()> {
        keys::remove(self.store.as_ref(), id)
    }
}
