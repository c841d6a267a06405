//! Loop devices over parts of a disk image, and what is mounted from them; given back when dropped.

use crate::quiet;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A loop device.
pub struct Loop {
    pub path: String,
}

impl Loop {
    /// Over `size` bytes from byte `offset` of a disk.
    pub fn attach(disk: &Path, offset: u64, size: u64) -> Result<Self> {
        let mut losetup = Command::new("/sbin/losetup");
        losetup.args(["--find", "--show", "--offset", &offset.to_string(), "--sizelimit", &size.to_string()]);
        Ok(Self { path: quiet(losetup.arg(disk))?.trim().to_owned() })
    }

    /// Its file system at a folder, which is made.
    pub fn mount(self, folder: &Path) -> Result<Mounted> {
        fs::create_dir_all(folder)?;
        quiet(Command::new("mount").arg(&self.path).arg(folder))?;
        Ok(Mounted { folder: folder.to_owned(), _device: self })
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        // A device that stays attached costs a number, no more.
        let _ = Command::new("/sbin/losetup").args(["--detach", &self.path]).status();
    }
}

/// A mounted file system.
pub struct Mounted {
    pub folder: PathBuf,
    _device: Loop,
}

impl Mounted {
    /// Copies a tree into a folder of it, with everything that its files have.
    pub fn fill(&self, tree: &Path, inside: &str) -> Result<()> {
        let from = tree.join(".");
        quiet(Command::new("cp").arg("-a").arg(from).arg(self.folder.join(inside)))?;
        Ok(())
    }

    /// Unmounts it, so that everything is in the image.
    pub fn end(self) -> Result<()> {
        quiet(Command::new("umount").arg(&self.folder)).context("the file system stays mounted")?;
        Ok(())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // After an error only; otherwise it is unmounted already, and umount complains to nobody.
        let _ = Command::new("umount").arg("--quiet").arg(&self.folder).output();
    }
}
