//! The virtual hardware: `Item`, `StorageItem` and `EthernetPortItem`. DSP0243 2.1, section 8; resource types are those of
//! CIM_ResourceAllocationSettingData.

use crate::units;
use crate::vendor;
use crate::xml::{attribute, children, elements, name, value};
use roxmltree::Node;
use wherry_sdk::definition::Nic;
use wherry_sdk::{Concern, Severity, concern};

const PROCESSOR: u32 = 3;
const MEMORY: u32 = 4;
const IDE: u32 = 5;
const SCSI: u32 = 6;
const ETHERNET: u32 = 10;
const FLOPPY: u32 = 14;
const CD: u32 = 15;
const DVD: u32 = 16;
const DISK: u32 = 17;
const STORAGE: u32 = 20;
const USB: u32 = 23;
const GRAPHICS: u32 = 24;
const MIB: u64 = 1 << 20;

/// One device.
pub struct Item {
    instance: Option<String>,
    kind: u32,
    subtype: Option<String>,
    parent: Option<String>,
    /// A controller's or a card's own.
    address: Option<String>,
    on_parent: Option<u64>,
    quantity: Option<String>,
    units: Option<String>,
    connection: Option<String>,
    resources: Vec<String>,
    label: String,
}

impl Item {
    fn parse(node: Node<'_, '_>) -> Self {
        let kind = value(node, "ResourceType").and_then(|kind| kind.parse().ok()).unwrap_or(0);
        let label = value(node, "ElementName").or_else(|| value(node, "Caption"));
        Self {
            instance: value(node, "InstanceID"),
            kind,
            subtype: value(node, "ResourceSubType"),
            parent: value(node, "Parent"),
            address: value(node, "Address"),
            on_parent: value(node, "AddressOnParent").and_then(|address| address.parse().ok()),
            quantity: value(node, "VirtualQuantity"),
            units: value(node, "AllocationUnits"),
            connection: value(node, "Connection"),
            resources: children(node, "HostResource").filter_map(crate::xml::text).collect(),
            label: label.unwrap_or_else(|| format!("a device of type {kind}")),
        }
    }
}

/// A disk drive, by the id of its disk.
pub struct Drive {
    pub disk: String,
    pub bus: Option<&'static str>,
    pub controller: Option<String>,
    pub address: String,
}

/// The devices of one machine.
pub struct Hardware(Vec<Item>);

impl Hardware {
    /// The items of a section that apply to this configuration (DSP0243, section 9.8: `DeploymentOptionSection`).
    pub fn parse(section: Node<'_, '_>, configuration: Option<&str>) -> Self {
        let mut items: Vec<Item> = Vec::new();
        let all = elements(section)
            .filter(|node| ["Item", "StorageItem", "EthernetPortItem"].contains(&name(*node)))
            .filter(|node| attribute(*node, "bound").is_none_or(|bound| bound == "normal"));
        for node in all {
            let said = attribute(node, "configuration");
            let applies = |said: &str| said.split_whitespace().any(|one| Some(one) == configuration);
            if said.is_some_and(|said| !applies(said)) {
                continue;
            }
            let item = Item::parse(node);
            // One that is for this configuration alone replaces the general one.
            let same = |other: &Item| item.instance.is_some() && other.instance == item.instance;
            if said.is_some() {
                items.retain(|other| !same(other));
            }
            items.push(item);
        }
        Self(items)
    }

    fn of(&self, kind: u32) -> impl Iterator<Item = &Item> {
        self.0.iter().filter(move |item| item.kind == kind)
    }

    /// Virtual processors.
    pub fn cpus(&self) -> Option<u32> {
        let amounts = self.of(PROCESSOR).filter_map(|item| item.quantity.as_ref()?.parse::<u32>().ok());
        amounts.reduce(u32::saturating_add).filter(|cpus| *cpus > 0)
    }

    /// Memory in MiB. Writers that leave out the unit mean MiB.
    pub fn memory_mib(&self) -> Option<u64> {
        let bytes = |item: &Item| units::bytes(item.quantity.as_ref()?, item.units.as_deref(), MIB);
        let bytes = self.of(MEMORY).filter_map(bytes).reduce(u64::saturating_add)?;
        Some(bytes.div_ceil(MIB)).filter(|mib| *mib > 0)
    }

    /// Cards in order.
    pub fn nics(&self) -> Vec<Nic> {
        let nic = |item: &Item| Nic {
            mac: item.address.as_deref().and_then(vendor::mac),
            network: item.connection.clone(),
            model: item.subtype.as_deref().map(vendor::nic_model),
        };
        self.of(ETHERNET).map(nic).collect()
    }

    /// Disk drives in the order of their controllers and their places there.
    pub fn drives(&self) -> Vec<Drive> {
        let position = |item: &Item| {
            let parent = item.parent.as_ref()?;
            self.0.iter().position(|other| other.instance.as_ref() == Some(parent))
        };
        let mut list: Vec<(usize, u64, Drive)> = Vec::new();
        for item in self.of(DISK) {
            let Some(disk) = item.resources.iter().find_map(|resource| disk_id(resource)) else { continue };
            let parent = position(item);
            let controller = parent.and_then(|parent| self.0.get(parent));
            let number = controller.and_then(|one| one.address.as_deref()).unwrap_or("0");
            let address = format!("{number}:{}", item.on_parent.unwrap_or(0));
            let drive = Drive {
                disk: disk.to_owned(),
                bus: controller.and_then(bus),
                controller: controller.and_then(|one| one.subtype.clone()),
                address,
            };
            list.push((parent.unwrap_or(usize::MAX), item.on_parent.unwrap_or(u64::MAX), drive));
        }
        list.sort_by_key(|(parent, place, _)| (*parent, *place));
        list.into_iter().map(|(.., drive)| drive).collect()
    }

    /// What the new machine will not have.
    pub fn left_out(&self) -> Option<Concern> {
        let known = [PROCESSOR, MEMORY, IDE, SCSI, ETHERNET, DISK, STORAGE, USB, GRAPHICS, FLOPPY, CD, DVD];
        let odd = |item: &&Item| !known.contains(&item.kind);
        let media = |item: &&Item| {
            [FLOPPY, CD, DVD].contains(&item.kind) && item.resources.iter().any(|one| !one.is_empty())
        };
        let labels = self.0.iter().filter(|item| odd(item) || media(item)).map(|item| item.label.as_str());
        let labels: Vec<&str> = labels.take(20).collect();
        (!labels.is_empty()).then(|| {
            let message = format!("devices that the new machine will not have: {}", labels.join(", "));
            concern(Severity::Information, "ovf.device-left-out", message, None)
        })
    }
}

/// `ovf:/disk/ID`, or `/disk/ID` as older writers have it.
fn disk_id(resource: &str) -> Option<&str> {
    let path = resource.strip_prefix("ovf:").unwrap_or(resource);
    path.trim_start_matches('/').strip_prefix("disk/").filter(|id| !id.is_empty())
}

/// By the register of device names in `wit/types.wit`.
fn bus(controller: &Item) -> Option<&'static str> {
    let subtype = controller.subtype.as_deref().unwrap_or_default().to_ascii_lowercase();
    match (controller.kind, subtype.as_str()) {
        (IDE, _) => Some("ide"),
        (_, "virtualscsi") => Some("pvscsi"),
        (_, "virtioscsi" | "virtio-scsi") => Some("virtio-scsi"),
        (_, "vmware.nvme.controller" | "nvme") => Some("nvme"),
        (_, "ahci" | "vmware.sata.ahci") => Some("ahci"),
        (SCSI, "" | "lsilogic" | "lsilogicsas") => Some("lsi-scsi"),
        _ => None,
    }
}
