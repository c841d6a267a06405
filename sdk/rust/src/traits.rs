//! One trait for each world. Every byte an adapter reads comes from a [`Blob`] or a [`Tree`], and is not to be trusted.

use crate::definition;
use crate::filesystem::Identity;
use crate::format::{Ending, Extent, ImageFacts, Part, Shape, Unit};
use crate::http::{Request, Response};
use crate::source::{Adaptation, OperatingSystem, Partition};
use crate::target::{Machine, Offer, Shipment, Sink};
use crate::volume::{Added, Addition, DevicePatch, Layout};
use crate::{Change, DeviceProfile, EntryPage, Fact, Meta, Patch, Range, Result, Room, Volume};

/// The most bytes one read may ask for.
pub const READ_MOST: u32 = 1 << 20;

/// Bytes lent by the host: a disk, a partition, an image file, new content.
pub trait Blob {
    /// Length in bytes.
    fn size(&self) -> u64;
    /// Logical sector size in bytes.
    fn sector_size(&self) -> u32;
    /// Whether [`Blob::write`] can succeed.
    fn writable(&self) -> bool;
    /// Exactly `length` bytes (at most [`READ_MOST`]) from `offset`.
    fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>>;
    /// Several ranges concatenated, at most [`READ_MOST`] bytes in all, in one crossing.
    fn read_many(&self, ranges: &[Range]) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        for range in ranges {
            all.extend(self.read(range.offset, range.length.try_into().unwrap_or(u32::MAX))?);
        }
        Ok(all)
    }
    /// Writes into the overlay; cannot grow the blob.
    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()>;
    /// Writes several pieces, each at its offset; neighbours, in ascending order, in one crossing.
    fn write_many(&self, pieces: &[(u64, &[u8])]) -> Result<()> {
        let (mut start, mut run) = (0, Vec::new());
        for (offset, bytes) in pieces {
            if *offset != start + run.len() as u64 || run.len() + bytes.len() > READ_MOST as usize {
                if !run.is_empty() {
                    self.write(start, &run)?;
                }
                (start, run) = (*offset, Vec::new());
            }
            run.extend_from_slice(bytes);
        }
        if run.is_empty() { Ok(()) } else { self.write(start, &run) }
    }
}

impl<B: Blob + ?Sized> Blob for &B {
    fn size(&self) -> u64 {
        (**self).size()
    }
    fn sector_size(&self) -> u32 {
        (**self).sector_size()
    }
    fn writable(&self) -> bool {
        (**self).writable()
    }
    fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        (**self).read(offset, length)
    }
    fn read_many(&self, ranges: &[Range]) -> Result<Vec<u8>> {
        (**self).read_many(ranges)
    }
    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        (**self).write(offset, bytes)
    }
    fn write_many(&self, pieces: &[(u64, &[u8])]) -> Result<()> {
        (**self).write_many(pieces)
    }
}

/// The guest's files as the guest would see them.
#[allow(missing_docs, reason = "the same functions as interface `tree`, documented there")]
pub trait Tree {
    fn volumes(&self) -> Vec<Volume>;
    fn mount(&self, volume: &str, path: &str) -> Result<()>;
    fn mount_inside(&self, volume: &str, inside: &str, path: &str) -> Result<()>;
    fn unmount_all(&self);
    fn stat(&self, path: &str) -> Result<Meta>;
    fn entries(&self, path: &str) -> Result<Vec<crate::Entry>>;
    fn read(&self, path: &str, offset: u64, length: u32) -> Result<Vec<u8>>;
    fn read_link(&self, path: &str) -> Result<String>;
    fn canonical(&self, path: &str) -> Result<String>;
    fn room(&self, path: &str) -> Result<Room>;
    fn write(&self, path: &str, bytes: &[u8], like: Option<&Meta>, reason: &str) -> Result<()>;
    fn modify(&self, path: &str, patches: &[Patch], shown: Option<&Change>, reason: &str) -> Result<()>;
    fn rename(&self, old: &str, new: &str, reason: &str) -> Result<()>;
    fn remove(&self, path: &str, reason: &str) -> Result<()>;
    fn make_directory(&self, path: &str, like: Option<&Meta>, reason: &str) -> Result<()>;
    fn make_symlink(&self, path: &str, target: &str, reason: &str) -> Result<()>;
    fn write_boot_code(&self, disk: &str, patches: &[Patch], reason: &str) -> Result<()>;
    fn relabel(&self, volumes: &[String], facts: &[Fact], reason: &str) -> Result<u64>;
    fn pending(&self) -> Vec<String>;
    fn defer(&self, means: &str);

    /// Adds to the end of a file.
    fn append(&self, path: &str, bytes: &[u8], reason: &str) -> Result<()> {
        let offset = self.stat(&self.canonical(path)?)?.size;
        self.modify(path, &[Patch { offset, bytes: bytes.to_vec() }], None, reason)
    }

    /// The whole file, unless it is longer than `most` bytes (`limit`).
    fn read_all(&self, path: &str, most: u64) -> Result<Vec<u8>> {
        let size = self.stat(&self.canonical(path)?)?.size;
        if size > most {
            let message = format!("{path} has {size} bytes, more than the {most} expected here");
            return Err(crate::Error::new(crate::ErrorKind::Limit, message));
        }
        let mut bytes = Vec::with_capacity(size as usize);
        while (bytes.len() as u64) < size {
            let piece = self.read(path, bytes.len() as u64, READ_MOST)?;
            if piece.is_empty() {
                break;
            }
            bytes.extend(piece);
        }
        Ok(bytes)
    }
}

/// One directory of the operator's choice.
#[allow(missing_docs, reason = "the same functions as interface `output`, documented there")]
pub trait Output {
    fn write(&self, name: &str, bytes: &[u8], executable: bool) -> Result<()>;
    fn read(&self, name: &str) -> Result<Vec<u8>>;
    fn names(&self) -> Result<Vec<String>>;
    fn remove(&self, name: &str) -> Result<()>;
    fn path(&self) -> String;
}

/// The servers that the operator named.
pub trait Http {
    /// Sends one request and waits for the whole answer; an answer of any status is no error.
    fn send(&self, request: &Request) -> Result<Response>;
}

/// What the host lends to a target adapter that talks to servers.
#[derive(Clone, Copy)]
pub struct Host<'a> {
    /// The output directory; for `profile` there is none yet.
    pub output: &'a dyn Output,
    /// The servers; each request is `denied` where the operator named none.
    pub http: &'a dyn Http,
}

/// World `disk-format`.
pub trait DiskFormat: 'static {
    /// Reads an existing image.
    type Reader: FormatReader;
    /// Makes a new one.
    type Writer: FormatWriter;
    /// The variant's name if these are the first and last bytes of such an image.
    fn probe(head: &[u8], tail: &[u8]) -> Option<String>;
}

/// An opened image.
pub trait FormatReader: Sized + 'static {
    /// Part 0 is the image, then its files if the host could open them, then the parents that the operator named.
    fn open(parts: Vec<Box<dyn Blob>>) -> Result<Self>;
    /// Size, unit, parent, concerns.
    fn facts(&self) -> ImageFacts;
    /// Ordered, gapless extents from logical byte `start`; empty is the end.
    fn extents(&mut self, start: u64, most: u32) -> Result<Vec<Extent>>;
    /// Ranges written since a mark was set, from byte `start` on; empty is the end. Most formats have no marks.
    fn changed(&mut self, mark: &str, _start: u64, _most: u32) -> Result<Vec<Range>> {
        Err(crate::Error::unsupported(format!(
            "this format has no mark `{mark}` that tells what was written since"
        )))
    }
}

/// A new image in the making.
pub trait FormatWriter: Sized + 'static {
    /// `virtual_size` bytes; options as the adapter documents them.
    fn create(virtual_size: u64, options: &[Fact]) -> Result<Self>;
    /// What the host does to data before it is placed.
    fn shape(&self) -> Shape;
    /// File offsets for these units, deterministic in the order of calls.
    fn place(&mut self, units: &[Unit]) -> Result<Vec<u64>>;
    /// `Shape::lead` bytes in front of each of these units.
    fn heads(&mut self, _units: &[Unit]) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }
    /// The files beside the image's own, which is going to be called `name`; none for most formats.
    fn parts(&mut self, _name: &str) -> Result<Vec<Part>> {
        Ok(Vec::new())
    }
    /// Bytes of each of the parts.
    fn lengths(&mut self) -> Result<Vec<u64>> {
        Ok(Vec::new())
    }
    /// Page `page` of what is left to write.
    fn finish(&mut self, page: u32) -> Result<Ending>;
}

/// World `volume-map`.
pub trait VolumeMap: 'static {
    /// The parts found on these devices.
    fn scan(devices: &[Box<dyn Blob>]) -> Result<Layout>;
    /// Room for a new partition; only partition tables take any.
    fn add_partition(_device: &dyn Blob, _addition: &Addition) -> Result<Added> {
        Err(crate::Error::new(crate::ErrorKind::NotFound, "this adapter makes no partitions"))
    }
    /// What has to be written so that labels say where these devices are; facts as in interface `volume`. Most maps keep no places.
    fn relabel(_devices: &[Box<dyn Blob>], _facts: &[Fact]) -> Result<Vec<DevicePatch>> {
        Err(crate::Error::unsupported("nothing here says where its devices are"))
    }
}

/// World `filesystem-driver`; an implementation is one mounted file system.
#[allow(missing_docs, reason = "the same functions as interface `filesystem`, documented there")]
pub trait FileSystem: Sized + 'static {
    fn probe(device: &dyn Blob) -> Result<Option<Identity>>;
    fn format(_device: &dyn Blob, kind: &str, _label: &str) -> Result<()> {
        let message = format!("this adapter makes no file system of the kind {kind}");
        Err(crate::Error::new(crate::ErrorKind::NotFound, message))
    }
    fn mount(device: Box<dyn Blob>, writable: bool) -> Result<Self>;
    fn stat(&mut self, path: &str) -> Result<Meta>;
    fn entries(&mut self, path: &str, start: u64, most: u32) -> Result<EntryPage>;
    fn read(&mut self, path: &str, offset: u64, length: u32) -> Result<Vec<u8>>;
    fn read_link(&mut self, path: &str) -> Result<String>;
    fn room(&mut self) -> Result<Room>;
    fn write(&mut self, path: &str, content: &dyn Blob, like: Option<&Meta>) -> Result<()>;
    fn modify(&mut self, path: &str, offset: u64, content: &dyn Blob) -> Result<()>;
    fn rename(&mut self, old: &str, new: &str) -> Result<()>;
    fn remove(&mut self, path: &str) -> Result<()>;
    fn make_directory(&mut self, path: &str, like: Option<&Meta>) -> Result<()>;
    fn make_symlink(&mut self, path: &str, target: &str, like: Option<&Meta>) -> Result<()>;
    fn set_meta(&mut self, path: &str, meta: &Meta) -> Result<()>;
    fn used(&mut self, start: u64, most: u32) -> Result<Vec<Range>>;
    fn sync(&mut self) -> Result<()>;

    /// Adds to the end of a file.
    fn append(&mut self, path: &str, content: &dyn Blob) -> Result<()> {
        let size = self.stat(path)?.size;
        self.modify(path, size, content)
    }
}

/// World `machine-definition`.
pub trait MachineDefinition: 'static {
    /// Plain names of files beside `name` that are read together with it.
    fn companions(word: &str, name: &str) -> Vec<String>;
    /// Reads a definition and its companions, each with its name.
    fn read(word: &str, files: &[(String, Box<dyn Blob>)], options: &[Fact]) -> Result<definition::Machine>;
}

/// World `source-os`.
pub trait SourceOs: 'static {
    /// None: not mine. Mounts the guest's file systems.
    fn identify(guest: &dyn Tree) -> Result<Option<OperatingSystem>>;
    /// What has to be made on the disks before; nothing for most guests.
    fn partitions(_guest: &dyn Tree, _profile: &DeviceProfile, _options: &[Fact]) -> Result<Vec<Partition>> {
        Ok(Vec::new())
    }
    /// Edits the guest for `profile`.
    fn adapt(guest: &dyn Tree, profile: &DeviceProfile, options: &[Fact]) -> Result<Adaptation>;
}

/// World `target-platform`, where machines are files.
pub trait TargetPlatform: 'static {
    /// What is possible, a fact for each value.
    fn capabilities() -> Result<Vec<Fact>>;
    /// The device profile this machine will get, and what speaks against it.
    fn profile(machine: &Machine) -> Result<Offer>;
    /// Claims the place; where each disk goes.
    fn prepare(
        output: &dyn Output,
        key: &str,
        machine: &Machine,
        profile: &DeviceProfile,
    ) -> Result<Vec<Sink>>;
    /// Defines the machine.
    fn finish(
        output: &dyn Output,
        key: &str,
        machine: &Machine,
        profile: &DeviceProfile,
    ) -> Result<Vec<Fact>>;
    /// Removes what `key` made.
    fn undo(output: &dyn Output, key: &str, machine: &Machine) -> Result<()>;
}

/// World `target-platform`, where servers are asked; the manifest asks for the right `http`.
pub trait LivePlatform: 'static {
    /// What is possible, a fact for each value.
    fn capabilities() -> Result<Vec<Fact>>;
    /// The device profile this machine will get, and what speaks against it; nothing is changed, here and on the server.
    fn profile(host: Host<'_>, machine: &Machine) -> Result<Offer>;
    /// Claims the place; where each disk goes.
    fn prepare(host: Host<'_>, key: &str, machine: &Machine, profile: &DeviceProfile) -> Result<Vec<Sink>>;
    /// What the host has to send once the disks are complete; leftovers of this key on the server are removed first.
    fn ship(
        _host: Host<'_>,
        _key: &str,
        _machine: &Machine,
        _profile: &DeviceProfile,
    ) -> Result<Option<Shipment>> {
        Ok(None)
    }
    /// Called while the host sends; `note` is the shipment's, `done` and `total` are bytes.
    fn sending(
        _host: Host<'_>,
        _key: &str,
        _machine: &Machine,
        _note: &str,
        (_done, _total): (u64, u64),
    ) -> Result<()> {
        Ok(())
    }
    /// Gives back what `ship` has taken.
    fn abandon(_host: Host<'_>, _key: &str, _machine: &Machine, _note: &str) -> Result<()> {
        Ok(())
    }
    /// Defines the machine.
    fn finish(host: Host<'_>, key: &str, machine: &Machine, profile: &DeviceProfile) -> Result<Vec<Fact>>;
    /// Removes what `key` made.
    fn undo(host: Host<'_>, key: &str, machine: &Machine) -> Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::RefCell;

    /// Notes what is written to it.
    #[derive(Default)]
    struct Notes(RefCell<Vec<(u64, usize)>>);

    impl Blob for Notes {
        fn size(&self) -> u64 {
            u64::MAX
        }
        fn sector_size(&self) -> u32 {
            512
        }
        fn writable(&self) -> bool {
            true
        }
        fn read(&self, _: u64, length: u32) -> Result<Vec<u8>> {
            Ok(vec![0; length as usize])
        }
        fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
            self.0.borrow_mut().push((offset, bytes.len()));
            Ok(())
        }
    }

    #[test]
    fn neighbours_are_written_together() {
        let (notes, block) = (Notes::default(), vec![7; 400_000]);
        let pieces: Vec<(u64, &[u8])> =
            [0, 400_000, 800_000, 5_000_000, 5_400_000].map(|at| (at, block.as_slice())).into();
        assert_eq!(notes.write_many(&[]), Ok(()));
        assert_eq!(notes.write_many(&pieces), Ok(()));
        assert_eq!(*notes.0.borrow(), [(0, 800_000), (800_000, 400_000), (5_000_000, 800_000)]);
    }
}
