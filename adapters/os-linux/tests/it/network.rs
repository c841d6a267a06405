//! Interfaces keep their names, by what the options say of the new cards.

use crate::system::*;
use wherry_sdk::testing::{MemoryTree, MemoryVolume};
use wherry_sdk::{DeviceProfile, Fact};

pub const RULES: &str = "/etc/udev/rules.d/70-wherry-net.rules";
pub const PERSISTENT: &str = "/etc/udev/rules.d/70-persistent-net.rules";
pub const HEAD: &str =
    "+ # Written by Wherry: keeps the names that this system's network configuration uses.";

/// A guest in which only the network can need anything.
pub fn root() -> MemoryVolume {
    let menu = format!("menuentry 'a' {{\n\tlinux /boot/vmlinuz-{BUILT_IN} root=UUID=1111-root ro\n}}\n");
    built_in(MemoryVolume::new("mbr:1", ROOT))
        .file("/etc/os-release", "ID=debian\n")
        .file("/usr/lib/systemd/systemd", "")
        .file("/usr/lib/udev/rules.d/80-net-setup-link.rules", "")
        .directory("/etc/udev/rules.d")
        .file("/etc/fstab", "UUID=1111-root / ext4 defaults 0 1\n")
        .directory("/boot/grub/i386-pc")
        .file("/boot/grub/grub.cfg", menu)
        .file(&format!("/boot/vmlinuz-{BUILT_IN}"), vmlinuz(BUILT_IN))
}

fn interfaces(names: &[&str]) -> String {
    names.iter().map(|name| format!("iface {name} inet dhcp\n")).collect()
}

pub fn guest(names: &[&str]) -> MemoryVolume {
    root().file("/etc/network/interfaces", interfaces(names))
}

pub fn rule(mac: &str, name: &str) -> String {
    format!(
        "SUBSYSTEM==\"net\", ACTION==\"add\", DRIVERS==\"?*\", ATTR{{address}}==\"{mac}\", NAME=\"{name}\"\n"
    )
}

fn check(root: &MemoryVolume, options: &[Fact], expected: &[&str], concerned: &[&str]) {
    check_on(&virtio(), root, options, expected, concerned);
}

pub fn check_on(
    profile: &DeviceProfile,
    root: &MemoryVolume,
    options: &[Fact],
    expected: &[&str],
    concerned: &[&str],
) {
    let tree: MemoryTree = tree(root.clone(), Vec::new());
    let (adaptation, edits) = adapt(&tree, profile, options);
    same(&shown(&edits), expected);
    same(&concerns(&adaptation), concerned);
}

#[test]
fn a_single_card() {
    let write = format!("write {RULES}");
    let by_driver = "+ SUBSYSTEM==\"net\", ACTION==\"add\", DRIVERS==\"virtio_net\", NAME=\"ens192\"";
    let by_mac = "+ SUBSYSTEM==\"net\", ACTION==\"add\", DRIVERS==\"?*\", ATTR{address}==\"52:54:00:ab:00:01\", NAME=\"ens192\"";
    check(&guest(&["lo", "ens192"]), &[], &[&write, HEAD, by_driver], &[]);
    check(&guest(&["lo", "ens192"]), &nics(&["52:54:00:AB:00:01"]), &[&write, HEAD, by_mac], &[]);
    // not an address
    check(&guest(&["ens192"]), &nics(&["\"; rm -rf /"]), &[&write, HEAD, by_driver], &[]);
}

#[test]
fn several_cards_in_the_order_that_people_count() {
    let root = guest(&["ens224", "ens192", "br0", "vlan7"]);
    let line = |mac: &str, name: &str| format!("+ {}", rule(mac, name).trim());
    check(
        &root,
        &nics(&["52:54:00:00:00:01", "52:54:00:00:00:02"]),
        &[
            &format!("write {RULES}"),
            HEAD,
            &line("52:54:00:00:00:01", "ens192"),
            &line("52:54:00:00:00:02", "ens224"),
        ],
        &[],
    );
    let unknown = "warning linux.network.interface-name";
    check(&root, &[], &[], &[unknown, unknown]);
}

#[test]
fn the_kernels_own_names() {
    let write = format!("write {RULES}");
    let by_driver = "+ SUBSYSTEM==\"net\", ACTION==\"add\", DRIVERS==\"virtio_net\", NAME=\"eth0\"";
    // a card in a PCI slot would be renamed, one of a hypervisor's own bus would not
    check(&guest(&["eth0"]), &[], &[&write, HEAD, by_driver], &[]);
    let off = guest(&["eth0"]).symlink("/etc/systemd/network/99-default.link", "/dev/null");
    check(&off, &[], &[], &[]);
    let menu = format!("menuentry 'a' {{\n\tlinux /boot/vmlinuz-{BUILT_IN} net.ifnames=0\n}}\n");
    check(&guest(&["eth0"]).file("/boot/grub/grub.cfg", menu), &[], &[], &[]);
    let old = guest(&["eth0", "eth1"]).file("/usr/lib/udev/rules.d/80-net-setup-link.rules", "");
    let unknown = "warning linux.network.interface-name";
    check(&old, &[], &[], &[unknown, unknown]);
}

#[test]
fn a_persistent_rule() {
    let (old, new) = ("00:1b:21:3a:4c:5d", "52:54:00:00:00:01");
    let root = guest(&["eth0"]).file(PERSISTENT, rule(old, "eth0"));
    let write = format!("write {PERSISTENT}");
    let [gone, come] =
        [("-", old), ("+", new)].map(|(sign, mac)| format!("{sign} {}", rule(mac, "eth0").trim()));
    // the address is carried over: the rule stays
    check(&root, &nics(&["00:1B:21:3A:4C:5D"]), &[], &[]);
    check(&root, &nics(&[new]), &[&write, &gone, &come], &[]);
    let by_driver = come.replace(&format!("ATTR{{address}}==\"{new}\""), "DRIVERS==\"virtio_net\"");
    check(&root, &[], &[&write, &gone, &by_driver], &[]);
}

#[test]
fn stale_and_several_persistent_rules() {
    let [a, b, c] = ["00:00:00:00:00:0a", "00:00:00:00:00:0b", "00:00:00:00:00:0c"];
    let both = format!("{}{}", rule(a, "eth0"), rule(b, "eth1"));
    let write = format!("write {PERSISTENT}");
    let line = |sign: &str, mac: &str, name: &str| format!("{sign} {}", rule(mac, name).trim());
    // eth0 is no longer configured: the card is eth1
    let root = guest(&["eth1"]).file(PERSISTENT, &both);
    check(&root, &nics(&[c]), &[&write, &line("-", b, "eth1"), &line("+", c, "eth1")], &[]);
    // nothing is known: the kernel's order, from a file that names nothing
    let root = guest(&["eth0", "eth1"]).file(PERSISTENT, &both);
    let unknown = "warning linux.network.interface-name";
    let removed = [format!("remove {PERSISTENT}"), line("-", a, "eth0"), line("-", b, "eth1")];
    check(&root, &[], &removed.each_ref().map(String::as_str), &[unknown, unknown]);
}

#[test]
fn a_rule_by_slot() {
    let text = "SUBSYSTEM==\"net\", KERNELS==\"0000:02:00.0\", NAME=\"lan0\"\n";
    let root = guest(&["lan0"]).file(PERSISTENT, text);
    let write = format!("write {PERSISTENT}");
    let gone = format!("- {}", text.trim());
    let by_mac = "+ SUBSYSTEM==\"net\", ATTR{address}==\"52:54:00:00:00:01\", NAME=\"lan0\"";
    check(&root, &nics(&["52:54:00:00:00:01"]), &[&write, &gone, by_mac], &[]);
    let by_driver = "+ SUBSYSTEM==\"net\", DRIVERS==\"virtio_net\", NAME=\"lan0\"";
    check(&root, &[], &[&write, &gone, by_driver], &[]);
}

#[test]
fn a_link_file() {
    let path = "/etc/systemd/network/10-lan.link";
    let text = "[Match]\nMACAddress=00:00:00:00:00:01\nPath=pci-0000:02:00.0\n\n[Link]\nName=lan0\n";
    let root = guest(&["lan0"]).file(path, text);
    let write = format!("write {path}");
    let (mac, slot) = ("- MACAddress=00:00:00:00:00:01", "- Path=pci-0000:02:00.0");
    check(&root, &nics(&["52:54:00:00:00:01"]), &[&write, mac, slot, "+ MACAddress=52:54:00:00:00:01"], &[]);
    check(&root, &[], &[&write, mac, slot, "+ Driver=virtio_net"], &[]);
    check(&root, &nics(&["00:00:00:00:00:01"]), &[&write, slot], &[]);
}

#[test]
fn from_one_hypervisor_to_the_next() {
    let text = "SUBSYSTEM==\"net\", ACTION==\"add\", DRIVERS==\"virtio_net\", NAME=\"lan0\"\n";
    let root = guest(&["lan0"]).file(PERSISTENT, text);
    let profile = DeviceProfile { nic_model: "vmxnet3".into(), ..virtio() };
    let expected = [
        format!("write {PERSISTENT}"),
        format!("- {}", text.trim()),
        format!("+ {}", text.trim().replace("virtio_net", "vmxnet3")),
    ];
    let missing = ["warning linux.network.module-missing"];
    check_on(&profile, &root, &[], &expected.each_ref().map(String::as_str), &missing);
}

#[test]
fn without_udev() {
    let root = guest(&["enp3s0"]);
    let tree = tree(root, Vec::new());
    wherry_sdk::Tree::mount(&tree, "mbr:1", "/").expect("mounts");
    wherry_sdk::Tree::remove(&tree, "/etc/udev/rules.d", "the test").expect("removes");
    wherry_sdk::Tree::remove(&tree, "/etc/udev", "the test").expect("removes");
    wherry_sdk::Tree::remove(&tree, "/usr/lib/udev/rules.d/80-net-setup-link.rules", "the test")
        .expect("removes");
    wherry_sdk::Tree::remove(&tree, "/usr/lib/udev/rules.d", "the test").expect("removes");
    wherry_sdk::Tree::remove(&tree, "/usr/lib/udev", "the test").expect("removes");
    tree.forget();
    let (adaptation, edits) = adapt(&tree, &virtio(), &[]);
    assert!(edits.is_empty());
    same(&concerns(&adaptation), &["warning linux.network.interface-name"]);
}
