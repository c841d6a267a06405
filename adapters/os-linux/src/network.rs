//! Network interfaces keep their names. What ties a configuration to a card of the old machine is tied to the new card:
//! by its hardware address (option `nic.N.mac`), by its slot (fact `nic.N.slot` of the profile), or, when there is one card
//! only and nothing is known of it, by its driver.
//!
//! Names are kept by udev rules, not by `.link` files: systemd before 240, and SUSE's and Red Hat's naming schemes after
//! it, do not rename by a `.link` file what the initramfs has renamed already (systemd issues 9006, 9807). Slots are matched
//! by `KERNELS`, since `ENV{ID_PATH}` is set by later rules, if at all.

use crate::cards::{Cards, Change, is_name};
use crate::entries::Entry;
use crate::files::{exists, text};
use crate::interfaces::{self, Interface, Key, OUR_RULES, Tie, by_kernel, by_slot};
use crate::work::Work;
use std::collections::BTreeSet;
use wherry_sdk::{Result, Tree};

const REASON: &str = "the network configuration belongs to a card of the old machine";
const HEAD: &str = "# Written by Wherry: keeps the names that this system's network configuration uses.\n";

/// Names, and who gives them.
#[derive(Default)]
struct Names {
    /// What the guest's own files give.
    settled: BTreeSet<String>,
    /// What needs a rule of ours: it has one already, or has been untied from a card or tied to another address.
    ours: BTreeSet<String>,
}

/// Ties the configuration to the new cards, and keeps the names of interfaces.
pub fn adapt(work: &mut Work<'_>, entries: &[Entry]) -> Result<()> {
    let found = interfaces::find(work.guest);
    let rules = interfaces::rules(&text(work.guest, OUR_RULES).unwrap_or_default());
    let ours = rules.into_iter().filter_map(|rule| rule.name).collect();
    let mut names = Names { ours, ..Names::default() };
    let cards = Cards::new(work, &found, &names.ours);
    let paths: BTreeSet<&String> = found.iter().map(|interface| &interface.path).collect();
    for path in paths {
        let here: Vec<&Interface> = found.iter().filter(|interface| interface.path == *path).collect();
        retie(work, &cards, path, &here, &mut names)?;
    }
    keep_names(work, &cards, &names, entries)
}

impl Names {
    /// What has become of the ties of an interface.
    fn learn(&mut self, interface: &Interface, changes: &[(&Tie, Change)], slot: bool) {
        let Some(name) = &interface.name else { return };
        let udev = interface.by == "udev";
        let gone = |(_, change): &(&Tie, Change)| match change {
            Change::Unknown | Change::Tie(Key::Name, _) => true,
            Change::RemoveLine => udev,
            _ => false,
        };
        if interface.names_cards() && !changes.iter().any(gone) {
            self.settled.insert(name.clone());
        }
        let renaming = matches!(interface.by, "udev" | "systemd-link");
        let loose = |(tie, change): &(&Tie, Change)| match change {
            Change::Tie(Key::Name, _) => true,
            Change::Tie(Key::Mac, _) => renaming,
            Change::RemoveLine => tie.key == Key::Mac && !udev,
            _ => false,
        };
        // without a slot, what the kernel calls so it calls so still
        if (slot || !by_kernel(name)) && changes.iter().any(loose) {
            self.ours.insert(name.clone());
        }
    }
}

/// Ties one file's interfaces to the new cards.
fn retie(
    work: &mut Work<'_>,
    cards: &Cards,
    path: &str,
    found: &[&Interface],
    names: &mut Names,
) -> Result<()> {
    let Some(old) = text(work.guest, path) else { return Ok(()) };
    let mut lines: Vec<Option<String>> =
        old.split_inclusive('\n').map(|line| Some(line.to_owned())).collect();
    for interface in found {
        let mut ties: Vec<&Tie> = interface.ties.iter().collect();
        // from the end of a line to its start, so that spans stay true
        ties.sort_by_key(|tie| std::cmp::Reverse((tie.line, tie.span.start)));
        let changes: Vec<(&Tie, Change)> =
            ties.into_iter().map(|tie| (tie, cards.change(interface, tie))).collect();
        for (tie, change) in &changes {
            if *change == Change::Unknown {
                unknown(work, path, interface, tie);
            }
            let Some(line) = lines.get_mut(tie.line) else { continue };
            *line = line.take().and_then(|line| changed(&line, tie, change, interface.by));
        }
        let card = interface.label.as_ref().and_then(|label| cards.of(label));
        names.learn(interface, &changes, card.is_some_and(|card| card.slot.is_some()));
    }
    let new: String = lines.into_iter().flatten().collect();
    let empty = new.lines().all(|line| line.trim().is_empty() || line.starts_with('#'));
    if new != old && empty && path.ends_with(".rules") {
        return work.guest.remove(path, "it gives interface names to the old network cards");
    }
    work.replace(path, &old, &new, REASON)
}

fn unknown(work: &mut Work<'_>, path: &str, interface: &Interface, tie: &Tie) {
    let name = interface.label.as_deref().unwrap_or("an interface");
    let message = format!("{path} ties {name} to the old card {}, and the new one is not known", tie.value);
    let remedy = "give the new card's address as option nic.N.mac, in the order of the interfaces";
    work.warn("linux.network.card-unknown", message, remedy);
}

/// The line with the tie changed; none removes it.
fn changed(line: &str, tie: &Tie, change: &Change, by: &str) -> Option<String> {
    let (before, after) = (line.get(..tie.span.start)?, line.get(tie.span.end..)?);
    let text = line.get(tie.span.clone())?;
    let (key, value) = match change {
        Change::Keep | Change::Unknown => return Some(line.to_owned()),
        Change::RemoveLine => return None,
        Change::Tie(key, value) => (key, value),
    };
    let new = match (key, by) {
        (Key::Mac, _) if tie.key == Key::Mac => {
            let upper = tie.value.bytes().any(|c| c.is_ascii_uppercase());
            text.replace(&tie.value, &if upper { value.to_ascii_uppercase() } else { value.clone() })
        }
        (Key::Mac, "udev") => format!("ATTR{{address}}==\"{value}\""),
        (Key::Driver, "udev") => format!("DRIVERS==\"{value}\""),
        (Key::Path, "udev") => format!("KERNELS==\"{value}\""),
        (Key::Mac, "netplan") => format!("macaddress: {value}"),
        (Key::Driver, "netplan") => format!("driver: {value}"),
        (Key::Name, "netplan") => format!("name: {value}"),
        (Key::Driver, "networkmanager") => format!("driver={value}"),
        (Key::Path, "networkmanager") => format!("path={value}"),
        (Key::Mac, _) => format!("MACAddress={value}"),
        (Key::Driver, _) => format!("Driver={value}"),
        (Key::Path, _) => format!("Path={value}"),
        (Key::Name, _) => format!("Name={value}"),
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
    // Xen's cards have names of systemd's since its version 250 (`enX0`), Hyper-V's have none
    let named = nic_model != "hyperv-net";
    installed && named && !here("/etc/systemd/network/99-default.link") && !entries.iter().any(off)
}

/// Rules for the names that nothing else gives.
fn keep_names(work: &mut Work<'_>, cards: &Cards, names: &Names, entries: &[Entry]) -> Result<()> {
    let renames = renames(work.guest, entries, &work.profile.nic_model);
    let mut rules = String::new();
    for name in cards.labels.iter().filter(|label| is_name(label)) {
        let settled = names.settled.contains(name);
        let lost = by_slot(name) || (by_kernel(name) && renames);
        if names.ours.contains(name) || lost && !settled {
            rules.push_str(&name_rules(work, cards, name, settled));
        } else if !settled && cards.count() > 0 && cards.of(name).is_none() {
            without_card(work, cards, name);
        }
    }
    let old = text(work.guest, OUR_RULES).unwrap_or_default();
    if rules.is_empty() {
        return match old.is_empty() {
            true => Ok(()),
            false => work.guest.remove(OUR_RULES, "it gives interface names to the old network cards"),
        };
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
    work.replace(OUR_RULES, &old, &format!("{HEAD}{rules}"), reason)
}

/// Rules that give a card its name: by its address, which is the card's own, and by its slot, which stays when somebody
/// gives the machine another address. Only one of them matches, since udev was of different minds about two names.
fn name_rules(work: &mut Work<'_>, cards: &Cards, name: &str, settled: bool) -> String {
    let card = cards.of(name).cloned().unwrap_or_default();
    let mut matches = Vec::new();
    if let Some(mac) = card.mac.filter(|_| !settled) {
        matches.push(format!("DRIVERS==\"?*\", ATTR{{address}}==\"{mac}\""));
    }
    if let Some(slot) = card.slot {
        let unnamed = if settled || !matches.is_empty() { "NAME==\"\", " } else { "" };
        matches.push(format!("{unnamed}KERNELS==\"{slot}\""));
    }
    if let (true, false, Some(driver)) =
        (matches.is_empty(), settled, cards.driver.filter(|_| cards.single()))
    {
        matches.push(format!("DRIVERS==\"{driver}\""));
    }
    if matches.is_empty() && !settled {
        without_card(work, cards, name);
    }
    let rule =
        |matched: &String| format!("SUBSYSTEM==\"net\", ACTION==\"add\", {matched}, NAME=\"{name}\"\n");
    if !matches.is_empty() {
        let told = matches.join(", or with ");
        work.note(format!("{name} is the name of the network card with {told} ({OUR_RULES})"));
    }
    matches.iter().map(rule).collect()
}

/// An interface that no card is left for, or whose card is not known.
fn without_card(work: &mut Work<'_>, cards: &Cards, name: &str) {
    let (message, remedy) = match cards.count() {
        0 => (
            format!("interface {name} will get another name, and its card is not known"),
            "give the card's address as option nic.N.mac, in the order of the interfaces",
        ),
        count => (
            format!("there is no network card for interface {name}: the new machine has {count}"),
            "give the new machine a card for each interface, or remove the interface in the guest",
        ),
    };
    work.warn("linux.network.interface-name", message, remedy);
}
