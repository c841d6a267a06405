//! Disks for the archive's bench: a root file system with real files, the same after an upgrade, a disk of noise, an empty one.

use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const MIB: u64 = 1 << 20;
/// Where real files are taken from, in this order, until there are enough.
const TREES: [&str; 4] = ["/usr/bin", "/usr/share", "/usr/lib", "/root/.rustup"];
/// Of these, one in so many is replaced by an upgrade.
const REPLACED: usize = 12;

/// A disk to be captured.
pub struct Guest {
    pub name: &'static str,
    /// Its states, the older first.
    pub states: Vec<PathBuf>,
}

/// Makes them in a folder; `mib` of files in the first.
pub fn make(folder: &Path, mib: u64) -> Result<Vec<Guest>> {
    let at = |name: &str| folder.join(name);
    let staging = at("files");
    let files = gather(&staging, mib * MIB)?;
    let (old, new) = (at("guest-1.raw"), at("guest-2.raw"));
    file_system(&staging, &old, 2 * mib)?;
    run(Command::new("cp").args(["--sparse=always"]).arg(&old).arg(&new), None)?;
    upgrade(&new, &staging, &files)?;
    std::fs::remove_dir_all(&staging)?;
    let (noise, empty) = (at("noise.raw"), at("empty.raw"));
    write_noise(&noise, mib * MIB)?;
    File::create_new(&empty)?.set_len(2 * mib * MIB)?;
    run(&mut Command::new("sync"), None)?;
    Ok(vec![
        Guest { name: "guest", states: vec![old, new] },
        Guest { name: "noise", states: vec![noise] },
        Guest { name: "empty", states: vec![empty] },
    ])
}

/// One file in so many is removed from the disk with free blocks.
const REMOVED: usize = 3;

/// A root file system from which a third of the files was removed: their blocks are free and hold what they held.
pub fn with_free_blocks(folder: &Path, mib: u64) -> Result<PathBuf> {
    let (staging, disk) = (folder.join("files"), folder.join("guest.raw"));
    let files = gather(&staging, mib * MIB)?;
    file_system(&staging, &disk, 2 * mib)?;
    std::fs::remove_dir_all(&staging)?;
    let script: String = files
        .iter()
        .step_by(REMOVED)
        .map(|name| name.display().to_string())
        .filter(|name| !name.contains([' ', '"']))
        .map(|name| format!("rm /{name}\n"))
        .collect();
    run(Command::new("debugfs").args(["-w", "-f", "-"]).arg(&disk), Some(&script))?;
    run(&mut Command::new("sync"), None)?;
    Ok(disk)
}

/// An ext4 of `mib` with the files below a folder.
fn file_system(files: &Path, disk: &Path, mib: u64) -> Result<()> {
    File::create_new(disk)?.set_len(mib * MIB)?;
    run(Command::new("mke2fs").args(["-q", "-F", "-t", "ext4", "-d"]).arg(files).arg(disk), None)
}

fn run(command: &mut Command, input: Option<&str>) -> Result<()> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("{command:?}"))?;
    if let (Some(text), Some(mut pipe)) = (input, child.stdin.take()) {
        pipe.write_all(text.as_bytes())?;
    }
    ensure!(child.wait()?.success(), "{command:?} failed");
    Ok(())
}

/// Copies real files until there are `most` bytes; their paths below `into`.
fn gather(into: &Path, most: u64) -> Result<Vec<PathBuf>> {
    let (mut files, mut bytes) = (Vec::new(), 0);
    let mut pending: Vec<PathBuf> = TREES.iter().rev().map(PathBuf::from).collect();
    while let Some(path) = pending.pop() {
        let Ok(meta) = path.symlink_metadata() else { continue };
        if meta.is_dir() {
            let mut inner: Vec<PathBuf> =
                std::fs::read_dir(&path)?.flatten().map(|entry| entry.path()).collect();
            inner.sort();
            pending.extend(inner.into_iter().rev());
        } else if meta.is_file() && meta.len() > 0 && meta.len() < 256 * MIB && bytes < most {
            let name = path.strip_prefix("/")?;
            let to = into.join(name);
            std::fs::create_dir_all(to.parent().context("a folder")?)?;
            std::fs::copy(&path, &to)?;
            bytes += meta.len();
            files.push(name.to_path_buf());
        }
    }
    Ok(files)
}

/// Replaces some files by others of nearly the same content, as a package manager does: written anew, the old ones removed.
fn upgrade(disk: &Path, staging: &Path, files: &[PathBuf]) -> Result<()> {
    let mut script = String::new();
    for name in files.iter().step_by(REPLACED) {
        let file = staging.join(name);
        let (mut bytes, name) = (Vec::new(), name.display().to_string());
        File::open(&file)?.read_to_end(&mut bytes)?;
        if name.contains([' ', '"']) {
            continue;
        }
        // A longer beginning moves everything behind it.
        let fresh = [b"a newer version of this file begins here\n", bytes.as_slice()].concat();
        std::fs::write(&file, fresh)?;
        script += &format!("rm /{name}\nwrite {} /{name}\n", file.display());
    }
    run(Command::new("debugfs").args(["-w", "-f", "-"]).arg(disk), Some(&script))
}

fn write_noise(path: &Path, length: u64) -> Result<()> {
    let file = File::create_new(path)?;
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut bytes = vec![0; MIB as usize];
    for at in (0..length).step_by(MIB as usize) {
        for word in bytes.chunks_exact_mut(8) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            word.copy_from_slice(&random.to_le_bytes());
        }
        file.write_all_at(&bytes, at)?;
    }
    Ok(())
}

/// Blocks that are compared, in bytes.
pub const BLOCK: usize = 4096;

/// How many of a hundred blocks with data differ, and which.
pub fn changed(old: &Path, new: &Path) -> Result<(f64, Vec<u64>)> {
    let (old, new) = (File::open(old)?, File::open(new)?);
    let length = old.metadata()?.len();
    let (mut one, mut two) = (vec![0; MIB as usize], vec![0; MIB as usize]);
    let (mut data, mut differ) = (0u64, Vec::new());
    for at in (0..length).step_by(MIB as usize) {
        old.read_exact_at(&mut one, at)?;
        new.read_exact_at(&mut two, at)?;
        for (number, (one, two)) in one.chunks(BLOCK).zip(two.chunks(BLOCK)).enumerate() {
            data += u64::from(one.iter().any(|byte| *byte != 0));
            if one != two {
                differ.push(at / BLOCK as u64 + number as u64);
            }
        }
    }
    Ok((100.0 * differ.len() as f64 / data.max(1) as f64, differ))
}

/// The list as `era_invalidate` prints it.
pub fn era(blocks: &[u64]) -> String {
    let each = blocks.iter().map(|block| format!("  <block block=\"{block}\"/>\n"));
    format!("<blocks>\n{}</blocks>\n", each.collect::<String>())
}
