//! Drivers for other hardware in a Linux guest's initramfs, without running guest code.
//!
//! An initramfs is a chain of archives that the kernel unpacks one over the other, so that one more archive at its
//! end can add files and replace files, and the image that is there stays as it is. [`plan`] looks into the image:
//! are the wanted modules there, do the image's own indexes name them, does anything in it load them? If so, nothing
//! is done ([`Outcome::Sufficient`]). Otherwise it makes the bytes to append ([`Outcome::Append`]):
//!
//! - the missing modules with everything they need, from the guest's `/lib/modules/VERSION`, plain if the image has
//!   no module packed in the same way;
//! - the image's module indexes with these modules' lines merged in, as text and as binary trie. They are merged, not
//!   copied: the guest's own indexes name files that the image does not have;
//! - the list of modules that this family of images loads early (`conf/modules`, `rd.driver.pre=`, ...);
//! - replacements for settings that wait for devices of the old hardware.
//!
//! What cannot be done is [`Outcome::Impossible`], with the reason and what a person can do. Before an extension is
//! returned it is unpacked over the image by the kernel's rules, and compared with what it promises.
//!
//! How it may be delivered: appended to the image's file ([`Segment::bytes`] hold the padding), or, unless
//! [`Segment::glued`], as a further image that the boot loader loads after it. To undo it, cut the file to its old
//! length.
//!
//! Sources: Linux `init/initramfs.c`, `lib/decompress*.c`, `Documentation/driver-api/early-userspace/
//! buffer-format.rst`; kmod `libkmod/libkmod-index.c`, `tools/depmod.c`; initramfs-tools(7), dracut.cmdline(7),
//! dracut's `99base`, mkinitcpio's and mkinitfs's init scripts.

mod cpio;
mod elf;
mod family;
mod hook;
mod index;
mod installed;
mod library;
mod lz4;
mod lzo;
mod nash;
mod rootfs;
mod stream;
mod trie;
mod verify;

pub use hook::add as add_hook;
pub use library::ModuleTree;
pub use stream::Image;

use family::{Family, Files, Hazards};
use index::normal;
use installed::Installed;
use library::Library;
use rootfs::{Node, Rootfs};
use std::collections::{BTreeMap, BTreeSet};
use stream::{Codec, Ending};
use wherry_sdk::{Error, ErrorKind, Result, Tree};

/// What a kernel needs early.
pub struct Need<'a> {
    /// the kernel's release, as in `/lib/modules/RELEASE`
    pub release: &'a str,
    /// the whole initramfs file
    pub image: &'a dyn Image,
    /// modules that must be loadable before the root file system is there; `-` and `_` are the same
    pub wanted: &'a [&'a str],
    /// the guest's modules for this kernel
    pub modules: &'a dyn ModuleTree,
}

/// What is to be done with the image.
#[derive(Debug)]
pub enum Outcome {
    /// Nothing: the image loads these modules already.
    Sufficient,
    /// Append this.
    Append(Segment),
    /// It cannot be made to load them: why, and what a person can do.
    Impossible {
        /// a lower-case phrase
        reason: String,
        /// a lower-case phrase
        remedy: String,
    },
}

/// An extension of an image.
#[derive(Debug)]
pub struct Segment {
    /// what to append to the image's file, padding included
    pub bytes: Vec<u8>,
    /// The bytes continue an lz4 stream: they must follow the image directly, and cannot be a file of their own.
    pub glued: bool,
    /// the program that made the image
    pub family: &'static str,
    /// Whether drivers were not there or not loaded; otherwise only settings are replaced that wait for the old hardware.
    pub drivers: bool,
    /// modules that are added
    pub added: Vec<String>,
    /// paths in the image whose content changes
    pub replaced: Vec<String>,
    /// for people: what was neutralised, and what may still matter
    pub notes: Vec<String>,
}

/// [`plan`] for an image and a module directory among the guest's files. Reads only; a caller appends
/// [`Segment::bytes`] with [`Tree::append`] after it has looked whether there is room.
pub fn extend(
    guest: &dyn Tree,
    release: &str,
    modules: &str,
    image: &str,
    wanted: &[&str],
) -> Result<Outcome> {
    let size = guest.stat(&guest.canonical(image)?)?.size;
    let image = GuestImage { guest, path: image, size };
    plan(&Need { release, image: &image, wanted, modules: &GuestModules { guest, folder: modules } })
}

struct GuestImage<'a> {
    guest: &'a dyn Tree,
    path: &'a str,
    size: u64,
}

impl Image for GuestImage<'_> {
    fn size(&self) -> u64 {
        self.size
    }
    fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        let length = u64::from(length).min(self.size.saturating_sub(offset)) as u32;
        if length == 0 { Ok(Vec::new()) } else { self.guest.read(self.path, offset, length) }
    }
}

/// A kernel's modules where the guest has them.
pub struct GuestModules<'a> {
    /// the guest's files
    pub guest: &'a dyn Tree,
    /// `/lib/modules/RELEASE`
    pub folder: &'a str,
}

impl ModuleTree for GuestModules<'_> {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        match self.guest.read_all(&format!("{}/{path}", self.folder), 64 << 20) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

const REBUILD: &str = "rebuild the initramfs in the guest with these modules before the move, or choose a disk bus \
                       whose driver it has";

/// What it takes that the image loads the wanted modules. Errors are those of reading; everything that is wrong with
/// what was read is [`Outcome::Impossible`].
pub fn plan(need: &Need<'_>) -> Result<Outcome> {
    match outcome(need) {
        Err(error)
            if matches!(error.kind, ErrorKind::Corrupt | ErrorKind::Unsupported | ErrorKind::Limit) =>
        {
            Ok(Outcome::Impossible { reason: error.message, remedy: REBUILD.to_owned() })
        }
        other => other,
    }
}

/// Whether the error is about what was read, not about reading.
fn refused(error: &Error) -> bool {
    matches!(error.kind, ErrorKind::Corrupt | ErrorKind::Unsupported | ErrorKind::Limit)
}

fn outcome(need: &Need<'_>) -> Result<Outcome> {
    let library = Library::open(need.modules)?;
    let mut wanted: Vec<String> = need.wanted.iter().map(|module| normal(module)).collect();
    wanted.retain(|module| !library.built_in(module));
    wanted.dedup();
    if let Some(module) = wanted.iter().find(|module| !library.has(module)) {
        return Err(Error::unsupported(format!("kernel {} has no module {module}", need.release)));
    }
    let needless = wanted.is_empty();
    match Work::open(need, library, wanted) {
        // Without a need for drivers, an image that is not understood is left alone.
        Err(error) if needless && refused(&error) => Ok(Outcome::Sufficient),
        opened => opened?.decide(),
    }
}

struct Work<'a> {
    need: &'a Need<'a>,
    library: Library<'a>,
    wanted: Vec<String>,
    base: Rootfs,
    ending: Ending,
    installed: Installed,
    family: Family,
}

impl<'a> Work<'a> {
    /// Unpacks the image.
    fn open(need: &'a Need<'a>, library: Library<'a>, wanted: Vec<String>) -> Result<Self> {
        let mut base = Rootfs::new();
        let ending = stream::unpack(need.image, &mut base)?;
        let installed = Installed::look(&base, need.release)?;
        let family = Family::of(&base);
        Ok(Self { need, library, wanted, base, ending, installed, family })
    }

    fn decide(self) -> Result<Outcome> {
        if self.family == Family::Nash {
            return self.script();
        }
        let incomplete = self.installed.incomplete(&self.wanted, &self.library);
        let hazards = Hazards::find(&self.base);
        let lists = self.family.lists(&self.base, &self.wanted)?;
        let loaded = self.family.loads_by_device(&self.base) || lists.is_empty();
        let forbidden = family::forbidden(&self.base, &self.wanted);
        if let Some(line) = forbidden.iter().find(|line| line.contains("\"install")) {
            return Err(Error::unsupported(line.clone()));
        }
        if let Some(reason) = self.family.refusal(&self.base) {
            let there = incomplete.is_empty() && (self.wanted.is_empty() || self.family != Family::Unknown);
            return if there { Ok(Outcome::Sufficient) } else { Err(Error::unsupported(reason)) };
        }
        if incomplete.is_empty() && loaded && hazards.files.is_empty() {
            return Ok(Outcome::Sufficient);
        }
        let incomplete: Vec<String> = incomplete.into_iter().map(str::to_owned).collect();
        let mut files = Files::new();
        let added = if incomplete.is_empty() { Vec::new() } else { self.modules(&incomplete, &mut files)? };
        // an image that loads its drivers as they are found needs no list for what it has
        let drivers = !incomplete.is_empty() || !loaded;
        if drivers {
            files.extend(lists);
        }
        files.extend(hazards.files);
        let mut notes = hazards.notes;
        notes.extend(forbidden);
        self.segment(files, added, notes, drivers)
    }

    /// For images whose script loads each module by a line of its own.
    fn script(mut self) -> Result<Outcome> {
        let (files, added) = nash::extend(&self.base, &self.library, self.need.release, &self.wanted)?;
        if files.is_empty() {
            return Ok(Outcome::Sufficient);
        }
        // such an image has no index that could name the modules: the script is looked at instead
        let wanted = std::mem::take(&mut self.wanted);
        let checked = extension(&self.base, &self.ending, &canonical(&self.base, files.clone())?)?;
        nash::check(&checked.merged, &self.library, &wanted).map_err(|broken| {
            Error::unsupported(format!("the extension was checked and refused: {broken}"))
        })?;
        self.segment(files, added, Vec::new(), true)
    }

    /// Adds the files of the missing modules and the indexes that name them; answers the modules' names.
    fn modules(&self, incomplete: &[String], files: &mut Files) -> Result<Vec<String>> {
        let mut closure: Vec<String> = Vec::new();
        for module in incomplete {
            let new = self.library.closure(module)?;
            closure.extend(new.into_iter().filter(|module| !closure.contains(module)).collect::<Vec<_>>());
        }
        let mut places: BTreeMap<String, String> = self.installed.files.clone();
        let added: Vec<String> =
            closure.iter().filter(|module| !places.contains_key(*module)).cloned().collect();
        let keep = |suffix: &str| self.installed.uses(suffix);
        for module in &added {
            let fetched = self.library.fetch(module, self.need.release, &keep)?;
            self.depends(module, &fetched.depends)?;
            files.insert(format!("{}/{}", self.installed.folder, fetched.path), fetched.bytes);
            places.insert(module.clone(), fetched.path);
        }
        let indexed = self.installed.index().ranks();
        let unindexed = self.installed.files.keys();
        let unindexed = unindexed.filter(|module| !indexed.contains_key(*module) && self.library.has(module));
        let stale = self.installed.incomplete(&closure, &self.library);
        let renewed: BTreeSet<String> =
            stale.into_iter().map(str::to_owned).chain(unindexed.cloned()).collect();
        for (name, content) in self.installed.merge(&self.library, &renewed, &places).write() {
            files.insert(format!("{}/{name}", self.installed.folder), content);
        }
        Ok(added)
    }

    /// What the module's file says it needs must be what `modules.dep` says.
    fn depends(&self, module: &str, depends: &[String]) -> Result<()> {
        let needs = self.library.needs(module);
        let known = |name: &&String| self.library.built_in(name) || needs.contains(name);
        match depends.iter().find(|name| !known(name)) {
            None => Ok(()),
            Some(name) => {
                let message =
                    format!("module {module} needs {name}, but the guest's modules.dep does not say so");
                Err(Error::unsupported(message))
            }
        }
    }

    fn segment(self, files: Files, added: Vec<String>, notes: Vec<String>, drivers: bool) -> Result<Outcome> {
        let files = canonical(&self.base, files)?;
        let Extension { bytes, glued, merged, codecs } = extension(&self.base, &self.ending, &files)?;
        let expected = if glued { Codec::Lz4 } else { Codec::Plain };
        let promise = verify::Promise {
            base: &self.base,
            merged: &merged,
            files: &files,
            wanted: &self.wanted,
            added: &added,
            library: &self.library,
            release: self.need.release,
        };
        let checked =
            if codecs == [expected] { promise.check() } else { Err("it is not one archive".into()) };
        checked.map_err(|broken| {
            Error::unsupported(format!("the extension was checked and refused: {broken}"))
        })?;
        let replaced = files.keys().filter(|path| self.base.exists(path)).cloned().collect();
        let family = self.family.name();
        Ok(Outcome::Append(Segment { bytes, glued, family, drivers, added, replaced, notes }))
    }
}

/// What makes an image hold further files.
struct Extension {
    /// what follows the image, padding included
    bytes: Vec<u8>,
    glued: bool,
    /// what the kernel unpacks then
    merged: Rootfs,
    codecs: Vec<Codec>,
}

/// Packs files behind an image, and unpacks both again.
fn extension(base: &Rootfs, ending: &Ending, files: &Files) -> Result<Extension> {
    let archive = archive(base, files);
    let glued = ending.open_lz4.is_some();
    let bytes = match ending.open_lz4 {
        // Zeros after lz4 end the boot on kernels before 2021; a second member continues the stream on all.
        Some(unpacked) => lz4::pack(&[padding(unpacked), archive].concat()),
        None => [padding(ending.length), archive].concat(),
    };
    let mut merged = base.clone();
    let start = if glued { 0 } else { padding(ending.length).len() };
    let behind: &[u8] = bytes.get(start..).unwrap_or_default();
    let codecs = stream::unpack(&behind, &mut merged)?.codecs;
    Ok(Extension { bytes, glued, merged, codecs })
}

/// The files under the paths that the image's symbolic links lead to.
fn canonical(base: &Rootfs, files: Files) -> Result<Files> {
    let place = |(path, content): (String, Vec<u8>)| {
        let real = base.resolve(&path).filter(|real| !real.is_empty());
        let real = real.ok_or_else(|| Error::unsupported(format!("/{path} in it is a circle of links")))?;
        Ok((real, content))
    };
    files.into_iter().map(place).collect()
}

fn archive(base: &Rootfs, files: &Files) -> Vec<u8> {
    let mut writer = cpio::Writer::default();
    let mut folders = BTreeSet::new();
    for path in files.keys() {
        let ends = path.match_indices('/').filter_map(|(end, _)| path.get(..end));
        folders.extend(ends.filter(|folder| base.node(folder).is_none()));
    }
    folders.iter().for_each(|folder| writer.directory(folder));
    for (path, content) in files {
        let old = match base.node(path) {
            Some(Node::File(_)) => base.regular(path),
            _ => None,
        };
        if old.is_some_and(|file| file.names > 1) {
            // An entry of another type takes the name away from the file that other names share.
            writer.symlink(path, "/dev/null");
        }
        writer.file(path, old.map_or(0o644, |file| file.mode), content);
    }
    writer.finish()
}

/// Zeros up to the next multiple of four, where a cpio header may stand.
fn padding(length: u64) -> Vec<u8> {
    vec![0; (length.next_multiple_of(4) - length) as usize]
}
