//! Changes to the tree of files. Every change ends with all records stored; pages reach the device by `sync`.

use crate::attribute::{Attribute, DATA, ROOT, SECURITY, STANDARD};
use crate::bytes::{put_u32, u32_at, u64_at};
use crate::content::refusal;
use crate::file::{File, filetime, unix_time};
use crate::index::NAMES;
use crate::links::now;
use crate::meta::{ATTRIBUTES, REPARSE, SECURITY_ID, TIMES};
use crate::name::{self, ARCHIVE};
use crate::record::{DIRECTORY, IN_USE, NUMBER};
use crate::reparse::{Meaning, link, meaning};
use crate::tree::empty_root;
use crate::volume::{FIRST_USER, ROOT as ROOT_DIRECTORY, SECURE, Volume};
use std::rc::Rc;
use wherry_sdk::path::not_found;
use wherry_sdk::{Blob, Error, ErrorKind, Meta, Result};

/// The file `$Boot`, whose data is the boot sector.
const BOOT: u64 = 7;
/// Where it says how many sectors a track and how many heads a disk has. NTLDR's boot code counts by them, and they are the only
/// bytes of the file system's own files that may be changed.
const GEOMETRY: std::ops::Range<u64> = 0x18..0x1c;

/// Attributes that `meta` may set: read-only, hidden, system, archive, normal, temporary, offline, not indexed.
const SETTABLE: u32 = 0x31a7;
/// The index of access rights by number, in `$Secure`.
const SECURITY_INDEX: &[u16] = &[0x24, 0x53, 0x49, 0x49];
/// Directories above the deepest one; what lies deeper leads in a circle.
const DEPTH_MOST: usize = 4096;

fn refuse<T>(kind: ErrorKind, message: String) -> Result<T> {
    Err(Error::new(kind, message))
}

fn attribute<'m>(meta: &'m Meta, name: &str) -> Option<&'m [u8]> {
    meta.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_slice())
}

impl Volume<'_> {
    /// Runs one change.
    pub fn edit<T>(&mut self, act: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.writing.begin()?;
        let before = self.device.changes();
        let result = act(self);
        self.unpacked = None;
        self.writing.end(&result, self.device.changes() != before);
        result
    }

    /// The file is the user's own, not the file system's.
    fn check_user(path: &str, number: u64) -> Result<()> {
        if number < FIRST_USER && number != ROOT_DIRECTORY {
            return refuse(ErrorKind::Denied, format!("{path} is a part of the file system itself"));
        }
        Ok(())
    }

    /// The file may get new content.
    fn check_content(&mut self, path: &str, file: &File, stream: &[u16]) -> Result<()> {
        Self::check_user(path, file.number)?;
        if !stream.is_empty() {
            return Ok(());
        }
        let tag = self.tag(file)?;
        if file.is_directory() || matches!(tag.map(meaning), Some(Meaning::Link | Meaning::Special)) {
            return refuse(ErrorKind::InvalidInput, format!("{path} is not a regular file"));
        }
        match refusal(file, stream, None) {
            Some(error) => Err(error.within(path)),
            None => Ok(()),
        }
    }

    /// Refuses early what cannot fit: `size` bytes where `old` clusters are given back or go on being used.
    fn check_room(&mut self, size: u64, old: u64) -> Result<()> {
        let wanted = size.div_ceil(self.boot.cluster).saturating_sub(old);
        let free = self.free_clusters()?;
        if size > self.record_room() as u64 && wanted > free {
            let message =
                format!("the volume has {free} free clusters, {wanted} are needed: free some in the guest");
            return refuse(ErrorKind::NoSpace, message);
        }
        Ok(())
    }

    /// Content was changed just now: times, then what directories say.
    fn finish(&mut self, mut file: File) -> Result<()> {
        let [created, _, _, access] = file.times();
        file.set_times([created, now(), now(), access]);
        file.set_file_flags(file.file_flags() | ARCHIVE);
        self.store(&mut file)?;
        self.refresh(&file)
    }

    /// Creates a file or replaces its content.
    pub fn write_file(&mut self, path: &str, content: &dyn Blob, like: Option<&Meta>) -> Result<()> {
        let place = self.locate(path)?;
        Self::check_user(path, place.directory.number)?;
        if let Some((file, _)) = place.found {
            self.check_content(path, &file, &place.stream)?;
            let old = file.get(DATA, &place.stream).and_then(Attribute::clusters);
            self.check_room(content.size(), old.map_or(0, |old| old.runs.allocated()))?;
            let mut file = (*file).clone();
            self.replace(&mut file, &place.stream, content)?;
            return self.finish(file);
        }
        self.check_room(content.size(), 0)?;
        let mut file = self.make(&place.directory, place.name, false, like)?;
        self.replace(&mut file, &[], content)?;
        self.enter(file, &place.directory, place.name)
    }

    /// Overwrites an existing file from `offset` on.
    pub fn modify_file(&mut self, path: &str, offset: u64, content: &dyn Blob) -> Result<()> {
        let target = self.resolve(path)?;
        let end = offset.saturating_add(content.size());
        if target.file.number == BOOT && GEOMETRY.contains(&offset) && end <= GEOMETRY.end {
            let mut file = (*target.file).clone();
            self.overwrite(&mut file, &[], offset, content).map_err(|error| error.within(path))?;
            return self.device.write_backup(offset, &content.read(0, content.size() as u32)?);
        }
        self.check_content(path, &target.file, &target.stream)?;
        let size = target.data().map_or(0, Attribute::size);
        if offset > size {
            let message = format!("{path} has {size} bytes, so byte {offset} would leave a gap");
            return refuse(ErrorKind::InvalidInput, message);
        }
        let old = target.data().and_then(Attribute::clusters).map_or(0, |old| old.runs.end());
        self.check_room(offset.saturating_add(content.size()).max(size), old)?;
        let mut file = (*target.file).clone();
        self.overwrite(&mut file, &target.stream, offset, content).map_err(|error| error.within(path))?;
        self.finish(file)
    }

    /// A new file without a name: times, flags, access rights.
    fn make(&mut self, directory: &File, name: &str, index: bool, like: Option<&Meta>) -> Result<File> {
        name::new(name)?;
        let (number, sequence) = self.allocate_record(false)?;
        let flags = if index { IN_USE | DIRECTORY } else { IN_USE };
        let (attributes, extensions, list) = Default::default();
        let mut file = File { number, sequence, flags, attributes, extensions, list };
        let length = if self.about.version.0 >= 3 { 0x48 } else { 0x30 };
        file.add(Attribute::resident(STANDARD, &[], vec![0; length]));
        file.set_times([now(); 4]);
        file.set_file_flags(if index { 0 } else { ARCHIVE });
        // Who may do what: as with the directory, by number since version 3, else by a descriptor of its own.
        let descriptor = self.whole(directory, SECURITY, &[])?;
        match directory.security() {
            0 => file.attributes.extend(descriptor.map(|bytes| Attribute::resident(SECURITY, &[], bytes))),
            id => file.standard().into_iter().for_each(|standard| put_u32(standard, 0x34, id)),
        }
        if let Some(like) = like {
            self.dress(&mut file, like)?;
        }
        if index {
            let root = empty_root(self.boot.block, self.boot.cluster);
            file.add(Attribute::resident(ROOT, NAMES, root));
        }
        Ok(file)
    }

    /// Stores a new file and gives it its name.
    fn enter(&mut self, mut file: File, directory: &Rc<File>, name: &str) -> Result<()> {
        let (units, space) = name::new(name)?;
        self.link(&mut file, directory.number, &units, space)?;
        self.store(&mut file)
    }

    /// Time, flags and access rights from `meta`; what it does not name stays.
    fn dress(&mut self, file: &mut File, meta: &Meta) -> Result<()> {
        let directory = file.is_directory();
        let mut flags = file.file_flags();
        if let Some(bytes) = attribute(meta, ATTRIBUTES) {
            flags = flags & !SETTABLE | u32_at(bytes, 0) & SETTABLE;
        }
        if !directory {
            let read_only = if meta.mode & 0o222 == 0 { name::READ_ONLY } else { 0 };
            flags = flags & !name::READ_ONLY | read_only;
        }
        file.set_file_flags(flags);
        let mut times = file.times();
        if let Some(bytes) = attribute(meta, TIMES).filter(|bytes| bytes.len() == 32) {
            times = [0, 8, 16, 24].map(|at| u64_at(bytes, at));
        }
        if unix_time(times[1]) != meta.mtime {
            times[1] = filetime(meta.mtime);
        }
        file.set_times(times);
        match attribute(meta, SECURITY_ID) {
            Some(bytes) => self.set_security(file, u32_at(bytes, 0)),
            None => Ok(()),
        }
    }

    /// Sets the number of the access rights, if the volume has it.
    fn set_security(&mut self, file: &mut File, id: u32) -> Result<()> {
        if self.about.version.0 < 3 || id == 0 {
            return Ok(());
        }
        let mut secure = (*self.file(SECURE)?).clone();
        if !self.index_has(&mut secure, SECURITY_INDEX, &id.to_le_bytes())? {
            return Ok(());
        }
        let own = file.take(SECURITY, &[]);
        self.empty(own)?;
        if let Some(standard) = file.standard() {
            standard.resize(standard.len().max(0x48), 0);
            put_u32(standard, 0x34, id);
        }
        Ok(())
    }

    /// Makes a directory.
    pub fn make_directory_at(&mut self, path: &str, like: Option<&Meta>) -> Result<()> {
        let place = self.locate(path)?;
        Self::check_user(path, place.directory.number)?;
        if place.found.is_some() && place.stream.is_empty() {
            return refuse(ErrorKind::Exists, format!("{path} exists already"));
        }
        let file = self.make(&place.directory, place.name, true, like)?;
        self.enter(file, &place.directory, place.name)
    }

    /// Makes a symbolic link; Windows tells those to directories from those to files.
    pub fn make_symlink_at(&mut self, path: &str, target: &str, like: Option<&Meta>) -> Result<()> {
        let place = self.locate(path)?;
        Self::check_user(path, place.directory.number)?;
        if place.found.is_some() && place.stream.is_empty() {
            return refuse(ErrorKind::Exists, format!("{path} exists already"));
        }
        let reparse = link(target)?;
        let index = self.leads_to_directory(path, target);
        let mut file = self.make(&place.directory, place.name, index, like)?;
        if !index {
            file.add(Attribute::resident(DATA, &[], Vec::new()));
        }
        self.add_reparse(&mut file, reparse)?;
        self.enter(file, &place.directory, place.name)
    }

    fn leads_to_directory(&mut self, path: &str, target: &str) -> bool {
        let start =
            if target.starts_with('/') { "" } else { path.rsplit_once('/').map_or("", |(upper, _)| upper) };
        let mut names: Vec<&str> = start.split('/').collect();
        for name in target.split('/') {
            if name == ".." {
                names.pop();
            } else {
                names.push(name);
            }
        }
        let found = self.resolve(&format!("/{}", names.join("/")));
        found.is_ok_and(|target| target.file.is_directory() && target.stream.is_empty())
    }

    fn is_empty(&mut self, directory: &File) -> Result<bool> {
        let mut count = 0;
        self.walk(directory, NAMES, &mut |_, _| count += 1)?;
        Ok(count == 0)
    }

    /// Removes a file, a link, a stream or an empty directory.
    pub fn remove_object(&mut self, path: &str) -> Result<()> {
        let place = self.locate(path)?;
        let Some((file, name)) = place.found else { return Err(not_found(path)) };
        Self::check_user(path, file.number)?;
        let mut file = (*file).clone();
        if place.stream.is_empty() {
            return self.remove_name(path, file, place.directory.number, &name);
        }
        let stream = file.take(DATA, &place.stream);
        if stream.is_none() {
            return Err(not_found(path));
        }
        self.empty(stream)?;
        self.finish(file)
    }

    fn remove_name(&mut self, path: &str, mut file: File, directory: u64, name: &[u16]) -> Result<()> {
        if file.is_directory() && !self.is_empty(&file)? {
            return refuse(ErrorKind::InvalidInput, format!("{path} is not empty"));
        }
        self.unlink(&mut file, directory, name)?;
        if file.names()?.is_empty() {
            return self.destroy(file);
        }
        self.store(&mut file)?;
        self.refresh(&file)
    }

    /// Gives an object another name, in the place of what is there.
    pub fn rename_object(&mut self, old: &str, new: &str) -> Result<()> {
        let (from, to) = (self.locate(old)?, self.locate(new)?);
        let Some((file, name)) = from.found else { return Err(not_found(old)) };
        if !from.stream.is_empty() || !to.stream.is_empty() {
            return Err(Error::unsupported("streams are not renamed: write a new one and remove the old"));
        }
        Self::check_user(old, file.number)?;
        Self::check_user(new, to.directory.number)?;
        let (units, space) = name::new(to.name)?;
        if file.is_directory() && self.is_below(to.directory.number, file.number)? {
            return refuse(ErrorKind::InvalidInput, format!("{new} lies within {old}"));
        }
        if let Some((other, stored)) = to.found {
            let same = other.number == file.number;
            if same && (stored == units || to.directory.number != from.directory.number) {
                // Another name of the same file, or its own.
                return Ok(());
            }
            if !same {
                Self::check_user(new, other.number)?;
                if other.is_directory() != file.is_directory() {
                    return refuse(
                        ErrorKind::InvalidInput,
                        format!("{old} and {new}: one of them is a directory"),
                    );
                }
                self.remove_name(new, (*other).clone(), to.directory.number, &stored)?;
            }
        }
        let mut file = (*self.file(file.number)?).clone();
        self.unlink(&mut file, from.directory.number, &name)?;
        self.link(&mut file, to.directory.number, &units, space)?;
        let [created, modified, _, access] = file.times();
        file.set_times([created, modified, now(), access]);
        self.store(&mut file)?;
        self.refresh(&file)
    }

    /// Whether the directory `number` is `top` or lies below it.
    fn is_below(&mut self, mut number: u64, top: u64) -> Result<bool> {
        for _ in 0..DEPTH_MOST {
            if number == top {
                return Ok(true);
            }
            if number == ROOT_DIRECTORY {
                return Ok(false);
            }
            let names = self.file(number)?.names()?;
            number = names.first().map_or(ROOT_DIRECTORY, |name| name.parent & NUMBER);
        }
        refuse(ErrorKind::Corrupt, "directories lead in a circle: run chkdsk".into())
    }

    /// Sets mode, time and attributes from `meta`; attributes that it does not name stay.
    pub fn set_metadata(&mut self, path: &str, meta: &Meta) -> Result<()> {
        let target = self.resolve(path)?;
        Self::check_user(path, target.file.number)?;
        let mut file = (*target.file).clone();
        if let Some(reparse) = attribute(meta, REPARSE)
            && self.reparse(&file)?.unwrap_or_default() != reparse
        {
            self.remove_reparse(&mut file)?;
            if reparse.len() >= 8 {
                self.add_reparse(&mut file, reparse.to_vec())?;
            }
        }
        self.dress(&mut file, meta)?;
        let [created, modified, _, access] = file.times();
        let changed = if attribute(meta, TIMES).is_some() { file.times()[2] } else { now() };
        file.set_times([created, modified, changed, access]);
        self.store(&mut file)?;
        self.refresh(&file)
    }
}
