//! Opening archives, and the disks of their snapshots: `snapshot:ARCHIVE#SNAPSHOT[#DISK]`.

use crate::definition::Definition;
use crate::password::ask;
use crate::source::{Image, Source};
use crate::{Error, ErrorKind, Result};
use archive::{Archive, Secret, Snapshot};
use block::Disk;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
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

/// Passwords that were typed, by archive: one is asked for once, however often its archive is opened.
static TYPED: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());

/// Opens an archive with what the environment says, or with a password that is asked for if that says nothing, the archive
/// is encrypted and standard input is a terminal.
pub fn open_archive(address: &str) -> Result<Archive> {
    let mut typed = TYPED.lock().unwrap_or_else(PoisonError::into_inner);
    let said = secret()?.or_else(|| typed.get(address).cloned().map(Secret::Password));
    match Archive::open(archive::open(address)?, said.as_ref()) {
        Err(e) if e.kind == archive::ErrorKind::Key && said.is_none() => {
            let Some(password) = ask(address, false)? else { return Err(refused(&e)) };
            let archive = open_archive_with(address, Some(&Secret::Password(password.clone())))?;
            typed.insert(address.into(), password);
            Ok(archive)
        }
        opened => opened.map_err(|e| refused(&e)),
    }
}

/// Opens an archive.
pub fn open_archive_with(address: &str, secret: Option<&Secret>) -> Result<Archive> {
    Archive::open(archive::open(address)?, secret).map_err(|e| refused(&e))
}

fn refused(e: &archive::Error) -> Error {
    let next = "; set WHERRY_PASSWORD, WHERRY_PASSWORD_FILE or WHERRY_KEY_FILE";
    let next = if e.kind == archive::ErrorKind::Key { next } else { "" };
    Error::failed(format!("{e}{next}"))
}

/// A snapshot's name taken apart.
struct Named<'a> {
    archive: &'a str,
    snapshot: &'a str,
    disk: Option<usize>,
}

fn parse(name: &str) -> Result<Named<'_>> {
    let usage = || {
        Error::usage(format!("`{name}` is no snapshot; say snapshot:ARCHIVE#SNAPSHOT or ...#SNAPSHOT#DISK"))
    };
    let rest = name.strip_prefix(PREFIX).ok_or_else(usage)?;
    let (archive, rest) =
        rest.split_once('#').filter(|(archive, _)| !archive.is_empty()).ok_or_else(usage)?;
    let (snapshot, disk) = match rest.split_once('#') {
        Some((snapshot, disk)) => (snapshot, Some(disk.parse::<usize>().map_err(|_| usage())?)),
        None => (rest, None),
    };
    Ok(Named { archive, snapshot, disk })
}

/// Whether a name means a whole machine.
pub(crate) fn is_machine(name: &str) -> bool {
    name.starts_with(PREFIX) && parse(name).is_ok_and(|named| named.disk.is_none())
}

/// A snapshot's disks as sources: all of them, or the one that is named.
pub(crate) fn sources(name: &str) -> Result<Vec<Source>> {
    let named = parse(name)?;
    let (archive, snapshot) = find(&named)?;
    let sources = disks(&named, &archive, &snapshot)?;
    let Some(number) = named.disk else { return Ok(sources) };
    let count = sources.len();
    sources.into_iter().nth(number).map(|source| vec![source]).ok_or_else(|| {
        let what =
            format!("snapshot {} of {} has {count} disks, counted from 0", snapshot.id, snapshot.machine);
        Error::usage(format!("{name}: there is no disk {number}; {what}"))
    })
}

/// A snapshot's machine: its disks, and what the snapshot says of it.
pub(crate) fn machine(name: &str) -> Result<(Vec<Source>, Definition)> {
    let named = parse(name)?;
    let (archive, snapshot) = find(&named)?;
    let sources = disks(&named, &archive, &snapshot)?;
    let told = &snapshot.description;
    let definition = Definition {
        source: name.into(),
        name: Some(snapshot.machine.clone()),
        cpus: told["cpus"].as_u64().and_then(|cpus| u32::try_from(cpus).ok()),
        memory_mib: told["memory-mib"].as_u64(),
        firmware: told["firmware"].as_str().map(String::from),
        nics: serde_json::from_value(told["nics"].clone()).unwrap_or_default(),
        disks: Vec::new(),
        facts: Vec::new(),
        identity: format!("snapshot {} {}", archive.config.id, snapshot.id),
        concerns: Vec::new(),
        unchecked: Vec::new(),
    };
    Ok((sources, definition))
}

fn find(named: &Named<'_>) -> Result<(Archive, Snapshot)> {
    let archive = open_archive(named.archive)?;
    let snapshot = archive.choose(named.snapshot)?;
    Ok((archive, snapshot))
}

fn disks(named: &Named<'_>, archive: &Archive, snapshot: &Snapshot) -> Result<Vec<Source>> {
    let of = |(number, bytes): (usize, Arc<dyn Disk>)| {
        let name = format!("{PREFIX}{}#{}#{number}", named.archive, snapshot.id);
        source(name, archive, snapshot, number, bytes)
    };
    Ok(archive.disks(snapshot)?.into_iter().enumerate().map(of).collect())
}

fn source(
    name: String,
    archive: &Archive,
    snapshot: &Snapshot,
    number: usize,
    disk: Arc<dyn Disk>,
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
