//! The header (VDICore.h, `VDIPREHEADER` and `VDIHEADER1PLUS`); all numbers are little-endian.

use wherry_sdk::bytes::{field, little, put, text};
use wherry_sdk::image::Uuid;
use wherry_sdk::{Blob, Error, Result};

const SIGNATURE: u64 = 0xbeda_107f;
const VERSION: u64 = 0x1_0001;
/// Bytes of the header in the file: what is written here, and what is read at most.
pub(crate) const LENGTH: u64 = 512;
/// From `header size` on, up to and including the parent's UUID.
const SIZE_LEAST: u64 = 0x180;
const SIZE_WRITTEN: u32 = 0x190;
/// QEMU: `VDI_BLOCKS_IN_IMAGE_MAX`, a map of 2 GiB.
pub(crate) const BLOCKS_MOST: u64 = 0x7fff_ffff / 4;
pub(crate) const SECTOR: u64 = 512;
/// "This block is not allocated": zero, or the parent's.
pub(crate) const FREE: u32 = 0xffff_ffff;
/// "This block is zero" (VirtualBox: discarded).
pub(crate) const ZERO: u32 = 0xffff_fffe;

/// How an image came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Dynamic,
    Fixed,
    Undo,
    Differencing,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Dynamic => "dynamic",
            Self::Fixed => "fixed",
            Self::Undo => "undo",
            Self::Differencing => "differencing",
        }
    }
}

/// What the header says.
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) description: String,
    /// Offset of the block map.
    pub(crate) map: u64,
    /// Offset of the first stored block.
    pub(crate) data: u64,
    /// Bytes that the guest sees, in whole sectors.
    pub(crate) size: u64,
    pub(crate) block: u32,
    /// Bytes in front of each stored block.
    pub(crate) extra: u32,
    pub(crate) blocks: u64,
    pub(crate) allocated: u32,
    pub(crate) uuid: Uuid,
    /// The parent's UUID; nil without one.
    pub(crate) parent: Uuid,
}

/// `vdi 1.1` if `head` starts such an image.
pub(crate) fn variant(head: &[u8]) -> Option<String> {
    (little(head, 0x40, 4) == SIGNATURE && little(head, 0x44, 4) == VERSION).then(|| "vdi 1.1".into())
}

impl Header {
    /// Reads and checks the header of an image.
    pub(crate) fn read(image: &dyn Blob) -> Result<Self> {
        let head = image.read(0, image.size().min(LENGTH) as u32)?;
        let number = |at, length| little(&head, at, length);
        if number(0x40, 4) != SIGNATURE {
            return Err(Error::corrupt(0x40, "this is no VDI image: the signature 0xbeda107f is missing"));
        }
        if number(0x44, 4) != VERSION {
            let (major, minor) = (number(0x46, 2), number(0x44, 2));
            return Err(Error::unsupported(format!("VDI version {major}.{minor}: only 1.1 is known")));
        }
        if number(0x48, 4) < SIZE_LEAST || (head.len() as u64) < LENGTH {
            return Err(Error::corrupt(
                0x48,
                format!("a VDI header of {} bytes is too short", number(0x48, 4)),
            ));
        }
        let kind = match number(0x4c, 4) {
            1 => Kind::Dynamic,
            2 => Kind::Fixed,
            3 => Kind::Undo,
            4 => Kind::Differencing,
            other => return Err(Error::unsupported(format!("VDI image type {other}: 1 to 4 are known"))),
        };
        let size = number(0x170, 8);
        let header = Self {
            kind,
            description: text(field(&head, 0x54, 256)),
            map: number(0x154, 4),
            data: number(0x158, 4),
            size: size.checked_next_multiple_of(SECTOR).unwrap_or(u64::MAX),
            block: number(0x178, 4) as u32,
            extra: number(0x17c, 4) as u32,
            blocks: number(0x180, 4),
            allocated: number(0x184, 4) as u32,
            uuid: Uuid::from_guid(field(&head, 0x188, 16)),
            parent: Uuid::from_guid(field(&head, 0x1a8, 16)),
        };
        header.check(number(0x168, 4), image.size())?;
        Ok(header)
    }

    fn check(&self, sector: u64, file: u64) -> Result<()> {
        if sector != SECTOR {
            return Err(Error::unsupported(format!("VDI sectors of {sector} bytes: only 512 are known")));
        }
        if !self.block.is_power_of_two() || u64::from(self.block) < SECTOR {
            let message = format!("VDI blocks of {} bytes: a power of two from 512 on is needed", self.block);
            return Err(Error::corrupt(0x178, message));
        }
        if self.blocks > BLOCKS_MOST || self.blocks * u64::from(self.block) < self.size {
            let message =
                format!("{} blocks of {} bytes do not hold a disk of {}", self.blocks, self.block, self.size);
            return Err(Error::corrupt(0x180, message));
        }
        if !self.map.is_multiple_of(SECTOR) || !self.data.is_multiple_of(SECTOR) || self.map < LENGTH {
            let message =
                format!("block map at {} and data at {}: whole sectors are needed", self.map, self.data);
            return Err(Error::corrupt(0x154, message));
        }
        let end = self.map + self.blocks * 4;
        if end > file || end > self.data {
            let message =
                format!("the block map ends at {end}, beyond the data's start or the file's {file} bytes");
            return Err(Error::corrupt(0x154, message));
        }
        Ok(())
    }

    /// Whether what is free is the parent's.
    pub(crate) fn has_parent(&self) -> bool {
        matches!(self.kind, Kind::Undo | Kind::Differencing) || self.parent != Uuid::NIL
    }

    /// Bytes from one stored block to the next.
    pub(crate) fn stride(&self) -> u64 {
        u64::from(self.block) + u64::from(self.extra)
    }

    /// The 512 bytes of a new image's header. No geometry: VirtualBox then makes its own.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; LENGTH as usize];
        let word = |value: u64| (value as u32).to_le_bytes();
        put(&mut bytes, 0, b"<<< Oracle VM VirtualBox Disk Image >>>\n");
        put(&mut bytes, 0x40, &word(SIGNATURE));
        put(&mut bytes, 0x44, &word(VERSION));
        put(&mut bytes, 0x48, &SIZE_WRITTEN.to_le_bytes());
        put(&mut bytes, 0x4c, &word(if self.kind == Kind::Fixed { 2 } else { 1 }));
        put(&mut bytes, 0x154, &word(self.map));
        put(&mut bytes, 0x158, &word(self.data));
        put(&mut bytes, 0x168, &word(SECTOR));
        put(&mut bytes, 0x170, &self.size.to_le_bytes());
        put(&mut bytes, 0x178, &self.block.to_le_bytes());
        put(&mut bytes, 0x180, &word(self.blocks));
        put(&mut bytes, 0x184, &self.allocated.to_le_bytes());
        put(&mut bytes, 0x188, &self.uuid.guid());
        bytes
    }
}
