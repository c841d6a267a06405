//! Reparse points: symbolic links, junctions, and what other drivers keep in files.
//!
//! Source: [MS-FSCC] 2.1.2 (tags, symbolic links, mount points); WSL's links: ntfs-3g's documentation.

use crate::attribute::REPARSE;
use crate::bytes::{part, put_u16, put_u32, u16_at, u32_at, unit_bytes, units};
use crate::file::File;
use crate::volume::{ROOT, Volume};
use wherry_sdk::{Error, ErrorKind, Result};

/// A junction, or a volume mounted in a directory.
pub const MOUNT_POINT: u32 = 0xa000_0003;
/// A symbolic link.
pub const SYMLINK: u32 = 0xa000_000c;
/// A symbolic link of the Linux subsystem.
pub const LX_SYMLINK: u32 = 0xa000_001d;
/// Content that the Windows Overlay Filter packed.
pub const WOF: u32 = 0x8000_0017;
/// The link's target is not absolute.
const RELATIVE: u32 = 1;
/// The object stands for another one.
const SURROGATE: u32 = 0x2000_0000;
/// NTFS' limit, in bytes.
pub const LENGTH_MOST: u64 = 16 << 10;

/// What a tag means to a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// a link with a path
    Link,
    /// packed content, which is read
    Packed,
    /// the file's content is elsewhere: its owner's name
    Elsewhere(&'static str),
    /// the file is not one that has content
    Special,
    /// the content is the file's own
    Plain,
}

/// What is known of a tag.
pub fn meaning(tag: u32) -> Meaning {
    match tag {
        SYMLINK | MOUNT_POINT | LX_SYMLINK => Meaning::Link,
        WOF => Meaning::Packed,
        0x8000_0013 => Meaning::Elsewhere("Windows data deduplication"),
        0x8000_0007 => Meaning::Elsewhere("single instance storage"),
        0xc000_0004 | 0x8000_0006 | 0x8000_0016 => Meaning::Elsewhere("hierarchical storage management"),
        0x8000_0008 => Meaning::Elsewhere("a mounted WIM image"),
        0x8000_0018 | 0x9000_1018 => Meaning::Elsewhere("a Windows container's layer"),
        tag if tag & 0xffff_0fff == 0x9000_001a => Meaning::Elsewhere("a cloud provider"),
        0x9000_001c => Meaning::Elsewhere("a projected file system"),
        0x8000_001b | 0x8000_0023..=0x8000_0026 => Meaning::Special,
        tag if tag & SURROGATE != 0 => Meaning::Special,
        _ => Meaning::Plain,
    }
}

fn path(bytes: &[u8], at: usize, names: usize) -> String {
    let (offset, length) = (usize::from(u16_at(bytes, at)), usize::from(u16_at(bytes, at + 2)));
    String::from_utf16_lossy(&units(part(bytes, names + offset, length)))
}

/// The reparse data of a symbolic link to `target`, a path as the tree has it.
pub fn link(target: &str) -> Result<Vec<u8>> {
    // From the volume's root or from the link's place: both are relative for Windows.
    let name = unit_bytes(&target.replace('/', "\\").encode_utf16().collect::<Vec<_>>());
    if name.is_empty() || name.len() * 2 + 20 > LENGTH_MOST as usize || target.contains('\0') {
        let message = "a link's target is one to 4000 characters, without zero";
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    let mut bytes = vec![0; 20];
    put_u32(&mut bytes, 0, SYMLINK);
    put_u16(&mut bytes, 4, (12 + name.len() * 2) as u16);
    put_u16(&mut bytes, 8, name.len() as u16);
    put_u16(&mut bytes, 10, name.len() as u16);
    put_u16(&mut bytes, 14, name.len() as u16);
    put_u32(&mut bytes, 16, RELATIVE);
    bytes.extend_from_slice(&name);
    bytes.extend_from_slice(&name);
    Ok(bytes)
}

impl Volume<'_> {
    /// The reparse point of a file: tag and data.
    pub fn reparse(&mut self, file: &File) -> Result<Option<Vec<u8>>> {
        if file.get(REPARSE, &[]).is_some_and(|one| one.size() > LENGTH_MOST) {
            let message = format!("the reparse point of file record {} is too long: run chkdsk", file.number);
            return Err(Error::new(ErrorKind::Corrupt, message));
        }
        Ok(self.whole(file, REPARSE, &[])?.filter(|bytes| bytes.len() >= 8))
    }

    /// The tag, where there is one.
    pub fn tag(&mut self, file: &File) -> Result<Option<u32>> {
        Ok(self.reparse(file)?.map(|bytes| u32_at(&bytes, 0)))
    }

    /// The path in a link, as the tree has paths: with `/`, and without the drive where that is this volume.
    pub fn link_target(&mut self, reparse: &[u8]) -> Result<String> {
        let stored = match u32_at(reparse, 0) {
            LX_SYMLINK => return Ok(String::from_utf8_lossy(part(reparse, 12, reparse.len())).into_owned()),
            SYMLINK => path(reparse, 8, 20),
            _ => path(reparse, 8, 16),
        };
        if u32_at(reparse, 0) == SYMLINK && u32_at(reparse, 16) & RELATIVE != 0 {
            return Ok(stored.replace('\\', "/"));
        }
        self.without_drive(&stored)
    }

    /// `\??\C:\Users` is `/Users` where the root has such a name; other volumes stay as they are stored.
    fn without_drive(&mut self, stored: &str) -> Result<String> {
        let kept = || Ok(stored.replace('\\', "/").replacen("/??/", "\\??\\", 1));
        let rest = stored.strip_prefix("\\??\\").unwrap_or(stored);
        let Some(path) = rest.strip_prefix(['C', 'c']).and_then(|rest| rest.strip_prefix(':')) else {
            return kept();
        };
        let path = path.replace('\\', "/");
        let Some(first) = path.split('/').find(|name| !name.is_empty()) else { return Ok("/".into()) };
        let root = self.file(ROOT)?;
        let name: Vec<u16> = first.encode_utf16().collect();
        if !path.starts_with('/') || self.find(&root, &name)?.is_none() {
            return kept();
        }
        Ok(path.trim_end_matches('/').to_owned())
    }
}
