//! Changing what files contain.

use crate::attribute::{Attribute, COMPRESSED, DATA, Stored, Value};
use crate::bytes::put;
use crate::content::refusal;
use crate::file::File;
use crate::name;
use crate::path::Target;
use crate::reparse::{Meaning, meaning};
use crate::volume::Volume;
use std::rc::Rc;
use wherry_sdk::{Blob, Error, ErrorKind, READ_MOST, Result};

/// The stream in which the Windows Overlay Filter keeps packed content.
pub const PACKED: &str = "WofCompressedData";

impl Volume<'_> {
    /// Whether so many bytes of content, in place of what is there, leave the file in one record.
    fn fits_inside(&self, file: &File, stream: &[u16], size: u64) -> bool {
        let others = file.attributes.iter().filter(|one| one.kind != DATA || one.name != stream);
        let others: usize = others.map(Attribute::length).sum();
        let own = Attribute::resident(DATA, stream, Vec::new()).length() as u64 + size + 8;
        file.extensions.is_empty() && others as u64 + own <= self.record_room() as u64
    }

    /// Gives clusters of an attribute back.
    pub fn empty(&mut self, attribute: Option<Attribute>) -> Result<()> {
        match attribute.map(|attribute| attribute.value) {
            Some(Value::Stored(mut stored)) => self.release(&stored.runs.cut(0)),
            _ => Ok(()),
        }
    }

    /// Replaces the content of a file or of a stream, which becomes plain. The file is not stored.
    pub fn replace(&mut self, file: &mut File, stream: &[u16], content: &dyn Blob) -> Result<()> {
        if stream.is_empty() {
            self.unpack_for_good(file)?;
        }
        let old = file.take(DATA, stream);
        let size = content.size();
        if self.fits_inside(file, stream, size) {
            self.empty(old)?;
            let bytes = if size == 0 { Vec::new() } else { content.read(0, size as u32)? };
            file.add(Attribute::resident(DATA, stream, bytes));
            return Ok(());
        }
        let mut stored = match old {
            Some(Attribute { flags: 0, value: Value::Stored(stored), .. })
                if stored.runs.allocated() == stored.runs.end() =>
            {
                stored
            }
            other => {
                self.empty(other)?;
                Stored::default()
            }
        };
        let clusters = size.div_ceil(self.boot.cluster);
        let gone = stored.runs.cut(clusters);
        self.release(&gone)?;
        let missing = clusters.saturating_sub(stored.runs.end());
        self.extend(&mut stored, missing)?;
        stored.unit = 0;
        self.pour(&stored, 0, &|offset, length| content.read(offset, length as u32), size)?;
        (stored.size, stored.initialized) = (size, size);
        file.add(Attribute::stored(DATA, stream, stored));
        Ok(())
    }

    /// Writes `length` bytes from `offset` of an attribute on; what is left of the last cluster is zeroed where the
    /// content ends there.
    fn pour(
        &mut self,
        stored: &Stored,
        offset: u64,
        source: &dyn Fn(u64, u64) -> Result<Vec<u8>>,
        length: u64,
    ) -> Result<()> {
        let mut done = 0;
        while done < length {
            let Some((place, there)) = self.place(stored, offset + done) else {
                return Err(Error::new(ErrorKind::Failed, "content has no clusters: report this defect"));
            };
            let take = there.min(length - done).min(u64::from(READ_MOST));
            let mut bytes = source(done, take)?;
            let end = offset + done + take;
            if done + take == length && end >= stored.size {
                let rest = (end.div_ceil(self.boot.cluster) * self.boot.cluster - end).min(there - take);
                bytes.resize(bytes.len() + rest as usize, 0);
            }
            for (index, piece) in bytes.chunks(READ_MOST as usize).enumerate() {
                self.device.write_content(place + index as u64 * u64::from(READ_MOST), piece)?;
            }
            done += take;
        }
        Ok(())
    }

    /// Overwrites content from `offset` on, and makes it longer if need be. The file is not stored.
    pub fn overwrite(
        &mut self,
        file: &mut File,
        stream: &[u16],
        offset: u64,
        content: &dyn Blob,
    ) -> Result<()> {
        self.make_plain(file, stream)?;
        let mut data =
            file.take(DATA, stream).unwrap_or_else(|| Attribute::resident(DATA, stream, Vec::new()));
        let end = data.size().max(offset.saturating_add(content.size()));
        if let Value::Resident { bytes, .. } = &mut data.value
            && self.fits_inside(file, stream, end)
        {
            let new =
                if content.size() == 0 { Vec::new() } else { content.read(0, content.size() as u32)? };
            bytes.resize(end as usize, 0);
            put(bytes, offset as usize, &new);
            file.add(data);
            return Ok(());
        }
        if content.size() > 0 {
            self.spill(&mut data)?;
        }
        if let Value::Stored(stored) = &mut data.value {
            self.overwrite_clusters(stored, offset, content, end)?;
        }
        file.add(data);
        Ok(())
    }

    fn overwrite_clusters(
        &mut self,
        stored: &mut Stored,
        offset: u64,
        content: &dyn Blob,
        end: u64,
    ) -> Result<()> {
        let cluster = self.boot.cluster;
        let last = offset + content.size();
        let clusters = end.div_ceil(cluster);
        let missing = clusters.saturating_sub(stored.runs.end());
        self.extend(stored, missing)?;
        // What was never written reads as zero, and has to be zero where writing now begins behind it.
        let from = if last > stored.initialized { stored.initialized.min(offset) } else { offset };
        self.fill_holes(stored, from / cluster, last.div_ceil(cluster))?;
        stored.size = end;
        if from < offset {
            self.pour(stored, from, &|_, length| Ok(vec![0; length as usize]), offset - from)?;
        }
        self.pour(stored, offset, &|at, length| content.read(at, length as u32), content.size())?;
        stored.initialized = stored.initialized.max(last);
        Ok(())
    }

    /// Gives holes clusters, of zeroes as far as they are content.
    fn fill_holes(&mut self, stored: &mut Stored, mut vcn: u64, end: u64) -> Result<()> {
        while let Some(run) = stored.runs.at(vcn).filter(|_| vcn < end) {
            let length = run.length.min(end - vcn);
            if run.lcn.is_none() {
                let mut at = vcn;
                for (lcn, count) in self.allocate(self.goal, length)? {
                    stored.runs.fill(at, lcn, count);
                    self.zero(lcn, count)?;
                    at += count;
                    self.goal = lcn + count;
                }
            }
            vcn += length;
        }
        Ok(())
    }

    fn zero(&mut self, lcn: u64, count: u64) -> Result<()> {
        let (mut at, end) = (lcn * self.boot.cluster, (lcn + count) * self.boot.cluster);
        while at < end {
            let take = (end - at).min(u64::from(READ_MOST));
            self.device.write_content(at, &vec![0; take as usize])?;
            at += take;
        }
        Ok(())
    }

    /// Rewrites compressed content as plain, so that parts of it can be changed. The file is not stored.
    fn make_plain(&mut self, file: &mut File, stream: &[u16]) -> Result<()> {
        let tag = self.tag(file)?;
        if let Some(error) = refusal(file, stream, tag) {
            return Err(error);
        }
        let packed = stream.is_empty() && tag.map(meaning) == Some(Meaning::Packed);
        let target = Target { file: Rc::new(file.clone()), stream: stream.to_vec() };
        let Some(data) = target.data() else { return Ok(()) };
        if data.flags & COMPRESSED == 0 && !packed {
            return Ok(());
        }
        let size = data.size();
        if data.clusters().is_some() || packed {
            // What cannot be unpacked is found out before anything is changed.
            self.read_file(&target, 0, 1)?;
            let mut stored = Stored { size, initialized: size, ..Stored::default() };
            self.extend(&mut stored, size.div_ceil(self.boot.cluster))?;
            let mut at = 0;
            while at < size {
                let bytes = self.read_file(&target, at, READ_MOST)?;
                self.pour(&stored, at, &|from, length| piece(&bytes, from, length), bytes.len() as u64)?;
                at += bytes.len() as u64;
            }
            let old = file.take(DATA, stream);
            self.empty(old)?;
            file.add(Attribute::stored(DATA, stream, stored));
        } else if let Some(data) = file.get_mut(DATA, stream) {
            data.flags = 0;
        }
        if stream.is_empty() { self.unpack_for_good(file) } else { Ok(()) }
    }

    /// Takes away what says that a file's own content is packed. The content is replaced by the caller.
    fn unpack_for_good(&mut self, file: &mut File) -> Result<()> {
        let packed = match self.tag(file)?.map(meaning) {
            Some(Meaning::Packed | Meaning::Elsewhere(_)) => {
                self.remove_reparse(file)?;
                let stream = file.take(DATA, &PACKED.encode_utf16().collect::<Vec<_>>());
                self.empty(stream)?;
                true
            }
            _ => false,
        };
        let flags = file.file_flags();
        let gone = name::COMPRESSED | name::SPARSE;
        if !file.is_directory() && (packed || flags & gone != 0) {
            file.set_file_flags(flags & !gone);
        }
        Ok(())
    }
}

fn piece(bytes: &[u8], from: u64, length: u64) -> Result<Vec<u8>> {
    Ok(crate::bytes::part(bytes, from as usize, length as usize).to_vec())
}
