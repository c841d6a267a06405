//! The descriptor. Elements are in the order of DSP8023; text is escaped on its way in.

use crate::choice::Flavour;
use crate::hardware;
use crate::kept;
use crate::machine::{Plan, Stored};
use crate::system;
use std::collections::BTreeSet;
use wherry_sdk::find;
use wherry_sdk::platform::xml;
use wherry_sdk::target::Machine;

const CIM: &str = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2";
const VMDK: &str = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized";

/// The whole text.
pub fn write(plan: &Plan, stored: &[Stored], machine: &Machine) -> String {
    let mut lines = vec!["<?xml version=\"1.0\" encoding=\"UTF-8\"?>".to_owned(), envelope(plan)];
    lines.extend(references(plan, stored));
    lines.extend(networks(plan));
    lines.extend(kept::sections(machine, "source.kept-package.", plan.choice.version));
    lines.push(format!("  <VirtualSystem ovf:id=\"{}\">", xml(&plan.name)));
    lines.push("    <Info>A virtual machine</Info>".into());
    lines.push(format!("    <Name>{}</Name>", xml(&plan.name)));
    lines.extend(system::section(plan, machine));
    lines.extend(hardware::section(plan));
    lines.extend(kept::sections(machine, "source.kept.", plan.choice.version));
    lines.extend(["  </VirtualSystem>".into(), "</Envelope>".into(), String::new()]);
    lines.join("\n")
}

fn envelope(plan: &Plan) -> String {
    let own = format!("http://schemas.dmtf.org/ovf/envelope/{}", plan.choice.version);
    let mut spaces = vec![
        ("xmlns", own.clone()),
        ("xmlns:ovf", own),
        ("xmlns:rasd", format!("{CIM}/CIM_ResourceAllocationSettingData")),
        ("xmlns:vssd", format!("{CIM}/CIM_VirtualSystemSettingData")),
    ];
    if plan.choice.version == 2 {
        spaces.push(("xmlns:sasd", format!("{CIM}/CIM_StorageAllocationSettingData.xsd")));
        spaces.push(("xmlns:epasd", format!("{CIM}/CIM_EthernetPortAllocationSettingData.xsd")));
    }
    match plan.choice.flavour {
        Flavour::VMware => spaces.push(("xmlns:vmw", "http://www.vmware.com/schema/ovf".into())),
        Flavour::VirtualBox => spaces.push(("xmlns:vbox", "http://www.virtualbox.org/ovf/machine".into())),
        Flavour::Dmtf => {}
    }
    let spaces: Vec<String> = spaces.iter().map(|(name, uri)| format!("{name}=\"{uri}\"")).collect();
    // VirtualBox takes an envelope without it for version 1, and one of 2 by it alone.
    format!("<Envelope ovf:version=\"{}.0\" xml:lang=\"en-US\" {}>", plan.choice.version, spaces.join(" "))
}

fn references(plan: &Plan, stored: &[Stored]) -> Vec<String> {
    let mut lines = vec!["  <References>".to_owned()];
    for (place, (disk, stored)) in plan.disks.iter().zip(stored).enumerate() {
        let (id, href, size) = (place + 1, xml(&disk.file), stored.size);
        lines.push(format!("    <File ovf:href=\"{href}\" ovf:id=\"file{id}\" ovf:size=\"{size}\"/>"));
    }
    lines.extend(["  </References>".into(), "  <DiskSection>".into()]);
    lines.push("    <Info>Virtual disks of the machine</Info>".into());
    for (place, disk) in plan.disks.iter().enumerate() {
        let (id, capacity) = (place + 1, disk.capacity);
        lines.push(format!(
            "    <Disk ovf:capacity=\"{capacity}\" ovf:capacityAllocationUnits=\"byte\" ovf:diskId=\"vmdisk{id}\" \
             ovf:fileRef=\"file{id}\" ovf:format=\"{VMDK}\"/>"
        ));
    }
    lines.push("  </DiskSection>".into());
    lines
}

fn networks(plan: &Plan) -> Vec<String> {
    let names: BTreeSet<&str> = plan.cards.iter().map(|card| card.network.as_str()).collect();
    if names.is_empty() {
        return Vec::new();
    }
    let mut lines =
        vec!["  <NetworkSection>".to_owned(), "    <Info>Networks of the machine's cards</Info>".into()];
    for name in names {
        lines.push(format!("    <Network ovf:name=\"{}\">", xml(name)));
        lines.push(format!("      <Description>The network {}</Description>", xml(name)));
        lines.push("    </Network>".into());
    }
    lines.push("  </NetworkSection>".into());
    lines
}

/// A fact of the source's definition.
pub fn had<'a>(machine: &'a Machine, key: &str) -> Option<&'a str> {
    find(&machine.facts, &format!("source.{key}"))
}
