//! The records of the database. Most fields are as long as the byte in front of them says.

use wherry_sdk::bytes::{big, field};
use wherry_sdk::image::Uuid;
use wherry_sdk::{Error, Result};

/// How a component's partitions make up a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrangement {
    /// in turns
    Striped,
    /// one behind the other
    Joined,
    /// in turns, with parity
    Raid5,
}

/// A volume.
#[derive(Debug)]
pub struct Volume {
    pub name: String,
    pub state: String,
    pub components: u64,
    /// In sectors.
    pub size: u64,
    pub id: String,
    /// The drive letter it had.
    pub hint: String,
}

/// A copy of a volume's bytes: a mirror has several.
#[derive(Debug)]
pub struct Component {
    pub state: String,
    pub arrangement: Arrangement,
    pub partitions: u64,
    pub volume: u64,
    /// In sectors; 0 where nothing is striped.
    pub chunk: u64,
    pub columns: u64,
}

/// A stretch of a disk, in sectors.
#[derive(Debug)]
pub struct Partition {
    pub start: u64,
    /// Where it is in its component.
    pub offset: u64,
    pub size: u64,
    pub component: u64,
    pub disk: u64,
    /// Which column it is.
    pub index: u64,
}

/// What a record describes.
#[derive(Debug)]
pub enum Object {
    Volume(Volume),
    Component(Component),
    Partition(Partition),
    /// Its name and its identifier in lower case.
    Disk {
        name: String,
        id: String,
    },
    Group {
        name: String,
    },
}

/// An object and its number; none for a record without content.
pub fn parse(record: &[u8]) -> Result<Option<(u64, Object)>> {
    let (flags, kind) = (big(record, 2, 1), big(record, 3, 1));
    let mut fields = Fields { record, at: 8 };
    let object = match (kind & 15, kind >> 4) {
        (0, _) => return Ok(None),
        (1, 5) => volume(&mut fields, flags),
        (2, 3) => component(&mut fields, flags),
        (3, 3) => partition(&mut fields, flags),
        (4, 3 | 4) => disk(&mut fields, kind >> 4),
        (5, 3 | 4) => group(&mut fields),
        (kind, revision) => {
            return Err(Error::unsupported(format!(
                "objects of kind {kind}, revision {revision}, are not known"
            )));
        }
    };
    object.map(Some).ok_or_else(|| Error::corrupt(fields.at as u64, "it ends too early, or makes no sense"))
}

/// Fields from the front; none where the record ends.
struct Fields<'a> {
    record: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    fn fixed(&mut self, length: usize) -> Option<&'a [u8]> {
        let bytes = self.record.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(bytes)
    }

    fn variable(&mut self) -> Option<&'a [u8]> {
        let length = *self.fixed(1)?.first()?;
        self.fixed(usize::from(length))
    }

    fn number(&mut self) -> Option<u64> {
        let bytes = self.variable()?;
        (bytes.len() <= 8).then(|| big(bytes, 0, bytes.len()))
    }

    fn long(&mut self) -> Option<u64> {
        self.fixed(8).map(|bytes| big(bytes, 0, 8))
    }

    fn byte(&mut self) -> Option<u8> {
        self.fixed(1)?.first().copied()
    }

    fn text(&mut self) -> Option<String> {
        self.variable().map(crate::disk::text)
    }
}

fn uuid(bytes: &[u8]) -> Option<String> {
    field(bytes, 0, 16).try_into().ok().map(|bytes| Uuid(bytes).to_string())
}

/// Type, number and drive letter are told in further fields, which this has no use for.
fn volume(fields: &mut Fields<'_>, flags: u64) -> Option<(u64, Object)> {
    let id = fields.number()?;
    let name = fields.text()?;
    fields.variable()?;
    fields.variable()?;
    let state = crate::disk::text(fields.fixed(14)?);
    fields.fixed(7)?;
    let components = fields.number()?;
    fields.fixed(16)?;
    let size = fields.number()?;
    fields.fixed(5)?;
    let guid = uuid(fields.fixed(16)?)?;
    for flag in [0x08, 0x20, 0x80] {
        if flags & flag != 0 {
            fields.variable()?;
        }
    }
    let hint = if flags & 0x02 != 0 { fields.text()? } else { String::new() };
    Some((id, Object::Volume(Volume { name, state, components, size, id: guid, hint })))
}

fn component(fields: &mut Fields<'_>, flags: u64) -> Option<(u64, Object)> {
    let id = fields.number()?;
    fields.variable()?;
    let state = fields.text()?;
    let arrangement = match fields.byte()? {
        1 => Arrangement::Striped,
        2 => Arrangement::Joined,
        3 => Arrangement::Raid5,
        _ => return None,
    };
    fields.fixed(4)?;
    let partitions = fields.number()?;
    fields.fixed(16)?;
    let volume = fields.number()?;
    fields.fixed(1)?;
    let (chunk, columns) = if flags & 0x10 != 0 { (fields.number()?, fields.number()?) } else { (0, 0) };
    Some((id, Object::Component(Component { state, arrangement, partitions, volume, chunk, columns })))
}

fn partition(fields: &mut Fields<'_>, flags: u64) -> Option<(u64, Object)> {
    let id = fields.number()?;
    fields.variable()?;
    fields.fixed(12)?;
    let (start, offset) = (fields.long()?, fields.long()?);
    let (size, component, disk) = (fields.number()?, fields.number()?, fields.number()?);
    let index = if flags & 0x08 != 0 { fields.number()? } else { 0 };
    Some((id, Object::Partition(Partition { start, offset, size, component, disk, index })))
}

fn disk(fields: &mut Fields<'_>, revision: u64) -> Option<(u64, Object)> {
    let id = fields.number()?;
    let name = fields.text()?;
    let guid = if revision == 3 { fields.text()?.to_lowercase() } else { uuid(fields.fixed(16)?)? };
    Some((id, Object::Disk { name, id: guid }))
}

fn group(fields: &mut Fields<'_>) -> Option<(u64, Object)> {
    Some((fields.number()?, Object::Group { name: fields.text()? }))
}
