//! Uberblocks (OpenZFS' include/sys/uberblock_impl.h): where the newest state of the pool begins. Each label has a ring of them,
//! of which the newest that is sound counts.

use crate::bytes::Block;
use crate::pointer::Pointer;
use crate::pool::Pool;
use wherry_sdk::{Error, ErrorKind, Result};
use wherry_zfs::{AREA, END, is_sealed};

const MAGIC: u64 = 0x00ba_b10c;
/// Where the ring is in a label, and its bytes.
const RING: u64 = 128 << 10;
/// log2 of the smallest and the largest slot.
const SLOT_LEAST: u64 = 10;
const SLOT_MOST: u64 = 13;
/// What stands before the fields of an import's guard (MMP_MAGIC).
const MMP_MAGIC: u64 = 0xa11c_ea11;

/// What begins everything.
#[derive(Clone, Debug)]
pub struct Uberblock {
    pub version: u64,
    pub txg: u64,
    pub timestamp: u64,
    /// Of uberblocks in one second by the guard of imports: which is the last.
    sequence: u64,
    pub root: Pointer,
    /// The pool was rewound to this group, or has a checkpoint of it.
    pub checkpoint: u64,
}

impl Uberblock {
    fn parse(slot: Vec<u8>, big: bool) -> Option<Self> {
        let block = Block::new(slot, big);
        if block.u64(0) != MAGIC {
            return None;
        }
        let guarded = block.u64(176) == MMP_MAGIC && block.u64(192) & 2 != 0;
        Some(Self {
            version: block.u64(8),
            txg: block.u64(16),
            timestamp: block.u64(32),
            sequence: if guarded { block.u64(192) >> 32 & 0xffff } else { 0 },
            root: Pointer::parse(&block, 40)?,
            checkpoint: block.u64(200),
        })
    }
}

/// All uberblocks that are sound, the newest first, one of each transaction group.
pub fn find(pool: &Pool<'_>) -> Result<Vec<Uberblock>> {
    let mut all: Vec<Uberblock> = Vec::new();
    for member in &pool.members {
        let ashift = pool.tops.iter().find(|top| top.leaves().iter().any(|leaf| leaf.guid == member.guid));
        let slot = ashift.map_or(SLOT_LEAST, |top| top.ashift).clamp(SLOT_LEAST, SLOT_MOST);
        let end = member.length - member.length % AREA;
        for place in [0, AREA, end.saturating_sub(END), end.saturating_sub(AREA)] {
            if place + AREA > member.length {
                continue;
            }
            let ring = pool.raw(member.start + place + RING, RING as usize)?;
            for (number, bytes) in ring.chunks_exact(1 << slot).enumerate() {
                let at = place + RING + ((number as u64) << slot);
                let big = is_sealed(bytes, [at, 0, 0, 0]);
                all.extend(big.and_then(|big| Uberblock::parse(bytes.to_vec(), big)));
            }
        }
    }
    all.sort_by_key(|one| std::cmp::Reverse((one.txg, one.timestamp, one.sequence)));
    all.dedup_by_key(|one| one.txg);
    if all.is_empty() {
        let message = "no uberblock of the pool is sound: import it on the source and scrub it";
        return Err(Error::new(ErrorKind::Corrupt, message));
    }
    Ok(all)
}
