//! Volume descriptors (ECMA-119, 8; Joliet specification, "SVD"; for High Sierra illumos, `sys/fs/hsfs_spec.h`).

use wherry_sdk::bytes::{field, little};
use wherry_sdk::{Blob, Error, ErrorKind, Result};

/// Descriptors have this many bytes and start in the 17th sector (6.2.1).
pub const SECTOR: u64 = 2048;
const FIRST: u64 = 16;
/// Descriptors that are looked at; a few are usual.
const DESCRIPTORS_MOST: u64 = 64;
const PRIMARY: u8 = 1;
const SUPPLEMENTARY: u8 = 2;
const END: u8 = 255;
/// Escape sequences of UCS-2, levels 1 to 3 (Joliet).
const JOLIET: [&[u8]; 3] = [b"%/@", b"%/C", b"%/E"];

/// How names are written in a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// ISO 646, upper case; Rock Ridge may tell others.
    Plain,
    /// UTF-16BE.
    Joliet,
    /// Any bytes (ISO 9660:1999).
    Enhanced,
    /// As plain ones, in records of High Sierra, which ISO 9660 was made from.
    Sierra,
}

/// Where a descriptor has what is read of it.
struct Layout {
    label: usize,
    blocks: usize,
    block: usize,
    root: usize,
    /// When the volume was modified and made (8.4.26).
    times: &'static [usize],
}

const ISO: Layout = Layout { label: 40, blocks: 80, block: 128, root: 156, times: &[830, 813] };
/// blkid, which calls a disk by its time, does not do so here.
const SIERRA: Layout = Layout { label: 48, blocks: 88, block: 136, root: 180, times: &[] };

/// One tree.
#[derive(Clone, Debug)]
pub struct Descriptor {
    /// How its names are written.
    pub names: Names,
    /// Bytes of a logical block.
    pub block: u64,
    /// Logical blocks.
    pub blocks: u64,
    /// What the disk is called.
    pub label: String,
    /// The root directory's record.
    pub root: Vec<u8>,
    /// Where that record is.
    pub root_at: u64,
    /// When the volume was made or changed, as `blkid` shows it.
    pub time: Option<String>,
}

/// All trees of a volume, the primary one first; none where it is no ISO 9660. Whether there is UDF beside it.
pub fn read(device: &dyn Blob) -> Result<(Vec<Descriptor>, bool)> {
    let (mut all, mut udf) = (Vec::new(), false);
    for number in FIRST..FIRST + DESCRIPTORS_MOST {
        let at = number * SECTOR;
        if device.size().saturating_sub(at) < SECTOR {
            break;
        }
        let bytes = device.read(at, SECTOR as u32)?;
        match field(&bytes, 1, 5) {
            b"CD001" => {}
            _ if field(&bytes, 9, 5) == b"CDROM" => {
                match bytes.get(8) {
                    Some(&PRIMARY) => all.push(descriptor(&bytes, at, Names::Sierra)?),
                    Some(&END) => break,
                    _ => {}
                }
                continue;
            }
            // The end of one volume recognition sequence and the other (ECMA-167, 2/9).
            b"BEA01" | b"TEA01" => continue,
            b"NSR02" | b"NSR03" => {
                udf = true;
                continue;
            }
            _ => break,
        }
        match bytes.first() {
            Some(&PRIMARY) => all.insert(0, descriptor(&bytes, at, Names::Plain)?),
            Some(&SUPPLEMENTARY) => {
                let escapes = field(&bytes, 88, 32);
                let joliet = JOLIET.iter().any(|escape| escapes.starts_with(escape));
                let enhanced = bytes.get(6) == Some(&2);
                if joliet || enhanced {
                    let names = if joliet { Names::Joliet } else { Names::Enhanced };
                    all.push(descriptor(&bytes, at, names)?);
                }
            }
            Some(&END) if !udf => {}
            _ => {}
        }
    }
    if all.first().is_none_or(|first| !matches!(first.names, Names::Plain | Names::Sierra)) {
        all.clear();
    }
    Ok((all, udf))
}

fn descriptor(bytes: &[u8], at: u64, names: Names) -> Result<Descriptor> {
    let layout = if names == Names::Sierra { SIERRA } else { ISO };
    let block = little(bytes, layout.block, 2);
    if !matches!(block, 512 | 1024 | 2048) {
        let message = format!("logical blocks of {block} bytes, where 512, 1024 or 2048 are possible");
        return Err(Error::corrupt(at + layout.block as u64, message));
    }
    let label = field(bytes, layout.label, 32);
    let label =
        if names == Names::Joliet { wide(label) } else { String::from_utf8_lossy(label).into_owned() };
    Ok(Descriptor {
        names,
        block,
        blocks: little(bytes, layout.blocks, 4),
        label: label.trim_end_matches([' ', '\0']).to_owned(),
        root: field(bytes, layout.root, 34).to_vec(),
        root_at: at + layout.root as u64,
        time: layout.times.iter().find_map(|at| time(field(bytes, *at, 17))),
    })
}

/// `2024022512345600` as `2024-02-25-12-34-56-00`; none where it is not said.
fn time(bytes: &[u8]) -> Option<String> {
    let digits = std::str::from_utf8(bytes.get(..16)?).ok()?;
    if !digits.bytes().all(|c| c.is_ascii_digit()) || digits.bytes().all(|c| c == b'0') {
        return None;
    }
    let parts = [(0, 4), (4, 6), (6, 8), (8, 10), (10, 12), (12, 14), (14, 16)];
    let parts: Vec<&str> = parts.iter().filter_map(|(from, to)| digits.get(*from..*to)).collect();
    Some(parts.join("-"))
}

/// UTF-16BE as text.
pub fn wide(bytes: &[u8]) -> String {
    let units =
        bytes.chunks_exact(2).map(|two| two.iter().fold(0_u16, |unit, byte| unit << 8 | u16::from(*byte)));
    String::from_utf16_lossy(&units.collect::<Vec<_>>())
}

/// The error of what cannot be done with such a disk.
pub fn denied() -> Error {
    Error::new(ErrorKind::Denied, "ISO 9660 can only be read")
}
