//! Runs a copy in a process of its own and looks at what it took.

use anyhow::{Context, Result};
use nix::sys::resource::{UsageWho, getrusage};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What one copy took.
#[derive(Clone, Copy)]
pub struct Figures {
    /// Seconds until the command ended.
    pub seconds: f64,
    /// Seconds until the copy was on the disk.
    pub durable_seconds: f64,
    /// Processor seconds of the command.
    pub processor_seconds: f64,
    /// Peak memory in KiB.
    pub peak_kib: i64,
    /// Bytes that the copy takes on the disk.
    pub stored_bytes: u64,
}

/// Makes a copy once; the last one is removed first, and the disk has come to rest.
pub fn copy(command: &[String], target: &Path) -> Result<Figures> {
    if target.exists() {
        std::fs::remove_file(target)?;
    }
    Command::new("sync").status()?;
    std::thread::sleep(Duration::from_millis(300));
    let me = std::env::current_exe()?;
    let started = Instant::now();
    let ran = Command::new(me).args(["measure", "--"]).args(command).stderr(Stdio::inherit()).output()?;
    anyhow::ensure!(ran.status.success(), "{command:?} failed");
    let file = File::options().write(true).open(target).context("there is no copy")?;
    file.sync_data()?;
    let flushed = started.elapsed().as_secs_f64();
    let text = String::from_utf8(ran.stdout)?;
    let mut numbers = text.split_whitespace().map(str::parse);
    let mut next = || numbers.next().context("the measuring half said too little");
    let (seconds, processor_seconds) = (next()??, next()??);
    let peak_kib = next()?? as i64;
    let stored_bytes = file.metadata()?.blocks() * 512;
    Ok(Figures { seconds, durable_seconds: flushed, processor_seconds, peak_kib, stored_bytes })
}

/// Runs a command in a folder; what it wrote anywhere is on the disk at the durable time.
pub fn command(command: &[String], folder: &Path) -> Result<Figures> {
    Command::new("sync").status()?;
    std::thread::sleep(Duration::from_millis(300));
    let me = std::env::current_exe()?;
    let started = Instant::now();
    let mut run = Command::new(me);
    run.args(["measure", "--"]).args(command).current_dir(folder);
    let ran = run.stderr(Stdio::null()).output()?;
    anyhow::ensure!(ran.status.success(), "{command:?} failed");
    Command::new("sync").status()?;
    let durable_seconds = started.elapsed().as_secs_f64();
    let text = String::from_utf8(ran.stdout)?;
    let mut numbers = text.split_whitespace().map(str::parse);
    let mut next = || numbers.next().context("the measuring half said too little");
    let (seconds, processor_seconds) = (next()??, next()??);
    let peak_kib = next()?? as i64;
    Ok(Figures { seconds, durable_seconds, processor_seconds, peak_kib, stored_bytes: 0 })
}

/// The measuring half: its only child is the command.
pub fn child(command: &[String]) -> Result<()> {
    let (program, arguments) = command.split_first().context("no command")?;
    let started = Instant::now();
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).status()?;
    let seconds = started.elapsed().as_secs_f64();
    anyhow::ensure!(status.success(), "{program} failed");
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let times = [usage.user_time(), usage.system_time()];
    let processor: f64 = times.iter().map(|time| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6).sum();
    println!("{seconds:.4} {processor:.4} {:.1}", usage.max_rss() as f64);
    Ok(())
}
