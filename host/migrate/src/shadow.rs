//! Edits that a file system refuses: kept beside it, so that whoever made them finds them again, until it is known whether
//! the guest makes them itself.

use runtime::contract::{Entry, ErrorKind, Kind, Meta};
use runtime::{Answer, refusal};
use std::collections::BTreeMap;
use workload::{Concern, Severity};

/// Paths that a concern names; the plan lists all edits.
const NAMED: usize = 5;

/// What an edit leaves at its path.
pub enum Object {
    /// A regular file with this content.
    File(Meta, Vec<u8>),
    /// An empty directory.
    Directory(Meta),
    /// A symbolic link to this target.
    Link(Meta, String),
    /// Nothing any more.
    Gone,
}

impl Object {
    /// What stat finds.
    pub fn meta(&self, path: &str) -> Answer<Meta> {
        match self {
            Self::File(meta, bytes) => Ok(Meta { size: bytes.len() as u64, ..meta.clone() }),
            Self::Directory(meta) | Self::Link(meta, _) => Ok(meta.clone()),
            Self::Gone => Err(refusal(ErrorKind::NotFound, format!("there is no {path}"))),
        }
    }
}

/// One refused edit.
struct Refused {
    path: String,
    why: String,
    deferred: bool,
}

/// The objects that refused edits left, by their path without links.
#[derive(Default)]
pub struct Shadow {
    objects: BTreeMap<String, Object>,
    edits: Vec<Refused>,
    means: Vec<String>,
}

impl Shadow {
    /// What is at a path, if an edit was refused there or at a directory above that is gone.
    pub fn get(&self, path: &str) -> Option<&Object> {
        let gone = |above: &&str| matches!(self.objects.get(*above), Some(Object::Gone));
        self.objects.get(path).or_else(|| above(path).find(gone).and_then(|path| self.objects.get(path)))
    }

    /// Why an edit at this path was refused already, or one at a directory above it.
    pub fn why(&self, path: &str) -> Option<&str> {
        let here = std::iter::once(path).chain(above(path)).find(|path| self.objects.contains_key(*path))?;
        self.edits.iter().find(|edit| edit.path == here).map(|edit| edit.why.as_str())
    }

    /// Keeps what an edit would have left.
    pub fn put(&mut self, path: &str, object: Object, why: &str) {
        self.objects.insert(path.into(), object);
        if let Some(edit) = self.edits.iter_mut().find(|edit| edit.path == path) {
            edit.deferred = false;
        } else {
            self.edits.push(Refused { path: path.into(), why: why.into(), deferred: false });
        }
    }

    /// A directory's entries with what was refused in it.
    pub fn merge(&self, directory: &str, entries: &mut Vec<Entry>) {
        let prefix = format!("{}/", directory.trim_end_matches('/'));
        for (path, object) in self.objects.range(prefix.clone()..) {
            let Some(name) = path.strip_prefix(&prefix) else { break };
            if name.contains('/') {
                continue;
            }
            entries.retain(|entry| entry.name != name);
            if let Ok(meta) = object.meta(path) {
                entries.push(Entry { name: name.into(), meta: Meta { attributes: Vec::new(), ..meta } });
            }
        }
    }

    /// The paths that nobody has taken over, in the order of the first edit.
    pub fn pending(&self) -> Vec<String> {
        self.edits.iter().filter(|edit| !edit.deferred).map(|edit| edit.path.clone()).collect()
    }

    /// The guest makes all that are pending.
    pub fn defer(&mut self, means: &str) {
        self.edits.iter_mut().for_each(|edit| edit.deferred = true);
        self.means.push(means.into());
    }

    /// What the operator has to know.
    pub fn concerns(&self) -> Vec<Concern> {
        let (deferred, pending): (Vec<&Refused>, Vec<&Refused>) =
            self.edits.iter().partition(|edit| edit.deferred);
        let mut list = Vec::new();
        if let Some(first) = pending.first() {
            list.push(Concern {
                id: "filesystem.refuses-edits".into(),
                severity: Severity::Blocking,
                message: format!("the new machine needs changes that cannot be made: {}: {}", named(&pending), first.why),
                remedy: Some(
                    "make them on the source before it is copied (they are among the edits, marked as refused), or copy its disks as they are (wherry convert)"
                        .into(),
                ),
            });
        }
        if !deferred.is_empty() {
            list.push(Concern {
                id: "filesystem.deferred-edits".into(),
                severity: Severity::Warning,
                message: format!(
                    "changed by the guest when it first starts: {}: {}",
                    named(&deferred),
                    self.means.join("; ")
                ),
                remedy: Some("look at the console of its first start".into()),
            });
        }
        list
    }
}

/// The directories above a path, nearest first.
fn above(path: &str) -> impl Iterator<Item = &str> {
    path.rmatch_indices('/').map(|(at, _)| &path[..at]).filter(|path| !path.is_empty())
}

fn named(edits: &[&Refused]) -> String {
    let first: Vec<&str> = edits.iter().take(NAMED).map(|edit| edit.path.as_str()).collect();
    match edits.len().saturating_sub(NAMED) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// What a new object is like if nobody says.
pub fn new_meta(kind: Kind, like: Option<&Meta>) -> Meta {
    let mode = if kind == Kind::File { 0o644 } else { 0o755 };
    let plain = Meta {
        kind,
        size: 0,
        mode,
        uid: 0,
        gid: 0,
        mtime: 0,
        id: u64::MAX,
        links: 1,
        attributes: Vec::new(),
    };
    like.map_or(plain, |like| Meta { kind, size: 0, id: u64::MAX, links: 1, ..like.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Object {
        Object::File(new_meta(Kind::File, None), text.into())
    }

    #[test]
    fn what_was_refused_is_found_and_told() {
        let mut shadow = Shadow::default();
        assert!(shadow.concerns().is_empty());
        shadow.put("/etc/fstab", file("new"), "it is shared");
        shadow.put("/etc/new.d", Object::Directory(new_meta(Kind::Directory, None)), "it is full");
        shadow.put("/opt/tool", Object::Gone, "it is shared");
        assert_eq!(shadow.get("/etc/fstab").unwrap().meta("").unwrap().size, 3);
        assert!(shadow.get("/opt/tool/bin").unwrap().meta("/opt/tool/bin").is_err());
        assert!(shadow.get("/etc").is_none() && shadow.why("/etc").is_none());
        assert_eq!(shadow.why("/etc/new.d/file"), Some("it is full"));
        let old = Entry { name: "tool".into(), meta: new_meta(Kind::File, None) };
        let mut entries = vec![old];
        shadow.merge("/opt", &mut entries);
        assert!(entries.is_empty());
        shadow.merge("/etc", &mut entries);
        assert_eq!(entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["fstab", "new.d"]);
        let blocked = shadow.concerns();
        assert_eq!((blocked.len(), blocked[0].severity), (1, Severity::Blocking));
        shadow.defer("a hook in the initramfs");
        assert!(shadow.pending().is_empty());
        shadow.put("/etc/fstab", file("newer"), "it is shared");
        assert_eq!(shadow.pending(), ["/etc/fstab"]);
        assert_eq!(shadow.concerns().iter().filter(|one| one.severity == Severity::Warning).count(), 1);
    }
}
