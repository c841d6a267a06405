//! An archive in an object store: S3 and what speaks like it, Azure Blob Storage, Google Cloud Storage. Credentials and
//! endpoints come from the environment, as the providers' own tools take them.

use crate::local::read_file;
use crate::store::{Object, Reader, Store};
use crate::{Error, ErrorKind, Result};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path as Key;
use object_store::{
    ClientConfigKey, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, RetryConfig,
};
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::runtime::Runtime;

/// A request that takes longer has failed: a pack at 1 Mbit/s.
const TIMEOUT: &str = "300s";
const CONNECT: &str = "15s";
/// Requests are repeated for so long, and so often.
const REPEAT_FOR: Duration = Duration::from_secs(120);
const REPEAT: usize = 8;
/// Segments of the index are looked at page by page, so they are kept here.
const KEPT: &str = "index/";

/// A bucket or container.
pub struct Cloud {
    address: String,
    prefix: String,
    store: Arc<dyn ObjectStore>,
    runtime: Arc<Runtime>,
    cache: Option<PathBuf>,
}

fn retry() -> RetryConfig {
    RetryConfig { max_retries: REPEAT, retry_timeout: REPEAT_FOR, ..RetryConfig::default() }
}

impl Cloud {
    /// `s3://BUCKET/PREFIX`, `az://CONTAINER/PREFIX`, `gs://BUCKET/PREFIX`; none for anything else.
    pub fn open(address: &str) -> Option<Result<Self>> {
        let (kind, place) =
            address.split_once("://").filter(|(kind, _)| ["s3", "az", "gs"].contains(kind))?;
        Some(Self::connect(kind, place, address))
    }

    fn connect(kind: &str, place: &str, address: &str) -> Result<Self> {
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        let wrong = |what: String| Error::new(ErrorKind::Store, format!("{address}: {what}"));
        if bucket.is_empty() {
            return Err(wrong("there is no bucket in it; say s3://BUCKET/PREFIX".into()));
        }
        // reqwest takes the process's provider of TLS; it may be there already.
        let _there = rustls::crypto::ring::default_provider().install_default();
        let store = bucket_of(kind, bucket).map_err(|e| wrong(words(&e)))?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        Ok(Self {
            address: address.into(),
            prefix: prefix.trim_matches('/').into(),
            store,
            runtime: Arc::new(runtime.map_err(|e| wrong(e.to_string()))?),
            cache: cache(address),
        })
    }

    fn key(&self, key: &str) -> Key {
        Key::from(format!("{}/{key}", self.prefix))
    }

    fn error(&self, what: &str, key: &str, e: &object_store::Error) -> Error {
        let kind = match e {
            object_store::Error::NotFound { .. } => ErrorKind::Missing,
            _ => ErrorKind::Store,
        };
        let next = match e {
            object_store::Error::Unauthenticated { .. } | object_store::Error::PermissionDenied { .. } => {
                "; the environment's credentials must be allowed to read, write, list and delete there"
            }
            object_store::Error::NotFound { .. } => "",
            _ => "; what is complete stays, the same command goes on",
        };
        Error::new(
            kind,
            format!("cannot {what} {}/{key}: {}{next}", self.address.trim_end_matches('/'), words(e)),
        )
    }

    /// The object as a file of the cache, if there can be one.
    fn kept(&self, key: &str) -> Option<Box<dyn Reader>> {
        let path = self.cache.as_ref()?.join(key.strip_prefix(KEPT)?);
        if let Ok(reader) = read_file(&path) {
            return Some(reader);
        }
        let bytes = self.fetch(key).ok()?;
        let half = path.with_extension(format!("half-{}", std::process::id()));
        std::fs::create_dir_all(path.parent()?).ok()?;
        std::fs::write(&half, bytes).and_then(|()| std::fs::rename(&half, &path)).ok()?;
        read_file(&path).ok()
    }

    fn fetch(&self, key: &str) -> Result<Vec<u8>> {
        let path = self.key(key);
        let get = async { self.store.get(&path).await?.bytes().await };
        let bytes = self.runtime.block_on(get).map_err(|e| self.error("read", key, &e))?;
        Ok(bytes.into())
    }

    /// Segments that are gone need no copy here.
    fn forget_all_but(&self, names: &HashSet<String>) {
        let Some(entries) = self.cache.as_ref().and_then(|cache| std::fs::read_dir(cache).ok()) else {
            return;
        };
        for entry in entries.flatten().filter(|entry| !names.contains(&*entry.file_name().to_string_lossy()))
        {
            let _gone = std::fs::remove_file(entry.path());
        }
    }
}

/// The innermost reason is what people can do something about; addresses of requests may hold signatures.
fn words(e: &object_store::Error) -> String {
    let mut innermost: &dyn std::error::Error = e;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let (outer, inner) = (e.to_string(), innermost.to_string());
    let outer = outer.split(['\n', '?']).next().unwrap_or_default();
    let mut text = if outer.contains(&inner) { outer.to_owned() } else { format!("{outer}: {inner}") };
    if let Some((end, _)) = text.char_indices().nth(400) {
        text.truncate(end);
    }
    text
}

fn bucket_of(kind: &str, bucket: &str) -> object_store::Result<Arc<dyn ObjectStore>> {
    let (timeout, connect) = (ClientConfigKey::Timeout, ClientConfigKey::ConnectTimeout);
    Ok(match kind {
        "s3" => Arc::new(
            AmazonS3Builder::from_env()
                .with_bucket_name(bucket)
                .with_conditional_put(S3ConditionalPut::ETagMatch)
                .with_config(AmazonS3ConfigKey::Client(timeout), TIMEOUT)
                .with_config(AmazonS3ConfigKey::Client(connect), CONNECT)
                .with_retry(retry())
                .build()?,
        ),
        "az" => Arc::new(
            MicrosoftAzureBuilder::from_env()
                .with_container_name(bucket)
                .with_config(AzureConfigKey::Client(timeout), TIMEOUT)
                .with_config(AzureConfigKey::Client(connect), CONNECT)
                .with_retry(retry())
                .build()?,
        ),
        _ => Arc::new(
            GoogleCloudStorageBuilder::from_env()
                .with_bucket_name(bucket)
                .with_config(GoogleConfigKey::Client(timeout), TIMEOUT)
                .with_config(GoogleConfigKey::Client(connect), CONNECT)
                .with_retry(retry())
                .build()?,
        ),
    })
}

/// Where this archive's segments are kept on this machine.
fn cache(address: &str) -> Option<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let base = base.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    let endpoint =
        std::env::var("AWS_ENDPOINT_URL").or_else(|_| std::env::var("AWS_ENDPOINT")).unwrap_or_default();
    let name = blake3::hash(format!("{endpoint} {address}").as_bytes()).to_hex();
    Some(base.join("wherry").join("archive").join(&name[..32]))
}

impl Store for Cloud {
    fn name(&self) -> String {
        self.address.clone()
    }

    fn put_new(&self, key: &str, bytes: &[u8]) -> Result<bool> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let payload = PutPayload::from(bytes.to_vec());
        let path = self.key(key);
        match self.runtime.block_on(self.store.put_opts(&path, payload, options)) {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(e) => Err(self.error("write", key, &e)),
        }
    }

    fn open(&self, key: &str) -> Result<Box<dyn Reader>> {
        if let Some(reader) = self.kept(key) {
            return Ok(reader);
        }
        let path = self.key(key);
        let meta = self.runtime.block_on(self.store.head(&path)).map_err(|e| self.error("open", key, &e))?;
        let (store, runtime) = (self.store.clone(), self.runtime.clone());
        let name = format!("{}/{key}", self.address.trim_end_matches('/'));
        Ok(Box::new(CloudReader { store, runtime, path, name, length: meta.size }))
    }

    fn get(&self, key: &str) -> Result<Vec<u8>> {
        self.fetch(key)
    }

    fn list(&self, prefix: &str, tell: &mut dyn FnMut(Object)) -> Result<()> {
        use futures_util::TryStreamExt;
        let path = self.key(prefix.trim_end_matches('/'));
        let mut names = HashSet::new();
        let strip = if self.prefix.is_empty() { 0 } else { self.prefix.len() + 1 };
        let listing = async {
            let mut stream = self.store.list(Some(&path));
            while let Some(meta) = stream.try_next().await? {
                let Some(key) = meta.location.as_ref().get(strip..) else { continue };
                names.extend(key.strip_prefix(KEPT).map(String::from));
                let modified = SystemTime::UNIX_EPOCH
                    + Duration::from_secs(meta.last_modified.timestamp().max(0) as u64);
                tell(Object { key: key.to_owned(), size: meta.size, modified });
            }
            Ok(())
        };
        self.runtime.block_on(listing).map_err(|e| self.error("list", prefix, &e))?;
        if prefix == KEPT {
            self.forget_all_but(&names);
        }
        Ok(())
    }

    fn delete(&self, key: &str) -> Result<()> {
        let path = self.key(key);
        match self.runtime.block_on(self.store.delete(&path)) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(self.error("remove", key, &e)),
        }
    }

    /// Objects appear whole or not at all.
    fn sweep(&self, _before: SystemTime) -> Result<()> {
        Ok(())
    }
}

struct CloudReader {
    store: Arc<dyn ObjectStore>,
    runtime: Arc<Runtime>,
    path: Key,
    name: String,
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
        let range = offset..offset + buffer.len() as u64;
        let what = format!("cannot read {} bytes at {offset} of {}", buffer.len(), self.name);
        if range.end > self.length {
            return Err(Error::corrupt(format!("{what}: it has {} bytes", self.length)));
        }
        match self.runtime.block_on(self.store.get_range(&self.path, range)) {
            Ok(bytes) if bytes.len() == buffer.len() => buffer.copy_from_slice(&bytes),
            Ok(bytes) => return Err(Error::corrupt(format!("{what}: {} came", bytes.len()))),
            Err(object_store::Error::NotFound { .. }) => {
                return Err(Error::new(ErrorKind::Missing, format!("{what}: it is gone")));
            }
            Err(e) => return Err(Error::store(what, words(&e))),
        }
        Ok(())
    }
}
