//! Decode map: which bytes of the disk are where.

use crate::concerns::concerns;
use crate::header::{Header, LAZY_REFCOUNTS, incompatible};
use crate::snapshots;
use crate::tables::Tables;
use wherry_sdk::format::{Extent, ImageFacts};
use wherry_sdk::{Blob, Concern, Error, ErrorKind, Fact, FormatReader, Result, Severity, fact};

/// Extents of one answer.
const EXTENTS_MOST: u32 = 1000;

/// An opened qcow2 image.
pub struct Reader {
    facts: ImageFacts,
    /// None where a concern is blocking.
    tables: Option<Tables>,
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
            facts: facts(&header, &snapshots),
        };
        let blocked = blocking(&facts.concerns).next().is_some();
        let tables = if blocked { None } else { Some(Tables::read(image, parent, header)?) };
        Ok(Self { facts, tables })
    }

    fn facts(&self) -> ImageFacts {
        self.facts.clone()
    }

    /// Only a compressed extent may begin before `start`: it is always its whole cluster.
    fn extents(&mut self, start: u64, most: u32) -> Result<Vec<Extent>> {
        match &mut self.tables {
            Some(tables) => tables.extents(start, most.clamp(1, EXTENTS_MOST) as usize),
            None => {
                let messages: Vec<&str> =
                    blocking(&self.facts.concerns).map(|concern| concern.message.as_str()).collect();
                Err(Error::unsupported(messages.join("; ")))
            }
        }
    }
}

fn blocking(concerns: &[Concern]) -> impl Iterator<Item = &Concern> {
    concerns.iter().filter(|concern| concern.severity == Severity::Blocking)
}

fn facts(header: &Header, snapshots: &[String]) -> Vec<Fact> {
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
    if header.extensions.bitmaps > 0 {
        facts.push(fact("bitmaps", header.extensions.bitmaps));
    }
    facts.extend(snapshots.iter().map(|name| fact("snapshot", name)));
    facts
}
