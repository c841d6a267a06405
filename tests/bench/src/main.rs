//! Measures copies of a half-full disk image, ours and others', in turn, and prints medians.

mod archive;
mod copy;
mod guest;
mod image;
mod measure;
mod program;
mod server;
mod table;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::Command;

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
    /// Copies with the library.
    Copy { format: String, source: String, target: PathBuf },
    /// Measures the archive against restic and borg instead.
    Archive {
        /// MiB of files in the guest.
        #[arg(long, default_value_t = 2560)]
        files: u64,
    },
    /// Runs a command and prints its seconds and peak memory.
    Measure { command: Vec<String> },
}

/// A way to make a copy.
struct Way {
    /// Where the image is read from.
    from: &'static str,
    format: &'static str,
    name: &'static str,
    command: Vec<String>,
    ours: bool,
}

/// Ways from `source`, which is a file or a server's address.
fn ways(from: &'static str, source: &str, target: &Path) -> Result<Vec<Way>> {
    let me = std::env::current_exe()?.display().to_string();
    let target = target.display().to_string();
    let way = |format, name, words: &[&str], ours| {
        let ends = [source.to_owned(), target.clone()];
        let command = words.iter().map(|word| word.to_string()).chain(ends).collect();
        Way { from, format, name, command, ours }
    };
    let qemu = ["qemu-img", "convert", "-f", "raw", "-O"];
    let many = ["qemu-img", "convert", "-m", "16", "-W", "-f", "raw", "-O"];
    let mut ways =
        vec![way("raw", "wherry", &[&me, "copy", "raw"], true), way("raw", "nbdcopy", &["nbdcopy"], false)];
    if from == FILE {
        ways.extend([
            way("raw", "cp --sparse=auto", &["cp", "--sparse=auto"], false),
            way("raw", "qemu-img", &[&qemu[..], &["raw"]].concat(), false),
            way("raw", "qemu-img -m 16 -W", &[&many[..], &["raw"]].concat(), false),
            // The format adapter is linked natively here; `program` measures what the sandbox costs.
            way("qcow2", "wherry", &[&me, "copy", "qcow2"], true),
            way("qcow2", "qemu-img", &[&qemu[..], &["qcow2"]].concat(), false),
            way("qcow2", "qemu-img -m 16 -W", &[&many[..], &["qcow2"]].concat(), false),
        ]);
    }
    Ok(ways)
}

const FILE: &str = "file";

/// Removed with the scope, also after an error.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

/// Whether the copy is the image, as qemu-img sees it.
fn compare(way: &Way, source: &Path, target: &Path) -> Result<()> {
    let files = [source.as_os_str(), target.as_os_str()];
    let compared =
        Command::new("qemu-img").args(["compare", "-f", "raw", "-F", way.format]).args(files).output()?;
    anyhow::ensure!(compared.status.success(), "{} {} made another disk", way.name, way.format);
    Ok(())
}

fn bench(words: &Words) -> Result<()> {
    std::fs::create_dir_all(&words.folder).context("cannot make the folder for the bench")?;
    let scratch = Scratch(words.folder.join(format!("run-{}", std::process::id())));
    std::fs::create_dir(&scratch.0)?;
    let (source, target) = (scratch.0.join("source.raw"), scratch.0.join("copy"));
    let data = image::make(&source, words.mib)?;
    let mut list = ways(FILE, &source.display().to_string(), &target)?;
    let servers = server::start(&source)?;
    for server in &servers {
        list.extend(ways(server.name, &server.uri, &target)?);
    }
    let ways = list;
    let mut figures: Vec<Vec<measure::Figures>> = ways.iter().map(|_| Vec::new()).collect();
    for round in 0..words.rounds {
        for (way, figures) in ways.iter().zip(&mut figures) {
            eprintln!(
                "round {} of {}: {}, {} to {}",
                round + 1,
                words.rounds,
                way.name,
                way.from,
                way.format
            );
            figures.push(measure::copy(&way.command, &target).with_context(|| way.name.to_string())?);
            if round == 0 {
                compare(way, &source, &target)?;
            }
        }
    }
    let table = table::Table::new(&ways, &figures, words, data);
    table.print();
    let answer =
        serde_json::json!({ "copies": table.json(), "program": program::measure(&scratch.0, words.rounds)? });
    std::fs::write(&words.json, format!("{answer:#}\n"))?;
    println!("\nwritten to {}", words.json.display());
    Ok(())
}

/// The archive's bench.
fn archives(words: &Words, files: u64) -> Result<()> {
    std::fs::create_dir_all(&words.folder).context("cannot make the folder for the bench")?;
    let scratch = Scratch(words.folder.join(format!("run-{}", std::process::id())));
    std::fs::create_dir(&scratch.0)?;
    let answer = archive::bench(&scratch.0, files, words.rounds)?;
    let json = words.json.with_file_name("bench-archive.json");
    std::fs::write(&json, format!("{answer:#}\n"))?;
    println!("\nwritten to {}", json.display());
    Ok(())
}

fn main() -> Result<()> {
    let words = Words::parse();
    match &words.inner {
        None => bench(&words),
        Some(Inner::Copy { format, source, target }) => copy::run(format, source, target),
        Some(Inner::Measure { command }) => measure::child(command),
        Some(Inner::Archive { files }) => archives(&words, *files),
    }
}
