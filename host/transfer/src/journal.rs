//! The checkpoint file: a header that says which transfer it belongs to, then framed records of chunks whose bytes
//! are durable, in the order in which their units were placed.

use crate::layout::{Shape, Unit};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

/// A chunk that is in the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub chunk: u64,
    pub hash: [u8; 32],
    pub units: Vec<Unit>,
}

/// Bytes of a record before its units, and of a unit.
const FIXED: usize = 40;
const UNIT: usize = 13;
/// No record is longer: 2048 units of 512 bytes.
const MOST: usize = FIXED + 2048 * UNIT;

pub(crate) fn header(identity: &str, length: u64, shape: &Shape) -> Vec<u8> {
    let text = format!("wherry-checkpoint 1\n{identity:?} {length} {shape:?}\n");
    frame(text.as_bytes())
}

/// Length, CRC-32, payload.
fn frame(payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_le_bytes().to_vec();
    bytes.extend(crc32fast::hash(payload).to_le_bytes());
    bytes.extend(payload);
    bytes
}

impl Record {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = self.chunk.to_le_bytes().to_vec();
        bytes.extend(self.hash);
        for unit in &self.units {
            bytes.extend(unit.index.to_le_bytes());
            bytes.extend(unit.stored.to_le_bytes());
            bytes.push(unit.compressed.into());
        }
        frame(&bytes)
    }

    fn decode(payload: &[u8]) -> Option<Self> {
        let (fixed, rest) = payload.split_at_checked(FIXED)?;
        let chunk = u64::from_le_bytes(fixed[..8].try_into().ok()?);
        let hash = fixed[8..].try_into().ok()?;
        let unit = |bytes: &[u8]| {
            let index = u64::from_le_bytes(bytes[..8].try_into().ok()?);
            let stored = u32::from_le_bytes(bytes[8..12].try_into().ok()?);
            Some(Unit { index, stored, compressed: bytes[12] != 0 })
        };
        let units = rest.chunks_exact(UNIT).map(unit).collect::<Option<_>>()?;
        rest.len().is_multiple_of(UNIT).then_some(Self { chunk, hash, units })
    }
}

/// One frame; none at a torn or damaged one, which is where the journal ends.
fn next(from: &mut impl Read) -> Option<Record> {
    let mut head = [0; 8];
    from.read_exact(&mut head).ok()?;
    let length = u32::from_le_bytes(head[..4].try_into().ok()?) as usize;
    let mut payload = vec![0; Some(length).filter(|length| *length <= MOST)?];
    from.read_exact(&mut payload).ok()?;
    (crc32fast::hash(&payload).to_le_bytes() == head[4..]).then(|| Record::decode(&payload))?
}

/// The records of a checkpoint with exactly this header; none if it belongs to another transfer. Cuts off a torn end.
pub(crate) fn load(file: &mut File, header: &[u8]) -> io::Result<Option<Vec<Record>>> {
    file.seek(SeekFrom::Start(0))?;
    let mut from = io::BufReader::new(&mut *file);
    let mut head = vec![0; header.len()];
    if from.read_exact(&mut head).is_err() || head != header {
        return Ok(None);
    }
    let mut records = Vec::new();
    let mut good = header.len() as u64;
    while let Some(record) = next(&mut from) {
        good += (8 + FIXED + UNIT * record.units.len()) as u64;
        records.push(record);
    }
    file.set_len(good)?;
    file.seek(SeekFrom::Start(good))?;
    Ok(Some(records))
}

/// An empty checkpoint.
pub(crate) fn reset(file: &mut File, header: &[u8]) -> io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(header)?;
    file.sync_data()
}

/// Appends, durably.
pub(crate) fn append(file: &mut File, records: &[Record]) -> io::Result<()> {
    let bytes: Vec<u8> = records.iter().flat_map(Record::encode).collect();
    file.write_all(&bytes)?;
    file.sync_data()
}
