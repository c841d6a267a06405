//! Copies a snapshot into another archive: read, checked and captured there, since the other archive has keys of its own.

use crate::Result;
use crate::archive::Archive;
use crate::capture::{About, Options, Source, Tell};
use crate::snapshot::Snapshot;

impl Archive {
    /// The snapshot's copy in `into`; what was copied before is found there.
    pub fn copy(
        &self,
        snapshot: &Snapshot,
        into: &Self,
        options: &Options,
        tell: Tell<'_>,
    ) -> Result<Snapshot> {
        let origin = snapshot.origin.clone().unwrap_or_else(|| snapshot.id.clone());
        let there = into.snapshots()?;
        if let Some(copy) =
            there.iter().find(|each| each.origin.as_ref() == Some(&origin) || each.id == origin)
        {
            return Ok(copy.clone());
        }
        let parent = there.iter().rfind(|each| each.machine == snapshot.machine);
        let disks = self.disks(snapshot)?;
        let named = |(record, disk): (&crate::DiskRecord, _)| Source {
            name: record.name.clone(),
            disk,
            changed: None,
        };
        let sources: Vec<Source> = snapshot.disks.iter().zip(disks).map(named).collect();
        let about = About {
            machine: snapshot.machine.clone(),
            tags: snapshot.tags.clone(),
            description: snapshot.description.clone(),
            time: snapshot.since_epoch(),
            origin: Some(origin),
        };
        into.capture(&sources, &about, parent, options, tell)
    }
}
