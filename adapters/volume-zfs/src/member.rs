//! Which devices are members of pools.

use std::collections::BTreeMap;
use wherry_sdk::{Blob, Concern, Error, Result, Severity, concern};
use wherry_zfs::{FRONT, Label, STATE_DESTROYED, places};

/// A device with its label.
#[derive(Debug)]
pub struct Member {
    /// Position in the list of devices.
    pub device: u32,
    /// Bytes.
    pub size: u64,
    pub label: Label,
    /// Its labels at the end are where they have to be: a whole disk is not taken for its first partition.
    pub whole: bool,
}

/// All members by their pools; what is damaged becomes a concern.
pub fn find_all(devices: &[Box<dyn Blob>], concerns: &mut Vec<Concern>) -> Vec<Vec<Member>> {
    let mut pools: BTreeMap<u64, Vec<Member>> = BTreeMap::new();
    for (device, blob) in (0..).zip(devices) {
        match find(blob.as_ref()) {
            Ok(Some((label, whole))) if label.state != STATE_DESTROYED => {
                let member = Member { device, size: blob.size(), label, whole };
                pools.entry(member.label.pool).or_default().push(member);
            }
            Ok(_) => {}
            Err(e) => concerns.push(damaged(device, &e)),
        }
    }
    pools.into_values().collect()
}

fn damaged(device: u32, e: &Error) -> Concern {
    let message = format!("the ZFS label on device {device} is not used: {}", e.message);
    concern(Severity::Warning, "zfs.bad-label", message, Some("look at it on the source with zdb -l"))
}

fn find(device: &dyn Blob) -> Result<Option<(Label, bool)>> {
    let Some([first, second, third, _]) = places(device.size()) else { return Ok(None) };
    // What no list in XDR begins with needs no checksum.
    let mut begins = false;
    for place in [first, second] {
        begins |= device.read(place + wherry_zfs::NVLIST, 4)?.first() == Some(&1);
    }
    if !begins {
        return Ok(None);
    }
    let Some(label) = Label::read(device, 0)? else { return Ok(None) };
    let late = third + wherry_zfs::NVLIST;
    let whole = third >= FRONT && device.read(late, 4)?.first() == Some(&1);
    Ok(Some((label, whole)))
}
