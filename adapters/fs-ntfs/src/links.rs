//! Names in directories: adding, removing, and keeping up what directories say of their files.

use crate::attribute::{Attribute, FILE_NAME, OBJECT_ID, REPARSE};
use crate::bytes::{part, u32_at};
use crate::file::{File, filetime};
use crate::index::NAMES;
use crate::name::{self, DOS, FileName, WIN32};
use crate::tree::entry;
use crate::volume::{EXTEND, Volume};
use std::collections::BTreeSet;
use wherry_sdk::{Error, ErrorKind, Result, now_unix};

/// The index of all reparse points, in `$Extend/$Reparse`.
const REPARSE_INDEX: &[u16] = &[0x24, 0x52];
/// The index of all object ids, in `$Extend/$ObjId`.
const OBJECT_INDEX: &[u16] = &[0x24, 0x4f];

/// The time of every change, as FILETIME.
pub fn now() -> u64 {
    filetime(i64::try_from(now_unix()).unwrap_or(0))
}

impl Volume<'_> {
    /// A directory for changing; what is remembered of it is forgotten.
    fn directory(&mut self, number: u64) -> Result<File> {
        self.names.forget_all(number);
        if self.listing.as_ref().is_some_and(|listing| listing.directory == number) {
            self.listing = None;
        }
        Ok((*self.file(number)?).clone())
    }

    /// Gives `file` a name in a directory. The file is not stored, the directory is.
    pub fn link(&mut self, file: &mut File, directory: u64, name: &[u16], space: u8) -> Result<()> {
        let mut parent = self.directory(directory)?;
        let summary = file.summary(self.boot.cluster);
        let name = FileName { parent: parent.reference(), summary, space, name: name.to_vec() };
        let key = name.bytes();
        self.index_insert(&mut parent, NAMES, entry(file.reference().to_le_bytes(), &key))?;
        self.store(&mut parent)?;
        file.add(Attribute::resident(FILE_NAME, &[], key));
        self.touch(directory)
    }

    /// Takes a name out of a directory, and the short or long one that belongs to it. The file is not stored.
    pub fn unlink(&mut self, file: &mut File, directory: u64, name: &[u16]) -> Result<()> {
        let mut parent = self.directory(directory)?;
        let all = file.names()?;
        let here: Vec<&FileName> = all.iter().filter(|one| one.parent == parent.reference()).collect();
        let space = here.iter().find(|one| one.name == name).map(|one| one.space);
        let partner = match space {
            Some(DOS) => WIN32,
            Some(WIN32) => DOS,
            Some(_) => u8::MAX,
            None => {
                let message = format!("file record {} does not know its name: run chkdsk", file.number);
                return Err(Error::new(ErrorKind::Corrupt, message));
            }
        };
        // Of several long names the first is the one with a short name.
        let long = here.iter().find(|one| one.space == WIN32).map(|one| &one.name);
        let paired = space == Some(DOS) || long.is_some_and(|long| long == name);
        let partner = here.iter().find(|one| paired && one.space == partner).map(|one| one.name.clone());
        for gone in [Some(name.to_vec()), partner].into_iter().flatten() {
            let key =
                FileName { parent: 0, summary: Default::default(), space: 0, name: gone.clone() }.bytes();
            if !self.index_remove(&mut parent, NAMES, &key)? {
                let message =
                    format!("{} is missing in its directory's index: run chkdsk", name::text(&gone));
                return Err(Error::new(ErrorKind::Corrupt, message));
            }
            let reference = parent.reference();
            file.attributes.retain(|one| {
                let name = one.bytes().filter(|_| one.kind == FILE_NAME).map(FileName::parse);
                !name.is_some_and(|name| name.is_ok_and(|it| it.parent == reference && it.name == gone))
            });
        }
        self.store(&mut parent)?;
        self.touch(directory)
    }

    /// Writes the file's sizes, times and flags beside each of its names.
    pub fn refresh(&mut self, file: &File) -> Result<()> {
        let summary = file.summary(self.boot.cluster);
        let mut changed = BTreeSet::new();
        for mut name in file.names()? {
            name.summary = summary;
            let mut parent = (*self.referred(name.parent)?).clone();
            let body = entry(file.reference().to_le_bytes(), &name.bytes());
            if self.index_update(&mut parent, NAMES, body)? {
                changed.insert(parent.number);
                self.store_if_resident(&mut parent)?;
            }
        }
        Ok(())
    }

    /// An index entry that was only replaced changes the record if the root holds it.
    fn store_if_resident(&mut self, directory: &mut File) -> Result<()> {
        let before = self.file(directory.number)?;
        let root = |file: &File| file.value(crate::attribute::ROOT, NAMES).map(<[u8]>::to_vec);
        if root(&before)? != root(directory)? { self.store(directory) } else { Ok(()) }
    }

    /// A directory was changed just now.
    pub fn touch(&mut self, number: u64) -> Result<()> {
        let mut directory = self.directory(number)?;
        let [created, _, _, access] = directory.times();
        directory.set_times([created, now(), now(), access]);
        self.store(&mut directory)?;
        self.refresh(&directory)
    }

    /// A file in `$Extend`; none before version 3.
    fn extension(&mut self, name: &str) -> Result<Option<File>> {
        if self.about.version.0 < 3 {
            return Ok(None);
        }
        let extend = self.file(EXTEND)?;
        if !extend.is_directory() {
            return Ok(None);
        }
        let found = self.find(&extend, &name.encode_utf16().collect::<Vec<_>>())?;
        found.map(|(reference, _)| self.referred(reference).map(|file| (*file).clone())).transpose()
    }

    fn reparse_key(file: &File, tag: u32) -> Vec<u8> {
        [tag.to_le_bytes().as_slice(), &file.reference().to_le_bytes()].concat()
    }

    /// Gives a file a reparse point, tag and data. The file is not stored.
    pub fn add_reparse(&mut self, file: &mut File, reparse: Vec<u8>) -> Result<()> {
        let message = "this volume has no index of reparse points, which came with version 3 of NTFS";
        let mut all = self.extension("$Reparse")?.ok_or_else(|| Error::unsupported(message))?;
        let key = Self::reparse_key(file, u32_at(&reparse, 0));
        // Behind the key there is no data.
        self.index_insert(&mut all, REPARSE_INDEX, entry([0x1c, 0, 0, 0, 0, 0, 0, 0], &key))?;
        self.store(&mut all)?;
        file.add(Attribute::resident(REPARSE, &[], reparse));
        file.set_file_flags(file.file_flags() | name::REPARSE);
        Ok(())
    }

    /// Takes the reparse point from a file. The file is not stored.
    pub fn remove_reparse(&mut self, file: &mut File) -> Result<()> {
        let tag = self.tag(file)?.unwrap_or(0);
        let Some(old) = file.take(REPARSE, &[]) else { return Ok(()) };
        self.empty(Some(old))?;
        file.set_file_flags(file.file_flags() & !name::REPARSE);
        if let Some(mut all) = self.extension("$Reparse")? {
            self.index_remove(&mut all, REPARSE_INDEX, &Self::reparse_key(file, tag))?;
            self.store(&mut all)?;
        }
        Ok(())
    }

    /// Removes a file that has no name any more.
    pub fn destroy(&mut self, mut file: File) -> Result<()> {
        self.remove_reparse(&mut file)?;
        let id = file.get(OBJECT_ID, &[]).and_then(Attribute::bytes).map(|bytes| part(bytes, 0, 16).to_vec());
        if let Some(id) = id
            && let Some(mut all) = self.extension("$ObjId")?
        {
            self.index_remove(&mut all, OBJECT_INDEX, &id)?;
            self.store(&mut all)?;
        }
        for attribute in std::mem::take(&mut file.attributes) {
            self.empty(Some(attribute))?;
        }
        self.release(&file.list.runs.cut(0))?;
        for number in file.extensions.iter().copied() {
            self.release_record(number)?;
        }
        self.release_record(file.number)
    }
}
