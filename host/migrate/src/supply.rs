//! What the operator lends to the adapter that knows the guest's system: directories and images with vendors' drivers. They
//! appear among the guest's volumes with the kind `drivers`, and can only be read.

use crate::machine::Device;
use crate::{Error, Result};
use block::FileDisk;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, Metadata};
use runtime::contract::{Entry, EntryPage, ErrorKind, Fact, Kind, Meta, Volume};
use runtime::{Adapters, Answer, FileSystem, refusal};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

/// Something lent.
#[derive(Clone)]
pub enum Supply {
    /// A directory of this machine.
    Folder(Volume, Arc<Folder>),
    /// A file with a file system in it, such as an ISO.
    Image(Device),
}

impl Supply {
    /// Opens what the operator named.
    pub fn open(number: usize, path: &Path, adapters: &Adapters) -> Result<Self> {
        let told = |e: std::io::Error| Error::failed(format!("drivers in {}: {e}", path.display()));
        let block = |e: block::Error| Error::failed(format!("drivers in {}: {e}", path.display()));
        let volume =
            |size, facts| Volume { id: format!("drivers:{number}"), kind: "drivers".into(), size, facts };
        let name = Fact { key: "name".into(), value: path.display().to_string() };
        if std::fs::metadata(path).map_err(told)?.is_dir() {
            let dir = Dir::open_ambient_dir(path, ambient_authority()).map_err(told)?;
            return Ok(Self::Folder(volume(0, vec![name]), Arc::new(Folder { dir })));
        }
        let disk: Arc<dyn block::Disk> = Arc::new(FileDisk::open_read(path).map_err(block)?);
        for adapter in adapters.of(runtime::Kind::FilesystemDriver) {
            let Some(identity) = FileSystem::open(adapter)?.probe(&disk)? else { continue };
            let kind = Fact { key: "fs.kind".into(), value: identity.kind };
            return Ok(Self::Image(Device {
                volume: volume(disk.length(), vec![name, kind]),
                disk,
                segments: Vec::new(),
                copies: Vec::new(),
                member_of: None,
                holds_file_system: false,
                driver: Some(adapter.manifest.id.clone()),
                file_system_size: identity.size,
            }));
        }
        Err(Error::failed(format!(
            "no adapter knows the file system in {}: name a directory or an ISO",
            path.display()
        )))
    }

    /// What the adapter is told of it.
    pub fn volume(&self) -> &Volume {
        match self {
            Self::Folder(volume, _) => volume,
            Self::Image(device) => &device.volume,
        }
    }
}

/// A directory of this machine; symbolic links are followed within it.
pub struct Folder {
    dir: Dir,
}

fn inside(path: &str) -> &str {
    match path.trim_matches('/') {
        "" => ".",
        inner => inner,
    }
}

fn failed(path: &str, e: &std::io::Error) -> runtime::contract::Error {
    let kind = match e.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => ErrorKind::NotFound,
        std::io::ErrorKind::PermissionDenied => ErrorKind::Denied,
        _ => ErrorKind::Io,
    };
    refusal(kind, format!("{path}: {e}"))
}

fn meta(found: &Metadata) -> Meta {
    let kind = match () {
        () if found.is_dir() => Kind::Directory,
        () if found.is_file() => Kind::File,
        () => Kind::Other,
    };
    Meta {
        kind,
        size: found.len(),
        mode: 0o444,
        uid: 0,
        gid: 0,
        mtime: 0,
        id: 0,
        links: 1,
        attributes: Vec::new(),
    }
}

impl Folder {
    /// As `mounted.stat` of the contract.
    pub fn stat(&self, path: &str) -> Answer<Meta> {
        self.dir.metadata(inside(path)).map(|found| meta(&found)).map_err(|e| failed(path, &e))
    }

    /// As `mounted.entries` of the contract, all at once.
    pub fn entries(&self, path: &str) -> Answer<EntryPage> {
        let list = || -> std::io::Result<Vec<Entry>> {
            let mut entries = Vec::new();
            for entry in self.dir.read_dir(inside(path))? {
                let entry = entry?;
                let inner = format!("{}/{}", inside(path), entry.file_name().to_string_lossy());
                // A link that leads out of the directory is not there.
                let Ok(found) = self.dir.metadata(&inner) else { continue };
                entries.push(Entry {
                    name: entry.file_name().to_string_lossy().into_owned(),
                    meta: meta(&found),
                });
            }
            Ok(entries)
        };
        let mut entries = list().map_err(|e| failed(path, &e))?;
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(EntryPage { entries, next: None })
    }

    /// As `mounted.read` of the contract.
    pub fn read(&self, path: &str, offset: u64, length: u32) -> Answer<Vec<u8>> {
        let read = || -> std::io::Result<Vec<u8>> {
            let mut file = self.dir.open(inside(path))?;
            file.seek(SeekFrom::Start(offset))?;
            let mut bytes = Vec::new();
            file.take(length.into()).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        read().map_err(|e| failed(path, &e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_read_and_not_left() {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir(place.path().join("in")).unwrap();
        std::fs::write(place.path().join("in/a.inf"), b"[Version]").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", place.path().join("in/out")).unwrap();
        std::os::unix::fs::symlink("a.inf", place.path().join("in/b.inf")).unwrap();
        let folder = Folder { dir: Dir::open_ambient_dir(place.path(), ambient_authority()).unwrap() };
        let names: Vec<String> = folder.entries("/in").unwrap().entries.into_iter().map(|e| e.name).collect();
        assert_eq!(names, ["a.inf", "b.inf"]);
        assert_eq!(folder.read("/in/b.inf", 1, 3).unwrap(), b"Ver");
        assert_eq!(folder.stat("/").unwrap().kind, Kind::Directory);
        assert_eq!(folder.stat("/in/none").unwrap_err().kind, ErrorKind::NotFound);
        assert!(folder.read("/in/out", 0, 9).is_err() && folder.read("/in/../../etc/passwd", 0, 9).is_err());
    }
}
