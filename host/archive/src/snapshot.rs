//! A snapshot: a machine at a moment, with its disks and its description. One sealed object, written last of all.

use crate::archive::Archive;
use crate::chunks::Chunks;
use crate::disk::ArchiveDisk;
use crate::seal::{open_text, random, seal_text};
use crate::tree::DiskRecord;
use crate::{Error, ErrorKind, Result};
use block::Disk;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

const MAGIC: &[u8; 8] = b"WHERRYSN";
pub(crate) const FOLDER: &str = "snapshots/";
/// Where a snapshot is before it is one.
pub(crate) const CANDIDATES: &str = "candidates/";

/// A machine at a moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Snapshot {
    /// 16 hexadecimal digits; the object's name.
    #[serde(skip_deserializing)]
    pub id: String,
    /// Seconds since 1970-01-01 UTC.
    pub time: u64,
    /// Of that second: what tells the order of snapshots of one second.
    #[serde(default)]
    pub nanoseconds: u32,
    /// The machine's name: snapshots of one name are states of one machine.
    pub machine: String,
    /// The operator's words.
    pub tags: Vec<String>,
    /// The snapshot that it was compared with, if there was one.
    pub parent: Option<String>,
    /// The snapshot of another archive that this is a copy of.
    pub origin: Option<String>,
    /// The disks, in order.
    pub disks: Vec<DiskRecord>,
    /// What is known of the machine; `docs/formats/archive.md` lists the fields and their OVF elements.
    pub description: serde_json::Value,
    /// What it took.
    pub added: Added,
}

impl Snapshot {
    /// What snapshots are sorted by, the oldest first.
    pub(crate) fn order(&self) -> (u64, u32, &str) {
        (self.time, self.nanoseconds, &self.id)
    }

    /// Makes this later than `parent`, whose writer's clock may have been ahead of this one's.
    pub(crate) fn follow(&mut self, parent: &Self) {
        let (before, now) = (parent.since_epoch(), self.since_epoch());
        if now <= before {
            let next = before.saturating_add(Duration::from_nanos(1));
            (self.time, self.nanoseconds) = (next.as_secs(), next.subsec_nanos());
        }
    }

    pub(crate) fn since_epoch(&self) -> Duration {
        Duration::from_secs(self.time).saturating_add(Duration::from_nanos(self.nanoseconds.into()))
    }
}

/// What a capture or another writer has brought into the archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Added {
    /// Chunks that were not there before.
    pub chunks: u64,
    /// Their bytes before packing.
    pub plain: u64,
    /// Their bytes as they are stored.
    pub stored: u64,
}

/// What must not be removed.
pub(crate) struct Roots {
    pub candidates: Vec<Snapshot>,
    pub snapshots: Vec<Snapshot>,
}

impl Roots {
    /// Without those that were seen before.
    pub fn forget(&mut self, before: &Self) {
        let known = |list: &[Snapshot], id: &str| list.iter().any(|each| each.id == id);
        self.snapshots.retain(|each| !known(&before.snapshots, &each.id));
        self.candidates.retain(|each| !known(&before.candidates, &each.id));
    }
}

/// The object of a snapshot.
pub(crate) fn key(id: &str) -> String {
    format!("{FOLDER}{id}")
}

/// A name for a new one.
pub(crate) fn new_id() -> Result<String> {
    Ok(random::<8>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl Archive {
    /// Every snapshot, the oldest first.
    pub fn snapshots(&self) -> Result<Vec<Snapshot>> {
        let mut list = Vec::new();
        for id in self.snapshot_ids()? {
            match self.snapshot(&id) {
                // Pruned meanwhile.
                Err(e) if e.kind == ErrorKind::Missing => {}
                read => list.push(read?),
            }
        }
        list.sort_by(|a, b| a.order().cmp(&b.order()));
        Ok(list)
    }

    pub(crate) fn snapshot_ids(&self) -> Result<Vec<String>> {
        let mut ids = Vec::new();
        self.store
            .list(FOLDER, &mut |object| ids.extend(object.key.strip_prefix(FOLDER).map(String::from)))?;
        ids.sort();
        Ok(ids)
    }

    /// One snapshot, by its whole id.
    pub fn snapshot(&self, id: &str) -> Result<Snapshot> {
        self.read_snapshot(&key(id))
    }

    fn read_snapshot(&self, key: &str) -> Result<Snapshot> {
        let named = |e: Error| Error::new(e.kind, format!("{key} of {}: {}", self.store.name(), e.context));
        let text = open_text(&self.keys, MAGIC, &self.store.get(key)?).map_err(named)?;
        let mut snapshot: Snapshot =
            serde_json::from_slice(&text).map_err(|e| named(Error::corrupt(e.to_string())))?;
        snapshot.id = key.rsplit('/').next().unwrap_or_default().into();
        snapshot.disks.iter().try_for_each(|disk| disk.check().map(|_| ())).map_err(named)?;
        Ok(snapshot)
    }

    /// The snapshot that is meant by the beginning of an id, by `latest`, or by a machine's name: the latest of that machine.
    pub fn choose(&self, wanted: &str) -> Result<Snapshot> {
        let missing = |what: String| Err(Error::new(ErrorKind::Missing, what));
        let mut all = self.snapshots()?;
        let newest = |list: &[Snapshot], name: Option<&str>| {
            list.iter().rev().find(|each| name.is_none_or(|name| each.machine == name)).cloned()
        };
        if wanted == "latest" {
            let none =
                || Error::new(ErrorKind::Missing, format!("there is no snapshot in {}", self.store.name()));
            return newest(&all, None).ok_or_else(none);
        }
        if let Some(found) = newest(&all, Some(wanted)) {
            return Ok(found);
        }
        all.retain(|each| wanted.len() >= 4 && each.id.starts_with(wanted));
        match all.len() {
            1 => Ok(all.remove(0)),
            0 => missing(format!("there is no snapshot or machine `{wanted}` in {}", self.store.name())),
            count => missing(format!("{count} snapshots begin with `{wanted}`: say more of the id")),
        }
    }

    /// Publishes a snapshot. A prune looks at candidates and then at snapshots; a writer looks for what prunes remove after
    /// it is a candidate and before it is a snapshot: so either the prune spares what it needs, or it learns of it here.
    /// False if it does.
    pub(crate) fn publish(&self, snapshot: &Snapshot, sound: impl FnOnce() -> Result<bool>) -> Result<bool> {
        let text = serde_json::to_vec(snapshot).map_err(|e| Error::store("a snapshot", e))?;
        let bytes = seal_text(&self.keys, MAGIC, &text)?;
        let candidate = format!("{CANDIDATES}{}", snapshot.id);
        self.store.put_new(&candidate, &bytes)?;
        let sound = sound()?;
        if sound && !self.store.put_own(&key(&snapshot.id), &bytes)? {
            return Err(Error::new(
                ErrorKind::Exists,
                format!("there is a snapshot {} already", snapshot.id),
            ));
        }
        self.store.delete(&candidate)?;
        Ok(sound)
    }

    /// Every snapshot, and what is becoming one. Candidates are listed first: what is no candidate any more is a snapshot by
    /// the time that those are listed.
    pub(crate) fn roots(&self) -> Result<Roots> {
        let candidates = self.read_all(CANDIDATES)?;
        Ok(Roots { candidates, snapshots: self.read_all(FOLDER)? })
    }

    fn read_all(&self, folder: &str) -> Result<Vec<Snapshot>> {
        let (mut keys, mut list) = (Vec::new(), Vec::new());
        self.store.list(folder, &mut |object| keys.push(object.key))?;
        for key in keys {
            match self.read_snapshot(&key) {
                Err(e) if e.kind == ErrorKind::Missing => {}
                read => list.push(read?),
            }
        }
        Ok(list)
    }

    /// The disks of a snapshot, to be read.
    pub fn disks(&self, snapshot: &Snapshot) -> Result<Vec<Arc<dyn Disk>>> {
        let chunks = Arc::new(Chunks::open(self)?);
        let open = |disk| ArchiveDisk::open(chunks.clone(), disk).map(|disk| Arc::new(disk) as Arc<dyn Disk>);
        snapshot.disks.iter().map(open).collect()
    }

    /// Removes a snapshot; its chunks go with the next prune.
    pub fn remove(&self, id: &str) -> Result<()> {
        self.store.delete(&key(id))
    }
}
