//! A file or a block device, opened read-only: a source is never written.

use crate::{Disk, Error, Result, within};
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// An opened image file or block device.
#[derive(Debug)]
pub struct FileDisk {
    file: File,
    path: PathBuf,
    length: u64,
}

impl FileDisk {
    /// Opens for reading only. A block device's length is where its end can be sought.
    pub fn open_read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        let io = |e| Error::io(format!("cannot open {}", path.display()), e);
        let mut file = File::open(&path).map_err(io)?;
        if file.metadata().map_err(io)?.is_dir() {
            return Err(Error::new(format!("{} is a directory, not a disk", path.display())));
        }
        let length = file.seek(SeekFrom::End(0)).map_err(io)?;
        Ok(Self { file, path, length })
    }
}

impl Disk for FileDisk {
    fn length(&self) -> u64 {
        self.length
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        within(self.length, offset, buffer.len())?;
        let what = format!("cannot read {} bytes at {offset} of {}", buffer.len(), self.path.display());
        self.file.read_exact_at(buffer, offset).map_err(|e| Error::io(what, e))
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
    fn a_directory_is_no_disk() {
        assert!(FileDisk::open_read("/").unwrap_err().to_string().contains("directory"));
    }
}
