//! Unified kernel images: a PE file whose sections are kernel, initramfs and command line. UAPI.5, "Unified Kernel
//! Image". One that is signed is looked into and never changed; in one that is not, the section with the initramfs grows.

use crate::initramfs::{self, GuestModules, Image, Need, Outcome, Segment};
use crate::pe::Executable;
use wherry_sdk::{Change, Patch, Result, Tree};

/// Bytes that are moved at once.
const PIECE: u64 = 1 << 20;
/// The longest command line that is read, in bytes; the kernel takes 2048 on x86.
const COMMAND_LINE: u64 = 16 << 10;

/// What is known about one image.
pub struct Unified<'a> {
    guest: &'a dyn Tree,
    path: &'a str,
    executable: Executable,
    /// Section `.uname`.
    pub release: Option<String>,
    /// Section `.cmdline`.
    pub command_line: Option<String>,
    /// Offset and length in bytes of section `.initrd`.
    initrd: (u64, u64),
}

impl<'a> Unified<'a> {
    /// Looks at the section table; a file that is no PE file has no sections.
    pub fn open(guest: &'a dyn Tree, path: &'a str) -> Result<Self> {
        let executable = Executable::read(guest, path)?.unwrap_or_default();
        let mut new = Self { guest, path, executable, release: None, command_line: None, initrd: (0, 0) };
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-+~".contains(c);
        new.release = new.text(b".uname", 256)?.filter(|r| !r.is_empty() && r.chars().all(plain));
        new.command_line = new.text(b".cmdline", COMMAND_LINE)?;
        if let Some(section) = new.executable.section(b".initrd") {
            new.initrd = (section.place(), section.length());
        }
        Ok(new)
    }

    fn text(&self, name: &[u8], most: u64) -> Result<Option<String>> {
        let Some(section) = self.executable.section(name) else { return Ok(None) };
        let bytes = self.guest.read(self.path, section.place(), section.length().min(most) as u32)?;
        let text = String::from_utf8_lossy(&bytes);
        Ok(Some(text.trim_matches(['\0', '\n', ' ']).to_owned()))
    }

    /// Where it is.
    pub fn path(&self) -> &str {
        self.path
    }

    /// Why it must stay as it is on a machine with this firmware.
    pub fn fixed(&self, firmware: &str) -> Option<&'static str> {
        match firmware {
            _ if self.executable.signed => Some("its signature would not survive a change"),
            "uefi-secure-boot" => Some("the target starts nothing that is not signed"),
            _ => None,
        }
    }

    /// Whether its initramfs has the modules, by the same rules as for any other.
    pub fn check(&self, release: &str, folder: &str, wanted: &[&str]) -> Result<Outcome> {
        let modules = GuestModules { guest: self.guest, folder };
        initramfs::plan(&Need { release, image: self, wanted, modules: &modules })
    }

    /// Puts a segment behind the initramfs. Answers the room in bytes that it takes, and whether that was there; none if the
    /// file's headers do not allow it.
    pub fn extend(&self, segment: &Segment, reason: &str) -> Result<Option<(u64, bool)>> {
        let file = self.guest.stat(&self.guest.canonical(self.path)?)?.size;
        let Some(growth) = self.executable.grow(b".initrd", segment.bytes.len() as u64, file) else {
            return Ok(None);
        };
        let needed = growth.end.saturating_sub(file);
        if self.guest.room(self.path)?.free < needed.saturating_add(crate::drivers::SPARE) {
            return Ok(Some((needed, false)));
        }
        if let Some((from, to)) = growth.copied {
            self.append(&vec![0; usize::try_from(to.saturating_sub(file)).unwrap_or_default()], reason)?;
            let mut done = 0;
            while done < self.initrd.1 {
                let piece =
                    self.guest.read(self.path, from + done, (self.initrd.1 - done).min(PIECE) as u32)?;
                if piece.is_empty() {
                    return Err(wherry_sdk::Error::corrupt(from + done, "a section ends behind its file")
                        .within(self.path));
                }
                self.append(&piece, reason)?;
                done += piece.len() as u64;
            }
        }
        let mut bytes = segment.bytes.clone();
        bytes.resize(
            bytes.len().max(usize::try_from(growth.end.saturating_sub(growth.place)).unwrap_or_default()),
            0,
        );
        let size = |length: u64| format!("section .initrd of {length} bytes");
        let shown =
            Change { before: size(self.initrd.1), after: size(self.initrd.1 + segment.bytes.len() as u64) };
        let patches = [vec![Patch { offset: growth.place, bytes }], growth.headers].concat();
        self.guest.modify(self.path, &patches, Some(&shown), reason)?;
        Ok(Some((needed, true)))
    }

    fn append(&self, bytes: &[u8], reason: &str) -> Result<()> {
        if bytes.is_empty() { Ok(()) } else { self.guest.append(self.path, bytes, reason) }
    }

    /// Gives it another command line, if there is room for it.
    pub fn set_command_line(&self, new: &str, reason: &str) -> Result<bool> {
        let Some(patches) = self.executable.replace(b".cmdline", new.as_bytes()) else { return Ok(false) };
        let before = self.command_line.clone().unwrap_or_default();
        let shown = Change { before, after: new.to_owned() };
        self.guest.modify(self.path, &patches, Some(&shown), reason)?;
        Ok(true)
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
