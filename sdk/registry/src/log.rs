//! Transaction logs (the specification, "Format of transaction log files", "Dirty state of a hive"): what a hive lacks that
//! was not closed.

use crate::base::{BASE, Base};
use crate::bytes::{number, word};
use crate::marvin;
use crate::pages::{Pages, Storage};
use wherry_sdk::{Error, ErrorKind, Result};

/// What the dirty vector of an old log counts in, and where log entries of a new one begin.
const SECTOR: usize = 512;
/// Bytes of a log entry before its references.
const ENTRY: usize = 40;

/// Applies what the logs have for this hive; its base block, if that can be read, and how much was applied.
pub(crate) fn apply<S: Storage>(
    pages: &mut Pages<S>,
    base: Option<Base>,
    logs: &[Vec<u8>],
) -> Result<(Base, usize)> {
    let mut found: Vec<(Base, &[u8])> =
        logs.iter().filter_map(|log| Some((Base::read(log.get(..SECTOR)?)?, log.as_slice()))).collect();
    // The older first, whichever file Windows began with.
    found.sort_by_key(|(base, _)| base.primary);
    let mut now = match base {
        Some(base) => base,
        // The log's copy stands in; `apply_entries` sets its numbers.
        None => {
            let missing = || {
                Error::corrupt(0, "the hive's base block has a wrong checksum, and no log has a copy of it")
            };
            let (base, log) = found.first().ok_or_else(missing)?;
            pages.write(0, &log[..SECTOR])?;
            base.clone()
        }
    };
    let mut applied = 0;
    for (base, log) in &found {
        match base.file_type {
            6 => applied += apply_entries(pages, &mut now, (base.primary, log), applied > 0)?,
            // 2 up to Windows 2000.
            1 | 2 if applied == 0 && base.written == now.written && !base.is_dirty() => {
                applied += apply_pages(pages, base, log)?;
                now.bins = base.bins;
            }
            _ => {}
        }
    }
    if applied == 0 {
        let message =
            "the hive was not closed, and its logs have nothing for it; start Windows once and shut it down";
        return Err(Error::new(ErrorKind::Dirty, message));
    }
    now.file_type = 0;
    now.secondary = now.primary;
    Ok((now, applied))
}

/// "New format" (notes 5 and 7): entries in a row, up to one that is not sound or does not follow. The first that counts is the
/// log's own number, and not less than the hive's secondary one; what one log began the next goes on with.
fn apply_entries<S: Storage>(
    pages: &mut Pages<S>,
    now: &mut Base,
    (first, log): (u32, &[u8]),
    mut begun: bool,
) -> Result<usize> {
    let (mut at, mut applied, mut next) = (SECTOR, 0, None);
    while let Some(entry) = sound_entry(log, at) {
        let (sequence, bins) = (word(entry, 12), word(entry, 16));
        let follows = !begun || sequence <= now.secondary;
        if next.is_some_and(|next| next != sequence) || !follows {
            break;
        }
        // Those before are in the hive already.
        if sequence >= first && sequence >= now.secondary {
            write_pages(pages, entry, bins)?;
            // The number that the entry after it has.
            now.secondary = sequence.wrapping_add(1);
            (now.primary, now.bins, begun) = (now.secondary, bins, true);
            applied += 1;
        }
        next = Some(sequence.wrapping_add(1));
        at += entry.len();
    }
    Ok(applied)
}

/// The entry at an offset, if both its hashes are right.
fn sound_entry(log: &[u8], at: usize) -> Option<&[u8]> {
    let rest = log.get(at..)?;
    let size = word(rest, 4) as usize;
    let bins = u64::from(word(rest, 16));
    if !rest.starts_with(b"HvLE")
        || size < ENTRY
        || !size.is_multiple_of(SECTOR)
        || !bins.is_multiple_of(BASE)
    {
        return None;
    }
    let entry = rest.get(..size)?;
    let sound = number(entry, 24, 8) == marvin::hash(&entry[ENTRY..])
        && number(entry, 32, 8) == marvin::hash(&entry[..32]);
    sound.then_some(entry)
}

fn write_pages<S: Storage>(pages: &mut Pages<S>, entry: &[u8], bins: u32) -> Result<()> {
    let count = word(entry, 20) as usize;
    let mut data = ENTRY.saturating_add(count.saturating_mul(8));
    for reference in 0..count {
        let (offset, size) = (word(entry, ENTRY + 8 * reference), word(entry, ENTRY + 8 * reference + 4));
        let page = entry.get(data..data.saturating_add(size as usize));
        let inside = offset.checked_add(size).is_some_and(|end| end <= bins);
        let Some(page) = page.filter(|_| inside) else {
            return Err(Error::corrupt(
                BASE + u64::from(offset),
                "a log entry's page leaves the hive or its entry",
            ));
        };
        pages.write(BASE + u64::from(offset), page)?;
        data += size as usize;
    }
    Ok(())
}

/// "Old format": a bitmap of pages, and the pages.
fn apply_pages<S: Storage>(pages: &mut Pages<S>, base: &Base, log: &[u8]) -> Result<usize> {
    let sector = SECTOR * base.clustering.clamp(1, 8) as usize;
    let bits = base.bins as usize / SECTOR;
    let vector = log.get(sector..).filter(|rest| rest.starts_with(b"DIRT"));
    let Some(bitmap) = vector.and_then(|rest| rest.get(4..4 + bits.div_ceil(8))) else { return Ok(0) };
    let mut at = (sector + 4 + bitmap.len()).next_multiple_of(sector);
    let mut applied = 0;
    for bit in (0..bits).filter(|bit| bitmap[bit / 8] >> (bit % 8) & 1 == 1) {
        let Some(page) = log.get(at..at + SECTOR) else {
            return Err(Error::corrupt(at as u64, "the log ends before its dirty pages do"));
        };
        pages.write(BASE + (bit * SECTOR) as u64, page)?;
        at += SECTOR;
        applied += 1;
    }
    Ok(applied)
}
