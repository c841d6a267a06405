//! Hosted sparse extents, magic `KDMV` (the specification, "Hosted Sparse Extents", "Stream-Optimized Compressed").

use crate::bytes::SECTOR;
use crate::descriptor::Descriptor;
use crate::sparse::{Entries, Sparse, refuse};
use wherry_sdk::bytes::{little, until_nul};
use wherry_sdk::{Blob, Concern, Error, READ_MOST, Result, Severity, concern};

const MAGIC: &[u8] = b"KDMV";
/// Where the grain directory is "at the end": the footer knows.
pub(crate) const AT_END: u64 = u64::MAX;
/// Grain table entries of a table: always this many in the specification, at most this many in QEMU.
pub(crate) const TABLE_ENTRIES: u64 = 512;
/// The four bytes that a transfer as text would change.
const NEWLINES: &[u8] = b"\n \r\n";
const NEWLINES_AT: usize = 73;
/// Versions: 2 brought zeroed grains, 3 compressed ones (and, in descriptors only, changed block tracking).
const VERSION_MOST: u64 = 3;

/// Bits of `flags`.
pub(crate) mod flag {
    pub(crate) const NEWLINES: u64 = 1;
    pub(crate) const REDUNDANT: u64 = 1 << 1;
    pub(crate) const ZERO_GRAINS: u64 = 1 << 2;
    pub(crate) const COMPRESSED: u64 = 1 << 16;
    pub(crate) const MARKERS: u64 = 1 << 17;
    pub(crate) const KNOWN: u64 = NEWLINES | REDUNDANT | ZERO_GRAINS | COMPRESSED | MARKERS;
}

/// `SparseExtentHeader`, and in a stream its copy, the footer. Offsets and sizes in sectors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) version: u64,
    pub(crate) flags: u64,
    pub(crate) capacity: u64,
    pub(crate) grain: u64,
    pub(crate) descriptor: u64,
    pub(crate) descriptor_size: u64,
    pub(crate) table_entries: u64,
    pub(crate) redundant_directory: u64,
    pub(crate) directory: u64,
    pub(crate) overhead: u64,
    pub(crate) unclean: bool,
    pub(crate) newlines: bool,
    /// 1 is zlib.
    pub(crate) compression: u64,
}

impl Header {
    /// None without the magic number or with less than a sector.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..SECTOR as usize).filter(|bytes| bytes.starts_with(MAGIC))?;
        Some(Self {
            version: little(bytes, 4, 4),
            flags: little(bytes, 8, 4),
            capacity: little(bytes, 12, 8),
            grain: little(bytes, 20, 8),
            descriptor: little(bytes, 28, 8),
            descriptor_size: little(bytes, 36, 8),
            table_entries: little(bytes, 44, 4),
            redundant_directory: little(bytes, 48, 8),
            directory: little(bytes, 56, 8),
            overhead: little(bytes, 64, 8),
            unclean: little(bytes, 72, 1) != 0,
            newlines: bytes.get(NEWLINES_AT..NEWLINES_AT + 4) == Some(NEWLINES),
            compression: little(bytes, 77, 2),
        })
    }

    /// One sector.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        let mut put = |number: u64, length: usize| bytes.extend(&number.to_le_bytes()[..length]);
        put(self.version, 4);
        put(self.flags, 4);
        put(self.capacity, 8);
        put(self.grain, 8);
        put(self.descriptor, 8);
        put(self.descriptor_size, 8);
        put(self.table_entries, 4);
        put(self.redundant_directory, 8);
        put(self.directory, 8);
        put(self.overhead, 8);
        put(self.unclean.into(), 1);
        bytes.extend(NEWLINES);
        bytes.extend(&self.compression.to_le_bytes()[..2]);
        bytes.resize(SECTOR as usize, 0);
        bytes
    }

    /// The embedded descriptor in the first bytes of a file that has one there.
    pub(crate) fn descriptor_in<'a>(&self, head: &'a [u8]) -> Option<&'a [u8]> {
        let start = self.descriptor.checked_mul(SECTOR).filter(|start| *start > 0)?;
        let end = start.checked_add(self.descriptor_size.checked_mul(SECTOR)?)?.min(head.len() as u64);
        head.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?).map(until_nul)
    }
}

/// A hosted extent.
pub(crate) struct Hosted {
    pub(crate) header: Header,
    pub(crate) concerns: Vec<Concern>,
    /// None where a concern is blocking.
    pub(crate) sparse: Option<Sparse>,
}

impl Hosted {
    /// Reads the header, and the footer that it may defer to.
    pub(crate) fn read(file: &dyn Blob, head: &[u8]) -> Result<Self> {
        let missing = || Error::corrupt(0, "a sparse extent that is shorter than its header of 512 bytes");
        let mut header = Header::decode(head).ok_or_else(missing)?;
        let mut concerns = Vec::new();
        if header.directory == AT_END {
            match footer(file)? {
                Some(footer) => {
                    let Header { descriptor, descriptor_size, .. } = header;
                    header = Header { descriptor, descriptor_size, ..footer };
                }
                None => concerns.push(concern(
                    Severity::Blocking,
                    "vmdk.cut-off",
                    "the stream has no footer at its end: it was cut off, and where its grains are is not known",
                    Some("copy or export the file again, and compare the lengths"),
                )),
            }
        }
        header.judge(&mut concerns);
        let blocked = concerns.iter().any(|concern| concern.severity == Severity::Blocking);
        let sparse = if blocked { None } else { Some(header.sparse(file)?) };
        Ok(Self { header, concerns, sparse })
    }
}

/// A footer marker, the footer and the end-of-stream marker are the last three sectors.
fn footer(file: &dyn Blob) -> Result<Option<Header>> {
    let end = file.size() / SECTOR * SECTOR;
    let Some(start) = end.checked_sub(3 * SECTOR).filter(|start| *start > 0) else { return Ok(None) };
    let bytes = file.read(start, 3 * SECTOR as u32)?;
    let marker = |at: usize| (little(&bytes, at + 8, 4), little(&bytes, at + 12, 4));
    let found = bytes.get(SECTOR as usize..).and_then(Header::decode);
    let sound = marker(0) == (0, 3) && little(&bytes, 1024, 8) == 0 && marker(1024) == (0, 0);
    Ok(found.filter(|footer| sound && footer.directory != AT_END))
}

impl Header {
    /// What keeps the extent from being read, or should be known.
    fn judge(&self, concerns: &mut Vec<Concern>) {
        let mut say = |severity, id, message: String, remedy| {
            concerns.push(concern(severity, id, message, Some(remedy)));
        };
        let convert = "convert it with the program that made it";
        if self.version == 0 || self.version > VERSION_MOST {
            let message = format!("sparse extent version {}: only 1 to 3 are known", self.version);
            say(Severity::Blocking, "vmdk.unknown-version", message, convert);
        }
        if self.flags & flag::NEWLINES != 0 && !self.newlines {
            say(
                Severity::Blocking,
                "vmdk.newlines-changed",
                "the header's newline bytes are changed: the file was transferred as text and is damaged"
                    .into(),
                "transfer the original again, as binary",
            );
        }
        if self.compression > 1 || (self.compression == 0 && self.flags & flag::COMPRESSED != 0) {
            let message = format!(
                "grains compressed with method {}: only 1 (deflate, RFC 1950) is known",
                self.compression
            );
            say(Severity::Blocking, "vmdk.unknown-compression", message, convert);
        }
        if self.flags & !flag::KNOWN != 0 {
            let message = format!("flags 0x{:x} have no known meaning", self.flags & !flag::KNOWN);
            say(Severity::Warning, "vmdk.unknown-flags", message, "compare the copy with the original");
        }
        if self.unclean {
            say(
                Severity::Warning,
                "vmdk.unclean",
                "the disk was not closed: the machine may be running, or have crashed".into(),
                "make sure that no machine uses it; `vmware-vdiskmanager -R` repairs one",
            );
        }
    }

    fn sparse(&self, file: &dyn Blob) -> Result<Sparse> {
        if self.table_entries == 0 || self.table_entries > TABLE_ENTRIES {
            let message = format!("grain tables of {} entries: 1 to 512 are possible", self.table_entries);
            return Err(Error::corrupt(44, message));
        }
        let redundant = (self.flags & flag::REDUNDANT != 0).then_some(self.redundant_directory);
        let compressed = self.compression == 1;
        let entries = Entries::Hosted {
            zero: self.flags & flag::ZERO_GRAINS != 0,
            compressed,
            markers: compressed && self.flags & flag::MARKERS != 0,
        };
        let mut sparse = Sparse::new(self.capacity, self.grain, self.table_entries, entries)?;
        sparse.add_directory(file, self.directory);
        if let Some(redundant) = redundant.filter(|redundant| *redundant != 0) {
            sparse.add_redundant(file, redundant);
        }
        if sparse.has_no_directory() && sparse.directory_entries() > 0 {
            let message = format!("the grain directory at sector {} is not in the file", self.directory);
            return refuse(56, message);
        }
        Ok(sparse)
    }
}

/// The embedded descriptor, if there is one.
pub(crate) fn embedded(file: &dyn Blob, header: &Header) -> Result<Option<Descriptor>> {
    if header.descriptor == 0 || header.descriptor_size == 0 {
        return Ok(None);
    }
    let start = header.descriptor.saturating_mul(SECTOR);
    let length = header.descriptor_size.saturating_mul(SECTOR).min(file.size().saturating_sub(start));
    if length == 0 || length > READ_MOST.into() {
        let message =
            format!("a descriptor of {length} bytes at {start}: up to 1 MiB in the file is possible");
        return refuse(28, message);
    }
    Descriptor::parse(&file.read(start, length as u32)?).map(Some)
}
