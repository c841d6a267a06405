//! Decode map: which bytes of the disk are where.

use crate::bitmaps::Runs;
use crate::header::{Header, MIB, Region, creator};
use crate::log::{self, State};
use crate::metadata::Metadata;
use crate::regions::Regions;
use crate::replay::{Replayed, Source};
use crate::table::{ENTRY, Entries, Payload, Table};
use wherry_sdk::format::{Extent, ImageFacts};
use wherry_sdk::image::{Extents, Window, blocked};
use wherry_sdk::{Blob, Concern, Error, ErrorKind, FormatReader, Result, Severity, concern, fact};

const EXTENTS_MOST: u32 = 1000;
/// Blocks that one answer looks at: 2 MiB of the table.
const BLOCKS_MOST: u64 = 1 << 18;

/// An opened VHDX image.
pub struct Reader {
    image: Replayed,
    /// Bytes of the parent.
    parent: Option<u64>,
    metadata: Metadata,
    entries: Entries,
    /// Sector bitmaps.
    bitmaps: Window,
    /// Where no block can be.
    taken: [Region; 4],
    facts: ImageFacts,
}

impl FormatReader for Reader {
    /// Part 1 is the parent as its guest saw it; more are not looked at.
    fn open(parts: Vec<Box<dyn Blob>>) -> Result<Self> {
        let mut parts = parts.into_iter();
        let missing = || Error::new(ErrorKind::InvalidInput, "a VHDX image is at least one file");
        let image = parts.next().ok_or_else(missing)?;
        let parent = parts.next().map(|parent| parent.size());
        let header = Header::read(image.as_ref())?;
        let (state, replay) = log::replay(image.as_ref(), &header)?;
        let image = Replayed { image, replay };
        let regions = Regions::read(&image, &header)?;
        let metadata = Metadata::read(&image, regions.metadata)?;
        if parent.is_some() && !metadata.has_parent {
            let message = "a parent was named, but the image is not a differencing one: leave it out";
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let table = Table::new(metadata.size, metadata.block, metadata.sector);
        let (needed, room) = (table.entries(metadata.has_parent), regions.bat.length / ENTRY);
        if needed > room {
            let message = format!("the table has room for {room} entries, and {needed} are needed");
            return Err(Error::corrupt(regions.bat.offset, message));
        }
        let mut facts = facts(&header, &metadata, creator(&image)?);
        facts.concerns = concerns(state, regions.by_copy, facts.parent.as_ref().filter(|_| parent.is_none()));
        let taken = [Region { offset: 0, length: MIB }, header.log, regions.bat, regions.metadata];
        let entries = Entries::new(table, regions.bat);
        Ok(Self { image, parent, metadata, entries, bitmaps: Window::default(), taken, facts })
    }

    fn facts(&self) -> ImageFacts {
        self.facts.clone()
    }

    fn extents(&mut self, start: u64, most: u32) -> Result<Vec<Extent>> {
        if let Some(refusal) = blocked(&self.facts.concerns) {
            return Err(refusal);
        }
        let most = most.clamp(1, EXTENTS_MOST) as usize;
        let Metadata { block, size, .. } = self.metadata;
        let mut found = Extents::new(start, size, self.image.image.size(), self.parent.map(|size| (1, size)));
        let first = start / block;
        let end = self.entries.table.blocks.min(first.saturating_add(BLOCKS_MOST));
        for number in first..end {
            let (logical, length) = (number * block, block.min(size - number * block));
            match self.entries.payload(number, &self.image)? {
                // Without a parent, inherited is zero.
                Payload::Inherited => found.inherited(logical, length),
                Payload::Zero => found.zero(logical, length),
                Payload::Full(offset) => {
                    self.check(number, offset, length)?;
                    self.stored(&mut found, logical, length, offset);
                }
                Payload::Partial(offset) => {
                    self.check(number, offset, length)?;
                    self.partial(&mut found, number, (start, most), offset)?;
                }
            }
            if found.count() > most {
                break;
            }
        }
        Ok(found.take(most))
    }
}

impl Reader {
    /// Whether block `number`, whose first `length` bytes are used, can be at `offset`.
    fn check(&self, number: u64, offset: u64, length: u64) -> Result<()> {
        let place = Region { offset, length };
        let (taken, file) = (self.taken.iter().any(|taken| taken.overlaps(place)), self.image.size());
        if taken || offset.checked_add(length).is_none_or(|end| end > file) {
            let message = format!(
                "block {number} at {offset} lies in the image's tables or beyond the file's end at {file}: was it cut?"
            );
            return Err(self.entries.corrupt(message));
        }
        Ok(())
    }

    /// Bytes of the image file at `offset`, unless its log says otherwise.
    fn stored(&self, found: &mut Extents, logical: u64, length: u64, offset: u64) {
        let mut at = logical;
        for (length, source) in self.image.replay.pieces(offset, length) {
            match source {
                Source::Zero => found.zero(at, length),
                Source::File(place) => found.stored(at, length, place),
            }
            at += length;
        }
    }

    /// A block of which the file has some sectors, from byte `start` of the disk on, until there are more than `most`
    /// extents.
    fn partial(
        &mut self,
        found: &mut Extents,
        number: u64,
        (start, most): (u64, usize),
        offset: u64,
    ) -> Result<()> {
        let Metadata { block, sector, size, has_parent, .. } = self.metadata;
        if !has_parent {
            return Err(self
                .entries
                .corrupt(format!("block {number} is partly present, but there is no parent")));
        }
        let bitmap = self.entries.bitmap(number, &self.image)?;
        self.check(number, bitmap, MIB)?;
        // A power of two that divides both windows and bitmaps.
        let bytes = block / sector / 8;
        let at = bitmap + number % self.entries.table.ratio * bytes;
        let bits = self.bitmaps.field(&self.image, at, bytes as usize)?.to_vec();
        let logical = number * block;
        for (first, count, stored) in Runs::new(&bits, start.saturating_sub(logical) / sector) {
            let (from, length) =
                (first * sector, (count * sector).min(size.saturating_sub(logical + first * sector)));
            match stored {
                true => self.stored(found, logical + from, length, offset + from),
                false => found.inherited(logical + from, length),
            }
            if found.count() > most {
                break;
            }
        }
        Ok(())
    }
}

fn facts(header: &Header, metadata: &Metadata, creator: String) -> ImageFacts {
    let subformat = match (metadata.has_parent, metadata.fixed) {
        (true, _) => "differencing",
        (false, true) => "fixed",
        (false, false) => "dynamic",
    };
    let mut facts = vec![
        fact("subformat", subformat),
        fact("creator", creator),
        fact("uuid", metadata.id),
        fact("data-uuid", header.data_write),
        fact("block-size", metadata.block),
        fact("sector-size", metadata.sector),
        fact("physical-sector-size", metadata.physical),
    ];
    facts.extend(metadata.locator.iter().map(|(key, value)| fact(format!("parent-locator.{key}"), value)));
    ImageFacts {
        virtual_size: metadata.size,
        unit: metadata.block as u32,
        variant_name: format!("vhdx {subformat}"),
        parent: metadata.parent(),
        files: Vec::new(),
        concerns: Vec::new(),
        facts,
    }
}

fn concerns(state: State, by_copy: bool, unnamed: Option<&String>) -> Vec<Concern> {
    let mut found = Vec::new();
    let shut = "start the machine and shut it down, if what it had not written yet matters";
    match state {
        State::Empty => {}
        State::Unwritten => {
            let message = "the image was not closed; its log is in use, but nothing was written to it";
            found.push(concern(Severity::Warning, "vhdx.log", message, Some(shut)));
        }
        State::Replayed(count) => {
            let message = format!("the image was not closed; entries of its log replayed in memory: {count}");
            found.push(concern(Severity::Warning, "vhdx.log", message, Some(shut)));
        }
        State::Damaged => {
            let message =
                "the image was not closed, and its log is damaged: its tables may be of different times";
            let remedy = "open it once for writing with its own hypervisor; QEMU does without what it cannot replay: \
                          `qemu-img check -r all`, then `qemu-img convert`";
            found.push(concern(Severity::Blocking, "vhdx.log", message, Some(remedy)));
        }
    }
    if by_copy {
        let message = "the first region table is damaged; its copy was used";
        let remedy = "make sure that the file is complete, and that nothing else wrote to it";
        found.push(concern(Severity::Warning, "vhdx.region-table", message, Some(remedy)));
    }
    if let Some(parent) = unnamed {
        let message = format!("the image is a difference to `{parent}`, which was not named");
        let remedy = "name that image as the parent, if it is yours, or merge the two with `Merge-VHD`";
        found.push(concern(Severity::Blocking, "vhdx.parent", message, Some(remedy)));
    }
    found
}
