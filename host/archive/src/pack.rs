//! A pack: many stored chunks in one object, with a table at its end. Its name is the BLAKE3 of its bytes, so that anybody who
//! holds it can check it without the key.

use crate::chunk::{CHUNK_HEAD, Id, Kind};
use crate::keys::Keys;
use crate::seal::{Cipher, HEAD, Salt, TAG, head, salt_of};
use crate::{Error, Result};
use block::Buffer;

const MAGIC: &[u8; 8] = b"WHERRYPK";
const END: &[u8; 8] = b"WHERRYPE";
/// An entry of the table: id, stored bytes, kind, 3 of zero.
const ENTRY: usize = 40;
/// nonce of the table, its bytes with the tag, count, magic.
const TRAILER: usize = 24;
/// A pack is full at this many chunks.
const CHUNKS_MOST: usize = 8192;
/// A pack is no longer than this.
pub(crate) const PACK_MOST: u64 = 512 << 20;

/// A name in hexadecimal digits.
pub(crate) fn hex(name: &[u8; 32]) -> String {
    Id(*name).to_string()
}

/// The object of a pack.
pub(crate) fn key(name: &[u8; 32]) -> String {
    let name = hex(name);
    format!("packs/{}/{name}", &name[..2])
}

/// The name that such an object's key ends with.
pub(crate) fn name_of(key: &str) -> Option<[u8; 32]> {
    let digits = key.rsplit('/').next().filter(|name| name.len() == 64 && name.is_ascii())?;
    let mut name = [0; 32];
    for (at, byte) in name.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(name)
}

/// A chunk in a pack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub id: Id,
    /// Where its stored form begins in the pack, and its bytes.
    pub offset: u32,
    pub stored: u32,
    pub kind: u8,
}

/// A pack in the making.
pub(crate) struct Pack {
    buffer: Buffer,
    length: usize,
    room: usize,
    pub entries: Vec<Entry>,
}

impl Pack {
    /// Full from `size` bytes on.
    pub fn new(size: u32) -> Self {
        let size = size as usize;
        // A pack may always take one more chunk of 4 MiB, or one larger one when it is empty.
        let room = (size + (5 << 20)).max(crate::chunk::PLAIN_MOST + (1 << 20));
        let table = CHUNKS_MOST * ENTRY + TAG + TRAILER;
        Self { buffer: Buffer::new(room + table), length: HEAD, room, entries: Vec::new() }
    }

    /// Whether these bytes still go in.
    pub fn takes(&self, bytes: usize, size: u32) -> bool {
        self.entries.is_empty()
            || (self.length < size as usize
                && self.length + bytes <= self.room
                && self.entries.len() < CHUNKS_MOST)
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Appends a stored chunk.
    pub fn push(&mut self, id: Id, kind: Kind, stored: &[u8]) {
        let entry = Entry { id, offset: self.length as u32, stored: stored.len() as u32, kind: kind as u8 };
        self.buffer[self.length..self.length + stored.len()].copy_from_slice(stored);
        self.length += stored.len();
        self.entries.push(entry);
    }

    /// Writes head, table and trailer; the pack's name.
    pub fn close(&mut self, keys: &Keys, cipher: &Cipher, salt: &Salt, number: u64) -> Result<[u8; 32]> {
        self.buffer[..HEAD].copy_from_slice(&head(MAGIC, salt, keys.encrypted()));
        let mut table = Vec::with_capacity(self.entries.len() * ENTRY);
        for entry in &self.entries {
            table.extend(entry.id.0);
            table.extend(entry.stored.to_le_bytes());
            table.extend([entry.kind, 0, 0, 0]);
        }
        let tag = cipher.seal(number, &[], &mut table)?;
        table.extend(tag);
        let length = table.len() as u32;
        table.extend(number.to_le_bytes());
        table.extend(length.to_le_bytes());
        table.extend((self.entries.len() as u32).to_le_bytes());
        table.extend(END);
        self.buffer[self.length..self.length + table.len()].copy_from_slice(&table);
        self.length += table.len();
        Ok(*blake3::hash(self.bytes()).as_bytes())
    }

    /// Without its table, to be closed once more.
    pub fn open_again(&mut self) {
        self.length = self.entries.last().map_or(HEAD, |entry| (entry.offset + entry.stored) as usize);
    }

    /// All of it, once it is closed.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[..self.length]
    }

    /// Empty again.
    pub fn clear(&mut self) {
        self.length = HEAD;
        self.entries.clear();
    }
}

/// The salt and the table of a pack of this length; `read` fills a buffer from an offset.
pub(crate) fn table(
    keys: &Keys,
    length: u64,
    mut read: impl FnMut(u64, &mut [u8]) -> Result<()>,
) -> Result<(Salt, Vec<Entry>)> {
    let wrong = || Error::corrupt("its table of chunks is damaged");
    let body =
        length.checked_sub((HEAD + TRAILER) as u64).filter(|_| length <= PACK_MOST).ok_or_else(wrong)?;
    let (mut first, mut last) = ([0; HEAD], [0; TRAILER]);
    read(0, &mut first)?;
    let salt = salt_of(&first, MAGIC, keys.encrypted())?;
    read(length - TRAILER as u64, &mut last)?;
    let number = u64::from_le_bytes(*last.first_chunk().ok_or_else(wrong)?);
    let word = |at: usize| u32::from_le_bytes([last[at], last[at + 1], last[at + 2], last[at + 3]]);
    let (size, count) = (word(8) as usize, word(12) as usize);
    if last[16..] != *END || count > CHUNKS_MOST || size != count * ENTRY + TAG || size as u64 > body {
        return Err(wrong());
    }
    let start = length - (TRAILER + size) as u64;
    let mut bytes = vec![0; size];
    read(start, &mut bytes)?;
    let (entries, tag) = bytes.split_at_mut(count * ENTRY);
    if !Cipher::new(keys, &salt).open(number, &[], entries, tag) {
        return Err(wrong());
    }
    let (mut offset, mut list) = (HEAD as u64, Vec::with_capacity(count));
    for entry in entries.chunks_exact(ENTRY) {
        let mut id = Id::ZERO;
        id.0.copy_from_slice(&entry[..32]);
        let stored = u32::from_le_bytes([entry[32], entry[33], entry[34], entry[35]]);
        if (stored as usize) < CHUNK_HEAD || offset + u64::from(stored) > start {
            return Err(wrong());
        }
        list.push(Entry { id, offset: offset as u32, stored, kind: entry[36] });
        offset += u64::from(stored);
    }
    if offset != start {
        return Err(wrong());
    }
    Ok((salt, list))
}
