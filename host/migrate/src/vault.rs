//! Opening archives, and the disks of their snapshots: `snapshot:ARCHIVE#SNAPSHOT[#DISK]`.

use crate::source::{Image, Source};
use crate::{Error, ErrorKind, Result};
use archive::{Archive, Secret, Snapshot};
use std::path::Path;
use workload::Fact;

/// What a snapshot's disk begins with where a disk is named.
pub(crate) const PREFIX: &str = "snapshot:";
/// A key file is no longer than this.
const KEY_FILE_MOST: u64 = 64 << 10;

/// What opens encrypted archives, as the environment says: `WHERRY_PASSWORD`, `WHERRY_PASSWORD_FILE` (its first line) or
/// `WHERRY_KEY_FILE`.
pub fn secret() -> Result<Option<Secret>> {
    if let Ok(password) = std::env::var("WHERRY_PASSWORD") {
        return Ok(Some(Secret::Password(password)));
    }
    if let Some(path) = std::env::var_os("WHERRY_PASSWORD_FILE") {
        return password_file(Path::new(&path)).map(Some);
    }
    std::env::var_os("WHERRY_KEY_FILE").map(|path| key_file(Path::new(&path))).transpose()
}

/// The password on a file's first line.
pub fn password_file(path: &Path) -> Result<Secret> {
    let bytes = read(path)?;
    let text =
        String::from_utf8(bytes).map_err(|_| Error::usage(format!("{} is no text", path.display())))?;
    Ok(Secret::Password(text.lines().next().unwrap_or_default().into()))
}

/// A key file.
pub fn key_file(path: &Path) -> Result<Secret> {
    read(path).map(Secret::KeyFile)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let io = |e| Error::failed(format!("cannot read {}: {e}", path.display()));
    if path.metadata().map_err(io)?.len() > KEY_FILE_MOST {
        return Err(Error::usage(format!("{} is too long for a password or a key file", path.display())));
    }
    std::fs::read(path).map_err(io)
}

/// Opens an archive with what the environment says.
pub fn open_archive(address: &str) -> Result<Archive> {
    open_archive_with(address, secret()?.as_ref())
}

/// Opens an archive.
pub fn open_archive_with(address: &str, secret: Option<&Secret>) -> Result<Archive> {
    Archive::open(archive::open(address)?, secret).map_err(|e| {
        let next = "; set WHERRY_PASSWORD, WHERRY_PASSWORD_FILE or WHERRY_KEY_FILE";
        let next = if e.kind == archive::ErrorKind::Key { next } else { "" };
        Error::failed(format!("{e}{next}"))
    })
}

/// A snapshot's disks as sources: all of them, or the one that is named.
pub(crate) fn sources(name: &str) -> Result<Vec<Source>> {
    let usage = || {
        Error::usage(format!("`{name}` is no snapshot; say snapshot:ARCHIVE#SNAPSHOT or ...#SNAPSHOT#DISK"))
    };
    let rest = name.strip_prefix(PREFIX).ok_or_else(usage)?;
    let (address, rest) =
        rest.split_once('#').filter(|(address, _)| !address.is_empty()).ok_or_else(usage)?;
    let (wanted, disk) = match rest.split_once('#') {
        Some((wanted, disk)) => (wanted, Some(disk.parse::<usize>().map_err(|_| usage())?)),
        None => (rest, None),
    };
    let archive = open_archive(address)?;
    let snapshot = archive.choose(wanted)?;
    let all = archive.disks(&snapshot)?;
    if let Some(number) = disk.filter(|number| *number >= all.len()) {
        let what = format!(
            "snapshot {} of {} has {} disks, counted from 0",
            snapshot.id,
            snapshot.machine,
            all.len()
        );
        return Err(Error::usage(format!("{name}: there is no disk {number}; {what}")));
    }
    let of = |(number, bytes): (usize, std::sync::Arc<dyn block::Disk>)| {
        source(format!("{PREFIX}{address}#{}#{number}", snapshot.id), &archive, &snapshot, number, bytes)
    };
    Ok(all
        .into_iter()
        .enumerate()
        .filter(|(number, _)| disk.is_none_or(|disk| disk == *number))
        .map(of)
        .collect())
}

fn source(
    name: String,
    archive: &Archive,
    snapshot: &Snapshot,
    number: usize,
    disk: std::sync::Arc<dyn block::Disk>,
) -> Source {
    let record = &snapshot.disks[number];
    let fact = |key: &str, value: String| Fact { key: key.into(), value };
    let facts = vec![
        fact("archive", archive.name()),
        fact("snapshot", snapshot.id.clone()),
        fact("machine", snapshot.machine.clone()),
        fact("captured-from", record.name.clone()),
        fact("time", snapshot.time.to_string()),
    ];
    Source {
        name,
        format: "snapshot".into(),
        size: record.size,
        sector_size: record.sector_size,
        identity: format!("snapshot {} {} {} {}", archive.config.id, snapshot.id, number, record.root),
        concerns: Vec::new(),
        image: Image { unit: record.chunk_size, parent: None, files: Vec::new(), facts },
        devices: Vec::new(),
        exports: Vec::new(),
        changed: None,
        disk,
    }
}

impl From<archive::Error> for Error {
    fn from(e: archive::Error) -> Self {
        let kind = match e.kind {
            archive::ErrorKind::Cancelled => ErrorKind::Stopped,
            _ => ErrorKind::Failed,
        };
        Self::new(kind, e.context)
    }
}
