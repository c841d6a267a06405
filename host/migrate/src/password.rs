//! Asks for a password on the terminal.

use crate::{Error, ErrorKind, Result};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use std::io::{IsTerminal, Read, Stdin, Write};

/// What Ctrl-C types where it is no signal.
const INTERRUPT: u8 = 3;
/// No password is longer.
const LONGEST: usize = 4096;

/// A terminal that shows nothing of what is typed, until this is dropped.
struct Quiet {
    stdin: Stdin,
    before: Termios,
}

impl Quiet {
    fn new(stdin: Stdin) -> rustix::io::Result<Self> {
        let before = tcgetattr(&stdin)?;
        let mut quiet = before.clone();
        // An interrupt ends the line instead of the program, which would leave the terminal as it is here.
        quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
        quiet.special_codes[SpecialCodeIndex::VEOL] = INTERRUPT;
        tcsetattr(&stdin, OptionalActions::Drain, &quiet)?;
        Ok(Self { stdin, before })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let _restored = tcsetattr(&self.stdin, OptionalActions::Drain, &self.before);
        eprintln!();
    }
}

/// A password typed on the terminal, twice if it is a new one; none if standard input is no terminal.
pub fn ask(what: &str, twice: bool) -> Result<Option<String>> {
    if !std::io::stdin().is_terminal() {
        return Ok(None);
    }
    let password = line(&format!("password of {what}: "))?;
    if twice && line("the same once more: ")? != password {
        return Err(Error::usage("the two passwords differ; nothing was made"));
    }
    Ok(Some(password))
}

fn line(prompt: &str) -> Result<String> {
    let failed = |e: std::io::Error| Error::failed(format!("cannot ask for a password: {e}"));
    let quiet = Quiet::new(std::io::stdin()).map_err(|e| failed(e.into()))?;
    let mut told = std::io::stderr();
    told.write_all(prompt.as_bytes()).and_then(|()| told.flush()).map_err(failed)?;
    let mut line = Vec::new();
    for byte in quiet.stdin.lock().bytes().take(LONGEST) {
        match byte.map_err(failed)? {
            b'\n' => break,
            INTERRUPT => return Err(Error::new(ErrorKind::Stopped, "stopped as asked")),
            byte => line.push(byte),
        }
    }
    String::from_utf8(line).map_err(|_| Error::usage("the password is no text in UTF-8"))
}
