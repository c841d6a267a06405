//! The tree of content's checksums: items of sums for sectors in a row.

use crate::Btrfs;
use crate::key::{self, Key};
use crate::tree::Range;
use wherry_sdk::Result;

fn key(address: u64) -> Key {
    Key::new(key::CSUM_OBJECT, key::EXTENT_CSUM, address)
}

impl Btrfs<'_> {
    /// Adds the sums of new content at an address.
    pub fn add_sums(&mut self, address: u64, content: &[u8]) -> Result<()> {
        let (sector, algorithm) = (self.store.superblock.sector as usize, self.store.superblock.algorithm);
        let sums: Vec<u8> = content.chunks(sector).flat_map(|bytes| algorithm.sum(bytes)).collect();
        self.put_sums(address, &sums)
    }

    /// Puts the sums of all sectors from an address on.
    pub fn put_sums(&mut self, address: u64, sums: &[u8]) -> Result<()> {
        let (sector, algorithm) = (self.store.superblock.sector as usize, self.store.superblock.algorithm);
        // New content has none yet, unless the tree is damaged; what a log has may have.
        self.remove_sums(address, (sums.len() / algorithm.length() * sector) as u64)?;
        // A quarter of a block, so that leaves can be about even.
        let most = (self.store.superblock.node as usize / 4 / algorithm.length()).max(1);
        for (number, piece) in sums.chunks(most * algorithm.length()).enumerate() {
            let at = address + (number * most * sector) as u64;
            self.put_item(key::CSUM_TREE, key(at), piece.to_vec())?;
        }
        Ok(())
    }

    /// Removes those of a range, of which some may have none.
    pub fn remove_sums(&mut self, address: u64, length: u64) -> Result<()> {
        if self.find_tree(key::CSUM_TREE)?.is_none() {
            return Ok(());
        }
        let (sector, size) =
            (u64::from(self.store.superblock.sector), self.store.superblock.algorithm.length());
        let end = address + length;
        let first = self.last_before(key::CSUM_TREE, key(address))?.map_or(address, |(key, _)| key.offset);
        for (at, item) in self.items(key::CSUM_TREE, Range { from: key(first), to: key(end - 1) })? {
            let stop = at.offset + (item.len() / size) as u64 * sector;
            if stop <= address {
                continue;
            }
            self.remove_item(key::CSUM_TREE, at)?;
            let place = |offset: u64| ((offset - at.offset) / sector) as usize * size;
            if at.offset < address {
                let kept = item.get(..place(address)).unwrap_or_default().to_vec();
                self.put_item(key::CSUM_TREE, at, kept)?;
            }
            if stop > end {
                let kept = item.get(place(end)..).unwrap_or_default().to_vec();
                self.put_item(key::CSUM_TREE, key(end), kept)?;
            }
        }
        Ok(())
    }
}
