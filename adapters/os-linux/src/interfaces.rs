//! What configures network interfaces, and what ties it to a card: interfaces(5), netplan(5), nm-settings-keyfile(5),
//! ifcfg(5) of RHEL and SUSE, systemd.network(5), systemd.link(5), udev(7).

use crate::files::{names, text};
use std::collections::BTreeMap;
use std::ops::Range;
use wherry_sdk::Tree;

/// The file that holds rules of ours.
pub const OUR_RULES: &str = "/etc/udev/rules.d/70-wherry-net.rules";
/// Files of one folder that are looked at.
const FILES: usize = 256;
/// Interfaces that are looked at.
const INTERFACES: usize = 1024;
/// Values of one key in one line.
const PLACES: usize = 8;
/// What makes a value a pattern.
const PATTERN: [char; 3] = ['*', '?', '['];

/// By what a card is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// Its hardware address.
    Mac,
    /// The kernel's driver.
    Driver,
    /// Its slot.
    Path,
    /// The name that something else gives it.
    Name,
}

/// A place in a file that ties the configuration to a card.
#[derive(Clone, Debug, PartialEq)]
pub struct Tie {
    /// By what.
    pub key: Key,
    /// The line, from 0.
    pub line: usize,
    /// Key and value within the line, in bytes: `ATTR{address}=="52:..."`.
    pub span: Range<usize>,
    /// The value alone.
    pub value: String,
}

/// One interface in one file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interface {
    /// `ifupdown`, `netplan`, `networkmanager`, `ifcfg`, `systemd-networkd`, `systemd-link`, `udev`.
    pub by: &'static str,
    /// The file.
    pub path: String,
    /// What the interface is to be called; none: any name will do.
    pub name: Option<String>,
    /// What ties it to a card.
    pub ties: Vec<Tie>,
    /// What it goes by: its name, or that of another entry for the same card, or its slot.
    pub label: Option<String>,
}

impl Interface {
    /// Whether this gives the name, so that nothing else has to.
    pub fn names_cards(&self) -> bool {
        self.name.is_some() && !self.ties.is_empty() && matches!(self.by, "udev" | "systemd-link" | "netplan")
    }

    /// The addresses that this is tied to, or else the slots.
    pub fn cards(&self) -> Vec<String> {
        let of = |key| self.ties.iter().filter(move |tie| tie.key == key);
        let macs: Vec<String> = of(Key::Mac).map(|tie| tie.value.to_ascii_lowercase()).collect();
        let slots = of(Key::Path).filter_map(|tie| slot(&tie.value).map(str::to_owned));
        if macs.is_empty() { slots.collect() } else { macs }
    }
}

fn named(name: &str) -> Interface {
    Interface { name: Some(name.to_owned()), ..Interface::default() }
}

/// Whether this is a hardware address and nothing else.
pub fn is_mac(text: &str) -> bool {
    text.len() == 17
        && text.split(':').all(|part| part.len() == 2 && part.bytes().all(|c| c.is_ascii_hexdigit()))
}

/// Whether this is a place on a PCI bus: domain, bus, device and function, `0000:00:08.0`.
pub fn is_slot(text: &str) -> bool {
    let form = |(at, c): (usize, u8)| match at {
        4 | 7 => c == b':',
        10 => c == b'.',
        11 => (b'0'..=b'7').contains(&c),
        _ => c.is_ascii_hexdigit(),
    };
    text.len() == 12 && text.bytes().enumerate().all(form)
}

/// The slot that a tie names: `KERNELS=="0000:02:00.0"`, `Path=pci-0000:02:00.0`, `Path=virtio-pci-0000:02:00.0`.
pub fn slot(value: &str) -> Option<&str> {
    value.rsplit("pci-").next().filter(|tail| is_slot(tail))
}

/// Whether a path is one for many cards, ours for one slot aside.
pub fn is_pattern(value: &str) -> bool {
    value.contains(PATTERN) && slot(value).is_none()
}

/// Whether a tie matches the card in a slot; of a pattern, only what stands before its first wildcard is compared.
pub fn fits_in(value: &str, new: &str) -> bool {
    let start = value.split(PATTERN).next().unwrap_or_default();
    let paths = [format!("pci-{new}"), format!("virtio-pci-{new}")];
    slot(value) == Some(new) || is_pattern(value) && paths.iter().any(|path| path.starts_with(start))
}

/// Whether the name comes from the slot of the old hardware (systemd.net-naming-scheme(7), biosdevname(1)):
/// `enp0s25`, `ens192`, `eno1`, `enx...`, `em1`, `p2p1`.
pub fn by_slot(name: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    let bios = name.strip_prefix("em").is_some_and(digits)
        || name
            .strip_prefix('p')
            .and_then(|rest| rest.split_once('p'))
            .is_some_and(|(a, b)| digits(a) && digits(b));
    let tail =
        name.strip_prefix("en").filter(|tail| tail.starts_with(['p', 's', 'o', 'x', 'P', 'X', 'c', 'd']));
    name.len() < 16
        && (bios
            || tail.is_some_and(|tail| tail.len() > 1 && tail.bytes().all(|c| c.is_ascii_alphanumeric())))
}

/// Whether the name is the kernel's own: `eth0`.
pub fn by_kernel(name: &str) -> bool {
    name.strip_prefix("eth")
        .is_some_and(|rest| (1..4).contains(&rest.len()) && rest.bytes().all(|c| c.is_ascii_digit()))
}

/// A key with its value, wherever the line has it in a good form; the value's quotes are not part of it.
fn ties(key: Key, line: usize, text: &str, start: &str) -> Vec<Tie> {
    let places = text.match_indices(start).take(PLACES);
    places.filter_map(|(at, _)| tie_at(key, line, text, at, at + start.len())).collect()
}

fn tie_at(key: Key, line: usize, text: &str, at: usize, value_at: usize) -> Option<Tie> {
    let rest = text.get(value_at..)?;
    let space = rest.len() - rest.trim_start_matches([' ', '"', '\'']).len();
    let rest = rest.get(space..)?;
    let end = rest.find(['"', '\'', ' ', ',', ';', '}', '\r', '\n', '\t']).unwrap_or(rest.len());
    let value = rest.get(..end)?.to_owned();
    let quote = usize::from(rest.get(end..).is_some_and(|after| after.starts_with(['"', '\''])));
    let good = match key {
        Key::Mac => is_mac(&value),
        Key::Path => !value.is_empty() && !value.contains('!'),
        Key::Driver | Key::Name => !value.is_empty() && !value.contains('!') && !value.contains(PATTERN),
    };
    good.then(|| Tie { key, line, span: at..value_at + space + end + quote, value })
}

/// Interfaces of `/etc/network/interfaces`, and those that its bridges, bonds and VLANs are made of.
pub fn ifupdown(text: &str) -> Vec<Interface> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("iface") => found.extend(words.next().map(named)),
            Some(
                "bridge_ports" | "bridge-ports" | "bond-slaves" | "slaves" | "vlan-raw-device"
                | "vlan_raw_device",
            ) => {
                found.extend(words.take(16).map(named));
            }
            _ => {}
        }
    }
    found
}

/// Interfaces in the `ethernets:` section of a netplan file. Block style, and flow style within `match:`.
pub fn netplan(text: &str) -> Vec<Interface> {
    let mut found: Vec<Interface> = Vec::new();
    let (mut section, mut level, mut matching) = (None, None, None);
    for (n, line) in text.lines().enumerate() {
        let word = line.trim();
        if word.is_empty() || word.starts_with('#') {
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        match section {
            _ if word == "ethernets:" => (section, level) = (Some(indent), None),
            Some(at) if indent <= at => section = None,
            Some(_) if *level.get_or_insert(indent) == indent => {
                let id = word.split(':').next().unwrap_or_default().trim_matches(['"', '\'']);
                found.push(named(id));
                matching = None;
            }
            Some(_) => {
                if matching.is_some_and(|at| indent <= at) {
                    matching = None;
                }
                let Some(interface) = found.last_mut() else { continue };
                if word.starts_with("match:") {
                    // the id is only a handle then
                    matching = Some(indent);
                    interface.name = interface.name.take().filter(|_| false);
                }
                if let Some(name) = word.strip_prefix("set-name:") {
                    interface.name = Some(name.trim().trim_matches(['"', '\'']).to_owned());
                }
                if matching.is_some() {
                    interface.ties.extend(ties(Key::Mac, n, line, "macaddress:"));
                    interface.ties.extend(ties(Key::Driver, n, line, "driver:"));
                    let name = ties(Key::Name, n, line, "name:").into_iter().next().map(|tie| tie.value);
                    interface.name = interface.name.take().or(name);
                }
            }
            None => {}
        }
    }
    found
}

/// Key, value and the line's number in sections `[...]` of an ini file.
fn ini(text: &str) -> impl Iterator<Item = (String, String, usize, &str)> {
    let mut section = String::new();
    text.lines().enumerate().filter_map(move |(n, line)| {
        let trimmed = line.trim();
        if let Some(name) = trimmed.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.to_owned();
            return None;
        }
        let (key, _) = trimmed.split_once('=').filter(|_| !trimmed.starts_with(['#', ';']))?;
        Some((section.clone(), key.trim().to_owned(), n, line))
    })
}

fn value(line: &str) -> String {
    let value = line.split_once('=').map_or("", |(_, value)| value);
    value.trim().trim_matches(['"', '\'']).to_owned()
}

/// The interface of a NetworkManager key file, if it is an Ethernet card.
pub fn keyfile(text: &str) -> Vec<Interface> {
    let (mut new, mut ethernet) = (Interface::default(), true);
    for (section, key, n, line) in ini(text) {
        match (section.as_str(), key.as_str()) {
            ("connection", "type") => {
                ethernet = matches!(value(line).as_str(), "ethernet" | "802-3-ethernet")
            }
            ("connection", "interface-name") => new.name = Some(value(line)).filter(|name| !name.is_empty()),
            ("ethernet" | "802-3-ethernet", "mac-address") => {
                new.ties.extend(ties(Key::Mac, n, line, "mac-address="));
            }
            ("match", "path") => new.ties.extend(ties(Key::Path, n, line, "path=")),
            ("match", "driver") => new.ties.extend(ties(Key::Driver, n, line, "driver=")),
            _ => {}
        }
    }
    if ethernet { vec![new] } else { Vec::new() }
}

/// The interface of `ifcfg-SUFFIX`.
pub fn ifcfg(suffix: &str, text: &str) -> Vec<Interface> {
    let mut new = named(suffix);
    for (n, line) in text.lines().enumerate() {
        let key = line.trim().split('=').next().unwrap_or_default();
        match key {
            "DEVICE" => new.name = Some(value(line)).filter(|name| !name.is_empty()).or(new.name),
            "HWADDR" => new.ties.extend(ties(Key::Mac, n, line, "HWADDR=")),
            "TYPE" if !value(line).eq_ignore_ascii_case("ethernet") => return Vec::new(),
            _ => {}
        }
    }
    vec![new]
}

/// The interface of a `.network` or `.link` file.
pub fn systemd(text: &str) -> Vec<Interface> {
    let mut new = Interface::default();
    for (section, key, n, line) in ini(text) {
        match (section.as_str(), key.as_str()) {
            ("Match" | "Link", "Name") => {
                new.name = Some(value(line)).filter(|name| !name.contains(['*', '?', ' ', '!']))
            }
            ("Match", "MACAddress" | "PermanentMACAddress") => {
                new.ties.extend(ties(Key::Mac, n, line, &format!("{key}=")));
            }
            ("Match", "Driver") => new.ties.extend(ties(Key::Driver, n, line, "Driver=")),
            ("Match", "Path") => new.ties.extend(ties(Key::Path, n, line, "Path=")),
            _ => {}
        }
    }
    vec![new]
}

/// Interfaces to which udev rules give names.
pub fn rules(text: &str) -> Vec<Interface> {
    let mut found = Vec::new();
    for (n, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with('#')) {
        // the last is how SLES 10 did it
        let starts = [" NAME=\"", ",NAME=\"", "/rename_netiface %k "];
        let Some(name) = starts.iter().find_map(|start| line.split_once(start)) else { continue };
        let name = name.1.split('"').next().unwrap_or_default();
        if !line.contains("\"net\"") || name.contains(['$', '%']) || name.is_empty() {
            continue;
        }
        let places = [
            (Key::Mac, "ATTR{address}=="),
            (Key::Mac, "ATTRS{address}=="),
            (Key::Mac, "SYSFS{address}=="),
            (Key::Driver, "DRIVERS=="),
            (Key::Path, "KERNELS=="),
            (Key::Path, "ENV{ID_PATH}=="),
        ];
        let ties = places.iter().flat_map(|(key, start)| ties(*key, n, line, start));
        let one_card = |tie: &Tie| !tie.value.contains('|') && !is_pattern(&tie.value);
        found.push(Interface { ties: ties.filter(one_card).collect(), ..named(name) });
    }
    found
}

/// All interfaces, by file, without the loopback.
pub fn find(guest: &dyn Tree) -> Vec<Interface> {
    let mut found: Vec<Interface> = Vec::new();
    let mut add = |by: &'static str, path: &str, new: Vec<Interface>| {
        let new = new.into_iter().filter(|interface| interface.name.as_deref() != Some("lo"));
        let room = INTERFACES.saturating_sub(found.len());
        found.extend(new.take(room).map(|interface| Interface { by, path: path.to_owned(), ..interface }));
    };
    let main = "/etc/network/interfaces";
    add("ifupdown", main, ifupdown(&text(guest, main).unwrap_or_default()));
    let folders = [
        "/etc/network/interfaces.d",
        "/etc/netplan",
        "/etc/NetworkManager/system-connections",
        "/etc/sysconfig/network-scripts",
        "/etc/sysconfig/network",
        "/etc/systemd/network",
        "/etc/udev/rules.d",
    ];
    for folder in folders {
        for name in names(guest, folder).into_iter().take(FILES) {
            let path = format!("{folder}/{name}");
            let Some((by, parse)) = parser(folder, &name).filter(|_| path != OUR_RULES) else { continue };
            let Some(text) = text(guest, &path) else { continue };
            add(by, &path, parse(&text));
        }
    }
    label(&mut found);
    found
}

/// Says what each interface goes by.
fn label(found: &mut [Interface]) {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for interface in found.iter() {
        let Some(name) = &interface.name else { continue };
        for card in interface.cards() {
            names.entry(card).or_insert_with(|| name.clone());
        }
    }
    for interface in found {
        let cards = interface.cards();
        let name = || cards.iter().find_map(|card| names.get(card)).cloned();
        let place = || cards.iter().find(|card| is_slot(card)).cloned();
        interface.label = interface.name.clone().or_else(name).or_else(place);
    }
}

type Parse<'a> = Box<dyn Fn(&str) -> Vec<Interface> + 'a>;

/// Who reads a file of this name in this folder.
fn parser<'a>(folder: &str, name: &'a str) -> Option<(&'static str, Parse<'a>)> {
    let (_, folder) = folder.rsplit_once('/')?;
    Some(match folder {
        "interfaces.d" => ("ifupdown", Box::new(ifupdown)),
        "netplan" if name.ends_with(".yaml") => ("netplan", Box::new(netplan)),
        "system-connections" => ("networkmanager", Box::new(keyfile)),
        "network-scripts" | "network" if name.starts_with("ifcfg-") => {
            let suffix = name.strip_prefix("ifcfg-").filter(|suffix| !suffix.contains(['.', ':', '~']))?;
            ("ifcfg", Box::new(move |text| ifcfg(suffix, text)))
        }
        "network" if name.ends_with(".network") => ("systemd-networkd", Box::new(systemd)),
        "network" if name.ends_with(".link") => ("systemd-link", Box::new(systemd)),
        "rules.d" if name.ends_with(".rules") => ("udev", Box::new(rules)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(found: &[Interface], text: &str) -> Vec<(String, Vec<String>)> {
        let span = |tie: &Tie| text.lines().nth(tie.line).expect("a line")[tie.span.clone()].to_owned();
        let show = |i: &Interface| (i.name.clone().unwrap_or_default(), i.ties.iter().map(span).collect());
        found.iter().map(show).collect()
    }

    fn check(found: &[Interface], text: &str, expected: &[(&str, &[&str])]) {
        let expected: Vec<(String, Vec<String>)> = expected
            .iter()
            .map(|(name, ties)| ((*name).to_owned(), ties.iter().map(|tie| (*tie).to_owned()).collect()))
            .collect();
        assert_eq!(shown(found, text), expected);
    }

    #[test]
    fn names_by_slot() {
        for (name, expected) in [
            ("ens192", true),
            ("enp0s25", true),
            ("em1", true),
            ("p2p1", true),
            ("eth0", false),
            ("lo", false),
            ("en/../x", false),
            ("p1", false),
        ] {
            assert_eq!(by_slot(name), expected, "{name}");
        }
        assert!(by_kernel("eth10") && !by_kernel("ethernet") && !by_kernel("eth"));
        assert!(is_mac("52:54:00:12:34:56") && !is_mac("52:54:00:12:34:5\n"));
    }

    #[test]
    fn slots() {
        for (value, expected) in [
            ("0000:02:00.0", Some("0000:02:00.0")),
            ("pci-0000:02:00.0", Some("0000:02:00.0")),
            ("*pci-0000:0a:1f.7", Some("0000:0a:1f.7")),
            ("virtio-pci-0000:00:05.0", Some("0000:00:05.0")),
            ("pci-0000:00:14.0-usb-0:1:1.0", None),
            ("pci-0000:02:00.8", None),
            ("pci-", None),
        ] {
            assert_eq!(slot(value), expected, "{value}");
        }
        let new = "0000:00:08.0";
        for value in ["0000:00:08.0", "virtio-pci-0000:00:08.0", "*pci-0000:00:08.0", "pci-0000:00:*", "*"] {
            assert!(fits_in(value, new), "{value}");
        }
        for value in ["0000:00:09.0", "pci-0000:02:*", "pci-0000:00:08", ""] {
            assert!(!fits_in(value, new), "{value}");
        }
    }

    #[test]
    fn debian() {
        let text = "auto lo\niface lo inet loopback\niface ens192 inet dhcp\niface br0 inet static\n  bridge_ports eth1 eth2\n";
        check(
            &ifupdown(text),
            text,
            &[("lo", &[]), ("ens192", &[]), ("br0", &[]), ("eth1", &[]), ("eth2", &[])],
        );
        let text = "# NAME=\"x\"\nSUBSYSTEM==\"net\", ACTION==\"add\", DRIVERS==\"?*\", ATTR{address}==\"00:1b:21:3a:4c:5d\", KERNELS==\"0000:02:00.0\", NAME=\"eth0\"\nSUBSYSTEM==\"block\", NAME=\"x\"\n";
        let ties = ["ATTR{address}==\"00:1b:21:3a:4c:5d\"", "KERNELS==\"0000:02:00.0\""];
        check(&rules(text), text, &[("eth0", &ties)]);
    }

    #[test]
    fn ubuntu() {
        let text = "network:\n  version: 2\n  ethernets:\n    ens160:\n      dhcp4: true\n      macaddress: 00:00:00:00:00:01\n    any:\n      match:\n        macaddress: \"00:00:00:00:00:02\"\n      set-name: lan0\n    glob:\n      match: {name: \"en*\"}\n  bridges:\n    br0: {}\n";
        let ties = ["macaddress: \"00:00:00:00:00:02\""];
        check(&netplan(text), text, &[("ens160", &[]), ("lan0", &ties), ("", &[])]);
        let text = "network:\n  ethernets:\n    a:\n      match: {name: ens192}\n    b:\n      match:\n        name: ens224\n        driver: e1000\n      set-name: lan0\n";
        check(&netplan(text), text, &[("ens192", &[]), ("lan0", &["driver: e1000"])]);
    }

    #[test]
    fn red_hat() {
        let text = "TYPE=Ethernet\nDEVICE=\"ens3\"\nHWADDR=00:0C:29:00:00:01\nMACADDR=00:0C:29:00:00:02\n";
        check(&ifcfg("x", text), text, &[("ens3", &["HWADDR=00:0C:29:00:00:01"])]);
        assert!(ifcfg("bond0", "TYPE=Bond\n").is_empty());
        let text = "[connection]\nid=a\ntype=ethernet\ninterface-name=enp1s0\n\n[ethernet]\ncloned-mac-address=00:00:00:00:00:01\nmac-address=00:00:00:00:00:02\n";
        check(&keyfile(text), text, &[("enp1s0", &["mac-address=00:00:00:00:00:02"])]);
        assert!(keyfile("[connection]\ntype=bridge\n").is_empty());
        let text = "[match]\npath=pci-0000:02:00.0;pci-0000:03:00.0;\ndriver=!e1000;\n";
        check(&keyfile(text), text, &[("", &["path=pci-0000:02:00.0"])]);
    }

    #[test]
    fn systemd_files() {
        let text = "[Match]\nMACAddress=00:00:00:00:00:01\nDriver=e1000\n[Link]\nName=lan0\nMACAddress=00:00:00:00:00:09\n";
        check(&systemd(text), text, &[("lan0", &["MACAddress=00:00:00:00:00:01", "Driver=e1000"])]);
        check(&systemd("[Match]\nName=en*\n"), "", &[("", &[])]);
    }
}
