//! What VMware (`vmw:`) and VirtualBox (`vbox:Machine`) add: firmware, card addresses, and their names for cards.
//! Attributes as ovftool and `VBoxManage export` write them.

use crate::xml::{attribute, child, children, elements, name};
use roxmltree::Node;

/// VMware's namespace.
pub const VMWARE: &str = "http://www.vmware.com/schema/ovf";
/// VirtualBox's namespace.
pub const VIRTUALBOX: &str = "http://www.virtualbox.org/ovf/machine";

/// `bios` or `uefi`, where one is named.
pub fn firmware(system: Node<'_, '_>, hardware: Option<Node<'_, '_>>) -> Option<&'static str> {
    let vmware = hardware.and_then(|hardware| config(hardware, "firmware"));
    let settings = machine(system).and_then(|machine| child(machine, "Hardware"));
    // Before VirtualBox 4.1 it was within BIOS.
    let element =
        settings.and_then(|one| child(one, "Firmware").or_else(|| child(child(one, "BIOS")?, "Firmware")));
    let said = vmware.or_else(|| element.and_then(|one| attribute(one, "type")))?;
    let said = said.to_ascii_lowercase();
    if said.starts_with("efi") { Some("uefi") } else { (said == "bios").then_some("bios") }
}

/// Whether the machine starts signed boot loaders alone.
pub fn secure_boot(hardware: Option<Node<'_, '_>>) -> bool {
    let keys = ["bootOptions.efiSecureBootEnabled", "uefi.secureBoot.enabled"];
    let on = |key| hardware.and_then(|hardware| config(hardware, key)).is_some_and(|said| said == "true");
    keys.into_iter().any(on)
}

/// `<vmw:Config vmw:key="..." vmw:value="..."/>`.
fn config<'a>(hardware: Node<'a, '_>, key: &str) -> Option<&'a str> {
    let mut all = children(hardware, "Config").filter(|one| one.tag_name().namespace() == Some(VMWARE));
    attribute(all.find(|one| attribute(*one, "key") == Some(key))?, "value")
}

/// VirtualBox's own description of the machine.
pub fn machine<'a, 'b>(system: Node<'a, 'b>) -> Option<Node<'a, 'b>> {
    children(system, "Machine").find(|one| one.tag_name().namespace() == Some(VIRTUALBOX))
}

/// Cards by VirtualBox's description, which alone has their addresses.
pub fn cards(system: Node<'_, '_>) -> Vec<(Option<String>, Option<String>)> {
    let network = machine(system).and_then(|machine| child(child(machine, "Hardware")?, "Network"));
    let adapters = network.into_iter().flat_map(elements).filter(|node| name(*node) == "Adapter");
    let enabled = adapters.filter(|one| attribute(*one, "enabled") == Some("true"));
    let card = |one: Node<'_, '_>| {
        (attribute(one, "MACAddress").and_then(mac), attribute(one, "type").map(nic_model))
    };
    enabled.map(card).collect()
}

/// A card's address as `08:00:27:dd:e1:85`, from any of the usual spellings.
pub fn mac(text: &str) -> Option<String> {
    let digits: String =
        text.chars().filter(|c| !":-.".contains(*c)).collect::<String>().to_ascii_lowercase();
    if digits.len() != 12 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let pairs: Vec<&str> = (0..6).filter_map(|n| digits.get(n * 2..n * 2 + 2)).collect();
    Some(pairs.join(":"))
}

/// By the register of device names in `wit/types.wit`; others as they are.
pub fn nic_model(subtype: &str) -> String {
    let word = subtype.to_ascii_lowercase();
    match word.as_str() {
        "e1000" | "82540em" | "82543gc" | "82545em" => "e1000".into(),
        "e1000e" => "e1000e".into(),
        "vmxnet3" => "vmxnet3".into(),
        "virtio" | "virtio-net" => "virtio-net".into(),
        _ => word,
    }
}
