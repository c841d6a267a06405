//! The header and its extensions (docs/interop/qcow2, "Header", "Header extensions"). The caps are those of QEMU's
//! block/qcow2.c: an image beyond them is one that QEMU refuses to open.

use crate::bitmaps::Directory;
use wherry_sdk::bytes::{big, text};
use wherry_sdk::format::Codec;
use wherry_sdk::{Blob, Error, Result};

const MAGIC: &[u8] = b"QFI\xfb";
/// Where header, extensions and backing file name are looked for; QEMU's own take less than 4 KiB.
const HEAD: u64 = 64 << 10;
const VERSION_2_LENGTH: u64 = 72;
const VERSION_3_LENGTH: u64 = 104;
const COMPRESSION_TYPE_AT: u64 = 104;
/// QEMU: `QCOW_MAX_L1_SIZE`.
pub(crate) const L1_BYTES_MOST: u64 = 32 << 20;
/// QEMU: `QCOW_MAX_REFTABLE_SIZE`.
pub(crate) const REFCOUNT_TABLE_BYTES_MOST: u64 = 8 << 20;
const BACKING_NAME_MOST: u64 = 1023;

/// Incompatible feature bits.
pub(crate) mod incompatible {
    pub(crate) const DIRTY: u64 = 1;
    pub(crate) const CORRUPT: u64 = 1 << 1;
    pub(crate) const DATA_FILE: u64 = 1 << 2;
    pub(crate) const COMPRESSION: u64 = 1 << 3;
    pub(crate) const EXTENDED_L2: u64 = 1 << 4;
    pub(crate) const KNOWN: u64 = DIRTY | CORRUPT | DATA_FILE | COMPRESSION | EXTENDED_L2;
}
/// Compatible feature bit 0.
pub(crate) const LAZY_REFCOUNTS: u64 = 1;

/// A table of 64-bit entries (snapshots excepted) in the image file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) offset: u64,
    pub(crate) entries: u64,
}

/// What the header says, checked against the format and QEMU's caps but not against the tables.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) version: u64,
    pub(crate) cluster_bits: u32,
    /// Bytes that the guest sees.
    pub(crate) size: u64,
    /// 0 none, 1 AES, 2 LUKS.
    pub(crate) encryption: u64,
    pub(crate) l1: Table,
    pub(crate) refcounts: Table,
    /// Refcounts have `1 << refcount_order` bits.
    pub(crate) refcount_order: u32,
    /// Offset and number of the snapshots.
    pub(crate) snapshots: Table,
    pub(crate) incompatible: u64,
    pub(crate) compatible: u64,
    /// Bits that a program clears which does not know them.
    pub(crate) autoclear: u64,
    /// 0 deflate, 1 zstd.
    pub(crate) compression_type: u64,
    pub(crate) backing_file: Option<String>,
    pub(crate) extensions: Extensions,
}

/// What the header extensions say.
#[derive(Debug, Default)]
pub(crate) struct Extensions {
    pub(crate) backing_format: Option<String>,
    pub(crate) data_file: Option<String>,
    /// Persistent dirty bitmaps.
    pub(crate) bitmaps: Directory,
    /// Bit and name of incompatible features.
    pub(crate) features: Vec<(u8, String)>,
}

/// `qcow2 v2` or `qcow2 v3` if `head` starts such an image.
pub(crate) fn variant(head: &[u8]) -> Option<String> {
    let version = big(head, 4, 4);
    (head.starts_with(MAGIC) && matches!(version, 2 | 3)).then(|| format!("qcow2 v{version}"))
}

impl Header {
    /// Reads and checks the header of an image.
    pub(crate) fn read(image: &dyn Blob) -> Result<Self> {
        let head = image.read(0, image.size().min(HEAD) as u32)?;
        if !head.starts_with(MAGIC) {
            return Err(Error::corrupt(0, "this is no qcow2 image: it does not start with `QFI\\xfb`"));
        }
        let version = big(&head, 4, 4);
        if !matches!(version, 2 | 3) {
            let message = format!("qcow2 version {version}: only versions 2 and 3 are known");
            return Err(Error::unsupported(message));
        }
        let header_length = header_length(&head, version)?;
        let cluster_bits = big(&head, 20, 4);
        if !(9..=21).contains(&cluster_bits) {
            let message = format!("clusters of 2^{cluster_bits} bytes: 2^9 to 2^21 are allowed");
            return Err(Error::corrupt(20, message));
        }
        let cluster_size = 1 << cluster_bits;
        if header_length > cluster_size {
            let message = format!("a header of {header_length} bytes does not fit its cluster");
            return Err(Error::corrupt(100, message));
        }
        let newer = |at, length| if version == 2 { 0 } else { big(&head, at, length) };
        let compression_type =
            if header_length > COMPRESSION_TYPE_AT { big(&head, COMPRESSION_TYPE_AT as usize, 1) } else { 0 };
        let extensions = Extensions::read(&head, header_length, cluster_size)?;
        let header = Self {
            version,
            cluster_bits: cluster_bits as u32,
            size: big(&head, 24, 8),
            encryption: big(&head, 32, 4),
            l1: Table { offset: big(&head, 40, 8), entries: big(&head, 36, 4) },
            refcounts: Table { offset: big(&head, 48, 8), entries: big(&head, 56, 4) << cluster_bits >> 3 },
            refcount_order: if version == 2 { 4 } else { newer(96, 4) as u32 },
            snapshots: Table { offset: big(&head, 64, 8), entries: big(&head, 60, 4) },
            incompatible: newer(72, 8),
            compatible: newer(80, 8),
            autoclear: newer(88, 8),
            compression_type,
            backing_file: backing_file(&head, cluster_size)?,
            extensions,
        };
        header.check()?;
        Ok(header)
    }

    /// Bytes of a cluster.
    pub(crate) fn cluster_size(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// Whether an incompatible feature bit is set.
    pub(crate) fn has(&self, feature: u64) -> bool {
        self.incompatible & feature != 0
    }

    /// Whether the bitmaps are as the last writer left them (autoclear bit 0).
    pub(crate) fn has_bitmaps(&self) -> bool {
        self.autoclear & 1 == 1
    }

    /// Bytes of an L2 entry ("Extended L2 Entries").
    pub(crate) fn l2_entry_size(&self) -> u64 {
        if self.has(incompatible::EXTENDED_L2) { 16 } else { 8 }
    }

    /// Bytes of the disk that one L2 table maps.
    pub(crate) fn l2_coverage(&self) -> u64 {
        self.cluster_size() / self.l2_entry_size() * self.cluster_size()
    }

    /// How compressed clusters are compressed: "zlib" is raw deflate without a zlib header.
    pub(crate) fn codec(&self) -> Codec {
        if self.compression_type == 0 { Codec::Deflate } else { Codec::Zstd }
    }

    fn check(&self) -> Result<()> {
        let refuse = |at, message: String| Err(Error::corrupt(at, message));
        if self.l1.entries * 8 > L1_BYTES_MOST {
            let entries = self.l1.entries;
            return refuse(36, format!("an L1 table of {entries} entries: QEMU allows 32 MiB of them"));
        }
        let needed = self.size.div_ceil(self.l2_coverage());
        if self.l1.entries < needed {
            let (entries, size) = (self.l1.entries, self.size);
            let message =
                format!("an L1 table of {entries} entries is too small for {size} bytes, {needed} needed");
            return refuse(36, message);
        }
        let refcounts = self.refcounts.entries * 8;
        if refcounts > REFCOUNT_TABLE_BYTES_MOST {
            return refuse(56, format!("a refcount table of {refcounts} bytes: QEMU allows 8 MiB"));
        }
        if refcounts == 0 {
            return refuse(56, "no refcount table".into());
        }
        if self.refcount_order > 6 {
            return refuse(96, format!("refcounts of 2^{} bits: at most 2^6", self.refcount_order));
        }
        if self.has(incompatible::EXTENDED_L2) && self.cluster_bits < 14 {
            return refuse(20, "extended L2 entries need clusters of 16 KiB or more".into());
        }
        if self.has(incompatible::COMPRESSION) != (self.compression_type != 0) {
            let message = "the compression type contradicts its incompatible feature bit";
            return refuse(COMPRESSION_TYPE_AT, message.into());
        }
        Ok(())
    }

    /// A version 3 header without extensions: the first bytes of a new image.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let length = if self.compression_type == 0 { VERSION_3_LENGTH } else { COMPRESSION_TYPE_AT + 8 };
        let mut bytes = Vec::new();
        bytes.extend(MAGIC);
        let mut put = |number: u64, length: usize| bytes.extend(&number.to_be_bytes()[8 - length..]);
        put(self.version, 4);
        put(0, 8);
        put(0, 4);
        put(self.cluster_bits.into(), 4);
        put(self.size, 8);
        put(self.encryption, 4);
        put(self.l1.entries, 4);
        put(self.l1.offset, 8);
        put(self.refcounts.offset, 8);
        put(self.refcounts.entries << 3 >> self.cluster_bits, 4);
        put(self.snapshots.entries, 4);
        put(self.snapshots.offset, 8);
        put(self.incompatible, 8);
        put(self.compatible, 8);
        put(self.autoclear, 8);
        put(self.refcount_order.into(), 4);
        put(length, 4);
        put(self.compression_type, 1);
        bytes.resize(512, 0);
        bytes
    }
}

fn header_length(head: &[u8], version: u64) -> Result<u64> {
    let least = if version == 2 { VERSION_2_LENGTH } else { VERSION_3_LENGTH };
    if (head.len() as u64) < least {
        let message = format!("a file of {} bytes is shorter than a header of {least}", head.len());
        return Err(Error::corrupt(0, message));
    }
    let length = if version == 2 { least } else { big(head, 100, 4) };
    if length < least || length > head.len() as u64 {
        let message = format!("a header length of {length} bytes: {least} to {} are possible", head.len());
        return Err(Error::corrupt(100, message));
    }
    Ok(length)
}

/// The backing file's name lies in the first cluster and has at most 1023 bytes.
fn backing_file(head: &[u8], cluster_size: u64) -> Result<Option<String>> {
    let (offset, length) = (big(head, 8, 8), big(head, 16, 4));
    if offset == 0 || length == 0 {
        return Ok(None);
    }
    let end = offset.saturating_add(length);
    if length > BACKING_NAME_MOST || end > cluster_size {
        let message = format!("a backing file name of {length} bytes at {offset} leaves the first cluster");
        return Err(Error::corrupt(8, message));
    }
    match head.get(offset as usize..end as usize) {
        Some(name) => Ok(Some(String::from_utf8_lossy(name).into_owned())),
        None => Err(Error::corrupt(8, format!("a backing file name at {offset}: beyond the first 64 KiB"))),
    }
}

impl Extensions {
    /// They end with type 0, where the backing file's name starts, or with the cluster.
    fn read(head: &[u8], start: u64, cluster_size: u64) -> Result<Self> {
        let end = match big(head, 8, 8) {
            0 => cluster_size,
            name => name,
        };
        let mut found = Self::default();
        let mut at = start as usize;
        let end = end.min(cluster_size).min(head.len() as u64) as usize;
        while at + 8 <= end {
            let (kind, length) = (big(head, at, 4), big(head, at + 4, 4) as usize);
            if kind == 0 {
                break;
            }
            let data = at + 8;
            let Some(bytes) = head.get(..end).and_then(|head| head.get(data..data.saturating_add(length)))
            else {
                let message = format!("header extension 0x{kind:08x} of {length} bytes leaves the header");
                return Err(Error::corrupt(at as u64, message));
            };
            found.take(kind, bytes);
            at = data + length.next_multiple_of(8);
        }
        Ok(found)
    }

    /// Others are safely ignored.
    fn take(&mut self, kind: u64, bytes: &[u8]) {
        match kind {
            0xe279_2aca => self.backing_format = Some(text(bytes)),
            0x4441_5441 => self.data_file = Some(text(bytes)),
            0x2385_2875 => self.bitmaps = Directory::new(bytes),
            0x6803_f857 => {
                let incompatible = bytes.chunks_exact(48).filter(|entry| entry.first() == Some(&0));
                self.features =
                    incompatible.filter_map(|entry| Some((*entry.get(1)?, text(entry.get(2..)?)))).collect();
            }
            _ => {}
        }
    }
}
