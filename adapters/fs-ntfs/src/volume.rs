//! The volume: its master file table, and the bytes of attributes wherever they are.

use crate::attribute::{self, Stored, Value};
use crate::boot::Boot;
use crate::bytes::{part, u16_at, u32_at, u64_at};
use crate::device::Device;
use crate::file::File;
use crate::listing::Listing;
use crate::name::Upcase;
use crate::path::Found;
use crate::record::{NUMBER, Record};
use std::collections::HashMap;
use std::rc::Rc;
use wherry_sdk::path::Names;
use wherry_sdk::{Blob, Error, ErrorKind, Result, Writing};

/// The master file table itself.
pub const MFT: u64 = 0;
/// A copy of its first records.
pub const MIRROR: u64 = 1;
/// The journal.
pub const LOG: u64 = 2;
/// Label, version and state.
pub const VOLUME: u64 = 3;
/// The root directory.
pub const ROOT: u64 = 5;
/// Which clusters are in use.
pub const BITMAP: u64 = 6;
/// Access rights, since version 3.
pub const SECURE: u64 = 9;
/// Upper case letters.
pub const UPCASE: u64 = 10;
/// The directory of further system files, since version 3.
pub const EXTEND: u64 = 11;
/// Records before this one belong to the file system.
pub const FIRST_USER: u64 = 16;
/// Bytes of `$UpCase`.
const UPCASE_LENGTH: u64 = 128 << 10;
/// The most bytes of metadata that are read as one, a guard against impossible sizes.
const METADATA_MOST: u64 = 64 << 20;

/// What `$Volume` says.
#[derive(Clone, Debug, Default)]
pub struct About {
    pub label: Option<String>,
    pub version: (u8, u8),
    /// 0x0001: dirty
    pub flags: u16,
}

/// An opened file system.
pub struct Volume<'a> {
    pub device: Device<'a>,
    pub boot: Boot,
    pub about: About,
    pub upcase: Upcase,
    /// content of `$MFT`, of `$Bitmap`, of `$MFTMirr`
    pub mft: Stored,
    pub bitmap: Stored,
    pub mirror: Stored,
    pub files: HashMap<u64, Rc<File>>,
    pub names: Names<Found>,
    pub listing: Option<Listing>,
    pub unpacked: Option<crate::content::Unpacked>,
    /// free clusters, where they were counted
    pub free: Option<u64>,
    /// no record that is free lies before this one
    pub free_record_from: u64,
    /// where new content is going to be
    pub goal: u64,
    pub log: crate::log::State,
    pub asleep: crate::hibernation::State,
    /// why not everything on the volume can be believed, and what to do
    pub doubt: Option<String>,
    pub writing: Writing,
}

fn corrupt(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corrupt, format!("{}: run chkdsk", what.into()))
}

impl<'a> Volume<'a> {
    /// Opens the file system on `device`, of which `boot` is the boot sector.
    pub fn open(device: Box<dyn Blob + 'a>, boot: Boot) -> Result<Self> {
        let goal = boot.mft.saturating_add(boot.clusters / 8) % boot.clusters;
        let mut volume = Self {
            device: Device::new(device, boot.size),
            boot,
            about: About::default(),
            upcase: Upcase::new(&[]),
            mft: Stored::default(),
            bitmap: Stored::default(),
            mirror: Stored::default(),
            files: HashMap::new(),
            names: Names::default(),
            listing: None,
            unpacked: None,
            free: None,
            free_record_from: 0,
            goal,
            log: crate::log::State::Clean,
            asleep: crate::hibernation::State::Awake,
            doubt: None,
            writing: Writing::default(),
        };
        volume.find_mft().map_err(|error| error.within("master file table"))?;
        volume.bitmap = volume.system(BITMAP, "$Bitmap")?;
        if volume.bitmap.size.saturating_mul(8) < volume.boot.clusters {
            return Err(corrupt("$Bitmap is shorter than the volume"));
        }
        volume.mirror = volume.system(MIRROR, "$MFTMirr")?;
        let upcase = volume.system(UPCASE, "$UpCase")?;
        let length = upcase.size.min(UPCASE_LENGTH) as usize;
        volume.upcase = Upcase::new(&volume.stored_bytes(&upcase, 0, length)?);
        volume.about = volume.look()?;
        if !volume.file(ROOT)?.is_directory() {
            return Err(corrupt("the root directory is none"));
        }
        Ok(volume)
    }

    /// Clusters of a system file's content.
    fn system(&mut self, number: u64, name: &str) -> Result<Stored> {
        let file = self.file(number).map_err(|error| error.within(name))?;
        let stored = file.get(attribute::DATA, &[]).and_then(|data| data.clusters());
        stored.cloned().ok_or_else(|| corrupt(format!("{name} has no content")))
    }

    /// The table's first record says where the table is, if need be in further records of the table.
    fn find_mft(&mut self) -> Result<()> {
        let bytes = self.device.read(self.boot.mft * self.boot.cluster, self.boot.record)?;
        let record = Record::parse(MFT, bytes)?;
        let mut list = Vec::new();
        for piece in record.pieces()? {
            match (piece.attribute.kind, piece.attribute.value) {
                (attribute::DATA, Value::Stored(stored))
                    if piece.attribute.name.is_empty() && piece.first == 0 =>
                {
                    self.mft = stored;
                    self.mft.runs.unpack(&piece.pairs, self.boot.clusters)?;
                }
                (attribute::LIST, Value::Resident { bytes, .. }) => list = bytes,
                (attribute::LIST, Value::Stored(mut stored)) => {
                    stored.runs.unpack(&piece.pairs, self.boot.clusters)?;
                    list = self.stored_bytes(&stored, 0, stored.size.min(METADATA_MOST) as usize)?;
                }
                _ => {}
            }
        }
        let mut at = 0;
        while at + 0x1a <= list.len() && u16_at(&list, at + 4) >= 0x1a {
            let other = u64_at(&list, at + 0x10) & NUMBER;
            if u32_at(&list, at) == attribute::DATA && other != MFT {
                self.continue_mft(other)?;
            }
            at += usize::from(u16_at(&list, at + 4));
        }
        let file = self.assemble(&record)?;
        let data = file.get(attribute::DATA, &[]).and_then(|data| data.clusters()).cloned();
        self.mft = data.ok_or_else(|| corrupt("it has no content"))?;
        self.keep_file(&Rc::new(file));
        Ok(())
    }

    fn continue_mft(&mut self, number: u64) -> Result<()> {
        for piece in self.record(number)?.pieces()? {
            let data = piece.attribute.kind == attribute::DATA && piece.attribute.name.is_empty();
            if data && piece.first == self.mft.runs.end() {
                self.mft.runs.unpack(&piece.pairs, self.boot.clusters)?;
            }
        }
        Ok(())
    }

    /// Label, version and state.
    fn look(&mut self) -> Result<About> {
        let file = self.file(VOLUME)?;
        let label = file.get(attribute::VOLUME_NAME, &[]).and_then(|name| name.bytes());
        let label = label.map(|bytes| String::from_utf16_lossy(&crate::bytes::units(bytes)));
        let about = file.value(attribute::VOLUME, &[])?;
        let version = (crate::bytes::byte_at(about, 8), crate::bytes::byte_at(about, 9));
        Ok(About { label: label.filter(|label| !label.is_empty()), version, flags: u16_at(about, 10) })
    }

    /// Records of the table, in use or not.
    pub fn records(&self) -> u64 {
        self.mft.size / self.boot.record as u64
    }

    /// The record with that number.
    pub fn record(&mut self, number: u64) -> Result<Record> {
        if number >= self.records() {
            return Err(corrupt(format!("file record {number} lies behind the table's {}", self.records())));
        }
        let size = self.boot.record;
        let mft = std::mem::take(&mut self.mft);
        let bytes = self.stored_bytes(&mft, number * size as u64, size);
        self.mft = mft;
        Record::parse(number, bytes?)
    }

    /// Writes a record, and its copy if there is to be one.
    pub fn write_record(&mut self, record: &mut Record) -> Result<()> {
        let bytes = record.sealed();
        let offset = record.number * self.boot.record as u64;
        let mft = std::mem::take(&mut self.mft);
        let written = self.write_stored(&mft, offset, &bytes);
        self.mft = mft;
        written?;
        if offset + bytes.len() as u64 <= self.mirror.size {
            let mirror = self.mirror.clone();
            self.write_stored(&mirror, offset, &bytes)?;
        }
        Ok(())
    }

    /// Where records are on the device, to be read together.
    pub fn prefetch(&mut self, numbers: impl Iterator<Item = u64>) -> Result<()> {
        let size = self.boot.record as u64;
        let place = |number: u64| self.place(&self.mft, number.checked_mul(size)?).map(|(at, _)| at);
        let mut places: Vec<u64> =
            numbers.filter(|number| !self.files.contains_key(number)).filter_map(place).collect();
        places.sort_unstable();
        self.device.prefetch(&places)
    }

    /// Where byte `offset` of an attribute is on the device, and how many follow it there; none is a hole or the end.
    pub fn place(&self, stored: &Stored, offset: u64) -> Option<(u64, u64)> {
        let run = stored.runs.at(offset / self.boot.cluster)?;
        let within = offset % self.boot.cluster;
        Some((run.lcn? * self.boot.cluster + within, run.length * self.boot.cluster - within))
    }

    /// `length` bytes of metadata in clusters, from `offset` on; holes are zero.
    pub fn stored_bytes(&mut self, stored: &Stored, offset: u64, length: usize) -> Result<Vec<u8>> {
        let end = offset.checked_add(length as u64);
        let most = stored.runs.end().saturating_mul(self.boot.cluster);
        if length as u64 > METADATA_MOST || end.is_none_or(|end| end > most) {
            return Err(corrupt(format!(
                "{length} bytes from {offset} on lie behind the end of an attribute"
            )));
        }
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let (at, left) = (offset + bytes.len() as u64, (length - bytes.len()) as u64);
            match self.place(stored, at) {
                Some((place, there)) => bytes.extend(self.device.read(place, there.min(left) as usize)?),
                None => {
                    let run = stored.runs.at(at / self.boot.cluster);
                    let hole =
                        run.map_or(left, |run| run.length * self.boot.cluster - at % self.boot.cluster);
                    bytes.resize(bytes.len() + hole.min(left) as usize, 0);
                }
            }
        }
        Ok(bytes)
    }

    /// Changes metadata in clusters that it has already.
    pub fn write_stored(&mut self, stored: &Stored, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            let place = self.place(stored, offset + done as u64);
            let (place, there) =
                place.ok_or_else(|| corrupt("metadata has a hole where it is to be changed"))?;
            let piece = part(bytes, done, usize::try_from(there).unwrap_or(usize::MAX));
            self.device.write(place, piece)?;
            done += piece.len();
        }
        Ok(())
    }

    /// An attribute of metadata as a whole: a bitmap, a reparse point, a descriptor.
    pub fn whole(&mut self, file: &File, kind: u32, name: &[u16]) -> Result<Option<Vec<u8>>> {
        let Some(attribute) = file.get(kind, name) else { return Ok(None) };
        match &attribute.value {
            Value::Resident { bytes, .. } => Ok(Some(bytes.clone())),
            Value::Stored(stored) => {
                let length = stored.initialized.min(METADATA_MOST) as usize;
                let mut bytes = self.stored_bytes(stored, 0, length)?;
                bytes.resize(stored.size.min(METADATA_MOST) as usize, 0);
                Ok(Some(bytes))
            }
        }
    }
}
