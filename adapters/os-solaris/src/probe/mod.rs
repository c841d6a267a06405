//! What Recon runs on a live Solaris, and what its answers mean. Nothing calls this yet: the contract gets an interface for probes
//! with Recon, and these types have the shape of its sketch.

mod counters;
mod history;
mod inventory;

use wherry_sdk::{Error, ErrorKind, Fact, Result};

/// An answer that is longer was not made by these commands: a day of `sar` with 500 disks takes some 12 MiB.
const ANSWER: usize = 32 << 20;

/// What is run, by a POSIX shell and without rights beyond a user's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// `inventory`
    pub id: &'static str,
    /// The commands.
    pub text: &'static str,
    /// Seconds from one run to the next; 0: once.
    pub every: u32,
}

/// One measurement.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// `cpu.user`, `disk.read`, ...: the README lists them.
    pub metric: &'static str,
    /// The processor, disk or link; empty where there is one only.
    pub instance: String,
    /// `s`, `B`, `1` and `%`, with `/s` for rates. Without it the number counts from when the system started.
    pub unit: &'static str,
    /// Seconds since 1970, UTC.
    pub at: u64,
    /// The number.
    pub value: f64,
}

/// What an answer holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// What does not change while the system runs.
    pub facts: Vec<Fact>,
    /// What does.
    pub samples: Vec<Sample>,
}

/// Everything that is asked.
pub const PROBES: [Probe; 3] = [
    Probe { id: "inventory", text: inventory::COMMANDS, every: 0 },
    Probe { id: "counters", text: counters::COMMANDS, every: 300 },
    // what sadc has kept for a month already, if it is switched on
    Probe { id: "history", text: history::COMMANDS, every: 86_400 },
];

/// Reads the answer to one of them. Lines that mean nothing here are passed over: every release prints some more.
pub fn parse(id: &str, answer: &[u8]) -> Result<Answer> {
    if answer.len() > ANSWER {
        let message = format!("the answer to {id} has {} bytes, which is no answer to it", answer.len());
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    let text = String::from_utf8_lossy(answer);
    match id {
        "inventory" => Ok(inventory::parse(&text)),
        "counters" => Ok(counters::parse(&text)),
        "history" => Ok(history::parse(&text)),
        other => Err(Error::new(ErrorKind::NotFound, format!("there is no probe {other}"))),
    }
}

/// A number that is one: neither infinite nor negative.
fn number(word: &str) -> Option<f64> {
    word.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)
}
