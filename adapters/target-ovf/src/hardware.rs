//! The virtual hardware's section. Resource types are those of CIM_ResourceAllocationSettingData, subtypes those that
//! VMware and VirtualBox import.

use crate::choice::Flavour;
use crate::machine::{Card, Plan};
use wherry_sdk::platform::xml;

/// The place on a SCSI bus that is the controller's own.
const CONTROLLER: usize = 7;
const CONTROLLER_ID: usize = 3;

/// Names and texts of one item; written in the order of the alphabet, which is the schema's.
type Fields = Vec<(&'static str, String)>;

pub fn section(plan: &Plan) -> Vec<String> {
    let mut lines = vec![
        "    <VirtualHardwareSection>".to_owned(),
        "      <Info>Virtual hardware of the machine</Info>".into(),
    ];
    lines.extend(family(plan));
    let plain = [processors(plan), memory(plan), controller(plan)];
    lines.extend(plain.into_iter().flat_map(|fields| item("Item", "rasd", fields)));
    let (storage, ethernet) = match plan.choice.version {
        2 => (("StorageItem", "sasd"), ("EthernetPortItem", "epasd")),
        _ => (("Item", "rasd"), ("Item", "rasd")),
    };
    let disks = plan.disks.len();
    lines.extend((0..disks).flat_map(|place| item(storage.0, storage.1, drive(plan, place))));
    let cards = plan.cards.iter().enumerate();
    lines
        .extend(cards.flat_map(|(n, one)| {
            item(ethernet.0, ethernet.1, card(plan, n, CONTROLLER_ID + 1 + disks, one))
        }));
    if plan.choice.flavour == Flavour::VMware && plan.choice.firmware == "uefi" {
        let config = "vmw:key=\"firmware\" vmw:value=\"efi\"";
        lines.push(format!("      <vmw:Config ovf:required=\"false\" {config}/>"));
    }
    lines.push("    </VirtualHardwareSection>".into());
    lines
}

fn family(plan: &Plan) -> Vec<String> {
    let mut fields = vec![
        ("ElementName", "Virtual Hardware Family".to_owned()),
        ("InstanceID", "0".into()),
        ("VirtualSystemIdentifier", plan.name.clone()),
    ];
    fields.extend(plan.choice.flavour.system().map(|kind| ("VirtualSystemType", kind.to_owned())));
    item("System", "vssd", fields)
}

fn item(element: &str, prefix: &str, mut fields: Fields) -> Vec<String> {
    fields.sort_by_key(|(name, _)| *name);
    let mut lines = vec![format!("      <{element}>")];
    let field =
        |(name, text): (&str, String)| format!("        <{prefix}:{name}>{}</{prefix}:{name}>", xml(&text));
    lines.extend(fields.into_iter().map(field));
    lines.push(format!("      </{element}>"));
    lines
}

fn processors(plan: &Plan) -> Fields {
    vec![
        ("AllocationUnits", "hertz * 10^6".into()),
        ("Description", "Number of virtual processors".into()),
        ("ElementName", format!("{} virtual processors", plan.cpus)),
        ("InstanceID", "1".into()),
        ("ResourceType", "3".into()),
        ("VirtualQuantity", plan.cpus.to_string()),
    ]
}

fn memory(plan: &Plan) -> Fields {
    vec![
        ("AllocationUnits", "byte * 2^20".into()),
        ("Description", "Memory".into()),
        ("ElementName", format!("{} MiB of memory", plan.memory_mib)),
        ("InstanceID", "2".into()),
        ("ResourceType", "4".into()),
        ("VirtualQuantity", plan.memory_mib.to_string()),
    ]
}

fn controller(plan: &Plan) -> Fields {
    let vmware = plan.choice.flavour == Flavour::VMware;
    let (kind, subtype) = match plan.choice.disk_bus.as_str() {
        "pvscsi" => ("6", "VirtualSCSI"),
        "lsi-scsi" => ("6", "lsilogic"),
        "virtio-scsi" => ("20", "VirtioSCSI"),
        "nvme" => ("20", "vmware.nvme.controller"),
        _ if vmware => ("20", "vmware.sata.ahci"),
        _ => ("20", "AHCI"),
    };
    vec![
        ("Address", "0".into()),
        ("Description", "Disk controller".into()),
        ("ElementName", "Disk controller 0".into()),
        ("InstanceID", CONTROLLER_ID.to_string()),
        ("ResourceSubType", subtype.into()),
        ("ResourceType", kind.into()),
    ]
}

fn drive(plan: &Plan, place: usize) -> Fields {
    let scsi = plan.choice.disk_bus.ends_with("scsi");
    let address = if scsi && place >= CONTROLLER { place + 1 } else { place };
    vec![
        ("AddressOnParent", address.to_string()),
        ("ElementName", format!("Hard disk {}", place + 1)),
        ("HostResource", format!("ovf:/disk/vmdisk{}", place + 1)),
        ("InstanceID", (CONTROLLER_ID + 1 + place).to_string()),
        ("Parent", CONTROLLER_ID.to_string()),
        ("ResourceType", "17".into()),
    ]
}

fn card(plan: &Plan, number: usize, first: usize, card: &Card) -> Fields {
    let subtype = match plan.choice.nic_model.as_str() {
        "vmxnet3" => "VmxNet3",
        "e1000e" => "E1000e",
        "virtio-net" => "virtio",
        _ => "E1000",
    };
    let mut fields = vec![
        // VMware counts the places of cards from 7 on.
        ("AddressOnParent", (number + 7).to_string()),
        ("AutomaticAllocation", "true".into()),
        ("Connection", card.network.clone()),
        ("Description", format!("{subtype} card on {}", card.network)),
        ("ElementName", format!("Network adapter {}", number + 1)),
        ("InstanceID", (first + number).to_string()),
        ("ResourceSubType", subtype.into()),
        ("ResourceType", "10".into()),
    ];
    fields.extend(card.mac.as_ref().map(|mac| ("Address", mac.clone())));
    fields
}
