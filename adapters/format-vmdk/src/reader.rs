//! Decode map: which bytes of the disk are in which file.

use crate::bytes::SECTOR;
use crate::concerns;
use crate::cowd;
use crate::descriptor::{Access, Descriptor, Kind, Line, is_descriptor};
use crate::disk::{Disk, Stored};
use crate::grains::Grains;
use crate::hosted::{self, Header, Hosted};
use crate::sparse::Entries;
use wherry_sdk::format::{Extent, ImageFacts};
use wherry_sdk::{Blob, Concern, Error, ErrorKind, Fact, FormatReader, READ_MOST, Result, Severity, fact};

/// Extents of one answer.
const EXTENTS_MOST: u32 = 1000;
/// What the host unpacks at once.
const PACKED_GRAIN_MOST: u64 = 2 << 20;

/// An opened VMDK image.
pub struct Reader {
    facts: ImageFacts,
    /// Or why nothing can be read.
    grains: std::result::Result<Grains, Error>,
}

/// The variant's name, if these are the first bytes of an image.
pub(crate) fn variant(head: &[u8]) -> Option<String> {
    if head.starts_with(cowd::MAGIC) {
        return Some("VMDK COWD extent".into());
    }
    if let Some(header) = Header::decode(head) {
        let descriptor = header.descriptor_in(head).and_then(|text| Descriptor::parse(text).ok());
        return Some(name(&descriptor.unwrap_or_default()));
    }
    let descriptor = is_descriptor(head).then(|| Descriptor::parse(head).ok())?;
    Some(name(&descriptor.unwrap_or_default()))
}

fn name(descriptor: &Descriptor) -> String {
    let kind: String =
        descriptor.create_type.chars().filter(|c| c.is_ascii_alphanumeric()).take(40).collect();
    if kind.is_empty() { "VMDK extent".into() } else { format!("VMDK {kind}") }
}

impl FormatReader for Reader {
    /// The part behind the image and its files is the parent as its guest saw it; more are not looked at.
    fn open(parts: Vec<Box<dyn Blob>>) -> Result<Self> {
        let missing = || Error::new(ErrorKind::InvalidInput, "a VMDK image is at least one file");
        let image = parts.first().ok_or_else(missing)?;
        let head = image.read(0, image.size().min(SECTOR) as u32)?;
        if head.starts_with(cowd::MAGIC) {
            return Self::lone_cowd(image.as_ref(), &head);
        }
        if Header::decode(&head).is_some() {
            let hosted = Hosted::read(image.as_ref(), &head)?;
            let descriptor = hosted::embedded(image.as_ref(), &hosted.header)?;
            return match descriptor {
                Some(descriptor) if hosted.header.capacity == 0 && !is_own(&descriptor) => {
                    Self::described(parts, descriptor)
                }
                descriptor => Self::embedded(parts, hosted, descriptor),
            };
        }
        if !is_descriptor(&head) {
            let message = "this is no VMDK image: neither a descriptor nor a sparse extent starts here";
            return Err(Error::corrupt(0, message));
        }
        if image.size() > READ_MOST.into() {
            let message = format!("a descriptor of {} bytes: at most 1 MiB is read", image.size());
            return Err(Error::new(ErrorKind::Limit, message));
        }
        let descriptor = Descriptor::parse(&image.read(0, image.size() as u32)?)?;
        Self::described(parts, descriptor)
    }

    fn facts(&self) -> ImageFacts {
        self.facts.clone()
    }

    /// Only a compressed extent may begin before `start`: it is always its whole grain.
    fn extents(&mut self, start: u64, most: u32) -> Result<Vec<Extent>> {
        match &mut self.grains {
            Ok(grains) => grains.extents(start, most.clamp(1, EXTENTS_MOST) as usize),
            Err(error) => Err(error.clone()),
        }
    }
}

/// Whether the extent that a descriptor is embedded in is the disk.
fn is_own(descriptor: &Descriptor) -> bool {
    ["monolithicSparse", "streamOptimized"].contains(&descriptor.create_type.as_str())
}

impl Reader {
    fn embedded(parts: Vec<Box<dyn Blob>>, hosted: Hosted, descriptor: Option<Descriptor>) -> Result<Self> {
        let Some(image) = parts.first() else { return Err(no_files(0)) };
        let packed = hosted.header.compression == 1;
        let mut disk = Disk::embedded(image.as_ref(), hosted)?;
        let alone = descriptor.is_none();
        disk.concerns.extend(alone.then(concerns::no_descriptor));
        if packed && disk.unit() > PACKED_GRAIN_MOST {
            disk.concerns.push(concerns::large_grains(disk.unit()));
        }
        Self::finish(parts, Vec::new(), disk, &descriptor.unwrap_or_default())
    }

    /// COWD extents have no descriptor of their own.
    fn lone_cowd(image: &dyn Blob, head: &[u8]) -> Result<Self> {
        let size = cowd::read(image, head)?.capacity * SECTOR;
        let disk = Disk { size, concerns: vec![concerns::no_descriptor()], ..Disk::default() };
        let mut reader = Self::finish(Vec::new(), Vec::new(), disk, &Descriptor::default())?;
        reader.facts.variant_name = "VMDK COWD extent".into();
        Ok(reader)
    }

    fn described(parts: Vec<Box<dyn Blob>>, descriptor: Descriptor) -> Result<Self> {
        if descriptor.lines.is_empty() {
            return Err(Error::corrupt(0, "a descriptor without extents"));
        }
        let mut refused: Vec<Concern> = descriptor.lines.iter().filter_map(concerns::of_line).collect();
        refused.truncate(10);
        let (files, numbers) = if refused.is_empty() { files(&descriptor.lines) } else { Default::default() };
        if refused.is_empty() {
            let opened = (parts.len() > files.len()).then_some(parts.as_slice());
            if opened.is_none() && parts.len() > 1 {
                let message = format!("{} parts for an image of {} files", parts.len(), files.len() + 1);
                return Err(Error::new(ErrorKind::InvalidInput, message));
            }
            let disk = Disk::described(&descriptor.lines, &numbers, opened)?;
            return Self::finish(parts, files, disk, &descriptor);
        }
        let none = vec![0; descriptor.lines.len()];
        let mut disk = Disk::described(&descriptor.lines, &none, None)?;
        disk.concerns = refused;
        Self::finish(parts, files, disk, &descriptor)
    }

    fn finish(
        parts: Vec<Box<dyn Blob>>,
        files: Vec<String>,
        mut disk: Disk,
        descriptor: &Descriptor,
    ) -> Result<Self> {
        let parent = parts.get(files.len() + 1).map(|parent| (files.len() as u32 + 1, parent.size()));
        if parent.is_some() && !descriptor.has_parent() {
            let message = "a parent was named, but the image has none: leave it out";
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let mut concerns = concerns::of_descriptor(descriptor, parent.is_some());
        concerns.append(&mut disk.concerns);
        let facts = ImageFacts {
            virtual_size: disk.size,
            unit: disk.unit() as u32,
            variant_name: name(descriptor),
            parent: descriptor.has_parent().then(|| descriptor.parent_name.clone().unwrap_or_default()),
            files,
            concerns,
            facts: facts(descriptor, &disk),
        };
        let reasons: Vec<&str> = (facts.concerns.iter())
            .filter(|concern| concern.severity == Severity::Blocking)
            .map(|concern| concern.message.as_str())
            .collect();
        let grains = if !reasons.is_empty() {
            Err(Error::unsupported(reasons.join("; ")))
        } else if parts.len() <= facts.files.len() {
            Err(no_files(facts.files.len()))
        } else {
            Ok(Grains::new(parts, disk, parent))
        };
        Ok(Self { facts, grains })
    }
}

fn no_files(count: usize) -> Error {
    let message =
        format!("the {count} files that hold the disk were not opened: name the image again with them");
    Error::new(ErrorKind::InvalidInput, message)
}

/// The files' names, each once, and for each line the number of its part.
fn files(lines: &[Line]) -> (Vec<String>, Vec<u32>) {
    let mut files: Vec<String> = Vec::new();
    let mut known = std::collections::BTreeMap::new();
    let mut number = |line: &Line| {
        let stored = !matches!(line.kind, Kind::Zero) && line.access != Access::None;
        let Some(name) = line.file.clone().filter(|_| stored) else { return 0 };
        *known.entry(name.clone()).or_insert_with(|| {
            files.push(name);
            files.len() as u32
        })
    };
    let numbers = lines.iter().map(&mut number).collect();
    (files, numbers)
}

fn facts(descriptor: &Descriptor, disk: &Disk) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut say = |key: &str, value: Option<String>| facts.extend(value.map(|value| fact(key, value)));
    say("create-type", Some(descriptor.create_type.clone()).filter(|kind| !kind.is_empty()));
    say("cid", descriptor.cid.map(|cid| format!("{cid:08x}")));
    say(
        "parent-cid",
        descriptor.parent_cid.filter(|_| descriptor.has_parent()).map(|cid| format!("{cid:08x}")),
    );
    let value = |key| descriptor.value(key).map(str::to_owned);
    say("adapter-type", value("ddb.adapterType"));
    say("hardware-version", value("ddb.virtualHWVersion"));
    let geometry: Option<Vec<&str>> = ["cylinders", "heads", "sectors"]
        .map(|what| descriptor.value(&format!("ddb.geometry.{what}")))
        .into_iter()
        .collect();
    say("geometry", geometry.map(|numbers| numbers.join("/")));
    say("change-tracking", value("changeTrackPath"));
    let sparse = disk.pieces.iter().find_map(|piece| match &piece.stored {
        Stored::Sparse { sparse, .. } => Some(sparse),
        _ => None,
    });
    if let Some(sparse) = sparse {
        let packed = matches!(sparse.entries, Entries::Hosted { compressed: true, .. });
        say("grain-size", Some(sparse.grain.to_string()));
        say("compression", Some(if packed { "zlib" } else { "none" }.into()));
        say("redundant-directory", Some(sparse.is_redundant().to_string()));
    }
    facts
}
