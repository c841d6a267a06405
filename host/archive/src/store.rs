//! Where an archive lies: immutable objects under plain names. An object is written once, whole, and only if there is none
//! of that name; so two writers cannot lose each other's work, and nothing needs a lock.

use crate::Result;
use std::time::SystemTime;

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its name, such as `packs/3f/3f09...`.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// When it was written, by the store's clock.
    pub modified: SystemTime,
}

/// An opened object.
pub trait Reader: Send + Sync {
    /// Bytes.
    fn length(&self) -> u64;
    /// Fills `buffer` from `offset`; an object that ends before is an error of the kind `Corrupt`.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()>;
}

/// A directory, a bucket. Names are ASCII letters, digits, `-`, `.` and `/`, without empty or dotted parts. Several threads
/// and several programs may use one at the same time.
pub trait Store: Send + Sync {
    /// For people: the directory or the address, without secrets.
    fn name(&self) -> String;
    /// Writes an object whole, durably; false if there is one of that name already, which stays as it is.
    fn put_new(&self, key: &str, bytes: &[u8]) -> Result<bool>;
    /// Opens an object; an error of the kind `Missing` if there is none.
    fn open(&self, key: &str) -> Result<Box<dyn Reader>>;
    /// Tells of every object whose name begins with `prefix`, which ends with `/`. In any order.
    fn list(&self, prefix: &str, tell: &mut dyn FnMut(Object)) -> Result<()>;
    /// Removes an object, durably; it is no error if there is none.
    fn delete(&self, key: &str) -> Result<()>;
    /// Removes what writers that were killed have left half-written and that is older than `before`.
    fn sweep(&self, before: SystemTime) -> Result<()>;

    /// All of an object.
    fn get(&self, key: &str) -> Result<Vec<u8>> {
        let reader = self.open(key)?;
        let mut bytes = vec![0; reader.length() as usize];
        reader.read_at(0, &mut bytes)?;
        Ok(bytes)
    }
}

/// The store at an address: a directory.
pub fn open(address: &str) -> Result<std::sync::Arc<dyn Store>> {
    Ok(std::sync::Arc::new(crate::Local::new(address)))
}
