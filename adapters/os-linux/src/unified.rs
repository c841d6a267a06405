//! Unified kernel images: a PE file whose sections are kernel, initramfs and command line. UAPI.5, "Unified Kernel
//! Image"; Microsoft PE format, "Section Table".

use crate::initramfs::{self, GuestModules, Image, Need, Outcome};
use wherry_sdk::{Result, Tree};

/// More sections than any image has.
const SECTIONS: u16 = 96;

/// What is known about one image.
pub struct Unified<'a> {
    guest: &'a dyn Tree,
    path: &'a str,
    /// Section `.uname`.
    pub release: Option<String>,
    /// Offset and length in bytes of section `.initrd`.
    initrd: (u64, u64),
}

/// Name, offset and length of a section, from its header of 40 bytes.
fn section(header: &[u8]) -> Option<(&[u8], u64, u64)> {
    let number = |at: usize| Some(u64::from(u32::from_le_bytes(header.get(at..at + 4)?.try_into().ok()?)));
    let name = header.get(..8)?.split(|byte| *byte == 0).next()?;
    // the length in memory is what was stored before padding
    Some((name, number(20)?, number(8)?.min(number(16)?)))
}

impl<'a> Unified<'a> {
    /// Looks at the section table; a file that is no PE file has no sections.
    pub fn open(guest: &'a dyn Tree, path: &'a str) -> Result<Self> {
        let mut new = Self { guest, path, release: None, initrd: (0, 0) };
        let head = guest.read(path, 0, 64)?;
        let Some(at) = head.get(60..64).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes) else {
            return Ok(new);
        };
        let header = guest.read(path, u64::from(at), 24)?;
        let short = |at: usize| Some(u16::from_le_bytes(header.get(at..at + 2)?.try_into().ok()?));
        let (Some(count), Some(optional)) = (short(6), short(20)) else { return Ok(new) };
        if !header.starts_with(b"PE\0\0") {
            return Ok(new);
        }
        let start = u64::from(at) + 24 + u64::from(optional);
        let table = guest.read(path, start, u32::from(count.min(SECTIONS)) * 40)?;
        for (name, offset, length) in table.chunks_exact(40).filter_map(section) {
            match name {
                b".uname" => {
                    let text = guest.read(path, offset, length.min(256) as u32)?;
                    let text = String::from_utf8_lossy(&text);
                    let release = text.trim_matches(['\0', '\n', ' ']);
                    let plain = |c: char| c.is_ascii_alphanumeric() || "._-+~".contains(c);
                    new.release = Some(release.to_owned()).filter(|r| !r.is_empty() && r.chars().all(plain));
                }
                b".initrd" => new.initrd = (offset, length),
                _ => {}
            }
        }
        Ok(new)
    }

    /// Whether its initramfs has the modules, by the same rules as for any other.
    pub fn check(&self, release: &str, folder: &str, wanted: &[&str]) -> Result<Outcome> {
        let modules = GuestModules { guest: self.guest, folder };
        initramfs::plan(&Need { release, image: self, wanted, modules: &modules })
    }
}

impl Image for Unified<'_> {
    fn size(&self) -> u64 {
        self.initrd.1
    }
    fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        let length = u64::from(length).min(self.initrd.1.saturating_sub(offset)) as u32;
        if length == 0 { Ok(Vec::new()) } else { self.guest.read(self.path, self.initrd.0 + offset, length) }
    }
}
