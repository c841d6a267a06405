//! The checkpoint file: a header that says which transfer it belongs to, then framed records in the disk's order of
//! chunks whose bytes are durable in the target. A torn or damaged record ends it.

use crate::layout::{Shape, Unit};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};

/// BLAKE3 of one MiB of the disk.
pub(crate) type Hash = [u8; 32];

/// What was done with the next chunk or chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// This many chunks are zero; nothing is stored.
    Zero(u64),
    /// One chunk: its MiB as they were read, its units and their offsets in the target.
    Chunk { hashes: Vec<Hash>, units: Vec<(Unit, u64)> },
    /// The target is complete and has this many bytes.
    Complete(u64),
}

/// Bytes of an encoded unit.
const UNIT: usize = 21;
/// No record is longer: 2 hashes and 2048 units of 512 bytes.
const MOST: usize = 2 + 2 * 32 + 2048 * UNIT;

pub(crate) fn header(identity: &str, length: u64, shape: &Shape) -> Vec<u8> {
    let text = format!("wherry-checkpoint 2\n{identity:?} {length} {shape:?}\n");
    let mut bytes = Vec::new();
    frame(text.as_bytes(), &mut bytes);
    bytes
}

/// Length, CRC-32, payload.
fn frame(payload: &[u8], into: &mut Vec<u8>) {
    into.extend((payload.len() as u32).to_le_bytes());
    into.extend(crc32fast::hash(payload).to_le_bytes());
    into.extend(payload);
}

impl Record {
    fn encode(&self, into: &mut Vec<u8>) {
        let mut bytes = Vec::new();
        match self {
            Self::Zero(count) => {
                bytes.push(0);
                bytes.extend(count.to_le_bytes());
            }
            Self::Chunk { hashes, units } => {
                bytes.push(1);
                bytes.push(hashes.len() as u8);
                hashes.iter().for_each(|hash| bytes.extend(hash));
                for (unit, offset) in units {
                    bytes.extend(unit.index.to_le_bytes());
                    bytes.extend(offset.to_le_bytes());
                    bytes.extend(unit.stored.to_le_bytes());
                    bytes.push(unit.compressed.into());
                }
            }
            Self::Complete(length) => {
                bytes.push(2);
                bytes.extend(length.to_le_bytes());
            }
        }
        frame(&bytes, into);
    }

    fn decode(payload: &[u8]) -> Option<Self> {
        let (tag, rest) = payload.split_first()?;
        match tag {
            0 => Some(Self::Zero(u64::from_le_bytes(rest.try_into().ok()?))),
            1 => {
                let (count, rest) = rest.split_first()?;
                let (hashes, rest) = rest.split_at_checked(usize::from(*count) * 32)?;
                let hashes =
                    hashes.chunks_exact(32).map(|hash| hash.try_into().ok()).collect::<Option<_>>()?;
                let units = rest.chunks(UNIT).map(decode_unit).collect::<Option<_>>()?;
                Some(Self::Chunk { hashes, units })
            }
            2 => Some(Self::Complete(u64::from_le_bytes(rest.try_into().ok()?))),
            _ => None,
        }
    }
}

fn decode_unit(bytes: &[u8]) -> Option<(Unit, u64)> {
    let long = |from: usize| Some(u64::from_le_bytes(bytes.get(from..from + 8)?.try_into().ok()?));
    let stored = u32::from_le_bytes(bytes.get(16..20)?.try_into().ok()?);
    Some((Unit { index: long(0)?, stored, compressed: *bytes.get(20)? != 0 }, long(8)?))
}

/// The records of a checkpoint, from its beginning to its (perhaps torn) end.
pub(crate) struct Reader<'a> {
    from: BufReader<&'a File>,
    good: u64,
}

impl<'a> Reader<'a> {
    /// None if the checkpoint belongs to another transfer.
    pub fn open(mut file: &'a File, header: &[u8]) -> io::Result<Option<Self>> {
        file.seek(SeekFrom::Start(0))?;
        let mut from = BufReader::new(file);
        let mut head = vec![0; header.len()];
        match from.read_exact(&mut head) {
            Err(e) if e.kind() != io::ErrorKind::UnexpectedEof => Err(e),
            Ok(()) if head == header => Ok(Some(Self { from, good: header.len() as u64 })),
            _ => Ok(None),
        }
    }

    /// Cuts off a torn end, and goes on there.
    pub fn rewrite(self) -> io::Result<()> {
        let mut file = *self.from.get_ref();
        file.set_len(self.good)?;
        file.seek(SeekFrom::Start(self.good)).map(|_| ())
    }
}

impl Iterator for Reader<'_> {
    type Item = Record;
    fn next(&mut self) -> Option<Record> {
        let mut head = [0; 8];
        self.from.read_exact(&mut head).ok()?;
        let length = u32::from_le_bytes(head[..4].try_into().ok()?) as usize;
        let mut payload = vec![0; Some(length).filter(|length| *length <= MOST)?];
        self.from.read_exact(&mut payload).ok()?;
        if crc32fast::hash(&payload).to_le_bytes() != head[4..] {
            return None;
        }
        let record = Record::decode(&payload)?;
        self.good += (head.len() + length) as u64;
        Some(record)
    }
}

/// An empty checkpoint. Old records are gone durably, so that they cannot come back and be believed.
pub(crate) fn reset(mut file: &File, header: &[u8]) -> io::Result<()> {
    if file.metadata()?.len() > 0 {
        file.set_len(0)?;
        file.sync_data()?;
    }
    file.seek(SeekFrom::Start(0))?;
    file.write_all(header)
}

/// Appends, durably.
pub(crate) fn append<'a>(mut file: &File, records: impl IntoIterator<Item = &'a Record>) -> io::Result<()> {
    let mut bytes = Vec::new();
    records.into_iter().for_each(|record| record.encode(&mut bytes));
    file.write_all(&bytes)?;
    file.sync_data()
}
