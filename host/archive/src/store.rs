//! Where an archive lies: immutable objects under plain names. An object is written once, whole, and only if there is none
//! of that name; so two writers cannot lose each other's work, and nothing needs a lock.

use crate::cloud::Cloud;
use crate::local::Local;
use crate::{Error, ErrorKind, Result};
use std::sync::Arc;
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

    /// The same as `put_new` for bytes that nobody else can have: a request that was repeated because its answer was lost finds
    /// its own object.
    fn put_own(&self, key: &str, bytes: &[u8]) -> Result<bool> {
        Ok(self.put_new(key, bytes)? || self.get(key)? == bytes)
    }

    /// All of an object.
    fn get(&self, key: &str) -> Result<Vec<u8>> {
        let reader = self.open(key)?;
        let mut bytes = vec![0; reader.length() as usize];
        reader.read_at(0, &mut bytes)?;
        Ok(bytes)
    }
}

/// The store at an address: `s3://BUCKET/PREFIX`, `az://CONTAINER/PREFIX`, `gs://BUCKET/PREFIX`, `file:///PATH`, or a path.
pub fn open(address: &str) -> Result<Arc<dyn Store>> {
    if let Some(cloud) = Cloud::open(address) {
        return Ok(Arc::new(cloud?));
    }
    let path = address.strip_prefix("file://").unwrap_or(address);
    if path.contains("://") || path.is_empty() {
        // The address is not repeated: it may hold a password.
        let known = "a path, file:///PATH, s3://BUCKET/PREFIX, az://CONTAINER/PREFIX, gs://BUCKET/PREFIX";
        return Err(Error::new(ErrorKind::Unsupported, format!("no address of an archive; say {known}")));
    }
    Ok(Arc::new(Local::new(path)))
}
