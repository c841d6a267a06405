//! A guest's serial console: its lines, what they decide, and a shell on it.

use crate::boot::End;
use crate::progress::Bar;
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// How long a guest may take to its login; an emulated Debian needs 30 to 150 s, depending on what else runs here.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long one command may take in it.
const ANSWER: Duration = Duration::from_secs(120);
/// How often a bar moves without news.
const TICK: Duration = Duration::from_millis(200);
const PROMPT: &str = "login:";
/// What is said when the disk is given up: by Debian's initramfs, by systemd in dracut's, which waits for its device for
/// ever, by the kernel, by GRUB, by UEFI firmware.
const LOST: [&str; 6] =
    ["(initramfs)", ".device/start running (3min", "Kernel panic", "grub>", "grub rescue>", "Shell>"];

/// What is shown of a console while it runs; the log has all of it.
pub enum Show {
    /// Every line, with the seconds since the start.
    Lines,
    /// A bar with the newest line.
    Bar(Bar),
    /// Nothing.
    Nothing,
}

/// The console of a QEMU that has it on its standard input and output.
pub struct Console {
    input: ChildStdin,
    output: Receiver<Vec<u8>>,
    log: File,
    show: Show,
    start: Instant,
    /// Bytes of a character that has not come whole yet.
    partial: Vec<u8>,
    /// What the guest printed and nobody has used yet.
    text: String,
    /// What it printed until the decision, without control characters.
    lines: Vec<String>,
    asked: u32,
}

impl Console {
    /// Takes the child's streams; QEMU's own complaints go to the same log.
    pub fn of(qemu: &mut Child, log: &Path, show: Show) -> Result<Self> {
        if let Some(folder) = log.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let (sender, output) = channel();
        forward(qemu.stdout.take().context("no console")?, sender.clone());
        forward(qemu.stderr.take().context("no error output")?, sender);
        Ok(Self {
            input: qemu.stdin.take().context("no console")?,
            output,
            log: File::create(log).with_context(|| format!("cannot create {}", log.display()))?,
            show,
            start: Instant::now(),
            partial: Vec::new(),
            text: String::new(),
            lines: Vec::new(),
            asked: 0,
        })
    }

    /// Reads on until a line decides.
    pub fn end(&mut self) -> Result<End> {
        let until = self.start + PATIENCE;
        let end = loop {
            if !self.read(until)? {
                break if Instant::now() < until { End::Ended } else { End::Silent };
            }
            let decided = decide(&self.text);
            while let Some(at) = self.text.find('\n') {
                let line = self.text.drain(..=at).collect::<String>();
                self.show(line);
            }
            if let Some(end) = decided {
                break end;
            }
        };
        let rest = std::mem::take(&mut self.text);
        self.show(rest);
        if let Show::Bar(bar) = std::mem::replace(&mut self.show, Show::Nothing) {
            bar.end();
        }
        Ok(end)
    }

    /// The newest lines up to the decisive one, at most so many.
    pub fn tail(&self, count: usize) -> &[String] {
        self.lines.get(self.lines.len().saturating_sub(count)..).unwrap_or_default()
    }

    /// What a shell command printed; an error if it failed. Needs a shell that waits for one.
    pub fn ask(&mut self, command: &str) -> Result<String> {
        self.asked += 1;
        // The terminal's echo shows the quotes, so that only the shell's own output has the marks.
        let number = self.asked;
        self.send(&format!("echo @\"@\"{number}; {command}; echo @\"@\"{number}=$?\n"))?;
        let text = self.wait_for(&format!("@@{number}="))? + &self.wait_for("\n")?;
        let (_, answer) = text.split_once(&format!("@@{number}\r\n")).context("the shell printed no mark")?;
        let (answer, status) =
            answer.split_once(&format!("@@{number}=")).context("the shell printed no end")?;
        let answer = answer.replace('\r', "").trim().to_owned();
        if status.trim() != "0" {
            bail!("`{command}` ended with {} in the guest: {answer}", status.trim());
        }
        Ok(answer)
    }

    /// Types.
    pub fn send(&mut self, text: &str) -> Result<()> {
        Ok(self.input.write_all(text.as_bytes())?)
    }

    /// Everything up to this text, which is taken as well.
    pub fn wait_for(&mut self, wanted: &str) -> Result<String> {
        let until = Instant::now() + ANSWER;
        loop {
            if let Some(at) = self.text.find(wanted) {
                return Ok(self.text.drain(..at + wanted.len()).collect());
            }
            if !self.read(until)? {
                bail!("the guest did not say `{}` in time; it said: {}", wanted.trim(), self.text.trim());
            }
        }
    }

    /// Takes the next bytes into `text`; false if there are none in time or none ever again.
    fn read(&mut self, until: Instant) -> Result<bool> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left.min(TICK)) {
                Ok(bytes) => {
                    self.log.write_all(&bytes)?;
                    self.partial.extend(bytes);
                    self.text.push_str(&whole(&mut self.partial));
                    return Ok(true);
                }
                Err(RecvTimeoutError::Timeout) if !left.is_zero() => self.tick(),
                Err(_) => return Ok(false),
            }
        }
    }

    fn tick(&self) {
        if let Show::Bar(bar) = &self.show {
            bar.draw(self.lines.last().map_or("", String::as_str));
        }
    }

    fn show(&mut self, line: String) {
        let clean = clean(&line);
        if clean.is_empty() {
            return;
        }
        if matches!(self.show, Show::Lines) {
            println!("{:7.1}  {clean}", self.start.elapsed().as_secs_f64());
        }
        self.lines.push(clean);
        self.tick();
    }
}

/// Hands a stream's bytes on, by a thread, so that waiting for them can end.
fn forward(mut stream: impl Read + Send + 'static, sender: Sender<Vec<u8>>) {
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut bytes) {
            if sender.send(bytes[..count].to_vec()).is_err() {
                break;
            }
        }
    });
}

/// Takes the whole characters; what could still become one stays.
fn whole(bytes: &mut Vec<u8>) -> String {
    let tail = bytes.utf8_chunks().last().map_or(&[][..], |chunk| chunk.invalid());
    let unfinished = std::str::from_utf8(tail).is_err_and(|e| e.error_len().is_none());
    let end = bytes.len() - if unfinished { tail.len() } else { 0 };
    let text = String::from_utf8_lossy(&bytes[..end]).into_owned();
    bytes.drain(..end);
    text
}

fn decide(text: &str) -> Option<End> {
    if text.contains(PROMPT) {
        return Some(End::Login);
    }
    LOST.iter().any(|sign| text.contains(sign)).then_some(End::Lost)
}

/// A line without control characters and without the terminal's escape sequences (ECMA-48, CSI).
fn clean(line: &str) -> String {
    let mut clean = String::new();
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match c {
            '\x1b' => {
                if characters.next() == Some('[') {
                    characters.by_ref().find(|c| matches!(c, '@'..='~'));
                }
            }
            c if c.is_control() => {}
            c => clean.push(c),
        }
    }
    clean.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guests_words_decide() {
        assert_eq!(decide("wherry-demo login: "), Some(End::Login));
        assert_eq!(decide("ALERT!  /dev/sda1 does not exist.\n(initramfs) "), Some(End::Lost));
        assert_eq!(decide("Starting systemd-logind.service"), None);
    }

    #[test]
    fn a_character_may_come_in_pieces() {
        let mut bytes = b"one\xe2\x80".to_vec();
        assert_eq!(whole(&mut bytes), "one");
        bytes.extend(b"\xa6 \xff two");
        assert_eq!(whole(&mut bytes), "\u{2026} \u{fffd} two");
        assert!(bytes.is_empty());
    }

    #[test]
    fn escape_sequences_are_no_text() {
        assert_eq!(clean("[\x1b[0;32m  OK  \x1b[0m] Reached target\r\n"), "[  OK  ] Reached target");
        assert_eq!(clean("\x1b"), "");
        assert_eq!(clean("\x1b[999"), "");
    }

    #[test]
    fn a_command_is_answered_between_its_marks() {
        // A shell instead of a guest: no terminal, so no echo; it gets what a terminal would make of the line's end.
        let mut shell = std::process::Command::new("sh")
            .args(["-c", "while read -r line; do (eval \"$line\") | sed 's/$/\\r/'; done"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let folder = std::env::temp_dir().join(format!("xtask-console-{}", std::process::id()));
        let mut console = Console::of(&mut shell, &folder.join("log"), Show::Nothing).unwrap();
        assert_eq!(console.ask("echo one; echo two").unwrap(), "one\ntwo");
        assert_eq!(console.ask("true").unwrap(), "");
        let failed = console.ask("echo no; false").unwrap_err().to_string();
        assert_eq!(failed, "`echo no; false` ended with 1 in the guest: no");
        drop(console);
        shell.wait().unwrap();
        std::fs::remove_dir_all(folder).unwrap();
    }
}
