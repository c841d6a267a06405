//! Where a machine goes: `TARGET:DIRECTORY`, the target's adapter, and the record of the job there.

use crate::servers::{Granted, Servers};
use crate::{Error, Result};
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use runtime::{Adapter, Adapters, Asks, Kind, Lent, Output, Target, Web};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use workload::{Concern, Severity};

/// A target and a directory of the operator's choice.
#[derive(Clone)]
pub struct Destination {
    pub(crate) adapter: Arc<Adapter>,
    /// What the operator called the target.
    pub(crate) word: String,
    pub(crate) directory: PathBuf,
    /// The servers that it may ask.
    pub(crate) servers: Option<Arc<Granted>>,
}

/// What a run leaves beside its disks, so that the same command can go on or see that all is done.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Job {
    /// Of the migration.
    pub key: String,
    /// Seconds since 1970-01-01 UTC at the start of the first run.
    pub time: u64,
    /// Whether the source's files were compared with their digests.
    #[serde(default)]
    pub checked: bool,
    /// Devices that may have been written to.
    #[serde(default)]
    pub begun: Vec<PathBuf>,
    /// Devices that have their disk already: unlike files, they do not show it by being there.
    #[serde(default)]
    pub devices: Vec<PathBuf>,
    /// Finished files whose digests the target needs.
    #[serde(default)]
    pub sums: Vec<Sum>,
    /// What was defined, once everything is done.
    pub done: Option<Done>,
}

/// A finished file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Sum {
    /// Where it is.
    pub file: PathBuf,
    /// Bytes.
    pub size: u64,
    /// Lower-case hexadecimal.
    pub sha256: String,
}

/// The end of a migration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Done {
    /// The disks' files, in order.
    pub disks: Vec<PathBuf>,
    /// The definitions' files.
    pub definitions: Vec<String>,
    /// What a person does next.
    pub next: Vec<String>,
    /// Files that were packed into another or sent away, and are no longer needed.
    #[serde(default)]
    pub parts: Vec<PathBuf>,
    /// What was sent where.
    #[serde(default)]
    pub sent: Vec<String>,
}

impl Destination {
    /// `kvm:/srv/machines`; the directory may be missing.
    pub(crate) fn parse(to: &str, servers: &Servers, adapters: &Adapters) -> Result<Self> {
        let known = || adapters.words(Kind::TargetPlatform).join(", ");
        let Some((target, directory)) = to.split_once(':').filter(|(_, directory)| !directory.is_empty())
        else {
            return Err(Error::usage(format!(
                "`{to}` is no target; say one as TARGET:DIRECTORY, with one of: {}",
                known()
            )));
        };
        let adapter = adapters
            .named(Kind::TargetPlatform, target)
            .ok_or_else(|| Error::usage(format!("there is no target `{target}`; known are: {}", known())))?;
        let directory =
            std::path::absolute(directory).map_err(|e| Error::failed(format!("{directory}: {e}")))?;
        let asks = &adapter.manifest.asks;
        if asks.http.is_empty() && !servers.named.is_empty() {
            return Err(Error::usage(format!(
                "the target `{target}` makes files and asks no server; leave --server out"
            )));
        }
        let servers = Granted::new(servers, asks, adapters.job.stop_flag())?;
        Ok(Self { adapter: adapter.clone(), word: target.into(), directory, servers })
    }

    /// An instance of the target's adapter; it may write into `output` only, and ask the operator's servers.
    pub(crate) fn target(&self, output: Option<Output>) -> Result<Target> {
        let granted = self.servers.as_ref().map(|servers| servers.grant()).unwrap_or_default();
        let grant = Asks { output: output.is_some(), ..granted };
        let web = self.servers.clone().map(|servers| servers as Arc<dyn Web>);
        Ok(Target::open(&self.adapter, &grant, Lent { output, web })?)
    }

    /// A fresh instance for clearing away: a wish to stop does not keep it from its servers.
    pub(crate) fn clearing(&self) -> Result<Target> {
        let servers = self.servers.as_ref().map(|servers| Arc::new(servers.undisturbed()));
        Self { servers, ..self.clone() }.target(Some(self.output()?))
    }

    /// The directory as a capability; it is made if it is missing.
    pub(crate) fn output(&self) -> Result<Output> {
        let path = &self.directory;
        let io = |e| Error::failed(format!("cannot use {} for the new machine: {e}", path.display()));
        std::fs::create_dir_all(path).map_err(io)?;
        let path = path.canonicalize().map_err(io)?;
        let dir = Dir::open_ambient_dir(&path, ambient_authority()).map_err(io)?;
        Ok(Output { dir, path })
    }

    fn record(&self, name: &str) -> PathBuf {
        self.directory.join(format!(".{name}.wherry-job.json"))
    }

    /// What an earlier run has left here; what cannot be read is none.
    pub(crate) fn job(&self, name: &str) -> Option<Job> {
        serde_json::from_slice(&std::fs::read(self.record(name)).ok()?).ok()
    }

    /// Replaces the record, durably.
    pub(crate) fn keep(&self, name: &str, job: &Job) -> Result<()> {
        let path = self.record(name);
        let io = |e: std::io::Error| Error::failed(format!("cannot write {}: {e}", path.display()));
        let bytes = serde_json::to_vec_pretty(job).map_err(|e| io(e.into()))?;
        let temporary = path.with_extension("json.new");
        let write = || -> std::io::Result<()> {
            let mut file = std::fs::File::create(&temporary)?;
            std::io::Write::write_all(&mut file, &bytes)?;
            file.sync_all()?;
            std::fs::rename(&temporary, &path)
        };
        write().map_err(io)
    }

    /// A concern if what has to be written does not fit. Compression and further zeroes can only make it less.
    pub(crate) fn room(&self, bytes: u64) -> Option<Concern> {
        let existing = self.directory.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/"));
        let room = rustix::fs::statvfs(existing).ok()?;
        let free = room.f_bavail.saturating_mul(room.f_frsize);
        let message = format!("{} has {free} bytes free, and up to {bytes} are needed", existing.display());
        (free < bytes).then(|| Concern {
            id: "target.no-space".into(),
            severity: Severity::Blocking,
            message,
            remedy: Some("free some room, or name another directory".into()),
        })
    }
}
