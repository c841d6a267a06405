//! Answers of adapters that cannot be: each check says what is wrong, in a phrase.

use crate::contract as c;
use std::collections::HashSet;

type Checked = Result<(), String>;

fn refuse<T>(what: impl Into<String>) -> Result<T, String> {
    Err(what.into())
}

/// Parts lie inside their devices, their segments in order and without gaps, and no id comes twice. A part without
/// segments is one that the adapter refuses.
pub(crate) fn layout(layout: &c::Layout, lengths: &[u64]) -> Checked {
    for (number, part) in layout.parts.iter().enumerate() {
        if layout.parts[..number].iter().any(|other| other.id == part.id) {
            return refuse(format!("part {:?} comes twice", part.id));
        }
        let mut next = 0;
        for segment in &part.segments {
            let end = segment.offset.checked_add(segment.length);
            let length = lengths.get(segment.device as usize);
            let inside = if segment.device == c::ZEROES {
                segment.offset == 0
            } else {
                length.zip(end).is_some_and(|(length, end)| end <= *length)
            };
            if !inside {
                return refuse(format!("segment {segment:?} lies outside its device"));
            }
            if segment.length == 0 {
                return refuse(format!("segment {segment:?} is empty"));
            }
            if segment.logical != next {
                return refuse(format!("segment {segment:?} is out of order or leaves a gap"));
            }
            next = segment.logical.checked_add(segment.length).ok_or("segments without end")?;
        }
    }
    Ok(())
}

/// More partitions than anybody needs anew.
const PARTITIONS_MOST: usize = 4;

/// A new partition is as long as was asked for, and it and its writes lie inside the device.
pub(crate) fn added(added: &c::Added, addition: &c::Addition, length: u64) -> Checked {
    let inside = |offset: u64, bytes: u64| offset.checked_add(bytes).is_some_and(|end| end <= length);
    if !inside(added.offset, added.length) || added.length < addition.least {
        return refuse(format!("{} bytes at {} cannot be the partition", added.length, added.offset));
    }
    match added.patches.iter().find(|patch| !inside(patch.offset, patch.bytes.len() as u64)) {
        Some(patch) => refuse(format!("a write at {} lies outside the device", patch.offset)),
        None => Ok(()),
    }
}

/// Few, and none of them less than it needs.
pub(crate) fn partitions(wanted: &[c::Partition]) -> Checked {
    if wanted.len() > PARTITIONS_MOST {
        return refuse(format!("{} new partitions", wanted.len()));
    }
    match wanted.iter().find(|one| one.least == 0 || one.wanted < one.least) {
        Some(one) => refuse(format!("{} bytes of a new partition, and {} are wanted", one.least, one.wanted)),
        None => Ok(()),
    }
}

/// Patches lie inside their devices.
pub(crate) fn device_patches(patches: &[c::DevicePatch], lengths: &[u64]) -> Checked {
    for patch in patches {
        let end = patch.offset.checked_add(patch.bytes.len() as u64);
        let length = lengths.get(patch.device as usize);
        if length.zip(end).is_none_or(|(length, end)| end > *length) {
            return refuse(format!(
                "{} bytes at {} lie outside device {}",
                patch.bytes.len(),
                patch.offset,
                patch.device
            ));
        }
    }
    Ok(())
}

/// Ranges, used or changed, lie inside the device, in order, none before `start`.
pub(crate) fn used(ranges: &[c::Range], start: u64, most: u32, length: u64) -> Checked {
    count("ranges", ranges.len(), most)?;
    let mut next = start;
    for range in ranges {
        let end = range.offset.checked_add(range.length).filter(|end| *end <= length);
        let end = end.ok_or_else(|| format!("{range:?} lies outside the device of {length} bytes"))?;
        if range.length == 0 {
            return refuse(format!("{range:?} is empty"));
        }
        if end <= start {
            return refuse(format!("{range:?} lies before {start}"));
        }
        // The first may have begun before `start`.
        if range.offset < next && next != start {
            return refuse(format!("{range:?} is out of order"));
        }
        next = end;
    }
    Ok(())
}

/// A page of a directory: plain names, not more than asked for, and a cursor that goes on.
pub(crate) fn entries(page: &c::EntryPage, start: u64, most: u32) -> Checked {
    count("entries", page.entries.len(), most)?;
    if page.next.is_some_and(|next| next <= start) {
        return refuse(format!("the cursor does not go on after {start}"));
    }
    let odd = |name: &str| name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']);
    match page.entries.iter().find(|entry| odd(&entry.name)) {
        Some(entry) => refuse(format!("{:?} is no name of a file", entry.name)),
        None => Ok(()),
    }
}

/// Not more than was asked for.
pub(crate) fn count(what: &str, found: usize, most: u32) -> Checked {
    if found > most as usize { refuse(format!("{found} {what}, and {most} were asked for")) } else { Ok(()) }
}

/// A shape that can be worked with.
pub(crate) fn shape(shape: &c::Shape) -> Checked {
    if shape.unit == 0 || shape.align == 0 {
        return refuse(format!("{shape:?} has a zero in it"));
    }
    if shape.lead > 0 && shape.codec == c::Codec::None {
        return refuse(format!("{shape:?} has a lead, but no codec"));
    }
    Ok(())
}

/// As many bytes in front of units as were announced.
pub(crate) fn heads(heads: &[u8], units: usize, lead: u32) -> Checked {
    let expected = units as u64 * u64::from(lead);
    if heads.len() as u64 == expected {
        return Ok(());
    }
    refuse(format!("{} bytes in front of {units} units of {lead} each", heads.len()))
}

/// More than a definition has; each may be opened.
const COMPANIONS_MOST: usize = 16;
/// More disks than any machine has.
const DISKS_MOST: usize = 1024;

/// No name, or one that leads elsewhere.
fn leads_away(name: &str) -> bool {
    name.is_empty() || name == "." || name == ".." || name.contains(['/', '\\', '\0'])
}

/// A few plain names.
pub(crate) fn companions(names: &[String]) -> Checked {
    count("companions", names.len(), COMPANIONS_MOST as u32)?;
    match names.iter().find(|name| leads_away(name)) {
        Some(name) => refuse(format!("{name:?} is no name of a file")),
        None => Ok(()),
    }
}

/// Files beside the definition by plain names, ranges inside it, digests that can be compared, and each disk in one of the
/// files, of which none holds two.
pub(crate) fn definition(machine: &c::DefinedMachine, length: u64) -> Checked {
    count("disks", machine.disks.len(), DISKS_MOST as u32)?;
    count("files", machine.members.len(), 2 * DISKS_MOST as u32)?;
    for member in &machine.members {
        match &member.at {
            c::MemberPlace::Beside(name) if leads_away(name) => {
                return refuse(format!("{name:?} is no name of a file"));
            }
            c::MemberPlace::Within(range)
                if range.offset.checked_add(range.length).is_none_or(|end| end > length) =>
            {
                return refuse(format!("{range:?} lies outside the file of {length} bytes"));
            }
            _ => {}
        }
        member.digests.iter().try_for_each(digest)?;
    }
    let mut seen = vec![false; machine.members.len()];
    for disk in &machine.disks {
        match seen.get_mut(disk.member as usize) {
            None => return refuse(format!("a disk is in file {}, which there is not", disk.member)),
            Some(true) => return refuse(format!("two disks are in file {}", disk.member)),
            Some(seen) => *seen = true,
        }
    }
    Ok(())
}

fn digest(digest: &c::Digest) -> Checked {
    let digits = [("sha1", 40), ("sha256", 64), ("sha512", 128)]
        .into_iter()
        .find(|(name, _)| *name == digest.algorithm)
        .ok_or_else(|| format!("there is no digest {:?}", digest.algorithm))?
        .1;
    let hex = digest.hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if digest.hex.len() != digits || !hex {
        return refuse(format!("{:?} is no digest by {}", digest.hex, digest.algorithm));
    }
    Ok(())
}

/// Files are at most as long as the system's largest offset.
const FILE_MOST: u64 = i64::MAX as u64;

/// One offset for each unit, each where a file can reach.
pub(crate) fn places(offsets: &[u64], units: &[c::Unit]) -> Checked {
    if offsets.len() != units.len() {
        return refuse(format!("{} offsets for {} units", offsets.len(), units.len()));
    }
    let far = |(offset, unit): &(&u64, &c::Unit)| {
        offset.checked_add(unit.stored.into()).is_none_or(|end| end > FILE_MOST)
    };
    match offsets.iter().zip(units).find(far) {
        Some((offset, _)) => refuse(format!("no file reaches to offset {offset}")),
        None => Ok(()),
    }
}

/// Patches inside a file of a possible length.
pub(crate) fn ending(ending: &c::Ending) -> Checked {
    if ending.length > FILE_MOST {
        return refuse(format!("no file has {} bytes", ending.length));
    }
    let outside = |patch: &&c::Patch| {
        patch.offset.checked_add(patch.bytes.len() as u64).is_none_or(|end| end > FILE_MOST)
    };
    match ending.patches.iter().find(outside) {
        Some(patch) => refuse(format!("no file reaches to a patch at {}", patch.offset)),
        None => Ok(()),
    }
}

/// More files than one image has; each is opened.
const PARTS_MOST: usize = 1024;

/// Files beside `name`, by plain names of their own that begin as it does, in the order of their starts.
pub(crate) fn parts(parts: &[c::ImagePart], name: &str) -> Checked {
    count("parts", parts.len(), PARTS_MOST as u32)?;
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let mut names = HashSet::from([name]);
    let mut before = 0;
    for part in parts {
        if leads_away(&part.name) || !part.name.starts_with(stem) {
            return refuse(format!("{:?} is no name of a file that belongs to {name:?}", part.name));
        }
        if !names.insert(part.name.as_str()) {
            return refuse(format!("{:?} is two files", part.name));
        }
        if part.start <= before || part.start > FILE_MOST {
            return refuse(format!(
                "{:?} begins at {}, the one before it at {before}",
                part.name, part.start
            ));
        }
        before = part.start;
    }
    Ok(())
}

/// One possible length for each part.
pub(crate) fn lengths(lengths: &[u64], parts: usize) -> Checked {
    if lengths.len() != parts {
        return refuse(format!("{} lengths for {parts} files", lengths.len()));
    }
    match lengths.iter().find(|length| **length > FILE_MOST) {
        Some(length) => refuse(format!("no file has {length} bytes")),
        None => Ok(()),
    }
}

/// One place for each disk, files by a plain name.
pub(crate) fn sinks(sinks: &[c::Sink], disks: usize) -> Checked {
    if sinks.len() != disks {
        return refuse(format!("{} places for {disks} disks", sinks.len()));
    }
    for sink in sinks {
        if let c::Sink::File(file) = sink
            && leads_away(&file.name)
        {
            return refuse(format!("{:?} is no name of a file", file.name));
        }
    }
    Ok(())
}

/// More files than a machine's disks and descriptions are.
const UPLOADS_MOST: usize = 1024;
/// A day: no server waits longer for a sign of life.
const ALIVE_MOST: u32 = 86_400;

/// Files by plain names, each to somewhere.
pub(crate) fn shipment(shipment: &c::Shipment) -> Checked {
    count("uploads", shipment.uploads.len(), UPLOADS_MOST as u32)?;
    if shipment.alive_seconds == 0 || shipment.alive_seconds > ALIVE_MOST {
        return refuse(format!("a sign of life every {} s", shipment.alive_seconds));
    }
    for upload in &shipment.uploads {
        if leads_away(&upload.name) {
            return refuse(format!("{:?} is no name of a file", upload.name));
        }
        if !["PUT", "POST"].contains(&upload.method.as_str()) {
            return refuse(format!("files are sent by PUT or POST, not by {:?}", upload.method));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_partitions_lie_inside_their_disks() {
        let addition = c::Addition { purpose: "efi-system".into(), least: 10, wanted: 20 };
        let answer = |offset, length, at| {
            let patches = vec![c::Patch { offset: at, bytes: vec![0; 4] }];
            added(&c::Added { offset, length, patches }, &addition, 100).is_ok()
        };
        assert!(answer(90, 10, 96) && answer(0, 100, 0));
        assert!(!answer(91, 10, 0) && !answer(0, 9, 0) && !answer(u64::MAX, 10, 0));
        assert!(!answer(0, 10, 97) && !answer(0, 10, u64::MAX));
    }

    #[test]
    fn few_partitions_are_wanted_at_once() {
        let one = |least, wanted| c::Partition {
            disk: "disk:0".into(),
            purpose: "bios-boot".into(),
            least,
            wanted,
            file_system: None,
            label: String::new(),
            reason: "because".into(),
        };
        assert!(partitions(&[]).is_ok() && partitions(&[one(1, 1), one(1, 9)]).is_ok());
        assert!(partitions(&[one(0, 1)]).is_err() && partitions(&[one(2, 1)]).is_err());
        assert!(partitions(&[one(1, 1), one(1, 1), one(1, 1), one(1, 1), one(1, 1)]).is_err());
    }
}
