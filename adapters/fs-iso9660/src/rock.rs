//! Rock Ridge: POSIX names, modes and links behind the names of directory records (IEEE P1281 "SUSP" 1.12, IEEE P1282 "RRIP" 1.12).

use wherry_sdk::bytes::{field, little};
use wherry_sdk::{Blob, READ_MOST, Result};

/// Continuation areas of one record, and their bytes.
const AREAS_MOST: usize = 32;
const AREA_MOST: u64 = 64 << 10;
/// Longer names and targets are cut; Linux has 255 and 4095.
const NAME_MOST: usize = 4096;
/// Bits of `NM` and `SL`.
const CONTINUE: u8 = 1;
const CURRENT: u8 = 2;
const PARENT: u8 = 4;
const ROOT: u8 = 8;

/// What a record says beyond ISO 9660.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extra {
    /// The name; empty where none is said.
    pub name: Vec<u8>,
    /// Mode with type, links, owner and group.
    pub posix: Option<[u32; 4]>,
    /// Where a symbolic link leads.
    pub target: Option<String>,
    /// The block of the directory that stands here, moved because it lies too deep.
    pub child: Option<u64>,
    /// Whether this is a directory that stands elsewhere.
    pub moved: bool,
    /// Seconds since 1970.
    pub mtime: Option<i64>,
    /// Whether the file's data is packed (zisofs).
    pub packed: bool,
}

/// Bytes to skip in each system use area, if the root's own record says that there is Rock Ridge.
pub fn skip(system: &[u8]) -> Option<usize> {
    let sp = entries(system).find(|(sign, _)| sign == b"SP")?;
    (field(sp.1, 0, 2) == [0xbe, 0xef]).then(|| usize::from(sp.1.get(2).copied().unwrap_or(0)))
}

/// Signature and data of each entry, without length and version.
fn entries(area: &[u8]) -> impl Iterator<Item = ([u8; 2], &[u8])> {
    let mut rest = area;
    std::iter::from_fn(move || {
        let length = usize::from(*rest.get(2)?);
        let entry = rest.get(..length).filter(|_| length >= 4)?;
        rest = rest.get(length..)?;
        Some(([*entry.first()?, *entry.get(1)?], entry.get(4..)?))
    })
}

/// What a system use area says, and the areas that it continues in.
pub fn read(device: &dyn Blob, area: &[u8], block: u64) -> Result<Extra> {
    let mut extra = Extra::default();
    let (mut area, mut link) = (area.to_vec(), Link::default());
    for _ in 0..AREAS_MOST {
        let mut next = None;
        for (sign, data) in entries(&area) {
            match &sign {
                b"CE" => next = Some((little(data, 0, 4), little(data, 8, 4), little(data, 16, 4))),
                b"ST" => break,
                _ => one(&mut extra, &mut link, sign, data),
            }
        }
        let Some((number, offset, length)) = next else { break };
        let at = number.saturating_mul(block).saturating_add(offset);
        if length > AREA_MOST.min(u64::from(READ_MOST)) || at.saturating_add(length) > device.size() {
            break;
        }
        area = device.read(at, length as u32)?;
    }
    extra.target = link.finish();
    Ok(extra)
}

fn one(extra: &mut Extra, link: &mut Link, sign: [u8; 2], data: &[u8]) {
    match &sign {
        b"NM" => {
            let flags = data.first().copied().unwrap_or(0);
            if flags & (CURRENT | PARENT) == 0 && extra.name.len() < NAME_MOST {
                extra.name.extend(data.get(1..).unwrap_or_default());
            }
        }
        b"PX" => extra.posix = Some([0, 8, 16, 24].map(|at| little(data, at, 4) as u32)),
        b"SL" => link.add(data),
        b"CL" => extra.child = Some(little(data, 0, 4)),
        b"RE" => extra.moved = true,
        b"TF" => extra.mtime = modified(data).or(extra.mtime),
        b"ZF" => extra.packed = true,
        _ => {}
    }
}

/// When a file's content changed (4.1.6): times come in a fixed order, those that are there.
fn modified(data: &[u8]) -> Option<i64> {
    let flags = *data.first()?;
    let long = flags & 0x80 != 0;
    let before = usize::from(flags & 1 != 0);
    if flags & 2 == 0 || long {
        return None;
    }
    Some(crate::record::time(field(data, 1 + before * 7, 7)))
}

/// A symbolic link's target in the making (4.1.3).
#[derive(Default)]
struct Link {
    text: Option<Vec<u8>>,
    /// Whether the next component belongs to the last one.
    joined: bool,
}

impl Link {
    fn add(&mut self, data: &[u8]) {
        let text = self.text.get_or_insert_with(Vec::new);
        let mut rest = data.get(1..).unwrap_or_default();
        while let [flags, length, more @ ..] = rest {
            let Some(content) = more.get(..usize::from(*length)) else { break };
            if text.len() > NAME_MOST {
                break;
            }
            if !self.joined && !text.is_empty() && !text.ends_with(b"/") {
                text.push(b'/');
            }
            match *flags {
                flags if flags & ROOT != 0 => text.push(b'/'),
                flags if flags & PARENT != 0 => text.extend(b".."),
                flags if flags & CURRENT != 0 => text.push(b'.'),
                _ => text.extend(content),
            }
            self.joined = flags & CONTINUE != 0;
            rest = more.get(usize::from(*length)..).unwrap_or_default();
        }
    }

    fn finish(self) -> Option<String> {
        self.text.map(|text| String::from_utf8_lossy(&text).into_owned())
    }
}
