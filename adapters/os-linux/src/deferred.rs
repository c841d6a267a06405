//! Edits of the root that its file system refuses: the initramfs carries them, and a script in it makes them in the guest when
//! it first starts, by the guest's own kernel and programs.

use crate::entries::Entry;
use crate::initramfs;
use crate::mounts::{Mount, Outcome, Root};
use crate::work::Work;
use std::collections::BTreeSet;
use wherry_sdk::checksum::crc32c;
use wherry_sdk::{ErrorKind, Kind, Meta, Result};

/// Content that an initramfs carries at most, all files together.
const CONTENT_MOST: u64 = 16 << 20;
/// Room in bytes that is left alone in the volume of an image.
const SPARE: u64 = 64 << 10;
/// Runs in the initramfs with the root's mount point as its argument. The root is mounted as the kernel's command line says,
/// which is how it is left again.
const SCRIPT: &str = include_str!("first-start.sh");

/// What the guest has to do, as a script, and the new files by the names that the script knows.
struct Errand {
    script: String,
    files: Vec<(String, Vec<u8>)>,
}

/// Hands what is pending to the guest, if every initramfs that it may start with can carry it. Otherwise it stays pending.
pub fn carry(work: &mut Work<'_>, entries: &[Entry], root: &Root) -> Result<()> {
    let pending = work.guest.pending();
    let Some(first) = pending.first() else { return Ok(()) };
    let images: BTreeSet<&String> = entries.iter().filter_map(|entry| entry.initrds.last()).collect();
    if let Some(image) = images.iter().find(|image| pending.contains(image)) {
        return refused(work, first, &format!("{image}, which could carry it, cannot be changed either"));
    }
    if let Some(path) = pending.iter().find(|path| !on_root(path, root)) {
        return refused(work, path, "it is not on the root file system");
    }
    if entries.iter().any(Entry::mapped) {
        return refused(work, first, "LILO finds the initramfs that could carry it by its sectors");
    }
    let started = |entry: &&Entry| entry.default || entries.len() == 1;
    if let Some(entry) =
        entries.iter().filter(started).find(|entry| entry.unified || entry.initrds.is_empty())
    {
        return refused(work, first, &format!("{} has no initramfs that could carry it", entry.title));
    }
    if images.is_empty() {
        return refused(work, first, "there is no initramfs that could carry it");
    }
    let errand = match errand(work, &pending) {
        Ok(errand) => errand,
        Err(e) if e.kind == ErrorKind::Limit => return refused(work, first, &e.message),
        Err(e) => return Err(e),
    };
    let script = SCRIPT.replace("@STAMP@", &errand.stamp());
    let files = [&errand.files[..], &[("apply".into(), errand.script.into_bytes())]].concat();
    for image in &images {
        let segment = match initramfs::add_hook(work.guest, image, &script, &files) {
            Ok(segment) => segment,
            Err(e) if matches!(e.kind, ErrorKind::Unsupported | ErrorKind::Corrupt | ErrorKind::Limit) => {
                return refused(work, first, &format!("{image} cannot carry it: {}", e.message));
            }
            Err(e) => return Err(e),
        };
        let needed = segment.bytes.len() as u64 + SPARE;
        if work.guest.room(image)?.free < needed {
            return refused(work, first, &format!("{image} has no room for {needed} bytes more"));
        }
        work.guest.append(
            image,
            &segment.bytes,
            "carries what the guest changes itself when it first starts",
        )?;
    }
    if work.guest.pending() != pending {
        return refused(work, first, "the file system with the initramfs refuses edits as well");
    }
    let names: Vec<&str> = images.into_iter().map(String::as_str).collect();
    work.guest.defer(&format!("by a script in {}, before its first program runs", names.join(", ")));
    Ok(())
}

/// Whether the root file system holds a path, and not one that is mounted over it.
fn on_root(path: &str, root: &Root) -> bool {
    let holds = |mount: &Mount| {
        matches!(mount.outcome, Outcome::Mounted(_))
            && path.strip_prefix(&mount.path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    !root.mounts.iter().any(holds)
}

fn refused(work: &mut Work<'_>, path: &str, why: &str) -> Result<()> {
    work.note(format!("{path} cannot be left to the guest to change: {why}"));
    Ok(())
}

fn errand(work: &Work<'_>, pending: &[String]) -> Result<Errand> {
    let mut errand = Errand { script: "set -e\n".into(), files: Vec::new() };
    let mut room = CONTENT_MOST;
    for path in pending {
        let meta = match work.guest.stat(path) {
            Ok(meta) => meta,
            Err(e) if e.kind == ErrorKind::NotFound => {
                errand.say(&format!("if [ -d {0} ]; then rmdir {0}; else rm -f {0}; fi", quoted(path)));
                continue;
            }
            Err(e) => return Err(e),
        };
        match meta.kind {
            Kind::Directory => errand.directory(path, &meta),
            Kind::Symlink => {
                let target = work.guest.read_link(path)?;
                errand.say(&format!("ln -sfn {} {}", quoted(&target), quoted(path)));
            }
            _ => {
                let bytes = work.guest.read_all(path, room)?;
                room -= bytes.len() as u64;
                errand.file(path, bytes, &meta);
            }
        }
    }
    Ok(errand)
}

impl Errand {
    fn say(&mut self, line: &str) {
        self.script.push_str(line);
        self.script.push('\n');
    }

    fn directory(&mut self, path: &str, meta: &Meta) {
        self.say(&format!("[ -d {0} ] || {{ mkdir {0}; {1}; }}", quoted(path), owned(path, meta)));
    }

    /// Writes into a file that is there, which keeps its owner, mode and labels.
    fn file(&mut self, path: &str, bytes: Vec<u8>, meta: &Meta) {
        let name = self.files.len().to_string();
        let (at, from) = (quoted(path), format!("/.wherry/{name}"));
        self.say(&format!(
            "if [ -f {at} ]; then cat {from} > {at}; else cat {from} > {at}; {}; fi",
            owned(path, meta)
        ));
        self.files.push((name, bytes));
    }

    /// What tells this errand from another one.
    fn stamp(&self) -> String {
        let bytes = self.files.iter().fold(self.script.clone().into_bytes(), |mut all, (_, bytes)| {
            all.extend(bytes);
            all
        });
        format!("{:08x}-{}", crc32c(!0, &bytes), bytes.len())
    }
}

/// Sets what a new object is like. The label is its directory's where the system has labels.
fn owned(path: &str, meta: &Meta) -> String {
    let directory = path
        .rsplit_once('/')
        .map_or("/", |(directory, _)| if directory.is_empty() { "/" } else { directory });
    let (at, mode) = (quoted(path), meta.mode & 0o7777);
    format!(
        "chmod {mode:o} {at}; chown {}:{} {at}; chcon --reference={} {at} 2>&- || :",
        meta.uid,
        meta.gid,
        quoted(directory)
    )
}

/// One word of a shell, whatever is in it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_one_word() {
        assert_eq!(quoted("/etc/it's here"), "'/etc/it'\\''s here'");
    }
}
