//! Disks that the real tools partitioned.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

pub const MIB: u64 = 1 << 20;

/// A primary partition, and three logical ones.
pub const MBR: &str = "label: dos\nlabel-id: 0x5ee05ee0\n\
    start=1MiB,size=1MiB,type=83,bootable\nstart=2MiB,size=6MiB,type=5\n\
    start=3MiB,size=256KiB,type=83\nstart=5MiB,size=256KiB,type=82\nstart=7MiB,size=256KiB,type=8e\n";
/// An EFI system partition, and one with a name and an identity.
pub const GPT: &str = "label: gpt\nlabel-id: 01234567-89AB-CDEF-0123-456789ABCDEF\n\
    start=1MiB,size=1MiB,type=U,name=ESP\n\
    start=3MiB,size=2MiB,type=L,name=\"root \u{e9}\",uuid=11111111-2222-3333-4444-555555555555\n";

/// An image file in a directory of its own.
pub struct Image {
    directory: TempDir,
}

impl Image {
    pub fn new(size: u64) -> Self {
        let image = Self { directory: tempfile::tempdir().unwrap() };
        std::fs::File::create(image.path()).unwrap().set_len(size).unwrap();
        image
    }
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("disk.img")
    }
    pub fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.path()).unwrap()
    }
}

/// What a tool printed; its package is installed by `cargo xtask test`.
pub fn run(tool: &str, arguments: &[&str], disk: &Path, input: &str) -> String {
    let mut child = Command::new(tool)
        .args(arguments)
        .arg(disk)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{tool}: {e}; `cargo xtask test` installs it"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{tool}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// A disk that sfdisk partitioned by this script.
pub fn sfdisk(size: u64, script: &str) -> Image {
    let image = Image::new(size);
    run("/sbin/sfdisk", &["--quiet", "--no-reread", "--no-tell-kernel"], &image.path(), script);
    image
}

/// A disk with sectors of 4096 bytes, which only fdisk makes without a device.
pub fn fdisk4096(size: u64, keys: &str) -> Image {
    let image = Image::new(size);
    run("/sbin/fdisk", &["-b", "4096", "--noauto-pt", "--wipe", "never"], &image.path(), keys);
    image
}
