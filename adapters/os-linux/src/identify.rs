//! Which Linux this is, and where its parts are. os-release(5), fstab(5).

use crate::devices::{devices, resolve};
use crate::{fstab, network};
use wherry_sdk::source::OperatingSystem;
use wherry_sdk::{Fact, Result, Tree, fact, find};

const FILE_SYSTEMS: [&str; 6] = ["ext2", "ext3", "ext4", "xfs", "btrfs", "vfat"];
/// The most of a text file that is read.
const TEXT: u64 = 1 << 20;
const KERNELS: usize = 64;

/// A text file; none if it is missing, too long or unreadable.
pub fn text(guest: &dyn Tree, path: &str) -> Option<String> {
    String::from_utf8(guest.read_all(path, TEXT).ok()?).ok()
}

/// Names in a directory, sorted; none if it is missing.
pub fn names(guest: &dyn Tree, path: &str) -> Vec<String> {
    let entries = guest.entries(path).unwrap_or_default();
    let mut names: Vec<String> = entries.into_iter().map(|entry| entry.name).collect();
    names.sort();
    names
}

fn exists(guest: &dyn Tree, path: &str) -> bool {
    guest.canonical(path).is_ok_and(|path| guest.stat(&path).is_ok())
}

/// The value of a shell-like `KEY=value` line.
pub fn shell_value(text: &str, key: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='))?;
    Some(line.trim().trim_matches(['"', '\'']).to_owned())
}

/// id, product and version, if the tree mounted at `/` is a Linux system.
fn release(guest: &dyn Tree) -> Option<(String, String, String)> {
    for path in ["/etc/os-release", "/usr/lib/os-release"] {
        let Some(text) = text(guest, path) else { continue };
        let Some(id) = shell_value(&text, "ID") else { continue };
        let product = shell_value(&text, "PRETTY_NAME").unwrap_or_else(|| id.clone());
        return Some((id, product, shell_value(&text, "VERSION_ID").unwrap_or_default()));
    }
    let older =
        [("/etc/redhat-release", "rhel"), ("/etc/SuSE-release", "sles"), ("/etc/debian_version", "debian")];
    older.into_iter().find_map(|(path, id)| {
        let text = text(guest, path)?;
        let line = text.lines().next()?.trim();
        let version = line.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
        let product = if id == "debian" { format!("Debian GNU/Linux {line}") } else { line.to_owned() };
        Some((id.to_owned(), product, version.unwrap_or_default().to_owned()))
    })
}

/// A kernel with what belongs to it.
pub struct Kernel {
    /// `6.1.0-28-amd64`
    pub version: String,
    /// `/lib/modules/6.1.0-28-amd64`
    pub modules: Option<String>,
    /// `/boot/initrd.img-6.1.0-28-amd64`
    pub initrd: Option<String>,
}

/// Kernels in `/boot`, at most 64.
pub fn kernels(guest: &dyn Tree) -> Vec<Kernel> {
    let files = names(guest, "/boot");
    let versions = files.iter().filter_map(|name| name.strip_prefix("vmlinuz-"));
    let make = |version: &str| {
        let initrds = ["initrd.img-V", "initramfs-V.img", "initrd-V", "initrd-V.img"];
        let modules = ["/lib/modules", "/usr/lib/modules"].map(|path| format!("{path}/{version}"));
        Kernel {
            version: version.to_owned(),
            modules: modules.into_iter().find(|path| exists(guest, path)),
            initrd: initrds
                .iter()
                .map(|pattern| pattern.replace('V', version))
                .find(|name| files.contains(name))
                .map(|name| format!("/boot/{name}")),
        }
    };
    versions.take(KERNELS).map(make).collect()
}

/// `initramfs-tools`, `dracut`, `mkinitcpio`, `mkinitfs` or `unknown`, by the tool in the root file system.
pub fn initramfs_family(guest: &dyn Tree) -> &'static str {
    let marks = [
        ("/etc/initramfs-tools/initramfs.conf", "initramfs-tools"),
        ("/usr/lib/dracut", "dracut"),
        ("/usr/share/dracut", "dracut"),
        ("/etc/mkinitcpio.conf", "mkinitcpio"),
        ("/etc/mkinitfs", "mkinitfs"),
    ];
    marks.iter().find(|(path, _)| exists(guest, path)).map_or("unknown", |(_, family)| family)
}

fn boot_loaders(guest: &dyn Tree) -> Vec<&'static str> {
    let efi = exists(guest, "/boot/efi/EFI");
    let mut found = Vec::new();
    if exists(guest, "/boot/grub/grub.cfg") || exists(guest, "/boot/grub2/grub.cfg") {
        found.push(if efi { "grub2-efi" } else { "grub2-bios" });
    }
    let marks = [
        ("/boot/loader/entries", "bls"),
        ("/boot/extlinux/extlinux.conf", "extlinux"),
        ("/boot/extlinux.conf", "extlinux"),
        ("/boot/grub/menu.lst", "grub-legacy"),
        ("/boot/efi/EFI/systemd", "systemd-boot"),
    ];
    found.extend(marks.iter().filter(|(path, _)| exists(guest, path)).map(|(_, name)| *name));
    found.dedup();
    found
}

/// From the ELF header of the shell (`e_machine`, offset 18, System V ABI).
fn architecture(guest: &dyn Tree) -> String {
    let shells = ["/bin/sh", "/usr/bin/sh", "/bin/bash", "/sbin/init"];
    let header =
        shells.iter().find_map(|path| guest.read(path, 0, 20).ok().filter(|b| b.starts_with(b"\x7fELF")));
    match header.as_deref().and_then(|bytes| bytes.get(18)) {
        Some(62) => "x86_64",
        Some(183) => "aarch64",
        Some(3) => "i686",
        _ => "unknown",
    }
    .to_owned()
}

/// What configures the network, with the interfaces named there.
pub fn interfaces(guest: &dyn Tree) -> Vec<(&'static str, String)> {
    let mut found: Vec<(&'static str, String)> = Vec::new();
    let mut add =
        |by, names: Vec<String>| found.extend(names.into_iter().filter(|n| n != "lo").map(|n| (by, n)));
    add(
        "ifupdown",
        text(guest, "/etc/network/interfaces").map(|t| network::ifupdown(&t)).unwrap_or_default(),
    );
    let folders = [
        ("ifupdown", "/etc/network/interfaces.d"),
        ("netplan", "/etc/netplan"),
        ("networkmanager", "/etc/NetworkManager/system-connections"),
        ("ifcfg", "/etc/sysconfig/network-scripts"),
        ("ifcfg", "/etc/sysconfig/network"),
        ("systemd-networkd", "/etc/systemd/network"),
    ];
    for (by, folder) in folders {
        for name in names(guest, folder).into_iter().take(256) {
            let Some(text) = text(guest, &format!("{folder}/{name}")) else { continue };
            match by {
                "ifupdown" => add(by, network::ifupdown(&text)),
                "netplan" if name.ends_with(".yaml") => add(by, network::netplan(&text)),
                "networkmanager" => add(by, network::value(&text, "interface-name").into_iter().collect()),
                "ifcfg" if name.starts_with("ifcfg-") => {
                    let suffix = name.trim_start_matches("ifcfg-").to_owned();
                    add(by, vec![network::value(&text, "DEVICE").unwrap_or(suffix)]);
                }
                "systemd-networkd" if name.ends_with(".network") => {
                    add(by, network::value(&text, "Name").into_iter().collect());
                }
                _ => {}
            }
        }
    }
    let mut seen = Vec::new();
    found.retain(|(_, name)| {
        !seen.contains(name) && {
            seen.push(name.clone());
            true
        }
    });
    found
}

/// Mounts what `/etc/fstab` names for the boot files; facts about it.
fn mount_others(guest: &dyn Tree, facts: &mut Vec<Fact>) {
    let Some(table) = text(guest, "/etc/fstab") else { return };
    let all = devices(&guest.volumes());
    for wanted in ["/usr", "/boot", "/boot/efi"] {
        for (source, path) in fstab::entries(&table) {
            if path != wanted {
                continue;
            }
            let outcome = match resolve(source, &all) {
                Some(device) => match guest.mount(&device.id, path) {
                    Ok(()) => format!("{source} {}", device.id),
                    Err(error) => format!("{source} not mounted: {}", error.message),
                },
                None => format!("{source} not found"),
            };
            facts.push(fact(format!("mount.{path}"), outcome));
            break;
        }
    }
}

/// Finds the root volume and mounts it with what belongs to it.
pub fn identify(guest: &dyn Tree) -> Result<Option<OperatingSystem>> {
    for volume in guest.volumes() {
        let known = find(&volume.facts, "fs.kind").is_some_and(|kind| FILE_SYSTEMS.contains(&kind));
        if !known {
            continue;
        }
        guest.unmount_all();
        if guest.mount(&volume.id, "/").is_err() {
            continue;
        }
        // a separate /usr may hold the target of /etc/os-release
        let mut facts = vec![fact("root.volume", &volume.id)];
        let early = release(guest);
        if early.is_none() && !exists(guest, "/etc/fstab") {
            continue;
        }
        mount_others(guest, &mut facts);
        let Some((id, product, version)) = early.or_else(|| release(guest)) else { continue };
        describe(guest, &mut facts);
        let hostname = text(guest, "/etc/hostname")
            .or_else(|| shell_value(&text(guest, "/etc/sysconfig/network")?, "HOSTNAME"));
        let hostname = hostname.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        let architecture = architecture(guest);
        let family = "linux".to_owned();
        return Ok(Some(OperatingSystem { family, id, product, version, architecture, hostname, facts }));
    }
    guest.unmount_all();
    Ok(None)
}

fn describe(guest: &dyn Tree, facts: &mut Vec<Fact>) {
    for (n, kernel) in kernels(guest).iter().enumerate() {
        let modules = kernel.modules.as_deref().unwrap_or("no modules");
        let initrd = kernel.initrd.as_deref().unwrap_or("no initrd");
        facts.push(fact(format!("kernel.{n}"), format!("{} {modules} {initrd}", kernel.version)));
    }
    facts.extend(boot_loaders(guest).into_iter().map(|name| fact("boot-loader", name)));
    facts.push(fact("initramfs", initramfs_family(guest)));
    facts.push(fact("firmware", if exists(guest, "/boot/efi/EFI") { "uefi" } else { "bios" }));
    for (n, (by, name)) in interfaces(guest).iter().enumerate() {
        facts.push(fact(format!("network.{n}"), format!("{by} {name}")));
    }
    let tools = [
        ("/usr/bin/vmtoolsd", "open-vm-tools"),
        ("/usr/sbin/qemu-ga", "qemu-guest-agent"),
        ("/usr/bin/qemu-ga", "qemu-guest-agent"),
        ("/usr/sbin/VBoxService", "virtualbox-guest"),
        ("/usr/bin/cloud-init", "cloud-init"),
    ];
    let installed = tools.iter().filter(|(path, _)| exists(guest, path));
    facts.extend(installed.enumerate().map(|(n, (_, name))| fact(format!("tools.{n}"), name)));
    for path in ["/", "/boot"] {
        if let Ok(room) = guest.room(path) {
            facts.push(fact(format!("free.{path}"), room.free));
        }
    }
}
