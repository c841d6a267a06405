//! Network configuration is kept by giving the new card the identity of the old one: Windows ties addresses, name servers,
//! bindings, firewall profiles and the connection's name to an interface's GUID, and the GUID to a device. The device is
//! known in advance where the profile says the card's slot (`instance.rs`), so its keys are made before Windows sees it,
//! marked to be installed (`CONFIGFLAG_REINSTALL`), with the old GUID; the old device's keys go, and with them the ghost
//! that would claim the addresses.

use crate::adapters;
use crate::cards::{self, Card, NET};
use crate::firstboot::{self, Address};
use crate::ghosts;
use crate::hives::{Hives, Store};
use crate::instance;
use crate::models::{Model, model};
use crate::packages;
use crate::pairs::{self, New, Pairs};
use crate::services;
use crate::system::System;
use crate::tools::Platform;
use crate::version::{W2000, XP};
use crate::work::Work;
use core::net::Ipv6Addr;
use wherry_registry::{Kind, data};
use wherry_sdk::{Fact, Result, Severity, fact, find};

/// The device is to be installed when it is seen (Microsoft, cfgmgr32.h).
const REINSTALL: u32 = 0x20;
/// New cards that are looked for.
const CARDS_MOST: usize = 64;
/// What stays of an interface's driver key; the rest is the old driver's.
const KEPT: &[&str] =
    &["NetCfgInstanceId", "NetLuidIndex", "Characteristics", "*IfType", "*MediaType", "*PhysicalMediaType"];

/// `network.N`: name, card, addresses.
pub fn describe(hives: &mut Hives<'_>, system: &System) -> Result<Vec<Fact>> {
    let cards = if system.version < W2000 { adapters::known } else { cards::known };
    let cards = cards(hives, system)?.into_iter().enumerate();
    Ok(cards.map(|(n, card)| fact(format!("network.{n}"), show(&card))).collect())
}

/// For people: a card and its addresses.
pub fn show(card: &Card) -> String {
    let mut text = format!("{} ({})", card.name, card.description);
    if card.addresses.is_empty() {
        text += " by DHCP";
    }
    for (address, mask) in &card.addresses {
        text += &format!(" {address}/{mask}");
    }
    for (address, length) in &card.ipv6.addresses {
        text += &format!(" {address}/{length}");
    }
    let six = |list: &[Ipv6Addr]| list.iter().map(Ipv6Addr::to_string).collect::<Vec<_>>();
    for gateway in card.gateways.iter().chain(&six(&card.ipv6.gateways)) {
        text += &format!(" by {gateway}");
    }
    let servers = six(&card.ipv6.servers);
    let servers: Vec<&str> =
        std::iter::once(card.servers.as_str()).chain(servers.iter().map(String::as_str)).collect();
    let servers: Vec<&str> = servers.into_iter().filter(|server| !server.is_empty()).collect();
    if card.is_fixed() && !servers.is_empty() {
        text += &format!(" names from {}", servers.join(","));
    }
    text
}

/// Gives the new cards the old ones' configuration.
pub fn adapt(work: &mut Work<'_>) -> Result<()> {
    let name = work.profile.nic_model.clone();
    let Some(model) = model(&name, Platform::of(work.profile)) else {
        work.warn(
            "windows.network.unknown-model",
            format!("no Windows driver is known for {name} network cards"),
            "choose another model of card",
        );
        return Ok(());
    };
    driver(work, &model, &name)?;
    if work.system.version < W2000 {
        return adapters::adapt(work, &model, &name);
    }
    let old = cards::known(&mut work.hives, &work.system)?;
    let count = (0..CARDS_MOST).take_while(|n| is_there(work, *n)).count();
    let new = (0..count).map(|n| new(work, &model, n)).collect::<Result<Vec<_>>>()?;
    let pairs = pairs::pair(&old, &new);
    guessed(work, &old, &pairs);
    let mut late = Vec::new();
    // Where addresses come by DHCP there is nothing to carry, and Windows installs the new card by itself.
    for (card, n) in old.iter().zip(&pairs.new).filter(|(card, _)| card.is_fixed()) {
        let Some(found) = n.and_then(|n| new.get(n)) else {
            work.warn(
                "windows.network.no-card",
                format!("{} has a fixed address, and the new machine has no card for it", show(card)),
                "give the new machine as many cards (--nic)",
            );
            continue;
        };
        let Some(device) = &found.device else {
            late.push((card, found));
            continue;
        };
        if !device.eq_ignore_ascii_case(&card.device) {
            give(work, card, device, &model)?;
        }
        prepared(work, card, device)?;
    }
    late_addresses(work, &late)
}

fn new(work: &mut Work<'_>, model: &Model, n: usize) -> Result<New> {
    let mac = work.option(&format!("nic.{n}.mac")).map(str::to_owned);
    Ok(New { mac, device: instance::device(work, model, n)? })
}

/// Says how cards were told apart if only their names do.
fn guessed(work: &mut Work<'_>, old: &[Card], pairs: &Pairs) {
    let fixed = |n: &&usize| old.get(**n).is_some_and(Card::is_fixed);
    let fixed: Vec<usize> = pairs.guessed.iter().filter(fixed).copied().collect();
    let said = fixed.iter().filter_map(|n| {
        let (card, new) = (old.get(*n)?, (*pairs.new.get(*n)?)?);
        Some(format!("{} becomes card {new}", card.name))
    });
    let said: Vec<String> = said.collect();
    if said.len() > 1 {
        work.warn(
            "windows.network.order",
            format!("which new card is which was told by names alone: {}", said.join(", ")),
            "compare with the cards' networks, and order --nic so that they fit",
        );
    }
}

/// A person has to know what is not certain as long as Windows has not seen the device.
fn prepared(work: &mut Work<'_>, card: &Card, device: &str) -> Result<()> {
    let key = format!(r"{}\Enum\{device}", work.system.current);
    let flags = work.hives.number(Store::System, &key, "ConfigFlags")?.unwrap_or(0);
    if flags & u64::from(REINSTALL) != 0 {
        work.concern(
            Severity::Information,
            "windows.network.prepared",
            format!(
                "the new card is prepared to take over the identity of {}, which no real Windows was seen to do yet",
                card.name
            ),
            "if the card does not work at the first start, remove it in the Device Manager, look for new hardware, and set \
             the address by hand",
        );
    }
    Ok(())
}

/// Addresses of cards whose place is not known: a script finds them by their hardware addresses, if the operator wants one.
fn late_addresses(work: &mut Work<'_>, late: &[(&Card, &New)]) -> Result<()> {
    let known = late.iter().filter_map(|(card, new)| Some(Address { card, mac: new.mac.as_deref()? }));
    firstboot::adapt(work, &known.collect::<Vec<_>>())?;
    let has_script = firstboot::is_wanted(work) && work.system.version >= XP;
    for (card, new) in late {
        if has_script && new.mac.is_some() {
            ghosts::release(work, card)?;
        } else {
            unknown(work, card);
        }
    }
    Ok(())
}

fn unknown(work: &mut Work<'_>, card: &Card) {
    work.warn(
        "windows.network.address-lost",
        format!("where the new card for {} will be is not known, so it starts with DHCP", show(card)),
        "set the address by hand on the first start, or have a script do it: --guest first-boot=yes",
    );
}

/// Whether the new machine has a card N.
fn is_there(work: &Work<'_>, n: usize) -> bool {
    let slot = find(&work.profile.facts, &format!("nic.{n}.slot"));
    slot.is_some() || work.option(&format!("nic.{n}.mac")).is_some()
}

/// Whether there is a driver.
fn driver(work: &mut Work<'_>, model: &Model, name: &str) -> Result<()> {
    if model.is_own(work.system.version, work.system.machine) {
        return Ok(());
    }
    let set = work.system.current.clone();
    for service in model.services {
        if services::start(&mut work.hives, &set, service)?.is_some() {
            return Ok(());
        }
    }
    if let Some(device) = model.device
        && packages::import(work, &[device], name)?
    {
        return Ok(());
    }
    work.warn(
        "windows.network.driver-missing",
        format!(
            "Windows {} has no driver for {name} network cards, and starts without a network",
            work.system.version.family(work.system.server)
        ),
        &format!("name a directory or ISO with it by --drivers ({}), or choose another model", model.source),
    );
    Ok(())
}

/// Ties an interface to a device that Windows has not seen yet.
fn give(work: &mut Work<'_>, card: &Card, device: &str, model: &Model) -> Result<()> {
    work.in_sets(|work, set| {
        let class = format!(r"{set}\Control\Class\{NET}\{}", card.number);
        if work.hives.text(Store::System, &class, "NetCfgInstanceId")?.as_deref() != Some(card.guid.as_str())
        {
            return Ok(());
        }
        for name in work.hives.values(Store::System, &class)? {
            if !KEPT.iter().any(|kept| kept.eq_ignore_ascii_case(&name)) {
                work.unset(Store::System, &class, &name)?;
            }
        }
        enumerate(work, set, card, device, model)?;
        let connection = format!(r"{set}\Control\Network\{NET}\{}\Connection", card.guid);
        work.set_text(Store::System, &connection, "PnpInstanceID", device)?;
        let second = format!(r"{set}\Control\NetworkSetup2\Interfaces\{}\Kernel", card.guid);
        if cards::has_setup2(work.system.version) && work.hives.has(Store::System, &second)? {
            work.set_text(Store::System, &second, "PnPInstanceId", device)?;
        }
        if card.device.contains('\\') && !card.device.eq_ignore_ascii_case(device) {
            work.remove(Store::System, &format!(r"{set}\Enum\{}", card.device))?;
        }
        Ok(())
    })?;
    work.commit(&format!(
        "the new card at {device} takes over the identity of {}, and with it its addresses, name and bindings",
        card.name
    ))
}

/// The keys of a device that is to be installed when it is seen.
fn enumerate(work: &mut Work<'_>, set: &str, card: &Card, device: &str, model: &Model) -> Result<()> {
    let key = format!(r"{set}\Enum\{device}");
    let hardware: Vec<&str> = device.rsplit_once('\\').map(|(id, _)| id).into_iter().collect();
    let general: Vec<&str> =
        hardware.iter().filter_map(|id| id.rsplit_once("&REV_").map(|(head, _)| head)).collect();
    let ids = [hardware, general].concat();
    work.set(Store::System, &key, "HardwareID", Kind::MULTI_SZ, &data::multi_sz(&ids))?;
    work.set_text(Store::System, &key, "ClassGUID", NET)?;
    work.set_text(Store::System, &key, "Class", "Net")?;
    work.set_text(Store::System, &key, "DeviceDesc", model.name)?;
    work.set_text(Store::System, &key, "Driver", &format!(r"{NET}\{}", card.number))?;
    work.set_number(Store::System, &key, "Capabilities", 0)?;
    work.set_number(Store::System, &key, "ConfigFlags", REINSTALL)
}
