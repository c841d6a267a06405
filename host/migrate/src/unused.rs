//! Which bytes of the disks no file system uses: they need not be copied.

use crate::machine::Machine;
use block::Disk;
use runtime::contract::{Range, ZEROES};
use runtime::{Adapters, FileSystem};
use std::sync::Arc;

/// Ranges asked for at once.
const PAGE: u32 = 4096;

/// Unused ranges of each disk. What is in doubt counts as used: file systems that no adapter
/// mounts, devices that share bytes with another, everything outside of file systems.
pub(crate) fn unused(machine: &Machine, adapters: &Adapters) -> Vec<Vec<std::ops::Range<u64>>> {
    let mut free: Vec<Vec<std::ops::Range<u64>>> = vec![Vec::new(); machine.overlays.len()];
    for (index, device) in machine.devices.iter().enumerate() {
        let driver = device.driver.as_deref().and_then(|id| adapters.get(id).ok());
        let Some(driver) = driver.filter(|_| alone(machine, index)) else { continue };
        let ranges = match used(driver, &device.disk) {
            Ok(used) => gaps(&used, device.file_system_size.min(device.volume.size)),
            Err(e) => {
                tracing::info!(volume = device.volume.id, "all of it is copied: {e}");
                continue;
            }
        };
        let mut places = Vec::new();
        ranges.iter().for_each(|(start, end)| machine.on_disks(index, *start, end - start, &mut places));
        for (disk, offset, length) in places {
            free[disk].push(offset..offset + length);
        }
    }
    free
}

/// Whether no other device lies on the same bytes, its own parents apart, and nothing else is made of them.
fn alone(machine: &Machine, index: usize) -> bool {
    let places = |device: usize| {
        let mut list = Vec::new();
        machine.on_disks(device, 0, machine.devices[device].volume.size, &mut list);
        list
    };
    let parents = |mut pending: Vec<usize>| {
        let mut all = Vec::new();
        while let Some(device) = pending.pop() {
            if !all.contains(&device) {
                all.push(device);
                let found = &machine.devices[device];
                let segments = found.copies.iter().chain([&found.segments]).flatten();
                let lies = segments.filter(|segment| segment.device != ZEROES);
                pending.extend(lies.map(|segment| segment.device as usize));
            }
        }
        all
    };
    let (mine, family) = (places(index), parents(vec![index]));
    let kept =
        |device: &usize| machine.devices[*device].volume.facts.iter().any(|fact| fact.key == "keep-unused");
    if family.iter().any(kept) {
        return false;
    }
    let others = (0..machine.devices.len()).filter(|other| !family.contains(other));
    !others.flat_map(places).any(|(disk, offset, length)| {
        mine.iter().any(|(d, o, l)| *d == disk && *o < offset + length && offset < o + l)
    })
}

/// Used ranges as an adapter says; the runtime has checked that they are ordered and inside the device.
fn used(driver: &Arc<runtime::Adapter>, disk: &Arc<dyn Disk>) -> runtime::Result<Vec<Range>> {
    let mut files = FileSystem::open(driver)?;
    files.mount(disk.clone(), false)?;
    let (mut all, mut start) = (Vec::<Range>::new(), 0);
    loop {
        let page = files.used(start, PAGE)?;
        let Some(last) = page.last() else { break };
        let next = last.offset + last.length;
        start = next;
        all.extend(page);
    }
    Ok(all)
}

/// What lies between used ranges within a file system of `size` bytes, as start and end. The device's rest, if the file
/// system is smaller, counts as used; a file system that uses nothing at all is not believed.
fn gaps(used: &[Range], size: u64) -> Vec<(u64, u64)> {
    let mut list = Vec::new();
    let mut at = 0;
    for range in used {
        if range.offset > at {
            list.push((at, range.offset));
        }
        at = range.offset + range.length;
    }
    if at > 0 && at < size {
        list.push((at, size));
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_lie_between_used_ranges() {
        let range = |offset, length| Range { offset, length };
        assert_eq!(gaps(&[range(0, 5), range(5, 5), range(20, 1)], 21), [(10, 20)]);
        assert_eq!(gaps(&[range(7, 1)], 9), [(0, 7), (8, 9)]);
        assert!(gaps(&[], 9).is_empty());
    }
}
