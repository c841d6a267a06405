//! Objects (dnode_phys_t: OpenZFS' include/sys/dnode.h), and sets of them (objset_phys_t).

use crate::bytes::{Block, byte_at, part};
use crate::pointer::{self, Pointer};
use crate::pool::Pool;
use std::rc::Rc;
use wherry_sdk::{Error, ErrorKind, Result};

/// Bytes of a dnode's slot, and before its pointers.
pub const SLOT: usize = 512;
const CORE: usize = 64;
const POINTERS_MOST: usize = 3;
/// Levels of pointers.
const LEVELS_MOST: u8 = 8;
/// A pointer at the end of the slots leads to more attributes.
const SPILL: u8 = 4;
/// Bytes of an object set that are read.
const SET: usize = 1024;

/// An object.
#[derive(Clone, Debug, Default)]
pub struct Dnode {
    /// Its type, by number (dmu_object_type).
    pub kind: u8,
    pub bonus_kind: u8,
    pub bonus: Block,
    /// Bytes of a block of data.
    pub block: u64,
    /// The last block's number.
    pub last: u64,
    pub spill: Option<Pointer>,
    indirect_shift: u32,
    levels: u8,
    pointers: Vec<Option<Pointer>>,
}

impl Dnode {
    /// The dnode at the start of these slots; none where there is no object.
    pub fn parse(slots: &Block) -> Result<Option<Self>> {
        let byte = |at| byte_at(&slots.bytes, at);
        if byte(0) == 0 {
            return Ok(None);
        }
        let bad = || Error::new(ErrorKind::Corrupt, "a dnode makes no sense: run zpool scrub");
        let (levels, pointers, flags) = (byte(2), usize::from(byte(3)), byte(7));
        let length = (usize::from(byte(12)) + 1) * SLOT;
        let whole = slots.part(0, length);
        let indirect_shift = u32::from(byte(1));
        let bonus = CORE + pointers * pointer::LENGTH;
        let bonus_length = usize::from(slots.u16(10));
        if whole.len() != length
            || levels == 0
            || levels > LEVELS_MOST
            || pointers == 0
            || pointers > POINTERS_MOST
            || levels > 1 && !(10..=24).contains(&indirect_shift)
            || bonus + bonus_length > length
        {
            return Err(bad());
        }
        let spill = (flags & SPILL != 0).then(|| Pointer::parse(&whole, length - pointer::LENGTH));
        Ok(Some(Self {
            kind: byte(0),
            bonus_kind: byte(4),
            bonus: whole.part(bonus, bonus_length),
            block: u64::from(slots.u16(8)) * 512,
            last: slots.u64(16),
            spill: spill.flatten(),
            indirect_shift,
            levels,
            pointers: (0..pointers).map(|n| Pointer::parse(&whole, CORE + n * pointer::LENGTH)).collect(),
        }))
    }

    /// Bytes of all blocks.
    pub fn size(&self) -> u64 {
        self.last.saturating_add(1).saturating_mul(self.block)
    }
}

/// A set of objects: the pool's own, or a dataset's.
#[derive(Clone, Debug)]
pub struct ObjectSet {
    meta: Dnode,
    /// 1 the pool's own, 2 a file system, 3 a volume.
    pub kind: u64,
    /// Whether there is an intent log.
    pub log: bool,
}

impl<'a> Pool<'a> {
    /// The set of objects that a pointer leads to.
    pub fn object_set(&mut self, pointer: &Pointer) -> Result<ObjectSet> {
        let block = self.read(pointer)?;
        let meta = Dnode::parse(&block.part(0, SLOT))?;
        let meta = meta.ok_or_else(|| Error::new(ErrorKind::Corrupt, "a set of objects is empty"))?;
        if block.len() < SET {
            return Err(Error::new(ErrorKind::Corrupt, "a set of objects is too short"));
        }
        let log = Pointer::parse(&block, SLOT + 16).is_some();
        Ok(ObjectSet { meta, kind: block.u64(704), log })
    }

    /// The object of that number; none where there is none.
    pub fn find_object(&mut self, set: &ObjectSet, number: u64) -> Result<Option<Dnode>> {
        let per_block = (set.meta.block / SLOT as u64).max(1);
        let within = (number % per_block) as usize * SLOT;
        match self.block(&set.meta, number / per_block)? {
            Some(block) => {
                let slots = usize::from(byte_at(&block.bytes, within + 12)) + 1;
                Dnode::parse(&block.part(within, SLOT * slots))
            }
            None => Ok(None),
        }
        .map_err(|e| e.within(&format!("object {number}")))
    }

    /// The object of that number, which has to be there.
    pub fn object(&mut self, set: &ObjectSet, number: u64) -> Result<Dnode> {
        let missing =
            || Error::new(ErrorKind::Corrupt, format!("object {number} is missing: run zpool scrub"));
        self.find_object(set, number)?.ok_or_else(missing)
    }

    /// A block of an object's data; none for a hole.
    pub fn block(&mut self, dnode: &Dnode, number: u64) -> Result<Option<Rc<Block>>> {
        let shift = dnode.indirect_shift.saturating_sub(7);
        let index = |level: u32| number.checked_shr(shift * level).unwrap_or(0);
        let top = u32::from(dnode.levels) - 1;
        let first = usize::try_from(index(top)).ok();
        let Some(mut pointer) = first.and_then(|first| dnode.pointers.get(first).cloned()).flatten() else {
            return Ok(None);
        };
        for level in (0..top).rev() {
            if u32::from(pointer.level) != level + 1 {
                return Err(Error::new(
                    ErrorKind::Corrupt,
                    "a pointer is of the wrong level: run zpool scrub",
                ));
            }
            let block = self.read(&pointer)?;
            let slot = (index(level) & ((1 << shift) - 1)) as usize;
            match Pointer::parse(&block, slot * pointer::LENGTH) {
                Some(next) => pointer = next,
                None => return Ok(None),
            }
        }
        self.read(&pointer).map(Some)
    }

    /// Up to `length` bytes of an object from `offset` on; holes read as zeros, what is behind the last block is not there.
    pub fn content(&mut self, dnode: &Dnode, offset: u64, length: usize) -> Result<Block> {
        let end = offset.saturating_add(length as u64).min(dnode.size());
        let mut content = Block::default();
        let mut at = offset;
        while at < end {
            let number = at / dnode.block;
            let within = (at - number * dnode.block) as usize;
            let take = (number + 1).saturating_mul(dnode.block).min(end).saturating_sub(at) as usize;
            if let Some(block) = self.block(dnode, number)? {
                content.big = block.big;
                content.bytes.extend_from_slice(part(&block.bytes, within, take));
            }
            at += take as u64;
            content.bytes.resize((at - offset) as usize, 0);
        }
        Ok(content)
    }
}
