//! Interfaces keep their names by the slots that the target gives its cards.

use crate::network::{HEAD, PERSISTENT, RULES, check_on, guest, root, rule};
use crate::system::*;
use wherry_sdk::testing::{MemoryVolume, Random};
use wherry_sdk::{DeviceProfile, Fact, fact};

const SLOTS: [&str; 3] = ["0000:00:08.0", "0000:00:09.0", "0000:00:0a.0"];
const MACS: [&str; 3] = ["52:54:00:00:00:01", "52:54:00:00:00:02", "52:54:00:00:00:03"];
const NO_CARD: &str = "warning linux.network.interface-name";

/// A profile that says where its cards are.
fn slotted(cards: usize) -> DeviceProfile {
    let facts = SLOTS.iter().take(cards).enumerate().map(|(n, slot)| fact(format!("nic.{n}.slot"), slot));
    DeviceProfile { facts: facts.collect(), ..virtio() }
}

/// What is edited on a machine of so many cards, a word for a line: `write`, `remove`, `-` and `+` with their rest.
fn check(root: &MemoryVolume, cards: usize, options: &[Fact], expected: &[String], concerned: &[&str]) {
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    check_on(&slotted(cards), root, options, &expected, concerned);
}

/// The rule by slot alone.
fn placed(card: usize, name: &str) -> String {
    format!("+ SUBSYSTEM==\"net\", ACTION==\"add\", KERNELS==\"{}\", NAME=\"{name}\"", SLOTS[card])
}

/// The rule by slot for a card that no other rule has named.
fn else_placed(card: usize, name: &str) -> String {
    placed(card, name).replace("KERNELS", "NAME==\"\", KERNELS")
}

fn addressed(card: usize, name: &str) -> String {
    format!("+ {}", rule(MACS[card], name).trim())
}

fn new(path: &str, lines: Vec<String>) -> Vec<String> {
    let head = (path == RULES).then(|| HEAD.to_owned());
    [format!("write {path}")].into_iter().chain(head).chain(lines).collect()
}

fn swap(path: &str, old: &str, new: &str) -> Vec<String> {
    vec![format!("write {path}"), format!("- {old}"), format!("+ {new}")]
}

#[test]
fn without_addresses_names_follow_the_slots() {
    for name in ["ens33", "eth0", "enp0s25"] {
        check(&guest(&[name]), 1, &[], &new(RULES, vec![placed(0, name)]), &[]);
    }
    let both = vec![placed(0, "ens192"), placed(1, "ens224")];
    check(&guest(&["ens224", "ens192"]), 2, &[], &new(RULES, both.clone()), &[]);
    // an address that two cards share, as a bond shows it, tells neither
    check(&guest(&["ens224", "ens192"]), 2, &nics(&[MACS[0], MACS[0]]), &new(RULES, both), &[]);
}

#[test]
fn with_addresses_slots_are_for_the_day_when_these_change() {
    let rules = vec![addressed(0, "ens192"), else_placed(0, "ens192")];
    check(&guest(&["ens192"]), 1, &nics(&MACS[..1]), &new(RULES, rules), &[]);
    // the kernel's own names are the kernel's, in the order of the slots
    let off = guest(&["eth0", "eth1"]).symlink("/etc/systemd/network/99-default.link", "/dev/null");
    check(&off, 2, &nics(&MACS[..2]), &[], &[]);
}

#[test]
fn an_interface_without_a_card_is_named() {
    check(&guest(&["ens192", "ens224"]), 1, &[], &new(RULES, vec![placed(0, "ens192")]), &[NO_CARD]);
    let off = guest(&["eth0", "eth1"]).symlink("/etc/systemd/network/99-default.link", "/dev/null");
    check(&off, 1, &[], &[], &[NO_CARD]);
}

#[test]
fn a_slot_that_is_none() {
    for slot in ["0000:00:08", "0000:00:08.8", "\", NAME=\"x\"", "0000-00:08.0"] {
        let profile = DeviceProfile { facts: vec![fact("nic.0.slot", slot)], ..virtio() };
        let by_driver = "+ SUBSYSTEM==\"net\", ACTION==\"add\", DRIVERS==\"virtio_net\", NAME=\"ens3\"";
        check_on(&profile, &guest(&["ens3"]), &[], &[&format!("write {RULES}"), HEAD, by_driver], &[]);
    }
}

#[test]
fn rules_by_address() {
    let old = ["00:00:00:00:00:0a", "00:00:00:00:00:0b"];
    let root = guest(&["eth0", "eth1"]).file(PERSISTENT, rule(old[0], "eth0") + &rule(old[1], "eth1"));
    let gone = |n: usize, name| format!("- {}", rule(old[n], name).trim());
    let come = |n: usize, name: &str| {
        let address = format!("ATTR{{address}}==\"{}\"", old[n]);
        let slot = format!("KERNELS==\"{}\"", SLOTS[n]);
        format!("+ {}", rule(old[n], name).trim().replace(&address, &slot))
    };
    let lines = vec![gone(0, "eth0"), gone(1, "eth1"), come(0, "eth0"), come(1, "eth1")];
    check(&root, 2, &[], &new(PERSISTENT, lines), &[]);
    // with new addresses, and a rule of ours beside
    let mut lines = vec![gone(0, "eth0"), gone(1, "eth1"), addressed(0, "eth0"), addressed(1, "eth1")];
    lines = new(PERSISTENT, lines);
    lines.extend(new(RULES, vec![else_placed(0, "eth0"), else_placed(1, "eth1")]));
    check(&root, 2, &nics(&MACS[..2]), &lines, &[]);
    // cards that are carried over need nothing
    check(&root, 2, &nics(&old), &[], &[]);
}

#[test]
fn rules_by_slot_follow_in_the_order_of_the_old_slots() {
    let by_slot = |slot, name| format!("SUBSYSTEM==\"net\", KERNELS==\"{slot}\", NAME=\"{name}\"");
    let old = ["0000:13:00.0", "0000:0b:00.0"];
    let text = format!("{}\n{}\n", by_slot(old[0], "lan0"), by_slot(old[1], "lan1"));
    let root = guest(&["lan0", "lan1"]).file(PERSISTENT, text);
    let [a, b] = [by_slot(old[0], "lan0"), by_slot(old[1], "lan1")].map(|line| format!("- {line}"));
    let [c, d] = [by_slot(SLOTS[1], "lan0"), by_slot(SLOTS[0], "lan1")].map(|line| format!("+ {line}"));
    let lines = new(PERSISTENT, vec![a.clone(), b.clone(), c, d]);
    check(&root, 2, &[], &lines, &[]);
    check(&root, 2, &nics(&MACS[..2]), &lines, &[]);
    // one card for two: the first of them has it
    let [c, d] = [by_slot(old[0], "lan0"), by_slot(SLOTS[0], "lan1")];
    check(&root, 1, &[], &swap(PERSISTENT, &b[2..], &d), &["warning linux.network.card-unknown", NO_CARD]);
    assert_eq!(c, a[2..]);
}

#[test]
fn udev_looks_for_driver_and_slot_in_one_device() {
    let old = "SUBSYSTEM==\"net\", DRIVERS==\"e1000\", ENV{ID_PATH}==\"pci-0000:02:00.0\", NAME=\"lan0\"";
    let come = "SUBSYSTEM==\"net\", DRIVERS==\"?*\", KERNELS==\"0000:00:08.0\", NAME=\"lan0\"";
    let root = guest(&["lan0"]).file(PERSISTENT, format!("{old}\n"));
    check(&root, 1, &[], &swap(PERSISTENT, old, come), &[]);
    // a pattern ties to nothing
    let root = guest(&["eth0"]).file(PERSISTENT, "SUBSYSTEM==\"net\", KERNELS==\"?*\", NAME=\"eth0\"\n");
    check(&root, 1, &[], &new(RULES, vec![placed(0, "eth0")]), &[]);
}

#[test]
fn a_left_over_rule_does_not_take_the_new_card() {
    let line = format!("SUBSYSTEM==\"net\", KERNELS==\"{}\", NAME=\"dmz7\"\n", SLOTS[0]);
    let other = line.replace(SLOTS[0], "0000:04:00.0");
    let lines = new(PERSISTENT, vec![format!("- {}", line.trim())]);
    let lines = lines.into_iter().chain(new(RULES, vec![placed(0, "ens1")])).collect::<Vec<_>>();
    check(&guest(&["ens1"]).file(PERSISTENT, line + &other), 1, &[], &lines, &[]);
}

#[test]
fn files_of_systemd() {
    let link = "/etc/systemd/network/10-lan.link";
    let text = "[Match]\nPath=pci-0000:02:00.0\n[Link]\nName=lan0\n";
    let (old, come) = ("Path=pci-0000:02:00.0", "Path=*pci-0000:00:08.0");
    check(&guest(&["lan0"]).file(link, text), 1, &nics(&MACS[..1]), &swap(link, old, come), &[]);
    let by_mac = text.replace(old, "MACAddress=00:00:00:00:00:01");
    let root = guest(&["lan0"]).file(link, by_mac);
    check(&root, 1, &[], &swap(link, "MACAddress=00:00:00:00:00:01", come), &[]);

    // configurations by slot alone, and a name for one of them
    let [a, b] = ["/etc/systemd/network/20-a.network", "/etc/systemd/network/20-b.network"];
    let two = root_with(&[
        (link, text),
        (a, "[Match]\nPath=pci-0000:02:00.0\n"),
        (b, "[Match]\nPath=virtio-pci-0000:01:00.0 pci-x\n"),
    ]);
    let ninth = "Path=*pci-0000:00:09.0";
    let mut lines = swap(link, old, ninth);
    lines.extend(swap(a, old, ninth));
    lines.extend(swap(b, "Path=virtio-pci-0000:01:00.0 pci-x", "Path=*pci-0000:00:08.0 pci-x"));
    check(&two, 2, &nics(&MACS[..2]), &lines, &[]);

    // patterns for every card, and for none
    check(&root_with(&[(a, "[Match]\nPath=pci-*\n")]), 2, &[], &[], &[]);
    let old = root_with(&[(a, "[Match]\nPath=pci-0000:02:*\n")]);
    check(&old, 1, &[], &swap(a, "Path=pci-0000:02:*", come), &[]);
    check(&old, 2, &[], &[], &["warning linux.network.card-unknown"]);
}

fn root_with(files: &[(&str, &str)]) -> MemoryVolume {
    files.iter().fold(root(), |root, (path, text)| root.file(path, text))
}

#[test]
fn files_of_network_manager_and_netplan() {
    let key = "/etc/NetworkManager/system-connections/a.nmconnection";
    let text = "[connection]\ntype=ethernet\ninterface-name=ens5\n[match]\npath=pci-0000:00:05.0;\n";
    let mut lines = swap(key, "path=pci-0000:00:05.0;", "path=*pci-0000:00:08.0;");
    lines.extend(new(RULES, vec![placed(0, "ens5")]));
    check(&root_with(&[(key, text)]), 1, &[], &lines, &[]);

    let plan = "/etc/netplan/50-cloud-init.yaml";
    let text = "network:\n  ethernets:\n    a:\n      match:\n        macaddress: 00:00:00:00:00:0a\n      set-name: lan0\n    b:\n      match: {macaddress: \"00:00:00:00:00:0b\"}\n      set-name: lan1\n    c:\n      match:\n        name: ens192\n";
    let mut lines = new(
        plan,
        [
            "-         macaddress: 00:00:00:00:00:0a",
            "+         name: lan0",
            "-       match: {macaddress: \"00:00:00:00:00:0b\"}",
            "+       match: {name: lan1}",
        ]
        .map(str::to_owned)
        .to_vec(),
    );
    let named = ["ens192", "lan0", "lan1"];
    lines.extend(new(RULES, named.iter().enumerate().map(|(n, name)| placed(n, name)).collect()));
    check(&root_with(&[(plan, text)]), 3, &[], &lines, &[]);
}

#[test]
fn files_of_red_hat() {
    let paths = ["ifcfg-eth0", "ifcfg-lan1"].map(|name| format!("/etc/sysconfig/network-scripts/{name}"));
    let root = paths.iter().zip(["eth0", "lan1"]).fold(root(), |root, (path, name)| {
        root.file(path, format!("DEVICE={name}\nHWADDR=00:0C:29:00:00:0A\n"))
    });
    let mut lines = Vec::new();
    for path in &paths {
        lines.extend([format!("write {path}"), "- HWADDR=00:0C:29:00:00:0A".into()]);
    }
    lines.extend(new(RULES, vec![placed(0, "eth0"), placed(1, "lan1")]));
    check(&root, 2, &[], &lines, &[]);
}

#[test]
fn rules_of_an_earlier_move_give_way() {
    let earlier = rule("52:54:00:00:00:0f", "ens5")
        + "SUBSYSTEM==\"net\", ACTION==\"add\", NAME==\"\", KERNELS==\"0000:00:03.0\", NAME=\"ens5\"\n";
    let old: Vec<String> = earlier.lines().map(|line| format!("- {line}")).collect();
    let root = guest(&["ens5"]).file(RULES, earlier);
    let mut lines = vec![format!("write {RULES}")];
    lines.extend(old.iter().cloned());
    lines.extend([HEAD.to_owned(), addressed(0, "ens5"), else_placed(0, "ens5")]);
    check(&root, 1, &nics(&MACS[..1]), &lines, &[]);
    // the interface is gone, and its rules with it
    let gone = [format!("remove {RULES}")].into_iter().chain(old).collect::<Vec<_>>();
    check(&root_with(&[(RULES, &format!("{}\n", gone[1][2..].trim()))]), 1, &[], &gone[..2], &[]);
}

/// A file of some configuration, tied to what a card was or to what the new one is by chance.
fn some_file(random: &mut Random, turn: u64) -> (String, String) {
    let card = random.below(6) as usize;
    let name = ["ens192", "eth0", "eth1", "lan0", "lan1", "enp0s25"][card];
    let mut flip = || random.below(2) == 0;
    let (by_mac, by_slot, stays) = (flip(), flip(), flip() && card < 2);
    let mac = if stays { MACS[card].to_owned() } else { format!("00:00:00:00:00:0{card}") };
    let slot = if stays { SLOTS[1 - card].to_owned() } else { format!("0000:0{}:00.0", 6 - card) };
    let some = |yes: bool, text: String| if yes { text } else { String::new() };
    match random.below(7) {
        0 => ("/etc/network/interfaces.d/a".into(), format!("iface {name} inet dhcp\n")),
        1 => (
            format!("/etc/sysconfig/network-scripts/ifcfg-{name}"),
            some(by_mac, format!("HWADDR={mac}\n")) + "A=b\n",
        ),
        2 => (
            format!("/etc/NetworkManager/system-connections/{turn}"),
            format!("[connection]\ninterface-name={name}\n")
                + &some(by_mac, format!("[ethernet]\nmac-address={mac}\n"))
                + &some(by_slot, format!("[match]\npath=pci-{slot}\n")),
        ),
        3 => {
            let ties = some(by_mac, format!("ATTR{{address}}==\"{mac}\", "))
                + &some(by_slot, format!("KERNELS==\"{slot}\", DRIVERS==\"e1000\", "));
            (
                format!("/etc/udev/rules.d/7{turn}.rules"),
                format!("SUBSYSTEM==\"net\", {ties}NAME=\"{name}\"\n"),
            )
        }
        4 | 5 => {
            let (end, name) = match random.below(3) {
                0 => ("link", format!("[Link]\nName={name}\n")),
                1 => ("network", format!("Name={name}\n")),
                _ => ("network", String::new()),
            };
            let ties =
                some(by_mac, format!("MACAddress={mac}\n")) + &some(by_slot, format!("Path=pci-{slot}\n"));
            (format!("/etc/systemd/network/{turn}.{end}"), format!("[Match]\n{ties}{name}"))
        }
        _ => {
            let text = format!(
                "  ethernets:\n    {name}:\n      match:\n        macaddress: {mac}\n      set-name: {name}\n"
            );
            (format!("/etc/netplan/{turn}.yaml"), text)
        }
    }
}

/// `adapt` sees to it that twice is once.
#[test]
fn whatever_is_tied_to_whatever() {
    for seed in 0..3000 {
        let mut random = Random::new(seed);
        let files: Vec<_> = (0..=random.below(5)).map(|turn| some_file(&mut random, turn)).collect();
        let root = files.iter().fold(root(), |root, (path, text)| root.file(path, text.as_str()));
        let cards = random.below(4) as usize;
        let options = nics(&MACS[..random.below(cards as u64 + 1) as usize]);
        let profile = slotted(cards);
        let told = std::panic::catch_unwind(|| adapt(&tree(root, Vec::new()), &profile, &options));
        assert!(told.is_ok(), "seed {seed}: {files:#?}\n{:?}\n{options:?}", profile.facts);
    }
}
