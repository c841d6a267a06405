//! The `wherry` command: words, no logic.

mod adapters;
mod inspect;

use clap::{Parser, Subcommand, ValueEnum};
use runtime::{Adapters, Limits};
use std::path::PathBuf;
use std::process::ExitCode;

/// Moves whole machines from anywhere to anywhere.
#[derive(Parser)]
#[command(
    version,
    after_help = "Exit codes: 0 done, 1 failed, 2 usage, 3 blocked by a concern, 4 adapter fault."
)]
struct Arguments {
    /// Directory with adapters (.wasm); may be repeated [default: $WHERRY_ADAPTERS, else beside the program]
    #[arg(long, global = true, value_name = "DIR")]
    adapters: Vec<PathBuf>,
    /// How answers are printed
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    output: Format,
    /// How log lines are printed, on standard error
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    log_format: Format,
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
        /// FORMAT:PATH of each disk, such as raw:/dev/sdb or raw:disk.img
        #[arg(required = true)]
        disks: Vec<String>,
    },
    /// The adapters that were found
    Adapters {
        #[command(subcommand)]
        verb: AdaptersVerb,
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

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    start_log(arguments.log_format);
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("wherry: {e:#}");
            let fault = e.downcast_ref::<runtime::Error>().is_some_and(runtime::Error::is_fault);
            ExitCode::from(if fault { 4 } else { 1 })
        }
    }
}

fn start_log(format: Format) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("WHERRY_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        Format::Text => log.init(),
        Format::Json => log.json().init(),
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let adapters = Adapters::load(&directories(&arguments.adapters), cache().as_deref(), &Limits::default())?;
    match &arguments.verb {
        Verb::Inspect { disks } => inspect::run(disks, &adapters, arguments.output),
        Verb::Adapters { verb: AdaptersVerb::List } => adapters::list(&adapters, arguments.output),
        Verb::Adapters { verb: AdaptersVerb::Inspect { id } } => {
            adapters::inspect(&adapters, id, arguments.output)
        }
    }
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
