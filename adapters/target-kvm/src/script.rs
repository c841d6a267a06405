//! The start script for plain QEMU (`qemu-system-x86_64(1)`).

use crate::choice::Choice;
use crate::escape::{option, shell};
use crate::machine::{Disk, Plan, nic_slots};
use crate::place::{self, Place};

/// OVMF's code and its empty variables, as Debian and Fedora install them.
const OVMF: &[(&str, &str)] = &[
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
];

/// What the guest discards or fills with zeroes gives its room back.
pub const DISCARD: &str = "discard=unmap,detect-zeroes=unmap";

/// A PCI slot that no board, card or disk has.
const RNG_SLOT: usize = 3;

/// A POSIX shell script that starts `plan`, its disks in `directory`.
pub fn start(plan: &Plan, directory: &str) -> String {
    let mut script = format!(
        "#!/bin/sh\n\
         # Starts the machine {} in QEMU. Further arguments are handed on: `-nographic` for the serial console,\n\
         # `-snapshot` to keep the disks as they are. ACCEL=tcg runs it without KVM.\n\
         set -eu\n",
        plan.name
    );
    if plan.choice.uefi() {
        script.push_str(&find_firmware(plan, directory));
    }
    let words = arguments(plan, directory).join(" \\\n  ");
    script.push_str(&format!("exec \"${{QEMU:-qemu-system-x86_64}}\" \\\n  {words} \\\n  \"$@\"\n"));
    script
}

/// Variables are the machine's own: copied once, kept from then on. Code and variables are of one size, 2 or 4 MiB, so
/// that a machine that comes from another host needs the pair whose variables are as long as its own.
fn find_firmware(plan: &Plan, directory: &str) -> String {
    let vars = shell(&format!("{directory}/{}", plan.file("-vars.fd")));
    let pairs: Vec<_> = OVMF.iter().map(|(code, vars)| format!("{code}:{vars}")).collect();
    format!(
        "vars={vars}\n\
         code=\n\
         for pair in {}; do\n\
         \x20 empty=${{pair#*:}}\n\
         \x20 [ -e \"${{pair%%:*}}\" ] && [ -e \"$empty\" ] || continue\n\
         \x20 if ! [ -e \"$vars\" ]; then\n\
         \x20   cp -- \"$empty\" \"$vars.new\"\n\
         \x20   mv -- \"$vars.new\" \"$vars\"\n\
         \x20 fi\n\
         \x20 if [ \"$(wc -c <\"$vars\")\" -eq \"$(wc -c <\"$empty\")\" ]; then\n\
         \x20   code=${{pair%%:*}}\n\
         \x20   break\n\
         \x20 fi\n\
         done\n\
         if [ -z \"$code\" ]; then\n\
         \x20 echo \"no OVMF firmware that fits: install the package ovmf (edk2-ovmf)\" >&2\n\
         \x20 exit 1\n\
         fi\n",
        pairs.join(" ")
    )
}

/// Each element is an option with its value, already quoted.
fn arguments(plan: &Plan, directory: &str) -> Vec<String> {
    let machine = if plan.choice.machine == "i440fx" { "pc" } else { "q35" };
    let mut words = vec![
        format!("-name {}", shell(&plan.name)),
        format!("-machine \"{machine},accel=${{ACCEL:-kvm:tcg}}\""),
        format!("-cpu {}", plan.choice.old_processor().unwrap_or("max")),
        format!("-smp {}", plan.cpus),
        format!("-m {}M", plan.memory_mib),
        // Ticks that the guest missed are made up for, or the clock of an old guest falls behind.
        format!(
            "-rtc base={},driftfix=slew",
            if plan.choice.windows.is_some() { "localtime" } else { "utc" }
        ),
    ];
    if plan.choice.uefi() {
        let vars = shell(&option(&format!("file={directory}/{}", plan.file("-vars.fd"))));
        words.push("-drive if=pflash,unit=0,format=raw,readonly=on,file=\"$code\"".into());
        words.push(format!("-drive if=pflash,unit=1,format=raw,{vars}"));
    }
    words.extend(controllers(plan));
    for (number, disk) in plan.disks.iter().enumerate() {
        let file = shell(&option(&format!("file={directory}/{}", disk.file)));
        let format = &plan.choice.format;
        words.push(format!("-drive if=none,id=disk{number},format={format},{DISCARD},{file}"));
        words.push(format!("-device {}", drive(plan, number, disk)));
    }
    words.extend(network(plan));
    if plan.choice.windows.is_none() {
        words.push(format!("-device virtio-rng-pci,addr={RNG_SLOT:#x}"));
    }
    words
}

fn controllers(plan: &Plan) -> Vec<String> {
    let Choice { disk_bus, machine, .. } = &plan.choice;
    let device = match disk_bus.as_str() {
        "virtio-scsi" => "virtio-scsi-pci,id=scsi",
        "ahci" => "ich9-ahci,id=ahci",
        _ => return Vec::new(),
    };
    let mut places = place::controllers(disk_bus, machine, plan.disks.len());
    places.retain(|place| disk_bus != "ahci" || !place::is_built_in(machine, place.controller));
    places
        .iter()
        .map(|place| format!("-device {device}{},addr={:#x}", place.controller, place.slot))
        .collect()
}

fn drive(plan: &Plan, number: usize, disk: &Disk) -> String {
    let Choice { disk_bus, machine, .. } = &plan.choice;
    let place = Place::of(disk_bus, machine, number);
    let Place { slot, controller, channel, unit, .. } = place;
    let device = match disk_bus.as_str() {
        "virtio-scsi" => format!("scsi-hd,bus=scsi0.0,scsi-id={unit},lun=0,drive=disk{number}"),
        "ahci" if place::is_built_in(machine, controller) => {
            format!("ide-hd,bus=ide.{unit},drive=disk{number}")
        }
        "ahci" => format!("ide-hd,bus=ahci{controller}.{unit},drive=disk{number}"),
        "ide" => format!("ide-hd,bus=ide.{channel},unit={unit},drive=disk{number}"),
        "nvme" => format!("nvme,drive=disk{number},serial=wherry-{number},addr={slot:#x}"),
        _ => format!("virtio-blk-pci,drive=disk{number},addr={slot:#x}"),
    };
    let boot = disk.boot.map(|turn| format!(",bootindex={turn}")).unwrap_or_default();
    device + &disk.sectors() + &boot
}

fn network(plan: &Plan) -> Vec<String> {
    if plan.nics.is_empty() {
        return vec!["-nic none".into()];
    }
    let model = match plan.choice.nic_model.as_str() {
        "virtio-net" => "virtio-net-pci",
        other => other,
    };
    let mut words = Vec::new();
    for ((number, nic), slot) in plan.nics.iter().enumerate().zip(nic_slots(plan.nics.len())) {
        let mac = nic.mac.as_ref().map(|mac| format!(",mac={mac}")).unwrap_or_default();
        words.push(format!("-netdev user,id=net{number}"));
        words.push(format!("-device {model},netdev=net{number},addr={slot:#x}{mac}"));
    }
    words
}
