//! A file system adapter that misbehaves as the first byte of its device says.

use wherry_sdk::filesystem::Identity;
use wherry_sdk::{Blob, Entry, EntryPage, Error, FileSystem, Kind, Meta, Range, Result, Room};

/// A mounted misbehaviour.
pub struct Hostile {
    how: u8,
    device: Box<dyn Blob>,
}

fn meta(kind: Kind) -> Meta {
    Meta {
        kind,
        size: u64::MAX,
        mode: u32::MAX,
        uid: 0,
        gid: 0,
        mtime: i64::MIN,
        id: 0,
        links: 0,
        attributes: vec![],
    }
}

fn no<T>() -> Result<T> {
    Err(Error::unsupported("this one only misbehaves"))
}

impl FileSystem for Hostile {
    fn probe(device: &dyn Blob) -> Result<Option<Identity>> {
        device.write(0, b"x").map(|()| None)
    }

    fn mount(device: Box<dyn Blob>, _writable: bool) -> Result<Self> {
        let how = device.read(0, 1)?.first().copied().unwrap_or_default();
        let size = device.size();
        match how {
            b'w' => device.write(size - 1, b"xx")?,
            b'x' => device.write(u64::MAX, b"x")?,
            b'W' => loop {
                device.write(512, &[1; 64 << 10])?;
            },
            _ => {}
        }
        Ok(Self { how, device })
    }

    fn stat(&mut self, path: &str) -> Result<Meta> {
        Ok(meta(if path == "/" { Kind::Directory } else { Kind::File }))
    }

    fn entries(&mut self, _path: &str, start: u64, most: u32) -> Result<EntryPage> {
        let entry = |name: &str| Entry { name: name.into(), meta: meta(Kind::File) };
        Ok(match self.how {
            b'c' => EntryPage { entries: vec![entry("again")], next: Some(start) },
            b'n' => EntryPage { entries: vec![entry("../escape"), entry(""), entry("..")], next: None },
            b'p' => EntryPage { entries: vec![entry("more"); most as usize + 1], next: None },
            _ => EntryPage { entries: Vec::new(), next: None },
        })
    }

    fn read(&mut self, _path: &str, _offset: u64, length: u32) -> Result<Vec<u8>> {
        Ok(vec![0; length as usize + 1])
    }

    fn read_link(&mut self, _path: &str) -> Result<String> {
        Ok("x".repeat(8 << 20))
    }

    fn room(&mut self) -> Result<Room> {
        Ok(Room { total: 0, free: u64::MAX, free_files: Some(u64::MAX) })
    }

    fn used(&mut self, start: u64, _most: u32) -> Result<Vec<Range>> {
        let size = self.device.size();
        let range = |offset, length| Range { offset, length };
        Ok(match self.how {
            b'u' => vec![range(size - 512, 1024)],
            b'U' => vec![range(u64::MAX, u64::MAX)],
            b'o' => vec![range(1024, 512), range(512, 512)],
            b'O' => vec![range(512, 1024), range(1024, 512)],
            b'e' => vec![range(start, 0)],
            b'b' => vec![range(0, 512)],
            _ => Vec::new(),
        })
    }

    fn write(&mut self, _path: &str, _content: &dyn Blob, _like: Option<&Meta>) -> Result<()> {
        no()
    }
    fn modify(&mut self, _path: &str, _offset: u64, _content: &dyn Blob) -> Result<()> {
        no()
    }
    fn rename(&mut self, _old: &str, _new: &str) -> Result<()> {
        no()
    }
    fn remove(&mut self, _path: &str) -> Result<()> {
        no()
    }
    fn make_directory(&mut self, _path: &str, _like: Option<&Meta>) -> Result<()> {
        no()
    }
    fn make_symlink(&mut self, _path: &str, _target: &str, _like: Option<&Meta>) -> Result<()> {
        no()
    }
    fn set_meta(&mut self, _path: &str, _meta: &Meta) -> Result<()> {
        no()
    }
    fn sync(&mut self) -> Result<()> {
        no()
    }
}

wherry_sdk::register_filesystem_driver!(Hostile, "../adapter.toml");
