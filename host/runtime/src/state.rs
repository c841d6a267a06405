//! What one instance holds and what the host does for it: every right and every limit is checked here.

use crate::adapters::Adapter;
use crate::job::Job;
use crate::limits::{Limits, Usage};
use crate::manifest::{Asks, origin};
use crate::wit::shared::wherry::adapter as wit;
use block::Disk;
use cap_std::fs::Dir;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wasmtime::component::{Resource, ResourceTable};
use wasmtime::{StoreLimits, StoreLimitsBuilder};
use wit::files::{Entry, Meta, Room};
use wit::http::{Request, Response};
use wit::tree::{Change, Volume};
use wit::types::{Error, ErrorKind, Fact, Patch, Range};

/// An answer in the contract's own terms.
pub type Answer<T> = Result<T, Error>;

/// An error in the contract's own terms.
pub fn refusal(kind: ErrorKind, message: impl Into<String>) -> Error {
    Error { kind, message: message.into(), at: None }
}

/// Bytes lent to an adapter.
pub struct Blob {
    /// Where they are.
    pub disk: Arc<dyn Disk>,
    /// Whether writes are passed on (to an overlay).
    pub writable: bool,
}

/// The guest's files; implemented by whoever composes volumes and file systems.
#[allow(missing_docs, reason = "the same functions as interface `tree` of the contract")]
pub trait Tree: Send {
    fn volumes(&mut self) -> Vec<Volume>;
    fn mount(&mut self, volume: &str, path: &str) -> Answer<()>;
    fn mount_inside(&mut self, volume: &str, inside: &str, path: &str) -> Answer<()>;
    fn unmount_all(&mut self);
    fn stat(&mut self, path: &str) -> Answer<Meta>;
    fn entries(&mut self, path: &str) -> Answer<Vec<Entry>>;
    fn read(&mut self, path: &str, offset: u64, length: u32) -> Answer<Vec<u8>>;
    fn read_link(&mut self, path: &str) -> Answer<String>;
    fn canonical(&mut self, path: &str) -> Answer<String>;
    fn room(&mut self, path: &str) -> Answer<Room>;
    fn write(&mut self, path: &str, bytes: Vec<u8>, like: Option<Meta>, reason: &str) -> Answer<()>;
    fn modify(&mut self, path: &str, patches: Vec<Patch>, shown: Option<Change>, reason: &str) -> Answer<()>;
    fn rename(&mut self, old: &str, new: &str, reason: &str) -> Answer<()>;
    fn remove(&mut self, path: &str, reason: &str) -> Answer<()>;
    fn make_directory(&mut self, path: &str, like: Option<Meta>, reason: &str) -> Answer<()>;
    fn make_symlink(&mut self, path: &str, target: &str, reason: &str) -> Answer<()>;
    fn write_boot_code(&mut self, disk: &str, patches: Vec<Patch>, reason: &str) -> Answer<()>;
    fn relabel(&mut self, volumes: &[String], facts: &[Fact], reason: &str) -> Answer<u64>;
    fn pending(&mut self) -> Vec<String>;
    fn defer(&mut self, means: &str);
}

/// A tree lent to an adapter.
pub struct GuestTree(pub Arc<std::sync::Mutex<dyn Tree>>);

/// A connection; none can be opened yet.
pub struct Link;

/// Requests to servers; implemented by whoever may open connections. It is asked only for origins that are granted.
pub trait Web: Send + Sync {
    /// Sends one request and waits for the whole answer.
    fn send(&self, request: Request) -> Answer<Response>;
}

/// A granted output directory.
pub struct Output {
    /// The directory, as a capability.
    pub dir: Dir,
    /// Its absolute path, for definitions.
    pub path: PathBuf,
}

/// What is lent to an adapter for the life of one instance, as far as its rights go.
#[derive(Default)]
pub struct Lent {
    /// The output directory.
    pub output: Option<Output>,
    /// The servers.
    pub web: Option<Arc<dyn Web>>,
}

/// The data of one store.
pub struct State {
    pub(crate) table: ResourceTable,
    pub(crate) store_limits: StoreLimits,
    pub(crate) limits: Limits,
    pub(crate) usage: Usage,
    pub(crate) adapter: String,
    pub(crate) job: Arc<Job>,
    /// Manifest and grant intersected.
    pub(crate) rights: Asks,
    pub(crate) output: Option<Output>,
    pub(crate) web: Option<Arc<dyn Web>>,
    /// What the adapter has waited for servers, and its deadline does not know of yet.
    pub(crate) waited: Duration,
    pub(crate) last_error_line: Option<String>,
}

impl State {
    pub(crate) fn new(adapter: &Adapter, rights: Asks, lent: Lent) -> Self {
        let limits = &adapter.limits;
        let store_limits = StoreLimitsBuilder::new()
            .memory_size(limits.memory)
            .table_elements(limits.tables)
            .instances(limits.instances)
            .trap_on_grow_failure(true)
            .build();
        Self {
            table: ResourceTable::new(),
            store_limits,
            limits: limits.clone(),
            usage: Usage::default(),
            adapter: adapter.manifest.id.clone(),
            job: adapter.job.clone(),
            rights,
            output: lent.output,
            web: lent.web,
            waited: Duration::ZERO,
            last_error_line: None,
        }
    }

    fn charge_read(&mut self, bytes: u64) -> Answer<()> {
        if bytes > self.limits.read_per_call {
            let most = self.limits.read_per_call;
            return Err(refusal(ErrorKind::Limit, format!("{bytes} bytes in one read, the limit is {most}")));
        }
        self.usage.read += bytes;
        if self.usage.read > self.limits.read_in_all {
            let most = self.limits.read_in_all;
            return Err(refusal(ErrorKind::Limit, format!("more than {most} bytes read in all")));
        }
        Ok(())
    }

    fn charge_log(&mut self, bytes: usize) -> wasmtime::Result<()> {
        self.usage.log += bytes as u64;
        if self.usage.log > self.limits.log {
            return Err(wasmtime::Error::msg(format!("more than {} bytes of log", self.limits.log)));
        }
        Ok(())
    }

    fn charge_write(&mut self, bytes: usize) -> Answer<()> {
        self.usage.written += bytes as u64;
        if self.usage.written > self.limits.written {
            let message = format!("more than {} bytes written", self.limits.written);
            return Err(refusal(ErrorKind::Limit, message));
        }
        Ok(())
    }

    fn output(&self) -> Answer<&Output> {
        match &self.output {
            Some(output) if self.rights.output => Ok(output),
            _ => Err(refusal(
                ErrorKind::Denied,
                "the right `output` is not in both the manifest and the grant",
            )),
        }
    }
}

impl Blob {
    fn checked(&self, offset: u64, length: u64) -> Answer<()> {
        let size = self.disk.length();
        if offset.checked_add(length).is_none_or(|end| end > size) {
            let message = format!("range {offset}+{length} lies beyond the end at {size}");
            return Err(Error { kind: ErrorKind::InvalidInput, message, at: Some(offset) });
        }
        Ok(())
    }

    fn read(&self, offset: u64, length: u64) -> Answer<Vec<u8>> {
        self.checked(offset, length)?;
        let mut bytes = vec![0; length as usize];
        let io = |e: block::Error| Error { kind: ErrorKind::Io, message: e.to_string(), at: Some(offset) };
        self.disk.read_at(offset, &mut bytes).map_err(io)?;
        Ok(bytes)
    }
}

impl wit::types::Host for State {}
impl wit::files::Host for State {}
impl wit::storage::Host for State {}
impl wit::tree::Host for State {}
impl wit::connection::Host for State {}

impl wit::log::Host for State {
    fn emit(
        &mut self,
        level: wit::log::Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        let length: usize = message.len() + fields.iter().map(|(k, v)| k.len() + v.len()).sum::<usize>();
        self.charge_log(length)?;
        let fields: Vec<String> = fields.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let (adapter, fields) = (self.adapter.as_str(), fields.join(" "));
        match level {
            wit::log::Level::Trace => tracing::trace!(adapter, fields, "{message}"),
            wit::log::Level::Debug => tracing::debug!(adapter, fields, "{message}"),
            wit::log::Level::Info => tracing::info!(adapter, fields, "{message}"),
            wit::log::Level::Warn => tracing::warn!(adapter, fields, "{message}"),
            wit::log::Level::Error => {
                tracing::error!(adapter, fields, "{message}");
                self.last_error_line = Some(message);
            }
        }
        Ok(())
    }
}

impl wit::job::Host for State {
    fn cancelled(&mut self) -> wasmtime::Result<bool> {
        Ok(self.job.cancelled())
    }
    fn progress(&mut self, done: u64, total: u64, note: String) -> wasmtime::Result<()> {
        // Even an empty note costs a line.
        self.charge_log(note.len() + 32)?;
        tracing::debug!(adapter = self.adapter, done, total, "{note}");
        Ok(())
    }
    fn now_unix(&mut self) -> wasmtime::Result<u64> {
        Ok(self.job.now())
    }
}

impl wit::storage::HostBlob for State {
    fn size(&mut self, blob: Resource<Blob>) -> wasmtime::Result<u64> {
        Ok(self.table.get(&blob)?.disk.length())
    }
    fn sector_size(&mut self, blob: Resource<Blob>) -> wasmtime::Result<u32> {
        Ok(self.table.get(&blob)?.disk.sector_size())
    }
    fn writable(&mut self, blob: Resource<Blob>) -> wasmtime::Result<bool> {
        Ok(self.table.get(&blob)?.writable)
    }
    fn read(&mut self, blob: Resource<Blob>, offset: u64, length: u32) -> wasmtime::Result<Answer<Vec<u8>>> {
        if let Err(e) = self.charge_read(length.into()) {
            return Ok(Err(e));
        }
        Ok(self.table.get(&blob)?.read(offset, length.into()))
    }
    fn read_many(&mut self, blob: Resource<Blob>, ranges: Vec<Range>) -> wasmtime::Result<Answer<Vec<u8>>> {
        let sum = ranges.iter().fold(0u64, |sum, range| sum.saturating_add(range.length));
        if let Err(e) = self.charge_read(sum) {
            return Ok(Err(e));
        }
        let blob = self.table.get(&blob)?;
        let parts: Answer<Vec<Vec<u8>>> =
            ranges.iter().map(|range| blob.read(range.offset, range.length)).collect();
        Ok(parts.map(|parts| parts.concat()))
    }
    fn write(&mut self, blob: Resource<Blob>, offset: u64, bytes: Vec<u8>) -> wasmtime::Result<Answer<()>> {
        if let Err(e) = self.charge_write(bytes.len()) {
            return Ok(Err(e));
        }
        let blob = self.table.get(&blob)?;
        if !blob.writable {
            return Ok(Err(refusal(ErrorKind::Denied, "this blob is read-only")));
        }
        if let Err(e) = blob.checked(offset, bytes.len() as u64) {
            return Ok(Err(e));
        }
        Ok(blob.disk.write_at(offset, &bytes).map_err(|e| refusal(ErrorKind::Io, e.to_string())))
    }
    fn drop(&mut self, blob: Resource<Blob>) -> wasmtime::Result<()> {
        self.table.delete(blob)?;
        Ok(())
    }
}

/// Calls the tree behind a handle.
macro_rules! tree_calls {
    ($($name:ident($($arg:ident: $ty:ty => $pass:expr),*) -> $ret:ty;)*) => {
        impl wit::tree::HostGuestTree for State {
            $(fn $name(&mut self, tree: Resource<GuestTree> $(, $arg: $ty)*) -> wasmtime::Result<$ret> {
                let tree = self.table.get(&tree)?.0.clone();
                let mut tree = tree.lock().map_err(|_| wasmtime::Error::msg("the tree is poisoned"))?;
                Ok(tree.$name($($pass),*))
            })*
            fn drop(&mut self, tree: Resource<GuestTree>) -> wasmtime::Result<()> {
                self.table.delete(tree)?;
                Ok(())
            }
        }
    };
}
tree_calls! {
    volumes() -> Vec<Volume>;
    mount(volume: String => &volume, path: String => &path) -> Answer<()>;
    mount_inside(volume: String => &volume, inside: String => &inside, path: String => &path) -> Answer<()>;
    unmount_all() -> ();
    stat(path: String => &path) -> Answer<Meta>;
    entries(path: String => &path) -> Answer<Vec<Entry>>;
    read(path: String => &path, offset: u64 => offset, length: u32 => length) -> Answer<Vec<u8>>;
    read_link(path: String => &path) -> Answer<String>;
    canonical(path: String => &path) -> Answer<String>;
    room(path: String => &path) -> Answer<Room>;
    write(path: String => &path, bytes: Vec<u8> => bytes, like: Option<Meta> => like, reason: String => &reason) -> Answer<()>;
    modify(path: String => &path, patches: Vec<Patch> => patches, shown: Option<Change> => shown, reason: String => &reason) -> Answer<()>;
    rename(old: String => &old, new: String => &new, reason: String => &reason) -> Answer<()>;
    remove(path: String => &path, reason: String => &reason) -> Answer<()>;
    make_directory(path: String => &path, like: Option<Meta> => like, reason: String => &reason) -> Answer<()>;
    make_symlink(path: String => &path, target: String => &target, reason: String => &reason) -> Answer<()>;
    write_boot_code(disk: String => &disk, patches: Vec<Patch> => patches, reason: String => &reason) -> Answer<()>;
    relabel(volumes: Vec<String> => &volumes, facts: Vec<Fact> => &facts, reason: String => &reason) -> Answer<u64>;
    pending() -> Vec<String>;
    defer(means: String => &means) -> ();
}

impl State {
    fn ask(&mut self, request: Request) -> Answer<Response> {
        let origin = origin(&request.url);
        if !self.rights.asks_server(&origin) {
            let message = format!("the right `http` to {origin} is not in both the manifest and the grant");
            return Err(refusal(ErrorKind::Denied, message));
        }
        if let Some(name) = request.secret.as_ref().filter(|name| !self.rights.secrets.contains(name)) {
            let message =
                format!("the right to the secret `{name}` is not in both the manifest and the grant");
            return Err(refusal(ErrorKind::Denied, message));
        }
        let most = self.limits.request;
        if request.body.len() > most {
            return Err(refusal(ErrorKind::Limit, format!("a request of more than {most} bytes")));
        }
        self.usage.requests += 1;
        if self.usage.requests > self.limits.requests {
            return Err(refusal(ErrorKind::Limit, format!("more than {} requests", self.limits.requests)));
        }
        let Some(web) = self.web.clone() else {
            let message = format!("{origin} was not asked: there is no connection to servers here");
            return Err(refusal(ErrorKind::Unsupported, message));
        };
        let started = Instant::now();
        let answer = web.send(request);
        self.waited += started.elapsed();
        let answer = answer?;
        self.charge_answer(answer.body.len() as u64)?;
        Ok(answer)
    }

    fn charge_answer(&mut self, bytes: u64) -> Answer<()> {
        self.usage.read += bytes;
        let most = self.limits.read_in_all;
        match self.usage.read > most {
            true => Err(refusal(ErrorKind::Limit, format!("more than {most} bytes read in all"))),
            false => Ok(()),
        }
    }
}

impl wit::http::Host for State {
    fn send(&mut self, request: Request) -> wasmtime::Result<Answer<Response>> {
        Ok(self.ask(request))
    }
}

impl wit::connection::HostLink for State {
    fn open(&mut self, endpoint: String) -> wasmtime::Result<Answer<Resource<Link>>> {
        if !self.rights.endpoints.contains(&endpoint) {
            let message =
                format!("the right `endpoints` to {endpoint} is not in both the manifest and the grant");
            return Ok(Err(refusal(ErrorKind::Denied, message)));
        }
        let message = format!("{endpoint} was not opened: this host opens no connections yet; {WITHOUT}");
        Ok(Err(refusal(ErrorKind::Unsupported, message)))
    }
    fn write(&mut self, _link: Resource<Link>, _bytes: Vec<u8>) -> wasmtime::Result<Answer<()>> {
        Ok(Err(refusal(ErrorKind::Unsupported, "there is no connection: this host opens none yet")))
    }
    fn read(
        &mut self,
        _link: Resource<Link>,
        _most: u32,
        _timeout_ms: u32,
    ) -> wasmtime::Result<Answer<Vec<u8>>> {
        Ok(Err(refusal(ErrorKind::Unsupported, "there is no connection: this host opens none yet")))
    }
    fn drop(&mut self, link: Resource<Link>) -> wasmtime::Result<()> {
        self.table.delete(link)?;
        Ok(())
    }
}

/// What is left to a target adapter that cannot talk to its platform.
const WITHOUT: &str = "use a target that writes files, such as kvm";

/// A single, ordinary path component.
fn single(name: &str) -> Answer<&str> {
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\\', '\0']) {
        return Err(refusal(ErrorKind::InvalidInput, format!("`{name}` is not a plain file name")));
    }
    Ok(name)
}

fn io(name: &str, e: std::io::Error) -> Error {
    let kind = match e.kind() {
        std::io::ErrorKind::NotFound => ErrorKind::NotFound,
        std::io::ErrorKind::PermissionDenied => ErrorKind::Denied,
        std::io::ErrorKind::StorageFull => ErrorKind::NoSpace,
        _ => ErrorKind::Io,
    };
    refusal(kind, format!("{name}: {e}"))
}

impl State {
    fn output_write(&self, name: &str, bytes: &[u8], executable: bool) -> Answer<()> {
        use cap_std::fs::{OpenOptionsExt, PermissionsExt};
        use std::io::Write;
        let (output, name) = (self.output()?, single(name)?);
        let temporary = format!(".{name}.wherry-partial");
        let mut options = cap_std::fs::OpenOptions::new();
        let mode = if executable { 0o755 } else { 0o644 };
        options.write(true).create(true).truncate(true).mode(mode);
        let write = || -> std::io::Result<()> {
            let mut file = output.dir.open_with(&temporary, &options)?;
            file.set_permissions(cap_std::fs::Permissions::from_mode(mode))?;
            file.write_all(bytes)?;
            file.sync_all()?;
            output.dir.rename(&temporary, &output.dir, name)
        };
        write().map_err(|e| io(name, e))
    }
}

impl wit::output::Host for State {
    fn write(&mut self, name: String, bytes: Vec<u8>, executable: bool) -> wasmtime::Result<Answer<()>> {
        if let Err(e) = self.charge_write(bytes.len()) {
            return Ok(Err(e));
        }
        Ok(self.output_write(&name, &bytes, executable))
    }
    fn read(&mut self, name: String) -> wasmtime::Result<Answer<Vec<u8>>> {
        let read = || {
            let (output, name) = (self.output()?, single(&name)?);
            let size = output.dir.metadata(name).map_err(|e| io(name, e))?.len();
            if size > 1 << 20 {
                return Err(refusal(ErrorKind::Limit, format!("{name} has {size} bytes, more than 1 MiB")));
            }
            output.dir.read(name).map_err(|e| io(name, e))
        };
        Ok(read())
    }
    fn names(&mut self) -> wasmtime::Result<Answer<Vec<String>>> {
        let names = || {
            let mut names = Vec::new();
            for entry in self.output()?.dir.entries().map_err(|e| io(".", e))? {
                let entry = entry.map_err(|e| io(".", e))?;
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
            names.sort();
            Ok(names)
        };
        Ok(names())
    }
    fn remove(&mut self, name: String) -> wasmtime::Result<Answer<()>> {
        let remove = || {
            let (output, name) = (self.output()?, single(&name)?);
            output.dir.remove_file(name).map_err(|e| io(name, e))
        };
        Ok(remove())
    }
    fn path(&mut self) -> wasmtime::Result<String> {
        Ok(self.output.as_ref().map_or_else(String::new, |output| output.path.display().to_string()))
    }
}
