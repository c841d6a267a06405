//! Opening `FORMAT:PATH`: read-only, in the format that was said, through the adapter of that format.

use crate::convert::concern_of;
use crate::{Error, Result};
use block::{
    Codec, Disk, ExtentMap, FileDisk, MapExtent, MappedDisk, MemoryDisk, Piece, Place, SECTOR, Sectored,
    Segments,
};
use runtime::{Adapters, FormatReader, contract};
use serde::Serialize;
use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use workload::Concern;

/// What adapters and guests can do with; a disk with others is refused.
const SECTORS: [u32; 2] = [SECTOR, 4096];
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
    /// Bytes of a logical sector, 512 or 4096: a block device's own, else 512, unless the operator said another.
    pub sector_size: u32,
    /// What makes this source this one: path, length and time of change of its files.
    pub identity: String,
    /// What the format's adapter has to say; blocking: it cannot be read faithfully.
    #[serde(skip)]
    pub concerns: Vec<Concern>,
    /// Numbers of the block devices that it is read from.
    #[serde(skip)]
    pub devices: Vec<u64>,
    /// Its bytes.
    #[serde(skip)]
    pub disk: Arc<dyn Disk>,
}

/// A disk's name taken apart: `FORMAT:PATH[,sector=BYTES][,backing=FORMAT:PATH...]`.
struct Named {
    format: String,
    path: PathBuf,
    sector: Option<u32>,
    backing: Option<String>,
}

fn parse(name: &str) -> Result<Named> {
    let (first, backing) = match name.split_once(",backing=") {
        Some((first, rest)) => (first, Some(rest.to_owned())),
        None => (name, None),
    };
    let (first, sector) = match first.rsplit_once(",sector=") {
        Some((first, bytes)) => (first, Some(sector(bytes)?)),
        None => (first, None),
    };
    let Some((format, path)) = first.split_once(':') else {
        return Err(Error::usage(format!(
            "`{first}` has no format; say raw:{first} if the file holds the disk's bytes as they are"
        )));
    };
    if name.matches(",backing=").count() > BACKING_MOST {
        return Err(Error::usage(format!("more than {BACKING_MOST} backing files behind {first}")));
    }
    Ok(Named { format: format.into(), path: path.into(), sector, backing })
}

fn sector(bytes: &str) -> Result<u32> {
    let known = bytes.parse().ok().filter(|bytes| SECTORS.contains(bytes));
    known.ok_or_else(|| {
        Error::usage(format!("sectors of `{bytes}` bytes: a disk has sector=512 or sector=4096"))
    })
}

/// Opens a disk and, where the operator named them, its backing files.
pub fn open(name: &str, adapters: &Adapters) -> Result<Source> {
    let named = parse(name)?;
    let parent = named.backing.as_deref().map(|backing| open_backing(backing, adapters)).transpose()?;
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
    let mut devices = device(&named.path);
    let file: Arc<dyn Disk> = Arc::new(file);
    let mut parts = vec![file.clone()];
    parts.extend(parent.iter().map(|parent| parent.disk.clone()));
    let mut reader = FormatReader::open(adapter, parts.clone())?;
    let facts = reader.facts()?;
    let size = facts.virtual_size;
    let disk = sectored(decoded(reader, &facts, parts)?, &named)?;
    let concerns = facts.concerns.into_iter().map(concern_of).map(|mut concern| {
        concern.message = format!("{name}: {}", concern.message);
        concern
    });
    let mut concerns: Vec<Concern> = concerns.collect();
    let sector_size = disk.sector_size();
    let mut identity = format!("{}:{identity}", named.format);
    if sector_size != SECTOR {
        identity = format!("{identity} sectors of {sector_size}");
    }
    if let Some(parent) = parent {
        concerns.extend(parent.concerns);
        devices.extend(parent.devices);
        identity = format!("{identity}+{}", parent.identity);
    }
    Ok(Source {
        name: name.into(),
        format: facts.variant_name,
        size,
        sector_size,
        identity,
        concerns,
        devices,
        disk,
    })
}

/// Sectors are the disk's, which is the image on top.
fn open_backing(name: &str, adapters: &Adapters) -> Result<Source> {
    if parse(name)?.sector.is_some() {
        let next = "say sector=... right behind the first path, before the first backing=";
        return Err(Error::usage(format!("{name}: a backing file has no sector size of its own; {next}")));
    }
    open(name, adapters)
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

/// Its number, or none for a file.
fn device(path: &Path) -> Vec<u64> {
    let meta = path.metadata().ok().filter(|meta| meta.file_type().is_block_device());
    meta.iter().map(MetadataExt::rdev).collect()
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

/// With whole sectors of the size that the operator said, or that the disk has.
fn sectored(disk: Arc<dyn Disk>, named: &Named) -> Result<Arc<dyn Disk>> {
    let own = disk.sector_size();
    let size = named.sector.unwrap_or(own);
    if !SECTORS.contains(&size) {
        let what = format!("{} has sectors of {size} bytes, which no adapter reads", named.path.display());
        let next = "if its content counts sectors of 512 bytes, say so behind its path: ,sector=512";
        return Err(Error::failed(format!("{what}; {next}")));
    }
    let disk = padded(disk, size.into());
    Ok(if disk.sector_size() == size { disk } else { Arc::new(Sectored::new(disk, size)) })
}

fn padded(disk: Arc<dyn Disk>, sector: u64) -> Arc<dyn Disk> {
    let length = disk.length();
    let rest = length.next_multiple_of(sector) - length;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_format_path_sectors_and_backing() {
        let parts = |name| {
            let Named { format, path, sector, backing } = parse(name).unwrap();
            (format, path.display().to_string(), sector, backing)
        };
        let plain = |text: &str| text.to_owned();
        assert_eq!(parts("raw:/dev/sdb"), (plain("raw"), plain("/dev/sdb"), None, None));
        assert_eq!(parts("raw:a,b=c,sector=4096"), (plain("raw"), plain("a,b=c"), Some(4096), None));
        let backing = Some(plain("raw:base,sector=512"));
        assert_eq!(
            parts("qcow2:top,sector=512,backing=raw:base,sector=512"),
            (plain("qcow2"), plain("top"), Some(512), backing)
        );
        for wrong in ["raw:a,sector=", "raw:a,sector=513", "raw:a,sector=4k", "a,sector=512"] {
            assert_eq!(parse(wrong).map(|_| ()).unwrap_err().kind, crate::ErrorKind::Usage, "{wrong}");
        }
    }

    #[test]
    fn a_disk_has_whole_sectors_of_the_size_that_was_said() {
        let odd: Arc<dyn Disk> = Arc::new(MemoryDisk::new(vec![1; 5000]));
        for (name, length, size) in
            [("raw:a", 5120, 512), ("raw:a,sector=4096", 8192, 4096), ("raw:a,sector=512", 5120, 512)]
        {
            let disk = sectored(odd.clone(), &parse(name).unwrap()).unwrap();
            assert_eq!((disk.length(), disk.sector_size()), (length, size), "{name}");
        }
        let tape: Arc<dyn Disk> = Arc::new(Sectored::new(odd, 2048));
        let refused = sectored(tape.clone(), &parse("raw:a").unwrap()).map(|_| ()).unwrap_err();
        assert!(refused.message.contains("2048") && refused.message.contains(",sector=512"), "{refused}");
        assert!(sectored(tape, &parse("raw:a,sector=512").unwrap()).is_ok());
    }
}
