//! Whether the log has to be replayed (XFS Algorithms & Data Structures, "Journaling Log"; Linux: fs/xfs/xfs_log_recover.c):
//! it has not if its newest record is that of an unmount.

use crate::bytes::{be32_at, byte_at, part};
use crate::superblock::Superblock;
use wherry_sdk::{Blob, READ_MOST, Result};

/// Bytes that the log is counted in.
const UNIT: u64 = 512;
const MAGIC: u32 = 0xfeed_babe;
/// Bytes of a record for which one header is enough.
const HEADER_FOR: u32 = 32 << 10;
/// Units before the head in which the newest record begins: 256 KiB of it with its headers.
const RECORD_MOST: u64 = 512 + 16;
const UNMOUNT: u8 = 0x20;

/// What the log is like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Everything is where it belongs.
    Clean,
    /// There may be changes that are only in the log.
    Dirty,
    /// It is on another device.
    External,
}

struct Log<'a> {
    device: &'a dyn Blob,
    start: u64,
    units: u64,
}

impl Log<'_> {
    /// The cycle in which a unit was written, 0 for never.
    fn cycle(&self, unit: u64) -> Result<u32> {
        let bytes = self.device.read(self.start + unit * UNIT, UNIT as u32)?;
        let first = be32_at(&bytes, 0);
        Ok(if first == MAGIC { be32_at(&bytes, 4) } else { first })
    }

    /// The first unit whose cycle is `cycle`, where all behind it have that, too, and none before.
    fn first_of(&self, cycle: u32) -> Result<u64> {
        let (mut low, mut high) = (0, self.units - 1);
        while low < high {
            let middle = low.midpoint(high);
            if self.cycle(middle)? == cycle {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Ok(low)
    }

    /// The unit behind the newest record; none in a log that was never written.
    fn head(&self) -> Result<Option<u64>> {
        let (first, last) = (self.cycle(0)?, self.cycle(self.units - 1)?);
        match first {
            0 => Ok(None),
            _ if first == last => Ok(Some(self.units)),
            _ => self.first_of(last).map(Some),
        }
    }

    /// Up to `RECORD_MOST` units before `head`, going on at the log's end.
    fn before(&self, head: u64) -> Result<Vec<u8>> {
        let count = RECORD_MOST.min(self.units);
        let near = count.min(head);
        let read = |from: u64, units: u64| {
            let length = (units * UNIT).min(u64::from(READ_MOST));
            self.device.read(self.start + from * UNIT, length as u32)
        };
        let mut bytes = read(self.units - (count - near), count - near)?;
        bytes.extend(read(head - near, near)?);
        Ok(bytes)
    }
}

/// Looks at the log.
pub fn state(device: &dyn Blob, superblock: &Superblock) -> Result<State> {
    let Some((start, length)) = superblock.log()? else { return Ok(State::External) };
    let log = Log { device, start, units: length / UNIT };
    let Some(head) = log.head()? else { return Ok(State::Clean) };
    let bytes = log.before(head)?;
    let units: Vec<&[u8]> = bytes.chunks_exact(UNIT as usize).collect();
    let Some(at) = units.iter().rposition(|unit| be32_at(unit, 0) == MAGIC) else { return Ok(State::Dirty) };
    let header = units.get(at).copied().unwrap_or_default();
    let (version, length, size) = (be32_at(header, 8), be32_at(header, 12), be32_at(header, 320));
    let headers = if version >= 2 && size > HEADER_FOR { size.div_ceil(HEADER_FOR) as usize } else { 1 };
    let all = headers + length.div_ceil(UNIT as u32) as usize;
    let operation = part(units.get(at + headers).copied().unwrap_or_default(), 0, 12);
    let unmounted = be32_at(header, 40) == 1 && byte_at(operation, 9) & UNMOUNT != 0;
    Ok(if unmounted && at + all == units.len() { State::Clean } else { State::Dirty })
}
