//! The network cards of the new machine, which interface gets which, and what becomes of its ties to the old one.

use crate::files::natural;
use crate::interfaces::{
    Interface, Key, Tie, by_kernel, by_slot, fits_in, is_mac, is_pattern, is_slot, slot,
};
use crate::modules;
use crate::work::Work;
use std::collections::{BTreeMap, BTreeSet};
use wherry_sdk::find;

/// More cards than any machine has.
const CARDS: usize = 64;
/// What matches a card by its slot as systemd knows it: before version 233, `virtio-` could come first.
const PATH: &str = "*pci-";

/// A card, as far as it is known for certain.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Card {
    /// Its address, if no other card has the same.
    pub mac: Option<String>,
    /// Where it is: `0000:00:08.0`.
    pub slot: Option<String>,
}

/// The cards of the new machine, and who gets which.
pub struct Cards {
    all: Vec<Card>,
    /// What the interfaces that are cards go by, as people count.
    pub labels: Vec<String>,
    /// Those that the configuration knows by their names alone.
    by_name: BTreeSet<String>,
    assigned: BTreeMap<String, usize>,
    /// The driver of all cards.
    pub driver: Option<&'static str>,
}

/// What becomes of a tie.
#[derive(Debug, PartialEq)]
pub enum Change {
    /// Nothing.
    Keep,
    /// It is this value of this key from now on.
    Tie(Key, String),
    /// The line goes.
    RemoveLine,
    /// It cannot be kept.
    Unknown,
}

impl Cards {
    /// What the options say of addresses (`nic.N.mac`) and the profile of slots (`nic.N.slot`). `ours` are names that rules
    /// of ours give already.
    pub fn new(work: &Work<'_>, found: &[Interface], ours: &BTreeSet<String>) -> Self {
        let mut all: Vec<Card> = (0..CARDS).map_while(|n| card(work, n)).collect();
        let macs: Vec<String> = all.iter().filter_map(|card| card.mac.clone()).collect();
        let shared = |mac: &String| macs.iter().filter(|other| *other == mac).count() > 1;
        // an address that two cards share tells neither
        all.iter_mut().for_each(|card| card.mac = card.mac.take().filter(|mac| !shared(mac)));
        let mut labels =
            labels(found, ours, |interface| interface.by != "udev" && interface.by != "systemd-link");
        let mut by_name: BTreeSet<String> = labels.iter().cloned().collect();
        found.iter().filter(|one| one.name.is_none()).filter_map(|one| one.label.as_ref()).for_each(
            |label| {
                by_name.remove(label);
            },
        );
        if labels.iter().all(|label| is_slot(label)) {
            labels = self::labels(found, ours, |_| true);
        }
        let driver = modules::network(&work.profile.nic_model).map(|(_, driver)| driver);
        let mut new = Self { all, labels, by_name, assigned: BTreeMap::new(), driver };
        new.assign(found);
        new
    }

    /// A card that stays belongs to the interface that had it; the others follow in order.
    fn assign(&mut self, found: &[Interface]) {
        let scarce = self.labels.len() > self.all.len();
        for (label, old) in cards_of(found).filter(|(label, _)| self.labels.contains(label)) {
            // where there are enough cards, the order of the old slots is worth more than one slot that happens to stay
            let same =
                |card: &Card| card.mac.as_ref() == Some(&old) || scarce && card.slot.as_ref() == Some(&old);
            let position = self.all.iter().position(same);
            let position = position.filter(|n| !self.assigned.values().any(|taken| taken == n));
            if let Some(position) = position {
                self.assigned.entry(label.clone()).or_insert(position);
            }
        }
        // a configuration without a name has its card by the address
        let nameless = found.iter().filter(|one| one.label.is_none() && !self.single());
        let kept: BTreeSet<String> = nameless.flat_map(Interface::cards).collect();
        let of = |mac: &String| self.all.iter().position(|card| card.mac.as_ref() == Some(mac));
        let taken: BTreeSet<usize> =
            self.assigned.values().copied().chain(kept.iter().filter_map(of)).collect();
        let free: Vec<usize> = (0..self.all.len()).filter(|n| !taken.contains(n)).collect();
        let waiting = self.labels.iter().filter(|label| !self.assigned.contains_key(*label)).cloned();
        self.assigned.extend(ordered(waiting.collect(), found).into_iter().zip(free));
    }

    /// The card of an interface.
    pub fn of(&self, label: &str) -> Option<&Card> {
        self.all.get(*self.assigned.get(label)?)
    }

    /// How many there are, as far as that is known.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// Whether there can be no mistake.
    pub fn single(&self) -> bool {
        self.labels.len() <= 1 && self.all.len() <= 1
    }

    /// What becomes of one of the ties of an interface.
    pub fn change(&self, interface: &Interface, tie: &Tie) -> Change {
        let by_mac = interface.ties.iter().any(|tie| tie.key == Key::Mac);
        let label = interface.label.as_deref();
        let known = label.is_some_and(|label| self.labels.iter().any(|other| other == label));
        let card = label.and_then(|label| self.of(label));
        if interface.name.is_some() && !known && card.is_none() {
            return self.left_over(interface, tie);
        }
        let card = card.or_else(|| self.all.first().filter(|_| self.single())).cloned().unwrap_or_default();
        match tie.key {
            Key::Mac if self.stays(tie) => Change::Keep,
            Key::Mac => self.by_address(interface, card),
            // an address and a slot: the address will do
            Key::Path if by_mac && interface.by == "udev" => any_driver(),
            Key::Path if by_mac => Change::RemoveLine,
            Key::Path => self.by_place(interface, tie, card),
            Key::Driver | Key::Name => self.by_driver(interface, tie),
        }
    }

    fn stays(&self, tie: &Tie) -> bool {
        let mac = tie.value.to_ascii_lowercase();
        self.all.iter().any(|card| card.mac.as_ref() == Some(&mac))
    }

    /// A rule for an interface that nothing configures speaks of an older card; in its slot there may be another now.
    fn left_over(&self, interface: &Interface, tie: &Tie) -> Change {
        let old = slot(&tie.value).filter(|_| tie.key == Key::Path);
        let taken = old.is_some() && self.all.iter().any(|card| card.slot.as_deref() == old);
        match (taken, interface.by) {
            (false, _) => Change::Keep,
            (true, "udev") => Change::RemoveLine,
            (true, _) => Change::Unknown,
        }
    }

    /// What was tied to an address.
    fn by_address(&self, interface: &Interface, card: Card) -> Change {
        let plain = interface.name.as_deref().is_some_and(is_name);
        let only = || self.labels.first().filter(|_| self.single());
        let name = interface.label.as_ref().or_else(only).filter(|label| is_name(label)).cloned();
        match (card.mac, card.slot, interface.by, name) {
            (Some(mac), ..) => Change::Tie(Key::Mac, mac),
            (None, Some(slot), "udev" | "systemd-link", _) => by_slot_of(interface, slot),
            // the name alone will do, since a rule gives it to the slot
            (None, Some(_), "ifcfg" | "networkmanager" | "systemd-networkd", _) if plain => {
                Change::RemoveLine
            }
            (None, Some(_), "netplan" | "systemd-networkd", Some(name)) => Change::Tie(Key::Name, name),
            (None, Some(slot), "systemd-networkd", None) => by_slot_of(interface, slot),
            (None, _, "ifcfg" | "networkmanager", _) if self.single() => Change::RemoveLine,
            _ => self.without_card(interface),
        }
    }

    /// What was tied to a slot.
    fn by_place(&self, interface: &Interface, tie: &Tie, card: Card) -> Change {
        let mut places = self.all.iter().filter_map(|card| card.slot.as_ref());
        match (card.slot, card.mac) {
            // a pattern for all cards
            _ if is_pattern(&tie.value) && places.all(|new| fits_in(&tie.value, new)) => Change::Keep,
            (Some(new), _) if fits_in(&tie.value, &new) => Change::Keep,
            (Some(new), _) => by_slot_of(interface, new),
            (None, Some(mac)) if interface.by != "networkmanager" => match &interface.label {
                Some(name) if interface.name.is_none() && is_name(name) => {
                    Change::Tie(Key::Name, name.clone())
                }
                _ => Change::Tie(Key::Mac, mac),
            },
            _ => self.without_card(interface),
        }
    }

    fn by_driver(&self, interface: &Interface, tie: &Tie) -> Change {
        // udev wants both of one device, and behind a virtio card's slot is the driver of the bus
        let placed = |other: &Tie| {
            other.key != Key::Driver
                && match self.change(interface, other) {
                    Change::Keep => other.key == Key::Path,
                    change => matches!(change, Change::Tie(Key::Path, _)),
                }
        };
        match self.driver {
            _ if interface.by == "udev" && interface.ties.iter().any(placed) => any_driver(),
            Some(new) if is_driver(&tie.value) && tie.value != new => {
                Change::Tie(Key::Driver, new.to_owned())
            }
            _ => Change::Keep,
        }
    }

    /// Nothing is known of the card but, where there is only one, its driver.
    fn without_card(&self, interface: &Interface) -> Change {
        let by_name = |name: &&String| by_kernel(name) && self.by_name.contains(*name);
        let counted = self.all.is_empty() && interface.by == "udev";
        match self.driver.filter(|_| self.single()) {
            Some(driver) => Change::Tie(Key::Driver, driver.to_owned()),
            // the kernel's order is as good as any
            None if counted && interface.name.as_ref().filter(by_name).is_some() => Change::RemoveLine,
            None => Change::Unknown,
        }
    }
}

fn any_driver() -> Change {
    Change::Tie(Key::Driver, "?*".into())
}

fn by_slot_of(interface: &Interface, slot: String) -> Change {
    let value = if interface.by == "udev" { slot } else { format!("{PATH}{slot}") };
    Change::Tie(Key::Path, value)
}

fn card(work: &Work<'_>, n: usize) -> Option<Card> {
    let mac = find(work.options, &format!("nic.{n}.mac")).filter(|mac| is_mac(mac));
    let slot = find(&work.profile.facts, &format!("nic.{n}.slot")).filter(|slot| is_slot(slot));
    let [mac, slot] = [mac, slot].map(|text| text.map(str::to_ascii_lowercase));
    (mac.is_some() || slot.is_some()).then_some(Card { mac, slot })
}

/// What interfaces go by, with the addresses or slots of their old cards.
fn cards_of(found: &[Interface]) -> impl Iterator<Item = (&String, String)> {
    let labelled = found.iter().filter_map(|interface| Some((interface.label.as_ref()?, interface)));
    labelled.flat_map(|(label, interface)| interface.cards().into_iter().map(move |card| (label, card)))
}

/// By the old slots if all have one; or else by name, as people count, and then who has no name.
fn ordered(mut labels: Vec<String>, found: &[Interface]) -> Vec<String> {
    let mut slots: BTreeMap<&String, String> = BTreeMap::new();
    for (label, slot) in cards_of(found).filter(|(_, card)| is_slot(card)) {
        slots.entry(label).or_insert(slot);
    }
    if labels.iter().all(|label| slots.contains_key(label)) {
        labels.sort_by_key(|label| slots.get(label).cloned());
    } else {
        labels.sort_by_key(|label| is_slot(label).then(|| label.clone()));
    }
    labels
}

/// Labels of cards, without those of bridges, bonds and VLANs.
fn labels(found: &[Interface], ours: &BTreeSet<String>, of: impl Fn(&Interface) -> bool) -> Vec<String> {
    let tied = |name: &String| {
        found.iter().any(|other| !other.ties.is_empty() && other.label.as_ref() == Some(name))
    };
    let labels = found.iter().filter(|interface| of(interface)).filter_map(|one| one.label.clone());
    let card = |name: &String| by_slot(name) || by_kernel(name) || tied(name) || ours.contains(name);
    let mut labels: Vec<String> = labels.filter(card).collect();
    labels.sort_by(|a, b| natural(a, b));
    labels.dedup();
    labels.truncate(CARDS);
    labels
}

/// Whether the kernel takes this as the name of an interface, and a rule can say it.
pub fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    (1..16).contains(&name.len()) && name.chars().all(allowed) && !name.starts_with('.')
}

fn is_driver(name: &str) -> bool {
    modules::CARDS.into_iter().filter_map(modules::network).any(|(_, driver)| driver == name)
}
