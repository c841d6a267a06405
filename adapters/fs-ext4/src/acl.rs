//! POSIX access control lists: the disk's form (version 1, short entries) and the one programs see (version 2, every
//! entry with a number); Linux: fs/ext4/acl.h and include/uapi/linux/posix_acl_xattr.h.

use crate::bytes::{part, u16_at, u32_at};
use wherry_sdk::{Error, ErrorKind, Result};

/// Attribute number of the list for the object itself.
pub const ACCESS: u8 = 2;
/// Attribute number of the list for objects made in a directory.
pub const DEFAULT: u8 = 3;

const DISK_VERSION: u32 = 1;
const PUBLIC_VERSION: u32 = 2;
/// Tags whose entries carry a user's or a group's number.
const USER: u16 = 2;
const GROUP: u16 = 8;
const NO_NUMBER: u32 = u32::MAX;

/// Whether the attribute is a list in one of the two forms.
pub fn is_list(index: u8) -> bool {
    matches!(index, ACCESS | DEFAULT)
}

/// The list as programs see it; what is not a list stays as it is.
pub fn from_disk(disk: &[u8]) -> Vec<u8> {
    if u32_at(disk, 0) != DISK_VERSION {
        return disk.to_vec();
    }
    let mut public = PUBLIC_VERSION.to_le_bytes().to_vec();
    let mut at = 4;
    while at + 4 <= disk.len() {
        let named = matches!(u16_at(disk, at), USER | GROUP);
        public.extend_from_slice(part(disk, at, 4));
        let number = if named { u32_at(disk, at + 4) } else { NO_NUMBER };
        public.extend_from_slice(&number.to_le_bytes());
        at += if named { 8 } else { 4 };
    }
    public
}

/// The list as it is stored.
pub fn to_disk(public: &[u8]) -> Result<Vec<u8>> {
    if u32_at(public, 0) != PUBLIC_VERSION || public.len() % 8 != 4 {
        let message = "an access control list is not in the form of version 2";
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    let mut disk = DISK_VERSION.to_le_bytes().to_vec();
    for entry in public.get(4..).unwrap_or_default().chunks_exact(8) {
        let named = matches!(u16_at(entry, 0), USER | GROUP);
        disk.extend_from_slice(part(entry, 0, if named { 8 } else { 4 }));
    }
    Ok(disk)
}
