//! Network cards that Windows knows, and those that the new machine has.

use crate::hives::{Hives, Store};
use crate::nsi::{self, Ipv6};
use crate::system::System;
use crate::version::{EIGHT, SEVEN, TEN, VISTA, Version, W2000};
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
        let key = format!(r"{}\Services\Tcpip\Parameters\Interfaces\{}", system.current, card.guid);
        card.read_addresses(hives, &key)?;
        card.ipv6 = ipv6(hives, system, &card)?;
        if !card.device.is_empty() {
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
        if hives.number(Store::System, key, "EnableDHCP")?.unwrap_or(1) != 0 {
            return Ok(());
        }
        let addresses = hives.texts(Store::System, key, "IPAddress")?;
        let masks = hives.texts(Store::System, key, "SubnetMask")?;
        let real = addresses
            .into_iter()
            .zip(masks)
            .filter(|(address, _)| address != "0.0.0.0" && !address.is_empty());
        self.addresses = real.collect();
        self.gateways = hives.texts(Store::System, key, "DefaultGateway")?;
        self.gateways.retain(|gateway| !gateway.is_empty());
        self.servers = hives.text(Store::System, key, "NameServer")?.unwrap_or_default();
        Ok(())
    }
}

/// `Ethernet 10` after `Ethernet 2`.
fn natural(name: &str) -> (String, u64) {
    let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (head, number) = name.split_at(name.len() - digits);
    (head.trim_end().to_lowercase(), number.parse().unwrap_or(0))
}

/// A model of card, as a device and a driver of Windows' own.
#[derive(Debug, PartialEq, Eq)]
pub struct Model {
    /// The most exact hardware id; none where the card is on no PCI bus.
    pub device: Option<&'static str>,
    /// What it is called where nothing else says so.
    pub name: &'static str,
    /// Services that drive it once they are installed.
    pub services: &'static [&'static str],
    /// From and before which version Windows has a driver of its own.
    pub own: Option<(Version, Option<Version>)>,
    /// Where a driver is to be had.
    pub source: &'static str,
}

const INTEL: &str = "Intel's PRO/1000 driver package (PROWin32, PROWinx64)";

/// What is known of a model of the contract's register.
pub fn model(name: &str) -> Option<Model> {
    let model = |device, name, services, own, source| Some(Model { device, name, services, own, source });
    match name {
        "e1000" => model(
            Some(r"PCI\VEN_8086&DEV_100E&SUBSYS_11001AF4&REV_03"),
            "Intel(R) PRO/1000 MT Network Connection",
            &["E1000", "E1G60"][..],
            Some((crate::version::XP, None)),
            INTEL,
        ),
        "e1000e" => model(
            Some(r"PCI\VEN_8086&DEV_10D3&SUBSYS_00008086&REV_00"),
            "Intel(R) 82574L Gigabit Network Connection",
            &["e1iexpress", "e1qexpress", "e1yexpress", "e1kexpress"][..],
            Some((SEVEN, None)),
            INTEL,
        ),
        "rtl8139" => model(
            Some(r"PCI\VEN_10EC&DEV_8139&SUBSYS_11001AF4&REV_20"),
            "Realtek RTL8139C+ Fast Ethernet NIC",
            &["rtl8139", "RTL8023xp", "RTL8023x64"][..],
            Some((W2000, Some(TEN))),
            "Realtek's driver for RTL8139C+",
        ),
        "virtio-net" => model(
            Some(r"PCI\VEN_1AF4&DEV_1000&SUBSYS_00011AF4&REV_00"),
            "Red Hat VirtIO Ethernet Adapter",
            &["netkvm"][..],
            None,
            "the virtio-win ISO",
        ),
        "vmxnet3" => model(
            Some(r"PCI\VEN_15AD&DEV_07B0&SUBSYS_07B015AD&REV_01"),
            "vmxnet3 Ethernet Adapter",
            &["vmxnet3ndis6", "vmxnet3ndis5"][..],
            None,
            "VMware Tools",
        ),
        "pcnet" => model(
            None,
            "AMD PCNET Family Ethernet Adapter",
            &["PCnet", "amdpcn", "AMDPCN"][..],
            Some((crate::version::NT4, Some(VISTA))),
            "AMD's PCnet driver",
        ),
        "tulip" => model(
            None,
            "Intel 21140-Based PCI Fast Ethernet Adapter",
            &["dc21x4", "DC21X4"][..],
            Some((crate::version::NT4, Some(VISTA))),
            "Intel's 21140 driver",
        ),
        "hyperv-net" => model(
            None,
            "Microsoft Hyper-V Network Adapter",
            &["netvsc", "netvsc60", "netvsc63"][..],
            Some((SEVEN, None)),
            "Hyper-V's integration components (vmguest.iso)",
        ),
        "xen-netfront" => model(
            None,
            "Xen PV Network Device",
            &["xennet", "xenvif"][..],
            None,
            "https://xenproject.org/windows-pv-drivers/",
        ),
        _ => None,
    }
}

impl Model {
    /// Whether this Windows has a driver of its own.
    pub fn is_own(&self, version: Version) -> bool {
        self.own.is_some_and(|(from, before)| version >= from && before.is_none_or(|end| version < end))
    }
}

/// Whether interfaces are also listed below `NetworkSetup2`.
pub fn has_setup2(version: Version) -> bool {
    version >= EIGHT
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::{NT4, XP};

    #[test]
    fn order_and_models() {
        let mut names = ["Ethernet 10", "Ethernet", "Ethernet 2", "Backup"];
        names.sort_by_key(|name| natural(name));
        assert_eq!(names, ["Backup", "Ethernet", "Ethernet 2", "Ethernet 10"]);
        assert!(model("e1000").unwrap().is_own(XP) && !model("e1000e").unwrap().is_own(XP));
        assert!(model("tulip").unwrap().is_own(NT4) && !model("virtio-net").unwrap().is_own(TEN));
        assert_eq!(model("carrier pigeon"), None);
    }
}
