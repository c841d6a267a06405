//! The machine as the vSphere API takes it (VirtualMachineConfigSpec). The order of elements is the schema's.

use crate::machine::{Card, Disk, Plan, is_own};
use crate::vim::inventory::{Network, Place};
use crate::vim::machines::{KEY, identifier, setting};
use wherry_sdk::platform::xml;
use wherry_sdk::{Error, ErrorKind, Result};

/// Numbers of devices that do not exist yet are negative.
const CONTROLLER_KEY: i64 = -100;
const DISK_KEY: i64 = -1000;
const CARD_KEY: i64 = -5000;
/// Every machine has two IDE controllers, with these numbers.
const IDE_KEY: i64 = 200;

/// What a controller's type is in the API.
fn controller(disk_bus: &str) -> &'static str {
    match disk_bus {
        "ahci" => "VirtualAHCIController",
        "nvme" => "VirtualNVMEController",
        "buslogic" => "VirtualBusLogicController",
        "lsi-scsi" => "VirtualLsiLogicController",
        "lsi-sas" => "VirtualLsiLogicSASController",
        _ => "ParaVirtualSCSIController",
    }
}

fn card(nic_model: &str) -> &'static str {
    match nic_model {
        "pcnet" => "VirtualPCNet32",
        "e1000" => "VirtualE1000",
        "e1000e" => "VirtualE1000e",
        _ => "VirtualVmxnet3",
    }
}

/// The argument `spec` of ImportVApp.
pub fn import(plan: &Plan, place: &Place, key: &str) -> Result<String> {
    let mut devices = controllers(plan);
    devices.extend(plan.disks.iter().enumerate().map(|(turn, one)| disk(plan, place, turn, one)));
    for (number, one) in plan.cards.iter().enumerate() {
        devices.push(card_device(plan, place, number, one)?);
    }
    let devices: String =
        devices.iter().map(|device| format!("<deviceChange>{device}</deviceChange>")).collect();
    let choice = &plan.choice;
    let boot = match choice.firmware.as_str() {
        "uefi-secure-boot" => {
            "<bootOptions><efiSecureBootEnabled>true</efiSecureBootEnabled></bootOptions>".to_owned()
        }
        _ => String::new(),
    };
    Ok(format!(
        "<spec xsi:type=\"VirtualMachineImportSpec\"><configSpec><name>{}</name><version>vmx-{}</version>\
         <uuid>{}</uuid><guestId>{}</guestId><annotation>{}</annotation>\
         <files><vmPathName>[{}]</vmPathName></files><numCPUs>{}</numCPUs>\
         <numCoresPerSocket>{}</numCoresPerSocket><memoryMB>{}</memoryMB>{devices}{}{boot}\
         <firmware>{}</firmware></configSpec></spec>",
        xml(&plan.name),
        choice.version,
        identifier(key),
        xml(&choice.guest),
        xml(&format!("wherry-key: {key}")),
        xml(&place.datastore),
        plan.cpus,
        choice.cores,
        plan.memory_mib,
        settings(plan, key),
        if choice.firmware == "bios" { "bios" } else { "efi" },
    ))
}

/// The key, and what has no place of its own.
fn settings(plan: &Plan, key: &str) -> String {
    let mut all = vec![setting(KEY, key), setting("disk.EnableUUID", "TRUE")];
    let foreign = |card: &Card| card.mac.as_deref().is_some_and(|mac| !is_own(mac));
    let numbers = plan.cards.iter().enumerate().filter(|(_, card)| foreign(card)).map(|(number, _)| number);
    all.extend(numbers.map(|number| setting(&format!("ethernet{number}.checkMACAddress"), "FALSE")));
    all.iter().map(|one| format!("<extraConfig>{one}</extraConfig>")).collect()
}

fn added(device: &str) -> String {
    format!("<operation>add</operation>{device}")
}

fn controller_key(plan: &Plan, number: usize) -> i64 {
    let number = i64::try_from(number).unwrap_or(0);
    if plan.choice.disk_bus == "ide" { IDE_KEY + number } else { CONTROLLER_KEY - number }
}

fn controllers(plan: &Plan) -> Vec<String> {
    if plan.choice.disk_bus == "ide" {
        return Vec::new();
    }
    let mut numbers: Vec<usize> = plan.disks.iter().map(|disk| disk.controller).collect();
    numbers.dedup();
    let kind = controller(&plan.choice.disk_bus);
    let shared = match plan.choice.disk_bus.as_str() {
        "ahci" | "nvme" => "",
        _ => "<sharedBus>noSharing</sharedBus>",
    };
    let device = |number: usize| {
        let key = controller_key(plan, number);
        added(&format!(
            "<device xsi:type=\"{kind}\"><key>{key}</key><busNumber>{number}</busNumber>{shared}</device>"
        ))
    };
    numbers.into_iter().map(device).collect()
}

fn disk(plan: &Plan, place: &Place, turn: usize, disk: &Disk) -> String {
    let key = DISK_KEY - i64::try_from(turn).unwrap_or(0);
    format!(
        "<operation>add</operation><fileOperation>create</fileOperation>\
         <device xsi:type=\"VirtualDisk\"><key>{key}</key>\
         <backing xsi:type=\"VirtualDiskFlatVer2BackingInfo\"><fileName>[{}]</fileName>\
         <diskMode>persistent</diskMode><thinProvisioned>true</thinProvisioned></backing>\
         <controllerKey>{}</controllerKey><unitNumber>{}</unitNumber><capacityInKB>{}</capacityInKB></device>",
        xml(&place.datastore),
        controller_key(plan, disk.controller),
        disk.unit,
        disk.size.div_ceil(1024),
    )
}

fn card_device(plan: &Plan, place: &Place, number: usize, one: &Card) -> Result<String> {
    let missing = || {
        let message = format!("the cluster has no network `{}`; it has {}", one.network, place.networks());
        Error::new(ErrorKind::InvalidInput, message)
    };
    let backing = match place.network(&one.network).ok_or_else(missing)? {
        Network::Standard(name) => format!(
            "<backing xsi:type=\"VirtualEthernetCardNetworkBackingInfo\"><deviceName>{}</deviceName></backing>",
            xml(name)
        ),
        Network::Distributed(switch, group) => format!(
            "<backing xsi:type=\"VirtualEthernetCardDistributedVirtualPortBackingInfo\"><port>\
             <switchUuid>{}</switchUuid><portgroupKey>{}</portgroupKey></port></backing>",
            xml(switch),
            xml(group)
        ),
    };
    let address = match &one.mac {
        Some(mac) => format!("<addressType>manual</addressType><macAddress>{mac}</macAddress>"),
        None => "<addressType>generated</addressType>".to_owned(),
    };
    let key = CARD_KEY - i64::try_from(number).unwrap_or(0);
    Ok(added(&format!(
        "<device xsi:type=\"{}\"><key>{key}</key>{backing}<connectable><startConnected>true</startConnected>\
         <allowGuestControl>true</allowGuestControl><connected>true</connected></connectable>{address}</device>",
        card(&plan.choice.nic_model)
    )))
}
