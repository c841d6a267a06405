//! From paths to files: the dataset that is started is `/`, or else the pool's own, and others appear where they would be
//! mounted. Every file system is at `/.zfs/dataset/NAME` too, which no listing of `/` shows.

use crate::Zfs;
use crate::dataset::{CanMount, Dataset};
use crate::znode::{FileSystem, Znode};
use std::collections::HashMap;
use std::rc::Rc;
use wherry_sdk::path::{components, not_a_directory, not_found};
use wherry_sdk::{Kind, Result};

/// Bytes of a name where the feature longname is in use.
const NAME_MOST: usize = 1023;
/// File systems that are kept.
const OPENED_MOST: usize = 128;
/// Directories that are in no dataset.
const CONTROL: &str = ".zfs";
const DATASETS: &str = "dataset";

/// Where datasets appear.
#[derive(Clone, Debug, Default)]
pub struct Mounts {
    /// Numbers of datasets by paths without the first `/`.
    by_path: HashMap<String, usize>,
    /// Names of mount points in a directory.
    below: HashMap<String, Vec<(String, usize)>>,
}

/// Something in the tree.
#[derive(Clone)]
pub enum Place {
    /// In a dataset: its number, and what it is.
    Object(usize, Box<Znode>),
    /// A directory in none.
    Virtual,
}

impl Mounts {
    /// The mounts of a pool of which `root` becomes `/`.
    pub fn new(datasets: &[Dataset], root: usize) -> Self {
        let mut mounts = Self::default();
        let Some(top) = datasets.get(root) else { return mounts };
        let within = format!("{}/", top.name);
        // A boot environment's own mount point is `/` or legacy, whatever it says: it is started from.
        let started = !top.name.contains('/') && top.mount_point.starts_with('/');
        let strip = if started { top.mount_point.trim_end_matches('/') } else { "" };
        mounts.add(String::new(), root);
        for (number, dataset) in datasets.iter().enumerate() {
            mounts.add(format!("{CONTROL}/{DATASETS}/{}", dataset.name), number);
            // What belongs to a boot environment is mounted by it.
            let own = dataset.can_mount == CanMount::NoAuto && dataset.name.starts_with(&within);
            let wanted = dataset.can_mount == CanMount::On || own;
            let path = dataset.mount_point.strip_prefix(strip).and_then(|path| path.strip_prefix('/'));
            let path = path.map(|path| path.trim_end_matches('/')).unwrap_or_default();
            let sane = components(&dataset.mount_point, |_| true).is_ok();
            if number != root && wanted && sane && !path.is_empty() && !mounts.by_path.contains_key(path) {
                mounts.add(path.to_owned(), number);
            }
        }
        mounts
    }

    fn add(&mut self, path: String, dataset: usize) {
        if let Some((above, name)) =
            path.rsplit_once('/').or((!path.is_empty()).then_some(("", path.as_str())))
        {
            self.below.entry(above.to_owned()).or_default().push((name.to_owned(), dataset));
        }
        self.by_path.insert(path, dataset);
    }

    /// What appears in a directory, but for what is hidden.
    pub fn below(&self, path: &str) -> &[(String, usize)] {
        self.below.get(path).map(Vec::as_slice).unwrap_or_default()
    }

    /// The dataset that is mounted exactly there.
    pub fn at(&self, path: &str) -> Option<usize> {
        self.by_path.get(path).copied()
    }
}

/// The names in a path.
pub fn names(path: &str) -> Result<Vec<&str>> {
    components(path, |name| name.len() <= NAME_MOST)
}

impl Zfs<'_> {
    /// A dataset's file system.
    pub fn opened(&mut self, number: usize) -> Result<Rc<FileSystem>> {
        if let Some(opened) = self.opened.get(&number) {
            return Ok(Rc::clone(opened));
        }
        let dataset = self.state.datasets.get(number).cloned().unwrap_or_default();
        let opened = self.state.pool.file_system(&dataset).map_err(|e| e.within(&dataset.name))?;
        let opened = Rc::new(opened);
        if self.opened.len() >= OPENED_MOST {
            self.opened.clear();
        }
        self.opened.insert(number, Rc::clone(&opened));
        Ok(opened)
    }

    /// The top directory of a dataset.
    pub fn top(&mut self, number: usize) -> Result<Znode> {
        let system = self.opened(number)?;
        self.state.pool.znode(&system, system.root)
    }

    /// What is at `path`, which must exist.
    pub fn resolve(&mut self, path: &str) -> Result<Place> {
        let names = names(path)?;
        if matches!(names.as_slice(), [CONTROL] | [CONTROL, DATASETS]) {
            return Ok(Place::Virtual);
        }
        self.walk(path, &names, names.len())
    }

    /// What is at `path`; the directory under a mount point whose dataset cannot be read, such as an encrypted one.
    pub fn resolve_or_under(&mut self, path: &str) -> Result<Place> {
        let names = names(path)?;
        match (self.resolve(path), names.len().checked_sub(1)) {
            (Err(problem), Some(above)) if self.mounts.at(&names.join("/")).is_some() => {
                self.walk(path, &names, above).map_err(|_| problem)
            }
            (found, _) => found,
        }
    }

    /// What is at a path whose mount point has at most `most` names.
    fn walk(&mut self, path: &str, names: &[&str], most: usize) -> Result<Place> {
        let mounted = (0..=most).rev().find_map(|count| {
            let above = names.get(..count)?.join("/");
            self.mounts.at(&above).map(|number| (count, number))
        });
        let (count, number) = mounted.ok_or_else(|| not_found(path))?;
        let system = self.opened(number)?;
        let mut at = system.root;
        for name in names.iter().skip(count) {
            let key = id(number, at);
            let found = match self.names.get(key, name) {
                Some(found) => found,
                None => {
                    let directory = self.state.pool.znode(&system, at).map_err(|e| e.within(path))?;
                    if directory.kind() != Kind::Directory {
                        return Err(not_a_directory(path, name));
                    }
                    let found =
                        self.state.pool.lookup(&system, &directory, name).map_err(|e| e.within(path))?;
                    self.names.add(key, name, found);
                    found
                }
            };
            at = found.ok_or_else(|| not_found(path))?;
        }
        let znode = self.state.pool.znode(&system, at).map_err(|e| e.within(path))?;
        Ok(Place::Object(number, Box::new(znode)))
    }
}

/// A number that no other object of the pool has.
pub fn id(dataset: usize, object: u64) -> u64 {
    (dataset as u64) << 48 ^ object
}
