//! How far a transfer is, on standard error: a line that renews itself for people, lines for logs, JSON for machines.

use crate::Format;
use crate::words::{bytes, time};
use migrate::Event;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a terminal's line is renewed, and how often a log gets one.
const RENEW: Duration = Duration::from_millis(200);
const REPEAT: Duration = Duration::from_secs(5);
const BAR: usize = 30;

/// What was shown last.
pub struct Progress {
    format: Format,
    terminal: bool,
    started: Instant,
    shown: Mutex<Shown>,
}

struct Shown {
    stage: String,
    last: Option<Instant>,
}

impl Progress {
    /// Nothing shown yet.
    pub fn new(format: Format) -> Self {
        let shown = Shown { stage: String::new(), last: None };
        let terminal = std::io::stderr().is_terminal();
        Self { format, terminal, started: Instant::now(), shown: Mutex::new(shown) }
    }

    /// The file, what is done with it, and how far that is.
    fn parts<'a>(&self, event: Event<'a>) -> (&'a Path, &'static str, transfer::Progress) {
        match event {
            Event::Moving { file, progress } => {
                let verb = match progress.stage {
                    transfer::Stage::Copy => "copying",
                    transfer::Stage::Verify => "verifying",
                };
                (file, verb, progress)
            }
            Event::Checking { file, done, total } => (Path::new(file), "checking", self.reading(done, total)),
            Event::Packing { file, done, total } => (file, "packing", self.reading(done, total)),
            Event::Sending { file, done, total } => (file, "sending", self.reading(done, total)),
            Event::Comparing { file, done, total } => (file, "comparing", self.reading(done, total)),
        }
    }

    fn reading(&self, done: u64, total: u64) -> transfer::Progress {
        let rate = (done as f64 / self.started.elapsed().as_secs_f64().max(0.001)) as u64;
        transfer::Progress { done, total, sent: 0, rate, stage: transfer::Stage::Verify }
    }

    /// Shows an event, unless the last one was shown just now.
    pub fn show(&self, event: Event<'_>) {
        let (file, verb, progress) = self.parts(event);
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let stage = format!("{verb} {name}");
        if stage != shown.stage {
            *shown = Shown { stage, last: None };
        }
        let pause = if self.terminal && self.format == Format::Text { RENEW } else { REPEAT };
        let complete = progress.done == progress.total;
        if !complete && shown.last.is_some_and(|last| last.elapsed() < pause) {
            return;
        }
        shown.last = Some(Instant::now());
        let (done, total, rate) = (progress.done, progress.total, progress.rate);
        let left = (total - done.min(total)) as f64 / rate.max(1) as f64;
        let mut out = std::io::stderr().lock();
        // A closed terminal is no reason to stop a transfer.
        let _ = match self.format {
            Format::Json => {
                let line = serde_json::json!({ "progress": {
                    "stage": verb, "file": name, "done": done, "total": total,
                    "sent": progress.sent, "bytes-per-second": rate, "seconds-left": left as u64,
                }});
                writeln!(out, "{line}")
            }
            Format::Text => {
                let percent = (done * 100).checked_div(total).unwrap_or(100);
                let full = BAR * percent as usize / 100;
                let bar = format!("{}{}", "#".repeat(full), ".".repeat(BAR - full));
                let line = format!(
                    "{} [{bar}] {percent:>3} %  {} of {}, {}/s, {} left",
                    shown.stage,
                    bytes(done),
                    bytes(total),
                    bytes(rate),
                    time(left)
                );
                match (self.terminal, complete) {
                    (true, false) => write!(out, "\r\x1b[K{line}"),
                    (true, true) => writeln!(out, "\r\x1b[K{line}"),
                    (false, _) => writeln!(out, "{line}"),
                }
            }
        };
    }
}
