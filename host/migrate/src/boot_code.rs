//! Boot code outside of all file systems: where an adapter may put it, and whether it is there.

use crate::machine::Device;
use runtime::contract::{ErrorKind, Fact, Patch};
use runtime::{Answer, refusal};
use std::ops::Range;

/// What a master boot record's code has before the disk's signature and the table (UEFI specification 2.10, 5.2.1).
const CODE: Range<u64> = 0..440;
/// The type of a GPT's partition for such code (GRUB manual, "BIOS installation").
const BIOS_BOOT: &str = "21686148-6449-6e6f-744e-656564454649";
/// More than any loader has there.
const BYTES_MOST: usize = 4 << 20;

fn find<'d>(device: &'d Device, key: &str) -> Option<&'d str> {
    device.volume.facts.iter().find(|fact: &&Fact| fact.key == key).map(|fact| fact.value.as_str())
}

/// Parts of a disk, each with the bytes that it has of it.
fn parts(devices: &[Device], disk: usize) -> impl Iterator<Item = (&Device, Range<u64>)> {
    let on = move |device: &'_ Device| {
        let copies = device.copies.iter().chain([&device.segments]).flatten();
        let there = copies.filter(|segment| segment.device as usize == disk);
        there.map(|segment| segment.offset..segment.offset + segment.length).collect::<Vec<_>>()
    };
    devices.iter().flat_map(move |device| on(device).into_iter().map(move |range| (device, range)))
}

/// `table.gap`.
fn gap(device: &Device) -> Option<Range<u64>> {
    let (from, to) = find(device, "table.gap")?.split_once('-')?;
    Some(from.parse().ok()?..to.parse().ok()?)
}

/// The disk, if it is one and all of this may be written there.
pub fn place<'d>(devices: &'d [Device], disk: &str, patches: &[Patch]) -> Answer<&'d Device> {
    let missing = || refusal(ErrorKind::NotFound, format!("there is no disk {disk}"));
    let number = devices.iter().position(|device| device.volume.id == disk && device.segments.is_empty());
    let number = number.ok_or_else(missing)?;
    if let Some(whole) = &devices[number].member_of {
        return Err(refusal(ErrorKind::Denied, format!("{disk} is a member of {}", whole.id)));
    }
    if patches.iter().map(|patch| patch.bytes.len()).sum::<usize>() > BYTES_MOST {
        return Err(refusal(ErrorKind::Limit, format!("more than {BYTES_MOST} bytes of boot code")));
    }
    let mut free = vec![CODE];
    let mut taken = Vec::new();
    for (device, range) in parts(devices, number) {
        match find(device, "partition.type") == Some(BIOS_BOOT) {
            true => free.push(range),
            false => taken.push(range),
        }
        free.extend(gap(device));
    }
    for patch in patches {
        let range = patch.offset..patch.offset.saturating_add(patch.bytes.len() as u64);
        let held = free.iter().any(|free| free.start <= range.start && range.end <= free.end);
        if !held || taken.iter().any(|taken| taken.start < range.end && range.start < taken.end) {
            let message = format!("bytes {range:?} of {disk} are not free for boot code");
            return Err(refusal(ErrorKind::Denied, message));
        }
    }
    Ok(&devices[number])
}

/// What an edit shows of it.
pub fn shown(patches: &[Patch]) -> String {
    let bytes: usize = patches.iter().map(|patch| patch.bytes.len()).sum();
    format!("{bytes} bytes in {} places", patches.len())
}

/// Reads it again.
pub fn verify(devices: &[Device], written: &[(String, Patch)]) -> runtime::Result<()> {
    for (disk, patch) in written {
        let mut found = vec![0; patch.bytes.len()];
        let device = devices.iter().find(|device| device.volume.id == *disk);
        let read = device.map(|device| device.disk.read_at(patch.offset, &mut found));
        if !matches!(read, Some(Ok(()))) || found != patch.bytes {
            let message = format!("the boot code at byte {} of {disk} is not what was written", patch.offset);
            return Err(runtime::Error::host("tree.write-boot-code", message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use block::MemoryDisk;
    use runtime::contract::{Segment, Volume};
    use std::sync::Arc;

    fn device(id: &str, place: Option<(u64, u64)>, facts: &[(&str, &str)]) -> Device {
        let fact = |(key, value): &(&str, &str)| Fact { key: (*key).into(), value: (*value).into() };
        let segment = |(offset, length)| Segment { logical: 0, length, device: 0, offset };
        Device {
            volume: Volume {
                id: id.into(),
                kind: String::new(),
                size: 0,
                facts: facts.iter().map(fact).collect(),
            },
            disk: Arc::new(MemoryDisk::new(vec![0; 4096])),
            segments: place.map(segment).into_iter().collect(),
            copies: Vec::new(),
            member_of: None,
            holds_file_system: false,
            driver: None,
            file_system_size: 0,
        }
    }

    #[test]
    fn nothing_but_what_is_free() {
        let devices = [
            device("disk:0", None, &[]),
            device("mbr:1", Some((2048, 1024)), &[("table.gap", "512-2048")]),
            device("gpt:2", Some((3072, 1024)), &[("partition.type", BIOS_BOOT)]),
        ];
        let may = |disk: &str, offset, length| {
            place(&devices, disk, &[Patch { offset, bytes: vec![1; length] }]).map(drop).map_err(|e| e.kind)
        };
        for (offset, length) in [(0, 440), (100, 10), (512, 1536), (3072, 1024)] {
            assert_eq!(may("disk:0", offset, length), Ok(()), "{offset}");
        }
        for (offset, length) in
            [(0, 441), (446, 64), (510, 2), (1536, 513), (2048, 1), (3071, 2), (u64::MAX, 2)]
        {
            assert_eq!(may("disk:0", offset, length), Err(ErrorKind::Denied), "{offset}");
        }
        assert_eq!(may("mbr:1", 0, 1), Err(ErrorKind::NotFound));
        let whole = crate::machine::Whole { id: "md:1".into(), adapter: "mirrors".into() };
        let member = Device { member_of: Some(whole), ..devices[0].clone() };
        let patch = Patch { offset: 0, bytes: vec![1] };
        assert_eq!(
            place(&[member], "disk:0", &[patch]).map(drop).map_err(|e| e.kind),
            Err(ErrorKind::Denied)
        );
        // a gap that a partition contradicts is not believed
        let hostile = device("mbr:1", Some((1024, 1024)), &[("table.gap", "512-2048")]);
        let devices = [devices[0].clone(), hostile];
        let patch = Patch { offset: 1000, bytes: vec![1; 100] };
        assert_eq!(place(&devices, "disk:0", &[patch]).map(drop).map_err(|e| e.kind), Err(ErrorKind::Denied));
    }

    #[test]
    fn what_is_not_there_is_found() {
        let devices = [device("disk:0", None, &[])];
        let patch = Patch { offset: 3, bytes: vec![7; 9] };
        let written = [("disk:0".to_owned(), patch.clone())];
        assert!(verify(&devices, &written).is_err());
        devices[0].disk.write_at(3, &patch.bytes).unwrap();
        assert!(verify(&devices, &written).is_ok());
    }
}
