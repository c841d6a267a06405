//! What is said of a file to the outside, in the words of the contract.

use crate::attribute::{Attribute, DATA};
use crate::file::{File, unix_time};
use crate::name::{self, FileName};
use crate::path::Target;
use crate::reparse::{Meaning, meaning};
use crate::volume::Volume;
use wherry_sdk::{Kind, Meta, Result};

/// FILE_ATTRIBUTE_*, 4 bytes.
pub const ATTRIBUTES: &str = "ntfs.attributes";
/// The number in `$Secure`, 4 bytes.
pub const SECURITY_ID: &str = "ntfs.security-id";
/// Creation, modification, change, access: 4 FILETIMEs.
pub const TIMES: &str = "ntfs.times";
/// The short name that stands beside the long one.
pub const SHORT_NAME: &str = "ntfs.short-name";
/// Tag and data of the reparse point.
pub const REPARSE: &str = "ntfs.reparse";
/// Names of the streams, divided by `/`.
pub const STREAMS: &str = "ntfs.streams";

impl Volume<'_> {
    /// What kind of object it is, by its record and its reparse point.
    fn kind(file: &File, reparse: Option<&[u8]>) -> Kind {
        match reparse.map(|bytes| meaning(crate::bytes::u32_at(bytes, 0))) {
            Some(Meaning::Link) => Kind::Symlink,
            Some(Meaning::Special) => Kind::Other,
            _ if file.is_directory() => Kind::Directory,
            _ => Kind::File,
        }
    }

    /// Meta of a file or of one of its streams; extended attributes only where they are asked for.
    pub fn meta(&mut self, target: &Target, attributes: bool) -> Result<Meta> {
        let file = &target.file;
        let reparse = self.reparse(file)?;
        let names = file.names()?;
        let stream = !target.stream.is_empty();
        let kind = if stream { Kind::File } else { Self::kind(file, reparse.as_deref()) };
        let size = match (kind, &reparse) {
            (Kind::File, _) => target.data().map_or(0, Attribute::size),
            (Kind::Symlink, Some(reparse)) => self.link_target(reparse)?.len() as u64,
            _ => 0,
        };
        let read_only = file.file_flags() & name::READ_ONLY != 0 && !file.is_directory();
        Ok(Meta {
            kind,
            size,
            mode: if read_only { 0o555 } else { 0o777 },
            uid: 0,
            gid: 0,
            mtime: unix_time(file.times()[1]),
            id: file.number,
            links: names.iter().filter(|name| name.space != name::DOS).count() as u32,
            attributes: if attributes { Self::attributes(file, &names, reparse) } else { Vec::new() },
        })
    }

    fn attributes(file: &File, names: &[FileName], reparse: Option<Vec<u8>>) -> Vec<(String, Vec<u8>)> {
        let directory = if file.is_directory() { name::DIRECTORY } else { 0 };
        let flags = file.file_flags() | directory;
        let times = file.times().iter().flat_map(|time| time.to_le_bytes()).collect();
        let mut list = vec![(ATTRIBUTES.into(), flags.to_le_bytes().to_vec()), (TIMES.into(), times)];
        if file.security() != 0 {
            list.push((SECURITY_ID.into(), file.security().to_le_bytes().to_vec()));
        }
        if let Some(short) = names.iter().find(|name| name.space == name::DOS) {
            list.push((SHORT_NAME.into(), short.text().into_bytes()));
        }
        list.extend(reparse.map(|bytes| (REPARSE.into(), bytes)));
        let streams = file.attributes.iter().filter(|one| one.kind == DATA && !one.name.is_empty());
        let streams: Vec<String> = streams.map(|one| name::text(&one.name)).collect();
        if !streams.is_empty() {
            list.push((STREAMS.into(), streams.join("/").into_bytes()));
        }
        list
    }
}
