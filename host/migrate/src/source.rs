//! Opening `FORMAT:PATH`: read-only, in the format that was said, through the adapter of that format.

use crate::convert::{concern_of, facts_of};
use crate::vault;
use crate::{Error, ErrorKind, Result};
use block::{
    Codec, Disk, ExtentMap, FileDisk, MapExtent, MappedDisk, MemoryDisk, Piece, Place, Ranges, SECTOR,
    Sectored, Segments,
};
use channels::{Address, NbdDisk};
use runtime::{Adapter, Adapters, FormatReader, contract};
use serde::Serialize;
use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use workload::{Concern, Fact, find};

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
    /// What the image says of itself.
    #[serde(skip)]
    pub image: Image,
    /// Numbers of the block devices that it is read from.
    #[serde(skip)]
    pub devices: Vec<u64>,
    /// Servers' exports that it is read from.
    #[serde(skip)]
    pub exports: Vec<Address>,
    /// What changed since a moment that the operator knows, where the source tells: an export with a dirty bitmap.
    #[serde(skip)]
    pub changed: Option<Ranges>,
    /// Its bytes.
    #[serde(skip)]
    pub disk: Arc<dyn Disk>,
}

/// What an image file says of itself.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Image {
    /// Bytes that are allocated at once.
    pub unit: u32,
    /// The backing file that it names; it is opened only where the operator names one.
    pub parent: Option<String>,
    /// Files beside it that hold parts of it.
    pub files: Vec<String>,
    /// What else its adapter knows.
    pub facts: Vec<Fact>,
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
    let Some((format, path)) = split(first) else {
        return Err(Error::usage(format!(
            "`{first}` has no format; say raw:{first} if the file holds the disk's bytes as they are"
        )));
    };
    if name.matches(",backing=").count() > BACKING_MOST {
        return Err(Error::usage(format!("more than {BACKING_MOST} backing files behind {first}")));
    }
    Ok(Named { format: format.into(), path: path.into(), sector, backing })
}

/// Format and path. A server's disk is taken as it is, unless a format is said before the address.
pub(crate) fn split(name: &str) -> Option<(&str, &str)> {
    if Address::is_uri(name) { Some(("raw", name)) } else { name.split_once(':') }
}

/// The address in a URI.
pub(crate) fn address(uri: &str) -> Result<Address> {
    Address::parse(uri).map_err(|e| Error::usage(e.to_string()))
}

fn sector(bytes: &str) -> Result<u32> {
    let known = bytes.parse().ok().filter(|bytes| SECTORS.contains(bytes));
    known.ok_or_else(|| {
        Error::usage(format!("sectors of `{bytes}` bytes: a disk has sector=512 or sector=4096"))
    })
}

/// Opens disks; a snapshot's name stands for all disks in it.
pub(crate) fn open_all(names: &[String], adapters: &Adapters) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for name in names {
        match name.starts_with(vault::PREFIX) {
            true => sources.extend(vault::sources(name)?),
            false => sources.push(open(name, adapters)?),
        }
    }
    Ok(sources)
}

/// Opens a disk and, where the operator named them, its backing files.
pub fn open(name: &str, adapters: &Adapters) -> Result<Source> {
    if name.starts_with(vault::PREFIX) {
        let mut sources = vault::sources(name)?;
        return match sources.len() {
            1 => Ok(sources.remove(0)),
            count => Err(Error::usage(format!("{name} has {count} disks; say one of them: {name}#0"))),
        };
    }
    let Named { format, path, sector, backing } = parse(name)?;
    let parent = backing.as_deref().map(|backing| open_backing(backing, adapters)).transpose()?;
    known(&format, adapters)?;
    let mut opened = Opened::default();
    let said = path.to_string_lossy();
    match Address::is_uri(&said) {
        true => opened.connect(&address(&said)?)?,
        false => opened.add(&path)?,
    }
    read(&Wanted { name, format: &format, path: &path, beside: true, sector }, opened, parent, adapters)
}

/// The image that a disk's name says, and who reads its format.
pub(crate) fn image<'a>(name: &str, adapters: &'a Adapters) -> Result<(&'a Arc<Adapter>, Arc<dyn Disk>)> {
    let Named { format, path, .. } = parse(name)?;
    let adapter = known(&format, adapters)?;
    let mut opened = Opened::default();
    opened.add(&path)?;
    Ok((adapter, opened.parts.remove(0)))
}

/// What to make of opened bytes.
pub(crate) struct Wanted<'a> {
    /// As the operator or a definition named it.
    pub name: &'a str,
    pub format: &'a str,
    /// Of the file that the bytes are in.
    pub path: &'a Path,
    /// Whether files beside that one may belong to the disk.
    pub beside: bool,
    pub sector: Option<u32>,
}

/// The disk in an image whose bytes are opened already.
pub(crate) fn read(
    wanted: &Wanted<'_>,
    mut opened: Opened,
    parent: Option<Source>,
    adapters: &Adapters,
) -> Result<Source> {
    let Wanted { name, format, path, beside, sector: wished } = *wanted;
    let adapter = known(format, adapters)?;
    let mut reader = FormatReader::open(adapter, opened.parts.clone())?;
    let mut facts = reader.facts()?;
    let files = facts.files.clone();
    if !beside && !files.is_empty() {
        return Err(Error::failed(format!(
            "{name} names further files, which an image in a container cannot"
        )));
    }
    files.iter().try_for_each(|name| opened.add(&sibling(path, name)?))?;
    let mut identity = format!("{format}:{}", opened.identity.join("+"));
    let mut concerns = Vec::new();
    if let Some(parent) = parent {
        opened.parts.push(parent.disk);
        opened.devices.extend(parent.devices);
        opened.exports.extend(parent.exports);
        identity = format!("{identity}+{}", parent.identity);
        concerns = parent.concerns;
    }
    if opened.parts.len() > 1 {
        reader = FormatReader::open(adapter, opened.parts.clone())?;
        facts = reader.facts()?;
        if facts.files != files {
            return Err(Error::new(ErrorKind::Fault, format!("{name}: its adapter contradicts itself")));
        }
    }
    let own = facts.concerns.iter().cloned().map(concern_of);
    concerns
        .extend(own.map(|concern| Concern { message: format!("{name}: {}", concern.message), ..concern }));
    let image =
        Image { unit: facts.unit, parent: facts.parent.clone(), files, facts: facts_of(facts.facts.clone()) };
    let said = find(&image.facts, "sector-size").map(sector).transpose()?;
    // An export's bitmap speaks of the export's bytes; those are the disk's where no format is in between.
    let plain = format == "raw";
    let disk = decoded(reader, &facts, opened.parts)?;
    let disk = sectored(disk, path, wished.or(said))?;
    let sector_size = disk.sector_size();
    if sector_size != SECTOR {
        identity = format!("{identity} sectors of {sector_size}");
    }
    Ok(Source {
        name: name.into(),
        format: facts.variant_name,
        size: facts.virtual_size,
        sector_size,
        identity,
        concerns,
        image,
        devices: opened.devices,
        exports: opened.exports,
        changed: opened.changed.filter(|_| plain),
        disk,
    })
}

/// The adapter of a format, by the format's name.
pub(crate) fn known<'a>(format: &str, adapters: &'a Adapters) -> Result<&'a Arc<Adapter>> {
    adapters.get(&format!("format-{format}")).map_err(|_| {
        if adapters.named(runtime::Kind::MachineDefinition, format).is_some() {
            return Error::usage(format!(
                "`{format}` is a whole machine; inspect, plan and migrate take one"
            ));
        }
        let known = adapters.of(runtime::Kind::DiskFormat).map(|adapter| adapter.manifest.id.as_str());
        let known: Vec<&str> = known.filter_map(|id| id.strip_prefix("format-")).collect();
        Error::usage(format!("no adapter knows the format `{format}`; known are: {}", known.join(", ")))
    })
}

/// The files of an image.
#[derive(Default)]
pub(crate) struct Opened {
    pub parts: Vec<Arc<dyn Disk>>,
    pub identity: Vec<String>,
    pub devices: Vec<u64>,
    pub exports: Vec<Address>,
    changed: Option<Ranges>,
}

impl Opened {
    /// Who a server's disk is nobody can tell: its address and length have to do.
    fn connect(&mut self, address: &Address) -> Result<()> {
        let disk = NbdDisk::open(address)?;
        if address.bitmap.is_some() {
            self.changed = Some(disk.changed(0, disk.length())?);
        }
        self.identity.push(format!("{address} {}", disk.length()));
        self.parts.push(Arc::new(disk));
        self.exports.push(address.clone());
        Ok(())
    }

    pub fn add(&mut self, path: &Path) -> Result<()> {
        self.parts.push(Arc::new(FileDisk::open_read(path)?));
        self.identity.push(identity(path)?);
        self.devices.extend(device(path));
        Ok(())
    }
}

/// A file that an image names: only one beside it, by plain name, since an image may come from anybody.
pub(crate) fn sibling(image: &Path, name: &str) -> Result<PathBuf> {
    let mut components = Path::new(name).components();
    match (components.next(), components.next()) {
        (Some(Component::Normal(only)), None) if only == name => Ok(image.with_file_name(name)),
        _ => {
            let what = format!("{} says that {name:?} holds a part of it", image.display());
            Err(Error::failed(format!("{what}, and only files beside it by their plain names are opened")))
        }
    }
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

/// The guest's disk. Where the map says that byte N is a file's byte N, that is the file itself.
fn decoded(
    mut reader: FormatReader,
    facts: &contract::ImageFacts,
    parts: Vec<Arc<dyn Disk>>,
) -> Result<Arc<dyn Disk>> {
    let size = facts.virtual_size;
    if size == 0 {
        return Ok(Arc::new(MemoryDisk::new(Vec::new())));
    }
    let whole = |extent: &contract::Extent| match extent.at {
        contract::Place::Stored(0) => Some(0),
        contract::Place::StoredIn((part, 0)) => Some(part as usize),
        _ => None,
    };
    let first = reader.extents(0, 1)?.into_iter().next();
    let first = first.filter(|extent| extent.logical == 0 && extent.length == size);
    let part = first.as_ref().and_then(whole).and_then(|part| parts.get(part));
    if let Some(part) = part.filter(|part| part.length() == size) {
        return Ok(part.clone());
    }
    let map = FormatMap { reader: Mutex::new(reader), size };
    Ok(Arc::new(MappedDisk::new(Box::new(map), parts, facts.unit)?))
}

/// With whole sectors of the size that the operator or the image said, or that the disk has.
fn sectored(disk: Arc<dyn Disk>, path: &Path, said: Option<u32>) -> Result<Arc<dyn Disk>> {
    let own = disk.sector_size();
    let size = said.unwrap_or(own);
    if !SECTORS.contains(&size) {
        let what = format!("{} has sectors of {size} bytes, which no adapter reads", path.display());
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
            assert_eq!(parse(wrong).map(|_| ()).unwrap_err().kind, ErrorKind::Usage, "{wrong}");
        }
    }

    #[test]
    fn a_disk_has_whole_sectors_of_the_size_that_was_said() {
        let odd: Arc<dyn Disk> = Arc::new(MemoryDisk::new(vec![1; 5000]));
        for (name, length, size) in
            [("raw:a", 5120, 512), ("raw:a,sector=4096", 8192, 4096), ("raw:a,sector=512", 5120, 512)]
        {
            let disk = sectored(odd.clone(), Path::new("a"), parse(name).unwrap().sector).unwrap();
            assert_eq!((disk.length(), disk.sector_size()), (length, size), "{name}");
        }
        let tape: Arc<dyn Disk> = Arc::new(Sectored::new(odd, 2048));
        let refused = sectored(tape.clone(), Path::new("a"), None).map(|_| ()).unwrap_err();
        assert!(refused.message.contains("2048") && refused.message.contains(",sector=512"), "{refused}");
        assert!(sectored(tape, Path::new("a"), Some(512)).is_ok());
    }

    #[test]
    fn only_files_beside_an_image_are_opened_for_it() {
        let image = Path::new("/images/a.vmdk");
        assert_eq!(sibling(image, "a-flat.vmdk").unwrap(), Path::new("/images/a-flat.vmdk"));
        for hostile in ["/etc/shadow", "../a", "b/c", "..", ".", "", "./a", "a/", "a/."] {
            assert!(sibling(image, hostile).is_err(), "{hostile}");
        }
    }
}
