//! Carrying out a plan: claim the place, pump each disk, define the machine. Every step can be repeated.

use crate::plan::Plan;
use crate::sink::Image;
use crate::target::{Done, Job};
use crate::{Error, ErrorKind, Result};
use block::Disk;
use runtime::{Adapters, contract};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How to move the bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Transfer {
    /// Read the target again and compare.
    pub verify: bool,
    /// Bytes of the source per second.
    pub limit_rate: Option<u64>,
    /// Bytes of memory for buffers; 128 MiB if not said.
    pub memory: Option<u64>,
    /// Workers; the pump's own choice if not said.
    pub threads: Option<usize>,
    /// Time between checkpoints: what a killed run does again at most; 3 s if not said.
    pub checkpoint: Option<Duration>,
}

/// What is going on.
pub enum Event<'a> {
    /// A disk's bytes are moving.
    Moving {
        /// The target's file.
        file: &'a Path,
        /// How far it is.
        progress: transfer::Progress,
    },
}

/// One disk that arrived.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Arrived {
    /// Its file.
    pub file: PathBuf,
    /// Read from the source in this run.
    pub bytes_read: u64,
    /// Written into the file in this run.
    pub bytes_written: u64,
    /// BLAKE3 over the BLAKE3s of every MiB that the guest will see; none if an earlier run made the file.
    pub blake3: Option<String>,
    /// How long it took.
    pub seconds: f64,
}

/// What a migration has made.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Outcome {
    /// The disks, in order.
    pub disks: Vec<Arrived>,
    /// The definitions' files.
    pub definitions: Vec<String>,
    /// What a person does next.
    pub next: Vec<String>,
    /// Whether an earlier run of the same command had done everything.
    pub already_done: bool,
    /// All of it, planning excluded.
    pub seconds: f64,
}

/// Carries out `plan`. The same command after a kill goes on where that run was.
pub fn migrate(
    plan: &Plan,
    how: &Transfer,
    adapters: &Adapters,
    watch: &(dyn Fn(Event<'_>) + Sync),
) -> Result<Outcome> {
    let started = Instant::now();
    let blocking: Vec<&str> = plan.blocking().map(|concern| concern.message.as_str()).collect();
    if !blocking.is_empty() {
        return Err(Error::new(ErrorKind::Blocked, format!("nothing was written: {}", blocking.join("; "))));
    }
    if let Some(done) = finished(plan) {
        return Ok(repeated(done, started));
    }
    let output = plan.destination.output()?;
    let folder = output.path.clone();
    let mut target = plan.destination.target(Some(output))?;
    let sinks = target.prepare(&plan.key, &plan.machine, &plan.device_profile)?;
    let mut job = Job { key: plan.key.clone(), time: adapters.job.now(), done: None };
    plan.destination.keep(&plan.name, &job)?;
    let mut disks = Vec::new();
    for (disk, sink) in plan.disks.iter().zip(&sinks) {
        disks.push(place(plan, disk.as_ref(), sink, &folder, how, adapters, watch)?);
    }
    let facts = target.finish(&plan.key, &plan.machine, &plan.device_profile)?;
    let all = |prefix: &str| -> Vec<String> {
        facts.iter().filter(|fact| fact.key.starts_with(prefix)).map(|fact| fact.value.clone()).collect()
    };
    let (definitions, next) = (all("definition."), all("next."));
    let files = disks.iter().map(|disk| disk.file.clone()).collect();
    job.done = Some(Done { disks: files, definitions: definitions.clone(), next: next.clone() });
    plan.destination.keep(&plan.name, &job)?;
    let seconds = started.elapsed().as_secs_f64();
    Ok(Outcome { disks, definitions, next, already_done: false, seconds })
}

/// The record of a run that finished this very migration, if its disks are still there.
fn finished(plan: &Plan) -> Option<Done> {
    let job = plan.destination.job(&plan.name).filter(|job| job.key == plan.key)?;
    job.done.filter(|done| done.disks.iter().all(|file| file.exists()))
}

fn repeated(done: Done, started: Instant) -> Outcome {
    let disk = |file: &PathBuf| Arrived {
        file: file.clone(),
        bytes_read: 0,
        bytes_written: 0,
        blake3: None,
        seconds: 0.0,
    };
    Outcome {
        disks: done.disks.iter().map(disk).collect(),
        definitions: done.definitions,
        next: done.next,
        already_done: true,
        seconds: started.elapsed().as_secs_f64(),
    }
}

fn place(
    plan: &Plan,
    disk: &dyn Disk,
    sink: &contract::Sink,
    folder: &Path,
    how: &Transfer,
    adapters: &Adapters,
    watch: &(dyn Fn(Event<'_>) + Sync),
) -> Result<Arrived> {
    let sink = match sink {
        contract::Sink::File(sink) => sink,
        contract::Sink::Device(path) => {
            return Err(Error::failed(format!("this host does not write to devices yet ({path})")));
        }
    };
    let file = folder.join(&sink.name);
    // A disk gets its name when it is complete, and the claim keeps others' files apart: an earlier run made it.
    if file.exists() {
        return Ok(Arrived { file, bytes_read: 0, bytes_written: 0, blake3: None, seconds: 0.0 });
    }
    let layout = Image::create(sink, disk.length(), adapters)?;
    let mut options = transfer::Options {
        verify: how.verify,
        limit_rate: how.limit_rate,
        identity: format!("{} {} {:?}", plan.key, plan.digest, sink.options),
        cancel: adapters.job.stop_flag(),
        ..transfer::Options::default()
    };
    options.memory = how.memory.unwrap_or(options.memory);
    options.threads = how.threads.unwrap_or(options.threads);
    options.checkpoint = how.checkpoint.unwrap_or(options.checkpoint);
    let report = transfer::run(disk, &file, Box::new(layout), &options, &|progress| {
        watch(Event::Moving { file: &file, progress });
    });
    let report = report.map_err(|e| match e.kind {
        transfer::ErrorKind::Cancelled => {
            Error::new(ErrorKind::Stopped, format!("stopped: {e}; the same command goes on from there"))
        }
        _ => Error::failed(e.to_string()),
    })?;
    Ok(Arrived {
        file,
        bytes_read: report.bytes_read,
        bytes_written: report.bytes_written,
        blake3: Some(blake3::Hash::from_bytes(report.hash).to_hex().to_string()),
        seconds: report.elapsed.as_secs_f64(),
    })
}
