//! Network interfaces, which are called after their driver and its number: `e1000g0`. hostname.IF, dhcp.IF (Solaris 10,
//! in.ifconfig scripts: `/lib/svc/method/net-physical`), ipadm.conf (illumos), datalink.conf (Solaris 11, dladm(1M)).

use crate::devices::{self, Driver};
use crate::files::{names, text};
use crate::instances;
use crate::work::Work;
use std::collections::{BTreeMap, BTreeSet};
use wherry_sdk::{Result, Tree, find};

/// Files in `/etc` whose names end in an interface.
const FILES: [&str; 3] = ["hostname.", "hostname6.", "dhcp."];
/// Tables that name interfaces in their texts.
const TABLES: [&str; 6] = [
    "/etc/aggregation.conf",
    "/etc/inet/ndpd.conf",
    "/etc/ipadm/ipadm.conf",
    "/etc/ipf/ipf.conf",
    "/etc/ipf/ipnat.conf",
    "/etc/default/mpathd",
];
const IPADM: &str = "/etc/ipadm/ipadm.conf";
/// Interfaces that are no cards.
const VIRTUAL: [&str; 10] =
    ["lo", "aggr", "vni", "ipmp", "vnic", "tun", "clprivnet", "net", "ip", "etherstub"];
/// A VLAN's number is 1000 times its identifier and the card's number (dladm(1M), Solaris 10).
const VLAN: u32 = 1000;
/// The last of IEEE 802.1Q's identifiers.
const VLANS: u32 = 4094;
const REASON: &str = "the new card has another driver or another number";

/// A card as the system calls it: driver and number.
type Card = (String, u32);

/// `e1000g0`, `e1000g2000` (a VLAN), as the card and the VLAN.
fn parse(name: &str) -> Option<(Card, u32)> {
    let driver = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = name.get(driver.len()..)?;
    let number: u32 = digits.parse().ok().filter(|_| digits == "0" || !digits.starts_with('0'))?;
    let good = driver.starts_with(|c: char| c.is_ascii_lowercase())
        && driver.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_');
    if !good || VIRTUAL.contains(&driver) {
        return None;
    }
    Some(((driver.to_owned(), number % VLAN), number / VLAN)).filter(|(_, vlan)| *vlan <= VLANS)
}

/// Files in `/etc` that configure interfaces: prefix, interface, what follows it (`:1`).
fn configured(guest: &dyn Tree) -> Vec<(&'static str, String, String)> {
    let split = |name: &String| {
        let prefix = FILES.into_iter().find(|prefix| name.starts_with(prefix))?;
        let rest = name.strip_prefix(prefix)?;
        let (interface, tail) = rest.split_at(rest.find(':').unwrap_or(rest.len()));
        Some((prefix, interface.to_owned(), tail.to_owned()))
    };
    names(guest, "/etc").iter().filter_map(split).collect()
}

/// `hostname e1000g0`, `ipadm net0` for each interface.
pub fn interfaces(guest: &dyn Tree) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let files = configured(guest)
        .into_iter()
        .map(|(prefix, name, _)| format!("{} {name}", prefix.trim_end_matches('.')));
    let ipadm = ipadm(guest).into_iter().map(|name| format!("ipadm {name}"));
    for text in files.chain(ipadm) {
        if !found.contains(&text) {
            found.push(text);
        }
    }
    found
}

/// Interfaces of illumos' ipadm.conf: `_ifname=e1000g0;...`, or with a type, `_ifname=string,e1000g0;...`.
fn ipadm(guest: &dyn Tree) -> Vec<String> {
    let table = text(guest, IPADM).unwrap_or_default();
    let value = |line: &str| {
        let field = line.split(';').find_map(|field| field.trim().strip_prefix("_ifname="))?;
        let name = field.strip_prefix("string,").unwrap_or(field).trim_matches('"');
        Some(name.to_owned())
    };
    let all: BTreeSet<String> = table.lines().filter_map(value).collect();
    all.into_iter().filter(|name| name != "lo0").collect()
}

/// Renames what is configured to what the new cards are called.
pub fn adapt(work: &mut Work<'_>) -> Result<()> {
    let files = configured(work.guest);
    let named = files.iter().map(|(_, name, _)| name.clone()).chain(ipadm(work.guest));
    let cards: BTreeSet<Card> = named.filter_map(|name| parse(&name)).map(|(card, _)| card).collect();
    let model = work.profile.nic_model.clone();
    let driver = match devices::card_driver(work.guest, &work.aliases, &model) {
        Driver::Found(driver) => driver,
        Driver::Missing | Driver::Unknown => {
            let message = format!("{} has no driver for the network card {model}", work.release.product);
            let usable: Vec<&str> = ["e1000", "e1000e", "virtio-net", "vmxnet3", "pcnet", "rtl8139", "tulip"]
                .into_iter()
                .filter(|model| {
                    matches!(devices::card_driver(work.guest, &work.aliases, model), Driver::Found(_))
                })
                .collect();
            let claim = work.claim(&model);
            let remedy = match usable.join(", ") {
                _ if claim.is_some() => claim.unwrap_or_default(),
                none if none.is_empty() => "the machine starts without a network".to_owned(),
                usable => format!("choose one of the cards that it has drivers for: {usable}"),
            };
            work.warn("solaris.network.no-driver", message, &remedy);
            return Ok(());
        }
    };
    links(work, &driver);
    if cards.is_empty() {
        return Ok(());
    }
    let new: BTreeMap<Card, Card> = assign(work, &cards, &driver);
    let drivers: BTreeSet<&String> = cards.iter().map(|(driver, _)| driver).collect();
    if drivers.len() > 1 {
        let pairs: Vec<String> =
            new.iter().map(|((old, n), (new, m))| format!("{old}{n} is now {new}{m}")).collect();
        let message = format!(
            "cards of several drivers are configured, and their order is assumed: {}",
            pairs.join(", ")
        );
        work.warn("solaris.network.order", message, "check the order of the new machine's networks");
    }
    rename_files(work, &files, &new)?;
    let mut tables: Vec<String> = TABLES.map(str::to_owned).to_vec();
    tables.extend(
        names(work.guest, "/etc/zones")
            .into_iter()
            .filter(|name| name.ends_with(".xml"))
            .map(|name| format!("/etc/zones/{name}")),
    );
    for path in tables {
        let Some(old) = text(work.guest, &path) else { continue };
        work.write(&path, &renamed(&old, &new), None, REASON)?;
    }
    Ok(())
}

/// What the new cards are called. A card whose place the system has seen keeps its number.
fn assign(work: &Work<'_>, cards: &BTreeSet<Card>, driver: &str) -> BTreeMap<Card, Card> {
    let table = text(work.guest, "/etc/path_to_inst").unwrap_or_default();
    let known = instances::parse(&table);
    let mut free = instances::next(&table, driver, cards.len()).into_iter();
    let mut new = BTreeMap::new();
    for (n, card) in cards.iter().enumerate() {
        let path = path(work, n);
        let seen = known.iter().find(|one| one.driver == driver && Some(one.path) == path.as_deref());
        let number = seen.map(|one| one.number).or_else(|| free.next()).filter(|number| *number < VLAN);
        new.extend(number.map(|number| (card.clone(), (driver.to_owned(), number))));
    }
    new
}

/// Where the target's card with this number is in the device tree, if that is known. Cards of QEMU have its own subsystem
/// identifiers, after which they are called; VMware's bridge is in slot 11.
fn path(work: &Work<'_>, n: usize) -> Option<String> {
    let facts = &work.profile.facts;
    let model = work.profile.nic_model.as_str();
    if let Some(slot) = find(facts, &format!("nic.{n}.slot")) {
        let device = slot.strip_prefix("0000:00:")?.strip_suffix(".0")?;
        let device = u8::from_str_radix(device, 16).ok()?;
        let node = match model {
            "e1000" | "rtl8139" | "pcnet" => "pci1af4,1100",
            "virtio-net" => "pci1af4,1",
            _ => return None,
        };
        return Some(format!("/pci@0,0/{node}@{device:x}"));
    }
    let place = find(facts, &format!("nic.{n}.path"))?;
    let device = u8::from_str_radix(place.strip_prefix("11.0/")?.strip_suffix(".0")?, 16).ok()?;
    let node = match model {
        "e1000" => "pci15ad,750",
        "pcnet" => "pci1022,2000",
        _ => return None,
    };
    Some(format!("/pci@0,0/pci15ad,790@11/{node}@{device:x}"))
}

/// The new name of an interface, if it has one.
fn new_name(name: &str, new: &BTreeMap<Card, Card>) -> Option<String> {
    let (card, vlan) = parse(name)?;
    let (driver, number) = new.get(&card)?;
    Some(format!("{driver}{}", number.checked_add(vlan.checked_mul(VLAN)?)?))
}

/// Renames the files, none onto another that is still to be renamed.
fn rename_files(
    work: &mut Work<'_>,
    files: &[(&str, String, String)],
    new: &BTreeMap<Card, Card>,
) -> Result<()> {
    let mut pending: Vec<(String, String)> = Vec::new();
    for (prefix, name, tail) in files {
        let Some(target) = new_name(name, new).filter(|target| target != name) else { continue };
        pending.push((format!("/etc/{prefix}{name}{tail}"), format!("/etc/{prefix}{target}{tail}")));
    }
    while !pending.is_empty() {
        let free = pending.iter().position(|(_, target)| !pending.iter().any(|(old, _)| old == target));
        match free {
            Some(at) => {
                let (old, target) = pending.remove(at);
                work.rename(&old, &target, REASON)?;
            }
            // they go round in a circle: one steps aside
            None => {
                let Some((old, _)) = pending.first_mut() else { break };
                let aside = format!("{old}.wherry");
                let from = std::mem::replace(old, aside.clone());
                work.rename(&from, &aside, REASON)?;
            }
        }
    }
    Ok(())
}

/// A text with interfaces renamed wherever they are a word.
fn renamed(text: &str, new: &BTreeMap<Card, Card>) -> String {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let (gap, tail) = rest.split_at(rest.find(part).unwrap_or(rest.len()));
        let (word, tail) = tail.split_at(tail.find(|c| !part(c)).unwrap_or(tail.len()));
        out.push_str(gap);
        out.push_str(new_name(word, new).as_deref().unwrap_or(word));
        rest = tail;
    }
    out
}

/// Solaris 11 gives links names of its own, `net0`, which stay with the old card.
fn links(work: &mut Work<'_>, driver: &str) {
    let table = text(work.guest, "/etc/dladm/datalink.conf").unwrap_or_default();
    let link = |line: &str| {
        let name = line.split_whitespace().next()?;
        let device = line.split(';').find_map(|field| field.split("devname=string,").nth(1))?;
        Some((name.to_owned(), device.trim().to_owned()))
    };
    let vanity: Vec<(String, String)> =
        table.lines().filter_map(link).filter(|(name, device)| name != device).collect();
    let Some((first, device)) = vanity.first() else { return };
    let others: Vec<&str> = vanity.iter().map(|(name, _)| name.as_str()).collect();
    let message = format!(
        "{} {} named after the cards of the old machine ({device}), and the new cards get other names",
        others.join(", "),
        if others.len() == 1 { "is" } else { "are" }
    );
    let remedy = format!(
        "on the console of the new machine: dladm show-phys; dladm rename-link {first} old0; dladm rename-link NAME {first}, NAME being the link over {driver}0, and the same for the others; then svcadm restart network/physical"
    );
    work.warn("solaris.network.datalink", message, &remedy);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<Card, Card> {
        let card = |name: &str| parse(name).map(|(card, _)| card).unwrap_or_default();
        pairs.iter().map(|(old, new)| (card(old), card(new))).collect()
    }

    #[test]
    fn interfaces_by_driver_and_number() {
        assert_eq!(parse("e1000g0"), Some((("e1000g".into(), 0), 0)));
        assert_eq!(parse("bge2001"), Some((("bge".into(), 1), 2)));
        for name in ["lo0", "net0", "aggr1", "x", "0", "e1000g99999999999", "E0", ""] {
            assert_eq!(parse(name), None, "{name}");
        }
    }

    #[test]
    fn words_and_vlans() {
        let new = map(&[("e1000g0", "vioif0"), ("bge0", "vioif1")]);
        let text = "<network physical=\"e1000g0\"/> e1000g01 bge0,e1000g2000 xe1000g0";
        assert_eq!(renamed(text, &new), "<network physical=\"vioif0\"/> e1000g01 vioif1,vioif2000 xe1000g0");
    }
}
