//! What every part of the adaptation needs: the guest, the target, and the list of what a person has to know. Edits go through
//! here: where the root refuses them they become commands for people.

use crate::aliases::Aliases;
use crate::devices;
use crate::files::{exists, text};
use crate::mounts::Root;
use crate::release::{self, Release};
use wherry_sdk::source::Adaptation;
use wherry_sdk::{DeviceProfile, ErrorKind, Fact, Meta, Result, Severity, Tree, concern};

/// One adaptation under way.
pub struct Work<'a> {
    /// The guest's files.
    pub guest: &'a dyn Tree,
    /// What the guest will find.
    pub profile: &'a DeviceProfile,
    /// The operator's options.
    pub options: &'a [Fact],
    /// Where the system is.
    pub root: Root,
    /// What it is.
    pub release: Release,
    /// What it can drive, once the table has what is going to be added to it.
    pub aliases: Aliases,
    /// Why the table is not added to from outside, where that would help.
    pub refused: Option<String>,
    /// Concerns and notes so far.
    pub result: Adaptation,
    /// What has to be done by hand, as a script for a root that is mounted at `/a`.
    pub commands: Vec<String>,
}

impl<'a> Work<'a> {
    /// For a guest whose root is mounted.
    pub fn new(guest: &'a dyn Tree, profile: &'a DeviceProfile, options: &'a [Fact], root: Root) -> Self {
        let release = release::release(guest).unwrap_or_default();
        let aliases = Aliases::read(guest);
        let result = Adaptation { concerns: Vec::new(), notes: Vec::new() };
        Self { guest, profile, options, root, release, aliases, refused: None, result, commands: Vec::new() }
    }

    /// Where the driver of a device is there and the table lacks the device: what is to be done about it in the guest.
    pub fn claim(&self, device: &str) -> Option<String> {
        let command = devices::claim(self.guest, &self.aliases, device)?.command();
        let why = self.refused.as_ref().map(|why| format!(" (not done from outside: {why})"));
        Some(format!(
            "its driver is there, and /etc/driver_aliases lacks the device{}: in the guest before the move, {command}",
            why.unwrap_or_default()
        ))
    }

    /// Adds a concern, once.
    pub fn concern(&mut self, severity: Severity, id: &str, message: String, remedy: &str) {
        let new = concern(severity, id, message, Some(remedy));
        if !self.result.concerns.contains(&new) {
            self.result.concerns.push(new);
        }
    }

    /// The migration must not start.
    pub fn block(&mut self, id: &str, message: String, remedy: &str) {
        self.concern(Severity::Blocking, id, message, remedy);
    }

    /// It works, but differently from what one would expect.
    pub fn warn(&mut self, id: &str, message: String, remedy: &str) {
        self.concern(Severity::Warning, id, message, remedy);
    }

    /// Something to know or do afterwards.
    pub fn note(&mut self, note: String) {
        if !self.result.notes.contains(&note) {
            self.result.notes.push(note);
        }
    }

    /// Writes a text where it differs from what is there.
    pub fn write(&mut self, path: &str, new: &str, like: Option<&Meta>, reason: &str) -> Result<()> {
        if text(self.guest, path).as_deref() == Some(new) {
            return Ok(());
        }
        if !self.root.writable {
            let ended = if new.ends_with('\n') || new.is_empty() { "" } else { "\n" };
            self.commands.push(format!("cat > {} <<'WHERRY'\n{new}{ended}WHERRY", quoted(path)));
            return Ok(());
        }
        self.guest.write(path, new.as_bytes(), like, reason)
    }

    /// Gives a file another name.
    pub fn rename(&mut self, old: &str, new: &str, reason: &str) -> Result<()> {
        if !self.root.writable {
            self.commands.push(format!("mv {} {}", quoted(old), quoted(new)));
            return Ok(());
        }
        self.guest.rename(old, new, reason)
    }

    /// Removes a file or a link.
    pub fn remove(&mut self, path: &str, reason: &str) -> Result<()> {
        if !self.root.writable {
            self.commands.push(format!("rm -f {}", quoted(path)));
            return Ok(());
        }
        match self.guest.remove(path, reason) {
            Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Makes a link where there is none with this target.
    pub fn link(&mut self, path: &str, target: &str, reason: &str) -> Result<()> {
        let there = self.guest.read_link(path).ok();
        if there.as_deref() == Some(target) {
            return Ok(());
        }
        if !self.root.writable {
            self.commands.push(format!("ln -sf {} {}", quoted_plain(target), quoted(path)));
            return Ok(());
        }
        if exists(self.guest, path) || there.is_some() {
            self.guest.remove(path, reason)?;
        }
        let ends = path.match_indices('/').map(|(at, _)| at).skip(1);
        for folder in ends.filter_map(|end| path.get(..end)) {
            if !exists(self.guest, folder) {
                self.guest.make_directory(folder, None, reason)?;
            }
        }
        self.guest.make_symlink(path, target, reason)
    }

    /// Makes an empty file where there is none.
    pub fn touch(&mut self, path: &str, reason: &str) -> Result<()> {
        if exists(self.guest, path) {
            return Ok(());
        }
        if !self.root.writable {
            self.commands.push(format!("touch {}", quoted(path)));
            return Ok(());
        }
        self.guest.write(path, b"", None, reason)
    }
}

/// A path below `/a`, as one word of a shell.
fn quoted(path: &str) -> String {
    quoted_plain(&format!("/a{path}"))
}

fn quoted_plain(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-@,:+".contains(c);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_one_word() {
        assert_eq!(quoted("/etc/hostname.e1000g0"), "/a/etc/hostname.e1000g0");
        assert_eq!(quoted("/etc/it's"), "'/a/etc/it'\\''s'");
    }
}
