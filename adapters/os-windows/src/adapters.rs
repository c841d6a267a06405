//! Network cards of NT 4.0, which has no Plug and Play: each is an adapter that somebody has added by hand, with a service of
//! its own (`AMDPCN1`, of driver `AMDPCN`) whose `Parameters` say where the card is.
//!
//! Sources: Microsoft KB 102999 (network adapter cards' entries); reports of NT 4.0 guests with QEMU's PCnet card: the driver
//! takes `BusNumber` and `SlotNumber` as they are, finds the card by them, and sends nothing where they are wrong.

use crate::cards::Card;
use crate::hives::{Hives, Store};
use crate::instance::Slot;
use crate::models::Model;
use crate::system::System;
use crate::work::Work;
use crate::{firstboot, network};
use wherry_sdk::{Result, find};

const CARDS: &str = r"Microsoft\Windows NT\CurrentVersion\NetworkCards";
/// Adapters that are looked at.
const MOST: usize = 256;
/// `BusType`: PCI (`INTERFACE_TYPE`).
const PCI: u32 = 5;

/// The adapters, by their numbers. Their devices are the names of their services.
pub fn known(hives: &mut Hives<'_>, system: &System) -> Result<Vec<Card>> {
    let mut cards = Vec::new();
    for number in hives.keys(Store::Software, CARDS)?.into_iter().take(MOST) {
        let key = format!(r"{CARDS}\{number}");
        let service = hives.text(Store::Software, &key, "ServiceName")?.unwrap_or_default();
        // Remote access has some that nobody sees.
        let hidden = hives.number(Store::Software, &key, "Hidden")? == Some(1);
        let parameters = format!(r"{}\Services\{service}\Parameters", system.current);
        if service.is_empty() || hidden || !hives.has(Store::System, &parameters)? {
            continue;
        }
        let title = hives.text(Store::Software, &key, "Title")?.unwrap_or_default();
        let mut card =
            Card { number, device: service.clone(), description: title, name: service, ..Card::default() };
        addresses(hives, system, &mut card)?;
        cards.push(card);
    }
    cards.sort_by_key(|card| card.number.parse().unwrap_or(u32::MAX));
    Ok(cards)
}

fn addresses(hives: &mut Hives<'_>, system: &System, card: &mut Card) -> Result<()> {
    let services = format!(r"{}\Services", system.current);
    card.read_addresses(hives, &format!(r"{services}\{}\Parameters\Tcpip", card.device))?;
    let servers = hives.text(Store::System, &format!(r"{services}\Tcpip\Parameters"), "NameServer")?;
    card.servers = servers.unwrap_or_default();
    Ok(())
}

/// Tells the new card's adapter where it is. Its addresses and bindings are its own, and stay.
pub fn adapt(work: &mut Work<'_>, model: &Model, name: &str) -> Result<()> {
    let old = known(&mut work.hives, &work.system)?;
    let (ours, others): (Vec<Card>, Vec<Card>) =
        old.into_iter().partition(|card| drives(model, &card.device));
    for (n, card) in ours.iter().enumerate() {
        place(work, card, n)?;
    }
    if ours.is_empty() {
        work.note(format!(
            "Windows NT finds no cards by itself: add the {name} card in the Network control panel"
        ));
    }
    for card in others.iter().filter(|card| card.is_fixed()) {
        work.warn(
            "windows.network.address-lost",
            format!("Windows NT gives {} to no other card by itself", network::show(card)),
            &format!(
                "remove {} in the Network control panel at the first start, and give its addresses to the {name} card there",
                card.name
            ),
        );
    }
    firstboot::adapt(work, &[])
}

/// Whether an adapter's service is one of the model's drivers, with a number behind it.
fn drives(model: &Model, service: &str) -> bool {
    model.services.iter().any(|name| {
        let head = service.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name));
        let number = service.get(name.len()..).unwrap_or_default();
        head && !number.is_empty() && number.bytes().all(|c| c.is_ascii_digit())
    })
}

fn place(work: &mut Work<'_>, card: &Card, n: usize) -> Result<()> {
    let slot = find(&work.profile.facts, &format!("nic.{n}.slot")).and_then(Slot::parse);
    let Some(slot) = slot else {
        work.warn(
            "windows.network.slot-unknown",
            format!(
                "the place of the new card for {} is not known, and Windows NT does not look for it",
                network::show(card)
            ),
            &format!(
                r"where it stays silent, set BusNumber and SlotNumber in Services\{}\Parameters to its place on the PCI bus",
                card.device
            ),
        );
        return Ok(());
    };
    let (bus, number) = slot.numbers();
    work.in_sets(|work, set| {
        let key = format!(r"{set}\Services\{}\Parameters", card.device);
        if !work.hives.has(Store::System, &key)? {
            return Ok(());
        }
        for (name, number) in [("BusType", PCI), ("BusNumber", bus), ("SlotNumber", number)] {
            work.set_number(Store::System, &key, name, number)?;
        }
        Ok(())
    })?;
    work.commit(&format!(
        "the card of {} is in another slot now, where its driver has to look for it",
        card.name
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::model;
    use crate::tools::Platform;

    #[test]
    fn services_of_drivers() {
        let (pcnet, tulip) =
            (model("pcnet", Platform::Kvm).unwrap(), model("tulip", Platform::HyperV).unwrap());
        assert!(drives(&pcnet, "AMDPCN1") && drives(&pcnet, "amdpcn12") && !drives(&pcnet, "AMDPCN1X"));
        assert!(drives(&tulip, "DC21X41") && !drives(&tulip, "DC21X") && !drives(&pcnet, "E100B1"));
    }
}
