//! Reading what files contain: plain, with holes, compressed, or packed by the Windows Overlay Filter.

use crate::attribute::{Attribute, COMPRESSED, DATA, ENCRYPTED, Stored, Value};
use crate::bytes::part;
use crate::file::File;
use crate::lznt1;
use crate::name;
use crate::path::Target;
use crate::reparse::{Meaning, meaning};
use crate::volume::Volume;
use crate::wof::{self, Packed, Packing};
use std::rc::Rc;
use wherry_sdk::{Error, ErrorKind, READ_MOST, Result};

/// The compression unit that was unpacked last: callers read from front to back.
pub struct Unpacked {
    pub number: u64,
    pub stream: Vec<u16>,
    /// which unit of the content
    pub unit: u64,
    pub bytes: Rc<Vec<u8>>,
}

/// Why a file's content cannot be had, by the name of whoever has it.
pub fn refusal(file: &File, stream: &[u16], tag: Option<u32>) -> Option<Error> {
    let flags = file.get(DATA, stream).map_or(0, |data| data.flags);
    let encrypted = file.file_flags() & name::ENCRYPTED != 0 && !file.is_directory();
    if encrypted || flags & ENCRYPTED != 0 {
        return Some(Error::unsupported(
            "it is encrypted by EFS: decrypt it in the guest, only its users have the key",
        ));
    }
    match tag.map(meaning) {
        Some(Meaning::Elsewhere(owner)) if stream.is_empty() => Some(Error::unsupported(format!(
            "its content is kept by {owner}: bring it back in the guest first"
        ))),
        _ => None,
    }
}

impl Volume<'_> {
    /// Up to `length` bytes from `offset`; shorter at the end of the content.
    pub fn read_file(&mut self, target: &Target, offset: u64, length: u32) -> Result<Vec<u8>> {
        let tag = self.tag(&target.file)?;
        if let Some(error) = refusal(&target.file, &target.stream, tag) {
            return Err(error);
        }
        let Some(data) = target.data() else { return Ok(Vec::new()) };
        let length = u64::from(length.min(READ_MOST)).min(data.size().saturating_sub(offset));
        if length == 0 {
            return Ok(Vec::new());
        }
        if target.stream.is_empty() && tag.map(meaning) == Some(Meaning::Packed) {
            return self.read_packed(&target.file, offset, length);
        }
        self.read_attribute(&target.file, data, offset, length)
    }

    /// The same of any attribute, of which so many bytes are there.
    pub fn read_attribute(
        &mut self,
        file: &File,
        data: &Attribute,
        offset: u64,
        length: u64,
    ) -> Result<Vec<u8>> {
        match &data.value {
            Value::Resident { bytes, .. } => Ok(part(bytes, offset as usize, length as usize).to_vec()),
            Value::Stored(stored) if data.flags & COMPRESSED != 0 && stored.unit > 0 => {
                self.read_compressed(file, data, offset, length)
            }
            Value::Stored(stored) => self.read_clusters(stored, offset, length),
        }
    }

    /// Content as it is in the clusters; what was never written is zero.
    fn read_clusters(&mut self, stored: &Stored, offset: u64, length: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(length as usize);
        let end = offset + length;
        let written = stored.initialized.clamp(offset, end);
        while offset + (bytes.len() as u64) < written {
            let at = offset + bytes.len() as u64;
            let left = written - at;
            match stored.runs.at(at / self.boot.cluster) {
                Some(run) => {
                    let within = at % self.boot.cluster;
                    let take = (run.length * self.boot.cluster - within).min(left);
                    match run.lcn {
                        Some(lcn) => {
                            bytes.extend(self.device.read_content(lcn * self.boot.cluster + within, take)?)
                        }
                        None => bytes.resize(bytes.len() + take as usize, 0),
                    }
                }
                None => {
                    let message = "the content is longer than its clusters: run chkdsk";
                    return Err(Error::new(ErrorKind::Corrupt, message));
                }
            }
        }
        bytes.resize(length as usize, 0);
        Ok(bytes)
    }

    fn read_compressed(
        &mut self,
        file: &File,
        data: &Attribute,
        offset: u64,
        length: u64,
    ) -> Result<Vec<u8>> {
        let Some(stored) = data.clusters() else { return Ok(Vec::new()) };
        let size = self.boot.cluster << stored.unit;
        let mut bytes = Vec::with_capacity(length as usize);
        while (bytes.len() as u64) < length {
            let at = offset + bytes.len() as u64;
            let unit = self.unit(file, data, stored, at / size)?;
            let piece = part(&unit, (at % size) as usize, (length - bytes.len() as u64) as usize);
            bytes.extend_from_slice(piece);
            if piece.is_empty() {
                return Err(Error::new(ErrorKind::Failed, "a compressed unit is empty: report this defect"));
            }
        }
        Ok(bytes)
    }

    /// One compression unit, unpacked.
    fn unit(&mut self, file: &File, data: &Attribute, stored: &Stored, unit: u64) -> Result<Rc<Vec<u8>>> {
        let known = self.unpacked.as_ref();
        let known =
            known.filter(|one| one.number == file.number && one.stream == data.name && one.unit == unit);
        if let Some(known) = known {
            return Ok(Rc::clone(&known.bytes));
        }
        let clusters = 1u64 << stored.unit;
        let (first, size) = (unit * clusters, (self.boot.cluster * clusters) as usize);
        let (mut packed, mut vcn) = (Vec::new(), first);
        while let Some(run) = stored.runs.at(vcn).filter(|_| vcn < first + clusters) {
            let count = run.length.min(first + clusters - vcn);
            let Some(lcn) = run.lcn else { break };
            packed.extend(self.device.read_content(lcn * self.boot.cluster, count * self.boot.cluster)?);
            vcn += count;
        }
        let mut bytes =
            if packed.len() >= size || packed.is_empty() { packed } else { lznt1::unpack(&packed, size)? };
        let start = unit * size as u64;
        bytes.truncate(stored.initialized.saturating_sub(start).min(size as u64) as usize);
        bytes.resize(size, 0);
        let bytes = Rc::new(bytes);
        let (number, stream) = (file.number, data.name.clone());
        self.unpacked = Some(Unpacked { number, stream, unit, bytes: Rc::clone(&bytes) });
        Ok(bytes)
    }

    fn read_packed(&mut self, file: &File, offset: u64, length: u64) -> Result<Vec<u8>> {
        let packing = Packing::parse(&self.reparse(file)?.unwrap_or_default())?;
        let name: Vec<u16> = wof::STREAM.encode_utf16().collect();
        let stream = file.get(DATA, &name);
        let stream = stream.ok_or_else(|| {
            let message = format!("its stream {} is missing: restore the file", wof::STREAM);
            Error::new(ErrorKind::Corrupt, message)
        })?;
        let size = file.get(DATA, &[]).map_or(0, Attribute::size);
        let packed = Packed { packing, size, stored: stream.size() };
        packed.read(offset, length, |offset, length| self.read_attribute(file, stream, offset, length))
    }
}
