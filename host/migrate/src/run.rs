//! Carrying out a plan: claim the place, pump each disk, define the machine. Every step can be repeated.

use crate::convert::facts_of;
use crate::device::{self, Device, Grant, Wanted};
use crate::digest::digests;
use crate::plan::Plan;
use crate::ship::Ship;
use crate::sink::Image;
use crate::target::{Done, Job, Sum};
use crate::{Error, ErrorKind, Result, pack};
use block::{Disk, FileDisk};
use runtime::{Adapters, contract};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use transfer::{Layout, Target};
use workload::{Fact, find};

/// How to move the bytes.
#[derive(Clone, Debug, Default)]
pub struct Transfer {
    /// Devices that the target may have.
    pub devices: Vec<Grant>,
    /// Read the target again and compare.
    pub verify: bool,
    /// The target holds an older state: write only what differs.
    pub update: bool,
    /// Have the kernel write (io_uring) where it can, and not threads.
    pub ring: bool,
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
        /// The target's file or device.
        file: &'a Path,
        /// How far it is.
        progress: transfer::Progress,
    },
    /// A file is being compared with its digest, or its digest is made.
    Checking {
        /// Which one.
        file: &'a str,
        /// Bytes done.
        done: u64,
        /// Of how many.
        total: u64,
    },
    /// Finished files are being packed into one.
    Packing {
        /// The one.
        file: &'a Path,
        /// Bytes done.
        done: u64,
        /// Of how many.
        total: u64,
    },
    /// A finished file is being sent to a server.
    Sending {
        /// Which one.
        file: &'a Path,
        /// Bytes done.
        done: u64,
        /// Of how many.
        total: u64,
    },
    /// Two disks are being compared.
    Comparing {
        /// The first.
        file: &'a Path,
        /// Bytes done.
        done: u64,
        /// Of how many.
        total: u64,
    },
}

/// One disk that arrived.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Arrived {
    /// Its file or device.
    pub file: PathBuf,
    /// Read from the source in this run.
    pub bytes_read: u64,
    /// Written into the file in this run.
    pub bytes_written: u64,
    /// Whether this run brought it there; else an earlier one did.
    pub moved: bool,
    /// BLAKE3 over the BLAKE3s of every MiB that the guest will see; none if an earlier run made the file, and for snapshots,
    /// whose every chunk is checked against its own, unless the target was compared.
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
    /// Files that were sent to a server, and are no longer here.
    pub sent: Vec<String>,
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
        pack::clear(&done.parts)?;
        return Ok(repeated(done, started));
    }
    let before = plan.destination.job(&plan.name).filter(|job| job.key == plan.key);
    if !before.as_ref().is_some_and(|job| job.checked) {
        check(plan, adapters, watch)?;
    }
    let output = plan.destination.output()?;
    let folder = output.path.clone();
    let mut target = plan.destination.target(Some(output))?;
    let sinks = target.prepare(&plan.key, &plan.machine, &plan.device_profile)?;
    let (begun, devices, sums) = before.map(|job| (job.begun, job.devices, job.sums)).unwrap_or_default();
    let (key, time) = (plan.key.clone(), adapters.job.now());
    let mut job = Job { key, time, checked: true, begun, devices, sums, done: None };
    plan.destination.keep(&plan.name, &job)?;
    let moving = Move { plan, how, adapters, watch, folder: &folder };
    let mut disks = bring(&moving, &sinks, &mut job)?;
    let mut machine = plan.machine.clone();
    if needs_sums(&mut target)? {
        machine.facts.extend(moving.sums(&disks, &mut job)?);
    }
    let ship = Ship { plan, machine: &machine, folder: &folder, adapters, watch };
    let sent = ship.run(&mut target)?;
    if let Some(sent) = &sent {
        machine.facts.push(contract::Fact { key: "shipment.note".into(), value: sent.note.clone() });
    }
    let facts = facts_of(target.finish(&plan.key, &machine, &plan.device_profile)?);
    let mut done = Done {
        disks: disks.iter().map(|disk| disk.file.clone()).collect(),
        definitions: all(&facts, "definition."),
        next: all(&facts, "next."),
        parts: Vec::new(),
        sent: Vec::new(),
    };
    if let Some(sent) = sent {
        // What a server has is not kept here as well.
        done.parts = sent.files.iter().map(|name| folder.join(name)).collect();
        done.disks.retain(|disk| !done.parts.contains(disk));
        done.sent = sent.files;
    }
    if let Some(name) = find(&facts, "pack") {
        let file = folder.join(name);
        done.parts = moving.pack(name, &all(&facts, "pack."), job.time)?;
        (done.disks, done.definitions) = (vec![file.clone()], vec![name.into()]);
        disks.iter_mut().for_each(|disk| disk.file.clone_from(&file));
    }
    job.done = Some(done.clone());
    plan.destination.keep(&plan.name, &job)?;
    pack::clear(&done.parts)?;
    let seconds = started.elapsed().as_secs_f64();
    let Done { definitions, next, sent, .. } = done;
    Ok(Outcome { disks, definitions, next, sent, already_done: false, seconds })
}

fn all(facts: &[Fact], prefix: &str) -> Vec<String> {
    facts.iter().filter(|fact| fact.key.starts_with(prefix)).map(|fact| fact.value.clone()).collect()
}

/// Whether the target writes the digests of files down.
fn needs_sums(target: &mut runtime::Target) -> Result<bool> {
    let all = target.capabilities()?;
    Ok(all.iter().any(|fact| fact.key == "needs" && fact.value == "disk.sha256"))
}

/// Compares the source's files with the digests that came with them.
fn check(plan: &Plan, adapters: &Adapters, watch: &(dyn Fn(Event<'_>) + Sync)) -> Result<()> {
    let mut told = |file: &str, done, total| {
        watch(Event::Checking { file, done, total });
        stopped(adapters)
    };
    plan.definition.as_ref().map_or(Ok(()), |definition| definition.check(&mut told))
}

pub(crate) fn stopped(adapters: &Adapters) -> Result<()> {
    match adapters.job.cancelled() {
        true => Err(Error::new(ErrorKind::Stopped, "stopped; the same command goes on from there")),
        false => Ok(()),
    }
}

/// Brings the disks of a machine that an earlier `migrate` made to the source's present state: what differs is written, the
/// machine's definition stays. Killed, the disks are no disks until the same call has come to its end.
pub fn sync(
    plan: &Plan,
    how: &Transfer,
    adapters: &Adapters,
    watch: &(dyn Fn(Event<'_>) + Sync),
) -> Result<Outcome> {
    let started = Instant::now();
    // The room is taken already.
    let blocking = plan.blocking().filter(|concern| concern.id != "target.no-space");
    let blocking: Vec<&str> = blocking.map(|concern| concern.message.as_str()).collect();
    if !blocking.is_empty() {
        return Err(Error::new(ErrorKind::Blocked, format!("nothing was written: {}", blocking.join("; "))));
    }
    let job = plan.destination.job(&plan.name);
    let Some((job, done)) = job.and_then(|job| job.done.clone().map(|done| (job, done))) else {
        let what = format!("{} in {}", plan.name, plan.destination.directory.display());
        return Err(Error::usage(format!(
            "there is no complete machine {what} to bring up to date: migrate first"
        )));
    };
    check(plan, adapters, watch)?;
    let output = plan.destination.output()?;
    let folder = output.path.clone();
    let mut target = plan.destination.target(Some(output))?;
    let sinks = target.prepare(&job.key, &plan.machine, &plan.device_profile)?;
    if sinks.len() != plan.disks.len() {
        return Err(Error::failed(format!(
            "the machine has {} disks, the source {}",
            sinks.len(),
            plan.disks.len()
        )));
    }
    let how = Transfer { update: true, ..how.clone() };
    let moving = Move { plan, how: &how, adapters, watch, folder: &folder };
    let fresh = Job { devices: Vec::new(), ..job };
    let devices = moving.devices(&sinks, &fresh)?;
    let mut disks = Vec::new();
    for (number, ((disk, sink), device)) in plan.disks.iter().zip(&sinks).zip(devices).enumerate() {
        disks.push(match (sink, device) {
            (contract::Sink::File(sink), _) => moving.update_file(number, disk.as_ref(), sink)?,
            (_, Some(device)) => moving.to_device(number, disk.as_ref(), &device)?,
            (contract::Sink::Device(path), None) => {
                return Err(Error::failed(format!("{path} was not looked at")));
            }
        });
    }
    let seconds = started.elapsed().as_secs_f64();
    let Done { definitions, next, sent, .. } = done;
    Ok(Outcome { disks, definitions, next, sent, already_done: false, seconds })
}

/// Brings every disk into its place; what is there already stays.
fn bring(moving: &Move<'_>, sinks: &[contract::Sink], job: &mut Job) -> Result<Vec<Arrived>> {
    let plan = moving.plan;
    let devices = moving.devices(sinks, job)?;
    if devices.iter().any(Option::is_some) {
        job.begun = devices.iter().flatten().map(|device| device.name().into()).collect();
        plan.destination.keep(&plan.name, job)?;
    }
    let mut disks = Vec::new();
    for (number, ((disk, sink), device)) in plan.disks.iter().zip(sinks).zip(devices).enumerate() {
        disks.push(match (sink, device) {
            (contract::Sink::File(sink), _) => moving.to_file(disk.as_ref(), sink)?,
            (_, Some(Device::Done(path))) => earlier(&path),
            (_, Some(device)) => {
                let arrived = moving.to_device(number, disk.as_ref(), &device)?;
                job.devices.push(device.name().into());
                plan.destination.keep(&plan.name, job)?;
                arrived
            }
            (contract::Sink::Device(path), None) => {
                return Err(Error::failed(format!("{path} was not looked at")));
            }
        });
    }
    Ok(disks)
}

/// The record of a run that finished this very migration, if its disks are still there.
fn finished(plan: &Plan) -> Option<Done> {
    let job = plan.destination.job(&plan.name).filter(|job| job.key == plan.key)?;
    job.done.filter(|done| done.disks.iter().all(|disk| device::name(&disk.to_string_lossy()).is_some()))
}

fn repeated(done: Done, started: Instant) -> Outcome {
    Outcome {
        disks: done.disks.iter().map(|file| earlier(file)).collect(),
        definitions: done.definitions,
        next: done.next,
        sent: done.sent,
        already_done: true,
        seconds: started.elapsed().as_secs_f64(),
    }
}

/// A disk's way into its place.
struct Move<'a> {
    plan: &'a Plan,
    how: &'a Transfer,
    adapters: &'a Adapters,
    watch: &'a (dyn Fn(Event<'_>) + Sync),
    folder: &'a Path,
}

impl Move<'_> {
    /// Each device that the target names, checked before any is written to; none for a file.
    fn devices(&self, sinks: &[contract::Sink], job: &Job) -> Result<Vec<Option<Device>>> {
        let mut found: Vec<Option<Device>> = Vec::new();
        for (disk, sink) in self.plan.disks.iter().zip(sinks) {
            let contract::Sink::Device(said) = sink else {
                found.push(None);
                continue;
            };
            let known = device::name(said).filter(|name| job.devices.contains(name));
            let wanted = Wanted {
                said,
                disk: disk.as_ref(),
                sources: &self.plan.sources,
                grants: &self.how.devices,
                begun: &job.begun,
            };
            let device = known.map_or_else(|| wanted.check(), |name| Ok(Device::Done(name)))?;
            if found.iter().flatten().any(|other| other.name() == device.name()) {
                return Err(Error::failed(format!("the target wants two disks on one device, {said}")));
            }
            found.push(Some(device));
        }
        Ok(found)
    }

    fn to_file(&self, disk: &dyn Disk, sink: &contract::FileSink) -> Result<Arrived> {
        let file = self.folder.join(&sink.name);
        // A disk gets its name when it is complete, and the claim keeps others' files apart: an earlier run made it.
        if file.exists() {
            return Ok(earlier(&file));
        }
        let layout = Image::create(sink, disk.length(), self.adapters)?;
        if !layout.parts().is_empty() {
            let what = format!("{} in several files: a machine's disk is one", file.display());
            return Err(Error::failed(what));
        }
        let identity = format!("{:?}", sink.options);
        self.pump(disk, Target::New(&file), &file, Box::new(layout), &identity)
    }

    fn update_file(&self, number: usize, disk: &dyn Disk, sink: &contract::FileSink) -> Result<Arrived> {
        let file = self.folder.join(&sink.name);
        if sink.format.strip_prefix("format-") != Some("raw") {
            let what =
                format!("{} is {}, which cannot be brought up to date in place", file.display(), sink.format);
            return Err(Error::usage(format!("{what}; migrate with --wish format=raw, then sync")));
        }
        let checkpoint = self.folder.join(format!(".{}.disk-{number}.wherry-checkpoint", self.plan.name));
        let layout = transfer::Raw { length: disk.length() };
        let target = Target::Existing { path: &file, checkpoint: &checkpoint };
        self.pump(disk, target, &file, Box::new(layout), &format!("sync {number}"))
    }

    fn to_device(&self, number: usize, disk: &dyn Disk, device: &Device) -> Result<Arrived> {
        let checkpoint = self.folder.join(format!(".{}.disk-{number}.wherry-checkpoint", self.plan.name));
        let layout = transfer::Raw { length: disk.length() };
        self.pump(
            disk,
            device.target(&checkpoint),
            device.name(),
            Box::new(layout),
            &format!("disk {number}"),
        )
    }

    /// Sizes and digests of the finished files, for the target; those that an earlier run has made are believed.
    fn sums(&self, disks: &[Arrived], job: &mut Job) -> Result<Vec<contract::Fact>> {
        let mut facts = Vec::new();
        for (need, arrived) in self.plan.machine.disks.iter().zip(disks) {
            let file = FileDisk::open_read(&arrived.file)?;
            let (name, total) = (arrived.file.display().to_string(), file.length());
            // One that this run has made may differ from what was there before.
            let same = |sum: &&Sum| sum.file == arrived.file && sum.size == total && !arrived.moved;
            let known = job.sums.iter().find(same).cloned();
            let sum = match known {
                Some(sum) => sum,
                None => {
                    let mut told = |done| {
                        (self.watch)(Event::Checking { file: &name, done, total });
                        stopped(self.adapters)
                    };
                    let sha256 = digests(&file, &["sha256"], &mut told)?.remove(0);
                    let sum = Sum { file: arrived.file.clone(), size: total, sha256 };
                    job.sums.retain(|other| other.file != sum.file);
                    job.sums.push(sum.clone());
                    self.plan.destination.keep(&self.plan.name, job)?;
                    sum
                }
            };
            let fact =
                |what: &str, value| contract::Fact { key: format!("disk.{}.{what}", need.index), value };
            facts.extend([fact("stored-size", sum.size.to_string()), fact("sha256", sum.sha256)]);
        }
        Ok(facts)
    }

    /// Packs these files of the folder into one.
    fn pack(&self, name: &str, members: &[String], time: u64) -> Result<Vec<PathBuf>> {
        let file = self.folder.join(name);
        pack::pack(self.folder, name, members, time, &mut |done, total| {
            (self.watch)(Event::Packing { file: &file, done, total });
            stopped(self.adapters)
        })
    }

    fn pump(
        &self,
        disk: &dyn Disk,
        target: Target<'_>,
        file: &Path,
        layout: Box<dyn Layout>,
        identity: &str,
    ) -> Result<Arrived> {
        let identity = format!("{} {} {identity}", self.plan.key, self.plan.digest);
        let options = self.how.options(identity, self.adapters);
        arrive(disk, (target, file), layout, &options, self.watch)
    }
}

impl Transfer {
    /// What the pump is told.
    pub(crate) fn options(&self, identity: String, adapters: &Adapters) -> transfer::Options {
        let usual = transfer::Options::default();
        transfer::Options {
            verify: self.verify,
            update: self.update,
            changed: None,
            ring: self.ring,
            limit_rate: self.limit_rate,
            identity,
            cancel: adapters.job.stop_flag(),
            memory: self.memory.unwrap_or(usual.memory),
            threads: self.threads.unwrap_or(usual.threads),
            checkpoint: self.checkpoint.unwrap_or(usual.checkpoint),
        }
    }
}

/// Pumps a disk into a target whose final name is `file`.
pub(crate) fn arrive(
    disk: &dyn Disk,
    (target, file): (Target<'_>, &Path),
    layout: Box<dyn Layout>,
    options: &transfer::Options,
    watch: &(dyn Fn(Event<'_>) + Sync),
) -> Result<Arrived> {
    let report = transfer::run(disk, target, layout, options, &|progress| {
        watch(Event::Moving { file, progress });
    });
    let report = report.map_err(|e| match e.kind {
        transfer::ErrorKind::Cancelled => {
            Error::new(ErrorKind::Stopped, format!("stopped: {e}; the same command goes on from there"))
        }
        _ => Error::failed(e.to_string()),
    })?;
    Ok(Arrived {
        file: file.into(),
        bytes_read: report.bytes_read,
        bytes_written: report.bytes_written,
        moved: true,
        blake3: report.hash.map(|hash| blake3::Hash::from_bytes(hash).to_hex().to_string()),
        seconds: report.elapsed.as_secs_f64(),
    })
}

/// A disk that an earlier run has brought there.
fn earlier(file: &Path) -> Arrived {
    Arrived { file: file.into(), bytes_read: 0, bytes_written: 0, moved: false, blake3: None, seconds: 0.0 }
}
