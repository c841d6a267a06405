//! Tables of the root that the kernel reads from the boot archive, where they are changed as well: the numbers of devices
//! (`path_to_inst`) and the names that drivers take (`driver_aliases`).
//!
//! The first is one of the files of `filelist.safe`, over which svc:/system/boot-archive does not stop the start if the root's
//! copy is newer than the archive. The second is not, so the list of the archive's states is told its new size; its time
//! stays, because that can only be kept, not foretold, when the migration is planned.

use crate::aliases::Aliases;
use crate::archive::{self, Inner, Prepared};
use crate::devices::{self, Driver};
use crate::files::{exists, lines, text};
use crate::filestat;
use crate::instances::{self, BOOTSTRAP};
use crate::work::Work;
use wherry_sdk::{Change, Error, Kind, Meta, Patch, Result, Tree};

const NUMBERS: &str = "/etc/path_to_inst";
const NUMBERS_ASIDE: &str = "/etc/path_to_inst.wherry";
/// Its name in archives and their lists.
const NUMBERS_INNER: &str = "etc/path_to_inst";
const ALIASES: &str = "/etc/driver_aliases";
const ALIASES_NEW: &str = "/etc/driver_aliases.wherry";
/// See [`NUMBERS_INNER`].
const ALIASES_INNER: &str = "etc/driver_aliases";
const MAJORS: &str = "/etc/name_to_major";
/// Of the time when bootadm last made its cache of the archive's files (`is_valid_archive`).
const CACHE_TIME: &str = "/boot/solaris/timestamp.cache";

const RENUMBERED: &str = "the kernel numbers the devices of the new machine from 0";
const GIVEN: &str = "drivers that are there take the devices of the new machine";

/// Devices that drivers are going to be given.
pub struct Given {
    archives: Vec<Prepared>,
    /// The new driver_aliases.
    text: String,
    /// The old one.
    like: Meta,
    /// What the list of states is told.
    state: Patch,
}

/// Whether the target's devices can be given to drivers from outside, where the table lacks them: if the table can be changed in
/// the root and in every archive. From here on the table counts as changed; it is in [`adapt`], which nothing but a concern
/// that blocks keeps from running.
pub fn plan(work: &mut Work<'_>) -> Option<Given> {
    if !work.root.writable || work.root.kind != "ufs" {
        return None;
    }
    let old = text(work.guest, ALIASES)?;
    let new = with_claims(work, &old);
    if new == old {
        return None;
    }
    match give(work.guest, &old, new) {
        Ok(given) => {
            work.aliases = Aliases::parse(&given.text);
            Some(given)
        }
        Err(error) => {
            work.refused = Some(error.message);
            None
        }
    }
}

/// Changes the tables.
pub fn adapt(work: &mut Work<'_>, given: Option<Given>) -> Result<()> {
    let old = numbers(work.guest).filter(|_| work.root.writable);
    let mut reasons = Vec::new();
    reasons.extend(given.is_some().then_some(GIVEN));
    reasons.extend(old.is_some().then_some(RENUMBERED));
    let archives = match given {
        Some(given) => add_aliases(work, given)?,
        None if old.is_none() => return Ok(()),
        None => match archive::prepare(work.guest, &[BOOTSTRAPPED]) {
            Ok(archives) => archives,
            Err(error) => {
                let message = error.message;
                work.note(format!(
                    "{message}: new devices get the next numbers after those of the old machine"
                ));
                return Ok(());
            }
        },
    };
    archive::write(work, &archives, &reasons.join("; "))?;
    if old.is_some_and(|old| !instances::parse(&old).is_empty()) {
        let like = work.guest.stat(&work.guest.canonical(NUMBERS)?)?;
        work.rename(NUMBERS, NUMBERS_ASIDE, "it has the numbers of the old machine's devices")?;
        work.write(NUMBERS, BOOTSTRAP, Some(&like), RENUMBERED)?;
    }
    Ok(())
}

/// The table for a kernel that is to number all devices anew, within archives.
const BOOTSTRAPPED: Inner<'static> = Inner { path: NUMBERS_INNER, old: None, new: BOOTSTRAP };

/// The table of numbers, where the start does not stop over another one in the archive.
fn numbers(guest: &dyn Tree) -> Option<String> {
    let safe = text(guest, "/boot/solaris/filelist.safe")?;
    text(guest, NUMBERS).filter(|_| safe.lines().any(|line| line.trim() == NUMBERS_INNER))
}

/// The table with what drivers can be given so that the target's disks and cards are driven.
fn with_claims(work: &mut Work<'_>, old: &str) -> String {
    type Lookup = fn(&dyn Tree, &Aliases, &str) -> Driver;
    let lookups: [(&str, Lookup); 2] =
        [(&work.profile.disk_bus, devices::disk_driver), (&work.profile.nic_model, devices::card_driver)];
    let mut table = old.to_owned();
    for (device, driver) in lookups {
        let driven =
            |table: &str| matches!(driver(work.guest, &Aliases::parse(table), device), Driver::Found(_));
        let Some(claim) = devices::claim(work.guest, &work.aliases, device) else { continue };
        let ended = if table.is_empty() || table.ends_with('\n') { "" } else { "\n" };
        let new = format!("{table}{ended}{}", claim.lines());
        // a more specific name of the device may belong to a driver that is not there
        if driven(&table) || !driven(&new) {
            continue;
        }
        if !has_number(work.guest, claim.driver) {
            work.refused = Some(format!("{} has no number in {MAJORS}", claim.driver));
            continue;
        }
        table = new;
    }
    table
}

/// Whether the driver was installed, and not only its module put there: without a number the kernel passes over its names.
fn has_number(guest: &dyn Tree, driver: &str) -> bool {
    let majors = text(guest, MAJORS).unwrap_or_default();
    lines(&majors, '#').any(|line| line.split_whitespace().next() == Some(driver))
}

/// Everything that is to be written, or why it cannot be.
fn give(guest: &dyn Tree, old: &str, new: String) -> Result<Given> {
    let like = guest.stat(ALIASES)?;
    if like.kind != Kind::File {
        return Err(Error::unsupported(format!("{ALIASES} is not a file")));
    }
    let state = state(guest, &like, new.len() as u64)?;
    let mut files = vec![Inner { path: ALIASES_INNER, old: Some(old), new: &new }];
    files.extend(numbers(guest).map(|_| BOOTSTRAPPED));
    let archives = archive::prepare(guest, &files)?;
    if archives.is_empty() {
        return Err(Error::unsupported("there is no boot archive"));
    }
    Ok(Given { archives, text: new, like, state })
}

/// What the list of the archive's states is told so that it has the table's new size.
fn state(guest: &dyn Tree, table: &Meta, size: u64) -> Result<Patch> {
    let list = guest.read_all(filestat::PATH, filestat::MOST);
    let list =
        list.map_err(|error| Error::new(error.kind, format!("{}: {}", filestat::PATH, error.message)))?;
    let lacks = || Error::unsupported(format!("{} does not name {ALIASES_INNER}", filestat::PATH));
    let state = filestat::find(&list, ALIASES_INNER)?.ok_or_else(lacks)?;
    if (state.size, state.mtime) != (table.size, table.mtime) {
        return Err(Error::unsupported(format!("{ALIASES} was changed after the boot archive was made")));
    }
    Ok(Patch { offset: state.at as u64, bytes: size.to_be_bytes().to_vec() })
}

/// Adds to the table, and has the list of states tell so; the archives that go with it.
fn add_aliases(work: &mut Work<'_>, given: Given) -> Result<Vec<Prepared>> {
    let Given { archives, text, like, state } = given;
    // a file that is there would get the present time, and a new one has the time that it is to have
    if exists(work.guest, ALIASES_NEW) {
        work.remove(ALIASES_NEW, "it is in the way")?;
    }
    work.write(ALIASES_NEW, &text, Some(&like), GIVEN)?;
    work.rename(ALIASES_NEW, ALIASES, GIVEN)?;
    let told = |size: usize| format!("{ALIASES_INNER}: {size} bytes\n");
    let change = Change { before: told(like.size as usize), after: told(text.len()) };
    let reason = "svc:/system/boot-archive stops the start where a file has another size than it tells";
    work.guest.modify(filestat::PATH, &[state], Some(&change), reason)?;
    if exists(work.guest, CACHE_TIME) {
        work.remove(
            CACHE_TIME,
            "bootadm is to make its cache of the archive's files anew, which has the old table",
        )?;
    }
    Ok(archives)
}
