//! Which parts of the device are in use, as the groups' maps say.

use crate::Ufs;
use wherry_sdk::{Ranges, Result};

impl Ufs<'_> {
    /// Used ranges of the device from `start` on, at most `most`; a group whose map cannot be read is used.
    pub(crate) fn used_ranges(&mut self, start: u64, most: u32) -> Result<Vec<wherry_sdk::Range>> {
        let size = self.device.size();
        let mut list = Ranges::new(start..size, most);
        let (fragment, fragments) = (u64::from(self.superblock.fragment), self.superblock.fragments);
        let span = u64::from(self.superblock.span);
        if self.doubt.is_some() {
            list.push(0, size);
            return Ok(list.finish());
        }
        let first = (start / fragment / span).min(u64::from(self.superblock.groups)) as u32;
        for group in first..self.superblock.groups {
            let base = u64::from(group) * span;
            let end = (base + span).min(self.superblock.size);
            let count = self.fragments_of(group).ok().filter(|count| base + u64::from(*count) >= end);
            if count.is_none() {
                if !list.push(base * fragment, end * fragment) {
                    return Ok(list.finish());
                }
                continue;
            }
            for block in 0..((end - base) as u32).div_ceil(fragments) {
                let free = self.free_bits(group, block)?;
                for at in 0..fragments {
                    let place = base + u64::from(block * fragments + at);
                    if place >= end || free >> at & 1 != 0 {
                        continue;
                    }
                    if !list.push(place * fragment, (place + 1) * fragment) {
                        return Ok(list.finish());
                    }
                }
            }
        }
        Ok(list.finish())
    }
}
