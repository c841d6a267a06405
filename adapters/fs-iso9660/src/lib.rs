//! ISO 9660 as vendors' driver disks have it: read, with Rock Ridge's or Joliet's names; and High Sierra, which Solaris' hsfs
//! is called after.

mod descriptor;
mod directory;
mod record;
mod rock;

use crate::descriptor::{Descriptor, Names, denied};
use crate::directory::{Entry, Tree};
use crate::record::Record;
use wherry_sdk::filesystem::Identity;
use wherry_sdk::path::components;
use wherry_sdk::{
    Blob, EntryPage, Error, ErrorKind, FileSystem, Kind, Meta, READ_MOST, Range, Result, Room, fact,
};

/// A mounted disk.
pub struct Iso {
    tree: Tree,
    root: Entry,
    /// Bytes of the volume.
    size: u64,
}

impl FileSystem for Iso {
    fn probe(device: &dyn Blob) -> Result<Option<Identity>> {
        let (all, udf) = match descriptor::read(device) {
            Ok(found) => found,
            Err(e) if e.kind == ErrorKind::Corrupt => return Ok(None),
            Err(e) => return Err(e),
        };
        let Some(first) = all.first() else { return Ok(None) };
        let (chosen, skip) = choose(device, &all)?;
        let names = match chosen.names {
            _ if skip.is_some() => "rock-ridge",
            Names::Plain => "plain",
            Names::Joliet => "joliet",
            Names::Enhanced => "enhanced",
            Names::Sierra => "high-sierra",
        };
        let mut facts = vec![fact("iso9660.names", names)];
        if udf {
            facts.push(fact("iso9660.udf", "beside it, not read"));
        }
        let label = if first.label.is_empty() { chosen.label.clone() } else { first.label.clone() };
        Ok(Some(Identity {
            kind: "iso9660".into(),
            uuid: first.time.clone(),
            label: Some(label).filter(|label| !label.is_empty()),
            block: first.block as u32,
            size: (first.blocks * first.block).min(device.size()),
            clean: true,
            facts,
        }))
    }

    fn mount(device: Box<dyn Blob>, writable: bool) -> Result<Self> {
        if writable {
            return Err(denied());
        }
        let (all, _) = descriptor::read(device.as_ref())?;
        if all.is_empty() {
            return Err(Error::corrupt(
                descriptor::SECTOR * 16,
                "no ISO 9660: there is no primary descriptor",
            ));
        }
        let (chosen, rock) = choose(device.as_ref(), &all)?;
        let (block, names, size) = (chosen.block, chosen.names, chosen.blocks * chosen.block);
        let (root, _) = Record::parse(&chosen.root, chosen.root_at, names)
            .filter(|(root, _)| root.is_directory())
            .ok_or_else(|| Error::corrupt(chosen.root_at, "the root directory's record is damaged"))?;
        let size = size.min(device.size());
        let tree = Tree { device, names, block, rock };
        let meta = Meta {
            kind: Kind::Directory,
            size: root.size,
            mode: 0o555,
            uid: 0,
            gid: 0,
            mtime: root.mtime,
            id: root.at,
            links: 1,
            attributes: Vec::new(),
        };
        let extents = vec![(root.extent * block, root.size)];
        let root = Entry { name: String::new(), meta, extents, target: None, odd: None };
        Ok(Self { tree, root, size })
    }

    fn stat(&mut self, path: &str) -> Result<Meta> {
        Ok(self.find(path)?.meta)
    }

    fn entries(&mut self, path: &str, start: u64, most: u32) -> Result<EntryPage> {
        let directory = self.find(path)?;
        if directory.meta.kind != Kind::Directory {
            return Err(invalid(format!("{path} is not a directory")));
        }
        let all = self.tree.entries(&directory.extents).map_err(|e| e.within(path))?;
        let from = usize::try_from(start).unwrap_or(usize::MAX).min(all.len());
        let to = from.saturating_add(most.max(1) as usize).min(all.len());
        let next = (to < all.len()).then_some(to as u64);
        let listed = all.into_iter().take(to).skip(from);
        let listed = listed.map(|entry| wherry_sdk::Entry { name: entry.name, meta: entry.meta });
        Ok(EntryPage { entries: listed.collect(), next })
    }

    fn read(&mut self, path: &str, offset: u64, length: u32) -> Result<Vec<u8>> {
        let file = self.find(path)?;
        if file.meta.kind != Kind::File {
            return Err(invalid(format!("{path} is no file")));
        }
        if let Some(why) = file.odd {
            return Err(Error::unsupported(format!("{path} cannot be read: {why}")));
        }
        let (mut bytes, mut at) = (Vec::new(), 0_u64);
        let (from, to) = (offset, offset.saturating_add(u64::from(length.min(READ_MOST))));
        for (start, size) in file.extents {
            let (first, last) = (from.max(at), to.min(at.saturating_add(size)));
            if first < last {
                let place = start.saturating_add(first - at);
                bytes.extend(self.tree.read(place, last - first).map_err(|e| e.within(path))?);
            }
            at = at.saturating_add(size);
        }
        Ok(bytes)
    }

    fn read_link(&mut self, path: &str) -> Result<String> {
        let entry = self.find(path)?;
        let target = entry.target.filter(|_| entry.meta.kind == Kind::Symlink);
        target.ok_or_else(|| invalid(format!("{path} is no symbolic link")))
    }

    fn room(&mut self) -> Result<Room> {
        Ok(Room { total: self.size, free: 0, free_files: Some(0) })
    }

    fn write(&mut self, _path: &str, _content: &dyn Blob, _like: Option<&Meta>) -> Result<()> {
        Err(denied())
    }

    fn modify(&mut self, _path: &str, _offset: u64, _content: &dyn Blob) -> Result<()> {
        Err(denied())
    }

    fn rename(&mut self, _old: &str, _new: &str) -> Result<()> {
        Err(denied())
    }

    fn remove(&mut self, _path: &str) -> Result<()> {
        Err(denied())
    }

    fn make_directory(&mut self, _path: &str, _like: Option<&Meta>) -> Result<()> {
        Err(denied())
    }

    fn make_symlink(&mut self, _path: &str, _target: &str, _like: Option<&Meta>) -> Result<()> {
        Err(denied())
    }

    fn set_meta(&mut self, _path: &str, _meta: &Meta) -> Result<()> {
        Err(denied())
    }

    /// All of the device: such a disk has nothing free, and boot code lies outside its files.
    fn used(&mut self, start: u64, most: u32) -> Result<Vec<Range>> {
        let end = self.tree.device.size();
        let all = (start < end && most > 0).then(|| Range { offset: start, length: end - start });
        Ok(all.into_iter().collect())
    }

    fn sync(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Iso {
    /// What is at a path: a name is looked for as it is, then in any case.
    fn find(&mut self, path: &str) -> Result<Entry> {
        let (mut place, mut above) = (self.root.clone(), Vec::new());
        for name in components(path, |_| true)? {
            if place.meta.kind != Kind::Directory {
                return Err(invalid(format!("{} is not a directory", place.name)));
            }
            if above.contains(&place.extents) {
                let message = format!("directory {} of {path} lies within itself", place.name);
                return Err(Error::new(ErrorKind::Corrupt, message));
            }
            above.push(place.extents.clone());
            // Names shown with U+FFFD stand for others that no path can hold.
            let all =
                if name.contains('\u{fffd}') { Vec::new() } else { self.tree.entries(&place.extents)? };
            let exact = all.iter().position(|entry| entry.name == name);
            let found = exact.or_else(|| {
                let folded = name.to_lowercase();
                all.iter().position(|entry| entry.name.to_lowercase() == folded)
            });
            let found = found.and_then(|at| all.into_iter().nth(at));
            place = found.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no {path}")))?;
        }
        Ok(place)
    }
}

/// The tree with the best names, and what Rock Ridge has before its entries: its own, then Joliet's, then those of ISO 9660:1999.
fn choose<'a>(device: &dyn Blob, all: &'a [Descriptor]) -> Result<(&'a Descriptor, Option<usize>)> {
    let nothing = || Error::corrupt(descriptor::SECTOR * 16, "no ISO 9660: there is no primary descriptor");
    let first = all.first().ok_or_else(nothing)?;
    if let Some((root, _)) = Record::parse(&first.root, first.root_at, first.names)
        && first.names == Names::Plain
    {
        let at = root.extent * first.block;
        if device.size().saturating_sub(at) >= descriptor::SECTOR {
            let bytes = device.read(at, descriptor::SECTOR as u32)?;
            if let Some(skip) =
                Record::parse(&bytes, at, first.names).and_then(|(own, _)| rock::skip(&own.system))
            {
                return Ok((first, Some(skip)));
            }
        }
    }
    let of = |names: Names| all.iter().find(|one| one.names == names);
    Ok((of(Names::Joliet).or_else(|| of(Names::Enhanced)).unwrap_or(first), None))
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}

wherry_sdk::register_filesystem_driver!(Iso, "../adapter.toml");
