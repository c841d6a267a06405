//! Contents of files and targets of symbolic links, read and changed. Blocks that other files share are never written into:
//! the file gets new ones (Linux: fs/xfs/xfs_reflink.c, fs/xfs/libxfs/xfs_symlink_remote.c).

use crate::Xfs;
use crate::bytes::{Own, be32_at, check, damaged, field, put, put_be32, seal};
use crate::extent::{Extent, at, replace};
use crate::fork::Held;
use crate::inode::{Format, Inode, Which};
use wherry_sdk::{Blob, Error, ErrorKind, READ_MOST, Result};

/// Bytes of the longest target (XFS Algorithms & Data Structures, "Symbolic Links").
pub const TARGET_MOST: u64 = 1024;
/// Pieces of a file that is changed.
const PIECES_MOST: usize = 1 << 20;
/// Runs of blocks with a target, in version 5.
const LINK_MAGIC: u32 = 0x5853_4c4d;
const LINK_HEADER: usize = 56;
pub const LINK_OWN: Own = Own { checksum: 12, sector: 40, uuid: 16, owner: 32, change: 48 };

impl Xfs {
    /// Fails for files that are not read here, or are none.
    fn check_content(&self, inode: &Inode) -> Result<()> {
        if inode.is_realtime() {
            return Err(Error::unsupported(
                "the content is on a realtime device, which is not read here: copy the file in the guest",
            ));
        }
        if !matches!(inode.fork(Which::Data).format, Format::Extents | Format::Btree) {
            return Err(damaged(inode.place, &format!("inode {} is a file without extents", inode.number)));
        }
        Ok(())
    }

    /// Up to `length` bytes of a file's content.
    pub fn read_file(&mut self, inode: &Inode, offset: u64, length: u32) -> Result<Vec<u8>> {
        self.check_content(inode)?;
        let end = inode.size().min(offset.saturating_add(u64::from(length.min(READ_MOST))));
        let extents = self.extents(inode, Which::Data)?;
        self.read_mapped(inode, &extents, offset, end)
    }

    /// The bytes from `offset` to `end` of what a list of extents maps.
    fn read_mapped(&mut self, inode: &Inode, extents: &[Extent], offset: u64, end: u64) -> Result<Vec<u8>> {
        let unit = u64::from(self.disk.superblock.block_size);
        let mut bytes = Vec::new();
        let mut from = offset;
        while from < end {
            let (block, within) = (from / unit, from % unit);
            let next = at(extents, block);
            let extent = next.filter(|extent| extent.start <= block);
            let behind = match extent {
                Some(extent) => extent.end(),
                None => next.map_or(u64::MAX, |next| next.start),
            };
            let take = behind.saturating_mul(unit).min(end) - from;
            match extent.filter(|extent| !extent.unwritten) {
                Some(extent) => {
                    let place = self.piece_place(inode, extent, block, (within + take).div_ceil(unit))?;
                    bytes.extend(self.disk.device.content(place + within, take as u32)?);
                }
                None => bytes.resize(bytes.len() + take as usize, 0),
            }
            from += take;
        }
        Ok(bytes)
    }

    /// Where `count` blocks of an extent begin on the device, from block `block` of the file on.
    fn piece_place(&self, inode: &Inode, extent: &Extent, block: u64, count: u64) -> Result<u64> {
        let place = self.disk.superblock.place(extent.block + (block - extent.start), count);
        place.ok_or_else(|| damaged(inode.place, "an extent leaves its group"))
    }

    /// Frees all blocks of a list from block `from` of the file on.
    pub fn cut(&mut self, inode: &mut Inode, which: Which, map: &mut Vec<Extent>, from: u64) -> Result<()> {
        for extent in replace(map, from, u64::MAX - from, None) {
            self.drop_extent(inode, which, &extent)?;
        }
        Ok(())
    }

    fn drop_extent(&mut self, inode: &mut Inode, which: Which, extent: &Extent) -> Result<()> {
        self.release(extent.block, extent.count, Self::fork_owner(inode, which, extent))?;
        inode.count_blocks(-(extent.count as i64));
        Ok(())
    }

    /// New blocks, at most `count`, for the file's block `block` and those behind it; they are not mapped yet.
    pub fn new_extent(
        &mut self,
        inode: &mut Inode,
        which: Which,
        map: &[Extent],
        block: u64,
        count: u64,
    ) -> Result<Extent> {
        let before = map.partition_point(|extent| extent.start < block).checked_sub(1);
        let near = before.and_then(|before| map.get(before));
        let goal = near
            .map_or(inode.number >> self.disk.superblock.inode_bits, |extent| extent.block + extent.count);
        let wanted =
            Extent { start: block, block: 0, count: count.min(crate::extent::COUNT_MOST), unwritten: false };
        let (first, count) = self.allocate(goal, wanted.count, Self::fork_owner(inode, which, &wanted))?;
        inode.count_blocks(count as i64);
        Ok(Extent { block: first, count, ..wanted })
    }

    /// Frees everything that a file holds.
    pub fn empty(&mut self, inode: &mut Inode) -> Result<()> {
        self.check_content(inode)?;
        let mut map = self.extents(inode, Which::Data)?.to_vec();
        self.cut(inode, Which::Data, &mut map, 0)?;
        self.set_content_map(inode, map)?;
        inode.set_size(0);
        Ok(())
    }

    fn set_content_map(&mut self, inode: &mut Inode, map: Vec<Extent>) -> Result<()> {
        let attributes = self.held(inode, Which::Attributes)?;
        self.set_forks(inode, &Held::Mapped(map), &attributes)
    }

    /// Writes over what a file has from `offset` on, which is not behind its end; it grows where `content` does not fit. The
    /// inode has to be stored by the caller.
    pub fn write_content(&mut self, inode: &mut Inode, offset: u64, content: &dyn Blob) -> Result<()> {
        self.check_content(inode)?;
        if content.size() == 0 {
            return Ok(());
        }
        let unit = u64::from(self.disk.superblock.block_size);
        let too_long = || Error::new(ErrorKind::Limit, "the file would be longer than XFS can store");
        let end = offset.checked_add(content.size()).filter(|end| end.div_ceil(unit) < 1 << 51);
        let end = end.ok_or_else(too_long)?;
        let mut map = self.extents(inode, Which::Data)?.to_vec();
        if end > inode.size() {
            // Blocks behind the end were allocated in advance.
            self.cut(inode, Which::Data, &mut map, inode.size().div_ceil(unit))?;
        }
        let mut at_byte = offset;
        while at_byte < end {
            at_byte = self.write_piece(inode, &mut map, (offset, end), at_byte, content)?;
            if map.len() > PIECES_MOST {
                return Err(Error::new(
                    ErrorKind::Limit,
                    "a file that is changed would be in too many pieces",
                ));
            }
        }
        self.set_content_map(inode, map)?;
        inode.set_size(inode.size().max(end));
        Ok(())
    }

    /// Writes what can be written in one piece from byte `from` on; the byte behind it.
    fn write_piece(
        &mut self,
        inode: &mut Inode,
        map: &mut Vec<Extent>,
        (offset, end): (u64, u64),
        from: u64,
        content: &dyn Blob,
    ) -> Result<u64> {
        let unit = u64::from(self.disk.superblock.block_size);
        let (block, within) = (from / unit, from % unit);
        let most = end.div_ceil(unit) - block;
        let next = at(map, block).copied();
        let here = next.filter(|extent| extent.start <= block && !extent.unwritten);
        let (owned, count) = match (here, next) {
            (Some(extent), _) => {
                let count = most.min(extent.end() - block);
                let (shared, count) = self.is_shared(extent.block + (block - extent.start), count)?;
                (!shared, count)
            }
            (None, Some(next)) if next.start <= block => (false, most.min(next.end() - block)),
            (None, next) => (false, next.map_or(most, |next| most.min(next.start - block))),
        };
        if let Some(extent) = here.filter(|_| owned) {
            let take = (count * unit - within).min(end - from).min(u64::from(READ_MOST));
            let place = self.piece_place(inode, &extent, block, (within + take).div_ceil(unit))?;
            let bytes = content.read(from - offset, take as u32)?;
            self.disk.device.put_content(place + within, &bytes)?;
            return Ok(from + take);
        }
        let new = self.new_extent(inode, Which::Data, map, block, count)?;
        let behind = (new.end() * unit).min(end);
        self.fill(inode, map, &new, (offset, end), content)?;
        for old in replace(map, new.start, new.count, Some(new)) {
            self.drop_extent(inode, Which::Data, &old)?;
        }
        Ok(behind)
    }

    /// Writes new blocks: what the file has there, with `content` from byte `offset` to `end` over it.
    fn fill(
        &mut self,
        inode: &Inode,
        map: &[Extent],
        new: &Extent,
        (offset, end): (u64, u64),
        content: &dyn Blob,
    ) -> Result<()> {
        let unit = u64::from(self.disk.superblock.block_size);
        let (mut from, to) = (new.start * unit, new.end() * unit);
        while from < to {
            let piece = (to - from).min(u64::from(READ_MOST) / unit * unit);
            let (first, last) = (from.max(offset), (from + piece).min(end));
            let mut bytes = self.read_mapped(inode, map, from, first.min(from + piece))?;
            bytes.extend(content.read(first - offset, last.saturating_sub(first) as u32)?);
            if last < from + piece {
                let old = last.max(inode.size().min(from + piece));
                bytes.extend(self.read_mapped(inode, map, last, old)?);
            }
            bytes.resize(piece as usize, 0);
            let place = self.piece_place(inode, new, from / unit, piece / unit)?;
            self.disk.device.put_content(place, &bytes)?;
            from += piece;
        }
        Ok(())
    }

    /// Whether a file has blocks of its own for all of these bytes.
    pub fn is_in_place(&mut self, inode: &Inode, offset: u64, length: u64) -> Result<bool> {
        let unit = u64::from(self.disk.superblock.block_size);
        let end = offset.saturating_add(length);
        let map = self.extents(inode, Which::Data)?;
        let mut block = offset / unit;
        while block < end.div_ceil(unit) && offset < end {
            let here = at(&map, block).filter(|extent| extent.start <= block && !extent.unwritten);
            let Some(extent) = here else { return Ok(false) };
            let (shared, count) =
                self.is_shared(extent.block + (block - extent.start), extent.end() - block)?;
            if shared {
                return Ok(false);
            }
            block += count;
        }
        Ok(end <= inode.size())
    }

    /// What a symbolic link with this target holds: the target itself if there is room, else new blocks with it.
    pub fn hold_target(&mut self, inode: &mut Inode, target: &[u8], most: usize) -> Result<Held> {
        if target.len() <= most {
            return Ok(Held::Local(target.to_vec()));
        }
        let unit = self.disk.superblock.block_size as usize;
        let header = if self.disk.superblock.version == 5 { LINK_HEADER } else { 0 };
        let (mut map, mut done) = (Vec::new(), 0);
        while done < target.len() {
            let block = map.last().map_or(0, Extent::end);
            let count = (target.len() - done).div_ceil(unit - header) as u64;
            let extent = self.new_extent(inode, Which::Data, &map, block, count)?;
            let length = extent.count as usize * unit;
            let part = field(target, done, (length - header).min(target.len() - done));
            let place = self.piece_place(inode, &extent, block, extent.count)?;
            let mut bytes = vec![0; length];
            put(&mut bytes, header, part);
            if header > 0 {
                put_be32(&mut bytes, 0, LINK_MAGIC);
                put_be32(&mut bytes, 4, done as u32);
                put_be32(&mut bytes, 8, part.len() as u32);
                seal(&mut self.disk, &mut bytes, &LINK_OWN, place, &inode.number.to_be_bytes())?;
            }
            self.disk.device.put(place, &bytes)?;
            done += part.len();
            // Not joined: each piece has a header of its own.
            map.push(extent);
        }
        Ok(Held::Mapped(map))
    }

    /// A symbolic link's target.
    pub fn target(&mut self, inode: &Inode) -> Result<Vec<u8>> {
        let refuse = || damaged(inode.place, &format!("symbolic link {} is damaged", inode.number));
        let fork = inode.fork(Which::Data);
        if inode.size() == 0 || inode.size() > TARGET_MOST {
            return Err(refuse());
        }
        let size = inode.size() as usize;
        if fork.format == Format::Local {
            let target = field(fork.bytes, 0, size);
            return if target.len() == size { Ok(target.to_vec()) } else { Err(refuse()) };
        }
        let extents = self.extents(inode, Which::Data)?;
        let mut target = Vec::new();
        for extent in extents.iter() {
            // A link that lies has more of them, each of which would be read.
            if target.len() == size {
                break;
            }
            let count = extent.count.min(TARGET_MOST);
            let (bytes, place) = self.fork_blocks(&extents, extent.start, count)?;
            let mut from = 0;
            if self.disk.superblock.version == 5 {
                check(
                    &self.disk.superblock,
                    &bytes,
                    &LINK_OWN,
                    place,
                    inode.number,
                    "a symbolic link's block",
                )?;
                if be32_at(&bytes, 0) != LINK_MAGIC || be32_at(&bytes, 4) as usize != target.len() {
                    return Err(refuse());
                }
                from = LINK_HEADER;
            }
            let take = bytes.len().saturating_sub(from).min(size - target.len());
            target.extend_from_slice(field(&bytes, from, take));
        }
        if target.len() == size { Ok(target) } else { Err(refuse()) }
    }
}
