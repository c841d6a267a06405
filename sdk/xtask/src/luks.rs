//! An encrypted partition, made by cryptsetup and filled by QEMU's own implementation of LUKS: no kernel is asked for it.

use crate::{disk, quiet};
use anyhow::{Context, Result};
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::Command;

/// As `guest.sh` says it.
const UUID: &str = "77686572-7279-4000-8000-6c756b730000";
const PASSPHRASE: &str = "open sesame";
/// More than the header takes, which is 2 MiB.
pub const HEADER: u64 = 4 * disk::MIB;

/// Encrypts a file into the disk's partition that begins at MiB `start`, and removes it.
pub fn seal(plain: &Path, disk: &Path, start: u64) -> Result<()> {
    let (sealed, key) = (plain.with_extension("sealed"), plain.with_extension("key"));
    File::create(&sealed)?.set_len(plain.metadata()?.len() + HEADER)?;
    fs::write(&key, PASSPHRASE)?;
    let mut format = Command::new("/sbin/cryptsetup");
    format.args(["-q", "luksFormat", "--type", "luks1", "--uuid", UUID, "--pbkdf-force-iterations", "1000"]);
    quiet(format.args([&sealed, &key]))?;
    let secret = format!("secret,id=passphrase,data={PASSPHRASE}");
    let target =
        format!("driver=luks,key-secret=passphrase,file.driver=file,file.filename={}", sealed.display());
    let mut convert = Command::new("qemu-img");
    convert.args(["convert", "--object", &secret, "-n", "-f", "raw"]).arg(plain);
    quiet(convert.args(["--target-image-opts", &target]))?;
    fs::remove_file(plain)?;
    fs::remove_file(key)?;
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
