//! The libvirt domain definition (libvirt.org/formatdomain.html).

use crate::choice::Choice;
use crate::escape::option;
use crate::machine::{Disk, Nic, Plan, SECTOR, nic_slots};
use crate::place::{self, Place};
use crate::script::DISCARD;
use wherry_sdk::platform::xml;

/// The XML of `plan`, its disks in `directory`.
pub fn definition(plan: &Plan, directory: &str) -> String {
    let mut lines = vec![
        format!("<domain type='kvm'{}>", if nvme(plan) { QEMU_NAMESPACE } else { "" }),
        format!("  <name>{}</name>", xml(&plan.name)),
        format!("  <memory unit='MiB'>{}</memory>", plan.memory_mib),
        format!("  <vcpu>{}</vcpu>", plan.cpus),
    ];
    lines.extend(operating_system(plan));
    lines.extend(features(plan));
    lines.push("  <devices>".into());
    lines.extend(controllers(plan));
    if !nvme(plan) {
        let disks = plan.disks.iter().enumerate();
        lines.extend(disks.flat_map(|(number, disk)| disk_lines(plan, directory, number, disk)));
    }
    let nics = plan.nics.iter().zip(nic_slots(plan.nics.len()));
    lines.extend(nics.flat_map(|(nic, slot)| nic_lines(plan, nic, slot)));
    let random = if plan.choice.windows.is_none() { RANDOM } else { &[] };
    lines.extend(DEVICES.iter().chain(random).map(|line| (*line).to_owned()));
    lines.push("  </devices>".into());
    if nvme(plan) {
        lines.extend(nvme_lines(plan, directory));
    }
    lines.push("</domain>\n".into());
    lines.join("\n")
}

const QEMU_NAMESPACE: &str = " xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'";

/// The disks' controllers, each in its place.
fn controllers(plan: &Plan) -> Vec<String> {
    let Choice { disk_bus, machine, .. } = &plan.choice;
    let words = match disk_bus.as_str() {
        "virtio-scsi" => "type='scsi' model='virtio-scsi'",
        "ahci" => "type='sata'",
        _ => "type='ide'",
    };
    let lines = |place: &Place| {
        [
            format!("    <controller {words} index='{}'>", place.controller),
            format!("      {}", place.pci()),
            "    </controller>".into(),
        ]
    };
    place::controllers(disk_bus, machine, plan.disks.len()).iter().flat_map(lines).collect()
}

/// Windows keeps local time in the machine's clock, and from Vista on knows Hyper-V's ways of being a guest, which KVM has.
/// What is older than XP cannot count the features of today's processors.
fn features(plan: &Plan) -> Vec<String> {
    let (windows, knows_hyperv) = (plan.choice.windows, plan.choice.windows >= Some((6, 0)));
    let mut lines = vec!["  <features>", "    <acpi/>", "    <apic/>"];
    if knows_hyperv {
        lines.extend(HYPERV);
    }
    lines.push("  </features>");
    if plan.choice.old_processor().is_some() {
        lines.extend([
            "  <cpu mode='custom' match='minimum'>",
            "    <model fallback='allow'>pentium3</model>",
            "  </cpu>",
        ]);
    } else {
        lines.push("  <cpu mode='host-passthrough'/>");
    }
    lines.push(if windows.is_some() { "  <clock offset='localtime'>" } else { "  <clock offset='utc'>" });
    lines.extend([
        "    <timer name='rtc' tickpolicy='catchup'/>",
        "    <timer name='pit' tickpolicy='delay'/>",
    ]);
    if knows_hyperv {
        lines.push("    <timer name='hypervclock' present='yes'/>");
    }
    lines.push("  </clock>");
    lines.into_iter().map(str::to_owned).collect()
}

const HYPERV: &[&str] = &[
    "    <hyperv mode='custom'>",
    "      <relaxed state='on'/>",
    "      <vapic state='on'/>",
    "      <spinlocks state='on' retries='8191'/>",
    "    </hyperv>",
];

const DEVICES: &[&str] = &[
    "    <serial type='pty'>",
    "      <target port='0'/>",
    "    </serial>",
    "    <console type='pty'>",
    "      <target type='serial' port='0'/>",
    "    </console>",
    "    <graphics type='vnc' autoport='yes'/>",
    "    <video>",
    "      <model type='vga'/>",
    "    </video>",
];

/// Only for guests that have a driver for it.
const RANDOM: &[&str] =
    &["    <rng model='virtio'>", "      <backend model='random'>/dev/urandom</backend>", "    </rng>"];

fn nvme(plan: &Plan) -> bool {
    plan.choice.disk_bus == "nvme"
}

fn operating_system(plan: &Plan) -> Vec<String> {
    let machine = if plan.choice.machine == "i440fx" { "pc" } else { "q35" };
    let kind = format!("    <type arch='x86_64' machine='{machine}'>hvm</type>");
    if !plan.choice.uefi() {
        return vec!["  <os>".into(), kind, "  </os>".into()];
    }
    let secure_boot_off = "      <feature enabled='no' name='secure-boot'/>";
    let firmware = ["    <firmware>", secure_boot_off, "    </firmware>", "  </os>"];
    let mut lines = vec!["  <os firmware='efi'>".into(), kind];
    lines.extend(firmware.map(String::from));
    lines
}

fn disk_lines(plan: &Plan, directory: &str, number: usize, disk: &Disk) -> Vec<String> {
    let (prefix, bus) = match plan.choice.disk_bus.as_str() {
        "virtio-scsi" => ("sd", "scsi"),
        "ahci" => ("sd", "sata"),
        "ide" => ("hd", "ide"),
        _ => ("vd", "virtio"),
    };
    let mut lines = vec![
        "    <disk type='file' device='disk'>".into(),
        format!(
            "      <driver name='qemu' type='{}' discard='unmap' detect_zeroes='unmap'/>",
            plan.choice.format
        ),
        format!("      <source file='{}'/>", xml(&format!("{directory}/{}", disk.file))),
        format!("      <target dev='{prefix}{}' bus='{bus}'/>", letters(number)),
    ];
    if disk.sector != SECTOR {
        let size = disk.sector;
        lines.push(format!("      <blockio logical_block_size='{size}' physical_block_size='{size}'/>"));
    }
    lines.extend(disk.boot.map(|turn| format!("      <boot order='{turn}'/>")));
    let Choice { disk_bus, machine, .. } = &plan.choice;
    lines.push(format!("      {}", Place::of(disk_bus, machine, number).address(disk_bus)));
    lines.push("    </disk>".into());
    lines
}

/// 0 is `a`, 25 `z`, 26 `aa`.
fn letters(number: usize) -> String {
    let mut letters = Vec::new();
    let mut rest = number;
    loop {
        letters.push(char::from(b'a' + (rest % 26) as u8));
        if rest < 26 {
            return letters.iter().rev().collect();
        }
        rest = rest / 26 - 1;
    }
}

fn nic_lines(plan: &Plan, nic: &Nic, slot: usize) -> Vec<String> {
    let model = match plan.choice.nic_model.as_str() {
        "virtio-net" => "virtio",
        other => other,
    };
    let mut lines = vec!["    <interface type='network'>".into()];
    lines.extend(nic.mac.as_ref().map(|mac| format!("      <mac address='{mac}'/>")));
    let network = nic.network.as_deref().unwrap_or("default");
    lines.push(format!("      <source network='{}'/>", xml(network)));
    lines.push(format!("      <model type='{model}'/>"));
    let address = format!("domain='0x0000' bus='0x00' slot='{slot:#04x}' function='0x0'");
    lines.push(format!("      <address type='pci' {address}/>"));
    lines.push("    </interface>".into());
    lines
}

/// libvirt 9.0 has no NVMe drive backed by a file, so its arguments are handed through to QEMU.
fn nvme_lines(plan: &Plan, directory: &str) -> Vec<String> {
    let mut arguments = Vec::new();
    for (number, disk) in plan.disks.iter().enumerate() {
        let path = option(&format!("{directory}/{}", disk.file));
        let format = &plan.choice.format;
        let boot = disk.boot.map(|turn| format!(",bootindex={turn}")).unwrap_or_default();
        arguments.push("-drive".to_owned());
        arguments.push(format!("if=none,id=wherry{number},format={format},{DISCARD},file={path}"));
        arguments.push("-device".to_owned());
        let slot = Place::of("nvme", &plan.choice.machine, number).slot;
        arguments.push(format!(
            "nvme,drive=wherry{number},serial=wherry-{number},addr={slot:#x}{}{boot}",
            disk.sectors()
        ));
    }
    let argument = |text: &String| format!("    <qemu:arg value='{}'/>", xml(text));
    let mut lines = vec!["  <qemu:commandline>".to_owned()];
    lines.extend(arguments.iter().map(argument));
    lines.push("  </qemu:commandline>".into());
    lines
}
