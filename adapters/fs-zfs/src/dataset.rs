//! Datasets: directories of them, their heads and snapshots, properties and what they inherit (OpenZFS' module/zfs/dsl_dir.c,
//! dsl_dataset.c, dsl_prop.c).

use crate::dnode::{Dnode, ObjectSet};
use crate::pointer::Pointer;
use crate::pool::Pool;
use crate::zap::Entry;
use wherry_sdk::{Error, ErrorKind, Result};

/// Datasets that are listed, and levels of them.
const DATASETS_MOST: usize = 4096;
const LEVELS_MOST: usize = 50;
/// Types of bonus buffers (dmu_object_type).
const DIRECTORY: u8 = 12;
const HEAD: u8 = 16;
/// Names of snapshots that are kept of a whole pool.
const SNAPSHOTS_MOST: usize = 4096;
/// Bytes of a dataset's name (ZFS_MAX_DATASET_NAME_LEN), and of a mount point (MAXPATHLEN).
const NAME_MOST: usize = 256;
const PATH_MOST: usize = 1024;

/// Whether a dataset is mounted by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CanMount {
    Off,
    #[default]
    On,
    NoAuto,
}

/// A file system or a volume of the pool.
#[derive(Clone, Debug, Default)]
pub struct Dataset {
    /// With the pool's name.
    pub name: String,
    /// Its object: what `bootfs` names.
    pub number: u64,
    /// none, legacy, or a path.
    pub mount_point: String,
    pub can_mount: CanMount,
    /// How its key is given, where it is encrypted.
    pub key_format: Option<&'static str>,
    pub snapshots: Vec<String>,
    pub snapshots_left_out: bool,
    pub pointer: Option<Pointer>,
}

fn key_format(number: u64) -> &'static str {
    match number {
        1 => "raw",
        2 => "hex",
        3 => "passphrase",
        _ => "unknown",
    }
}

fn bad(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("a dataset {what}: run zpool scrub"))
}

impl Pool<'_> {
    /// All datasets, each above its children; `root` is the object of the pool's own. False: there are too many.
    pub fn datasets(&mut self, set: &ObjectSet, root: u64) -> Result<(Vec<Dataset>, bool)> {
        let mut list = Vec::new();
        let above = format!("/{}", self.label.name);
        let name = self.label.name.clone();
        let mut todo = vec![(root, name, above, 0)];
        let mut room = SNAPSHOTS_MOST;
        while let Some((number, name, above, level)) = todo.pop() {
            if list.len() >= DATASETS_MOST || level > LEVELS_MOST {
                return Ok((list, false));
            }
            if name.len() > NAME_MOST {
                return Err(bad("has a name of more than 256 bytes"));
            }
            let directory = self.object(set, number)?;
            if directory.bonus_kind != DIRECTORY {
                return Err(bad("is none").within(&name));
            }
            let found = self.dataset(set, &directory, (above, room)).map_err(|e| e.within(&name));
            let mut dataset = found?;
            room = room.saturating_sub(dataset.snapshots.len());
            dataset.name.clone_from(&name);
            let mount_point = dataset.mount_point.clone();
            list.push(dataset);
            let children = directory.bonus.u64(32);
            if children == 0 {
                continue;
            }
            let children = self.object(set, children)?;
            let mut children = self.zap_all(&children).map_err(|e| e.within(&name))?;
            children.sort_by(|one, other| other.name.cmp(&one.name));
            for child in children.iter().filter(|child| !child.name.starts_with(b"$")) {
                let own = String::from_utf8_lossy(&child.name).into_owned();
                let point = match mount_point.as_str() {
                    "none" | "legacy" => mount_point.clone(),
                    path => format!("{}/{own}", path.trim_end_matches('/')),
                };
                todo.push((child.number(), format!("{name}/{own}"), point, level + 1));
            }
            if todo.len() > DATASETS_MOST {
                return Ok((list, false));
            }
        }
        Ok((list, true))
    }

    /// A dataset with what it inherits: a mount point; and with at most `room` names of snapshots.
    fn dataset(
        &mut self,
        set: &ObjectSet,
        directory: &Dnode,
        (mount_point, room): (String, usize),
    ) -> Result<Dataset> {
        let (head, properties) = (directory.bonus.u64(8), directory.bonus.u64(80));
        let mut dataset = Dataset { number: head, mount_point, ..Dataset::default() };
        if properties != 0 {
            let properties = self.object(set, properties)?;
            if let Some(entry) = self.property(&properties, "mountpoint")? {
                dataset.mount_point = entry.text();
            }
            dataset.can_mount = match self.property(&properties, "canmount")?.map(|entry| entry.number()) {
                Some(0) => CanMount::Off,
                Some(2) => CanMount::NoAuto,
                _ => CanMount::On,
            };
        }
        if dataset.mount_point.len() > PATH_MOST {
            return Err(bad("has a mount point of more than 1024 bytes"));
        }
        // The directory is a ZAP too, since there are features that keep something in it.
        if directory.kind != DIRECTORY
            && let Some(key) = self.zap_number(directory, "com.datto:crypto_key_obj")?
        {
            let key = self.object(set, key)?;
            dataset.key_format = Some(key_format(self.zap_number(&key, "keyformat")?.unwrap_or(0)));
        }
        if head == 0 {
            return Ok(dataset);
        }
        let head = self.object(set, head)?;
        if head.bonus_kind != HEAD {
            return Err(bad("has no head"));
        }
        dataset.pointer = Pointer::parse(&head.bonus, 128);
        (dataset.snapshots, dataset.snapshots_left_out) = self.snapshots(set, &head, room)?;
        Ok(dataset)
    }

    /// Names of a head's snapshots, at most `room`, and whether there are more.
    fn snapshots(&mut self, set: &ObjectSet, head: &Dnode, room: usize) -> Result<(Vec<String>, bool)> {
        let number = head.bonus.u64(32);
        if number == 0 {
            return Ok((Vec::new(), false));
        }
        let object = self.object(set, number)?;
        let (page, more) = self.zap_page(&object, 0, room)?;
        let name = |entry: &Entry| String::from_utf8_lossy(&entry.name).into_owned();
        Ok((page.iter().map(|(entry, _)| name(entry)).collect(), more))
    }

    /// A property that was set here: by the administrator, or else as it was received.
    fn property(&mut self, properties: &Dnode, name: &str) -> Result<Option<Entry>> {
        if let Some(entry) = self.zap_find(properties, name.as_bytes())? {
            return Ok(Some(entry));
        }
        if self.zap_find(properties, format!("{name}$inherit").as_bytes())?.is_some() {
            return Ok(None);
        }
        self.zap_find(properties, format!("{name}$recvd").as_bytes())
    }
}
