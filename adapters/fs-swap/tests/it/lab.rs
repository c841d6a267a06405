//! Areas on files.

use std::fs;
use std::os::unix::fs::FileExt;
use std::process::Command;
use tempfile::NamedTempFile;
use wherry_sdk::testing::run;

/// Bytes of the areas made here, with a rest that is no page.
pub const SIZE: u64 = (1 << 20) + 1024;

/// An area that `mkswap` made, with `fill` behind its first page.
pub fn area(options: &[&str], fill: u8) -> Vec<u8> {
    let file = NamedTempFile::new().unwrap();
    file.as_file().write_all_at(&vec![fill; SIZE as usize], 0).unwrap();
    run(Command::new("/sbin/mkswap").args(options).arg(file.path()));
    fs::read(file.path()).unwrap()
}

/// What blkid calls this: TYPE, VERSION, UUID and LABEL, empty where it says nothing.
pub fn by_blkid(bytes: &[u8]) -> [String; 4] {
    let file = NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    // 2: nothing found.
    let said = wherry_sdk::testing::run_to(
        Command::new("/sbin/blkid").args(["-p", "-o", "export"]).arg(file.path()),
        &[0, 2, 8],
    );
    let value = |key: &str| {
        let found = said.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        found.unwrap_or_default().replace('\\', "")
    };
    ["TYPE", "VERSION", "UUID", "LABEL"].map(value)
}
