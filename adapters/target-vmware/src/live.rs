//! The machine made on a vCenter or ESXi server. The host sends the disks; everything else is asked of the server here.

use crate::choice::Choice;
use crate::machine::Plan;
use crate::vim::inventory::Place;
use crate::vim::machines::Made;
use crate::vim::session::{Access, Session};
use crate::vim::soap::Ref;
use crate::vim::spec;
use wherry_sdk::target::{Machine, Shipment};
use wherry_sdk::{Concern, Error, ErrorKind, Fact, Host, Http, Result, Severity, concern, fact, find};

/// Servers give up a lease that they have not heard of for 5 minutes.
const ALIVE_SECONDS: u32 = 30;
const SNAPSHOT: &str = "as it came";

/// What speaks against making `machine` on the server.
pub fn concerns(http: &dyn Http, machine: &Machine, choice: &Choice) -> Vec<Concern> {
    let access = match Access::of(machine) {
        Ok(access) => access,
        Err(error) => {
            return vec![blocking("vsphere.access", error.message, "see the README of target-vmware")];
        }
    };
    let looked = Session::open(http, &access).and_then(|session| {
        let place = session.place(machine);
        session.close();
        place
    });
    match looked {
        Ok(place) => fit(machine, choice, &place),
        Err(error) => {
            vec![blocking("vsphere.server", error.message, "see whether the server and the wishes are right")]
        }
    }
}

fn blocking(id: &str, message: String, remedy: &str) -> Concern {
    concern(Severity::Blocking, id, message, Some(remedy))
}

fn fit(machine: &Machine, choice: &Choice, place: &Place) -> Vec<Concern> {
    let message = format!("the machine goes to {}", place.words);
    let mut concerns = vec![concern(Severity::Information, "vsphere.place", message, None)];
    if let Ok(plan) = Plan::new(machine, choice.clone())
        && let Err(error) = spec::import(&plan, place, "")
    {
        concerns.push(blocking("vsphere.network", error.message, "say which with --nic MAC,NETWORK"));
    }
    let wanted = machine.disks.iter().fold(0, |sum: u64, disk| sum.saturating_add(disk.virtual_size));
    if place.free < wanted {
        let message = format!(
            "the datastore {} has {} bytes free, and full disks take {wanted}",
            place.datastore, place.free
        );
        concerns.push(concern(
            Severity::Warning,
            "vsphere.space",
            message,
            Some("wish for another datastore"),
        ));
    }
    concerns
}

/// Runs `work` in a session of its own.
fn within<T>(host: Host<'_>, machine: &Machine, work: impl FnOnce(&Session<'_>) -> Result<T>) -> Result<T> {
    let session = Session::open(host.http, &Access::of(machine)?)?;
    let result = work(&session);
    session.close();
    result
}

/// Whether the name is free, before anything is copied.
pub fn check(host: Host<'_>, key: &str, machine: &Machine) -> Result<()> {
    within(host, machine, |session| session.check_free(&session.place(machine)?, &machine.name, key))
}

/// Makes the machine, and says what is to be sent; none where an earlier run came to its end.
pub fn ship(host: Host<'_>, key: &str, machine: &Machine, plan: &Plan) -> Result<Option<Shipment>> {
    let session = Session::open(host.http, &Access::of(machine)?)?;
    let begun = begin(&session, key, machine, plan);
    match begun {
        // The lease lives as long as the session that began it.
        Ok(Some(shipment)) => Ok(Some(shipment)),
        other => {
            session.close();
            other
        }
    }
}

fn begin(session: &Session<'_>, key: &str, machine: &Machine, plan: &Plan) -> Result<Option<Shipment>> {
    match session.made(key)? {
        Some(made) if made.is_complete => return Ok(None),
        Some(made) => session.destroy(&made)?,
        None => {}
    }
    let place = session.place(machine)?;
    session.check_free(&place, &plan.name, key)?;
    let lease = session.import(&place, &spec::import(plan, &place, key)?)?;
    let uploads = session.uploads(&lease, plan).inspect_err(|_| {
        let _ = session.abort(&lease);
        let _ = remove(session, key);
    })?;
    let note = format!("{}\n{}", lease.id, session.cookie());
    Ok(Some(Shipment { uploads, alive_seconds: ALIVE_SECONDS, note }))
}

/// The session and the lease that a shipment's note speaks of.
fn resume<'a>(host: Host<'a>, machine: &Machine, note: &str) -> Result<(Session<'a>, Ref)> {
    let strange =
        || Error::new(ErrorKind::InvalidInput, "this is not the note of a shipment of this adapter");
    let (lease, cookie) = note.split_once('\n').ok_or_else(strange)?;
    let session = Session::resume(host.http, &Access::of(machine)?.server, cookie)?;
    Ok((session, Ref::new("HttpNfcLease", lease)))
}

/// Tells the server how far it is.
pub fn sending(host: Host<'_>, machine: &Machine, note: &str, (done, total): (u64, u64)) -> Result<()> {
    let (session, lease) = resume(host, machine, note)?;
    session.progress(&lease, done.saturating_mul(100).checked_div(total).unwrap_or(0))
}

/// Gives the lease back, and removes what was made under it.
pub fn abandon(host: Host<'_>, key: &str, machine: &Machine, note: &str) -> Result<()> {
    let (session, lease) = resume(host, machine, note)?;
    // The machine is removed either way.
    let _ = session.abort(&lease);
    let removed = remove(&session, key);
    session.close();
    removed
}

fn remove(session: &Session<'_>, key: &str) -> Result<()> {
    match session.made(key)? {
        Some(made) => session.destroy(&made),
        None => Ok(()),
    }
}

/// The disks were sent: the machine is complete, and does what was wished.
pub fn finish(host: Host<'_>, key: &str, machine: &Machine) -> Result<Vec<Fact>> {
    let Some(note) = find(&machine.facts, "shipment.note") else {
        return within(host, machine, |session| match session.made(key)? {
            Some(made) if made.is_complete => Ok(told(machine, &made)),
            _ => Err(Error::new(ErrorKind::NotFound, "the machine was never sent to the server")),
        });
    };
    let (session, lease) = resume(host, machine, note)?;
    let finished = complete(&session, &lease, key, machine);
    session.close();
    finished
}

fn complete(session: &Session<'_>, lease: &Ref, key: &str, machine: &Machine) -> Result<Vec<Fact>> {
    session.complete(lease)?;
    let missing = || Error::new(ErrorKind::NotFound, "the server has lost the machine that was sent");
    let made = session.made(key)?.ok_or_else(missing)?;
    session.mark_complete(&made.this)?;
    let wished = |key: &str| find(&machine.facts, key) == Some("on");
    if wished("wish.snapshot") {
        session.snapshot(&made.this, SNAPSHOT, "made by Wherry before the first start")?;
    }
    if wished("wish.power") {
        session.power_on(&made.this)?;
    }
    Ok(told(machine, &made))
}

fn told(machine: &Machine, made: &Made) -> Vec<Fact> {
    vec![fact("next.0", format!("{} is {} on the server", machine.name, made.this.id))]
}

/// Removes the machine of this key from the server.
pub fn undo(host: Host<'_>, key: &str, machine: &Machine) -> Result<()> {
    within(host, machine, |session| remove(session, key))
}
