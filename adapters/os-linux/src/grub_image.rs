//! GRUB's image for UEFI: its section `mods` holds objects, one of which is the folder that it takes its menu from (GRUB,
//! `include/grub/kernel.h`: `grub_module_info64`, `grub_module_header`, `OBJ_TYPE_PREFIX`; all numbers little-endian).
//!
//! ```text
//! section: u32 "mimg", u32, u64 where the first object is, u64 bytes of all
//! object, at a multiple of 8: u32 type (3: the folder), u32 bytes with this header, content
//! ```

use crate::pe::Executable;
use wherry_sdk::Tree;
use wherry_sdk::bytes::{field, little, until_nul};

const MAGIC: u64 = 0x676d_696d;
const PREFIX: u64 = 3;
/// The most of a section that is read, in bytes, and of objects.
const SECTION: u64 = 16 << 20;
const OBJECTS: usize = 4096;

/// `/EFI/debian`: the folder on the EFI system partition in which an image looks for `grub.cfg`; none if it says none, or another
/// device.
pub fn prefix(guest: &dyn Tree, path: &str) -> Option<String> {
    let image = Executable::read(guest, path).ok()??;
    let section = image.section(b"mods")?;
    let length = section.length().min(SECTION);
    let mut bytes = Vec::with_capacity(length as usize);
    while (bytes.len() as u64) < length {
        let rest = (length - bytes.len() as u64).min(1 << 20) as u32;
        let piece = guest.read(path, section.place() + bytes.len() as u64, rest).ok()?;
        if piece.is_empty() {
            break;
        }
        bytes.extend(piece);
    }
    folder(&bytes)
}

/// The same from the section's bytes.
pub fn folder(mods: &[u8]) -> Option<String> {
    if little(mods, 0, 4) != MAGIC {
        return None;
    }
    let mut at = usize::try_from(little(mods, 8, 8)).ok()?;
    let end = usize::try_from(little(mods, 16, 8)).ok()?.min(mods.len());
    for _ in 0..OBJECTS {
        let length = little(mods, at.checked_add(4)?, 4) as usize;
        if length < 8 || at.checked_add(length)? > end {
            return None;
        }
        if little(mods, at, 4) == PREFIX {
            let text = std::str::from_utf8(until_nul(field(mods, at + 8, length - 8))).ok()?;
            return plain(text).then(|| text.trim_end_matches('/').to_owned());
        }
        at = at.checked_add(length.checked_next_multiple_of(8)?)?;
    }
    None
}

/// A path that can be made on a FAT, below `/EFI` or `/boot`.
fn plain(path: &str) -> bool {
    let name = |name: &str| {
        let known = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        !name.is_empty() && name.len() <= 64 && name.chars().all(known) && name.chars().any(|c| c != '.')
    };
    path.len() <= 256
        && path.strip_prefix('/').is_some_and(|rest| rest.trim_end_matches('/').split('/').all(name))
}
