//! An encrypted partition, by QEMU's own implementation of LUKS: no kernel is asked for it.

use crate::{disk, quiet};
use anyhow::{Context, Result};
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::Command;

/// As `guest.sh` says it.
const UUID: &str = "77686572-7279-4000-8000-6c756b730000";
const PASSPHRASE: &str = "open sesame";
/// More than QEMU's header takes, which is some 2 MiB.
pub const HEADER: u64 = 4 * disk::MIB;

/// Encrypts a file into the disk's partition that begins at MiB `start`, and removes it.
pub fn seal(plain: &Path, disk: &Path, start: u64) -> Result<()> {
    let sealed = plain.with_extension("sealed");
    let secret = format!("secret,id=passphrase,data={PASSPHRASE}");
    let mut convert = Command::new("qemu-img");
    convert.args(["convert", "--object", &secret, "-f", "raw", "-O", "luks"]);
    convert.args(["-o", "key-secret=passphrase,iter-time=200"]).args([plain, &sealed]);
    quiet(&mut convert)?;
    fs::remove_file(plain)?;
    quiet(Command::new("/sbin/cryptsetup").args(["-q", "luksUUID", "--uuid", UUID]).arg(&sealed))?;
    let mut from = File::open(&sealed)?;
    let mut to = disk::open(disk)?;
    io::Seek::seek(&mut to, io::SeekFrom::Start(start * disk::MIB))?;
    io::copy(&mut from, &mut to).context("the encrypted partition does not fit")?;
    Ok(fs::remove_file(sealed)?)
}

/// What `--key` is told; the passphrase lies in the folder.
pub fn lent(folder: &Path) -> Result<String> {
    let file = folder.join("passphrase");
    fs::write(&file, PASSPHRASE)?;
    Ok(format!("luks:{UUID}={}", file.display()))
}
