//! `NAME.wherry.json`: whose files these are. What no claim of the same key covers is never written or removed.

use crate::machine::{Plan, check_name};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use wherry_sdk::{Error, ErrorKind, Output, Result};

const SUFFIX: &str = ".wherry.json";

/// A claim as it was read.
pub struct Claim {
    pub key: String,
    files: BTreeSet<String>,
}

impl Claim {
    /// None: nobody has claimed this name.
    pub fn read(output: &dyn Output, machine: &str) -> Result<Option<Self>> {
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

/// Claims the names of `plan` for `key`.
pub fn take(output: &dyn Output, key: &str, plan: &Plan) -> Result<()> {
    let mut files: BTreeSet<_> = plan.files().into_iter().collect();
    let old = Claim::read(output, &plan.name)?;
    if old.as_ref().is_some_and(|claim| claim.key != key) {
        return Err(taken(&plan.name));
    }
    let ours = old.map(|claim| claim.files).unwrap_or_default();
    let names = output.names()?;
    if let Some(file) = names.iter().find(|name| in_the_way(name, plan, &files) && !ours.contains(*name)) {
        let message = format!(
            "{file} exists in the output directory and was not made by this run; \
             move it away, or use another name or directory"
        );
        return Err(Error::new(ErrorKind::Exists, message));
    }
    claimed_by_others(output, &names, plan, &files)?;
    files.extend(ours);
    let claim = Claim { key: key.to_owned(), files };
    output.write(&plan.file(SUFFIX), &claim.bytes(&plan.name), false)
}

/// A file of ours to be, or one that a person would take for a disk of this machine.
fn in_the_way(name: &str, plan: &Plan, files: &BTreeSet<String>) -> bool {
    let like_a_disk =
        || [".qcow2", "-0.qcow2", ".raw", "-0.raw"].iter().any(|suffix| *name == plan.file(suffix));
    files.contains(name) || like_a_disk()
}

/// Machine `web` with a disk 1 and machine `web-1` would both use `web-1.qcow2`, perhaps not yet written.
fn claimed_by_others(
    output: &dyn Output,
    names: &[String],
    plan: &Plan,
    files: &BTreeSet<String>,
) -> Result<()> {
    let machines = names.iter().filter_map(|name| name.strip_suffix(SUFFIX));
    for machine in machines.filter(|machine| *machine != plan.name && check_name(machine).is_ok()) {
        let Some(other) = Claim::parse(&output.read(&format!("{machine}{SUFFIX}"))?) else { continue };
        if let Some(file) = other.files.intersection(files).next() {
            let message =
                format!("{file} belongs to machine `{machine}` in this directory; use another name");
            return Err(Error::new(ErrorKind::Exists, message));
        }
    }
    Ok(())
}

/// Removes what `key` made under this name; the claim goes last, so that an interrupted run can be repeated.
pub fn release(output: &dyn Output, key: &str, machine: &str) -> Result<()> {
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
    // The list was on disk: only names that this machine can have are believed.
    let believed = |file: &&String| could_be_ours(file, machine) && names.contains(file);
    for file in claim.files.iter().filter(believed) {
        output.remove(file)?;
    }
    output.remove(&name)
}

/// `NAME.xml`, `NAME.sh`, `NAME-vars.fd`, `NAME.qcow2`, `NAME-3.qcow2` and the like.
fn could_be_ours(file: &str, machine: &str) -> bool {
    let Some(rest) = file.strip_prefix(machine) else { return false };
    if [".xml", ".sh", "-vars.fd", "-vars.fd.new"].contains(&rest) {
        return true;
    }
    let stem = rest.strip_suffix(".qcow2").or_else(|| rest.strip_suffix(".raw"));
    let numbered = |stem: &str| {
        stem.strip_prefix('-')
            .is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
    };
    stem.is_some_and(|stem| stem.is_empty() || numbered(stem))
}

/// The error for a name that another key holds.
pub fn taken(machine: &str) -> Error {
    let message = format!(
        "`{machine}` is claimed by another run ({machine}{SUFFIX}); undo that run, or use another name or directory"
    );
    Error::new(ErrorKind::Exists, message)
}
