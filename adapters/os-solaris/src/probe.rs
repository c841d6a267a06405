//! Probes for Recon: what to run on a live Solaris or illumos host, and how to read the answers. Nothing of it is run here; each
//! command only reads, and needs no rights but to log in.
//!
//! Facts (once a day): `hardware.system`, `hardware.bios`, `hardware.platform` (i86pc, sun4v), `hardware.memory-sockets`,
//! `hardware.memory-used`, `memory.bytes`, `cpu.sockets`, `cpu.cores`, `cpu.threads`, `cpu.model`, `cpu.mhz`. Samples: see [`Sample`].

mod hardware;
mod kstat;
mod sar;
mod tables;

use wherry_sdk::{Error, ErrorKind, Fact, Result};

/// Bytes of one answer that are read; what is longer is refused.
pub const ANSWER_MOST: usize = 16 << 20;
/// Samples of one answer.
pub const SAMPLES_MOST: usize = 200_000;
const DAY: u32 = 86400;

/// One command of a shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// For [`parse`].
    pub id: &'static str,
    /// `command`
    pub kind: &'static str,
    /// What the shell is given.
    pub text: &'static str,
    /// How often it is worth asking, in seconds.
    pub every_s: u32,
}

/// One measurement. Metrics with their units:
///
/// | metric | instance | unit |
/// |---|---|---|
/// | `cpu.user`, `cpu.system`, `cpu.wait`, `cpu.idle` | processor's number, or none for all | `%`; from kstat `ticks` since the start |
/// | `cpu.run-queue`, `cpu.run-queue-occupied` | | `threads`, `%` |
/// | `disk.reads`, `disk.writes`, `disk.transfers` | disk | `1/s` |
/// | `disk.read`, `disk.written` | disk | `KiB/s` |
/// | `disk.blocks` | disk | `512B/s` |
/// | `disk.waiting`, `disk.active`, `disk.queue` | disk | `transfers` |
/// | `disk.wait-time`, `disk.service-time` | disk | `ms` |
/// | `disk.wait-share`, `disk.busy` | disk | `%` |
/// | `network.received`, `network.sent` | link | `bytes` since it was plumbed |
/// | `memory.total`, `memory.free` | | `pages` |
/// | `memory.swap-free` | | `512B` |
/// | `memory.scanned` | | `1/s` |
/// | `filesystem.size`, `.used`, `.available` | mount point | `KiB` |
///
/// What else kstat or sar tell is `kstat.MODULE.STATISTIC` (unit empty) or `sar.COLUMN` (`1/s`, `%` or empty).
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// See above.
    pub metric: String,
    /// What of; empty for the whole machine.
    pub instance: String,
    /// See above.
    pub unit: String,
    /// Seconds since 1970; 0 is when the command was run.
    pub at_unix: u64,
    /// In that unit.
    pub value: f64,
}

/// Everything that is asked. Times are UTC (sar(1M) prints local ones), and words the C locale's.
pub fn probes() -> Vec<Probe> {
    let command = |id, text, every_s| Probe { id, kind: "command", text, every_s };
    vec![
        command("hardware", "LC_ALL=C /usr/sbin/prtdiag -v", DAY),
        command("configuration", "LC_ALL=C /usr/sbin/prtconf", DAY),
        command("processors", "LC_ALL=C /usr/sbin/psrinfo -pv", DAY),
        command(
            "kernel",
            "LC_ALL=C /usr/bin/kstat -T u -p cpu_stat:::idle cpu_stat:::user cpu_stat:::kernel cpu_stat:::wait unix:0:system_pages: :::rbytes64 :::obytes64",
            300,
        ),
        command("disks", "LC_ALL=C /usr/bin/iostat -xn -T u 60 2", 300),
        command("filesystems", "LC_ALL=C /usr/sbin/df -k", DAY),
        command("history", "TZ=UTC0 LC_ALL=C /usr/bin/sar -A", DAY),
    ]
}

/// Reads the answer to the probe with this id.
///
/// # Errors
/// `invalid-input` for an unknown id, an answer that is too long or is not that command's.
pub fn parse(id: &str, answer: &[u8]) -> Result<(Vec<Fact>, Vec<Sample>)> {
    if answer.len() > ANSWER_MOST {
        return Err(wrong(format!("the answer to {id} has {} bytes, too many", answer.len())));
    }
    let text = String::from_utf8_lossy(answer);
    let (facts, mut samples) = match id {
        "hardware" => (hardware::prtdiag(&text), Vec::new()),
        "configuration" => (hardware::prtconf(&text), Vec::new()),
        "processors" => (hardware::psrinfo(&text), Vec::new()),
        "kernel" => (Vec::new(), kstat::parse(&text)),
        "disks" => (Vec::new(), tables::iostat(&text)),
        "filesystems" => (Vec::new(), tables::df(&text)),
        "history" => (Vec::new(), sar::parse(&text)),
        _ => return Err(wrong(format!("there is no probe {id}"))),
    };
    if facts.is_empty() && samples.is_empty() {
        let first: String = text.lines().next().unwrap_or_default().chars().take(80).collect();
        return Err(wrong(format!("the answer to {id} is not what its command says: {first:?}")));
    }
    samples.retain(|sample| sample.value.is_finite());
    samples.truncate(SAMPLES_MOST);
    Ok((facts, samples))
}

fn wrong(message: String) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}

fn sample(metric: &str, instance: &str, unit: &str, at_unix: u64, value: f64) -> Sample {
    Sample { metric: metric.into(), instance: instance.into(), unit: unit.into(), at_unix, value }
}
