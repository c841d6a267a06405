//! A file or a block device, opened read-only: a source is never written.

use crate::{Disk, Error, Extent, Kind, Result, SECTOR, extents, span, within};
use rustix::fs::SeekFrom as Find;
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// An opened image file or block device.
#[derive(Debug)]
pub struct FileDisk {
    file: File,
    path: PathBuf,
    length: u64,
    sector_size: u32,
    /// The run of data that was found last. To find its end the kernel may look at every cached page of it: asked for again at
    /// each small piece of a large run, it would do little else.
    data: Mutex<Range<u64>>,
}

impl FileDisk {
    /// Opens for reading only. A block device's length is where its end can be sought, its sectors are what the kernel
    /// says (BLKSSZGET).
    pub fn open_read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        let io = |e| Error::io(format!("cannot open {}", path.display()), e);
        let mut file = File::open(&path).map_err(io)?;
        let kind = file.metadata().map_err(io)?.file_type();
        if kind.is_dir() {
            return Err(Error::new(format!("{} is a directory, not a disk", path.display())));
        }
        let length = file.seek(SeekFrom::End(0)).map_err(io)?;
        let sector_size = match kind.is_block_device() {
            true => rustix::fs::ioctl_blksszget(&file).map_err(|e| io(e.into()))?,
            false => SECTOR,
        };
        Ok(Self { file, path, length, sector_size, data: Mutex::default() })
    }

    /// The next data at or behind `at`, and its end; `None` where the rest is a hole.
    fn data_from(&self, at: u64) -> Option<Range<u64>> {
        let mut known = self.data.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(&at) {
            return Some(at..known.end);
        }
        let data = match rustix::fs::seek(&self.file, Find::Data(at)) {
            Ok(data) => data.max(at),
            Err(Errno::NXIO) => return None,
            Err(_) => at,
        };
        // A file that changes meanwhile could answer with no progress; the rest is data then.
        let hole = rustix::fs::seek(&self.file, Find::Hole(data)).ok().filter(|hole| *hole > data);
        *known = data..hole.unwrap_or(u64::MAX);
        Some(known.clone())
    }
}

impl Disk for FileDisk {
    fn length(&self) -> u64 {
        self.length
    }
    fn sector_size(&self) -> u32 {
        self.sector_size
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        within(self.length, offset, buffer.len())?;
        self.file.read_exact_at(buffer, offset).map_err(|e| {
            let (size, path) = (buffer.len(), self.path.display());
            if e.kind() == io::ErrorKind::UnexpectedEof {
                let was = self.length;
                let what =
                    format!("{path} ends before byte {offset}+{size} but had {was} bytes when it was opened");
                return Error { context: format!("{what}: it was changed meanwhile"), source: Some(e) };
            }
            Error::io(format!("cannot read {size} bytes at {offset} of {path}"), e)
        })
    }
    /// As the filesystem knows them: lseek(2), SEEK_DATA and SEEK_HOLE. Where it does not (block devices, some
    /// network filesystems) the rest is data.
    fn extents(&self, start: u64, length: u64) -> Result<Vec<Extent>> {
        let end = span(self.length, start, length)?;
        let mut list = Vec::new();
        let mut at = start;
        while at < end {
            let data = self.data_from(at).unwrap_or(end..end);
            let (start, stop) = (data.start.min(end), data.end.min(end));
            extents::push(&mut list, at, start - at, Kind::Zero);
            extents::push(&mut list, start, stop - start, Kind::Data);
            at = stop;
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_there_and_refuses_the_rest() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"0123456789").unwrap();
        let disk = FileDisk::open_read(file.path()).unwrap();
        let mut buffer = [0; 4];
        disk.read_at(6, &mut buffer).unwrap();
        assert_eq!(&buffer, b"6789");
        assert!(disk.read_at(7, &mut buffer).is_err());
        assert!(disk.read_at(u64::MAX, &mut buffer).is_err());
        assert!(disk.write_at(0, b"x").is_err());
        assert_eq!(std::fs::read(file.path()).unwrap(), b"0123456789");
    }

    #[test]
    fn a_file_that_shrank_is_said_to_have() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [1; 100]).unwrap();
        let disk = FileDisk::open_read(file.path()).unwrap();
        file.as_file().set_len(50).unwrap();
        disk.read_at(0, &mut [0; 50]).unwrap();
        let error = disk.read_at(40, &mut [0; 20]).unwrap_err().to_string();
        assert!(
            error.contains("40+20") && error.contains("100 bytes") && error.contains("changed"),
            "{error}"
        );
    }

    #[test]
    fn a_directory_is_no_disk() {
        assert!(FileDisk::open_read("/").unwrap_err().to_string().contains("directory"));
    }

    #[test]
    fn holes_are_known_and_gapless() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(8 << 20).unwrap();
        file.as_file().write_all_at(&[7; 4096], 4 << 20).unwrap();
        let disk = FileDisk::open_read(file.path()).unwrap();
        let list = disk.extents(0, 8 << 20).unwrap();
        let mut at = 0;
        for extent in &list {
            assert_eq!(extent.offset, at);
            at += extent.length;
        }
        assert_eq!(at, 8 << 20);
        let inside = |extent: &&Extent| extent.offset <= 4 << 20 && extent.offset + extent.length > 4 << 20;
        assert_eq!(list.iter().find(inside).unwrap().kind, Kind::Data);
        assert!(disk.extents(1, 8 << 20).is_err());
        assert!(disk.extents(5, 0).unwrap().is_empty());
    }
}
