//! Checks an archive: every object against its name or seal, the index against the packs, the snapshots against the index. What
//! is damaged is named, with the ranges of the disks that it takes away.

use crate::archive::Archive;
use crate::chunk::{Id, Unpacker, plain_length};
use crate::chunks::Chunks;
use crate::index::Index;
use crate::marks::{self, GONE, Names};
use crate::pack::{self, Entry, PACK_MOST, name_of};
use crate::reach::{Affected, affected};
use crate::seal::Cipher;
use crate::segment::PackName;
use crate::{Error, ErrorKind, Result};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

/// What to check.
#[derive(Clone, Copy, Debug)]
pub struct VerifyOptions {
    /// How many of a hundred packs are read; the others only have to be there, with their whole length.
    pub percent: f64,
    /// Unpack every chunk that is read and compare it with its id, beyond the pack with its name.
    pub deep: bool,
    /// Which packs are read, if not all.
    pub seed: u64,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        Self { percent: 100.0, deep: false, seed: 0 }
    }
}

/// One thing that is not as it was written.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Damage {
    /// The object.
    pub object: String,
    /// What is wrong with it.
    pub what: String,
}

/// What a check has found.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Verified {
    /// Packs that are there.
    pub packs: u64,
    /// Of these, packs that were read.
    pub packs_read: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Snapshots.
    pub snapshots: u64,
    /// What is not well.
    pub damage: Vec<Damage>,
    /// What cannot be read because of that.
    pub affected: Vec<Affected>,
}

/// What is known of the packs.
#[derive(Default)]
pub(crate) struct Packs {
    /// Their bytes.
    pub there: BTreeMap<[u8; 32], u64>,
    /// Packs of which something is lost, and the chunks that are.
    pub bad: BTreeMap<[u8; 32], BTreeSet<Id>>,
}

/// Bytes of packs done, and in all.
pub type TellBytes<'a> = &'a (dyn Fn(u64, u64) + Sync);

impl Archive {
    /// Checks the archive; nothing is changed.
    pub fn verify(
        &self,
        options: &VerifyOptions,
        cancel: &AtomicBool,
        tell: TellBytes<'_>,
    ) -> Result<Verified> {
        self.examine(options, cancel, tell).map(|(verified, ..)| verified)
    }

    pub(crate) fn examine(
        &self,
        options: &VerifyOptions,
        cancel: &AtomicBool,
        tell: TellBytes<'_>,
    ) -> Result<(Verified, Chunks, Packs, HashSet<Id>)> {
        let mut verified = Verified::default();
        self.slots().err().into_iter().try_for_each(|e| verified.note("keys/", e))?;
        let (index, damaged) = Index::open_sound(&self.keys, self.store.as_ref())?;
        damaged.into_iter().try_for_each(|(key, e)| verified.note(&key, e))?;
        let mut packs = Packs::default();
        self.store.list("packs/", &mut |object| match name_of(&object.key) {
            Some(name) => {
                packs.there.insert(name, object.size);
            }
            None => verified
                .damage
                .push(Damage { object: object.key, what: "no file of this format has such a name".into() }),
        })?;
        verified.packs = packs.there.len() as u64;
        compare_index(&index, &marks::read(self, GONE)?, &mut packs, &mut verified)?;
        self.read_packs(options, cancel, &mut packs, &mut verified, tell)?;
        let chunks = Chunks::new(self, index);
        let bad = packs.lost(&chunks.index)?;
        self.check_snapshots(&chunks, &bad, &mut verified)?;
        Ok((verified, chunks, packs, bad))
    }

    fn read_packs(
        &self,
        options: &VerifyOptions,
        cancel: &AtomicBool,
        packs: &mut Packs,
        verified: &mut Verified,
        tell: TellBytes<'_>,
    ) -> Result<()> {
        let wanted: Vec<([u8; 32], u64)> = packs
            .there
            .iter()
            .filter(|(name, _)| options.wants(name))
            .map(|(name, size)| (*name, *size))
            .collect();
        let total = wanted.iter().map(|(_, size)| size).sum();
        let (next, done) = (AtomicUsize::new(0), AtomicU64::new(0));
        let found = Mutex::new(Vec::new());
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        let work = || -> Result<()> {
            let mut unpacker = Unpacker::new()?;
            while let Some((name, size)) = wanted.get(next.fetch_add(1, Relaxed)) {
                if cancel.load(Relaxed) {
                    return Err(Error::new(ErrorKind::Cancelled, "stopped as asked"));
                }
                if let Some(damage) = self.read_pack(name, *size, options.deep, &mut unpacker)? {
                    found.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((*name, damage));
                }
                tell(done.fetch_add(*size, Relaxed) + size, total);
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let crashed = |_| Err(Error::new(ErrorKind::Store, "a worker crashed"));
            workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(crashed))
        })?;
        verified.packs_read = wanted.len() as u64;
        verified.bytes_read = done.load(Relaxed);
        let mut found = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        found.sort_by_key(|(name, _)| *name);
        for (name, (what, ids)) in found {
            verified.damage.push(Damage { object: pack::key(&name), what });
            packs.bad.entry(name).or_default().extend(ids);
        }
        Ok(())
    }

    /// What is wrong with a pack, and the chunks that it takes away.
    fn read_pack(
        &self,
        name: &[u8; 32],
        size: u64,
        deep: bool,
        unpacker: &mut Unpacker,
    ) -> Result<Option<(String, Vec<Id>)>> {
        if size > PACK_MOST {
            return Ok(Some((format!("it has {size} bytes, more than any pack"), Vec::new())));
        }
        let bytes = match self.store.get(&pack::key(name)) {
            // Pruned meanwhile.
            Err(e) if e.kind == ErrorKind::Missing => return Ok(None),
            bytes => bytes?,
        };
        let whole = blake3::hash(&bytes).as_bytes() == name;
        if whole && !deep {
            return Ok(None);
        }
        let Some((pack, entries)) = self.entries_of(name, &bytes)? else {
            return Ok(Some((
                "it was changed after it was written, and nothing names its chunks".into(),
                Vec::new(),
            )));
        };
        let ids = self.bad_entries(&bytes, &pack, &entries, unpacker);
        let words = match (whole, ids.len()) {
            (true, 0) => return Ok(None),
            (false, 0) => "it was changed after it was written, where no chunk is".into(),
            (_, count) => {
                format!("{count} of its {} chunks were changed after it was written", entries.len())
            }
        };
        Ok(Some((words, ids)))
    }

    /// Where the chunks of a pack are: by its own table, else by the index.
    pub(crate) fn entries_of(&self, name: &[u8; 32], bytes: &[u8]) -> Result<Option<(PackName, Vec<Entry>)>> {
        if let Ok(table) = self.table_of(name, bytes) {
            return Ok(Some(table));
        }
        let (index, _) = Index::open_sound(&self.keys, self.store.as_ref())?;
        let mut places: Option<(PackName, Vec<Entry>)> = None;
        for segment in &index.segments {
            let mut here = None;
            segment.each_pack(&mut |number, pack| {
                here = here.or((pack.name == *name).then_some((number, pack)))
            })?;
            let Some((number, pack)) = here else { continue };
            let entries = &mut places.get_or_insert((pack, Vec::new())).1;
            segment.each_record(&mut |_, record| {
                let entry = Entry { id: record.id, offset: record.offset, stored: record.stored, kind: 0 };
                entries.extend((record.pack == number).then_some(entry));
            })?;
        }
        Ok(places)
    }

    pub(crate) fn table_of(&self, name: &[u8; 32], bytes: &[u8]) -> Result<(PackName, Vec<Entry>)> {
        let read = |at: u64, into: &mut [u8]| {
            let from = bytes.get(at as usize..).and_then(|rest| rest.get(..into.len()));
            into.copy_from_slice(from.ok_or_else(|| Error::corrupt("it ends too early"))?);
            Ok(())
        };
        let (salt, entries) = pack::table(&self.keys, bytes.len() as u64, read)?;
        Ok((PackName { name: *name, salt }, entries))
    }

    fn bad_entries(
        &self,
        bytes: &[u8],
        pack: &PackName,
        entries: &[Entry],
        unpacker: &mut Unpacker,
    ) -> Vec<Id> {
        let cipher = Cipher::new(&self.keys, &pack.salt);
        let mut bad = Vec::new();
        for entry in entries {
            let stored =
                bytes.get(entry.offset as usize..).and_then(|rest| rest.get(..entry.stored as usize));
            let mut stored = stored.unwrap_or_default().to_vec();
            let mut plain = vec![0; plain_length(&stored).unwrap_or(0)];
            if unpacker.unpack(&self.keys, &cipher, &mut stored, &entry.id, &mut plain).is_err() {
                bad.push(entry.id);
            }
        }
        bad
    }

    fn check_snapshots(&self, chunks: &Chunks, bad: &HashSet<Id>, verified: &mut Verified) -> Result<()> {
        let mut good = HashSet::new();
        let mut known: HashMap<Id, bool> = HashMap::new();
        for id in self.snapshot_ids()? {
            let snapshot = match self.snapshot(&id) {
                Err(e) if e.kind == ErrorKind::Missing => continue,
                Err(e) => {
                    verified.note(&crate::snapshot::key(&id), e)?;
                    continue;
                }
                Ok(snapshot) => snapshot,
            };
            verified.snapshots += 1;
            let mut lost = |id: &Id| -> Result<bool> {
                if bad.contains(id) {
                    return Ok(true);
                }
                if let Some(lost) = known.get(id) {
                    return Ok(*lost);
                }
                let lost = chunks.index.find(id)?.is_none();
                if lost {
                    known.insert(*id, lost);
                }
                Ok(lost)
            };
            let list = affected(chunks, &snapshot, &mut good, &mut lost)?;
            verified.affected.extend(list);
        }
        Ok(())
    }
}

/// Packs that the index names must be there, with all that it says of them, unless a prune has removed them.
fn compare_index(index: &Index, gone: &Names, packs: &mut Packs, verified: &mut Verified) -> Result<()> {
    let (mut missing, mut short) = (BTreeSet::new(), BTreeSet::new());
    for segment in &index.segments {
        let mut names = Vec::with_capacity(segment.packs);
        segment.each_pack(&mut |_, pack| names.push(pack.name))?;
        segment.each_record(&mut |_, record| {
            let Some(name) = names.get(record.pack as usize) else { return };
            let end = u64::from(record.offset) + u64::from(record.stored);
            match packs.there.get(name) {
                Some(size) if *size >= end => return,
                Some(_) => short.insert(*name),
                None => missing.insert(*name),
            };
            packs.bad.entry(*name).or_default().insert(record.id);
        })?;
    }
    for (names, what) in [(missing, "missing"), (short, "shorter than the index says")] {
        for name in names.difference(gone) {
            verified.damage.push(Damage { object: pack::key(name), what: what.into() });
        }
    }
    Ok(())
}

impl Packs {
    /// Chunks that can be read nowhere: one that is damaged in one pack may be whole in another.
    fn lost(&self, index: &Index) -> Result<HashSet<Id>> {
        let mut lost = HashSet::new();
        for id in self.bad.values().flatten() {
            let mut places = Vec::new();
            index.places(id, &mut |found| {
                places.push(found);
                true
            })?;
            let mut whole = false;
            for found in &places {
                let name = index.pack_name(found)?.name;
                whole |= !self.bad.get(&name).is_some_and(|ids| ids.contains(id));
            }
            if !whole {
                lost.insert(*id);
            }
        }
        Ok(lost)
    }
}

impl Verified {
    /// Whether all is well.
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty() && self.affected.is_empty()
    }

    /// Damage is noted; any other error ends the check.
    fn note(&mut self, object: &str, e: Error) -> Result<()> {
        // A version that nobody has written yet is a flipped bit, or the work of a newer program: either way it must be named.
        if !matches!(e.kind, ErrorKind::Corrupt | ErrorKind::Unsupported) {
            return Err(e);
        }
        self.damage.push(Damage { object: object.into(), what: e.context });
        Ok(())
    }
}

impl VerifyOptions {
    fn wants(&self, name: &[u8; 32]) -> bool {
        if self.percent >= 100.0 {
            return true;
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.seed.to_le_bytes()).update(name);
        let draw = hasher.finalize();
        let draw = draw.as_bytes().first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        f64::from(draw) < self.percent / 100.0 * f64::from(u32::MAX)
    }
}
