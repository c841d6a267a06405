//! The devices of a pool, and blocks from them: every copy of a block is tried until one has the right checksum.

use crate::bytes::{Block, field};
use crate::checksum::{self, Salt, Verdict};
use crate::compression::{self, LENGTH_MOST};
use crate::parity::{self, Shape};
use crate::pointer::{self, Copy, Pointer};
use std::collections::HashMap;
use std::rc::Rc;
use wherry_sdk::{Blob, Error, ErrorKind, READ_MOST, Result};
use wherry_zfs::{FRONT, Label, Vdev, is_sealed};

/// Blocks that are kept, by their bytes.
const KEPT_MOST: usize = 16 << 20;
/// Gangs of gangs, and pieces of one block.
const GANGS_MOST: usize = 4;
/// Bytes of a gang's header, and the pointers in it (zio_gbh_phys_t).
const GANG: usize = 512;
const GANG_POINTERS: usize = 3;
/// Devices in one pool.
pub const MEMBERS_MOST: usize = 256;

/// A device of the pool.
#[derive(Clone, Debug)]
pub struct Member {
    pub guid: u64,
    /// Where it begins among the joined devices, and its bytes.
    pub start: u64,
    pub length: u64,
}

/// A pool's devices.
pub struct Pool<'a> {
    blob: Box<dyn Blob + 'a>,
    /// The newest label.
    pub label: Label,
    pub members: Vec<Member>,
    /// Top-level vdevs that are known, by the newest label of each.
    pub tops: Vec<Vdev>,
    pub salt: Salt,
    kept: HashMap<([u64; 4], u64, u64), Rc<Block>>,
    kept_bytes: usize,
    pub damage: Option<Damage>,
}

/// What tests do to the bytes of a block behind its checksum, by the type of its object.
pub type Damage = Box<dyn Fn(u8, &mut Vec<u8>)>;

/// A block's bytes on disk and how they have to be.
struct Wanted<'p> {
    pointer: &'p Pointer,
    length: usize,
}

impl<'a> Pool<'a> {
    /// The pool of a device, or of several that were joined; none if there is no label.
    pub fn open(blob: Box<dyn Blob + 'a>) -> Result<Option<Self>> {
        let size = blob.size();
        let Some(first) = Label::read(blob.as_ref(), 0)? else { return Ok(None) };
        if first.state == wherry_zfs::STATE_DESTROYED {
            return Ok(None);
        }
        let mut labels = vec![(0, first.clone())];
        let mut at = first.member_length();
        while labels.len() < MEMBERS_MOST && at < size {
            let next = Label::read(blob.as_ref(), at)?.filter(|next| next.pool == first.pool);
            let Some(next) = next.filter(|next| labels.iter().all(|(_, label)| label.guid != next.guid))
            else {
                break;
            };
            let start = at;
            at = at.saturating_add(next.member_length());
            labels.push((start, next));
        }
        let alone = labels.len() == 1;
        let member = |(start, label): &(u64, Label)| Member {
            guid: label.guid,
            start: *start,
            length: if alone { size } else { label.member_length().min(size - start) },
        };
        let members = labels.iter().map(member).collect();
        labels.sort_by_key(|(_, label)| std::cmp::Reverse(label.txg));
        let mut tops: Vec<Vdev> = Vec::new();
        for (_, label) in &labels {
            if tops.iter().all(|top| top.id != label.tree.id) {
                tops.push(label.tree.clone());
            }
        }
        let label = labels.into_iter().next().map_or(first, |(_, label)| label);
        let (salt, kept) = (Salt::default(), HashMap::new());
        Ok(Some(Self { blob, label, members, tops, salt, kept, kept_bytes: 0, damage: None }))
    }

    /// Bytes of all devices.
    pub fn size(&self) -> u64 {
        self.blob.size()
    }

    pub fn member(&self, guid: u64) -> Option<&Member> {
        self.members.iter().find(|member| member.guid == guid)
    }

    /// Bytes anywhere, where they are there.
    pub fn raw(&self, offset: u64, length: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(length);
        let mut at = offset;
        while bytes.len() < length {
            let piece = (length - bytes.len()).min(READ_MOST as usize) as u32;
            bytes.extend(self.blob.read(at, piece)?);
            at += u64::from(piece);
        }
        Ok(bytes)
    }

    /// `length` bytes of a leaf.
    fn leaf(&self, leaf: &Vdev, offset: u64, length: usize) -> Option<Vec<u8>> {
        let member = self.member(leaf.guid)?;
        let end = offset.checked_add(FRONT)?.checked_add(length as u64)?;
        if end > member.length {
            return None;
        }
        self.raw(member.start + FRONT + offset, length).ok()
    }

    /// `length` bytes of a vdev that `good` says yes to, from whichever device has them.
    fn vdev(&self, vdev: &Vdev, offset: u64, length: usize, good: &dyn Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
        match vdev.kind.as_str() {
            "mirror" | "replacing" | "spare" => {
                vdev.children.iter().find_map(|child| self.vdev(child, offset, length, good))
            }
            "raidz" => {
                let ashift = u32::try_from(vdev.ashift).ok()?;
                let shape = Shape { children: vdev.children.len(), parity: vdev.parity as usize, ashift };
                self.raidz(vdev, shape.columns(offset, length).ok()?, length, good)
            }
            _ if vdev.is_leaf() => self.leaf(vdev, offset, length).filter(|bytes| good(bytes)),
            _ => None,
        }
    }

    fn raidz(
        &self,
        vdev: &Vdev,
        columns: Vec<parity::Column>,
        length: usize,
        good: &dyn Fn(&[u8]) -> bool,
    ) -> Option<Vec<u8>> {
        let lengths: Vec<usize> = columns.iter().map(|column| column.length).collect();
        let parity = vdev.parity as usize;
        let read = |column: &parity::Column| {
            let child = vdev.children.get(column.child)?;
            self.vdev(child, column.offset, column.length, &|_| true)
        };
        let mut held: Vec<Option<Vec<u8>>> = columns
            .iter()
            .enumerate()
            .map(|(number, column)| if number < parity { None } else { read(column) })
            .collect();
        let checked = |bytes: &[u8]| good(field(bytes, 0, length));
        // Parity is read when it is needed.
        let mut bytes = parity::assemble(&held, &lengths, parity, &checked);
        if bytes.is_none() {
            for (place, column) in held.iter_mut().zip(&columns).take(parity) {
                *place = read(column);
            }
            bytes = parity::assemble(&held, &lengths, parity, &checked);
        }
        bytes.map(|mut bytes| {
            bytes.truncate(length);
            bytes
        })
    }

    /// The vdev of that number.
    fn top(&self, id: u32) -> Result<&Vdev> {
        let missing = || {
            let message = format!("top-level vdev {id} of the pool {} is missing", self.label.name);
            Error::new(ErrorKind::Corrupt, message)
        };
        self.tops.iter().find(|top| top.id == u64::from(id)).ok_or_else(missing)
    }

    fn copy(&self, copy: Copy, wanted: &Wanted<'_>, depth: usize) -> Result<Vec<u8>> {
        let at = copy.offset;
        let lost = |what: &str| {
            let label = &self.label.name;
            Error::corrupt(
                at,
                format!(
                    "{what} on vdev {} of the pool {label} cannot be read: its devices are missing, or its checksum is wrong on all of them; run zpool scrub",
                    copy.vdev
                ),
            )
        };
        let (sum, order) = ((wanted.pointer.checksum, wanted.pointer.sum), wanted.pointer.big);
        let top = self.top(copy.vdev)?;
        if !copy.gang {
            let good = |bytes: &[u8]| checksum::verify(bytes, order, sum, &self.salt) != Verdict::Bad;
            return self.vdev(top, at, wanted.length, &good).ok_or_else(|| lost("a block"));
        }
        if depth >= GANGS_MOST {
            return Err(lost("a gang of gangs"));
        }
        let first = wanted.pointer.copies.first().copied().unwrap_or_default();
        let verifier = [u64::from(first.vdev), first.offset, wanted.pointer.birth, 0];
        let good = |bytes: &[u8]| is_sealed(bytes, verifier).is_some();
        let header = self.vdev(top, at, GANG, &good).ok_or_else(|| lost("the header of a gang"))?;
        let header = Block::new(header, order);
        let mut bytes = Vec::with_capacity(wanted.length);
        for number in 0..GANG_POINTERS {
            let Some(piece) = Pointer::parse(&header, number * pointer::LENGTH) else { continue };
            if piece.embedded.is_some() || bytes.len() + piece.stored > wanted.length {
                return Err(lost("a piece of a gang"));
            }
            bytes.extend(self.stored(&Wanted { pointer: &piece, length: piece.stored }, depth + 1)?);
        }
        if bytes.len() != wanted.length || checksum::verify(&bytes, order, sum, &self.salt) == Verdict::Bad {
            return Err(lost("a gang"));
        }
        Ok(bytes)
    }

    /// A block as it is stored, from the first copy that is good.
    fn stored(&self, wanted: &Wanted<'_>, depth: usize) -> Result<Vec<u8>> {
        let mut problem = Error::new(ErrorKind::Corrupt, "a block pointer has no copy");
        for copy in &wanted.pointer.copies {
            match self.copy(*copy, wanted, depth) {
                Ok(bytes) => return Ok(bytes),
                Err(e) => problem = e,
            }
        }
        Err(problem)
    }

    /// The block that a pointer leads to, unpacked.
    pub fn read(&mut self, pointer: &Pointer) -> Result<Rc<Block>> {
        if let Some((held, kind)) = &pointer.embedded {
            if *kind != 0 {
                return Err(Error::unsupported("a block that was redacted cannot be read"));
            }
            let bytes = compression::unpack(pointer.compression, held.clone(), pointer.length)?;
            return Ok(Rc::new(Block::new(bytes, pointer.big)));
        }
        let first = pointer.copies.first().copied().unwrap_or_default();
        let key = (pointer.sum, first.offset, u64::from(first.vdev) << 32 | pointer.length as u64);
        if let Some(block) = self.kept.get(&key) {
            return Ok(Rc::clone(block));
        }
        if pointer.encrypted && pointer.level == 0 {
            return Err(Error::unsupported(
                "a block is encrypted: unlock and send the dataset in another way",
            ));
        }
        if pointer.stored > LENGTH_MOST || pointer.length > LENGTH_MOST {
            return Err(Error::new(ErrorKind::Corrupt, "a block is longer than 16 MiB"));
        }
        let packed = self.stored(&Wanted { pointer, length: pointer.stored }, 0)?;
        let bytes = compression::unpack(pointer.compression, packed, pointer.length)
            .map_err(|e| Error { at: Some(first.offset), ..e })?;
        let mut bytes = bytes;
        if let Some(damage) = &self.damage {
            damage(pointer.kind, &mut bytes);
        }
        let block = Rc::new(Block::new(bytes, pointer.big));
        if self.kept_bytes + block.len() > KEPT_MOST {
            self.kept.clear();
            self.kept_bytes = 0;
        }
        self.kept_bytes += block.len();
        self.kept.insert(key, Rc::clone(&block));
        Ok(block)
    }
}
