//! Linux' swap areas: named, and seen as an empty directory that needs only its first page. What a kernel put out there is of no
//! use to the next one, unless a system sleeps in it.

mod header;

use crate::header::Header;
use wherry_sdk::filesystem::Identity;
use wherry_sdk::others;
use wherry_sdk::path::{components, not_found};
use wherry_sdk::{Blob, EntryPage, Error, ErrorKind, FileSystem, Kind, Meta, Range, Result, Room, fact};

/// An area, mounted for reading.
pub struct Swap {
    header: Header,
    /// Bytes of the device.
    device: u64,
}

/// The area on a device, if there is nothing else on it as well.
fn find(device: &dyn Blob) -> Result<Option<Header>> {
    let found = header::read(device)?;
    Ok(if found.is_some() && others::are_here(device)? { None } else { found })
}

fn no_files() -> Error {
    Error::unsupported("a swap area holds no files: nothing can be put there")
}

impl FileSystem for Swap {
    fn probe(device: &dyn Blob) -> Result<Option<Identity>> {
        let Some(header) = find(device)? else { return Ok(None) };
        let mut facts = vec![fact("swap.version", header.version)];
        if header.big {
            facts.push(fact("swap.order", "big-endian"));
        }
        if header.bad > 0 {
            facts.push(fact("swap.bad-pages", header.bad));
        }
        facts.extend(header.image.map(|image| fact("swap.hibernated", image)));
        Ok(Some(Identity {
            kind: "swap".into(),
            uuid: header.uuid.map(|uuid| uuid.to_string()),
            label: header.label,
            block: header.page,
            size: header.size,
            clean: header.image.is_none(),
            facts,
        }))
    }

    fn mount(device: Box<dyn Blob>, writable: bool) -> Result<Self> {
        let nothing = || Error::corrupt(0, "no swap area, or something else beside it");
        let header = find(device.as_ref())?.ok_or_else(nothing)?;
        if writable {
            return Err(no_files());
        }
        Ok(Self { header, device: device.size() })
    }

    fn stat(&mut self, path: &str) -> Result<Meta> {
        if !components(path, |_| true)?.is_empty() {
            return Err(not_found(path));
        }
        Ok(Meta {
            kind: Kind::Directory,
            size: 0,
            mode: 0o555,
            uid: 0,
            gid: 0,
            mtime: 0,
            id: 1,
            links: 1,
            attributes: Vec::new(),
        })
    }

    fn entries(&mut self, path: &str, _start: u64, _most: u32) -> Result<EntryPage> {
        self.stat(path)?;
        Ok(EntryPage { entries: Vec::new(), next: None })
    }

    fn read(&mut self, path: &str, _offset: u64, _length: u32) -> Result<Vec<u8>> {
        self.stat(path)?;
        Err(Error::new(ErrorKind::InvalidInput, format!("{path} is no file")))
    }

    fn read_link(&mut self, path: &str) -> Result<String> {
        self.stat(path)?;
        Err(Error::new(ErrorKind::InvalidInput, format!("{path} is no symbolic link")))
    }

    fn room(&mut self) -> Result<Room> {
        Ok(Room { total: self.header.size, free: 0, free_files: Some(0) })
    }

    fn write(&mut self, _path: &str, _content: &dyn Blob, _like: Option<&Meta>) -> Result<()> {
        Err(no_files())
    }

    fn modify(&mut self, _path: &str, _offset: u64, _content: &dyn Blob) -> Result<()> {
        Err(no_files())
    }

    fn rename(&mut self, _old: &str, _new: &str) -> Result<()> {
        Err(no_files())
    }

    fn remove(&mut self, _path: &str) -> Result<()> {
        Err(no_files())
    }

    fn make_directory(&mut self, _path: &str, _like: Option<&Meta>) -> Result<()> {
        Err(no_files())
    }

    fn make_symlink(&mut self, _path: &str, _target: &str, _like: Option<&Meta>) -> Result<()> {
        Err(no_files())
    }

    fn set_meta(&mut self, _path: &str, _meta: &Meta) -> Result<()> {
        Err(no_files())
    }

    /// The first page, or everything where that is not certain to be enough.
    fn used(&mut self, start: u64, most: u32) -> Result<Vec<Range>> {
        let end = if self.header.is_free { u64::from(self.header.page) } else { self.device };
        let rest = (start < end && most > 0).then(|| Range { offset: start, length: end - start });
        Ok(rest.into_iter().collect())
    }

    fn sync(&mut self) -> Result<()> {
        Ok(())
    }
}

wherry_sdk::register_filesystem_driver!(Swap, "../adapter.toml");
