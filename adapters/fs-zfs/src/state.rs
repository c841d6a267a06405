//! The newest state of a pool: its own objects, and what they say of it.

use crate::bytes::part;
use crate::dataset::{CanMount, Dataset};
use crate::dnode::{Dnode, ObjectSet};
use crate::features::{self, Features};
use crate::pointer::Pointer;
use crate::pool::Pool;
use crate::uberblock::{self, Uberblock};
use wherry_sdk::{Blob, Error, ErrorKind, Fact, Result, fact};
use wherry_zfs::{END, FRONT, List, STATE_EXPORTED, Vdev};

/// The object that names the pool's others (DMU_POOL_DIRECTORY_OBJECT).
const DIRECTORY: u64 = 1;
/// The pool's configuration, in bytes.
const CONFIGURATION_MOST: usize = 1 << 20;
/// Facts that are lists, in bytes.
const LIST_MOST: usize = 32 << 10;

/// A pool that was opened.
pub struct State<'a> {
    pub pool: Pool<'a>,
    pub uberblock: Uberblock,
    /// The pool's own objects, and the ZAP that names them.
    pub set: ObjectSet,
    pub directory: Dnode,
    pub features: Features,
    pub datasets: Vec<Dataset>,
    /// Which of them is to be started.
    pub bootfs: Option<usize>,
    /// Some datasets were left out: there are too many.
    pub incomplete: bool,
    /// Bytes in use, by the pool's count.
    pub used: u64,
    /// All top-level vdevs by the pool's own configuration, with those that are missing.
    configured: Vec<Vdev>,
}

/// Refuses a pool of which too much is missing.
fn check_devices(pool: &Pool<'_>) -> Result<()> {
    let label = &pool.label;
    for top in &pool.tops {
        let has = |guid| pool.member(guid).is_some();
        if !top.is_readable(&has) && !top.is_log {
            let missing: Vec<String> =
                top.leaves().into_iter().filter(|leaf| !has(leaf.guid)).map(Vdev::shown).collect();
            let message = format!(
                "the pool {} lacks {} of a {}: have all of its disks copied, or wait until volume-zfs has joined them",
                label.name,
                missing.join(", "),
                top.shown_kind()
            );
            return Err(Error::unsupported(message));
        }
        for leaf in top.leaves() {
            let wanted = FRONT.saturating_add(top.leaf_size()).saturating_add(END);
            if pool.member(leaf.guid).is_some_and(|member| member.length < wanted) {
                let message =
                    format!("{} of the pool {} is shorter than its label says", leaf.shown(), label.name);
                return Err(Error::new(ErrorKind::Corrupt, message));
            }
        }
    }
    let there = pool.tops.len() + label.holes.len();
    match label.tops {
        Some(tops) if tops > there as u64 => Err(Error::unsupported(format!(
            "the pool {} has {tops} top-level vdevs, of which {there} are here: have all of its disks copied",
            label.name
        ))),
        _ => Ok(()),
    }
}

impl<'a> State<'a> {
    /// The newest state of the pool on a device.
    pub fn open(pool: Pool<'a>) -> Result<Self> {
        let mut pool = pool;
        pool.check_label()?;
        check_devices(&pool)?;
        let uberblock = uberblock::find(&pool)?.swap_remove(0);
        features::check_version(uberblock.version, &pool.label.name)?;
        let set = pool.object_set(&uberblock.root).map_err(|e| e.within("the pool's own objects"))?;
        let directory = pool.object(&set, DIRECTORY)?;
        if let Some(salt) = pool.zap_find(&directory, b"org.illumos:checksum_salt")? {
            pool.salt.0 = salt.value.try_into().ok();
        }
        let features = pool.features(&set, &directory)?;
        let missing = || Error::new(ErrorKind::Corrupt, "the pool has no datasets: run zpool scrub");
        let root = pool.zap_number(&directory, "root_dataset")?.ok_or_else(missing)?;
        let (datasets, complete) = pool.datasets(&set, root)?;
        let used = pool.object(&set, root)?.bonus.u64(40);
        let boot = match pool.zap_number(&directory, "pool_props")? {
            Some(properties) => {
                let properties = pool.object(&set, properties)?;
                pool.zap_number(&properties, "bootfs")?
            }
            None => None,
        };
        let bootfs = boot.and_then(|number| datasets.iter().position(|dataset| dataset.number == number));
        let mut state = Self {
            pool,
            uberblock,
            set,
            directory,
            features,
            datasets,
            bootfs,
            incomplete: !complete,
            used,
            configured: Vec::new(),
        };
        // Nothing depends on it but names.
        state.configured = state.configuration().unwrap_or_default();
        Ok(state)
    }

    fn configuration(&mut self) -> Result<Vec<Vdev>> {
        let Some(number) = self.pool.zap_number(&self.directory, "config")? else { return Ok(Vec::new()) };
        let object = self.pool.object(&self.set, number)?;
        let length = usize::try_from(object.bonus.u64(0)).unwrap_or(usize::MAX).min(CONFIGURATION_MOST);
        let packed = self.pool.content(&object, 0, length)?;
        let list = List::parse(&packed.bytes)?;
        let tree = list.list("vdev_tree").map(Vdev::parse).unwrap_or_default();
        Ok(tree.children)
    }

    /// Whether an intent log may have to be replayed: what it has is newer than the space maps. Logs of encrypted datasets are
    /// not looked at. An exported pool has none.
    pub fn has_log(&mut self) -> bool {
        if self.pool.label.state == STATE_EXPORTED {
            return false;
        }
        let datasets: Vec<(bool, Option<Pointer>)> =
            self.datasets.iter().map(|one| (one.key_format.is_some(), one.pointer.clone())).collect();
        self.incomplete
            || datasets.into_iter().any(|(encrypted, pointer)| {
                let set = pointer.map(|pointer| self.pool.object_set(&pointer));
                encrypted || set.is_some_and(|set| set.map_or(true, |set| set.log))
            })
    }

    /// Leaves that are not here, for people.
    pub fn missing(&self) -> Vec<String> {
        let tops = if self.configured.is_empty() { &self.pool.tops } else { &self.configured };
        let leaves = tops.iter().filter(|top| top.kind != "hole").flat_map(Vdev::leaves);
        leaves.filter(|leaf| self.pool.member(leaf.guid).is_none()).map(Vdev::shown).collect()
    }

    /// What the pool says of itself.
    pub fn facts(&self) -> Vec<Fact> {
        let label = &self.pool.label;
        let mut facts = vec![fact("pool", &label.name), fact("version", self.uberblock.version)];
        facts.push(fact("state", if label.state == STATE_EXPORTED { "exported" } else { "active" }));
        facts.push(fact("txg", self.uberblock.txg));
        facts.extend(label.hostname.as_ref().map(|name| fact("hostname", name)));
        facts.push(fact("features", self.features.active.join(",")));
        let kinds: Vec<String> = self.pool.tops.iter().map(Vdev::shown_kind).collect();
        facts.push(fact("vdevs", kinds.join(",")));
        if let Some(bootfs) = self.bootfs.and_then(|index| self.datasets.get(index)) {
            facts.push(fact("bootfs", &bootfs.name));
        }
        let below = format!("{}/ROOT/", label.name);
        let environments = self.datasets.iter().filter_map(|dataset| dataset.name.strip_prefix(&below));
        let environments: Vec<&str> = environments.filter(|name| !name.contains('/')).collect();
        add(&mut facts, "boot-environments", environments.into_iter().map(str::to_owned));
        add(&mut facts, "datasets", self.datasets.iter().map(shown));
        let snapshots = self.datasets.iter();
        let snapshots =
            snapshots.flat_map(|one| one.snapshots.iter().map(|name| format!("{}@{name}", one.name)));
        let left_out = self.datasets.iter().any(|dataset| dataset.snapshots_left_out);
        add(&mut facts, "snapshots", snapshots.chain(left_out.then(|| "...".to_owned())));
        add(&mut facts, "missing", self.missing().into_iter());
        add(&mut facts, "not-verified", self.features.not_verified.iter().cloned());
        if self.incomplete {
            facts.push(fact("datasets-left-out", "there are more than 4096"));
        }
        if self.uberblock.checkpoint != 0 {
            facts.push(fact("checkpoint", self.uberblock.checkpoint));
        }
        facts
    }
}

/// A dataset in one line: its name, where it is mounted, and what speaks against that.
fn shown(dataset: &Dataset) -> String {
    let mount = match dataset.can_mount {
        CanMount::On => "",
        CanMount::Off => " canmount=off",
        CanMount::NoAuto => " canmount=noauto",
    };
    let key = dataset.key_format.map(|format| format!(" encrypted keyformat={format}")).unwrap_or_default();
    format!("{} {}{mount}{key}", dataset.name, dataset.mount_point)
}

/// A fact of lines, which ends with `...` where there are too many; none where there is nothing.
fn add(facts: &mut Vec<Fact>, key: &str, lines: impl Iterator<Item = String>) {
    let mut text = String::new();
    for line in lines {
        if text.len() + line.len() > LIST_MOST {
            text.push_str("\n...");
            break;
        }
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&line);
    }
    if !text.is_empty() {
        facts.push(fact(key, text));
    }
}

/// The pool on a device; none if there is none.
pub fn pool<'a>(device: Box<dyn Blob + 'a>) -> Result<Option<Pool<'a>>> {
    // Most devices are something else: the first bytes of a list in XDR tell.
    let size = device.size();
    let begins = |at: u64| {
        let head = device.read(at, 4);
        head.is_ok_and(|head| part(&head, 0, 1) == [1])
    };
    let labels = [wherry_zfs::NVLIST, wherry_zfs::AREA + wherry_zfs::NVLIST];
    if size < FRONT + END || !labels.into_iter().any(begins) {
        return Ok(None);
    }
    Pool::open(device)
}
