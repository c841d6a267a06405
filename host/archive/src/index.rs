//! The index: every segment, looked at together. What is held in memory are 8 bytes for each 92 chunks.

use crate::archive::Archive;
use crate::chunk::Id;
use crate::keys::Keys;
use crate::marks::{self, GONE, Names};
use crate::pack::{self, Entry};
use crate::seal::Cipher;
use crate::segment::{self, PackName, RECORDS_MOST, Record, Segment};
use crate::store::Store;
use crate::{Error, ErrorKind, Result};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// How often a listing is made again because a segment vanished meanwhile: it was merged with others.
const TRIES: u32 = 8;
/// Segments smaller than this are merged when there are many.
const SMALL: usize = RECORDS_MOST / 2;
/// That many small segments are too many: each costs a look for each new chunk.
const MANY: usize = 12;
/// Packs whose names and ciphers are kept.
const RECENT: usize = 512;

/// A chunk's place: a segment's number, and what that says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub segment: usize,
    /// The record's number there.
    pub number: usize,
    pub record: Record,
}

/// A pack that can be read.
pub(crate) struct Pack {
    pub name: [u8; 32],
    pub cipher: Cipher,
}

/// Every segment of an archive as it was when it was opened, and those added since.
pub(crate) struct Index {
    pub segments: Vec<Segment>,
    /// Packs that a prune is removing, by segment and number: nothing new may lean on them.
    gone: BTreeSet<(usize, u32)>,
    packs: Mutex<HashMap<(usize, u32), Arc<Pack>>>,
}

impl Index {
    /// Opens what there is.
    pub fn open(keys: &Keys, store: &dyn Store) -> Result<Self> {
        for _ in 1..TRIES {
            match Self::try_open(keys, store) {
                Err(e) if e.kind == ErrorKind::Missing => {}
                opened => return opened,
            }
        }
        Self::try_open(keys, store)
    }

    fn try_open(keys: &Keys, store: &dyn Store) -> Result<Self> {
        let segments: Result<Vec<_>> =
            names(store)?.iter().map(|key| Segment::open(keys, store, key)).collect();
        Ok(Self::of(segments?))
    }

    fn of(segments: Vec<Segment>) -> Self {
        Self { segments, gone: BTreeSet::new(), packs: Mutex::new(HashMap::new()) }
    }

    /// Opens what is sound to the last page, and says what is not.
    pub fn open_sound(keys: &Keys, store: &dyn Store) -> Result<(Self, Vec<(String, Error)>)> {
        let (mut segments, mut damaged) = (Vec::new(), Vec::new());
        for key in names(store)? {
            match sound(keys, store, &key) {
                Ok(segment) => segments.push(segment),
                Err(e) if e.kind == ErrorKind::Missing => {}
                Err(e) if e.kind == ErrorKind::Corrupt => damaged.push((key, e)),
                Err(e) => return Err(e),
            }
        }
        Ok((Self::of(segments), damaged))
    }

    /// Marks packs that are being removed, by their names.
    pub fn forget(&mut self, names: &BTreeSet<[u8; 32]>) -> Result<()> {
        self.gone.clear();
        if names.is_empty() {
            return Ok(());
        }
        for (at, segment) in self.segments.iter().enumerate() {
            let gone = &mut self.gone;
            segment.each_pack(&mut |number, pack| {
                if names.contains(&pack.name) {
                    gone.insert((at, number));
                }
            })?;
        }
        Ok(())
    }

    /// Where a chunk can be read; a place that will stay if there is one.
    pub fn find(&self, id: &Id) -> Result<Option<Found>> {
        let (mut stays, mut goes) = (None, None);
        self.places(id, &mut |found| {
            let place = if self.is_gone(&found) { &mut goes } else { &mut stays };
            *place = Some(found);
            stays.is_none()
        })?;
        Ok(stays.or(goes))
    }

    /// Tells every place of a chunk, those in the newest segments first, until `tell` says false.
    pub fn places(&self, id: &Id, tell: &mut dyn FnMut(Found) -> bool) -> Result<()> {
        for (segment, each) in self.segments.iter().enumerate().rev() {
            if !each.find(id, &mut |number, record| tell(Found { segment, number, record }))? {
                break;
            }
        }
        Ok(())
    }

    /// Whether the place will go.
    pub fn is_gone(&self, found: &Found) -> bool {
        !self.gone.is_empty() && self.gone.contains(&(found.segment, found.record.pack))
    }

    /// The pack of a place.
    pub fn pack(&self, keys: &Keys, found: &Found) -> Result<Arc<Pack>> {
        let key = (found.segment, found.record.pack);
        let lock = || self.packs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pack) = lock().get(&key) {
            return Ok(pack.clone());
        }
        let named = self.pack_name(found)?;
        let pack = Arc::new(Pack { name: named.name, cipher: Cipher::new(keys, &named.salt) });
        let mut packs = lock();
        if packs.len() >= RECENT {
            packs.clear();
        }
        packs.insert(key, pack.clone());
        Ok(pack)
    }

    /// The name of a place's pack.
    pub fn pack_name(&self, found: &Found) -> Result<PackName> {
        self.segments[found.segment].pack(found.record.pack)
    }
}

/// The keys of all segments, in order. A listing is no moment: while it goes on, a merge can write its segment where the
/// listing has passed and remove those where it has not. So it is made until two say the same.
pub(crate) fn names(store: &dyn Store) -> Result<Vec<String>> {
    let list = || -> Result<Vec<String>> {
        let mut names = Vec::new();
        store.list(segment::FOLDER, &mut |object| names.push(object.key))?;
        names.sort();
        Ok(names)
    };
    let mut names = list()?;
    for _ in 1..TRIES {
        let again = list()?;
        if again == names {
            break;
        }
        names = again;
    }
    Ok(names)
}

/// A segment, every byte of which is what was written.
fn sound(keys: &Keys, store: &dyn Store, key: &str) -> Result<Segment> {
    let hash = blake3::hash(&store.get(key)?);
    match key.ends_with(hash.to_hex().as_str()) {
        true => Segment::open(keys, store, key),
        false => Err(Error::corrupt(format!("{key}: it was changed after it was written"))),
    }
}

/// Packs that are durable and in no segment yet, and their chunks.
#[derive(Default)]
pub(crate) struct Pending {
    pub packs: Vec<PackName>,
    pub records: Vec<Record>,
}

impl Pending {
    /// Adds a pack with its table.
    pub fn add(&mut self, pack: PackName, entries: &[Entry]) {
        let number = self.packs.len() as u32;
        self.packs.push(pack);
        self.records.extend(entries.iter().map(|entry| Record {
            id: entry.id,
            pack: number,
            offset: entry.offset,
            stored: entry.stored,
        }));
    }

    /// Writes them as a segment; none if there is nothing. A sorted copy of the ids is left in `records`.
    pub fn write(&mut self, keys: &Keys, store: &dyn Store) -> Result<Option<Segment>> {
        if self.packs.is_empty() {
            return Ok(None);
        }
        let bytes = segment::build(keys, &self.packs, &mut self.records)?;
        let key = segment::write(store, &bytes)?;
        Segment::open(keys, store, &key).map(Some)
    }
}

/// Merges small segments into large ones when there are too many of them. Killed anywhere, what is left are records that are
/// there twice, which does no harm.
pub(crate) fn merge(archive: &Archive, index: &Index) -> Result<()> {
    let (keys, store) = (&archive.keys, archive.store.as_ref());
    let small: Vec<&Segment> = index.segments.iter().filter(|segment| segment.records < SMALL).collect();
    if small.len() < MANY {
        return Ok(());
    }
    // What a prune took away meanwhile must not come back; what it has only listed it may still spare.
    let removed = removed(archive, &small)?;
    rewrite(keys, store, &small, &|name| !removed.contains(name))?;
    small.iter().try_for_each(|segment| store.delete(&segment.key))
}

/// Packs that these segments name and that a prune has removed. A merge that met the prune may have kept their records.
pub(crate) fn removed(archive: &Archive, segments: &[&Segment]) -> Result<Names> {
    let (gone, mut named) = (marks::read(archive, GONE)?, Names::new());
    if gone.is_empty() {
        return Ok(named);
    }
    for segment in segments {
        segment.each_pack(&mut |_, pack| named.extend(gone.get(&pack.name)))?;
    }
    let mut removed = Names::new();
    for name in named {
        match archive.store.open(&pack::key(&name)) {
            Err(e) if e.kind == ErrorKind::Missing => removed.insert(name),
            opened => opened.map(|_| false)?,
        };
    }
    Ok(removed)
}

/// Writes what these segments hold about packs that `keep` wants into as few new ones as possible. The old ones stay.
pub(crate) fn rewrite(
    keys: &Keys,
    store: &dyn Store,
    segments: &[&Segment],
    keep: &dyn Fn(&[u8; 32]) -> bool,
) -> Result<()> {
    let mut merged = Merged { keys, store, pending: Pending::default(), numbers: HashMap::new() };
    // Ranges of ids, so that a look touches one of the new segments only.
    let all: usize = segments.iter().map(|segment| segment.records).sum();
    let parts = all.div_ceil(RECORDS_MOST / 2).max(1) as u64;
    let step = u64::MAX / parts;
    for part in 0..parts {
        for segment in segments {
            let mut names = Vec::with_capacity(segment.packs);
            segment.each_pack(&mut |_, pack| names.push(pack))?;
            segment.each_record(&mut |_, record| {
                let wanted = (record.id.prefix() / step).min(parts - 1) == part;
                let pack = names.get(record.pack as usize).filter(|pack| keep(&pack.name));
                if let Some(pack) = pack.filter(|_| wanted) {
                    merged.add(*pack, record);
                }
            })?;
        }
        merged.flush()?;
    }
    Ok(())
}

struct Merged<'a> {
    keys: &'a Keys,
    store: &'a dyn Store,
    pending: Pending,
    numbers: HashMap<[u8; 32], u32>,
}

impl Merged<'_> {
    fn add(&mut self, pack: PackName, record: Record) {
        let next = self.pending.packs.len() as u32;
        let number = *self.numbers.entry(pack.name).or_insert_with(|| {
            self.pending.packs.push(pack);
            next
        });
        self.pending.records.push(Record { pack: number, ..record });
    }
    fn flush(&mut self) -> Result<()> {
        self.pending.write(self.keys, self.store)?;
        self.pending = Pending::default();
        self.numbers.clear();
        Ok(())
    }
}

/// The table of a pack in the store.
pub(crate) fn table(keys: &Keys, store: &dyn Store, name: &[u8; 32]) -> Result<(PackName, Vec<Entry>)> {
    let key = pack::key(name);
    let reader = store.open(&key)?;
    let (salt, entries) = pack::table(keys, reader.length(), |at, into| reader.read_at(at, into))
        .map_err(|e| Error::new(e.kind, format!("{key}: {}", e.context)))?;
    Ok((PackName { name: *name, salt }, entries))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::Local;
    use std::time::Instant;

    /// Ids of one range of 64 bits, pseudorandom below that.
    fn record(number: u64, of: u64) -> Record {
        let mut id = Id(*blake3::hash(&number.to_le_bytes()).as_bytes());
        let step = u64::MAX / of;
        let prefix = number * step + id.prefix() % step;
        id.0[..8].copy_from_slice(&prefix.to_be_bytes());
        Record { id, pack: (number % 4096) as u32, offset: 48, stored: 100_000 }
    }

    fn fill(keys: &Keys, store: &dyn Store, records: u64, in_each: u64) {
        let packs: Vec<PackName> = (0..4096u32)
            .map(|number| PackName { name: *blake3::hash(&number.to_le_bytes()).as_bytes(), salt: [1; 32] })
            .collect();
        for first in (0..records).step_by(in_each as usize) {
            let mut list =
                (first..records.min(first + in_each)).map(|number| record(number, records)).collect();
            segment::write(store, &segment::build(keys, &packs, &mut list).unwrap()).unwrap();
        }
    }

    #[test]
    fn every_record_is_found_and_no_other() {
        for keys in [Keys::new(None), Keys::new(Some([3; 32]))] {
            let folder = tempfile::tempdir().unwrap();
            let store = Local::new(folder.path());
            fill(&keys, &store, 50_000, 20_000);
            let index = Index::open(&keys, &store).unwrap();
            assert_eq!(index.segments.len(), 3);
            for number in (0..50_000).step_by(7) {
                let wanted = record(number, 50_000);
                let found = index.find(&wanted.id).unwrap().unwrap();
                assert_eq!(found.record, wanted);
                let mut other = wanted.id;
                other.0[31] ^= 1;
                assert!(index.find(&other).unwrap().is_none());
            }
        }
    }

    /// `WHERRY_TEST_RECORDS` says how many, and `WHERRY_TEST_ARCHIVE` where: with 100000000, the index of an archive of
    /// 100 TB in chunks of 1 MiB, 4.5 GB.
    #[test]
    fn an_index_of_many_segments_opens_and_answers() {
        let asked = std::env::var("WHERRY_TEST_RECORDS").ok().and_then(|records| records.parse().ok());
        let (folder, records) = (tempfile::tempdir().unwrap(), asked.unwrap_or(200_000u64));
        let path =
            std::env::var_os("WHERRY_TEST_ARCHIVE").map_or(folder.path().into(), std::path::PathBuf::from);
        let (keys, store) = (Keys::new(None), Local::new(&path));
        fill(&keys, &store, records, records.div_ceil(10).min(RECORDS_MOST as u64));
        let started = Instant::now();
        let index = Index::open(&keys, &store).unwrap();
        let (segments, opened) = (index.segments.len(), started.elapsed());
        assert_eq!(index.segments.iter().map(|segment| segment.records as u64).sum::<u64>(), records);
        let (looks, started) = (records.min(200_000), Instant::now());
        for number in 0..looks {
            let known = record(number * (records / looks), records);
            assert_eq!(index.find(&known.id).unwrap().unwrap().record.id, known.id);
            let id = Id(*blake3::hash(&(number + 7).to_be_bytes()).as_bytes());
            assert!(index.find(&id).unwrap().is_none());
        }
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
        println!(
            "{segments} segments in {opened:?}, {:?} for two looks, {peak}",
            started.elapsed() / looks as u32
        );
    }
}
