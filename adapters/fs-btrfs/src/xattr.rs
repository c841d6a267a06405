//! Extended attributes: entries like those of directories, by the hash of their names.

use crate::Btrfs;
use crate::directory::parse;
use crate::inode::Inode;
use crate::key;
use crate::tree::Range;
use wherry_sdk::Result;

/// What btrfs keeps of its own among them.
const OWN: &str = "btrfs.";

impl Btrfs<'_> {
    /// Names and values, without those that btrfs keeps for itself.
    pub fn attributes(&mut self, inode: &Inode) -> Result<Vec<(String, Vec<u8>)>> {
        let place = inode.place;
        let items = self.items(place.tree, Range::of(place.number, key::XATTR_ITEM))?;
        let entries = items.iter().flat_map(|(_, item)| parse(item));
        let named = entries.map(|entry| (String::from_utf8_lossy(&entry.name).into_owned(), entry.data));
        Ok(named.filter(|(name, _)| !name.starts_with(OWN)).collect())
    }
}
