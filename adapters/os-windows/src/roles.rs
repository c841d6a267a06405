//! What a copy of this machine has to be careful about: roles that dislike being copied, encryption, volumes of several disks,
//! work that is waiting for a restart.

use crate::files::is_file;
use crate::hives::{Hives, Store};
use crate::place::Place;
use crate::services::{self, DISABLED};
use crate::system::System;
use crate::version::VISTA;
use crate::work::Work;
use wherry_sdk::{Fact, Result, Tree, fact, find};

/// Services whose presence makes a role.
const ROLES: &[(&str, &str)] = &[
    ("NTDS", "domain-controller"),
    ("ClusSvc", "cluster"),
    ("CertSvc", "certificate-authority"),
    ("MSExchangeIS", "exchange"),
    ("MSSQLSERVER", "sql-server"),
    ("DHCPServer", "dhcp"),
    ("DNS", "dns"),
    ("vmms", "hyper-v"),
    ("VMMS", "hyper-v"),
];

/// Roles of this machine.
fn roles(hives: &mut Hives<'_>, system: &System) -> Result<Vec<&'static str>> {
    let mut found = Vec::new();
    if system.controller {
        found.push("domain-controller");
    }
    for (service, role) in ROLES {
        let start = services::start(hives, &system.current, service)?;
        if start.is_some_and(|start| start != DISABLED) && !found.contains(role) {
            found.push(role);
        }
    }
    Ok(found)
}

/// Whether this machine is a node of a cluster.
pub fn is_cluster(hives: &mut Hives<'_>, system: &System) -> Result<bool> {
    Ok(roles(hives, system)?.contains(&"cluster"))
}

/// Why Windows wants to be started again, if it does.
fn pending(
    guest: &dyn Tree,
    hives: &mut Hives<'_>,
    place: &Place,
    system: &System,
) -> Result<Vec<&'static str>> {
    let mut found = Vec::new();
    let manager = format!(r"{}\Control\Session Manager", system.current);
    if !hives.texts(Store::System, &manager, "PendingFileRenameOperations")?.is_empty() {
        found.push("files to be renamed at the next start");
    }
    if system.version >= VISTA {
        let servicing = r"Microsoft\Windows\CurrentVersion\Component Based Servicing";
        if hives.has(Store::Software, &format!(r"{servicing}\RebootPending"))? {
            found.push("component servicing");
        }
        let update = r"Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update\RebootRequired";
        if hives.has(Store::Software, update)? {
            found.push("Windows Update");
        }
        if is_file(guest, &place.path("WinSxS/pending.xml")) {
            found.push("WinSxS/pending.xml");
        }
    }
    Ok(found)
}

/// `role.N`, `pending.N`.
pub fn describe(
    guest: &dyn Tree,
    hives: &mut Hives<'_>,
    place: &Place,
    system: &System,
) -> Result<Vec<Fact>> {
    let roles = roles(hives, system)?.into_iter().enumerate();
    let mut facts: Vec<Fact> = roles.map(|(n, role)| fact(format!("role.{n}"), role)).collect();
    let pending = pending(guest, hives, place, system)?.into_iter().enumerate();
    facts.extend(pending.map(|(n, what)| fact(format!("pending.{n}"), what)));
    Ok(facts)
}

/// Concerns about all of it.
pub fn adapt(work: &mut Work<'_>) -> Result<()> {
    for role in roles(&mut work.hives, &work.system)? {
        match role {
            "domain-controller" => work.warn(
                "windows.role.domain-controller",
                "this is a domain controller: started twice, or from an old copy, it damages the directory (USN rollback)"
                    .into(),
                "shut the source down for good before the copy is started, and do not go back to it",
            ),
            "cluster" => work.warn(
                "windows.role.cluster",
                "this is a cluster node: its shared disks and its network names do not move with it".into(),
                "evict the node from the cluster before the move, or move its roles to another node",
            ),
            "hyper-v" => work.warn(
                "windows.role.hyper-v",
                "Hyper-V runs here: its own machines need nested virtualisation on the other side".into(),
                "move its machines by themselves",
            ),
            _ => {}
        }
    }
    if let Some(domain) = work.system.domain.clone() {
        work.note(format!(
            "this machine is a member of {domain}: source and copy must not run in it at the same time"
        ));
    }
    let place = work.place.clone();
    let system = work.system.clone();
    for what in pending(work.guest, &mut work.hives, &place, &system)? {
        work.warn(
            "windows.pending-restart",
            format!("Windows waits for a restart ({what}), and would finish that on other hardware"),
            "start the source once more and shut it down before the last copy",
        );
    }
    volumes(work);
    Ok(())
}

/// What the volumes themselves say.
fn volumes(work: &mut Work<'_>) {
    for volume in work.guest.volumes() {
        let kind = find(&volume.facts, "fs.kind").unwrap_or_default();
        if kind.eq_ignore_ascii_case("bitlocker") {
            work.warn(
                "windows.bitlocker",
                format!("{} is encrypted by BitLocker: nothing in it can be seen or changed", volume.id),
                "decrypt it on the source (manage-bde -off), or keep the recovery key at hand: the new machine's TPM will \
                 not release the key",
            );
        }
    }
}
