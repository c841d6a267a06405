//! The footer ("Hard Disk Footer Format"); all numbers are big-endian.

use wherry_sdk::bytes::{big, field, put};
use wherry_sdk::image::Uuid;

/// Bytes of a footer.
pub(crate) const LENGTH: u64 = 512;
pub(crate) const SECTOR: u64 = 512;
const COOKIE: &[u8] = b"conectix";
const CHECKSUM_AT: usize = 64;
/// Cylinders, heads and sectors that mean "more than geometry can say" (QEMU: `VHD_MAX_GEOMETRY`).
const GEOMETRY_MOST: Geometry = Geometry { cylinders: 65_535, heads: 16, sectors: 255 };

/// Disk types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Fixed,
    Dynamic,
    Differencing,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        self.variant().trim_start_matches("vhd ")
    }

    pub(crate) fn variant(self) -> &'static str {
        match self {
            Self::Fixed => "vhd fixed",
            Self::Dynamic => "vhd dynamic",
            Self::Differencing => "vhd differencing",
        }
    }
}

/// Disk geometry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    cylinders: u16,
    heads: u8,
    sectors: u8,
}

impl Geometry {
    /// "Appendix: CHS Calculation" for a disk of `total` sectors.
    pub(crate) fn of(total: u64) -> Self {
        let total = total.min(GEOMETRY_MOST.total());
        let (mut sectors, mut heads) = (255, 16);
        if total < 65_535 * 16 * 63 {
            let mut tracks = total / 17;
            (sectors, heads) = (17, tracks.div_ceil(1024).max(4));
            for more in [31, 63] {
                if tracks >= heads * 1024 || heads > 16 {
                    (sectors, heads) = (more, 16);
                    tracks = total / more;
                }
            }
        }
        let cylinders = total / sectors / heads;
        Self { cylinders: cylinders as u16, heads: heads as u8, sectors: sectors as u8 }
    }

    fn total(self) -> u64 {
        u64::from(self.cylinders) * u64::from(self.heads) * u64::from(self.sectors)
    }
}

impl core::fmt::Display for Geometry {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}/{}/{}", self.cylinders, self.heads, self.sectors)
    }
}

/// What a footer says.
#[derive(Clone, Debug)]
pub(crate) struct Footer {
    pub(crate) kind: Kind,
    /// Offset of the dynamic header.
    pub(crate) header: u64,
    /// Seconds since 2000-01-01 UTC.
    pub(crate) time: u32,
    pub(crate) creator: [u8; 4],
    /// Bytes, "current size".
    pub(crate) size: u64,
    pub(crate) geometry: Geometry,
    pub(crate) uuid: Uuid,
    pub(crate) saved_state: bool,
}

impl Footer {
    /// None: no footer, or one with a wrong checksum, or of another type.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let sound = bytes.len() as u64 == LENGTH
            && bytes.starts_with(COOKIE)
            && big(bytes, CHECKSUM_AT, 4) == u64::from(checksum(bytes, CHECKSUM_AT));
        let kind = match big(bytes, 60, 4) {
            2 => Kind::Fixed,
            3 => Kind::Dynamic,
            4 => Kind::Differencing,
            _ => return None,
        };
        let (mut creator, mut uuid) = ([0; 4], [0; 16]);
        put(&mut creator, 0, field(bytes, 28, 4));
        put(&mut uuid, 0, field(bytes, 68, 16));
        sound.then(|| Self {
            kind,
            header: big(bytes, 16, 8),
            time: big(bytes, 24, 4) as u32,
            creator,
            size: big(bytes, 48, 8),
            geometry: Geometry {
                cylinders: big(bytes, 56, 2) as u16,
                heads: big(bytes, 58, 1) as u8,
                sectors: big(bytes, 59, 1) as u8,
            },
            uuid: Uuid(uuid),
            saved_state: big(bytes, 84, 1) != 0,
        })
    }

    /// Bytes that the guest sees. Virtual PC and old QEMU show the geometry, everybody else the size (QEMU's block/vpc.c,
    /// "Known creator apps", whose default for creators it does not know is the geometry too: it would cut disks).
    pub(crate) fn visible(&self) -> u64 {
        let by_geometry =
            matches!(&self.creator, b"vpc " | b"qemu") && self.geometry.total() < GEOMETRY_MOST.total();
        if by_geometry { self.geometry.total() * SECTOR } else { self.size / SECTOR * SECTOR }
    }

    /// The creator as text.
    pub(crate) fn creator(&self) -> String {
        String::from_utf8_lossy(&self.creator).trim_matches(['\0', ' ']).to_owned()
    }

    /// The 512 bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; LENGTH as usize];
        let kind: u32 = match self.kind {
            Kind::Fixed => 2,
            Kind::Dynamic => 3,
            Kind::Differencing => 4,
        };
        put(&mut bytes, 0, COOKIE);
        put(&mut bytes, 8, &2u32.to_be_bytes());
        put(&mut bytes, 12, &0x1_0000u32.to_be_bytes());
        put(&mut bytes, 16, &self.header.to_be_bytes());
        put(&mut bytes, 24, &self.time.to_be_bytes());
        put(&mut bytes, 28, &self.creator);
        put(&mut bytes, 32, &0x6_0001u32.to_be_bytes());
        put(&mut bytes, 36, b"Wi2k");
        put(&mut bytes, 40, &self.size.to_be_bytes());
        put(&mut bytes, 48, &self.size.to_be_bytes());
        put(&mut bytes, 56, &self.geometry.cylinders.to_be_bytes());
        put(&mut bytes, 58, &[self.geometry.heads, self.geometry.sectors]);
        put(&mut bytes, 60, &kind.to_be_bytes());
        put(&mut bytes, 68, &self.uuid.0);
        let sum = checksum(&bytes, CHECKSUM_AT);
        put(&mut bytes, CHECKSUM_AT, &sum.to_be_bytes());
        bytes
    }
}

/// The complement of the sum of all bytes but the four of the checksum at `at`.
pub(crate) fn checksum(bytes: &[u8], at: usize) -> u32 {
    let sum = |bytes: &[u8]| bytes.iter().fold(0u32, |sum, byte| sum.wrapping_add(u32::from(*byte)));
    !sum(bytes).wrapping_sub(sum(field(bytes, at, 4)))
}
