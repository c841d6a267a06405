//! Brings chunks into an archive. Workers find out whether a chunk is there, pack it if not, and append it to the pack that is
//! being filled; full packs are written by threads of their own.

use crate::archive::Archive;
use crate::chunk::{Id, Kind, Packer};
use crate::index::{Index, Pending};
use crate::marks::{self, GONE};
use crate::pack::{self, Pack};
use crate::seal::{Cipher, Salt, random};
use crate::segment::{PackName, Segment};
use crate::snapshot::Added;
use crate::{Error, ErrorKind, Result};
use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// Threads that write packs, and packs that exist at once: one filled, one waiting, one written by each.
const THREADS: usize = 2;
const PACKS: usize = THREADS + 2;
/// A segment is written for this many chunks, or after this time: what a killed capture does again at most.
const CHUNKS: usize = 256 << 10;
const PAUSE: Duration = Duration::from_secs(30);
const SHARDS: usize = 64;

/// A session of writing.
pub(crate) struct Writer<'a> {
    pub archive: &'a Archive,
    index: RwLock<Index>,
    /// Chunks of this session that are in no segment yet.
    fresh: Vec<Mutex<HashSet<Id>>>,
    /// Packs that were there before and that this session leans on, by segment and number.
    used: Mutex<BTreeSet<(usize, u32)>>,
    cipher: Cipher,
    salt: Salt,
    next: AtomicU64,
    /// Packs that this session has written.
    own: Mutex<Vec<[u8; 32]>>,
    current: Mutex<Option<Pack>>,
    /// Lists have packs of their own, which are written twice: without a list, chunks that are there cannot be found.
    lists: Mutex<Pack>,
    full: Mutex<Option<SyncSender<Pack>>>,
    spare: Mutex<Receiver<Pack>>,
    pending: Mutex<(Pending, Instant)>,
    failed: Mutex<Option<Error>>,
    chunks: AtomicU64,
    plain: AtomicU64,
    stored: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a session has made, and what it leans on.
pub(crate) struct Made<T> {
    pub what: T,
    pub added: Added,
    pub index: Index,
    used: BTreeSet<(usize, u32)>,
    own: Vec<[u8; 32]>,
}

impl<T> Made<T> {
    /// Whether a prune has removed, or is removing, what the session leans on or has made.
    pub fn raced(&self, archive: &Archive) -> Result<bool> {
        let gone = marks::read(archive, GONE)?;
        if gone.is_empty() {
            return Ok(false);
        }
        for (segment, number) in &self.used {
            if gone.contains(&self.index.segments[*segment].pack(*number)?.name) {
                return Ok(true);
            }
        }
        Ok(self.own.iter().any(|name| gone.contains(name)))
    }
}

/// Runs `body` with a writer. When this returns, everything that was put is durable and in the index.
pub(crate) fn session<T>(
    archive: &Archive,
    mut index: Index,
    body: impl FnOnce(&Writer<'_>) -> Result<T>,
) -> Result<Made<T>> {
    index.forget(&marks::read(archive, GONE)?)?;
    session_with(archive, index, body)
}

/// The same, where the caller has said which packs are going.
pub(crate) fn session_with<T>(
    archive: &Archive,
    index: Index,
    body: impl FnOnce(&Writer<'_>) -> Result<T>,
) -> Result<Made<T>> {
    let salt = random()?;
    let (full, receiver) = sync_channel::<Pack>(1);
    let (recycle, spare) = sync_channel(PACKS);
    for _ in 1..PACKS {
        let _room = recycle.send(Pack::new(archive.config.pack_size));
    }
    let writer = Writer {
        archive,
        index: RwLock::new(index),
        fresh: (0..SHARDS).map(|_| Mutex::default()).collect(),
        used: Mutex::default(),
        cipher: Cipher::new(&archive.keys, &salt),
        salt,
        next: AtomicU64::new(0),
        own: Mutex::default(),
        current: Mutex::new(Some(Pack::new(archive.config.pack_size))),
        lists: Mutex::new(Pack::new(archive.config.pack_size)),
        full: Mutex::new(Some(full)),
        spare: Mutex::new(spare),
        pending: Mutex::new((Pending::default(), Instant::now())),
        failed: Mutex::new(None),
        chunks: AtomicU64::new(0),
        plain: AtomicU64::new(0),
        stored: AtomicU64::new(0),
    };
    let receiver = Mutex::new(receiver);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            let (recycle, writer, receiver) = (recycle.clone(), &writer, &receiver);
            scope.spawn(move || {
                while let Ok(mut pack) = { lock(receiver).recv() } {
                    if let Err(e) = writer.write(&mut pack) {
                        lock(&writer.failed).get_or_insert(e);
                    }
                    pack.clear();
                    let _ended = recycle.send(pack);
                }
            });
        }
        let done = body(&writer);
        let rest = lock(&writer.current).take().filter(|pack| !pack.is_empty());
        let sender = lock(&writer.full).take();
        if let (Ok(_), Some(pack), Some(sender)) = (&done, rest, sender) {
            let _ended = sender.send(pack);
        }
        done
    })
    .and_then(|done| {
        if let Some(e) = lock(&writer.failed).take() {
            return Err(e);
        }
        writer.write_lists(&mut lock(&writer.lists))?;
        writer.flush()?;
        let added = Added {
            chunks: writer.chunks.load(Relaxed),
            plain: writer.plain.load(Relaxed),
            stored: writer.stored.load(Relaxed),
        };
        let used = lock(&writer.used).clone();
        let own = lock(&writer.own).clone();
        let index = writer.index.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Made { what: done, added, index, used, own })
    })
}

impl Writer<'_> {
    /// Puts a chunk there, unless it is there already.
    pub fn put(&self, packer: &mut Packer, kind: Kind, plain: &[u8], id: &Id) -> Result<()> {
        if self.knows(id)? || !lock(self.shard(id)).insert(*id) {
            return Ok(());
        }
        let stored = packer.pack(&self.cipher, self.next.fetch_add(1, Relaxed), kind, plain)?;
        self.chunks.fetch_add(1, Relaxed);
        self.plain.fetch_add(plain.len() as u64, Relaxed);
        self.stored.fetch_add(stored.len() as u64, Relaxed);
        match kind {
            Kind::Data => self.append(id, stored),
            Kind::Leaf | Kind::Root => self.append_list(id, kind, stored),
        }
    }

    fn append_list(&self, id: &Id, kind: Kind, stored: &[u8]) -> Result<()> {
        let mut lists = lock(&self.lists);
        if !lists.takes(stored.len(), self.archive.config.pack_size) {
            self.write_lists(&mut lists)?;
        }
        lists.push(*id, kind, stored);
        Ok(())
    }

    /// Twice, as two packs that differ in the number that sealed the table, and so in name.
    fn write_lists(&self, lists: &mut Pack) -> Result<()> {
        if !lists.is_empty() {
            self.write(lists)?;
            lists.open_again();
            self.write(lists)?;
            lists.clear();
        }
        Ok(())
    }

    /// Bytes that were stored so far.
    pub fn stored(&self) -> u64 {
        self.stored.load(Relaxed)
    }

    fn shard(&self, id: &Id) -> &Mutex<HashSet<Id>> {
        &self.fresh[usize::from(id.0[31]) % SHARDS]
    }

    /// Whether the archive has a chunk and will keep it.
    pub fn knows(&self, id: &Id) -> Result<bool> {
        if lock(self.shard(id)).contains(id) {
            return Ok(true);
        }
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        match index.find(id)?.filter(|found| !index.is_gone(found)) {
            Some(found) => {
                lock(&self.used).insert((found.segment, found.record.pack));
                Ok(true)
            }
            None => Ok(false),
        }
    }

    fn append(&self, id: &Id, stored: &[u8]) -> Result<()> {
        let ended = || Error::new(ErrorKind::Cancelled, "the session has ended");
        let size = self.archive.config.pack_size;
        let mut current = lock(&self.current);
        let pack = current.as_mut().ok_or_else(ended)?;
        if !pack.takes(stored.len(), size) {
            if let Some(e) = lock(&self.failed).take() {
                return Err(e);
            }
            let mut other = lock(&self.spare).recv().map_err(|_| ended())?;
            std::mem::swap(pack, &mut other);
            let sender = lock(&self.full).clone().ok_or_else(ended)?;
            pack.push(*id, Kind::Data, stored);
            drop(current);
            return sender.send(other).map_err(|_| ended());
        }
        pack.push(*id, Kind::Data, stored);
        Ok(())
    }

    /// Writes a full pack, durably, and the segment if it is time.
    fn write(&self, pack: &mut Pack) -> Result<()> {
        let number = self.next.fetch_add(1, Relaxed);
        let name = pack.close(&self.archive.keys, &self.cipher, &self.salt, number)?;
        lock(&self.own).push(name);
        self.archive.store.put_new(&pack::key(&name), pack.bytes())?;
        let mut pending = lock(&self.pending);
        pending.0.add(PackName { name, salt: self.salt }, &pack.entries);
        let due = pending.0.records.len() >= CHUNKS || pending.1.elapsed() >= PAUSE;
        drop(pending);
        if due { self.flush() } else { Ok(()) }
    }

    /// Segments that others have written since the session began.
    fn newcomers(&self) -> Result<Vec<Segment>> {
        let mut now = Index::open(&self.archive.keys, self.archive.store.as_ref())?.segments;
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        now.retain(|segment| index.segments.iter().all(|known| known.key != segment.key));
        Ok(now)
    }

    fn flush(&self) -> Result<()> {
        let mut pending = lock(&self.pending);
        let mut ready = std::mem::take(&mut pending.0);
        pending.1 = Instant::now();
        drop(pending);
        let segments = match ready.write(&self.archive.keys, self.archive.store.as_ref()) {
            // Merged with others, or pruned, before it was opened again.
            Err(e) if e.kind == ErrorKind::Missing => self.newcomers()?,
            written => written?.into_iter().collect(),
        };
        self.index.write().unwrap_or_else(PoisonError::into_inner).segments.extend(segments);
        for record in &ready.records {
            lock(self.shard(&record.id)).remove(&record.id);
        }
        Ok(())
    }
}
