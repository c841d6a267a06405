//! The archive against restic and borg: first capture, the same again with everything read, the state after an upgrade, and the
//! way back; every tool in turn, encryption on.

use crate::guest::{self, Guest};
use crate::measure::{Figures, command as measured};
use crate::table::median;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What the tools are asked for.
const WORKS: [&str; 4] = ["first", "again", "upgraded", "restore"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tool {
    Wherry(i32),
    /// At level 1, told what changed.
    Listed,
    Restic,
    Borg,
}

const TOOLS: [Tool; 5] = [Tool::Wherry(1), Tool::Wherry(3), Tool::Listed, Tool::Restic, Tool::Borg];

impl Tool {
    fn name(self) -> String {
        match self {
            Self::Wherry(level) => format!("wherry, zstd {level}"),
            Self::Listed => "wherry, told changes".into(),
            Self::Restic => "restic --force".into(),
            Self::Borg => "borg fixed,4M zstd,1".into(),
        }
    }

    fn version(self) -> String {
        let program = match self {
            Self::Wherry(_) | Self::Listed => "target/release/wherry",
            Self::Restic => "restic",
            Self::Borg => "borg",
        };
        let word = if self == Self::Restic { "version" } else { "--version" };
        let output = Command::new(program).arg(word).output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        text.unwrap_or_default().lines().next().unwrap_or("not installed").into()
    }

    fn is_there(self) -> bool {
        self.version() != "not installed"
    }

    fn place(self, folder: &Path) -> PathBuf {
        folder.join(match self {
            Self::Wherry(level) => format!("archive-wherry-{level}"),
            Self::Listed => "archive-wherry-told".into(),
            Self::Restic => "archive-restic".into(),
            Self::Borg => "archive-borg".into(),
        })
    }

    fn create(self, place: &Path) -> Result<()> {
        let _absent = std::fs::remove_dir_all(place);
        let path = place.display().to_string();
        let words: &[&str] = match self {
            Self::Wherry(_) | Self::Listed => &["target/release/wherry", "archive", "init", &path],
            Self::Restic => &["restic", "-q", "init", "-r", &path],
            Self::Borg => &["borg", "init", "-e", "repokey-blake2", &path],
        };
        let status = Command::new(words[0]).args(&words[1..]).stdout(Stdio::null()).status()?;
        ensure!(status.success(), "{words:?} failed");
        Ok(())
    }

    /// The words that store `disk`, or bring the state `newest` back into the working directory.
    fn words(self, work: &str, place: &Path, disk: &Path, newest: &str) -> Vec<String> {
        let (path, disk, me) = (place.display(), disk.display(), program().display().to_string());
        let line = match (self, work) {
            (Self::Wherry(_) | Self::Listed, "restore") => {
                format!("{me} convert snapshot:{path}#latest --to raw:disk.raw")
            }
            (Self::Wherry(level), _) => {
                format!("{me} capture raw:{disk} --to {path} --name guest --level {level}")
            }
            (Self::Listed, "first") => {
                format!("{me} capture raw:{disk} --to {path} --name guest --level 1")
            }
            (Self::Listed, work) => {
                let list = place.with_file_name(format!("{work}.xml"));
                let told = format!("--changed era-invalidate:{}:{}", guest::BLOCK, list.display());
                format!("{me} capture raw:{disk} --to {path} --name guest --level 1 {told}")
            }
            (Self::Restic, "restore") => format!("restic -q -r {path} restore latest --target ."),
            (Self::Restic, _) => format!("restic -q -r {path} backup --force {disk}"),
            (Self::Borg, "restore") => format!("borg extract --sparse {path}::{newest}"),
            (Self::Borg, work) => {
                let how = "--files-cache disabled --chunker-params fixed,4194304 --sparse -C zstd,1";
                format!("borg create {how} {path}::{work} {disk}")
            }
        };
        line.split(' ').map(String::from).collect()
    }
}

fn program() -> PathBuf {
    std::env::current_dir().unwrap_or_default().join("target/release/wherry")
}

/// What one tool took for one work on one disk.
#[derive(Default)]
struct Series {
    figures: Vec<Figures>,
    stored: Vec<u64>,
}

fn size(place: &Path) -> Result<u64> {
    let output = Command::new("du").args(["-sB1"]).arg(place).output()?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text.split_whitespace().next().context("du said nothing")?.parse()?)
}

/// One tool, one disk, one work: the same name for every state, so that tools know it again.
fn work(tool: Tool, work: &str, guest: &Guest, folder: &Path, series: &mut Series) -> Result<bool> {
    let state = match work {
        "upgraded" => guest.states.get(1),
        "restore" => guest.states.last(),
        _ => guest.states.first(),
    };
    let Some(state) = state else { return Ok(false) };
    let (disk, back, place) = (folder.join("disk.raw"), folder.join("back"), tool.place(folder));
    let _absent = std::fs::remove_file(&disk);
    std::fs::hard_link(state, &disk)?;
    let _absent = std::fs::remove_dir_all(&back);
    std::fs::create_dir(&back)?;
    let before = size(&place)?;
    warm(if work == "restore" { &place } else { &disk })?;
    let newest = if guest.states.len() > 1 { "upgraded" } else { "again" };
    series.figures.push(measured(&tool.words(work, &place, &disk, newest), &back)?);
    series.stored.push(size(&place)?.saturating_sub(before));
    if work == "restore" {
        let made = find(&back)?.context("nothing was restored")?;
        let same = Command::new("cmp").arg("-s").arg(&made).arg(state).status()?;
        ensure!(same.success(), "{} restored something else", tool.name());
        std::fs::remove_dir_all(&back)?;
    }
    Ok(true)
}

/// Brings a file, or all files below a folder, into the page cache: some tools write past it, and some throw out what they read.
fn warm(path: &Path) -> Result<()> {
    if path.is_dir() {
        return std::fs::read_dir(path)?.try_for_each(|entry| warm(&entry?.path()));
    }
    std::io::copy(&mut std::fs::File::open(path)?, &mut std::io::sink())?;
    Ok(())
}

/// The one file below a folder.
fn find(folder: &Path) -> Result<Option<PathBuf>> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let found = if path.is_dir() { find(&path)? } else { Some(path) };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Measures, prints and answers.
pub fn bench(folder: &Path, mib: u64, rounds: usize) -> Result<Value> {
    for name in ["WHERRY_PASSWORD", "RESTIC_PASSWORD", "BORG_PASSPHRASE"] {
        ensure!(std::env::var(name).is_ok(), "{name} is not set; `cargo xtask bench-archive` does that");
    }
    let folder = std::fs::canonicalize(folder)?;
    let guests = guest::make(&folder, mib)?;
    std::fs::write(folder.join("again.xml"), guest::era(&[]))?;
    let (changed, list) = guest::changed(&guests[0].states[0], &guests[0].states[1])?;
    std::fs::write(folder.join("upgraded.xml"), guest::era(&list))?;
    let tools: Vec<Tool> = TOOLS.into_iter().filter(|tool| tool.is_there()).collect();
    let mut rows = Vec::new();
    for guest in &guests {
        let mut all: Vec<Vec<Series>> =
            WORKS.iter().map(|_| tools.iter().map(|_| Series::default()).collect()).collect();
        for round in 0..rounds {
            tools.iter().try_for_each(|tool| tool.create(&tool.place(&folder)))?;
            for (number, name) in WORKS.iter().enumerate() {
                for (tool, series) in tools.iter().zip(&mut all[number]) {
                    eprintln!("round {} of {rounds}: {} {name} by {}", round + 1, guest.name, tool.name());
                    work(*tool, name, guest, &folder, series).with_context(|| tool.name())?;
                }
            }
        }
        for (name, by_tool) in WORKS.iter().zip(&all) {
            rows.extend(lines(guest.name, name, &tools, by_tool));
        }
    }
    print(&rows, &tools, changed);
    let versions: Vec<String> = tools.iter().map(|tool| tool.version()).collect();
    Ok(
        json!({ "mib": mib, "rounds": rounds, "changed-percent": changed, "versions": versions, "rows": rows }),
    )
}

fn lines(guest: &str, work: &str, tools: &[Tool], by_tool: &[Series]) -> Vec<Value> {
    let ours = &by_tool[0].figures;
    let line = |(tool, series): (&Tool, &Series)| {
        let of = |get: fn(&Figures) -> f64| median(series.figures.iter().map(get));
        let pairs =
            series.figures.iter().zip(ours).map(|(other, our)| other.durable_seconds / our.durable_seconds);
        json!({
            "disk": guest,
            "work": work,
            "with": tool.name(),
            "seconds": of(|f| f.seconds),
            "durable-seconds": of(|f| f.durable_seconds),
            "processor-seconds": of(|f| f.processor_seconds),
            "peak-mib": of(|f| f.peak_kib as f64 / 1024.0),
            "added-mib": median(series.stored.iter().map(|bytes| *bytes as f64 / 1048576.0)),
            "ratio-to-ours": median(pairs),
        })
    };
    tools.iter().zip(by_tool).filter(|(_, series)| !series.figures.is_empty()).map(line).collect()
}

fn print(rows: &[Value], tools: &[Tool], changed: f64) {
    println!(
        "archives, encryption on; medians; the last column is durable time divided by that of wherry, zstd 1"
    );
    tools.iter().for_each(|tool| println!("  {}: {}", tool.name(), tool.version()));
    println!("  the upgrade changes {changed:.1} % of the guest's blocks of 4 KiB\n");
    println!(
        "{:8} {:9} {:22} {:>8} {:>8} {:>8} {:>9} {:>9} {:>7}",
        "disk", "work", "with", "s", "durable", "cpu s", "peak MiB", "added MiB", "/ ours"
    );
    for row in rows {
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let number = |key: &str| row[key].as_f64().unwrap_or(f64::NAN);
        println!(
            "{:8} {:9} {:22} {:8.2} {:8.2} {:8.2} {:9.1} {:9.1} {:7.2}",
            text("disk"),
            text("work"),
            text("with"),
            number("seconds"),
            number("durable-seconds"),
            number("processor-seconds"),
            number("peak-mib"),
            number("added-mib"),
            number("ratio-to-ours")
        );
    }
}
