//! `NAME.wherry.json`: whose files these are. What no claim of the same key covers is never written or removed.

use crate::platform::check_name;
use crate::{Error, ErrorKind, Output, Result};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What a claim's name ends with, behind the machine's name.
pub const SUFFIX: &str = ".wherry.json";

/// A claim as it was read.
struct Claim {
    key: String,
    files: BTreeSet<String>,
}

impl Claim {
    /// None: nobody has claimed this name.
    fn read(output: &dyn Output, machine: &str) -> Result<Option<Self>> {
        let name = format!("{machine}{SUFFIX}");
        if !output.names()?.contains(&name) {
            return Ok(None);
        }
        let parsed = Self::parse(&output.read(&name)?);
        let unreadable = || {
            let message = format!("{name} is not a claim of this adapter; move it away or use another name");
            Error::new(ErrorKind::Exists, message)
        };
        parsed.map(Some).ok_or_else(unreadable)
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(bytes).ok()?;
        let key = value.get("key")?.as_str()?.to_owned();
        let files = value.get("files")?.as_array()?.iter();
        Some(Self { key, files: files.filter_map(|file| file.as_str().map(str::to_owned)).collect() })
    }

    fn bytes(&self, machine: &str) -> Vec<u8> {
        let value = json!({ "machine": machine, "key": self.key, "files": self.files });
        format!("{value:#}\n").into_bytes()
    }
}

/// Claims `files` of `machine` for `key`. `like` knows names that a person would take for the machine's, and which must
/// not be there either; `exists` where something is in the way or another key was first.
pub fn take(
    output: &dyn Output,
    key: &str,
    machine: &str,
    mut files: BTreeSet<String>,
    like: &dyn Fn(&str) -> bool,
) -> Result<()> {
    let old = Claim::read(output, machine)?;
    if old.as_ref().is_some_and(|claim| claim.key != key) {
        return Err(taken(machine));
    }
    let ours = old.map(|claim| claim.files).unwrap_or_default();
    let names = output.names()?;
    let in_the_way = |name: &&String| (files.contains(*name) || like(name)) && !ours.contains(*name);
    if let Some(file) = names.iter().find(in_the_way) {
        let message = format!(
            "{file} exists in the output directory and was not made by this run; \
             move it away, or use another name or directory"
        );
        return Err(Error::new(ErrorKind::Exists, message));
    }
    claimed_by_others(output, &names, machine, &files)?;
    files.extend(ours);
    let claim = Claim { key: key.to_owned(), files };
    output.write(&format!("{machine}{SUFFIX}"), &claim.bytes(machine), false)
}

/// Machine `web` with a disk 1 and machine `web-1` would both use `web-1.qcow2`, perhaps not yet written.
fn claimed_by_others(
    output: &dyn Output,
    names: &[String],
    machine: &str,
    files: &BTreeSet<String>,
) -> Result<()> {
    let others = names.iter().filter_map(|name| name.strip_suffix(SUFFIX));
    for other in others.filter(|other| *other != machine && check_name(other).is_ok()) {
        let Some(claim) = Claim::parse(&output.read(&format!("{other}{SUFFIX}"))?) else { continue };
        if let Some(file) = claim.files.intersection(files).next() {
            let message = format!("{file} belongs to machine `{other}` in this directory; use another name");
            return Err(Error::new(ErrorKind::Exists, message));
        }
    }
    Ok(())
}

/// An error unless `key` holds the claim of this machine.
pub fn held(output: &dyn Output, key: &str, machine: &str) -> Result<()> {
    match Claim::read(output, machine)? {
        Some(claim) if claim.key == key => Ok(()),
        Some(_) => Err(taken(machine)),
        None => {
            let message = format!("`{machine}` was never prepared here; prepare it first");
            Err(Error::new(ErrorKind::NotFound, message))
        }
    }
}

/// Removes what `key` made under this name; the claim goes last, so that an interrupted run can be repeated. The list was
/// on disk: only names that `ours` takes for this machine's are believed.
pub fn release(output: &dyn Output, key: &str, machine: &str, ours: &dyn Fn(&str) -> bool) -> Result<()> {
    check_name(machine)?;
    let name = format!("{machine}{SUFFIX}");
    let names = output.names()?;
    if !names.contains(&name) {
        return Ok(());
    }
    let claim = match Claim::parse(&output.read(&name)?) {
        Some(claim) if claim.key == key => claim,
        // Another run's, or not a claim at all: nothing here is ours.
        _ => return Ok(()),
    };
    for file in claim.files.iter().filter(|file| ours(file) && names.contains(file)) {
        output.remove(file)?;
    }
    output.remove(&name)
}

/// The error for a name that another key holds.
fn taken(machine: &str) -> Error {
    let message = format!(
        "`{machine}` is claimed by another run ({machine}{SUFFIX}); undo that run, or use another name or directory"
    );
    Error::new(ErrorKind::Exists, message)
}
