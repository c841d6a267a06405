//! Thin volumes: what of them is where in their pool's data, by the pool's metadata, whose trees are in [`crate::tree`].

use crate::group::Mapping;
use crate::map::{Mapper, Refusal, bad};
use crate::pieces::Pieces;
use crate::text::shown;
use crate::tree::Tree;
use crate::{SECTOR, reader};
use wherry_sdk::bytes::{u32_at, u64_at};
use wherry_sdk::volume::{Segment, total};
use wherry_sdk::{Error, Result as Answer};

/// `drivers/md/dm-thin-metadata.c`.
const MAGIC: u64 = 27_022_010;
const SUPERBLOCK_SALT: u32 = 160_774;
/// `flags`: the kernel wants thin_check before it goes on.
const NEEDS_CHECK: u32 = 1;
/// Data blocks are 64 KiB to 1 GiB.
const BLOCK_LEAST: u64 = 64 << 10;
const BLOCK_MOST: u64 = 1 << 30;
/// An entry of the mappings is a block of the data, and the pool's time when it was made.
const TIME_BITS: u32 = 24;
const TIME: u64 = (1 << TIME_BITS) - 1;
/// Pieces of the volumes that a pool or an external origin is.
const PARTS_PIECES: usize = 1 << 17;

/// A thin volume as the group has it.
pub struct Volume<'a> {
    pub pool: &'a str,
    pub number: u64,
    pub external: Option<&'a str>,
    /// In bytes.
    pub length: u64,
}

/// A pool's superblock.
struct Superblock {
    transaction: u64,
    /// first block of the tree of trees of mappings, and of the tree of devices
    mappings: u64,
    devices: u64,
    /// bytes
    block: u64,
}

impl Superblock {
    fn parse(block: &[u8]) -> Answer<Self> {
        if u64_at(block, 32) != MAGIC || crate::tree::checksum(block, SUPERBLOCK_SALT) != u32_at(block, 0) {
            return Err(Error::corrupt(0, "the pool's metadata has no superblock, or its checksum is wrong"));
        }
        let version = u32_at(block, 40);
        if !matches!(version, 1 | 2) || u32_at(block, 360) != 0 {
            return Err(Error::unsupported(format!("version {version} of the pool's metadata is unknown")));
        }
        if u32_at(block, 4) & NEEDS_CHECK != 0 {
            return Err(Error::unsupported("the pool's metadata needs a check"));
        }
        let size = u64::from(u32_at(block, 336)).saturating_mul(SECTOR);
        if !(BLOCK_LEAST..=BLOCK_MOST).contains(&size) || !size.is_multiple_of(BLOCK_LEAST) {
            return Err(Error::corrupt(336, format!("the pool has blocks of {size} bytes")));
        }
        Ok(Self {
            transaction: u64_at(block, 48),
            mappings: u64_at(block, 320),
            devices: u64_at(block, 328),
            block: size,
        })
    }
}

fn trouble(e: &Error) -> Refusal {
    Refusal("lvm.bad-thin-pool", format!("the pool's metadata: {}", e.message))
}

/// A thin volume's mapped blocks, what is under them from its external origin, and zeroes.
pub fn map(mapper: &mut Mapper<'_>, volume: &Volume<'_>, pieces: &mut Pieces) -> Result<(), Refusal> {
    if pieces.length() > 0 {
        return Err(bad("a thin volume has one segment"));
    }
    let [stretch] = mapper.logical(volume.pool)?.segments.as_slice() else {
        return Err(bad(format!("the pool {} is not one segment", shown(volume.pool))));
    };
    let Mapping::Pool { metadata, data, transaction } = &stretch.mapping else {
        return Err(bad(format!("{} is no thin pool", shown(volume.pool))));
    };
    let metadata = mapper.inner(metadata, PARTS_PIECES)?;
    let data = mapper.inner(data, PARTS_PIECES)?;
    let external = volume.external.map(|origin| mapper.inner(origin, PARTS_PIECES)).transpose()?;
    let devices = mapper.devices;
    let block = reader::read(devices, &metadata, 0, crate::tree::BLOCK).map_err(|e| trouble(&e))?;
    let superblock = Superblock::parse(&block).map_err(|e| trouble(&e))?;
    // A change that the tools have written down and the pool has still to be told.
    if ![Some(superblock.transaction), superblock.transaction.checked_add(1)].contains(&Some(*transaction)) {
        let message = format!(
            "the pool's metadata is of transaction {}, the group's of transaction {transaction}",
            superblock.transaction
        );
        return Err(Refusal("lvm.bad-thin-pool", message));
    }
    let tree = Tree { devices, volume: &metadata };
    let (root, snapshotted) = device(&tree, &superblock, volume.number).map_err(|e| trouble(&e))?;
    let mut content = Content {
        data: &data,
        external: external.as_deref().unwrap_or_default(),
        block: superblock.block,
        length: volume.length,
        at: 0,
        none: 0,
        shared: false,
    };
    let mut refusal = None;
    let walked = tree.each(root, |key, entry| {
        content.shared |= entry & TIME < snapshotted;
        let done = mapper.spend(1).and_then(|()| content.block(key, entry >> TIME_BITS, pieces));
        done.map_err(|why| refusal = Some(why)).is_ok()
    });
    refusal.map_or(Ok(()), Err)?;
    walked.map_err(|e| trouble(&e))?;
    content.hole(volume.length, pieces)?;
    content.tell(mapper);
    Ok(())
}

/// The root of a device's mappings, and the pool's time when it was last part of a snapshot.
fn device(tree: &Tree<'_>, superblock: &Superblock, number: u64) -> Answer<(u64, u64)> {
    let root = tree.find(superblock.mappings, number, 8)?;
    let details = tree.find(superblock.devices, number, 24)?;
    match root.zip(details) {
        Some((root, details)) => Ok((u64_at(&root, 0), u64::from(u32_at(&details, 20)))),
        None => Err(Error::corrupt(0, format!("it has no device {number}"))),
    }
}

/// A thin volume's bytes, in order.
struct Content<'a> {
    data: &'a [Segment],
    external: &'a [Segment],
    /// In bytes.
    block: u64,
    length: u64,
    /// What has been told.
    at: u64,
    /// Bytes that no block of the pool stands for.
    none: u64,
    /// Another device may have some of the same blocks.
    shared: bool,
}

impl Content<'_> {
    /// A block of the volume in a block of the pool's data.
    fn block(&mut self, number: u64, data: u64, pieces: &mut Pieces) -> Result<(), Refusal> {
        let offset = number.saturating_mul(self.block);
        let length = self.block.min(self.length.saturating_sub(offset));
        self.hole(offset, pieces)?;
        pieces.take(self.data, data.saturating_mul(self.block), length)?;
        self.at += length;
        Ok(())
    }

    /// Bytes up to `end`, or the volume's end, that the pool has not.
    fn hole(&mut self, end: u64, pieces: &mut Pieces) -> Result<(), Refusal> {
        let end = end.min(self.length).max(self.at);
        self.none += end - self.at;
        let under = total(self.external).clamp(self.at, end);
        pieces.take(self.external, self.at, under - self.at)?;
        pieces.zeroes(end - under)?;
        self.at = end;
        Ok(())
    }

    /// Where an edit would need a block of the pool, or would show in another volume, there is none.
    fn tell(&self, mapper: &mut Mapper<'_>) {
        if self.shared || !self.external.is_empty() {
            mapper.notes.keep = Some("other volumes share its blocks".into());
            mapper.notes.edits = Some("it is a thin volume that shares blocks with others".into());
        } else if self.none > 0 {
            let message = format!(
                "it is a thin volume: {} of its {} bytes are in no block of its pool",
                self.none, self.length
            );
            mapper.notes.edits = Some(message);
        }
    }
}
