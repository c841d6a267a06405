//! The `wherry` command: words and pictures, no logic.

mod adapters;
mod archive;
mod disk;
mod files;
mod inspect;
mod plan;
mod progress;
mod serve;
mod words;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use migrate::ErrorKind;
use runtime::{Adapters, Limits};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use tracing_subscriber::fmt::format::FmtSpan;

const CODES: &str =
    "Exit codes: 0 done, 1 failed (or disks differ), 2 usage, 3 blocked by a concern, 4 adapter fault.";

/// Moves whole machines from anywhere to anywhere.
#[derive(Parser)]
#[command(version, after_help = CODES)]
struct Arguments {
    /// Directory with adapters (.wasm); may be repeated [default: $WHERRY_ADAPTERS, else beside the program]
    #[arg(long, global = true, value_name = "DIR")]
    adapters: Vec<PathBuf>,
    /// How answers are printed
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    output: Format,
    /// How log lines and progress are printed, on standard error
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    log_format: Format,
    /// A limit of the sandbox: memory, written, read, handed, log (sizes), seconds; may be repeated
    #[arg(long = "limit", global = true, value_name = "NAME=VALUE", value_parser = pair)]
    limits: Vec<(String, String)>,
    #[command(subcommand)]
    verb: Verb,
}

/// For people or for machines.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For machines: stable field names.
    Json,
}

#[derive(Subcommand)]
enum Verb {
    /// Shows what is on a machine's disks
    Inspect {
        /// FORMAT:PATH of each disk, such as raw:/dev/sdb or qcow2:disk.qcow2[,sector=4096][,backing=raw:base.img],
        /// or a machine: ovf:PATH or ova:PATH[,system=ID][,manifest=ignore]
        #[arg(required = true, value_name = "DISK")]
        disks: Vec<String>,
        #[command(flatten)]
        lent: Lent,
    },
    /// Says what a migration would change and move, and what speaks against it; writes nothing
    Plan(Move),
    /// Makes a new machine of a machine's disks; repeated after a kill, it goes on
    Migrate {
        #[command(flatten)]
        asked: Move,
        #[command(flatten)]
        speed: Speed,
    },
    /// Copies a disk into another format; repeated after a kill, it goes on
    Convert(Convert),
    /// Exports a disk over NBD until it is interrupted
    Serve(serve::Serve),
    /// Copies a machine's disks into an archive, as a snapshot
    Capture(archive::CaptureArguments),
    /// Makes a new machine of a snapshot; repeated after a kill, it goes on
    Deploy {
        /// The archive
        archive: String,
        /// An id or its beginning, a machine's name, or `latest`
        snapshot: String,
        #[command(flatten)]
        asked: New,
        #[command(flatten)]
        speed: Speed,
    },
    /// Brings an older copy up to date, writing only what differs: a machine that migrate made with raw disks, or one raw
    /// file, device or export; repeated after a kill, it goes on
    Sync {
        #[command(flatten)]
        asked: Move,
        /// What changed since the state that a single disk's copy holds, so that nothing else is read there: a bitmap in the
        /// image, or thin_delta's or era_invalidate's output; a server's dirty bitmap (nbd://...?bitmap=NAME) is asked without
        /// it. The copy must be the state from which on changes were kept
        #[arg(long, value_name = "bitmap:NAME|thin-delta:FILE|era-invalidate:BLOCK:FILE")]
        changed: Option<String>,
        #[command(flatten)]
        speed: Speed,
    },
    /// Makes archives, and looks after them
    Archive {
        #[command(subcommand)]
        verb: archive::ArchiveVerb,
    },
    /// Lists files of a guest
    Ls {
        /// FORMAT:PATH of a disk, or snapshot:ARCHIVE#SNAPSHOT
        disk: String,
        /// A path in the guest
        #[arg(default_value = "/")]
        path: String,
        /// In this volume alone, such as mbr:1 [default: the whole system]
        #[arg(long)]
        volume: Option<String>,
        /// Another disk of the same machine; may be repeated
        #[arg(long = "with", value_name = "DISK")]
        others: Vec<String>,
        #[command(flatten)]
        lent: Lent,
    },
    /// Copies a file or a directory out of a guest
    Cp {
        /// FORMAT:PATH of a disk, or snapshot:ARCHIVE#SNAPSHOT
        disk: String,
        /// A path in the guest
        path: String,
        /// The new file or directory here
        to: PathBuf,
        /// In this volume alone, such as mbr:1 [default: the whole system]
        #[arg(long)]
        volume: Option<String>,
        /// Another disk of the same machine; may be repeated
        #[arg(long = "with", value_name = "DISK")]
        others: Vec<String>,
        #[command(flatten)]
        lent: Lent,
    },
    /// Looks at single disks
    Disk {
        #[command(subcommand)]
        verb: DiskVerb,
    },
    /// The adapters that were found
    Adapters {
        #[command(subcommand)]
        verb: AdaptersVerb,
    },
    /// Prints completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Prints the manual page (roff)
    Man,
}

#[derive(Args)]
struct Move {
    /// FORMAT:PATH of each disk, such as raw:/dev/sdb or qcow2:disk.qcow2[,sector=4096][,backing=raw:base.img], or a machine:
    /// ovf:PATH or ova:PATH[,system=ID][,manifest=ignore], snapshot:ARCHIVE#SNAPSHOT
    #[arg(required = true, value_name = "DISK")]
    disks: Vec<String>,
    #[command(flatten)]
    new: New,
}

/// The machine to make.
#[derive(Args)]
struct New {
    /// Where to: TARGET:DIRECTORY, such as kvm:/srv/machines
    #[arg(long, value_name = "TARGET")]
    to: String,
    /// The new machine's name [default: the definition's, else the guest's hostname]
    #[arg(long)]
    name: Option<String>,
    /// Virtual processors [default: the definition's, else 2]
    #[arg(long)]
    cpus: Option<u32>,
    /// Memory in MiB [default: the definition's, else 2048]
    #[arg(long, value_name = "MIB")]
    memory: Option<u64>,
    /// A network card: MAC, MAC,NETWORK or ,NETWORK; may be repeated [default: the definition's, else one, its address made
    /// from the name]
    #[arg(long = "nic", value_name = "MAC,NETWORK")]
    nics: Vec<String>,
    /// What the target should choose: disk-bus=virtio-scsi, nic-model=e1000e, format=raw, firmware=uefi ...; may be repeated
    #[arg(long = "wish", value_name = "KEY=VALUE", value_parser = pair)]
    wishes: Vec<(String, String)>,
    /// The server that the target asks, as https://HOST[:PORT][,ca=FILE][,fingerprint=SHA256][,verify=no]; repeated: others
    /// that files may be sent to, https://*.NAME for all below NAME
    #[arg(long = "server", value_name = "SERVER")]
    servers: Vec<String>,
    /// Authorities (PEM) that servers' certificates have to be of [default: the system's]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// A file of secrets for servers (docs/servers.md) [default: $WHERRY_CREDENTIALS]
    #[arg(long, value_name = "FILE")]
    credentials: Option<PathBuf>,
    /// What the guest's own adapter is told: hal=acpiapic_mp, keep-tools=yes ...; may be repeated
    #[arg(long = "guest", value_name = "KEY=VALUE", value_parser = pair)]
    guest: Vec<(String, String)>,
    /// A directory or ISO with vendors' drivers for a Windows guest, or GRUB for a Linux guest on other firmware; may be repeated
    #[arg(long = "drivers", value_name = "PATH")]
    drivers: Vec<PathBuf>,
    #[command(flatten)]
    lent: Lent,
}

/// What the operator lends for the time of one command.
#[derive(Args)]
struct Lent {
    /// What opens an encrypted device: luks:UUID=FILE, or luks:UUID to be asked for the passphrase; may be repeated
    #[arg(long = "key", value_name = "DEVICE[=FILE]")]
    keys: Vec<String>,
}

#[derive(Args)]
struct Speed {
    /// An empty block device, or nbd:// export, that the target may write a disk to; may be repeated
    #[arg(long = "device", value_name = "DEVICE")]
    devices: Vec<PathBuf>,
    /// The same, and what it holds may be lost; may be repeated
    #[arg(long = "overwrite-device", value_name = "DEVICE")]
    overwrite: Vec<PathBuf>,
    /// Read the target again and compare it with what was written
    #[arg(long)]
    verify: bool,
    /// Bytes of the source per second at most, such as 50M
    #[arg(long, value_name = "RATE", value_parser = words::parse_bytes)]
    limit_rate: Option<u64>,
    /// Memory for buffers [default: 128M]
    #[arg(long, value_name = "SIZE", value_parser = words::parse_bytes)]
    buffers: Option<u64>,
    /// Have the kernel write by itself (io_uring) where it can, and not threads: try it where there are many disks or cores
    #[arg(long)]
    io_uring: bool,
    /// Workers [default: four for each core, since they also wait for disks]
    #[arg(long)]
    threads: Option<usize>,
    /// Seconds between checkpoints: what a killed run does again at most [default: 3]
    #[arg(long, value_name = "SECONDS", value_parser = words::parse_seconds)]
    checkpoint: Option<std::time::Duration>,
}

impl Speed {
    fn how(&self) -> migrate::Transfer {
        let grant = |path: &PathBuf, overwrite| migrate::Grant { path: path.clone(), overwrite };
        let blank = self.devices.iter().map(|path| grant(path, false));
        migrate::Transfer {
            devices: blank.chain(self.overwrite.iter().map(|path| grant(path, true))).collect(),
            verify: self.verify,
            update: false,
            ring: self.io_uring,
            limit_rate: self.limit_rate,
            memory: self.buffers,
            threads: self.threads,
            checkpoint: self.checkpoint,
        }
    }
}

#[derive(Args)]
struct Convert {
    /// FORMAT:PATH of the disk, or its path alone if --from says the format
    disk: String,
    /// The disk's format
    #[arg(long, value_name = "FORMAT")]
    from: Option<String>,
    /// FORMAT:PATH of the copy: a new file, or with --device raw:DEVICE or nbd://HOST/NAME
    #[arg(long, value_name = "COPY")]
    to: String,
    /// What the new format's adapter is told, such as cluster-size=2M or compression=zstd; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// Leave out what no file system uses: deleted files read as zeroes in the copy
    #[arg(long)]
    used_only: bool,
    #[command(flatten)]
    lent: Lent,
    #[command(flatten)]
    speed: Speed,
}

#[derive(Subcommand)]
enum DiskVerb {
    /// What an image says of itself
    Info {
        /// FORMAT:PATH
        disk: String,
    },
    /// Where a disk has data and where it is zero (with --output json one object a line)
    Map {
        /// FORMAT:PATH
        disk: String,
    },
    /// Whether two disks hold the same bytes, whatever their formats; exit code 1 if they differ
    Compare {
        /// FORMAT:PATH
        one: String,
        /// FORMAT:PATH
        other: String,
    },
}

#[derive(Subcommand)]
enum AdaptersVerb {
    /// One line for each adapter, and the reason for each that was refused
    List,
    /// Everything one adapter says of itself and asks for
    Inspect {
        /// The adapter's id
        id: String,
    },
}

/// A password or a key.
#[derive(Args)]
struct Secrets {
    /// A file whose first line is the password
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// A file of 32 bytes to 64 KiB, as good as a password
    #[arg(long, value_name = "FILE", conflicts_with = "password_file")]
    key_file: Option<PathBuf>,
}

impl Secrets {
    fn read(&self) -> migrate::Result<Option<::archive::Secret>> {
        match (&self.password_file, &self.key_file) {
            (Some(path), _) => migrate::password_file(path).map(Some),
            (None, Some(path)) => migrate::key_file(path).map(Some),
            (None, None) => Ok(None),
        }
    }
}

#[derive(Subcommand)]
enum Key {
    /// Lists the slots
    List {
        /// The archive
        archive: String,
    },
    /// Adds a slot: the environment's password or key file opens the archive, the new one will open it too
    Add {
        /// The archive
        archive: String,
        /// Words to know the slot by
        #[arg(long, default_value = "")]
        label: String,
        #[command(flatten)]
        secrets: Secrets,
    },
    /// Removes a slot, unless it is the last one
    Remove {
        /// The archive
        archive: String,
        /// The slot's id
        slot: String,
    },
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("`{text}` is no NAME=VALUE"))?;
    Ok((key.trim().into(), value.trim().into()))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    start_log(arguments.log_format);
    match run(&arguments) {
        Ok(code) => ExitCode::from(code),
        Err(e) => {
            eprintln!("wherry: {}", words::clean(&format!("{e:#}")));
            ExitCode::from(exit_code(&e))
        }
    }
}

fn exit_code(e: &anyhow::Error) -> u8 {
    let kind = e.downcast_ref::<migrate::Error>().map(|e| e.kind);
    let fault = e.downcast_ref::<runtime::Error>().is_some_and(runtime::Error::is_fault);
    match kind {
        Some(ErrorKind::Usage) => 2,
        Some(ErrorKind::Blocked) => 3,
        Some(ErrorKind::Fault) => 4,
        _ if fault => 4,
        _ => 1,
    }
}

/// `WHERRY_LOG` says what is logged, as in tracing's directives; `wherry_runtime=debug` shows every adapter call.
fn start_log(format: Format) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("WHERRY_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_span_events(FmtSpan::CLOSE)
        .with_writer(std::io::stderr);
    match format {
        Format::Text => log.init(),
        Format::Json => log.json().init(),
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    match &arguments.verb {
        Verb::Completions { shell } => {
            clap_complete::generate(*shell, &mut Arguments::command(), "wherry", &mut std::io::stdout());
            return Ok(0);
        }
        Verb::Man => {
            clap_mangen::Man::new(Arguments::command()).render(&mut std::io::stdout())?;
            return Ok(0);
        }
        _ => {}
    }
    let limits = limits(&arguments.limits)?;
    let adapters = Adapters::load(&directories(&arguments.adapters), cache().as_deref(), &limits)?;
    for refused in &adapters.refused {
        tracing::warn!("refused: {refused}");
    }
    let flag = adapters.job.stop_flag();
    ctrlc::set_handler(move || interrupt(&flag))?;
    let format = arguments.output;
    let show = archive::Show { format, log: arguments.log_format };
    let blocked = |blocks: bool| if blocks { 3 } else { 0 };
    match &arguments.verb {
        Verb::Inspect { disks, lent } => {
            Ok(if inspect::run(disks, &lent.keys, &adapters, format)? { 4 } else { 0 })
        }
        Verb::Plan(asked) => plan::plan(&asked.disks, &asked.new, &adapters, format).map(blocked),
        Verb::Migrate { asked, speed } => {
            let (disks, new) = (&asked.disks, &asked.new);
            plan::migrate((disks, new), (speed, false), &adapters, format, arguments.log_format).map(blocked)
        }
        Verb::Sync { asked, changed, speed } => {
            if let ([disk], true) = (&asked.disks[..], disk::is_disk(&asked.new.to)) {
                let (pair, changed) = ((disk.as_str(), asked.new.to.as_str()), changed.as_ref());
                return disk::sync(pair, changed, speed, &adapters, show).map(|()| 0);
            }
            if changed.is_some() {
                let what = "--changed is for the copy of a single disk (--to raw:PATH or an export)";
                let why = "in a machine the edits of an earlier run have to be compared as well";
                return Err(
                    migrate::Error { kind: ErrorKind::Usage, message: format!("{what}: {why}") }.into()
                );
            }
            let (disks, new) = (&asked.disks, &asked.new);
            plan::migrate((disks, new), (speed, true), &adapters, format, arguments.log_format).map(blocked)
        }
        Verb::Capture(asked) => archive::capture(asked, &adapters, show).map(|()| 0),
        Verb::Deploy { archive, snapshot, asked, speed } => {
            let disks = [format!("snapshot:{archive}#{snapshot}")];
            plan::migrate((&disks, asked), (speed, false), &adapters, format, arguments.log_format)
                .map(blocked)
        }
        Verb::Archive { verb } => archive::run(verb, &adapters, show),
        Verb::Ls { disk, path, volume, others, lent } => {
            let disks = machine(disk, others);
            files::list((&disks, &lent.keys), path, volume.as_deref(), &adapters, format).map(|()| 0)
        }
        Verb::Cp { disk, path, to, volume, others, lent } => {
            let disks = machine(disk, others);
            files::copy((&disks, &lent.keys), (path, to), volume.as_deref(), &adapters, format).map(|()| 0)
        }
        Verb::Convert(asked) => disk::convert(asked, &adapters, format, arguments.log_format).map(|()| 0),
        Verb::Serve(asked) => serve::run(asked, &adapters, format).map(|()| 0),
        Verb::Disk { verb } => match verb {
            DiskVerb::Info { disk } => disk::info(disk, &adapters, format).map(|()| 0),
            DiskVerb::Map { disk } => disk::map(disk, &adapters, format).map(|()| 0),
            DiskVerb::Compare { one, other } => {
                let same = disk::compare([one, other], &adapters, format, arguments.log_format)?;
                Ok(if same { 0 } else { 1 })
            }
        },
        Verb::Adapters { verb: AdaptersVerb::List } => adapters::list(&adapters, format).map(|()| 0),
        Verb::Adapters { verb: AdaptersVerb::Inspect { id } } => {
            adapters::inspect(&adapters, id, format).map(|()| 0)
        }
        Verb::Completions { .. } | Verb::Man => Ok(0),
    }
}

/// All disks of a machine.
fn machine(first: &str, others: &[String]) -> Vec<String> {
    std::iter::once(first.to_owned()).chain(others.iter().cloned()).collect()
}

/// The first interrupt asks for an orderly stop, the second ends the program; either way the same command goes on.
fn interrupt(flag: &AtomicBool) {
    if flag.swap(true, Relaxed) {
        std::process::exit(130);
    }
    eprintln!("\nstopping; once more to stop at once");
}

/// The defaults, with what the operator says instead.
fn limits(said: &[(String, String)]) -> anyhow::Result<Limits> {
    let mut limits = Limits::default();
    for (name, value) in said {
        let usage = |message: String| anyhow::anyhow!(migrate::Error { kind: ErrorKind::Usage, message });
        let size = || words::parse_bytes(value).map_err(usage);
        match name.as_str() {
            "memory" => limits.memory = size()? as usize,
            "written" => limits.written = size()?,
            "read" => limits.read_in_all = size()?,
            "handed" => limits.handed = size()? as usize,
            "log" => limits.log = size()?,
            "seconds" => {
                let seconds =
                    value.parse().map_err(|_| usage(format!("`{value}` is no number of seconds")))?;
                limits.call_seconds = seconds;
            }
            _ => {
                let known = "memory, written, read, handed, log, seconds";
                return Err(usage(format!("there is no limit `{name}`; known are: {known}")));
            }
        }
    }
    Ok(limits)
}

/// What was said, else `WHERRY_ADAPTERS`, else `adapters` beside the program.
fn directories(said: &[PathBuf]) -> Vec<PathBuf> {
    if !said.is_empty() {
        return said.to_vec();
    }
    if let Some(paths) = std::env::var_os("WHERRY_ADAPTERS") {
        return std::env::split_paths(&paths).collect();
    }
    let program = std::env::current_exe().ok();
    program
        .and_then(|path| Some(path.parent()?.join("adapters")))
        .filter(|path| path.is_dir())
        .into_iter()
        .collect()
}

/// Where compiled adapters are kept.
fn cache() -> Option<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let base = base.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    Some(base.join("wherry").join("code"))
}
