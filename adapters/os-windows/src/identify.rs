//! What is told of a Windows.

use crate::hives::Hives;
use crate::place::{BOOT, Loader, Place};
use crate::system::System;
use crate::version::VISTA;
use crate::{boot, hal, network, place, roles, services, tools};
use wherry_sdk::source::OperatingSystem;
use wherry_sdk::{Fact, Result, Tree, fact};

/// Finds Windows, mounts it, and says what is known of it.
pub fn identify(guest: &dyn Tree) -> Result<Option<OperatingSystem>> {
    let Some(place) = place::mount(guest) else { return Ok(None) };
    let mut hives = Hives::new(guest, &place.root);
    let system = System::read(&mut hives)?;
    let mut facts = facts(&place);
    facts.extend(describe(&system));
    facts.push(fact("firmware", firmware(&place)));
    facts.extend(boot::describe(guest, &place)?);
    if system.version < VISTA {
        facts.extend(hal::describe(guest, &mut hives, &place, &system)?);
    }
    facts.extend(services::describe(&mut hives, &system)?);
    facts.extend(services::devices(&mut hives)?);
    facts.extend(network::describe(&mut hives, &system)?);
    let installed = tools::installed(&mut hives, &system)?.into_iter().enumerate();
    facts.extend(installed.map(|(n, tool)| fact(format!("tools.{n}"), tool.name)));
    facts.extend(roles::describe(guest, &mut hives, &place, &system)?);
    if let Ok(room) = guest.room("/") {
        facts.push(fact("free./", room.free));
    }
    Ok(Some(OperatingSystem {
        family: "windows".to_owned(),
        id: "windows".to_owned(),
        product: system.product.clone(),
        version: system.version.to_string(),
        architecture: system.machine.name().to_owned(),
        hostname: system.hostname.clone(),
        facts,
    }))
}

fn facts(place: &Place) -> Vec<Fact> {
    let mut facts = vec![fact("root.volume", &place.volume), fact("windows.directory", &place.root)];
    for (n, boot) in place.boots.iter().enumerate() {
        let loader = match boot.loader {
            Loader::Ntldr => "ntldr",
            Loader::Bootmgr => "bootmgr",
            Loader::BootmgrEfi => "bootmgr-efi",
        };
        let key = if n == 0 { "boot-loader".to_owned() } else { format!("boot-loader.{n}") };
        facts.push(fact(key, format!("{loader} {}", boot.volume)));
        if boot.path == BOOT {
            facts.push(fact(format!("mount.{BOOT}"), &boot.volume));
        }
    }
    let others = place.others.iter().enumerate();
    facts.extend(
        others.map(|(n, (volume, root))| fact(format!("other-root.{n}"), format!("{volume} {root}"))),
    );
    facts
}

fn describe(system: &System) -> Vec<Fact> {
    let mut facts = vec![
        fact("windows.family", system.version.family(system.server)),
        fact(
            "windows.type",
            if system.controller {
                "controller"
            } else if system.server {
                "server"
            } else {
                "client"
            },
        ),
        fact("windows.control-set", &system.current),
        fact("windows.control-sets", system.sets.join(" ")),
    ];
    let more = [
        ("windows.edition", Some(&system.edition)),
        ("windows.service-pack", Some(&system.service_pack)),
        ("windows.domain", system.domain.as_ref()),
    ];
    let said =
        more.into_iter().filter_map(|(key, value)| Some((key, value.filter(|value| !value.is_empty())?)));
    facts.extend(said.map(|(key, value)| fact(key, value)));
    facts
}

fn firmware(place: &Place) -> &'static str {
    let efi = place.boots.first().is_some_and(|boot| boot.loader == Loader::BootmgrEfi);
    if efi { "uefi" } else { "bios" }
}
