//! A segment of the index: which chunk lies where, sorted by id, in pages of 4096 bytes that are sealed each by itself. One look
//! reads one page, however large the segment is.

use crate::chunk::Id;
use crate::keys::Keys;
use crate::pack::hex;
use crate::seal::{Cipher, HEAD, Salt, TAG, head, random, salt_of};
use crate::store::{Reader, Store};
use crate::{Error, Result};
use std::sync::OnceLock;

const MAGIC: &[u8; 8] = b"WHERRYIX";
/// Where segments are.
pub(crate) const FOLDER: &str = "index/";
const PAGE: usize = 4096;
/// What is left of a page beside its tag.
const BODY: usize = PAGE - TAG;
/// id, pack's number in this segment, offset, stored bytes.
const RECORD: usize = 44;
const RECORDS: usize = BODY / RECORD;
/// A pack's name and salt.
const PACK: usize = 64;
const PACKS: usize = BODY / PACK;
/// The first 64 bits of a page's first id.
const FENCES: usize = BODY / 8;
/// A segment has no more records: it is held in memory while it is made.
pub(crate) const RECORDS_MOST: usize = 1 << 20;

/// Where a chunk lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Record {
    pub id: Id,
    /// The pack's number in its segment.
    pub pack: u32,
    pub offset: u32,
    pub stored: u32,
}

/// A pack that a segment speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PackName {
    pub name: [u8; 32],
    pub salt: Salt,
}

struct Pages<'a> {
    cipher: Cipher,
    bytes: &'a mut Vec<u8>,
    number: u64,
}

impl Pages<'_> {
    /// Seals items of equal size, as many as fit, into each page.
    fn add<const N: usize>(&mut self, items: impl Iterator<Item = [u8; N]>) -> Result<()> {
        let mut items = items.peekable();
        while items.peek().is_some() {
            let mut page = [0; BODY];
            for (place, item) in page.chunks_exact_mut(N).zip(&mut items) {
                place.copy_from_slice(&item);
            }
            self.seal(&mut page)?;
        }
        Ok(())
    }

    fn seal(&mut self, page: &mut [u8; BODY]) -> Result<()> {
        let tag = self.cipher.seal(self.number, &[], page)?;
        self.number += 1;
        self.bytes.extend_from_slice(page);
        self.bytes.extend(tag);
        Ok(())
    }
}

/// A segment's bytes. Sorts the records; a chunk may be in several packs.
pub(crate) fn build(keys: &Keys, packs: &[PackName], records: &mut Vec<Record>) -> Result<Vec<u8>> {
    records.sort_unstable();
    records.dedup();
    let salt = random()?;
    let cipher = Cipher::new(keys, &salt);
    let mut bytes = Vec::with_capacity(PAGE * (4 + records.len() / RECORDS + packs.len() / PACKS));
    // The first page: head, then what is sealed: counts, and the range of ids.
    let clear = head(MAGIC, &salt, keys.encrypted());
    let mut first = [0; BODY - HEAD];
    first[..8].copy_from_slice(&(records.len() as u64).to_le_bytes());
    first[8..16].copy_from_slice(&(packs.len() as u64).to_le_bytes());
    if let (Some(low), Some(high)) = (records.first(), records.last()) {
        first[16..48].copy_from_slice(&low.id.0);
        first[48..80].copy_from_slice(&high.id.0);
    }
    let tag = cipher.seal(0, &clear, &mut first)?;
    bytes.extend(clear);
    bytes.extend(first);
    bytes.extend(tag);
    let mut pages = Pages { cipher, bytes: &mut bytes, number: 1 };
    pages.add(records.iter().map(|record| {
        let mut item = [0; RECORD];
        item[..32].copy_from_slice(&record.id.0);
        item[32..36].copy_from_slice(&record.pack.to_le_bytes());
        item[36..40].copy_from_slice(&record.offset.to_le_bytes());
        item[40..].copy_from_slice(&record.stored.to_le_bytes());
        item
    }))?;
    pages.add(records.iter().step_by(RECORDS).map(|record| record.id.prefix().to_le_bytes()))?;
    pages.add(packs.iter().map(|pack| {
        let mut item = [0; PACK];
        item[..32].copy_from_slice(&pack.name);
        item[32..].copy_from_slice(&pack.salt);
        item
    }))?;
    Ok(bytes)
}

/// Writes a segment; its key.
pub(crate) fn write(store: &dyn Store, bytes: &[u8]) -> Result<String> {
    let key = format!("{FOLDER}{}", hex(blake3::hash(bytes).as_bytes()));
    store.put_new(&key, bytes)?;
    Ok(key)
}

/// An opened segment.
pub(crate) struct Segment {
    pub key: String,
    reader: Box<dyn Reader>,
    cipher: Cipher,
    pub records: usize,
    pub packs: usize,
    low: Id,
    high: Id,
    fences: OnceLock<Vec<u64>>,
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.first_chunk()).map_or(0, |word| u32::from_le_bytes(*word))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|bytes| bytes.first_chunk()).map_or(0, |word| u64::from_le_bytes(*word))
}

fn id(bytes: &[u8]) -> Id {
    Id(bytes.first_chunk().copied().unwrap_or_default())
}

fn record(bytes: &[u8]) -> Record {
    Record { id: id(bytes), pack: word(bytes, 32), offset: word(bytes, 36), stored: word(bytes, 40) }
}

impl Segment {
    pub fn open(keys: &Keys, store: &dyn Store, key: &str) -> Result<Self> {
        let reader = store.open(key)?;
        let named = |e: Error| Error::new(e.kind, format!("{key}: {}", e.context));
        let wrong = || Error::corrupt(format!("{key}: it was changed after it was written"));
        let mut page = vec![0; PAGE];
        reader.read_at(0, &mut page).map_err(named)?;
        let salt = salt_of(&page, MAGIC, keys.encrypted()).map_err(named)?;
        let cipher = Cipher::new(keys, &salt);
        let (clear, rest) = page.split_at_mut(HEAD);
        let (body, tag) = rest.split_at_mut(BODY - HEAD);
        if !cipher.open(0, clear, body, tag) {
            return Err(wrong());
        }
        let (records, packs) = (long(body, 0) as usize, long(body, 8) as usize);
        let (low, high) = (id(&body[16..]), id(&body[48..]));
        let segment =
            Self { key: key.into(), reader, cipher, records, packs, low, high, fences: OnceLock::new() };
        let pages = records.checked_add(packs).filter(|sum| *sum < 1 << 40).map(|_| segment.pages());
        if pages.map(|pages| pages * PAGE as u64) != Some(segment.reader.length()) {
            return Err(wrong());
        }
        Ok(segment)
    }

    fn record_pages(&self) -> usize {
        self.records.div_ceil(RECORDS)
    }
    fn fence_pages(&self) -> usize {
        self.record_pages().div_ceil(FENCES)
    }
    fn pages(&self) -> u64 {
        (1 + self.record_pages() + self.fence_pages() + self.packs.div_ceil(PACKS)) as u64
    }

    fn page(&self, number: usize) -> Result<[u8; PAGE]> {
        let mut page = [0; PAGE];
        self.reader.read_at((number * PAGE) as u64, &mut page)?;
        let (body, tag) = page.split_at_mut(BODY);
        match self.cipher.open(number as u64, &[], body, tag) {
            true => Ok(page),
            false => {
                Err(Error::corrupt(format!("page {number} of {} was changed after it was written", self.key)))
            }
        }
    }

    fn fences(&self) -> Result<&[u64]> {
        if let Some(fences) = self.fences.get() {
            return Ok(fences);
        }
        let mut fences = Vec::with_capacity(self.record_pages());
        for number in 0..self.fence_pages() {
            let page = self.page(1 + self.record_pages() + number)?;
            fences.extend(page[..BODY].chunks_exact(8).map(|fence| long(fence, 0)));
        }
        fences.truncate(self.record_pages());
        Ok(self.fences.get_or_init(|| fences))
    }

    /// Tells every place of a chunk and the record's number, until `tell` says false; whether it never did.
    pub fn find(&self, wanted: &Id, tell: &mut dyn FnMut(usize, Record) -> bool) -> Result<bool> {
        if self.records == 0 || !(self.low..=self.high).contains(wanted) {
            return Ok(true);
        }
        let fences = self.fences()?;
        let prefix = wanted.prefix();
        // A page may begin with records of the id that the one before ends with.
        let first = fences.partition_point(|fence| *fence < prefix).saturating_sub(1);
        for number in (first..fences.len()).take_while(|number| fences[*number] <= prefix) {
            let page = self.page(1 + number)?;
            let count = RECORDS.min(self.records - number * RECORDS);
            let at = |place: usize| record(&page[place * RECORD..]);
            let (mut low, mut high) = (0, count);
            while low < high {
                let middle = (low + high) / 2;
                if at(middle).id < *wanted { low = middle + 1 } else { high = middle }
            }
            for place in low..count {
                let found = at(place);
                if found.id != *wanted {
                    return Ok(true);
                }
                if !tell(number * RECORDS + place, found) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// A pack by its number here.
    pub fn pack(&self, number: u32) -> Result<PackName> {
        let number = number as usize;
        if number >= self.packs {
            return Err(Error::corrupt(format!("{} speaks of a pack that it does not name", self.key)));
        }
        let page = self.page(1 + self.record_pages() + self.fence_pages() + number / PACKS)?;
        let at = number % PACKS * PACK;
        Ok(PackName { name: id(&page[at..]).0, salt: id(&page[at + 32..]).0 })
    }

    /// Every pack, in order.
    pub fn each_pack(&self, tell: &mut dyn FnMut(u32, PackName)) -> Result<()> {
        for first in (0..self.packs).step_by(PACKS) {
            let page = self.page(1 + self.record_pages() + self.fence_pages() + first / PACKS)?;
            for number in first..self.packs.min(first + PACKS) {
                let at = (number - first) * PACK;
                tell(number as u32, PackName { name: id(&page[at..]).0, salt: id(&page[at + 32..]).0 });
            }
        }
        Ok(())
    }

    /// Every record with its number, in the order of ids.
    pub fn each_record(&self, tell: &mut dyn FnMut(usize, Record)) -> Result<()> {
        for number in 0..self.record_pages() {
            let page = self.page(1 + number)?;
            let count = RECORDS.min(self.records - number * RECORDS);
            for (place, bytes) in page.chunks_exact(RECORD).take(count).enumerate() {
                tell(number * RECORDS + place, record(bytes));
            }
        }
        Ok(())
    }
}
