//! Long commands with a bar instead of their output, which goes to a file that is shown when they fail.

use crate::root;
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const WIDTH: usize = 24;
/// Lines of a failed command that are shown.
const TAIL: usize = 30;

/// A line on the terminal that tells how far something is, measured by how long it took the last time.
pub struct Bar {
    title: String,
    start: Instant,
    usual: Option<Duration>,
    terminal: bool,
}

impl Bar {
    /// Starts the clock. Away from a terminal only the end is printed.
    pub fn new(title: &str) -> Self {
        let usual = fs::read_to_string(time_of(title)).ok().and_then(|text| text.trim().parse().ok());
        let terminal = std::io::stdout().is_terminal();
        Self {
            title: title.to_owned(),
            start: Instant::now(),
            usual: usual.map(Duration::from_secs_f64),
            terminal,
        }
    }

    /// Draws the line again, with a word on what happens now.
    pub fn draw(&self, now: &str) {
        if !self.terminal {
            return;
        }
        let seconds = self.start.elapsed().as_secs_f64();
        let now: String = now.chars().filter(|c| !c.is_control()).take(48).collect();
        let (bar, usual) = match self.usual.map(|usual| usual.as_secs_f64()) {
            Some(usual) => (filled(seconds / usual.max(0.1)), format!("of {usual:.0} ")),
            None => (running(seconds), String::new()),
        };
        print!("\r\x1b[K[{bar}] {seconds:4.0} {usual}s  {}  {now}", self.title);
        // A terminal that is gone is no reason to stop.
        let _ = std::io::stdout().flush();
    }

    /// Ends the line and keeps the time for the next run.
    pub fn end(self) -> Duration {
        let took = self.start.elapsed();
        if self.terminal {
            print!("\r\x1b[K");
        }
        println!("{:7.1} s  {}", took.as_secs_f64(), self.title);
        let file = time_of(&self.title);
        // Only the next bar's length depends on this file.
        let _ = file.parent().map(fs::create_dir_all);
        let _ = fs::write(file, took.as_secs_f64().to_string());
        took
    }
}

fn filled(part: f64) -> String {
    let full = ((part.clamp(0.0, 1.0) * WIDTH as f64) as usize).min(WIDTH);
    format!("{}{}", "#".repeat(full), "-".repeat(WIDTH - full))
}

fn running(seconds: f64) -> String {
    let at = seconds as usize % WIDTH;
    format!("{}#{}", "-".repeat(at), "-".repeat(WIDTH - 1 - at))
}

fn time_of(title: &str) -> PathBuf {
    root().join(".work/times").join(file_name(title))
}

fn file_name(title: &str) -> String {
    title.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect()
}

/// Runs a command to its end behind a bar.
pub fn run(title: &str, command: &mut Command) -> Result<()> {
    let folder = root().join(".work/log");
    fs::create_dir_all(&folder)?;
    let log = folder.join(file_name(title) + ".log");
    let output = File::create(&log)?;
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    let bar = Bar::new(title);
    let mut child = command.spawn().with_context(|| format!("cannot start {:?}", command.get_program()))?;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        bar.draw("");
        std::thread::sleep(Duration::from_millis(100));
    };
    if !status.success() {
        let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(TAIL)..).unwrap_or_default();
        bail!("{title}: {:?} ended with {status}\n{}", command.get_program(), tail.join("\n"));
    }
    bar.end();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_never_longer_than_its_frame() {
        for part in [-1.0, 0.0, 0.5, 1.0, 7.0, f64::NAN] {
            assert_eq!(filled(part).len(), WIDTH);
        }
        assert_eq!(filled(0.5).matches('#').count(), WIDTH / 2);
        assert_eq!(running(WIDTH as f64 * 2.0 + 1.0).find('#'), Some(1));
    }
}
