//! Loop devices: block devices that tests may have.

use crate::guest::tool;
use std::path::Path;

/// A file as a block device, until it goes out of scope.
pub struct Loop {
    /// `/dev/loop3`.
    pub path: String,
}

impl Loop {
    /// Sectors of `sector` bytes. None only where the environment says WHERRY_NO_MOUNT; else a machine without loop
    /// devices fails the test.
    pub fn new(file: &Path, sector: u32) -> Option<Self> {
        if std::env::var_os("WHERRY_NO_MOUNT").is_some() {
            eprintln!("NOT TESTED: WHERRY_NO_MOUNT is set, and this test needs a loop device");
            return None;
        }
        let (sector, file) = (sector.to_string(), file.to_str().unwrap());
        let said = tool("losetup", &["--find", "--show", "--sector-size", &sector, file]);
        Some(Self { path: said.trim().into() })
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        tool("losetup", &["--detach", &self.path]);
    }
}
