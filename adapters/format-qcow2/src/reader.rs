//! Decode map: which bytes of the disk are where.

use crate::bitmaps;
use crate::concerns::concerns;
use crate::header::{Header, LAZY_REFCOUNTS, incompatible};
use crate::snapshots;
use crate::tables::Tables;
use wherry_sdk::format::{Extent, ImageFacts};
use wherry_sdk::{Blob, Concern, Error, ErrorKind, Fact, FormatReader, Range, Result, Severity, fact};

/// Extents of one answer.
const EXTENTS_MOST: u32 = 1000;
/// More are not named.
const BITMAPS_NAMED: usize = 100;
/// Ranges of one answer.
const RANGES_MOST: u32 = 4000;

/// An opened qcow2 image.
pub struct Reader {
    facts: ImageFacts,
    content: Content,
}

enum Content {
    Readable(Box<Tables>),
    /// A concern is blocking.
    Blocked(Box<dyn Blob>, Box<Header>),
}

impl FormatReader for Reader {
    /// Part 1 is the parent as its guest saw it, whatever its own format and parents are; more are not looked at.
    fn open(parts: Vec<Box<dyn Blob>>) -> Result<Self> {
        let mut parts = parts.into_iter();
        let missing = || Error::new(ErrorKind::InvalidInput, "a qcow2 image is at least one file");
        let image = parts.next().ok_or_else(missing)?;
        let parent = parts.next().map(|parent| parent.size());
        let header = Header::read(image.as_ref())?;
        if parent.is_some() && header.backing_file.is_none() {
            let message = "a parent was named, but the image has no backing file: leave it out";
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let snapshots = snapshots::names(image.as_ref(), header.snapshots)?;
        let facts = ImageFacts {
            virtual_size: header.size,
            unit: header.cluster_size() as u32,
            variant_name: format!("qcow2 v{}", header.version),
            parent: header.backing_file.clone(),
            files: Vec::new(),
            concerns: concerns(&header, &snapshots, parent.is_some()),
            facts: facts(image.as_ref(), &header, &snapshots),
        };
        let blocked = blocking(&facts.concerns).next().is_some();
        let content = match blocked {
            true => Content::Blocked(image, Box::new(header)),
            false => Content::Readable(Box::new(Tables::read(image, parent, header)?)),
        };
        Ok(Self { facts, content })
    }

    fn facts(&self) -> ImageFacts {
        self.facts.clone()
    }

    /// Only a compressed extent may begin before `start`: it is always its whole cluster.
    fn extents(&mut self, start: u64, most: u32) -> Result<Vec<Extent>> {
        match &mut self.content {
            Content::Readable(tables) => tables.extents(start, most.clamp(1, EXTENTS_MOST) as usize),
            Content::Blocked(..) => {
                let messages: Vec<&str> =
                    blocking(&self.facts.concerns).map(|concern| concern.message.as_str()).collect();
                Err(Error::unsupported(messages.join("; ")))
            }
        }
    }

    /// The mark is a persistent dirty bitmap's name.
    fn changed(&mut self, mark: &str, start: u64, most: u32) -> Result<Vec<Range>> {
        let (image, header) = match &self.content {
            Content::Readable(tables) => (tables.image(), tables.header()),
            Content::Blocked(image, header) => (image.as_ref(), header.as_ref()),
        };
        let bitmap = bitmaps::complete(image, header, mark)?;
        bitmap.ranges(image, header, start, most.clamp(1, RANGES_MOST))
    }
}

fn blocking(concerns: &[Concern]) -> impl Iterator<Item = &Concern> {
    concerns.iter().filter(|concern| concern.severity == Severity::Blocking)
}

fn facts(image: &dyn Blob, header: &Header, snapshots: &[String]) -> Vec<Fact> {
    let compression = if header.compression_type == 0 { "zlib" } else { "zstd" };
    let mut facts = vec![
        fact("cluster-size", header.cluster_size()),
        fact("compression", compression),
        fact("refcount-bits", 1 << header.refcount_order),
        fact("lazy-refcounts", header.compatible & LAZY_REFCOUNTS != 0),
        fact("extended-l2", header.has(incompatible::EXTENDED_L2)),
    ];
    if let Some(format) = &header.extensions.backing_format {
        facts.push(fact("backing-format", format));
    }
    // Damage in their directory is told to whom asks for a bitmap; the disk can be read without.
    let bitmaps = bitmaps::list(image, header.extensions.bitmaps).unwrap_or_default();
    facts.extend(bitmaps.iter().take(BITMAPS_NAMED).map(|bitmap| fact("bitmap", &bitmap.name)));
    facts.extend(snapshots.iter().map(|name| fact("snapshot", name)));
    facts
}
