//! Decode map: which bytes of the disk are where.

use crate::header::{FREE, Header, ZERO};
use wherry_sdk::bytes::little;
use wherry_sdk::format::{Extent, ImageFacts};
use wherry_sdk::image::{Extents, Window, blocked};
use wherry_sdk::{Blob, Error, ErrorKind, FormatReader, Result, Severity, concern, fact};

const EXTENTS_MOST: u32 = 1000;
/// Blocks that one answer looks at.
const BLOCKS_MOST: u64 = 1 << 20;

/// An opened VDI image.
pub struct Reader {
    image: Box<dyn Blob>,
    /// Bytes of the parent.
    parent: Option<u64>,
    header: Header,
    facts: ImageFacts,
    map: Window,
}

impl FormatReader for Reader {
    /// Part 1 is the parent as its guest saw it; more are not looked at.
    fn open(parts: Vec<Box<dyn Blob>>) -> Result<Self> {
        let mut parts = parts.into_iter();
        let missing = || Error::new(ErrorKind::InvalidInput, "a VDI image is at least one file");
        let image = parts.next().ok_or_else(missing)?;
        let parent = parts.next().map(|parent| parent.size());
        let header = Header::read(image.as_ref())?;
        if parent.is_some() && !header.has_parent() {
            let message = "a parent was named, but the image is not a differencing one: leave it out";
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let facts = facts(&header, parent.is_some());
        Ok(Self { image, parent, header, facts, map: Window::default() })
    }

    fn facts(&self) -> ImageFacts {
        self.facts.clone()
    }

    fn extents(&mut self, start: u64, most: u32) -> Result<Vec<Extent>> {
        if let Some(refusal) = blocked(&self.facts.concerns) {
            return Err(refusal);
        }
        let most = most.clamp(1, EXTENTS_MOST) as usize;
        let (size, block) = (self.header.size, u64::from(self.header.block));
        let mut found = Extents::new(start, size, self.image.size(), self.parent.map(|size| (1, size)));
        let first = start / block;
        for number in first..size.div_ceil(block).min(first.saturating_add(BLOCKS_MOST)) {
            if found.count() > most {
                break;
            }
            self.block(number, &mut found)?;
        }
        Ok(found.take(most))
    }
}

impl Reader {
    fn block(&mut self, number: u64, found: &mut Extents) -> Result<()> {
        let (at, block) = (self.header.map + number * 4, u64::from(self.header.block));
        let (logical, entry) =
            (number * block, little(self.map.field(self.image.as_ref(), at, 4)?, 0, 4) as u32);
        match entry {
            FREE => found.inherited(logical, block),
            ZERO => found.zero(logical, block),
            stored => {
                // VirtualBox: `offStartBlockData` is behind the first block's extra bytes.
                let extra = u64::from(self.header.extra);
                let place = |stored| self.header.data + stored * self.header.stride() + extra;
                let known = Some(u64::from(stored)).filter(|stored| *stored < self.header.blocks);
                let Some(host) = known.map(place).filter(|host| *host < self.image.size()) else {
                    let message = format!(
                        "block {number} is said to be stored block {stored}, beyond the {} blocks or the file's end; see `qemu-img check`",
                        self.header.blocks
                    );
                    return Err(Error::corrupt(at, message));
                };
                found.stored(logical, block, host);
            }
        }
        Ok(())
    }
}

fn facts(header: &Header, has_parent: bool) -> ImageFacts {
    let mut facts = vec![
        fact("subformat", header.kind.name()),
        fact("block-size", header.block),
        fact("blocks-allocated", header.allocated),
        fact("uuid", header.uuid),
    ];
    if header.extra > 0 {
        facts.push(fact("block-extra", header.extra));
    }
    if !header.description.is_empty() {
        facts.push(fact("description", &header.description));
    }
    let parent = header.has_parent().then(|| header.parent.to_string());
    let mut concerns = Vec::new();
    if let Some(parent) = parent.as_ref().filter(|_| !has_parent) {
        let message =
            format!("the image is a difference to the VDI image with UUID {parent}, which was not named");
        let remedy = "name that image as the parent, or merge the two with `VBoxManage clonemedium`";
        concerns.push(concern(Severity::Blocking, "vdi.parent", message, Some(remedy)));
    }
    ImageFacts {
        virtual_size: header.size,
        unit: header.block,
        variant_name: "vdi 1.1".into(),
        parent,
        files: Vec::new(),
        concerns,
        facts,
    }
}
