//! Opening `FORMAT:PATH`: read-only, in the format that was said, through the adapter of that format.

use crate::convert::concern_of;
use crate::{Error, Result};
use block::{Codec, Disk, ExtentMap, FileDisk, MapExtent, MappedDisk, MemoryDisk, Piece, Place, Segments};
use runtime::{Adapters, FormatReader, contract};
use serde::Serialize;
use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use workload::Concern;

/// Sectors of virtual disks are at least this long; a shorter rest is padded with zeroes.
const SECTOR: u64 = 512;
/// A chain of backing files longer than this is a mistake.
const BACKING_MOST: usize = 16;

/// An opened source disk.
#[derive(Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Source {
    /// As the operator named it.
    pub name: String,
    /// The format's own name and version, such as `qcow2 v3`.
    pub format: String,
    /// Bytes that the guest sees.
    pub size: u64,
    /// What makes this source this one: path, length and time of change of its files.
    pub identity: String,
    /// What the format's adapter has to say; blocking: it cannot be read faithfully.
    #[serde(skip)]
    pub concerns: Vec<Concern>,
    /// Its bytes.
    #[serde(skip)]
    pub disk: Arc<dyn Disk>,
}

/// A disk's name taken apart: `FORMAT:PATH[,backing=FORMAT:PATH...]`.
struct Named {
    format: String,
    path: PathBuf,
    backing: Option<String>,
}

fn parse(name: &str) -> Result<Named> {
    let (first, backing) = match name.split_once(",backing=") {
        Some((first, rest)) => (first, Some(rest.to_owned())),
        None => (name, None),
    };
    let Some((format, path)) = first.split_once(':') else {
        return Err(Error::usage(format!(
            "`{first}` has no format; say raw:{first} if the file holds the disk's bytes as they are"
        )));
    };
    if name.matches(",backing=").count() > BACKING_MOST {
        return Err(Error::usage(format!("more than {BACKING_MOST} backing files behind {first}")));
    }
    Ok(Named { format: format.into(), path: path.into(), backing })
}

/// Opens a disk and, where the operator named them, its backing files.
pub fn open(name: &str, adapters: &Adapters) -> Result<Source> {
    let named = parse(name)?;
    let parent = named.backing.as_deref().map(|backing| open(backing, adapters)).transpose()?;
    let adapter = adapters.get(&format!("format-{}", named.format)).map_err(|_| {
        let known = adapters.of(runtime::Kind::DiskFormat).map(|adapter| adapter.manifest.id.as_str());
        let known: Vec<&str> = known.filter_map(|id| id.strip_prefix("format-")).collect();
        Error::usage(format!(
            "no adapter reads the format `{}`; known are: {}",
            named.format,
            known.join(", ")
        ))
    })?;
    let file = FileDisk::open_read(&named.path)?;
    let identity = identity(&named.path)?;
    let file: Arc<dyn Disk> = Arc::new(file);
    let mut parts = vec![file.clone()];
    parts.extend(parent.iter().map(|parent| parent.disk.clone()));
    let mut reader = FormatReader::open(adapter, parts.clone())?;
    let facts = reader.facts()?;
    let size = facts.virtual_size;
    let disk = padded(decoded(reader, &facts, parts)?);
    let concerns = facts.concerns.into_iter().map(concern_of).map(|mut concern| {
        concern.message = format!("{name}: {}", concern.message);
        concern
    });
    let mut concerns: Vec<Concern> = concerns.collect();
    let mut identity = format!("{}:{identity}", named.format);
    if let Some(parent) = parent {
        concerns.extend(parent.concerns);
        identity = format!("{identity}+{}", parent.identity);
    }
    Ok(Source { name: name.into(), format: facts.variant_name, size, identity, concerns, disk })
}

/// A device's content may change without a trace, so its identity is its number.
fn identity(path: &Path) -> Result<String> {
    let io = |e| Error::failed(format!("{}: {e}", path.display()));
    let canonical = path.canonicalize().map_err(io)?;
    let meta: Metadata = canonical.metadata().map_err(io)?;
    let path = canonical.display();
    Ok(match meta.file_type().is_block_device() {
        true => format!("{path} device {}", meta.rdev()),
        false => format!("{path} {} {}.{:09} {}", meta.len(), meta.mtime(), meta.mtime_nsec(), meta.ino()),
    })
}

/// The guest's disk. Where the map says that byte N is the file's byte N, that is the file itself.
fn decoded(
    mut reader: FormatReader,
    facts: &contract::ImageFacts,
    parts: Vec<Arc<dyn Disk>>,
) -> Result<Arc<dyn Disk>> {
    let size = facts.virtual_size;
    if size == 0 {
        return Ok(Arc::new(MemoryDisk::new(Vec::new())));
    }
    let whole = |extent: &contract::Extent| {
        extent.logical == 0 && extent.length == size && matches!(extent.at, contract::Place::Stored(0))
    };
    if parts[0].length() == size && reader.extents(0, 1)?.first().is_some_and(whole) {
        return Ok(parts[0].clone());
    }
    let map = FormatMap { reader: Mutex::new(reader), size };
    Ok(Arc::new(MappedDisk::new(Box::new(map), parts, facts.unit)?))
}

fn padded(disk: Arc<dyn Disk>) -> Arc<dyn Disk> {
    let length = disk.length();
    let rest = length.next_multiple_of(SECTOR) - length;
    if rest == 0 {
        return disk;
    }
    let zeroes: Arc<dyn Disk> = Arc::new(MemoryDisk::new(vec![0; rest as usize]));
    Arc::new(Segments::new(vec![
        Piece { logical: 0, length, disk, offset: 0 },
        Piece { logical: length, length: rest, disk: zeroes, offset: 0 },
    ]))
}

/// A format adapter's decode map.
struct FormatMap {
    reader: Mutex<FormatReader>,
    size: u64,
}

impl ExtentMap for FormatMap {
    fn length(&self) -> u64 {
        self.size
    }
    fn extents(&self, start: u64, most: u32) -> block::Result<Vec<MapExtent>> {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let list =
            reader.extents(start, most).map_err(|e| block::Error { context: e.to_string(), source: None })?;
        list.iter().map(extent).collect()
    }
}

fn extent(extent: &contract::Extent) -> block::Result<MapExtent> {
    let at = match extent.at {
        contract::Place::Zero => Place::Zero,
        contract::Place::Stored(offset) => Place::Stored { part: 0, offset },
        contract::Place::StoredIn((part, offset)) => Place::Stored { part, offset },
        contract::Place::Compressed((codec, offset, length)) => {
            Place::Compressed { codec: decoder(codec)?, offset, length }
        }
    };
    Ok(MapExtent { logical: extent.logical, length: extent.length, at })
}

fn decoder(codec: contract::Codec) -> block::Result<Codec> {
    match codec {
        contract::Codec::None => Ok(Codec::None),
        contract::Codec::Deflate => Ok(Codec::Deflate),
        contract::Codec::Zlib => Ok(Codec::Zlib),
        contract::Codec::Zstd => Ok(Codec::Zstd),
        other => {
            Err(block::Error { context: format!("this host does not unpack {other:?} yet"), source: None })
        }
    }
}
