//! The log: where it begins and ends, its records, and whether it has to be replayed (XFS Algorithms & Data Structures,
//! "Journaling Log"; Linux: fs/xfs/libxfs/xfs_log_format.h, fs/xfs/xfs_log_recover.c): it has not if its newest record is
//! that of an unmount.

use crate::bytes::{
    be32_at, be64_at, byte_at, damaged, field, part, put, put_be32, put_be64, put_u32, u32_at,
};
use crate::device::Disk;
use crate::features;
use crate::superblock::Superblock;
use wherry_sdk::checksum::crc32c;
use wherry_sdk::{Blob, ErrorKind, READ_MOST, Result};

/// Bytes that the log is counted in.
const UNIT: usize = 512;
const MAGIC: u32 = 0xfeed_babe;
/// Bytes of a record for which one header is enough.
const HEADER_FOR: u32 = 32 << 10;
/// The longest record.
const RECORD_MOST: u32 = 256 << 10;
/// Units before the head that may not have come to the disk in order: eight records of the longest kind.
const FLIGHT: u64 = 8 * RECORD_MOST as u64 / UNIT as u64;
/// Units of an unmount's record, with the longest stripe.
const UNMOUNT_MOST: u64 = 512 + 16;
/// Records that may be in flight.
const RECORDS_MOST: usize = 8;
/// Where a record's header has its checksum; the bytes of it that are summed, on 64 and on 32 bits; and those of each further
/// header.
const CHECKSUM: usize = 32;
const SUMMED: [usize; 2] = [328, 324];
const SUMMED_MORE: usize = 260;
/// Numbers are those of a machine of x86's byte order.
const LITTLE_ENDIAN: u32 = 1;
/// An operation's flags: an unmount; and who writes it.
pub const UNMOUNT: u8 = 0x20;
const CLIENT: u8 = 0xaa;
/// What an unmount says, in the machine's byte order.
const UNMOUNT_WORDS: [u8; 8] = [0x6e, 0x55, 0, 0, 0, 0, 0, 0];
const UNMOUNT_ID: u32 = 0xb0c0_d0d0;

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

/// A log within the file system.
pub struct Log {
    /// its first byte on the device
    start: u64,
    units: u64,
    /// Records have checksums.
    summed: bool,
}

/// A record.
pub struct Record {
    /// where it begins, in units, and the unit behind it, beyond the log's end if it goes on at its beginning
    pub at: u64,
    end: u64,
    pub cycle: u32,
    /// its number, and that of the oldest record that is needed
    pub number: u64,
    tail: u64,
    /// operations in it
    pub count: u32,
    pub data: Vec<u8>,
    /// Its checksum is right, or it has none.
    whole: bool,
    /// It has one.
    summed: bool,
    /// Its content has the byte order of x86.
    known: bool,
}

impl Record {
    /// Whether it ends at unit `head`.
    fn is_before(&self, log: &Log, head: u64) -> bool {
        self.end % log.units == head % log.units
    }

    fn is_unmount(&self) -> bool {
        self.count == 1 && byte_at(&self.data, 9) & UNMOUNT != 0
    }
}

/// What has to be replayed: from the record at `tail` to before `head`; what comes next gets this cycle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    pub tail: u64,
    pub head: u64,
    pub cycle: u32,
    /// The newest record is an unmount.
    clean: bool,
}

impl Log {
    /// The log of a file system; none if it has a device of its own.
    pub fn of(superblock: &Superblock) -> Result<Option<Self>> {
        let Some((start, length)) = superblock.log()? else { return Ok(None) };
        Ok(Some(Self { start, units: length / UNIT as u64, summed: superblock.version == 5 }))
    }

    /// `count` units from `unit` on, going on at the beginning behind the end.
    fn read(&self, device: &dyn Blob, unit: u64, count: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut done = 0;
        while done < count {
            let at = (unit + done) % self.units;
            let take = (count - done).min(self.units - at).min(u64::from(READ_MOST) / UNIT as u64);
            bytes.extend(device.read(self.start + at * UNIT as u64, (take * UNIT as u64) as u32)?);
            done += take;
        }
        Ok(bytes)
    }

    /// The cycle in which a unit was written, 0 for never.
    fn cycle(&self, device: &dyn Blob, unit: u64) -> Result<u32> {
        Ok(cycle_of(&self.read(device, unit, 1)?))
    }

    /// The unit behind the newest one; none in a log that was never written.
    fn newest(&self, device: &dyn Blob) -> Result<Option<u64>> {
        let (first, last) = (self.cycle(device, 0)?, self.cycle(device, self.units - 1)?);
        if first == 0 {
            return Ok(None);
        }
        if first == last {
            return Ok(Some(self.units));
        }
        // The first unit whose cycle is that of the last, where all behind it have that, too, and none before.
        let (mut low, mut high) = (0, self.units - 1);
        while low < high {
            let middle = low.midpoint(high);
            if self.cycle(device, middle)? == last {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Ok(Some(low))
    }

    /// The same without what came to the disk before something that was to precede it.
    fn in_order(&self, device: &dyn Blob, newest: u64) -> Result<u64> {
        let count = FLIGHT.min(self.units);
        let first = self.cycle(device, 0)?;
        let before = newest + self.units - count;
        let bytes = self.read(device, before, count)?;
        let right = |index: usize| {
            let unit = before + index as u64;
            // Before the beginning is the end of the cycle before.
            if unit >= self.units { first } else { first.wrapping_sub(1) }
        };
        let gap =
            bytes.chunks_exact(UNIT).enumerate().position(|(index, unit)| cycle_of(unit) != right(index));
        Ok(gap.map_or(newest, |index| {
            let unit = before + index as u64;
            if unit >= self.units { unit - self.units } else { unit }
        }))
    }

    /// The record at a unit.
    fn record(&self, device: &dyn Blob, at: u64) -> Result<Option<Record>> {
        let header = self.read(device, at, 1)?;
        let (version, length, size) = (be32_at(&header, 8), be32_at(&header, 12), be32_at(&header, 320));
        let several = version >= 2 && size > HEADER_FOR;
        let headers = if several { u64::from(size.div_ceil(HEADER_FOR)) } else { 1 };
        let number = be64_at(&header, 16);
        let fits = be32_at(&header, 0) == MAGIC
            && number == u64::from(be32_at(&header, 4)) << 32 | at
            && (1..=2).contains(&version)
            && length > 0
            && length <= RECORD_MOST
            && size <= RECORD_MOST
            && headers + u64::from(length).div_ceil(UNIT as u64) <= self.units;
        if !fits {
            return Ok(None);
        }
        let units = u64::from(length).div_ceil(UNIT as u64);
        let all = self.read(device, at, headers + units)?;
        let (heads, data) = all.split_at_checked(headers as usize * UNIT).unwrap_or((&all, &[]));
        let mut data = data.to_vec();
        data.truncate(length as usize);
        let sum = u32_at(&header, CHECKSUM);
        // mkfs.xfs makes none.
        let whole = sum == 0 || SUMMED.iter().any(|summed| checksum(heads, *summed, &data) == sum);
        // The first word of each unit is its cycle; what belongs there is in the headers.
        for (index, unit) in data.chunks_mut(UNIT).enumerate() {
            let slots = HEADER_FOR as usize / UNIT;
            let (head, slot) = (index / slots, index % slots);
            let at = if head == 0 { 44 } else { head * UNIT + 4 } + slot * 4;
            let word = field(heads, at, 4).to_vec();
            put(unit, 0, &word);
        }
        Ok(Some(Record {
            at,
            end: at + headers + units,
            cycle: be32_at(&header, 4),
            number,
            tail: be64_at(&header, 24),
            count: be32_at(&header, 40),
            data,
            whole,
            summed: sum != 0,
            known: be32_at(&header, 300) == LITTLE_ENDIAN,
        }))
    }

    /// The last record that begins in the `count` units before `head`.
    fn record_before(&self, device: &dyn Blob, head: u64, count: u64) -> Result<Option<Record>> {
        let count = count.min(self.units);
        let before = head + self.units - count;
        let bytes = self.read(device, before, count)?;
        let units: Vec<&[u8]> = bytes.chunks_exact(UNIT).collect();
        for (index, _) in units.iter().enumerate().rev().filter(|(_, unit)| be32_at(unit, 0) == MAGIC) {
            if let Some(record) = self.record(device, (before + index as u64) % self.units)? {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// What has to be replayed if this is the last record.
    fn up_to(&self, last: &Record) -> Span {
        Span {
            tail: last.tail & u64::from(u32::MAX),
            head: last.end % self.units,
            cycle: last.cycle.wrapping_add(u32::from(last.end >= self.units)),
            clean: last.is_unmount(),
        }
    }

    /// What has to be replayed; none in a log that was never written.
    pub fn span(&self, device: &dyn Blob) -> Result<Option<Span>> {
        let Some(newest) = self.newest(device)? else { return Ok(None) };
        // Nothing is in flight when an unmount is written.
        let last =
            self.record_before(device, newest, UNMOUNT_MOST)?.filter(|last| last.is_before(self, newest));
        if let Some(last) = last.filter(Record::is_unmount) {
            return Ok(Some(self.up_to(&last)));
        }
        let mut head = self.in_order(device, newest)?;
        for _ in 0..=RECORDS_MOST {
            let lost = || damaged(self.start, "the log has no record before its end");
            let record = self.record_before(device, head, FLIGHT)?.ok_or_else(lost)?;
            // A record that is there in part is as good as none.
            if !record.is_before(self, head) || !record.whole && self.summed {
                head = record.at;
                continue;
            }
            return Ok(Some(self.up_to(&record)));
        }
        Err(damaged(self.start, "the log ends in more damaged records than can be in flight"))
    }

    /// The first record of a span, which must be whole, and the span without it; none behind the last.
    pub fn step(&self, device: &dyn Blob, span: Span) -> Result<(Record, Option<Span>)> {
        let found = if span.tail < self.units { self.record(device, span.tail)? } else { None };
        let record = found.filter(|record| record.whole && (record.summed || !self.summed));
        let record = record.ok_or_else(|| damaged(self.start, "the log has a damaged record"))?;
        if !record.known {
            return Err(damaged(self.start, "the log was written by a machine of another byte order"));
        }
        let length = record.end - record.at;
        let tail = record.end % self.units;
        let left = (span.head + self.units - span.tail - 1) % self.units + 1;
        if length > left {
            return Err(damaged(self.start, "the log has a record that goes beyond its end"));
        }
        Ok((record, (tail != span.head).then_some(Span { tail, ..span })))
    }

    /// Writes an unmount behind a log that was replayed, and takes away what may be left of records behind it, as Linux does
    /// when it mounts.
    pub fn close(&self, disk: &mut Disk, span: Span) -> Result<()> {
        let superblock = &disk.superblock;
        let version = if superblock.has(features::LOG_2) { 2 } else { 1 };
        let stripe = if version == 2 { superblock.log_stripe().max(UNIT as u32) } else { UNIT as u32 };
        let size = HEADER_FOR.max(stripe.next_multiple_of(HEADER_FOR));
        let headers = (size / HEADER_FOR) as usize;
        let all = (headers * UNIT + UNIT).next_multiple_of(stripe as usize);
        let length = all - headers * UNIT;
        let uuid = superblock.own_uuid();
        let number = u64::from(span.cycle) << 32 | span.head;
        let mut head = vec![0; headers * UNIT];
        let header = |cycle: u32, number: u64| {
            let mut bytes = vec![0; UNIT];
            put_be32(&mut bytes, 0, MAGIC);
            put_be32(&mut bytes, 4, cycle);
            put_be32(&mut bytes, 8, version);
            put_be64(&mut bytes, 16, number);
            put_be64(&mut bytes, 24, number);
            put_be32(&mut bytes, 36, u32::MAX);
            put_be32(&mut bytes, 300, LITTLE_ENDIAN);
            put(&mut bytes, 304, &uuid);
            bytes
        };
        put(&mut head, 0, &header(span.cycle, number));
        put_be32(&mut head, 12, length as u32);
        put_be32(&mut head, 40, 1);
        put_be32(&mut head, 320, size);
        let mut data = vec![0; length];
        put_be32(&mut data, 0, UNMOUNT_ID);
        put_be32(&mut data, 4, UNMOUNT_WORDS.len() as u32);
        put(&mut data, 8, &[CLIENT, UNMOUNT]);
        put(&mut data, 12, &UNMOUNT_WORDS);
        let first = field(&data, 0, 4).to_vec();
        put(&mut head, 44, &first);
        let units = (all / UNIT) as u64;
        let cycle_at = |unit: u64| span.cycle.wrapping_add(u32::from(unit >= self.units));
        for (index, unit) in head.chunks_mut(UNIT).enumerate().skip(1) {
            put_be32(unit, 0, cycle_at(span.head + index as u64));
        }
        for (index, unit) in data.chunks_mut(UNIT).enumerate() {
            put_be32(unit, 0, cycle_at(span.head + (headers + index) as u64));
        }
        let sum = checksum(&head, SUMMED[0], &data);
        put_u32(&mut head, CHECKSUM, sum);
        head.extend(data);
        for (index, unit) in head.chunks(UNIT).enumerate() {
            self.put(disk, span.head + index as u64, unit)?;
        }
        let stale = FLIGHT.min(self.units - units.min(self.units));
        for unit in span.head + units..span.head + units + stale {
            let cycle = cycle_at(unit).wrapping_sub(1);
            let place = unit % self.units;
            let bytes = header(cycle, u64::from(cycle) << 32 | place);
            self.put(disk, unit, &bytes)?;
        }
        Ok(())
    }

    fn put(&self, disk: &mut Disk, unit: u64, bytes: &[u8]) -> Result<()> {
        disk.device.put(self.start + unit % self.units * UNIT as u64, bytes)
    }
}

fn cycle_of(unit: &[u8]) -> u32 {
    let first = be32_at(unit, 0);
    if first == MAGIC { be32_at(unit, 4) } else { first }
}

/// The checksum of a record, of whose first header `summed` bytes count; its own place in there counts as zero.
fn checksum(heads: &[u8], summed: usize, data: &[u8]) -> u32 {
    let sum = crc32c(!0, part(heads, 0, CHECKSUM));
    let sum = crc32c(crc32c(sum, &[0; 4]), part(heads, CHECKSUM + 4, summed - CHECKSUM - 4));
    let sum = heads.chunks(UNIT).skip(1).fold(sum, |sum, head| crc32c(sum, part(head, 0, SUMMED_MORE)));
    !crc32c(sum, data)
}

/// Looks at the log.
pub fn state(device: &dyn Blob, superblock: &Superblock) -> Result<State> {
    let Some(log) = Log::of(superblock)? else { return Ok(State::External) };
    Ok(match log.span(device) {
        Ok(None) => State::Clean,
        Ok(Some(span)) if span.clean => State::Clean,
        Ok(Some(_)) => State::Dirty,
        // A log that is damaged is not clean.
        Err(error) if error.kind == ErrorKind::Corrupt => State::Dirty,
        Err(error) => return Err(error),
    })
}
