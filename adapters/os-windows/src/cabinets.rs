//! Windows' own files, packed in cabinets ([MS-CAB]): the driver cache of 2000, XP and 2003.

use crate::files::{is_file, names};
use crate::hives::GuestFile;
use crate::place::Place;
use std::io::{self, Read, Seek, SeekFrom};
use wherry_registry::Storage;
use wherry_sdk::{Error, ErrorKind, READ_MOST, Result, Tree};

/// Where they lie, below Windows.
const FOLDERS: &[&str] = &["Driver Cache/i386", "Driver Cache/amd64"];
/// The largest file that is unpacked.
const FILE_MOST: u64 = 32 << 20;

/// A file of the guest as a stream.
struct Stream<'a> {
    file: GuestFile<'a>,
    at: u64,
}

impl Read for Stream<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.file.size().saturating_sub(self.at);
        let take = left.min(into.len() as u64).min(READ_MOST.into());
        let bytes = self.file.read(self.at, take as u32).map_err(|e| io::Error::other(e.message))?;
        into[..bytes.len()].copy_from_slice(&bytes);
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }
}

impl Seek for Stream<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let new = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.file.size().checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = new.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

/// The newest copy of a file in the driver cache: service packs' cabinets (`sp3.cab`) before `driver.cab`.
pub fn find(guest: &dyn Tree, place: &Place, name: &str) -> Result<Option<Vec<u8>>> {
    for folder in FOLDERS {
        let folder = place.path(folder);
        let mut cabinets: Vec<String> = names(guest, &folder)
            .into_iter()
            .filter(|name| name.to_ascii_lowercase().ends_with(".cab"))
            .collect();
        cabinets.sort_by_key(|name| name.to_ascii_lowercase());
        for cabinet in cabinets.iter().rev() {
            let path = format!("{folder}/{cabinet}");
            if !is_file(guest, &path) {
                continue;
            }
            if let Some(bytes) =
                unpack(GuestFile::open(guest, path.clone())?, name).map_err(|e| damaged(&path, &e))?
            {
                return Ok(Some(bytes));
            }
        }
    }
    Ok(None)
}

fn damaged(path: &str, e: &io::Error) -> Error {
    Error::new(ErrorKind::Corrupt, format!("{path} cannot be unpacked: {e}"))
}

fn unpack(file: GuestFile<'_>, name: &str) -> io::Result<Option<Vec<u8>>> {
    let mut cabinet = cab::Cabinet::new(Stream { file, at: 0 })?;
    let found = cabinet.folder_entries().flat_map(|folder| folder.file_entries());
    let Some(exact) = found.map(|file| file.name().to_owned()).find(|one| one.eq_ignore_ascii_case(name))
    else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    cabinet.read_file(&exact)?.take(FILE_MOST).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}
