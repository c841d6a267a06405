//! Before a volume is changed: every chain is followed once, so that no write hits what belongs to something else.

use crate::boot::Root;
use crate::directory::{BYTES_MOST, Directory};
use crate::volume::Volume;
use wherry_sdk::{Error, ErrorKind, Result};

/// What was found that does not make writing dangerous.
#[derive(Debug, Default, PartialEq)]
pub struct Findings {
    /// Clusters that belong to no file.
    pub lost: u32,
    /// Files whose size and chain disagree.
    pub uneven: u32,
}

/// Follows everything; errors are what makes writing dangerous: a cluster in two chains, a chain without an end.
pub fn check(volume: &mut Volume<'_>) -> Result<Findings> {
    let mut claims = Claims { bits: vec![0; volume.geometry.clusters as usize / 8 + 1], count: 0 };
    let mut findings = Findings::default();
    let longest = BYTES_MOST.div_ceil(volume.geometry.cluster);
    if let Root::Chain(first) = volume.geometry.root {
        claims.chain(volume, first, longest)?;
    }
    // First clusters; nothing else, since the directories themselves may be large. Zero is the root directory.
    let mut pending = vec![0];
    while let Some(first) = pending.pop() {
        let directory = match first {
            0 => Directory::root(volume)?,
            first => Directory::load(volume, Vec::new(), first)?,
        };
        for entry in directory.entries() {
            let within = |e: Error| e.within(&entry.name);
            let (first, size) = (entry.slot.first(volume.geometry.bits), entry.slot.size());
            if entry.slot.is_directory() {
                claims.chain(volume, first, longest).map_err(within)?;
                pending.push(first);
                continue;
            }
            let needed = size.div_ceil(volume.geometry.cluster);
            let most = u64::from(volume.geometry.clusters);
            let found = if first == 0 { 0 } else { claims.chain(volume, first, most).map_err(within)? };
            if found < needed {
                let message = format!("{} has {size} bytes, but only {found} clusters", entry.name);
                return Err(Error::new(ErrorKind::Corrupt, message));
            }
            findings.uneven += u32::from(found > needed);
        }
    }
    for cluster in 2..volume.geometry.clusters + 2 {
        findings.lost += u32::from(volume.is_used(cluster)?);
    }
    findings.lost = findings.lost.saturating_sub(claims.count);
    Ok(findings)
}

/// A bit for each cluster that belongs to something.
struct Claims {
    bits: Vec<u8>,
    count: u32,
}

impl Claims {
    /// Claims a whole chain; its number of clusters.
    fn chain(&mut self, volume: &mut Volume<'_>, first: u32, most: u64) -> Result<u64> {
        let (mut at, mut count) = (Some(first), 0);
        while let Some(cluster) = at {
            volume.offset(cluster)?;
            let (byte, bit) = ((cluster - 2) as usize / 8, 1 << ((cluster - 2) % 8));
            let Some(byte) = self.bits.get_mut(byte).filter(|byte| **byte & bit == 0) else {
                let message =
                    format!("cluster {cluster} belongs to two chains, or to a chain that goes in circles");
                return Err(Error::new(ErrorKind::Corrupt, message));
            };
            *byte |= bit;
            count += 1;
            if count > most {
                return Err(Error::new(ErrorKind::Corrupt, format!("it has more than {most} clusters")));
            }
            at = volume.next(cluster)?;
        }
        self.count += count as u32;
        Ok(count)
    }
}
