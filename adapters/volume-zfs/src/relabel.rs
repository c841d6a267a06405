//! Labels that say where their devices are on another machine.

use crate::member::{Member, find_all};
use std::cell::RefCell;
use wherry_sdk::volume::DevicePatch;
use wherry_sdk::{Blob, Error, ErrorKind, Fact, Result, find};
use wherry_zfs::edit::{Change, apply};

/// Bytes that are compared as one.
const STEP: usize = 512;
/// Keys of the facts, and of the labels.
const KEYS: [(&str, &str); 3] = [("path", "path"), ("phys-path", "phys_path"), ("devid", "devid")];

/// What has to be written into the labels of the pool's devices.
pub fn relabel(devices: &[Box<dyn Blob>], facts: &[Fact]) -> Result<Vec<DevicePatch>> {
    let wrong = |message: String| Error::new(ErrorKind::InvalidInput, message);
    let pool = find(facts, "pool").ok_or_else(|| wrong("the fact `pool` is missing".into()))?;
    let members: Vec<Member> = find_all(devices, &mut Vec::new())
        .into_iter()
        .flatten()
        .filter(|member| member.label.name == pool && member.whole)
        .collect();
    let Some(first) = members.first() else {
        return Err(Error::new(ErrorKind::NotFound, format!("none of these devices is of the pool {pool}")));
    };
    if members.iter().any(|member| member.label.pool != first.label.pool) {
        return Err(wrong(format!("there are several pools with the name {pool}")));
    }
    let mut changes: Vec<Change> = Vec::new();
    for member in &members {
        let guid = member.label.guid;
        for (fact, key) in KEYS {
            let Some(value) = find(facts, &format!("{}.{fact}", member.device)) else { continue };
            let value = Some(value.to_owned()).filter(|value| !value.is_empty());
            if changes.iter().any(|known| (known.guid, known.key) == (guid, key)) {
                return Err(wrong(format!("two of the devices are the vdev {guid} of {pool}")));
            }
            changes.push(Change { guid, key, value });
        }
    }
    let mut patches = Vec::new();
    for member in &members {
        let leaves = member.label.tree.leaves();
        let of = |change: &&Change| leaves.iter().any(|leaf| leaf.guid == change.guid);
        let own: Vec<Change> = changes.iter().filter(of).cloned().collect();
        let Some(device) = devices.get(member.device as usize) else { continue };
        let kept = Kept { device: device.as_ref(), number: member.device, patches: RefCell::default() };
        apply(&kept, &own)?;
        patches.extend(kept.patches.into_inner());
    }
    Ok(patches)
}

/// A device that keeps what is to be written where it differs.
struct Kept<'a> {
    device: &'a dyn Blob,
    number: u32,
    patches: RefCell<Vec<DevicePatch>>,
}

impl Blob for Kept<'_> {
    fn size(&self) -> u64 {
        self.device.size()
    }
    fn sector_size(&self) -> u32 {
        self.device.sector_size()
    }
    fn writable(&self) -> bool {
        true
    }
    fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        self.device.read(offset, length)
    }
    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let old = self.device.read(offset, bytes.len() as u32)?;
        let mut patches = self.patches.borrow_mut();
        let mut at = offset;
        for (new, old) in bytes.chunks(STEP).zip(old.chunks(STEP)) {
            if new != old {
                match patches.last_mut() {
                    Some(last) if last.offset + last.bytes.len() as u64 == at => last.bytes.extend(new),
                    _ => patches.push(DevicePatch { device: self.number, offset: at, bytes: new.to_vec() }),
                }
            }
            at += new.len() as u64;
        }
        Ok(())
    }
}
