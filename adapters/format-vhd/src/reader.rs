//! Decode map: which bytes of the disk are where.

use crate::bitmaps::batch;
use crate::footer::{Footer, Kind, LENGTH, SECTOR};
use crate::header::Header;
use wherry_sdk::format::{Extent, ImageFacts};
use wherry_sdk::image::{Extents, Window, blocked};
use wherry_sdk::{Blob, Concern, Error, ErrorKind, FormatReader, Result, Severity, concern, fact};

const EXTENTS_MOST: u32 = 1000;
/// Blocks that one answer looks at.
const BLOCKS_MOST: u64 = 1 << 18;
const FIXED_UNIT: u32 = 512;

/// An opened VHD image.
pub struct Reader {
    image: Box<dyn Blob>,
    /// Bytes of the parent.
    parent: Option<u64>,
    /// Bytes in front of the footer.
    end: u64,
    /// None in fixed images.
    header: Option<Header>,
    facts: ImageFacts,
    table: Window,
}

impl FormatReader for Reader {
    /// Part 1 is the parent as its guest saw it; more are not looked at.
    fn open(parts: Vec<Box<dyn Blob>>) -> Result<Self> {
        let mut parts = parts.into_iter();
        let missing = || Error::new(ErrorKind::InvalidInput, "a VHD image is at least one file");
        let image = parts.next().ok_or_else(missing)?;
        let parent = parts.next().map(|parent| parent.size());
        let (footer, end) = footer(image.as_ref())?;
        if parent.is_some() && footer.kind != Kind::Differencing {
            let message = "a parent was named, but the image is not a differencing one: leave it out";
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let size = footer.visible();
        let header = match footer.kind {
            Kind::Fixed => None,
            _ => Some(Header::read(image.as_ref(), footer.header)?),
        };
        let held = header.as_ref().map_or(end, |header| header.entries * header.block);
        if size > held {
            let message =
                format!("a disk of {size} bytes does not fit the {held} that the image has room for");
            return Err(Error::corrupt(48, message));
        }
        let mut facts = facts(&footer, header.as_ref(), size);
        facts.concerns = concerns(&footer, &facts, parent.is_some(), end == image.size());
        Ok(Self { image, parent, end, header, facts, table: Window::default() })
    }

    fn facts(&self) -> ImageFacts {
        self.facts.clone()
    }

    fn extents(&mut self, start: u64, most: u32) -> Result<Vec<Extent>> {
        if let Some(refusal) = blocked(&self.facts.concerns) {
            return Err(refusal);
        }
        let most = most.clamp(1, EXTENTS_MOST) as usize;
        let size = self.facts.virtual_size;
        let mut found = Extents::new(start, size, self.end, self.parent.map(|size| (1, size)));
        let Some(header) = &self.header else {
            found.stored(0, size, 0);
            return Ok(found.take(most));
        };
        let mut number = start / header.block;
        let end = size.div_ceil(header.block).min(number.saturating_add(BLOCKS_MOST));
        while number < end && found.count() <= most {
            for block in batch(self.image.as_ref(), &mut self.table, header, number, end)? {
                let logical = number * header.block;
                number += 1;
                // Without a parent, inherited is zero.
                let Some(block) = block else {
                    found.inherited(logical, header.block);
                    continue;
                };
                for (first, count, stored) in block.runs(header.block / SECTOR) {
                    let (from, length) = (first * SECTOR, count * SECTOR);
                    if stored {
                        found.stored(logical + from, length, block.data + from);
                    } else {
                        found.inherited(logical + from, length);
                    }
                }
                if found.count() > most {
                    break;
                }
            }
        }
        Ok(found.take(most))
    }
}

/// The footer, and where what is in front of it ends: at the file's end if only the copy in front is sound.
fn footer(image: &dyn Blob) -> Result<(Footer, u64)> {
    let size = image.size();
    let Some(end) = size.checked_sub(LENGTH) else {
        return Err(Error::corrupt(0, "this is no VHD image: it has no room for a footer"));
    };
    if let Some(footer) = Footer::parse(&image.read(end, LENGTH as u32)?) {
        return Ok((footer, end));
    }
    match Footer::parse(&image.read(0, LENGTH as u32)?) {
        Some(copy) if copy.kind != Kind::Fixed => Ok((copy, size)),
        _ => {
            let message =
                "no sound footer `conectix` with its checksum, neither at the end nor a copy in front";
            Err(Error::corrupt(end, message))
        }
    }
}

fn facts(footer: &Footer, header: Option<&Header>, size: u64) -> ImageFacts {
    let mut facts = vec![
        fact("subformat", footer.kind.name()),
        fact("creator", footer.creator()),
        fact("uuid", footer.uuid),
        fact("time", u64::from(footer.time) + crate::options::EPOCH),
        fact("geometry", footer.geometry),
        fact("footer-size", footer.size),
        fact("whole-mib", size.is_multiple_of(1 << 20)),
    ];
    let mut parent = None;
    if let Some(header) = header {
        facts.push(fact("block-size", header.block));
        if footer.kind == Kind::Differencing {
            facts.push(fact("parent-uuid", header.parent));
            for (code, path) in &header.locators {
                facts.push(fact(format!("parent-locator.{code}"), path));
            }
            let located = header.locators.first().map(|(_, path)| path.clone());
            let named = Some(header.parent_name.clone()).filter(|name| !name.is_empty());
            parent = named.or(located).or_else(|| Some(header.parent.to_string()));
        }
    }
    ImageFacts {
        virtual_size: size,
        unit: header.map_or(FIXED_UNIT, |header| header.block as u32),
        variant_name: footer.kind.variant().into(),
        parent,
        files: Vec::new(),
        concerns: Vec::new(),
        facts,
    }
}

fn concerns(footer: &Footer, facts: &ImageFacts, has_parent: bool, copy: bool) -> Vec<Concern> {
    let mut found = Vec::new();
    if let Some(parent) = facts.parent.as_ref().filter(|_| !has_parent) {
        let message = format!("the image is a difference to `{parent}`, which was not named");
        let remedy = "name that image as the parent, if it is yours, or merge the two with `Merge-VHD`";
        found.push(concern(Severity::Blocking, "vhd.parent", message, Some(remedy)));
    }
    if copy {
        let message = "the footer at the end is missing or damaged; its copy in front was used";
        let remedy = "make sure that the file is complete: it may have been cut";
        found.push(concern(Severity::Warning, "vhd.footer", message, Some(remedy)));
    }
    if footer.saved_state {
        let message = "the machine was suspended when this disk was last written";
        let remedy = "start the machine and shut it down, if what it had not written yet matters";
        found.push(concern(Severity::Warning, "vhd.saved-state", message, Some(remedy)));
    }
    let (size, said) = (facts.virtual_size, footer.size);
    if size < said / SECTOR * SECTOR {
        let creator = footer.creator();
        let message = format!(
            "`{creator}` shows its guests {size} bytes by geometry, and so they are read; the footer says {said}"
        );
        found.push(concern(Severity::Information, "vhd.geometry", message, None));
    }
    found
}
