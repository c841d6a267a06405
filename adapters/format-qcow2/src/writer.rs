//! Placement: a new version 3 image, written front to back.
//!
//! ```text
//! | header | data clusters in the order of `place` | L2 tables | L1 table | refcount blocks | refcount table |
//! ```
//!
//! Nothing is reserved in front, so that a file is as long as it has to be and its data is written sequentially;
//! the header, which says where the tables are, is the last thing that is written.

use crate::header::{Extensions, Header, L1_BYTES_MOST, REFCOUNT_TABLE_BYTES_MOST, Table, incompatible};
use crate::l2::compressed_bits;
use crate::map::{Map, Spot};
use crate::placement::{Placement, REFCOUNT_ORDER};
use crate::tail::Tail;
use wherry_sdk::format::{Codec, Ending, Patch, Shape, Unit};
use wherry_sdk::{Error, ErrorKind, Fact, FormatWriter, Result};

const CLUSTER_BITS: u32 = 16;
const SECTOR: u64 = 512;

/// A qcow2 image in the making.
pub struct Writer {
    /// Whole sectors: QEMU knows no other sizes.
    size: u64,
    options: Options,
    map: Map,
    placement: Placement,
}

/// What the operator chose.
#[derive(Clone, Copy)]
struct Options {
    cluster_bits: u32,
    codec: Codec,
    level: u8,
}

impl FormatWriter for Writer {
    fn create(virtual_size: u64, options: &[Fact]) -> Result<Self> {
        let options = Options::read(options)?;
        let bits = options.cluster_bits;
        let size = virtual_size.checked_next_multiple_of(SECTOR).unwrap_or(u64::MAX);
        let most = (L1_BYTES_MOST / 8) << (bits - 3 + bits);
        if size > most {
            let message = format!(
                "{virtual_size} bytes are more than the {most} that clusters of {} can map: choose a larger `cluster-size`",
                1u64 << bits
            );
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let compressed = options.codec != Codec::None;
        let counted = (REFCOUNT_TABLE_BYTES_MOST / 8) << (bits + 3 - REFCOUNT_ORDER + bits);
        let addressed = 1u64 << if compressed { compressed_bits(bits).0.min(56) } else { 56 };
        Ok(Self {
            size,
            options,
            map: Map::new(bits, options.align()),
            placement: Placement::new(bits, counted.min(addressed), compressed),
        })
    }

    fn shape(&self) -> Shape {
        let Options { codec, level, .. } = self.options;
        let align = self.options.align() as u32;
        Shape { unit: self.options.unit() as u32, codec, level, align, plain_if_larger: true, lead: 0 }
    }

    fn place(&mut self, units: &[Unit]) -> Result<Vec<u64>> {
        units.iter().map(|unit| self.place_one(unit)).collect()
    }

    fn finish(&mut self, page: u32) -> Result<Ending> {
        let bits = self.options.cluster_bits;
        let l1_entries = self.size.div_ceil(1 << (bits - 3 + bits));
        let tail = Tail::new(bits, l1_entries, &self.map, &self.placement)?;
        let more = u64::from(page) < tail.pages();
        let (offset, bytes) = if more {
            tail.page(page.into(), &self.map, &self.placement)
        } else {
            (0, self.header(&tail).encode())
        };
        Ok(Ending { patches: vec![Patch { offset, bytes }], length: tail.length(), more })
    }
}

impl Writer {
    fn place_one(&mut self, unit: &Unit) -> Result<u64> {
        let refuse =
            |what: String| Err(Error::new(ErrorKind::InvalidInput, format!("unit {}: {what}", unit.index)));
        let size = self.options.unit();
        if unit.index >= self.size.div_ceil(size) {
            return refuse(format!("beyond the disk's {} bytes", self.size));
        }
        let packed = unit.codec != Codec::None;
        if packed && unit.codec != self.options.codec {
            return refuse(format!("{:?} is not this image's codec, {:?}", unit.codec, self.options.codec));
        }
        let stored = u64::from(unit.stored);
        if stored == 0 || stored > size {
            return refuse(format!("{stored} bytes to store: 1 to {size} are possible"));
        }
        let spot = if packed {
            let length = stored.next_multiple_of(self.options.align());
            Spot { host: self.placement.packed(length)?, length, packed }
        } else {
            Spot { host: self.placement.plain()?, length: size, packed }
        };
        self.map.add(unit.index, spot)?;
        Ok(spot.host)
    }

    fn header(&self, tail: &Tail) -> Header {
        let zstd = self.options.codec == Codec::Zstd;
        Header {
            version: 3,
            cluster_bits: self.options.cluster_bits,
            size: self.size,
            encryption: 0,
            l1: tail.l1(),
            refcounts: tail.refcount_table(),
            refcount_order: REFCOUNT_ORDER,
            snapshots: Table { offset: 0, entries: 0 },
            incompatible: if zstd { incompatible::COMPRESSION } else { 0 },
            compatible: 0,
            autoclear: 0,
            compression_type: zstd.into(),
            backing_file: None,
            extensions: Extensions::default(),
        }
    }
}

impl Options {
    /// `cluster-size`: a power of two from 512 to 2097152 or `2M`; `compression`: `none`, `zlib`, `zstd`;
    /// `compression-level`: 1 to 9 or 22.
    fn read(facts: &[Fact]) -> Result<Self> {
        let mut options = Self { cluster_bits: CLUSTER_BITS, codec: Codec::None, level: 0 };
        let mut level = None;
        for fact in facts {
            match fact.key.as_str() {
                "cluster-size" => options.cluster_bits = cluster_bits(&fact.value)?,
                "compression" => options.codec = codec(&fact.value)?,
                "compression-level" => level = Some(&fact.value),
                other => return Err(invalid(format!("qcow2 has no option `{other}`"))),
            }
        }
        options.level = level_of(options.codec, level)?;
        Ok(options)
    }

    /// Bytes of a unit: a cluster.
    fn unit(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// What compressed lengths are padded to: nothing up to clusters of 64 KiB, so that a length less one fits
    /// 16 bits; at most 32 bytes.
    fn align(&self) -> u64 {
        1 << self.cluster_bits.saturating_sub(16)
    }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}

fn cluster_bits(value: &str) -> Result<u32> {
    let (digits, shift) = match value.as_bytes().last() {
        Some(b'k' | b'K') => (&value[..value.len() - 1], 10),
        Some(b'M') => (&value[..value.len() - 1], 20),
        _ => (value, 0),
    };
    let size = digits.parse::<u64>().ok().and_then(|size| size.checked_mul(1 << shift));
    match size.filter(|size| size.is_power_of_two()).map(u64::ilog2) {
        Some(bits @ 9..=21) => Ok(bits),
        _ => Err(invalid(format!("cluster-size `{value}`: a power of two from 512 to 2M is needed"))),
    }
}

fn codec(value: &str) -> Result<Codec> {
    match value {
        "none" => Ok(Codec::None),
        "zlib" => Ok(Codec::Deflate),
        "zstd" => Ok(Codec::Zstd),
        other => Err(invalid(format!("compression `{other}`: `none`, `zlib` and `zstd` are known"))),
    }
}

fn level_of(codec: Codec, value: Option<&String>) -> Result<u8> {
    let (default, most) = match codec {
        Codec::Deflate => (6, 9),
        Codec::Zstd => (3, 22),
        _ => (0, 0),
    };
    let Some(value) = value else { return Ok(default) };
    match value.parse::<u8>() {
        Ok(level) if (1..=most).contains(&level) => Ok(level),
        _ if most == 0 => Err(invalid("compression-level needs `compression`".into())),
        _ => Err(invalid(format!("compression-level `{value}`: 1 to {most} are possible"))),
    }
}
