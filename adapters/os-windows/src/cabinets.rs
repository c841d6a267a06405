//! Windows' own files, packed in cabinets: the driver cache of 2000, XP and 2003.

use crate::cabinet;
use crate::files::{is_file, names};
use crate::hives::GuestFile;
use crate::place::Place;
use wherry_sdk::{Result, Tree};

/// Where they lie, below Windows.
const FOLDERS: &[&str] = &["Driver Cache/i386", "Driver Cache/amd64"];

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
            if let Some(bytes) = read(guest, &path, name)? {
                return Ok(Some(bytes));
            }
        }
    }
    Ok(None)
}

/// A file of the cabinet at this path, in any case; none where it is not in it.
pub fn read(guest: &dyn Tree, path: &str, name: &str) -> Result<Option<Vec<u8>>> {
    cabinet::unpack(&GuestFile::open(guest, path.to_owned())?, name).map_err(|e| e.within(path))
}
