//! Finding, checking and loading adapters. Nothing about a particular adapter is compiled in.

use crate::error::{Error, ErrorKind, Result};
use crate::job::Job;
use crate::limits::Limits;
use crate::manifest::{Kind, Manifest};
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use wasmparser::{Parser, Payload};
use wasmtime::component::Component;
use wasmtime::{Config, Engine};

/// The contract this host speaks.
const CONTRACT: &str = "0.1.";
/// A component larger than this is not an adapter.
const FILE_MOST: u64 = 64 << 20;
/// How often the epoch advances: the grain of the time limit.
const TICK: Duration = Duration::from_millis(100);
pub(crate) const TICKS_PER_SECOND: u64 = 10;

/// One loaded adapter: checked, compiled, not yet instantiated.
pub struct Adapter {
    /// What it says of itself.
    pub manifest: Manifest,
    /// Where it was found.
    pub path: PathBuf,
    /// BLAKE3 of the file.
    pub digest: String,
    /// The interfaces it imports: its complete authority.
    pub imports: Vec<String>,
    pub(crate) component: Component,
    pub(crate) engine: Engine,
    pub(crate) limits: Limits,
    pub(crate) job: Arc<Job>,
}

/// All adapters found, and what was wrong with the others.
pub struct Adapters {
    /// Loaded, by id.
    pub list: Vec<Arc<Adapter>>,
    /// Refused, with the reason.
    pub refused: Vec<Error>,
    /// The run that all their calls belong to.
    pub job: Arc<Job>,
}

impl Adapters {
    /// Loads every `.wasm` file of these directories. Compiled code is kept in `cache`, if there is one.
    pub fn load(directories: &[PathBuf], cache: Option<&Path>, limits: &Limits) -> Result<Self> {
        let engine = engine()?;
        let cache = cache.and_then(Cache::open);
        let mut all = Self { list: Vec::new(), refused: Vec::new(), job: Arc::default() };
        for path in wasm_files(directories)? {
            match Adapter::load(&engine, &path, cache.as_ref(), limits, &all.job) {
                Ok(adapter) if all.list.iter().any(|other| other.manifest.id == adapter.manifest.id) => {
                    let message = format!("{} repeats the id of another adapter", path.display());
                    all.refused.push(Error::new(ErrorKind::Unfit, &adapter.manifest.id, "load", message));
                }
                Ok(adapter) => all.list.push(Arc::new(adapter)),
                Err(e) => all.refused.push(e),
            }
        }
        Ok(all)
    }

    /// The adapters of one world.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &Arc<Adapter>> {
        self.list.iter().filter(move |adapter| adapter.manifest.kind == kind)
    }

    /// The adapter of a kind that the operator calls `word`.
    pub fn named(&self, kind: Kind, word: &str) -> Option<&Arc<Adapter>> {
        self.of(kind).find(|adapter| adapter.manifest.words().contains(&word))
    }

    /// What the operator may call the adapters of a kind.
    pub fn words(&self, kind: Kind) -> Vec<&str> {
        self.of(kind).flat_map(|adapter| adapter.manifest.words()).collect()
    }

    /// The adapter called `id`.
    pub fn get(&self, id: &str) -> Result<&Arc<Adapter>> {
        self.list.iter().find(|adapter| adapter.manifest.id == id).ok_or_else(|| {
            let known: Vec<&str> = self.list.iter().map(|adapter| adapter.manifest.id.as_str()).collect();
            let message = format!("there is no such adapter; known are: {}", known.join(", "));
            Error::new(ErrorKind::Unknown, id, "load", message)
        })
    }
}

fn engine() -> Result<Engine> {
    let mut config = Config::new();
    config.epoch_interruption(true);
    let engine = Engine::new(&config).map_err(|e| Error::new(ErrorKind::Io, "wasmtime", "load", e))?;
    let weak = engine.weak();
    std::thread::spawn(move || {
        while let Some(engine) = weak.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(TICK);
        }
    });
    Ok(engine)
}

fn wasm_files(directories: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for directory in directories {
        let io = |e| Error::new(ErrorKind::Io, &directory.display().to_string(), "load", e);
        for entry in std::fs::read_dir(directory).map_err(io)? {
            let path = entry.map_err(io)?.path();
            if path.extension().is_some_and(|extension| extension == "wasm") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

impl Adapter {
    fn load(
        engine: &Engine,
        path: &Path,
        cache: Option<&Cache>,
        limits: &Limits,
        job: &Arc<Job>,
    ) -> Result<Self> {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let unfit = |message: String| Error::new(ErrorKind::Unfit, &name, "load", message);
        let io = |e: std::io::Error| Error::new(ErrorKind::Io, &name, "load", e);
        let length = std::fs::metadata(path).map_err(io)?.len();
        if length > FILE_MOST {
            return Err(unfit(format!("{length} bytes are too many for an adapter (at most {FILE_MOST})")));
        }
        let bytes = std::fs::read(path).map_err(io)?;
        let (manifest, imports) = examine(&bytes).map_err(unfit)?;
        check(&manifest, &imports).map_err(unfit)?;
        let digest = blake3::hash(&bytes).to_hex().to_string();
        let component = match cache.and_then(|cache| cache.get(engine, &digest)) {
            Some(component) => component,
            None => {
                let component =
                    Component::from_binary(engine, &bytes).map_err(|e| unfit(format!("{e:#}")))?;
                if let Some(cache) = cache {
                    cache.put(engine, &digest, &component);
                }
                component
            }
        };
        let limits = lowered(limits, &manifest);
        let path = path.to_path_buf();
        Ok(Self {
            manifest,
            path,
            digest,
            imports,
            component,
            engine: engine.clone(),
            limits,
            job: job.clone(),
        })
    }
}

/// The operator's limits, lowered where the manifest is content with less.
fn lowered(limits: &Limits, manifest: &Manifest) -> Limits {
    let mut limits = limits.clone();
    if let Some(mib) = manifest.limits.memory_mib {
        limits.memory = limits.memory.min((mib << 20) as usize);
    }
    if let Some(seconds) = manifest.limits.call_seconds {
        limits.call_seconds = limits.call_seconds.min(seconds);
    }
    limits
}

/// Reads manifest and imports without compiling anything.
fn examine(bytes: &[u8]) -> std::result::Result<(Manifest, Vec<String>), String> {
    if !Parser::is_component(bytes) {
        return Err("this is not a WebAssembly component; build it with `cargo xtask build-adapters`".into());
    }
    let (mut manifest, mut imports, mut depth) = (None, Vec::new(), 0u32);
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(|e| format!("broken component: {e}"))? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    imports.push(import.map_err(|e| e.to_string())?.name.name.to_string());
                }
            }
            Payload::CustomSection(section) if section.name() == "wherry:manifest" => {
                manifest = Some(section.data().to_vec());
            }
            _ => {}
        }
    }
    let manifest = manifest
        .ok_or("it has no manifest (custom section wherry:manifest); register it by the SDK's macro")?;
    let text = String::from_utf8(manifest).map_err(|_| "its manifest is not UTF-8")?;
    let manifest = toml::from_str(&text).map_err(|e| format!("its manifest: {e}"))?;
    Ok((manifest, imports))
}

/// A component's imports are its complete authority: they are checked before it is compiled.
fn check(manifest: &Manifest, imports: &[String]) -> std::result::Result<(), String> {
    if !manifest.contract.starts_with(CONTRACT) {
        let contract = &manifest.contract;
        return Err(format!(
            "it was built for contract {contract}; this host speaks {CONTRACT}x: rebuild it"
        ));
    }
    for import in imports {
        if import.starts_with("wasi:") {
            return Err(format!(
                "it imports {import}, and no adapter gets WASI: build it for wasm32-unknown-unknown with the SDK"
            ));
        }
        let interface = import.strip_prefix("wherry:adapter/").and_then(|rest| rest.split('@').next());
        let values = ["types", "files"];
        if !interface.is_some_and(|i| values.contains(&i) || manifest.kind.imports().contains(&i)) {
            return Err(format!(
                "it imports {import}, which the world {} does not have",
                manifest.kind.name()
            ));
        }
        let asked = match interface {
            Some("http") => !manifest.asks.http.is_empty(),
            Some("connection") => !manifest.asks.endpoints.is_empty(),
            Some("output") => manifest.asks.output,
            _ => true,
        };
        if !asked {
            return Err(format!("it imports {import}, but its manifest does not ask for that right"));
        }
    }
    Ok(())
}

/// Compiled code by content hash and engine. Owner-only; written under a temporary name and renamed, so that two
/// processes cannot disturb each other.
struct Cache(Dir);

impl Cache {
    fn open(path: &Path) -> Option<Self> {
        use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).ok()?;
        let metadata = std::fs::metadata(path).ok()?;
        // Compiled code is trusted like the host itself, so nobody else may be able to put it there.
        let ours = metadata.permissions().mode() & 0o077 == 0;
        let owner = std::fs::metadata("/proc/self").ok()?.uid();
        if !ours || metadata.uid() != owner {
            tracing::warn!(path = %path.display(), "the code cache is not private to its owner, so it is not used");
            return None;
        }
        Dir::open_ambient_dir(path, ambient_authority()).ok().map(Self)
    }

    fn name(engine: &Engine, digest: &str) -> String {
        use std::hash::{Hash, Hasher};
        let mut hasher = std::collections::hash_map::DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        format!("{digest}-{:016x}.cwasm", hasher.finish())
    }

    #[allow(unsafe_code, reason = "wasmtime trusts precompiled code; only this host wrote it, see `open`")]
    fn get(&self, engine: &Engine, digest: &str) -> Option<Component> {
        let bytes = self.0.read(Self::name(engine, digest)).ok()?;
        let (sum, code) = bytes.split_at_checked(32)?;
        if blake3::hash(code).as_bytes() != sum {
            return None;
        }
        // SAFETY: the directory is private to this user, the bytes were written by `put`, and their sum is right.
        unsafe { Component::deserialize(engine, code) }.ok()
    }

    fn put(&self, engine: &Engine, digest: &str, component: &Component) {
        let Ok(code) = component.serialize() else { return };
        let name = Self::name(engine, digest);
        let temporary = format!("{name}.{}", std::process::id());
        let bytes = [blake3::hash(&code).as_bytes().as_slice(), &code].concat();
        if let Err(e) =
            self.0.write(&temporary, bytes).and_then(|()| self.0.rename(&temporary, &self.0, &name))
        {
            tracing::warn!("compiled code was not cached: {e}");
        }
    }
}
