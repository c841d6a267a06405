//! Fuzzing of every parser: libFuzzer by cargo-fuzz, two targets at a time.

use crate::packages::{self, TESTS};
use crate::{cargo, root, run};
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

/// What builds libFuzzer, and the seeds' makers that the tests do not need.
const NEEDS: &[(&str, &str)] =
    &[("/usr/bin/g++", "g++"), ("/usr/bin/bzip2", "bzip2"), ("/sbin/sgdisk", "gdisk")];
const AT_A_TIME: usize = 2;
/// One input that takes longer has found a hang, and one that takes more memory a bomb.
const INPUT_SECONDS: u64 = 20;
const MEMORY_MIB: u64 = 1024;

/// Where everything that fuzzing makes lies: tools, build, seeds, corpora, logs and what was found.
fn place() -> PathBuf {
    root().join("target/fuzz")
}

/// Fuzzes every target, or those of these names, for `seconds` each; an input that crashes one is kept, named, and an
/// error.
pub fn fuzz(seconds: u64, names: &[&str]) -> Result<()> {
    packages::install(TESTS)?;
    packages::install(NEEDS)?;
    let mut targets = targets(&root().join("tests/fuzz/fuzz_targets"))?;
    if let Some(name) = names.iter().find(|name| !targets.iter().any(|target| target == *name)) {
        bail!("no fuzz target is called `{name}`; there are {}", targets.join(", "));
    }
    targets.retain(|target| names.is_empty() || names.contains(&target.as_str()));
    let corpora = place().join("corpus");
    if targets.iter().any(|target| !corpora.join(target).is_dir()) {
        let made = place().join("seeds");
        if made.exists() {
            std::fs::remove_dir_all(&made)?;
        }
        run(Command::new("sh").arg(root().join("tests/fuzz/seeds.sh")).arg(&made))?;
        add(&made, &corpora, &targets)?;
    }
    build(&place().join("build"))?;
    let mut reports = Vec::new();
    for pair in targets.chunks(AT_A_TIME) {
        println!("> fuzzing {} for {seconds} s", pair.join(" and "));
        let started = pair.iter().map(|name| start(name, seconds)).collect::<Result<Vec<_>>>()?;
        for (name, mut child) in pair.iter().zip(started) {
            reports.push(report(name, child.wait()?.success())?);
        }
    }
    println!("{:<16} {:>12} {:>8} {:>8} {:>7}", "target", "runs", "edges", "corpus", "found");
    reports.iter().for_each(|report| println!("{}", report.line));
    let found: Vec<_> = reports.iter().flat_map(|report| &report.found).collect();
    found.iter().for_each(|path| println!("found: {}", path.display()));
    if !found.is_empty() || reports.iter().any(|report| report.failed) {
        bail!("fuzzing found something: see the logs in {}", place().join("log").display());
    }
    Ok(())
}

/// Gives the targets that have no corpus yet their seeds, and removes the others.
fn add(seeds: &Path, corpora: &Path, targets: &[String]) -> Result<()> {
    std::fs::create_dir_all(corpora)?;
    for target in targets.iter().filter(|target| !corpora.join(target).is_dir()) {
        std::fs::rename(seeds.join(target), corpora.join(target))
            .with_context(|| format!("seeds.sh makes no seeds for {target}"))?;
    }
    Ok(std::fs::remove_dir_all(seeds)?)
}

/// The names of the files in the targets' folder.
fn targets(folder: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let stem = |entry: std::io::Result<std::fs::DirEntry>| {
        Some(entry.ok()?.path().file_stem()?.to_str()?.to_owned())
    };
    let mut names: Vec<String> = entries.filter_map(stem).collect();
    names.sort();
    Ok(names)
}

/// Builds all targets with the workspace's own toolchain, to which the instrumentation has to be permitted. Without a
/// sanitizer: the parsers are safe Rust, and without one three times as many inputs are run.
fn build(folder: &Path) -> Result<()> {
    let tools = place().join("tools");
    if !tools.join("bin/cargo-fuzz").exists() {
        run(cargo().args(["install", "cargo-fuzz", "--locked", "--quiet", "--root"]).arg(&tools))?;
    }
    let mut paths = vec![tools.join("bin")];
    paths.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let mut fuzz = cargo();
    fuzz.env("PATH", std::env::join_paths(paths)?).env("RUSTC_BOOTSTRAP", "1");
    fuzz.args(["fuzz", "build", "--sanitizer", "none", "--fuzz-dir", "tests/fuzz", "--target-dir"]);
    run(fuzz.arg(folder))
}

fn start(name: &str, seconds: u64) -> Result<Child> {
    let program = place().join("build").join(host()?).join("release").join(name);
    let corpus = place().join("corpus").join(name);
    let found = place().join("found").join(name);
    let logs = place().join("log");
    [&corpus, &found, &logs].into_iter().try_for_each(std::fs::create_dir_all)?;
    let log = File::create(logs.join(format!("{name}.txt")))?;
    let options = [
        format!("-max_total_time={seconds}"),
        format!("-timeout={INPUT_SECONDS}"),
        format!("-rss_limit_mb={MEMORY_MIB}"),
        format!("-artifact_prefix={}/", found.display()),
        "-print_final_stats=1".into(),
    ];
    let mut command = Command::new(&program);
    command.arg(corpus).args(options).stdout(log.try_clone()?).stderr(log);
    command.spawn().with_context(|| format!("cannot start {}", program.display()))
}

/// The triple that cargo-fuzz builds for.
fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("cannot start rustc")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("host: "));
    line.map(Into::into).context("rustc -vV names no host")
}

struct Report {
    line: String,
    found: Vec<PathBuf>,
    failed: bool,
}

/// From libFuzzer's log: the runs, and the edges and corpus of the last status line.
fn report(name: &str, success: bool) -> Result<Report> {
    let log = std::fs::read(place().join("log").join(format!("{name}.txt")))?;
    let log = String::from_utf8_lossy(&log);
    let runs = log.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    let after = |key: &str| {
        let status = log.lines().rev().find(|line| line.contains(key))?;
        status.split(key).nth(1)?.split_whitespace().next().map(str::to_owned)
    };
    let entries = std::fs::read_dir(place().join("found").join(name))?;
    let found: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    let (edges, corpus) = (after(" cov: ").unwrap_or_default(), after(" corp: ").unwrap_or_default());
    let runs = runs.map(str::trim).unwrap_or("?");
    let line = format!("{name:<16} {runs:>12} {edges:>8} {corpus:>8} {:>7}", found.len());
    Ok(Report { line, found, failed: !success })
}
