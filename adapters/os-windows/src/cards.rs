//! Network cards that Windows knows, and those that the new machine has.

use crate::ghosts;
use crate::hives::{Hives, Store};
use crate::instance;
use crate::nsi::{self, Ipv6};
use crate::pairs;
use crate::system::System;
use crate::version::{EIGHT, Version};
use wherry_sdk::Result;

/// `ClassGUID` of network cards.
pub const NET: &str = "{4d36e972-e325-11ce-bfc1-08002be10318}";
/// `Characteristics`: hardware (Microsoft, "Ndi-Characteristics": NCF_PHYSICAL).
const PHYSICAL: u64 = 4;
/// Cards that are looked at.
const MOST: usize = 1024;

/// A card that Windows has a configuration for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Card {
    /// `NetCfgInstanceId`: `{01234567-...}`.
    pub guid: String,
    /// The key below the class: `0007`.
    pub number: String,
    /// What people see: `Local Area Connection`.
    pub name: String,
    /// The card's own name.
    pub description: String,
    /// The device's path below `Enum`.
    pub device: String,
    /// Its addresses, with mask; none: by DHCP.
    pub addresses: Vec<(String, String)>,
    /// Ways out.
    pub gateways: Vec<String>,
    /// Name servers, as they are written there.
    pub servers: String,
    /// The same of IPv6.
    pub ipv6: Ipv6,
    /// Its hardware address, where its device is called by it.
    pub mac: Option<String>,
    /// Bus, device and function, where it is on a PCI bus.
    pub place: Option<[u32; 3]>,
}

/// The cards of the control set in use, in the order of their names as people count.
pub fn known(hives: &mut Hives<'_>, system: &System) -> Result<Vec<Card>> {
    let class = format!(r"{}\Control\Class\{NET}", system.current);
    let mut cards = Vec::new();
    for number in hives.keys(Store::System, &class)?.into_iter().take(MOST) {
        let key = format!(r"{class}\{number}");
        let Some(guid) = hives.text(Store::System, &key, "NetCfgInstanceId")? else { continue };
        let kind = hives.number(Store::System, &key, "Characteristics")?.unwrap_or(0);
        if kind & PHYSICAL == 0 {
            continue;
        }
        let description = hives.text(Store::System, &key, "DriverDesc")?.unwrap_or_default();
        let mut card = Card { guid, number, description, ..Card::default() };
        connection(hives, system, &mut card)?;
        let enumerated = format!(r"{}\Enum\{}", system.current, card.device);
        let is_there = !card.device.is_empty() && hives.has(Store::System, &enumerated)?;
        let key = format!(r"{}\Services\Tcpip\Parameters\Interfaces\{}", system.current, card.guid);
        card.read_addresses(hives, &key)?;
        card.ipv6 = ipv6(hives, system, &card)?;
        if is_there {
            card.mac = instance::mac(&card.device);
            let location = hives.text(Store::System, &enumerated, "LocationInformation")?;
            card.place = location.and_then(|location| pairs::place(&location));
        }
        if is_there || ghosts::remembered(hives, &mut card)? {
            cards.push(card);
        }
    }
    cards.sort_by_key(|card| natural(&card.name));
    Ok(cards)
}

fn ipv6(hives: &mut Hives<'_>, system: &System, card: &Card) -> Result<Ipv6> {
    let key = format!(r"{}\Control\Class\{NET}\{}", system.current, card.number);
    let index = hives.number(Store::System, &key, "NetLuidIndex")?;
    let kind = hives.number(Store::System, &key, "*IfType")?;
    match index.zip(kind) {
        Some(luid) => nsi::read(hives, system, luid, &card.guid),
        None => Ok(Ipv6::default()),
    }
}

fn connection(hives: &mut Hives<'_>, system: &System, card: &mut Card) -> Result<()> {
    let key = format!(r"{}\Control\Network\{NET}\{}\Connection", system.current, card.guid);
    card.name = hives.text(Store::System, &key, "Name")?.unwrap_or_default();
    card.device = hives.text(Store::System, &key, "PnpInstanceID")?.unwrap_or_default();
    Ok(())
}

impl Card {
    /// Whether it has fixed addresses.
    pub fn is_fixed(&self) -> bool {
        !self.addresses.is_empty() || !self.ipv6.addresses.is_empty()
    }

    /// Takes fixed addresses from an interface's key.
    pub fn read_addresses(&mut self, hives: &mut Hives<'_>, key: &str) -> Result<()> {
        match hives.number(Store::System, key, "EnableDHCP")? {
            Some(0) => self.take_addresses(hives, Store::System, key),
            _ => Ok(()),
        }
    }

    /// Takes the addresses that a key has.
    pub fn take_addresses(&mut self, hives: &mut Hives<'_>, store: Store, key: &str) -> Result<()> {
        let addresses = hives.texts(store, key, "IPAddress")?;
        let masks = hives.texts(store, key, "SubnetMask")?;
        let real = addresses
            .into_iter()
            .zip(masks)
            .filter(|(address, _)| address != "0.0.0.0" && !address.is_empty());
        self.addresses = real.collect();
        self.gateways = hives.texts(store, key, "DefaultGateway")?;
        self.gateways.retain(|gateway| !gateway.is_empty());
        self.servers = hives.text(store, key, "NameServer")?.unwrap_or_default();
        Ok(())
    }
}

/// `Ethernet 10` after `Ethernet 2`.
fn natural(name: &str) -> (String, u64) {
    let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (head, number) = name.split_at(name.len() - digits);
    (head.trim_end().to_lowercase(), number.parse().unwrap_or(0))
}

/// Whether interfaces are also listed below `NetworkSetup2`.
pub fn has_setup2(version: Version) -> bool {
    version >= EIGHT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order() {
        let mut names = ["Ethernet 10", "Ethernet", "Ethernet 2", "Backup"];
        names.sort_by_key(|name| natural(name));
        assert_eq!(names, ["Backup", "Ethernet", "Ethernet 2", "Ethernet 10"]);
    }
}
