//! A worker's desk: one chunk as it was read, hashed and looked at while it is in the processor's cache, and packed.

use crate::engine::Job;
use crate::journal::Hash;
use crate::layout::{Codec, MIB, Shape, Unit};
use crate::pack::{Packer, bound};
use crate::{Error, ErrorKind, Result};
use block::{Buffer, Disk, fill, is_zero};
use std::io;
use std::ops::Range;

/// What is read at once, to be hashed while the second-level cache has it.
const PIECE: usize = 256 << 10;
/// What a compressor's context may take.
const CONTEXT: u64 = 4 << 20;

/// Buffers that are used again for every chunk.
pub(crate) struct Desk {
    chunk: Buffer,
    packed: Buffer,
    packer: Packer,
    /// By pieces of the chunk.
    zero_pieces: Vec<bool>,
    /// Of every MiB of the chunk.
    pub hashes: Vec<Hash>,
    /// The units that are not zero.
    pub units: Vec<Unit>,
    /// Where each is in `chunk`, or in `packed` if there is a codec.
    starts: Vec<usize>,
}

/// Bytes of room for the packed units of a chunk.
fn packed_room(shape: &Shape) -> usize {
    let room =
        (bound(shape.unit as usize) + shape.lead as usize).next_multiple_of(shape.align.max(1) as usize);
    if shape.codec == Codec::None { 0 } else { room * (shape.chunk() / u64::from(shape.unit)) as usize }
}

impl Desk {
    /// Memory that one takes.
    pub fn bytes(shape: &Shape) -> u64 {
        let packing = if shape.codec == Codec::None { 0 } else { packed_room(shape) as u64 + CONTEXT };
        shape.chunk() + packing
    }

    pub fn new(shape: &Shape) -> io::Result<Self> {
        Ok(Self {
            chunk: Buffer::new(shape.chunk() as usize),
            packed: Buffer::new(packed_room(shape)),
            packer: Packer::new(shape)?,
            zero_pieces: Vec::new(),
            hashes: Vec::new(),
            units: Vec::new(),
            starts: Vec::new(),
        })
    }

    /// Reads chunk `number`, whose data lies at `data`, hashes it and finds the units that are not zero.
    pub fn read(&mut self, job: &Job<'_>, number: u64, data: &[Range<u64>]) -> Result<()> {
        let start = number * job.shape.chunk();
        let length = job.shape.chunk().min(job.source.length() - start) as usize;
        let unit = job.shape.unit as usize;
        self.hashes.clear();
        self.zero_pieces.clear();
        for from in (0..length).step_by(MIB as usize) {
            let to = (from + MIB as usize).min(length);
            let Some(zero) = &job.zero_hash else {
                self.read_plain(job.source, start, from..to, data)?;
                continue;
            };
            let hash = self.read_mib(job.source, start, from..to, data)?;
            self.hashes.push(hash.unwrap_or_else(|| zero_hash_of(to - from, zero)));
        }
        let padded = length.next_multiple_of(unit);
        self.chunk[length..padded].fill(0);
        self.find_units(start / unit as u64, padded, unit);
        Ok(())
    }

    /// A MiB that nobody wants the hash of.
    fn read_plain(
        &mut self,
        source: &dyn Disk,
        start: u64,
        mib: Range<usize>,
        data: &[Range<u64>],
    ) -> Result<()> {
        let any = fill(source, start + mib.start as u64, &mut self.chunk[mib.clone()], data)?;
        let pieces = self.chunk[mib].chunks(PIECE);
        self.zero_pieces.extend(pieces.map(|piece| !any || is_zero(piece)));
        Ok(())
    }

    /// The hash of a MiB; none if it is zero.
    fn read_mib(
        &mut self,
        source: &dyn Disk,
        start: u64,
        mib: Range<usize>,
        data: &[Range<u64>],
    ) -> Result<Option<Hash>> {
        let mut hasher: Option<blake3::Hasher> = None;
        for from in mib.clone().step_by(PIECE) {
            let to = (from + PIECE).min(mib.end);
            let any = fill(source, start + from as u64, &mut self.chunk[from..to], data)?;
            let zero = !any || is_zero(&self.chunk[from..to]);
            self.zero_pieces.push(zero);
            if zero && hasher.is_none() {
                continue;
            }
            let hasher = hasher.get_or_insert_with(|| {
                let mut hasher = blake3::Hasher::new();
                hasher.update(&self.chunk[mib.start..from]);
                hasher
            });
            hasher.update(&self.chunk[from..to]);
        }
        Ok(hasher.map(|hasher| *hasher.finalize().as_bytes()))
    }

    fn find_units(&mut self, first: u64, length: usize, unit: usize) {
        self.units.clear();
        self.starts.clear();
        for (index, from) in (first..).zip((0..length).step_by(unit)) {
            let pieces = from / PIECE..(from + unit).div_ceil(PIECE).min(self.zero_pieces.len());
            let known = self.zero_pieces[pieces].iter().all(|zero| *zero);
            let zero = known || (unit < PIECE && is_zero(&self.chunk[from..from + unit]));
            if !zero {
                self.units.push(Unit { index, stored: unit as u32, compressed: false });
                self.starts.push(from);
            }
        }
    }

    /// Applies the codec, if there is one.
    pub fn pack(&mut self, shape: &Shape) -> io::Result<()> {
        if shape.codec == Codec::None {
            return Ok(());
        }
        let (mut at, lead) = (0, shape.lead as usize);
        for (unit, start) in self.units.iter_mut().zip(&mut self.starts) {
            let plain = &self.chunk[*start..*start + shape.unit as usize];
            let (stored, compressed) = self.packer.pack(plain, &mut self.packed[at + lead..])?;
            (unit.stored, unit.compressed, *start) = (stored as u32, compressed, at + lead);
            let end = at + shape.padded(unit.stored) as usize;
            self.packed[at + lead + stored..end].fill(0);
            at = end;
        }
        Ok(())
    }

    /// Puts what goes in front of packed units there.
    pub fn lead(&mut self, heads: &[u8], shape: &Shape) -> Result<()> {
        let lead = shape.lead as usize;
        if heads.len() != lead * self.starts.len() {
            let what = format!("{} bytes to go in front of {} units", heads.len(), self.starts.len());
            return Err(Error::new(ErrorKind::Layout, what));
        }
        for (start, head) in self.starts.iter().zip(heads.chunks_exact(lead)) {
            self.packed[start - lead..*start].copy_from_slice(head);
        }
        Ok(())
    }

    /// The bytes to store, and where in them each unit begins.
    pub fn stored(&self, shape: &Shape) -> (&[u8], &[usize]) {
        let bytes = if shape.codec == Codec::None { &self.chunk } else { &self.packed };
        (bytes, &self.starts)
    }
}

/// The hash of this many zeroes.
fn zero_hash_of(length: usize, of_mib: &Hash) -> Hash {
    if length == MIB as usize { *of_mib } else { *blake3::hash(&vec![0; length]).as_bytes() }
}
