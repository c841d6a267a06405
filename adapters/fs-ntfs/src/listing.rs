//! Listings of directories. The newest is kept, since a long one is asked for in pages.

use crate::file::File;
use crate::index::NAMES;
use crate::name::{self, FileName};
use crate::record::NUMBER;
use crate::volume::{FIRST_USER, Volume};
use std::rc::Rc;
use wherry_sdk::Result;

/// The names in one directory, with the references of their files.
#[derive(Clone)]
pub struct Listing {
    pub directory: u64,
    pub names: Rc<Vec<(u64, String)>>,
}

impl Volume<'_> {
    /// All names of a directory in its order, without short names that stand beside long ones, and without the
    /// file system's own files.
    pub fn list(&mut self, directory: &File) -> Result<Rc<Vec<(u64, String)>>> {
        if let Some(listing) = self.listing.as_ref().filter(|listing| listing.directory == directory.number) {
            return Ok(Rc::clone(&listing.names));
        }
        let mut names = Vec::new();
        self.walk(directory, NAMES, &mut |reference, key| {
            let Ok(name) = FileName::parse(key) else { return };
            if name.space != name::DOS && reference & NUMBER >= FIRST_USER {
                names.push((reference, name.text()));
            }
        })?;
        let names = Rc::new(names);
        self.listing = Some(Listing { directory: directory.number, names: Rc::clone(&names) });
        Ok(names)
    }
}
