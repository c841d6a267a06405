//! Measures copies of a half-full disk image, ours and others', in turn, and prints medians.

mod archive;
mod guest;
mod image;
mod measure;
mod program;
mod registry;
mod server;
mod table;
mod ways;
mod windows;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::Command;
use ways::Way;

#[derive(Parser)]
struct Words {
    #[command(subcommand)]
    inner: Option<Inner>,
    /// How often each copy is made.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Size of the image in MiB; half of it is data.
    #[arg(long, default_value_t = 4096)]
    mib: u64,
    /// Only copies whose line in the table holds this text.
    #[arg(long, default_value = "")]
    only: String,
    /// No copies whose line holds this text.
    #[arg(long)]
    without: Option<String>,
    /// Where image and copies are made, and removed afterwards: on the disk that is to be measured.
    #[arg(long, default_value = "target/bench")]
    folder: PathBuf,
    /// Where the figures are written.
    #[arg(long, default_value = "target/bench.json")]
    json: PathBuf,
}

/// The program's other halves, in processes of their own so that their memory can be told apart.
#[derive(Subcommand)]
enum Inner {
    /// Measures the archive against restic and borg instead.
    Archive {
        /// MiB of files in the guest.
        #[arg(long, default_value_t = 2560)]
        files: u64,
    },
    /// Measures edits of a large registry hive instead.
    Registry {
        /// MiB of it.
        #[arg(long, default_value_t = 100)]
        mib: u64,
    },
    /// Measures inspecting and adapting a large Windows instead.
    Windows {
        /// Files beside Windows' own.
        #[arg(long, default_value_t = 100_000)]
        files: u64,
        /// MiB of the SOFTWARE hive.
        #[arg(long, default_value_t = 100)]
        software: u64,
    },
    /// Runs a command and prints its seconds and peak memory.
    Measure { command: Vec<String> },
}

/// Removed with the scope, also after an error.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

/// Whether the copy is the disk, as qemu-img sees it; of one without its free blocks, as e2fsck does.
fn compare(way: &Way, source: &Path, target: &Path) -> Result<()> {
    if way.name.ends_with("--used-only") {
        let raw = target.with_extension("checked");
        let convert = ["convert", "-f", way.format, "-O", "raw"];
        let read = Command::new("qemu-img").args(convert).arg(target).arg(&raw).output()?;
        anyhow::ensure!(read.status.success(), "qemu-img cannot read what {} made", way.name);
        let checked = Command::new("e2fsck").arg("-fn").arg(&raw).output()?;
        anyhow::ensure!(checked.status.success(), "{} {} made a damaged file system", way.name, way.to);
        return Ok(std::fs::remove_file(raw)?);
    }
    let files = [source.as_os_str(), target.as_os_str()];
    let compared =
        Command::new("qemu-img").args(["compare", "-f", "raw", "-F", way.format]).args(files).output()?;
    anyhow::ensure!(compared.status.success(), "{} {} made another disk", way.name, way.to);
    Ok(())
}

fn bench(words: &Words) -> Result<()> {
    std::fs::create_dir_all(&words.folder).context("cannot make the folder for the bench")?;
    let scratch = Scratch(words.folder.join(format!("run-{}", std::process::id())));
    std::fs::create_dir(&scratch.0)?;
    let (full, target) = (scratch.0.join("full.raw"), scratch.0.join("copy"));
    let data = image::make(&full, words.mib)?;
    let guest = guest::with_free_blocks(&scratch.0, words.mib / 2)?;
    let servers = server::start(&full)?;
    let mut ways = ways::list(&full, &guest, &servers, &target);
    ways.retain(|way| {
        let line = format!("{} {} {}", way.from, way.to, way.name);
        line.contains(&words.only) && !words.without.as_ref().is_some_and(|text| line.contains(text))
    });
    let mut figures: Vec<Vec<measure::Figures>> = ways.iter().map(|_| Vec::new()).collect();
    for round in 0..words.rounds {
        for (way, figures) in ways.iter().zip(&mut figures) {
            let Way { from, to, name, .. } = way;
            eprintln!("round {} of {}: {name}, {from} to {to}", round + 1, words.rounds);
            figures.push(measure::copy(&way.command, &target).with_context(|| name.to_string())?);
            if round == 0 {
                compare(way, if *from == ways::GUEST { &guest } else { &full }, &target)?;
            }
        }
    }
    let table = table::Table::new(&ways, &figures, words, data);
    table.print();
    let program = program::measure(&scratch.0, words.rounds)?;
    let answer = serde_json::json!({ "copies": table.json(), "program": program });
    std::fs::write(&words.json, format!("{answer:#}\n"))?;
    println!("\nwritten to {}", words.json.display());
    Ok(())
}

/// One of the other benches, in a folder of its own.
fn other(words: &Words, name: &str, run: impl FnOnce(&Path) -> Result<serde_json::Value>) -> Result<()> {
    std::fs::create_dir_all(&words.folder).context("cannot make the folder for the bench")?;
    let scratch = Scratch(words.folder.join(format!("run-{}", std::process::id())));
    std::fs::create_dir(&scratch.0)?;
    let answer = run(&scratch.0)?;
    let json = words.json.with_file_name(name);
    std::fs::write(&json, format!("{answer:#}\n"))?;
    println!("\nwritten to {}", json.display());
    Ok(())
}

fn main() -> Result<()> {
    let words = Words::parse();
    match &words.inner {
        None => bench(&words),
        Some(Inner::Measure { command }) => measure::child(command),
        Some(Inner::Archive { files }) => {
            other(&words, "bench-archive.json", |folder| archive::bench(folder, *files, words.rounds))
        }
        Some(Inner::Registry { mib }) => {
            other(&words, "bench-registry.json", |folder| registry::bench(folder, *mib, words.rounds))
        }
        Some(Inner::Windows { files, software }) => other(&words, "bench-windows.json", |folder| {
            windows::bench(folder, *files, *software, words.rounds)
        }),
    }
}
