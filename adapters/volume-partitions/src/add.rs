//! Room for a new partition, as writes that touch the table alone.

use crate::{gpt, mbr, sector_size};
use std::ops::Range;
use wherry_sdk::volume::{Added, Addition};
use wherry_sdk::{Blob, Error, ErrorKind, Result};

/// Where partitions begin, and of what their lengths are multiples, where there is room for that: as today's tools do it.
const GRAIN: u64 = 1 << 20;

/// The kinds of partition that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// UEFI firmware's.
    EfiSystem,
    /// GRUB's core for BIOS.
    BiosBoot,
}

impl Purpose {
    fn named(name: &str) -> Result<Self> {
        match name {
            "efi-system" => Ok(Self::EfiSystem),
            "bios-boot" => Ok(Self::BiosBoot),
            other => Err(Error::unsupported(format!("no partition is made for the purpose {other}"))),
        }
    }
}

/// Finds room and answers with the writes that make a partition of it.
pub fn add(device: &dyn Blob, addition: &Addition) -> Result<Added> {
    let purpose = Purpose::named(&addition.purpose)?;
    if addition.least == 0 {
        return Err(Error::new(ErrorKind::InvalidInput, "a partition without bytes"));
    }
    let sector = if device.size() < 1024 { Vec::new() } else { device.read(0, 512)? };
    if !mbr::is_table(&sector, device) {
        return Err(Error::new(ErrorKind::NotFound, "the disk has no partition table"));
    }
    if mbr::is_protective(&sector) {
        gpt::add(device, &sector, purpose, addition)
    } else {
        mbr::add(device, &sector, purpose, addition)
    }
}

/// Room for `addition` in `space` between what is `taken`; in bytes, all multiples of `unit`.
pub fn room(
    space: Range<u64>,
    mut taken: Vec<Range<u64>>,
    unit: u64,
    addition: &Addition,
) -> Result<Range<u64>> {
    taken.sort_by_key(|range| range.start);
    let mut gaps = Vec::new();
    let mut at = space.start;
    for range in taken {
        if range.start > at {
            gaps.push(at..range.start.min(space.end));
        }
        at = at.max(range.end);
    }
    gaps.push(at..space.end.max(at));
    let fit = |gap: &Range<u64>, grain: u64| {
        let start = gap.start.checked_next_multiple_of(grain)?;
        let most = gap.end.checked_sub(start)?;
        let most = most - most % grain;
        let length = most.min(addition.wanted.max(addition.least).checked_next_multiple_of(grain)?);
        (length >= addition.least && length > 0).then(|| start..start + length)
    };
    // the first that has all, else the longest
    let best = |grain: u64| {
        let found: Vec<Range<u64>> = gaps.iter().filter_map(|gap| fit(gap, grain)).collect();
        let full = found.iter().find(|range| range.end - range.start >= addition.wanted);
        full.or_else(|| found.iter().max_by_key(|range| range.end - range.start)).cloned()
    };
    let first = || gaps.iter().find_map(|gap| fit(gap, unit));
    best(GRAIN).or_else(first).ok_or_else(|| {
        let longest = gaps.iter().map(|gap| gap.end.saturating_sub(gap.start)).max().unwrap_or_default();
        let message = format!(
            "a partition of {} bytes has no room: at most {longest} bytes together belong to no other",
            addition.least
        );
        Error::new(ErrorKind::NoSpace, message)
    })
}

/// The disk's own sector size has to be the one that its table counts in.
pub fn unit(device: &dyn Blob, counted: u64) -> Result<u64> {
    if sector_size(device) == counted {
        return Ok(counted);
    }
    Err(Error::unsupported(format!("its table counts sectors of {counted} bytes, which its disk has not")))
}
