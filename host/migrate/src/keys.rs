//! Keys that the operator lends for encrypted devices: `luks:UUID=FILE`, or `luks:UUID`, which asks for the passphrase.

use crate::password::ask;
use crate::{Error, Result};
use block::{Disk, Encrypted, Key, Sealed};
use std::cell::OnceCell;
use std::io::Read;
use std::sync::Arc;

/// cryptsetup reads no more of a key file ("--keyfile-size": 8 MiB).
const FILE_MOST: u64 = 8 << 20;

/// What opens encrypted devices.
#[derive(Default)]
pub struct Keys(Vec<Lent>);

struct Lent {
    /// The device's id, as volume adapters give it.
    device: String,
    passphrase: Passphrase,
    /// What it opened: deriving takes seconds on purpose, and disks are looked at again when they were made longer.
    key: OnceCell<Key>,
}

/// Overwritten when it is dropped, and never shown.
struct Passphrase(Vec<u8>);

impl Drop for Passphrase {
    fn drop(&mut self) {
        self.0.fill(0);
        std::hint::black_box(&self.0);
    }
}

impl Keys {
    /// Reads the files that were named, and asks for passphrases where none was.
    pub fn lend(words: &[String]) -> Result<Self> {
        words.iter().map(|word| lent(word)).collect::<Result<_>>().map(Self)
    }

    /// A device that a key was lent for and that is not among these, which are all that are encrypted.
    pub fn without_device(&self, devices: &[String]) -> Result<()> {
        let Some(lent) = self.0.iter().find(|lent| !devices.contains(&lent.device)) else { return Ok(()) };
        let there = if devices.is_empty() { "none is".into() } else { devices.join(", ") };
        Err(Error::usage(format!("--key {}: no such device is encrypted here; {there}", lent.device)))
    }

    /// The plain text of an encrypted device whose header is on `head` and whose bytes are `under`; none if nobody lent a key for it.
    pub fn open(
        &self,
        device: &str,
        sealed: &Sealed,
        head: &dyn Disk,
        under: Arc<dyn Disk>,
    ) -> Result<Option<Encrypted>> {
        let mut lent = self.0.iter().filter(|lent| lent.device == device).peekable();
        if lent.peek().is_none() {
            return Ok(None);
        }
        let told = |e: block::Error| Error::failed(format!("--key {device}: {e}"));
        for Lent { passphrase, key, .. } in lent {
            if let Some(key) = key.get() {
                return Ok(Some(sealed.open(key, under).map_err(told)?));
            }
            let line = passphrase.0.strip_suffix(b"\n");
            // A passphrase that was written into a file by a shell has the end of its line, which is no part of it.
            for passphrase in [Some(&passphrase.0[..]), line].into_iter().flatten() {
                if let Some(found) = sealed.unlock(head, passphrase).map_err(told)? {
                    return Ok(Some(sealed.open(key.get_or_init(|| found), under).map_err(told)?));
                }
            }
        }
        Err(Error::failed(format!("--key {device}: it opens none of the device's key slots")))
    }
}

fn lent(word: &str) -> Result<Lent> {
    let (device, file) = word.split_once('=').map_or((word, None), |(device, file)| (device, Some(file)));
    if !device.starts_with("luks:") {
        return Err(Error::usage(format!(
            "`--key {word}` is neither luks:UUID=FILE nor luks:UUID; inspect shows the devices"
        )));
    }
    let passphrase = match file {
        Some(path) => read(path).map_err(|e| Error::failed(format!("the key of {device}: {path}: {e}")))?,
        None => ask(device, false)?.map(String::into_bytes).ok_or_else(|| {
            Error::usage(format!("nobody can be asked for the passphrase of {device}: say {device}=FILE"))
        })?,
    };
    Ok(Lent { device: device.into(), passphrase: Passphrase(passphrase), key: OnceCell::new() })
}

fn read(path: &str) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(FILE_MOST + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 {
        0 => Err(std::io::Error::other("it is empty")),
        length if length > FILE_MOST => Err(std::io::Error::other("it is too long for a key")),
        _ => Ok(bytes),
    }
}
