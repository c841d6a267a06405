//! An archive in an object store: S3 and what speaks like it, Azure Blob Storage, Google Cloud Storage. Credentials and
//! endpoints come from the environment, as the providers' own tools take them.

use crate::bucket::{Bucket, LATE, Place, transport};
use crate::kept::{self, Kept};
use crate::store::{Object, Reader, Store};
use crate::{Error, ErrorKind, Result};
use futures_util::StreamExt;
use object_store::client::HttpErrorKind;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};
use tokio::runtime::Runtime;

/// An upload from this size on may take longer than a server may be silent.
const LARGE: usize = 1 << 20;
/// Between two tries to write an object.
const PAUSE: Duration = Duration::from_millis(250);

/// A bucket or container.
pub struct Cloud {
    bucket: Bucket,
    prefix: Key,
    runtime: Arc<Runtime>,
    kept: Kept,
    /// The server was seen to refuse a name that is taken.
    refuses: AtomicBool,
}

impl Cloud {
    /// `s3://BUCKET/PREFIX`, `az://CONTAINER/PREFIX`, `gs://BUCKET/PREFIX`; none for anything else. No request is made.
    pub fn open(address: &str) -> Option<Result<Self>> {
        Some(Place::parse(address)?.and_then(|place| Self::connect(&place)))
    }

    fn connect(place: &Place) -> Result<Self> {
        // The caller's threads drive their own requests; this one only waits for the sockets and the clock.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Ok(Self {
            bucket: Bucket::open(place)?,
            prefix: Key::from(place.prefix.as_str()),
            runtime: Arc::new(runtime.map_err(|e| Error::store(&place.address, e))?),
            kept: Kept::of(&place.at()),
            refuses: AtomicBool::new(false),
        })
    }

    fn key(&self, key: &str) -> Key {
        self.prefix.parts().chain(Key::from(key).parts()).collect()
    }

    /// An object's name below the prefix, in which the store writes some characters in another way.
    fn name_of(&self, location: &Key) -> Option<String> {
        Some(location.prefix_match(&self.prefix)?.collect::<Key>().into())
    }

    fn error(&self, what: &str, key: &str, e: &object_store::Error) -> Error {
        self.bucket.place.error(what, key, e)
    }

    fn fetch(&self, key: &str) -> Result<Vec<u8>> {
        let path = self.key(key);
        let get = async { self.bucket.store.get(&path).await?.bytes().await };
        let bytes = self.runtime.block_on(get).map_err(|e| self.error("read", key, &e))?;
        Ok(bytes.into())
    }

    fn is_there(&self, key: &str) -> Result<bool> {
        match self.runtime.block_on(self.bucket.store.head(&self.key(key))) {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(e) => Err(self.error("look for", key, &e)),
        }
    }

    fn create(&self, key: &str, payload: &PutPayload) -> object_store::Result<()> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let bucket = &self.bucket;
        let client = if payload.content_length() < LARGE { &bucket.store } else { &bucket.uploads };
        let (path, limit) = (self.key(key), bucket.upload_limit(payload.content_length()));
        let put = async {
            let put = client.put_opts(&path, payload.clone(), options);
            let late = |_| object_store::Error::Generic { store: "upload", source: LATE.into() };
            tokio::time::timeout(limit, put).await.map_err(late)?.map(|_| ())
        };
        self.runtime.block_on(put)
    }

    /// A server that overwrites would let two writers lose each other's work. The first small object is written twice: the
    /// same bytes do no harm.
    fn check_refusal(&self, key: &str, payload: &PutPayload) -> Result<()> {
        if payload.content_length() >= LARGE || self.refuses.load(Ordering::Relaxed) {
            return Ok(());
        }
        match self.create(key, payload) {
            Err(object_store::Error::AlreadyExists { .. }) => self.refuses.store(true, Ordering::Relaxed),
            Ok(()) => {
                let what = "writes over an object that it was told not to (`If-None-Match: *`)";
                let next = "an archive needs a server that knows conditional writes";
                let what = format!("the server of {} {what}; {next}", self.bucket.place.address);
                return Err(Error::new(ErrorKind::Unsupported, what));
            }
            // The object is there; another time.
            Err(_) => {}
        }
        Ok(())
    }
}

/// Whether a request that made nothing sure may be made again: an object is written once, so a second request does no harm.
fn repeatable(e: &object_store::Error) -> bool {
    let lost = [HttpErrorKind::Timeout, HttpErrorKind::Interrupted, HttpErrorKind::Unknown];
    match e {
        object_store::Error::AlreadyExists { .. } => true,
        _ => transport(e).is_some_and(|kind| lost.contains(&kind)),
    }
}

impl Store for Cloud {
    fn name(&self) -> String {
        self.bucket.place.address.clone()
    }

    fn put_new(&self, key: &str, bytes: &[u8]) -> Result<bool> {
        let payload = PutPayload::from(bytes.to_vec());
        let started = Instant::now();
        loop {
            let error = match self.create(key, &payload) {
                Ok(()) => return self.check_refusal(key, &payload).map(|()| true),
                // S3 also says 409 where two requests met and none was done (Amazon S3 User Guide, "How to prevent object
                // overwrites with conditional writes").
                Err(object_store::Error::AlreadyExists { .. }) if self.is_there(key)? => return Ok(false),
                Err(e) => e,
            };
            if !repeatable(&error) || started.elapsed() > self.bucket.patience {
                return Err(self.error("write", key, &error));
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn open(&self, key: &str) -> Result<Box<dyn Reader>> {
        if key.starts_with(kept::FOLDER) {
            return match self.kept.open(key) {
                Some(reader) => Ok(reader),
                None => Ok(self.kept.keep(key, self.fetch(key)?)),
            };
        }
        let path = self.key(key);
        let head = self.runtime.block_on(self.bucket.store.head(&path));
        let length = head.map_err(|e| self.error("open", key, &e))?.size;
        let (store, runtime) = (self.bucket.store.clone(), self.runtime.clone());
        let (place, key) = (self.bucket.place.clone(), key.to_owned());
        Ok(Box::new(CloudReader { store, runtime, path, place, key, length }))
    }

    fn get(&self, key: &str) -> Result<Vec<u8>> {
        self.fetch(key)
    }

    fn list(&self, prefix: &str, tell: &mut dyn FnMut(Object)) -> Result<()> {
        let path = self.key(prefix);
        let mut stream = self.bucket.store.list(Some(&path));
        let mut names = HashSet::new();
        // Told outside of the runtime, so that `tell` may use this store.
        while let Some(meta) = self.runtime.block_on(stream.next()) {
            let meta = meta.map_err(|e| self.error("list", prefix, &e))?;
            let Some(key) = self.name_of(&meta.location) else { continue };
            names.extend(key.strip_prefix(kept::FOLDER).map(String::from));
            tell(Object { key, size: meta.size, modified: meta.last_modified.into() });
        }
        if prefix == kept::FOLDER {
            self.kept.forget_all_but(&names);
        }
        Ok(())
    }

    fn delete(&self, key: &str) -> Result<()> {
        match self.runtime.block_on(self.bucket.store.delete(&self.key(key))) {
            Ok(()) => Ok(()),
            Err(e) => match self.error("remove", key, &e) {
                gone if gone.kind == ErrorKind::Missing => Ok(()),
                error => Err(error),
            },
        }
    }

    /// Objects appear whole or not at all: they are written by one request each.
    fn sweep(&self, _before: SystemTime) -> Result<()> {
        Ok(())
    }
}

struct CloudReader {
    store: Arc<dyn ObjectStore>,
    runtime: Arc<Runtime>,
    path: Key,
    place: Place,
    key: String,
    length: u64,
}

impl Reader for CloudReader {
    fn length(&self) -> u64 {
        self.length
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        if buffer.is_empty() {
            return Ok(());
        }
        let what = || {
            format!("cannot read {} bytes at {offset} of {}/{}", buffer.len(), self.place.address, self.key)
        };
        let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= self.length);
        let end = end.ok_or_else(|| Error::corrupt(format!("{}: it has {} bytes", what(), self.length)))?;
        match self.runtime.block_on(self.store.get_range(&self.path, offset..end)) {
            Ok(bytes) if bytes.len() == buffer.len() => buffer.copy_from_slice(&bytes),
            Ok(bytes) => return Err(Error::corrupt(format!("{}: {} came", what(), bytes.len()))),
            Err(e) => return Err(self.place.error("read", &self.key, &e)),
        }
        Ok(())
    }
}
