//! Network interfaces keep their names. What ties a configuration to a card of the old machine is tied to the new card,
//! whose hardware address is an option (`nic.N.mac`), or, when there is one card only, to its driver.
//!
//! Names are kept by udev rules, not by `.link` files: systemd before 240, and SUSE's and Red Hat's naming schemes after
//! it, do not rename by a `.link` file what the initramfs has renamed already (systemd issues 9006, 9807).

use crate::entries::Entry;
use crate::files::{exists, natural, text};
use crate::interfaces::{self, Interface, Key, OUR_RULES, Tie, by_kernel, by_slot, is_mac};
use crate::modules;
use crate::work::Work;
use std::collections::{BTreeMap, BTreeSet};
use wherry_sdk::{Result, Tree, find};

/// More cards than any machine has.
const CARDS: usize = 64;
const REASON: &str = "the network configuration belongs to a card of the old machine";
const HEAD: &str = "# Written by Wherry: keeps the names that this system's network configuration uses.\n";

/// The cards of the new machine, and who gets which.
struct Cards {
    /// Addresses in the order of the cards, as far as they are known.
    macs: Vec<String>,
    /// Names that the configuration uses, in natural order.
    names: Vec<String>,
    /// Name and address.
    assigned: BTreeMap<String, String>,
    /// The driver of all cards.
    driver: Option<&'static str>,
}

/// What becomes of a tie.
enum Change {
    Keep,
    Mac(String),
    Driver(&'static str),
    RemoveLine,
    Unknown,
}

/// Ties the configuration to the new cards, and keeps the names of interfaces.
pub fn adapt(work: &mut Work<'_>, entries: &[Entry]) -> Result<()> {
    let found = interfaces::find(work.guest);
    let cards = Cards::new(work, &found);
    let mut settled: BTreeSet<String> = BTreeSet::new();
    let paths: BTreeSet<&String> = found.iter().map(|interface| &interface.path).collect();
    for path in paths {
        let here: Vec<&Interface> = found.iter().filter(|interface| interface.path == *path).collect();
        settled.extend(retie(work, &cards, path, &here)?);
    }
    keep_names(work, &cards, &settled, entries)
}

impl Cards {
    fn new(work: &Work<'_>, found: &[Interface]) -> Self {
        let macs = (0..CARDS).map_while(|n| find(work.options, &format!("nic.{n}.mac")));
        let macs: Vec<String> = macs.filter(|mac| is_mac(mac)).map(str::to_ascii_lowercase).collect();
        let mut names = names(found, |interface| interface.by != "udev" && interface.by != "systemd-link");
        if names.is_empty() {
            names = self::names(found, |_| true);
        }
        let driver = modules::network(&work.profile.nic_model).map(|(_, driver)| driver);
        let mut new = Self { macs, names, assigned: BTreeMap::new(), driver };
        new.assign(found);
        new
    }

    /// A card whose address stays belongs to the name that had it; the others follow in order.
    fn assign(&mut self, found: &[Interface]) {
        for interface in found {
            let old = interface
                .ties
                .iter()
                .find(|tie| tie.key == Key::Mac)
                .map(|tie| tie.value.to_ascii_lowercase());
            if let (Some(name), Some(mac)) = (&interface.name, old.filter(|mac| self.macs.contains(mac))) {
                self.assigned.entry(name.clone()).or_insert(mac);
            }
        }
        let taken: BTreeSet<String> = self.assigned.values().cloned().collect();
        let free: Vec<String> = self.macs.iter().filter(|mac| !taken.contains(*mac)).cloned().collect();
        let waiting = self.names.iter().filter(|name| !self.assigned.contains_key(*name));
        let pairs: Vec<(String, String)> = waiting.cloned().zip(free).collect();
        self.assigned.extend(pairs);
    }

    fn single(&self) -> bool {
        self.names.len() <= 1 && self.macs.len() <= 1
    }

    fn change(&self, interface: &Interface, tie: &Tie) -> Change {
        let by_mac = interface.ties.iter().any(|tie| tie.key == Key::Mac);
        let known = interface.name.as_ref().map(|name| (self.names.contains(name), self.assigned.get(name)));
        let mac = match known {
            // a rule for an interface that nothing configures is left over from an older card
            Some((false, None)) => return Change::Keep,
            Some((_, mac)) => mac,
            None => self.macs.first().filter(|_| self.single()),
        };
        match (tie.key, mac, self.driver) {
            (Key::Mac, _, _) if self.macs.contains(&tie.value.to_ascii_lowercase()) => Change::Keep,
            // an address and a slot: the address will do
            (Key::Path, ..) if by_mac && interface.by == "udev" => Change::Driver("?*"),
            (Key::Path, ..) if by_mac => Change::RemoveLine,
            (Key::Driver, _, Some(new)) if known_driver(&tie.value) && tie.value != new => {
                Change::Driver(new)
            }
            (Key::Driver, ..) => Change::Keep,
            (_, Some(mac), _) => Change::Mac(mac.clone()),
            (Key::Mac, None, _) if self.single() && matches!(interface.by, "ifcfg" | "networkmanager") => {
                Change::RemoveLine
            }
            (_, None, Some(driver)) if self.single() => Change::Driver(driver),
            // no card is known: the kernel's order is as good as any
            (_, None, _) if interface.by == "udev" && interface.name.as_deref().is_some_and(by_kernel) => {
                Change::RemoveLine
            }
            _ => Change::Unknown,
        }
    }
}

fn known_driver(name: &str) -> bool {
    ["virtio-net", "e1000", "e1000e", "vmxnet3", "hyperv-net", "xen-netfront", "rtl8139"]
        .iter()
        .filter_map(|model| modules::network(model))
        .any(|(_, driver)| driver == name)
}

/// Names of cards, without those of bridges, bonds and VLANs.
fn names(found: &[Interface], of: impl Fn(&Interface) -> bool) -> Vec<String> {
    let tied =
        |name: &String| found.iter().any(|other| !other.ties.is_empty() && other.name.as_ref() == Some(name));
    let names =
        found.iter().filter(|interface| of(interface)).filter_map(|interface| interface.name.as_ref());
    let mut names: Vec<String> =
        names.filter(|name| by_slot(name) || by_kernel(name) || tied(name)).cloned().collect();
    names.sort_by(|a, b| natural(a, b));
    names.dedup();
    names.truncate(CARDS);
    names
}

/// Ties one file's interfaces to the new cards; answers the names that the file gives.
fn retie(work: &mut Work<'_>, cards: &Cards, path: &str, found: &[&Interface]) -> Result<Vec<String>> {
    let Some(old) = text(work.guest, path) else { return Ok(Vec::new()) };
    let mut lines: Vec<Option<String>> =
        old.split_inclusive('\n').map(|line| Some(line.to_owned())).collect();
    let mut settled = Vec::new();
    for interface in found {
        let mut ties: Vec<&Tie> = interface.ties.iter().collect();
        // from the end of a line to its start, so that spans stay true
        ties.sort_by_key(|tie| std::cmp::Reverse((tie.line, tie.span.start)));
        let mut lost = false;
        for tie in ties {
            let change = cards.change(interface, tie);
            lost |= matches!(change, Change::RemoveLine | Change::Unknown) && tie.key == Key::Mac;
            if matches!(change, Change::Unknown) {
                unknown(work, path, interface, tie);
            }
            let Some(line) = lines.get_mut(tie.line) else { continue };
            *line = line.take().and_then(|line| changed(&line, tie, &change, interface.by));
        }
        if interface.names_cards() && !lost {
            settled.extend(interface.name.clone());
        }
    }
    let new: String = lines.into_iter().flatten().collect();
    let empty = new.lines().all(|line| line.trim().is_empty() || line.starts_with('#'));
    if new != old && empty && path.ends_with(".rules") {
        work.guest.remove(path, "it gives interface names to the old network cards")?;
    } else {
        work.replace(path, &old, &new, REASON)?;
    }
    Ok(settled)
}

fn unknown(work: &mut Work<'_>, path: &str, interface: &Interface, tie: &Tie) {
    let name = interface.name.as_deref().unwrap_or("an interface");
    let message = format!("{path} ties {name} to the old card {}, and the new one is not known", tie.value);
    let remedy = "give the new card's address as option nic.N.mac, in the order of the interfaces";
    work.warn("linux.network.card-unknown", message, remedy);
}

/// The line with the tie changed; none removes it.
fn changed(line: &str, tie: &Tie, change: &Change, by: &str) -> Option<String> {
    let (before, after) = (line.get(..tie.span.start)?, line.get(tie.span.end..)?);
    let text = line.get(tie.span.clone())?;
    let new = match (change, by) {
        (Change::Keep | Change::Unknown, _) => return Some(line.to_owned()),
        (Change::RemoveLine, _) => return None,
        (Change::Mac(mac), _) if tie.key == Key::Mac => {
            let upper = tie.value.bytes().any(|c| c.is_ascii_uppercase());
            text.replace(&tie.value, &if upper { mac.to_ascii_uppercase() } else { mac.clone() })
        }
        (Change::Mac(mac), "udev") => format!("ATTR{{address}}==\"{mac}\""),
        (Change::Mac(mac), "netplan") => format!("macaddress: {mac}"),
        (Change::Mac(mac), _) => format!("MACAddress={mac}"),
        (Change::Driver(driver), "udev") => format!("DRIVERS==\"{driver}\""),
        (Change::Driver(driver), "netplan") => format!("driver: {driver}"),
        (Change::Driver(driver), _) => format!("Driver={driver}"),
    };
    Some(format!("{before}{new}{after}"))
}

/// Whether new cards would get other names than the kernel's.
fn renames(guest: &dyn Tree, entries: &[Entry], nic_model: &str) -> bool {
    let rules = ["80-net-setup-link.rules", "80-net-name-slot.rules"];
    let here = |path: &str| guest.read_link(path).is_ok_and(|target| target == "/dev/null");
    let installed = rules.iter().any(|rule| {
        let places = ["/usr/lib/udev/rules.d", "/lib/udev/rules.d"];
        places.iter().any(|folder| exists(guest, &format!("{folder}/{rule}")))
            && !here(&format!("/etc/udev/rules.d/{rule}"))
    });
    let off = |entry: &Entry| entry.arguments.split(' ').any(|word| word == "net.ifnames=0");
    let in_slot = !matches!(nic_model, "hyperv-net" | "xen-netfront");
    installed && in_slot && !here("/etc/systemd/network/99-default.link") && !entries.iter().any(off)
}

/// Rules for the names that nothing else gives.
fn keep_names(
    work: &mut Work<'_>,
    cards: &Cards,
    settled: &BTreeSet<String>,
    entries: &[Entry],
) -> Result<()> {
    let renames = renames(work.guest, entries, &work.profile.nic_model);
    let wanted = |name: &&String| !settled.contains(*name) && (by_slot(name) || (by_kernel(name) && renames));
    let mut rules = String::new();
    for name in cards.names.iter().filter(wanted) {
        let matched = match (cards.assigned.get(name), cards.driver.filter(|_| cards.single())) {
            (Some(mac), _) => format!("DRIVERS==\"?*\", ATTR{{address}}==\"{mac}\""),
            (None, Some(driver)) => format!("DRIVERS==\"{driver}\""),
            (None, None) => {
                let message = format!("interface {name} will get another name, and its card is not known");
                let remedy = "give the card's address as option nic.N.mac, in the order of the interfaces";
                work.warn("linux.network.interface-name", message, remedy);
                continue;
            }
        };
        rules.push_str(&format!("SUBSYSTEM==\"net\", ACTION==\"add\", {matched}, NAME=\"{name}\"\n"));
        work.note(format!("{name} is the name of the network card with {matched} ({OUR_RULES})"));
    }
    if rules.is_empty() {
        return Ok(());
    }
    let udev = ["/etc/udev", "/lib/udev", "/usr/lib/udev"];
    if !udev.iter().any(|path| exists(work.guest, path)) {
        let message = "network interfaces will get other names, and there is no udev to keep them".to_owned();
        work.warn(
            "linux.network.interface-name",
            message,
            "name the interfaces anew in the guest after the move",
        );
        return Ok(());
    }
    let reason = "the network configuration uses names that the old hardware gave";
    work.ensure_directory("/etc/udev/rules.d", reason)?;
    let old = text(work.guest, OUR_RULES).unwrap_or_default();
    work.replace(OUR_RULES, &old, &format!("{HEAD}{rules}"), reason)
}
