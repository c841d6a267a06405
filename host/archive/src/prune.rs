//! Removes what no snapshot needs. Packs that are mostly needed stay; what is left in the others is stored again first.

use crate::archive::Archive;
use crate::chunk::{Id, Kind, Packer, Unpacker, kind_of, plain_length};
use crate::chunks::Chunks;
use crate::index::{self, Index};
use crate::marks::{self, GONE, LOST, Names};
use crate::pack::{self, name_of};
use crate::reach::Reach;
use crate::retention::Retention;
use crate::seal::Cipher;
use crate::segment::Segment;
use crate::snapshot::{CANDIDATES, Roots, new_id};
use crate::verify::TellBytes;
use crate::writer::session_with;
use crate::{Error, ErrorKind, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

/// What a writer that was killed has left is removed when it is as old as this.
const STALE: Duration = Duration::from_secs(24 * 3600);
/// Lists of removed packs are kept for this long: no capture takes longer.
const REMEMBER: Duration = Duration::from_secs(30 * 24 * 3600);
/// How often the index is opened again because it does not have what is needed.
const TRIES: u32 = 4;
/// Objects that only show the store's time.
const CLOCK: &str = "clock/";
/// Packs smaller than this part of a full one are stored together, if there are many.
const SMALL: u64 = 4;
const MANY: usize = 8;

/// What to remove.
#[derive(Clone, Debug, Default)]
pub struct PruneOptions {
    /// Which snapshots stay; all, if no rule is given.
    pub retention: Retention,
    /// Say what would be done, and do nothing.
    pub dry_run: bool,
    /// How many of a hundred bytes may stay without need, so that less has to be stored again.
    pub unused_percent: f64,
}

/// What was removed, or would be.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Pruned {
    /// Ids of the snapshots that go.
    pub snapshots: Vec<String>,
    /// Packs that go, and their bytes.
    pub packs: u64,
    /// Bytes of packs that go.
    pub bytes: u64,
    /// Of these, bytes that are needed and are stored again.
    pub kept_bytes: u64,
    /// Bytes of packs that stay, and how many of them nobody needs.
    pub left: u64,
    /// Of these, bytes that nobody needs.
    pub unused: u64,
}

/// Bytes of a pack: in all, and needed.
#[derive(Clone, Copy, Debug, Default)]
struct Use {
    all: u64,
    live: u64,
}

/// Which records of each segment are needed.
struct Live(Vec<Vec<u64>>);

impl Live {
    fn new(index: &Index) -> Self {
        Self(index.segments.iter().map(|segment| vec![0; segment.records.div_ceil(64)]).collect())
    }
    fn set(&mut self, segment: usize, number: usize) {
        self.0[segment][number / 64] |= 1 << (number % 64);
    }
    fn get(&self, segment: usize, number: usize) -> bool {
        self.0[segment][number / 64] >> (number % 64) & 1 == 1
    }
}

impl Archive {
    /// Removes snapshots by the rules, and then what no snapshot needs. Other programs may read and write the archive
    /// meanwhile. Killed anywhere, nothing that is needed is gone, and the same call goes on.
    pub fn prune(&self, options: &PruneOptions, cancel: &AtomicBool, tell: TellBytes<'_>) -> Result<Pruned> {
        // A dry run writes nothing, so it has to take the clock of this machine.
        let now = if options.dry_run { SystemTime::now() } else { self.store_time()? };
        let mut pruned =
            Pruned { snapshots: options.retention.superfluous(&self.snapshots()?), ..Pruned::default() };
        if !options.dry_run {
            pruned.snapshots.iter().try_for_each(|id| self.remove(id))?;
            self.sweep(now)?;
        }
        let mut roots = self.roots()?;
        if options.dry_run {
            roots.snapshots.retain(|root| !pruned.snapshots.contains(&root.id));
        }
        let (chunks, live) = self.needed(&roots)?;
        let mut packs = usage(&chunks.index, &live)?;
        let orphans = self.orphans(&packs, now)?;
        let goes = choose(&mut packs, self.config.pack_size.into(), options.unused_percent);
        for (name, each) in &packs {
            if goes.contains(name) {
                pruned.packs += 1;
                pruned.bytes += each.all;
                pruned.kept_bytes += each.live;
            } else {
                pruned.left += each.all;
                pruned.unused += each.all - each.live;
            }
        }
        pruned.packs += orphans.len() as u64;
        pruned.bytes += orphans.values().sum::<u64>();
        if options.dry_run || (goes.is_empty() && orphans.is_empty()) {
            return Ok(pruned);
        }
        let again: Names = goes.iter().filter(|name| packs[*name].live > 0).copied().collect();
        let gone: Names = goes.into_iter().chain(orphans.into_keys()).collect();
        self.store_again((&chunks, &live), (&again, &gone), (cancel, tell))?;
        self.take_away(gone, &roots)?;
        Ok(pruned)
    }

    /// The index, and which of its records are needed.
    fn needed(&self, roots: &Roots) -> Result<(Chunks, Live)> {
        again(|| {
            let mut chunks = Chunks::open(self)?;
            let removed = index::removed(self, &chunks.index.segments.iter().collect::<Vec<_>>())?;
            chunks.index.forget(&removed)?;
            let live = live(self, &chunks, roots)?;
            Ok((chunks, live))
        })
    }

    /// The store's own time, with which the ages of objects are told: its clock and this machine's may differ by days.
    fn store_time(&self) -> Result<SystemTime> {
        let own = format!("{CLOCK}{}", new_id()?);
        self.store.put_own(&own, b"a prune looks at the store's clock\n")?;
        let (mut now, mut others) = (None, Vec::new());
        self.store.list(CLOCK, &mut |object| match object.key == own {
            true => now = Some(object.modified),
            false => others.push(object),
        })?;
        self.store.delete(&own)?;
        let what = || Error::store(self.store.name(), "an object that was just written is not listed");
        let now = now.ok_or_else(what)?;
        let mut left =
            others.iter().filter(|other| now.duration_since(other.modified).is_ok_and(|age| age > STALE));
        left.try_for_each(|other| self.store.delete(&other.key))?;
        Ok(now)
    }

    fn sweep(&self, now: SystemTime) -> Result<()> {
        let before = now.checked_sub(STALE).unwrap_or(SystemTime::UNIX_EPOCH);
        self.store.sweep(before)?;
        marks::sweep(self, CANDIDATES, before)?;
        marks::sweep(self, GONE, now.checked_sub(REMEMBER).unwrap_or(SystemTime::UNIX_EPOCH))?;
        // Chunks that were lost and are there again, or that nobody needs, need no list.
        let lost = marks::read(self, LOST)?;
        if !lost.is_empty() {
            let index = Index::open(&self.keys, self.store.as_ref())?;
            let mut left = false;
            for id in &lost {
                left |= index.find(&Id(*id))?.is_none();
            }
            if !left {
                marks::sweep(self, LOST, now)?;
            }
        }
        Ok(())
    }

    /// Packs that no segment names and that no running capture can still be about to name.
    fn orphans(&self, named: &BTreeMap<[u8; 32], Use>, now: SystemTime) -> Result<BTreeMap<[u8; 32], u64>> {
        let gone = marks::read(self, GONE)?;
        let mut orphans = BTreeMap::new();
        self.store.list("packs/", &mut |object| {
            let old = now.duration_since(object.modified).is_ok_and(|age| age > STALE);
            if let Some(name) = name_of(&object.key)
                && !named.contains_key(&name)
                && (old || gone.contains(&name))
            {
                orphans.insert(name, object.size);
            }
        })?;
        Ok(orphans)
    }

    /// Stores the needed chunks of the packs `names` in new ones; no pack of `gone` counts as a place for them.
    fn store_again(
        &self,
        (chunks, live): (&Chunks, &Live),
        (names, gone): (&Names, &Names),
        (cancel, tell): (&AtomicBool, TellBytes<'_>),
    ) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let mut index = Index::open(&self.keys, self.store.as_ref())?;
        index.forget(gone)?;
        session_with(self, index, |writer| {
            let (mut packer, mut unpacker) = (Packer::new(1)?, Unpacker::new()?);
            for (done, name) in names.iter().enumerate() {
                if cancel.load(Relaxed) {
                    return Err(Error::new(
                        ErrorKind::Cancelled,
                        "stopped as asked; nothing was removed yet",
                    ));
                }
                let bytes = self.store.get(&pack::key(name))?;
                let (pack, entries) = self.table_of(name, &bytes)?;
                let cipher = Cipher::new(&self.keys, &pack.salt);
                for entry in entries {
                    if !needed(chunks, live, &entry.id)? {
                        continue;
                    }
                    let mut stored = bytes[entry.offset as usize..][..entry.stored as usize].to_vec();
                    let mut plain = vec![0; plain_length(&stored).unwrap_or(0)];
                    let kind = kind_of(&stored);
                    unpacker.unpack(&self.keys, &cipher, &mut stored, &entry.id, &mut plain)?;
                    writer.put(&mut packer, kind, &plain, &entry.id)?;
                }
                tell(done as u64 + 1, names.len() as u64);
            }
            Ok(())
        })?;
        Ok(())
    }

    /// Removes packs. The list of them is written first; a snapshot that appears after that has looked at it, and one that
    /// appeared before is seen here.
    pub(crate) fn take_away(&self, mut gone: Names, before: &Roots) -> Result<()> {
        if gone.is_empty() {
            return Ok(());
        }
        let list = marks::write(self, GONE, &gone)?;
        let mut fresh = self.roots()?;
        fresh.forget(before);
        let (index, spared) = again(|| self.spare(&gone, &fresh))?;
        if !spared.is_empty() {
            gone.retain(|name| !spared.contains(name));
            // What is spared stays, and may be leaned on again.
            if !gone.is_empty() {
                marks::write(self, GONE, &gone)?;
            }
            self.store.delete(&list)?;
        }
        let speaks = |segment: &&Segment| {
            let mut speaks = false;
            segment.each_pack(&mut |_, pack| speaks |= gone.contains(&pack.name)).map(|()| speaks)
        };
        let mut old = Vec::new();
        for segment in &index.segments {
            if speaks(&segment)? {
                old.push(segment);
            }
        }
        index::rewrite(&self.keys, self.store.as_ref(), &old, &|name| !gone.contains(name))?;
        old.iter().try_for_each(|segment| self.store.delete(&segment.key))?;
        gone.iter().try_for_each(|name| self.store.delete(&pack::key(name)))
    }
}

impl Archive {
    /// The index, and packs of `gone` that fresh snapshots need.
    fn spare(&self, gone: &Names, fresh: &Roots) -> Result<(Index, Names)> {
        let mut index = Index::open(&self.keys, self.store.as_ref())?;
        let removed = index::removed(self, &index.segments.iter().collect::<Vec<_>>())?;
        index.forget(&gone.union(&removed).copied().collect())?;
        let (chunks, lost, mut spared) = (Chunks::new(self, index), marks::read(self, LOST)?, Names::new());
        Reach::new(self, &chunks)?.mark(fresh, &mut |id, _| {
            let (mut stays, mut goes) = (lost.contains(&id.0), Vec::new());
            chunks.index.places(id, &mut |found| {
                stays |= !chunks.index.is_gone(&found);
                goes.push(found);
                !stays
            })?;
            for found in goes.iter().filter(|_| !stays) {
                let name = chunks.index.pack_name(found)?.name;
                if !removed.contains(&name) {
                    spared.insert(name);
                    return Ok(());
                }
            }
            known(stays, id)
        })?;
        Ok((chunks.index, spared))
    }
}

/// Which records the snapshots need: both places of a list, one of a chunk.
fn live(archive: &Archive, chunks: &Chunks, roots: &Roots) -> Result<Live> {
    let mut live = Live::new(&chunks.index);
    let lost = marks::read(archive, LOST)?;
    Reach::new(archive, chunks)?.mark(roots, &mut |id, kind| {
        let mut there = lost.contains(&id.0);
        chunks.index.places(id, &mut |found| {
            if chunks.index.is_gone(&found) {
                return true;
            }
            live.set(found.segment, found.number);
            there = true;
            kind != Kind::Data
        })?;
        known(there, id)
    })?;
    Ok(live)
}

/// Does it once more if the index lacked something: merges and other prunes move segments meanwhile.
fn again<T>(look: impl Fn() -> Result<T>) -> Result<T> {
    for _ in 1..TRIES {
        match look() {
            Err(e) if e.kind == ErrorKind::Corrupt => {}
            looked => return looked,
        }
    }
    look()
}

/// A pack that no segment names goes when it is old: so nothing goes by an index that lacks what a snapshot needs.
fn known(there: bool, id: &Id) -> Result<()> {
    let what = || Error::corrupt(format!("chunk {id} is in no segment of the index"));
    if there { Ok(()) } else { Err(what()) }
}

/// Whether a snapshot needs a chunk, wherever it lies.
fn needed(chunks: &Chunks, live: &Live, id: &Id) -> Result<bool> {
    let mut needed = false;
    chunks.index.places(id, &mut |found| {
        needed |= live.get(found.segment, found.number);
        !needed
    })?;
    Ok(needed)
}

/// What each pack holds, and how much of it is needed.
fn usage(index: &Index, live: &Live) -> Result<BTreeMap<[u8; 32], Use>> {
    let mut packs: BTreeMap<[u8; 32], Use> = BTreeMap::new();
    for (at, segment) in index.segments.iter().enumerate() {
        let mut names = Vec::with_capacity(segment.packs);
        segment.each_pack(&mut |_, pack| names.push(pack.name))?;
        let mut here: BTreeMap<[u8; 32], Use> = names.iter().map(|name| (*name, Use::default())).collect();
        segment.each_record(&mut |number, record| {
            if let Some(each) = names.get(record.pack as usize).and_then(|name| here.get_mut(name)) {
                each.all += u64::from(record.stored);
                each.live += if live.get(at, number) { u64::from(record.stored) } else { 0 };
            }
        })?;
        for (name, each) in here {
            // A pack may be in two segments, after a merge that was killed.
            let known = packs.entry(name).or_default();
            known.all = known.all.max(each.all);
            known.live = (known.live + each.live).min(known.all);
        }
    }
    Ok(packs)
}

/// Packs that go: those that nobody needs, then those with the most waste until what is left of it is little, and small ones.
fn choose(packs: &mut BTreeMap<[u8; 32], Use>, pack_size: u64, unused_percent: f64) -> Names {
    let mut goes: Names = packs.iter().filter(|(_, each)| each.live == 0).map(|(name, _)| *name).collect();
    let mut rest: Vec<(u64, [u8; 32], Use)> = packs
        .iter()
        .filter(|(_, each)| each.live > 0 && each.live < each.all)
        .map(|(name, each)| (each.live * 1000 / each.all.max(1), *name, *each))
        .collect();
    rest.sort_by_key(|(part, name, _)| (*part, *name));
    let mut unused: u64 = rest.iter().map(|(.., each)| each.all - each.live).sum();
    let live: u64 = packs.values().map(|each| each.live).sum();
    for (_, name, each) in rest {
        if unused as f64 <= unused_percent / 100.0 * live as f64 {
            break;
        }
        unused -= each.all - each.live;
        goes.insert(name);
    }
    let small = |(name, each): (&[u8; 32], &Use)| {
        (each.all < pack_size / SMALL && !goes.contains(name)).then_some(*name)
    };
    let small: Vec<[u8; 32]> = packs.iter().filter_map(small).collect();
    if small.len() >= MANY {
        goes.extend(small);
    }
    goes
}
