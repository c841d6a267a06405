//! `wherry capture`, `wherry deploy` and `wherry archive`.

use crate::progress::Progress;
use crate::words::{bytes, parse_bytes, put, say, time};
use crate::{Format, Key, Secrets};
use anyhow::Result;
use archive::{Affected, Archive, PruneOptions, Retention, Settings, Snapshot, VerifyOptions};
use clap::{Args, Subcommand};
use migrate::{Capture, Event, open_archive};
use runtime::Adapters;
use serde::Serialize;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;

/// What a capture is asked for.
#[derive(Args)]
pub struct CaptureArguments {
    /// FORMAT:PATH of each disk, as for inspect
    #[arg(required = true, value_name = "DISK")]
    disks: Vec<String>,
    /// The archive: a directory, s3://BUCKET/PREFIX, az://CONTAINER/PREFIX or gs://BUCKET/PREFIX
    #[arg(long, value_name = "ARCHIVE")]
    to: String,
    #[command(flatten)]
    lent: crate::Lent,
    /// The machine's name [default: the guest's hostname]
    #[arg(long)]
    name: Option<String>,
    /// A word to find the snapshot by; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Leave out what no file system uses: deleted files read as zeroes in the snapshot
    #[arg(long)]
    used_only: bool,
    /// The snapshot to compare with [default: the latest of this machine]
    #[arg(long, value_name = "SNAPSHOT")]
    parent: Option<String>,
    /// What changed since the parent, for each disk in order: a bitmap in a qcow2 image, or thin_delta's or era_invalidate's
    /// output; a server's dirty bitmap (nbd://...?bitmap=NAME) is asked without it. The parent must be the state from which
    /// on changes were kept
    #[arg(long, value_name = "bitmap:NAME|thin-delta:FILE|era-invalidate:BLOCK:FILE")]
    changed: Vec<String>,
    /// Virtual processors that the machine has
    #[arg(long)]
    cpus: Option<u32>,
    /// Memory that the machine has, in MiB
    #[arg(long, value_name = "MIB")]
    memory: Option<u64>,
    /// zstd's level
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i32).range(-7..=19))]
    level: i32,
    /// Workers [default: one more than there are cores]
    #[arg(long)]
    threads: Option<usize>,
    /// Bytes of the source per second at most, such as 50M
    #[arg(long, value_name = "RATE", value_parser = parse_bytes)]
    limit_rate: Option<u64>,
}

/// `wherry archive`.
#[derive(Subcommand)]
pub enum ArchiveVerb {
    /// Makes an archive; encrypted by the environment's password or key file, or by a password that a terminal is asked for
    Init {
        /// Where: a directory, s3://BUCKET/PREFIX, az://CONTAINER/PREFIX or gs://BUCKET/PREFIX
        archive: String,
        /// Bytes of a chunk: a power of two from 16K to 4M
        #[arg(long, value_name = "SIZE", value_parser = parse_bytes, default_value = "256K")]
        chunk_size: u64,
        /// Bytes of a pack, 1M to 256M
        #[arg(long, value_name = "SIZE", value_parser = parse_bytes, default_value = "32M")]
        pack_size: u64,
        /// Without encryption: nothing is asked, whatever the environment has
        #[arg(long)]
        plain: bool,
    },
    /// Lists the snapshots
    Snapshots {
        /// The archive
        archive: String,
        /// Of this machine only
        #[arg(long)]
        machine: Option<String>,
    },
    /// Shows everything that a snapshot says of its machine
    Show {
        /// The archive
        archive: String,
        /// An id or its beginning, a machine's name, or `latest`
        snapshot: String,
    },
    /// Checks the archive; exit code 1 if something is damaged
    Verify {
        /// The archive
        archive: String,
        /// How many of a hundred packs are read
        #[arg(long, default_value_t = 100.0)]
        percent: f64,
        /// Unpack every chunk as well, and compare it with its id
        #[arg(long)]
        deep: bool,
        /// Which packs are read, if not all
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
    /// Removes snapshots by rules, and what no snapshot needs
    Prune {
        /// The archive
        archive: String,
        #[command(flatten)]
        rules: Rules,
        /// Only say what would go
        #[arg(long)]
        dry_run: bool,
        /// How many of a hundred bytes may stay without need, so that less is stored again
        #[arg(long, default_value_t = 5.0)]
        unused: f64,
    },
    /// Removes a snapshot; its bytes go with the next prune
    Remove {
        /// The archive
        archive: String,
        /// Its whole id
        snapshot: String,
    },
    /// Mends what can be mended, and says what is lost
    Repair {
        /// The archive
        archive: String,
    },
    /// Copies snapshots into another archive
    Copy {
        /// The archive
        archive: String,
        /// The other archive
        to: String,
        /// Ids, machines or `latest` [default: all]
        snapshots: Vec<String>,
        #[command(flatten)]
        secrets: Secrets,
    },
    /// Key slots of an encrypted archive
    Key {
        #[command(subcommand)]
        verb: Key,
    },
}

/// What stays, for each machine.
#[derive(Args)]
pub struct Rules {
    /// The newest
    #[arg(long, default_value_t = 0, value_name = "COUNT")]
    keep_last: usize,
    /// The newest of each hour, for so many hours that have one
    #[arg(long, default_value_t = 0, value_name = "COUNT")]
    keep_hourly: usize,
    /// The same by days
    #[arg(long, default_value_t = 0, value_name = "COUNT")]
    keep_daily: usize,
    /// By weeks
    #[arg(long, default_value_t = 0, value_name = "COUNT")]
    keep_weekly: usize,
    /// By months
    #[arg(long, default_value_t = 0, value_name = "COUNT")]
    keep_monthly: usize,
    /// By years
    #[arg(long, default_value_t = 0, value_name = "COUNT")]
    keep_yearly: usize,
    /// Whatever has this tag; may be repeated
    #[arg(long = "keep-tag", value_name = "TAG")]
    keep_tags: Vec<String>,
}

impl Rules {
    fn retention(&self) -> Retention {
        Retention {
            last: self.keep_last,
            hourly: self.keep_hourly,
            daily: self.keep_daily,
            weekly: self.keep_weekly,
            monthly: self.keep_monthly,
            yearly: self.keep_yearly,
            tags: self.keep_tags.clone(),
        }
    }
}

/// How an answer is printed and progress shown.
#[derive(Clone, Copy)]
pub struct Show {
    pub format: Format,
    pub log: Format,
}

impl Show {
    fn answer(self, value: &impl Serialize, text: impl FnOnce()) -> Result<()> {
        match self.format {
            Format::Json => put(&serde_json::to_string_pretty(value)?),
            Format::Text => text(),
        }
        Ok(())
    }
}

/// Captures a machine.
pub fn capture(asked: &CaptureArguments, adapters: &Adapters, show: Show) -> Result<()> {
    let started = Instant::now();
    let wanted = Capture {
        disks: asked.disks.clone(),
        keys: asked.lent.keys.clone(),
        archive: asked.to.clone(),
        name: asked.name.clone(),
        tags: asked.tags.clone(),
        used_only: asked.used_only,
        parent: asked.parent.clone(),
        changed: asked.changed.clone(),
        cpus: asked.cpus,
        memory_mib: asked.memory,
        level: asked.level,
        threads: asked.threads,
        limit_rate: asked.limit_rate,
    };
    let progress = Progress::new(show.log);
    let snapshot = migrate::capture(&wanted, adapters, &|at| captured(&progress, &at))?;
    let seconds = started.elapsed().as_secs_f64();
    let mut value = serde_json::to_value(&snapshot)?;
    value["seconds"] = json!(seconds);
    show.answer(&value, || {
        let all: u64 = snapshot.disks.iter().map(|disk| disk.size).sum();
        let (new, stored) = (bytes(snapshot.added.plain), bytes(snapshot.added.stored));
        say!("snapshot {} of {} in {}", snapshot.id, snapshot.machine, asked.to);
        say!(
            "  {} in {} disk(s); new: {new}, stored as {stored}; {}",
            bytes(all),
            snapshot.disks.len(),
            time(seconds)
        );
    })
}

fn captured(progress: &Progress, at: &archive::Progress) {
    let file = format!("disk {}", at.disk);
    let moving = transfer::Progress {
        done: at.done,
        total: at.total,
        sent: at.stored,
        rate: at.rate,
        stage: transfer::Stage::Copy,
    };
    progress.show(Event::Moving { file: Path::new(&file), progress: moving });
}

/// Everything below `wherry archive`; the exit code.
pub fn run(verb: &ArchiveVerb, adapters: &Adapters, show: Show) -> Result<u8> {
    let stop = adapters.job.stop_flag();
    let progress = Progress::new(show.log);
    let checked = |name: &'static str| {
        let progress = &progress;
        move |done, total| progress.show(Event::Comparing { file: Path::new(name), done, total })
    };
    match verb {
        ArchiveVerb::Init { archive, chunk_size, pack_size, plain } => {
            let sizes = (u32::try_from(*chunk_size)?, u32::try_from(*pack_size)?);
            init(archive, sizes, *plain, adapters.job.now(), show).map(|()| 0)
        }
        ArchiveVerb::Snapshots { archive, machine } => {
            let mut list = open_archive(archive)?.snapshots()?;
            list.retain(|each| machine.as_ref().is_none_or(|name| *name == each.machine));
            show.answer(&list, || snapshots(&list)).map(|()| 0)
        }
        ArchiveVerb::Show { archive, snapshot } => {
            let snapshot = open_archive(archive)?.choose(snapshot)?;
            put(&serde_json::to_string_pretty(&snapshot)?);
            Ok(0)
        }
        ArchiveVerb::Verify { archive, percent, deep, seed } => {
            let options = VerifyOptions { percent: *percent, deep: *deep, seed: *seed };
            let verified = open_archive(archive)?.verify(&options, &stop, &checked("packs"))?;
            show.answer(&verified, || {
                let (read, packs) = (verified.packs_read, verified.packs);
                say!(
                    "{read} of {packs} packs read ({}), {} snapshots",
                    bytes(verified.bytes_read),
                    verified.snapshots
                );
                verified.damage.iter().for_each(|each| say!("damaged: {}: {}", each.object, each.what));
                affected(&verified.affected);
                if verified.is_sound() {
                    say!("nothing is damaged");
                } else {
                    say!("`wherry archive repair` mends what can be mended");
                }
            })?;
            Ok(if verified.is_sound() { 0 } else { 1 })
        }
        ArchiveVerb::Prune { archive, rules, dry_run, unused } => {
            let options =
                PruneOptions { retention: rules.retention(), dry_run: *dry_run, unused_percent: *unused };
            let pruned = open_archive(archive)?.prune(&options, &stop, &checked("packs"))?;
            show.answer(&pruned, || {
                let would = if *dry_run { "would go" } else { "gone" };
                pruned.snapshots.iter().for_each(|id| say!("snapshot {id} {would}"));
                let freed = pruned.bytes.saturating_sub(pruned.kept_bytes);
                say!("{} packs {would}: {} less", pruned.packs, bytes(freed));
                say!(
                    "{} stay, of which nobody needs {}",
                    bytes(pruned.left + pruned.kept_bytes),
                    bytes(pruned.unused)
                );
            })
            .map(|()| 0)
        }
        ArchiveVerb::Remove { archive, snapshot } => {
            let archive = open_archive(archive)?;
            let found = archive.snapshot(snapshot)?;
            archive.remove(&found.id)?;
            let value = json!({ "removed": found.id });
            show.answer(&value, || say!("snapshot {} of {} is gone", found.id, found.machine)).map(|()| 0)
        }
        ArchiveVerb::Repair { archive } => {
            let repaired = open_archive(archive)?.repair(&stop, &checked("packs"))?;
            show.answer(&repaired, || {
                repaired.damage.iter().for_each(|each| say!("was damaged: {}: {}", each.object, each.what));
                say!("{} segments dropped, {} packs put into the index", repaired.segments, repaired.indexed);
                say!("{} chunks saved, {} lost", repaired.saved, repaired.lost);
                affected(&repaired.affected);
                if !repaired.is_whole() {
                    say!("a capture that meets the same bytes brings them back");
                }
            })?;
            Ok(if repaired.is_whole() { 0 } else { 1 })
        }
        ArchiveVerb::Copy { archive, to, snapshots, secrets } => {
            let from = open_archive(archive)?;
            let into = match secrets.read()? {
                Some(secret) => migrate::open_archive_with(to, Some(&secret))?,
                None => open_archive(to)?,
            };
            let chosen: Vec<Snapshot> = match snapshots.is_empty() {
                true => from.snapshots()?,
                false => {
                    snapshots.iter().map(|wanted| from.choose(wanted)).collect::<archive::Result<_>>()?
                }
            };
            let options = archive::Options { cancel: stop, ..Default::default() };
            let mut copied = Vec::new();
            for snapshot in &chosen {
                copied.push(from.copy(snapshot, &into, &options, &|at| captured(&progress, &at))?);
            }
            show.answer(&copied, || {
                for each in &copied {
                    say!("{} of {}: {} stored", each.id, each.machine, bytes(each.added.stored));
                }
            })
            .map(|()| 0)
        }
        ArchiveVerb::Key { verb } => keys(verb, adapters.job.now(), show).map(|()| 0),
    }
}

fn init(address: &str, (chunk_size, pack_size): (u32, u32), plain: bool, now: u64, show: Show) -> Result<()> {
    let secret = if plain { None } else { new_secret(address)? };
    let settings = Settings { chunk_size, pack_size };
    let archive = Archive::create(archive::open(address)?, &settings, secret.as_ref(), now)?;
    show.answer(&archive.config, || match &archive.config.encryption {
        Some(cipher) => say!("an archive is at {}, encrypted ({cipher})", archive.name()),
        None => {
            say!("an archive is at {}, not encrypted", archive.name());
            say!("  for an encrypted one set WHERRY_PASSWORD, WHERRY_PASSWORD_FILE or WHERRY_KEY_FILE");
        }
    })
}

/// What the environment says, else what is typed on a terminal, else none.
fn new_secret(address: &str) -> Result<Option<archive::Secret>> {
    if let Some(secret) = migrate::secret()? {
        return Ok(Some(secret));
    }
    let typed = migrate::ask(&format!("the new archive {address}"), true)?;
    if typed.as_ref().is_some_and(String::is_empty) {
        let message = "the password is empty; say --plain for an archive that is not encrypted".into();
        return Err(migrate::Error { kind: migrate::ErrorKind::Usage, message }.into());
    }
    Ok(typed.map(archive::Secret::Password))
}

fn snapshots(list: &[Snapshot]) {
    say!(
        "{:<16}  {:<20}  {:<20} {:>5} {:>10} {:>10}  tags",
        "snapshot",
        "time (UTC)",
        "machine",
        "disks",
        "size",
        "stored"
    );
    for each in list {
        let size: u64 = each.disks.iter().map(|disk| disk.size).sum();
        let (disks, stored) = (each.disks.len(), bytes(each.added.stored));
        let when = crate::words::date(each.time);
        let tags = each.tags.join(" ");
        say!(
            "{}  {when:<20}  {:<20} {disks:>5} {:>10} {stored:>10}  {tags}",
            each.id,
            each.machine,
            bytes(size)
        );
    }
}

fn affected(list: &[Affected]) {
    for each in list {
        let Affected { snapshot, machine, disk, offset, length } = each;
        say!("cannot be read: {length} bytes at {offset} of {disk} in snapshot {snapshot} of {machine}");
    }
}

fn keys(verb: &Key, now: u64, show: Show) -> Result<()> {
    let none = || {
        anyhow::anyhow!(migrate::Error {
            kind: migrate::ErrorKind::Usage,
            message: "say --password-file or --key-file of the new slot".into(),
        })
    };
    match verb {
        Key::List { archive } => {
            let slots = open_archive(archive)?.slots()?;
            let value: Vec<Value> = slots
                .iter()
                .map(|slot| json!({ "id": slot.id, "label": slot.label, "created": slot.created, "kind": slot.kind }))
                .collect();
            show.answer(&value, || {
                for slot in &slots {
                    say!(
                        "{}  {:<10}  {}  {}",
                        slot.id,
                        slot.kind,
                        crate::words::date(slot.created),
                        slot.label
                    );
                }
            })
        }
        Key::Add { archive, label, secrets } => {
            let secret = secrets.read()?.ok_or_else(none)?;
            let slot = open_archive(archive)?.add_slot(&secret, label, now)?;
            show.answer(&json!({ "added": slot.id }), || say!("key slot {} was added", slot.id))
        }
        Key::Remove { archive, slot } => {
            open_archive(archive)?.remove_slot(slot)?;
            show.answer(&json!({ "removed": slot }), || say!("key slot {slot} is gone"))
        }
    }
}
