//! POSIX access control lists: the disk's form (Linux: fs/xfs/libxfs/xfs_format.h, `struct xfs_acl`) and the one programs
//! see (include/uapi/linux/posix_acl_xattr.h).

use crate::bytes::{be16_at, be32_at, part};
use wherry_sdk::bytes::{u16_at, u32_at};
use wherry_sdk::{Error, ErrorKind, Result};

const PUBLIC_VERSION: u32 = 2;
const ENTRY: usize = 12;
/// Tags whose entries carry a user's or a group's number.
const USER: u32 = 2;
const GROUP: u32 = 8;

/// The attribute that programs see in place of this one of the namespace `trusted`.
pub fn public_name(name: &[u8]) -> Option<&'static str> {
    match name {
        b"SGI_ACL_FILE" => Some("system.posix_acl_access"),
        b"SGI_ACL_DEFAULT" => Some("system.posix_acl_default"),
        _ => None,
    }
}

/// The other way round.
pub fn own_name(public: &str) -> Option<&'static [u8]> {
    match public {
        "system.posix_acl_access" => Some(b"SGI_ACL_FILE"),
        "system.posix_acl_default" => Some(b"SGI_ACL_DEFAULT"),
        _ => None,
    }
}

/// The list as it is stored.
pub fn to_disk(public: &[u8]) -> Result<Vec<u8>> {
    if u32_at(public, 0) != PUBLIC_VERSION || public.len() % 8 != 4 {
        let message = "an access control list is not in the form of version 2";
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    let mut disk = ((public.len() / 8) as u32).to_be_bytes().to_vec();
    for entry in part(public, 4, public.len()).chunks_exact(8) {
        let tag = u32::from(u16_at(entry, 0));
        let number = if matches!(tag, USER | GROUP) { u32_at(entry, 4) } else { 0 };
        disk.extend_from_slice(&tag.to_be_bytes());
        disk.extend_from_slice(&number.to_be_bytes());
        disk.extend_from_slice(&u16_at(entry, 2).to_be_bytes());
        disk.extend_from_slice(&[0; 2]);
    }
    Ok(disk)
}

/// The list as programs see it; none if it is not one.
pub fn from_disk(disk: &[u8]) -> Option<Vec<u8>> {
    let count = be32_at(disk, 0) as usize;
    if count.checked_mul(ENTRY)?.checked_add(4)? != disk.len() {
        return None;
    }
    let mut public = PUBLIC_VERSION.to_le_bytes().to_vec();
    for entry in part(disk, 4, disk.len()).chunks_exact(ENTRY) {
        let tag = be32_at(entry, 0);
        let number = if matches!(tag, USER | GROUP) { be32_at(entry, 4) } else { u32::MAX };
        public.extend_from_slice(&(tag as u16).to_le_bytes());
        public.extend_from_slice(&be16_at(entry, 8).to_le_bytes());
        public.extend_from_slice(&number.to_le_bytes());
    }
    Some(public)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_entry() {
        let disk = [0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 3, 232, 0, 6, 0, 0];
        let public = vec![2, 0, 0, 0, 2, 0, 6, 0, 232, 3, 0, 0];
        assert_eq!(from_disk(&disk), Some(public.clone()));
        assert_eq!(to_disk(&public), Ok(disk.to_vec()));
        assert!(to_disk(&public[..5]).is_err() && to_disk(&disk).is_err());
        assert_eq!(from_disk(&disk[..12]), None);
        assert_eq!((from_disk(&[255; 4]), from_disk(&[])), (None, None));
    }
}
