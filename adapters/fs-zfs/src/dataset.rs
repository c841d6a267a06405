//! Datasets: directories of them, their heads and snapshots, properties and what they inherit (OpenZFS' module/zfs/dsl_dir.c,
//! dsl_dataset.c, dsl_prop.c).

use crate::dnode::{Dnode, ObjectSet};
use crate::pointer::Pointer;
use crate::pool::Pool;
use wherry_sdk::{Error, ErrorKind, Result};

/// Datasets that are listed, and levels of them.
const DATASETS_MOST: usize = 4096;
const LEVELS_MOST: usize = 50;
/// Types of bonus buffers (dmu_object_type).
const DIRECTORY: u8 = 12;
const HEAD: u8 = 16;
/// Names of snapshots that are kept.
const SNAPSHOTS_MOST: usize = 4096;

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
        while let Some((number, name, above, level)) = todo.pop() {
            if list.len() >= DATASETS_MOST || level > LEVELS_MOST {
                return Ok((list, false));
            }
            let directory = self.object(set, number)?;
            if directory.bonus_kind != DIRECTORY {
                return Err(bad("is none").within(&name));
            }
            let mut dataset = self.dataset(set, &directory, above).map_err(|e| e.within(&name))?;
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

    fn dataset(&mut self, set: &ObjectSet, directory: &Dnode, mount_point: String) -> Result<Dataset> {
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
        let snapshots = head.bonus.u64(32);
        if snapshots != 0 {
            let snapshots = self.object(set, snapshots)?;
            let (page, _) = self.zap_page(&snapshots, 0, SNAPSHOTS_MOST)?;
            dataset.snapshots =
                page.iter().map(|(entry, _)| String::from_utf8_lossy(&entry.name).into_owned()).collect();
        }
        Ok(dataset)
    }

    /// A property that was set here: by the administrator, or else as it was received.
    fn property(&mut self, properties: &Dnode, name: &str) -> Result<Option<crate::zap::Entry>> {
        if let Some(entry) = self.zap_find(properties, name.as_bytes())? {
            return Ok(Some(entry));
        }
        if self.zap_find(properties, format!("{name}$inherit").as_bytes())?.is_some() {
            return Ok(None);
        }
        self.zap_find(properties, format!("{name}$recvd").as_bytes())
    }
}
