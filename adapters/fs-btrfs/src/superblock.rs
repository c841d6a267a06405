//! The superblock (Linux: `include/uapi/linux/btrfs_tree.h`, struct btrfs_super_block) and its copies.

use crate::block::Expected;
use crate::bytes::{byte_at, field, part, put, put_u64, text, u16_at, u32_at, u64_at, uuid};
use crate::checksum::{Algorithm, LENGTH_MOST};
use crate::features;
use wherry_sdk::{Blob, Error, Result};

/// Bytes of each copy.
pub const LENGTH: usize = 4096;
/// Where the copies are, as far as the device goes (BTRFS_SUPER_MIRROR_MAX).
pub const PLACES: [u64; 3] = [64 << 10, 64 << 20, 256 << 30];
const MAGIC: &[u8] = b"_BHRfS_M";
const CHUNKS: usize = 811;
const CHUNKS_MOST: usize = 2048;

/// Where a tree begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    pub block: u64,
    pub level: u8,
    pub generation: u64,
}

impl Root {
    /// What its block has to be.
    pub fn expected(self) -> Expected {
        Expected { level: self.level, generation: self.generation, first: None }
    }
}

/// A superblock that makes sense.
#[derive(Clone)]
pub struct Superblock {
    pub raw: Vec<u8>,
    pub algorithm: Algorithm,
    /// The smallest unit of data, in bytes.
    pub sector: u32,
    /// Bytes of a tree's block.
    pub node: u32,
}

/// The newest of the copies; none if the first place holds no btrfs.
pub fn read(device: &dyn Blob) -> Result<Option<Superblock>> {
    let mut newest: Option<Superblock> = None;
    let mut end = device.size();
    let mut first_error = None;
    for (number, place) in PLACES.into_iter().enumerate() {
        if place + LENGTH as u64 > end {
            break;
        }
        let raw = device.read(place, LENGTH as u32)?;
        if field(&raw, 64, 8) != MAGIC || u64_at(&raw, 48) != place {
            if number == 0 {
                return Ok(None);
            }
            continue;
        }
        match Superblock::parse(raw) {
            Ok(found) if newest.as_ref().is_none_or(|known| known.generation() < found.generation()) => {
                if found.devices() > 1 {
                    // What is behind it may be another device.
                    end = end.min(found.device_size());
                }
                newest = Some(found);
            }
            Ok(_) => {}
            Err(error) => {
                first_error.get_or_insert(error);
            }
        }
    }
    match (newest, first_error) {
        (None, Some(error)) => Err(error),
        (newest, _) => Ok(newest),
    }
}

impl Superblock {
    fn parse(raw: Vec<u8>) -> Result<Self> {
        let bad = |what: &str| {
            Error::corrupt(PLACES[0], format!("the superblock {what}: run btrfs rescue super-recover"))
        };
        let algorithm = Algorithm::of(u16_at(&raw, 196))?;
        if algorithm.sum(part(&raw, LENGTH_MOST, LENGTH)) != part(&raw, 0, algorithm.length()) {
            return Err(bad("has a wrong checksum"));
        }
        let (sector, node) = (u32_at(&raw, 144), u32_at(&raw, 148));
        let sizes = |size: u32, least: u32| size.is_power_of_two() && (least..=64 << 10).contains(&size);
        if !sizes(sector, 512) || !sizes(node, sector) || node < 4096 {
            return Err(bad(&format!("says sectors of {sector} and blocks of {node} bytes")));
        }
        if u32_at(&raw, 160) as usize > CHUNKS_MOST {
            return Err(bad("has too many system chunks"));
        }
        Ok(Self { raw, algorithm, sector, node })
    }

    pub fn generation(&self) -> u64 {
        u64_at(&self.raw, 72)
    }

    pub fn root(&self) -> Root {
        Root { block: u64_at(&self.raw, 80), level: byte_at(&self.raw, 198), generation: self.generation() }
    }

    pub fn chunk_root(&self) -> Root {
        let generation = u64_at(&self.raw, 164);
        Root { block: u64_at(&self.raw, 88), level: byte_at(&self.raw, 199), generation }
    }

    /// Whether something was synced after the trees were written last.
    pub fn has_log(&self) -> bool {
        u64_at(&self.raw, 96) != 0
    }

    /// Where the tree of logs begins. They belong to the transaction that was not ended, of which there is one.
    pub fn log_root(&self) -> Root {
        let generation = self.generation().wrapping_add(1);
        Root { block: u64_at(&self.raw, 96), level: byte_at(&self.raw, 200), generation }
    }

    /// The log has been replayed.
    pub fn drop_log(&mut self) {
        put_u64(&mut self.raw, 96, 0);
        put(&mut self.raw, 200, &[0]);
    }

    /// Bytes of all devices, and those that are used.
    pub fn sizes(&self) -> (u64, u64) {
        (u64_at(&self.raw, 112), u64_at(&self.raw, 120))
    }

    pub fn devices(&self) -> u64 {
        u64_at(&self.raw, 136)
    }

    pub fn device_id(&self) -> u64 {
        u64_at(&self.raw, 201)
    }

    /// Bytes of this device that belong to the file system.
    pub fn device_size(&self) -> u64 {
        u64_at(&self.raw, 209)
    }

    pub fn incompat(&self) -> u64 {
        u64_at(&self.raw, 188)
    }

    pub fn compat_ro(&self) -> u64 {
        u64_at(&self.raw, 180)
    }

    pub fn uuid(&self) -> String {
        uuid(part(&self.raw, 32, 16))
    }

    pub fn label(&self) -> Option<String> {
        Some(text(part(&self.raw, 299, 256))).filter(|label| !label.is_empty())
    }

    /// What blocks of trees carry: the UUID that does not change when the other one is changed.
    pub fn block_uuid(&self) -> &[u8] {
        let at = if self.incompat() & features::METADATA_UUID != 0 { 571 } else { 32 };
        part(&self.raw, at, 16)
    }

    /// The system chunks, as keys and items one after the other.
    pub fn system_chunks(&self) -> &[u8] {
        part(&self.raw, CHUNKS, u32_at(&self.raw, 160) as usize)
    }

    pub fn set_root(&mut self, root: Root) {
        put_u64(&mut self.raw, 80, root.block);
        put(&mut self.raw, 198, &[root.level]);
    }

    pub fn set_used(&mut self, bytes: u64) {
        put_u64(&mut self.raw, 120, bytes);
    }

    /// The old cache of free space (version 1) is not to be believed: it belongs to another generation.
    pub fn drop_cache(&mut self) {
        put_u64(&mut self.raw, 555, 0);
    }

    /// The copy for a place, summed.
    pub fn copy(&self, place: u64) -> Vec<u8> {
        let mut raw = self.raw.clone();
        put_u64(&mut raw, 48, place);
        let sum = self.algorithm.sum(part(&raw, LENGTH_MOST, LENGTH));
        put(&mut raw, 0, &[0; LENGTH_MOST]);
        put(&mut raw, 0, &sum);
        raw
    }
}
