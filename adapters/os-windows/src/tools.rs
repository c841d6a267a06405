//! Drivers and services of hypervisors that the machine leaves: found by their keys, and taken out of every control set with
//! the filters that they put into device classes. Their files stay; nothing loads them any more.
//!
//! Sources: virt-v2v's conversion of Windows (Parallels, Xen), lxc/distrobuilder and FutureSystems' notes on removing VMware
//! Tools, the uninstallers' lists of VirtualBox Guest Additions and of the Xen drivers (`windows-conversion.md`).

use crate::hives::{Hives, Store};
use crate::system::System;
use crate::version::{VISTA, Version};
use crate::work::Work;
use wherry_registry::{Kind, data};
use wherry_sdk::{DeviceProfile, Result};

/// The platforms that have tools of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// QEMU and libvirt.
    Kvm,
    /// vSphere, Workstation, Fusion.
    VmWare,
    /// Hyper-V and Azure.
    HyperV,
    /// Xen, XenServer.
    Xen,
    /// Oracle VM VirtualBox.
    VirtualBox,
    /// Parallels Desktop.
    Parallels,
}

impl Platform {
    /// Whose machine a profile is.
    pub fn of(profile: &DeviceProfile) -> Self {
        let machine = profile.machine.as_str();
        if profile.nic_model == "hyperv-net"
            || profile.disk_bus == "hyperv-scsi"
            || machine.starts_with("generation")
        {
            Self::HyperV
        } else if machine.starts_with("vmx") || profile.nic_model == "vmxnet3" || profile.disk_bus == "pvscsi"
        {
            Self::VmWare
        } else if machine.starts_with("xen")
            || profile.disk_bus == "xen"
            || profile.nic_model.starts_with("xen")
        {
            Self::Xen
        } else {
            Self::Kvm
        }
    }
}

/// One product.
#[derive(Debug)]
pub struct Tool {
    /// Its name.
    pub name: &'static str,
    /// Where it is at home.
    platform: Platform,
    /// The first release that it is a part of; none: of no release.
    inbox: Option<Version>,
    /// One of these keys shows that it is there.
    marks: &'static [&'static str],
    /// All services and drivers, and what else lies below `Services`.
    services: &'static [&'static str],
    /// Names in lists of class filters.
    filters: &'static [&'static str],
    /// Values of `Run` keys.
    starts: &'static [&'static str],
    /// How its names begin among the installed programs.
    products: &'static [&'static str],
}

const TOOLS: &[Tool] = &[
    Tool {
        name: "VMware Tools",
        platform: Platform::VmWare,
        inbox: None,
        marks: &["VMTools", "vmmouse", "vmci"],
        services: &[
            "VMTools",
            "VMware Physical Disk Helper Service",
            "VMUpgradeHelper",
            "TPAutoConnSvc",
            "TPVCGateway",
            "VGAuthService",
            "vmvss",
            "VMwareCAF",
            "VMwareCAFCommAmqpListener",
            "VMwareCAFManagementAgentHost",
            "vmci",
            "vsock",
            "vsockdll",
            "vsockSys",
            "vmmouse",
            "vmusbmouse",
            "vmrawdsk",
            "vmmemctl",
            "vmhgfs",
            "vmx_svga",
            "vm3dmp",
            "vm3dmp_loader",
            "vm3dmp-debug",
            "vm3dmp-stats",
            "vm3dservice",
            "giappdef",
            "vnetflt",
            "vnetWFP",
            "vsepflt",
            "glxgi",
            "vmStatsProvider",
            "VMAudio",
            "vmxnet",
            "vmscsi",
            "LGTO_Sync",
        ],
        filters: &["vsepflt", "vnetflt", "vmmouse", "vmusbmouse"],
        starts: &["VMware User Process", "VMware Tools", "VMware VM3DService Process"],
        products: &["VMware Tools"],
    },
    Tool {
        name: "VirtualBox Guest Additions",
        platform: Platform::VirtualBox,
        inbox: None,
        marks: &["VBoxGuest"],
        services: &[
            "VBoxGuest",
            "VBoxMouse",
            "VBoxSF",
            "VBoxService",
            "VBoxVideo",
            "VBoxVideoW8",
            "VBoxWddm",
        ],
        filters: &["VBoxMouse"],
        starts: &["VBoxTray"],
        products: &["Oracle VM VirtualBox Guest Additions", "Oracle VirtualBox Guest Additions"],
    },
    Tool {
        name: "Xen paravirtual drivers",
        platform: Platform::Xen,
        inbox: None,
        marks: &["xenbus", "xenfilt", "xenevtchn", "rhelscsi", "xenpci"],
        services: &[
            "xenbus",
            "xenfilt",
            "xenvbd",
            "xencrsh",
            "xendisk",
            "xenvif",
            "xennet",
            "xenhid",
            "xenvkbd",
            "xencons",
            "xeniface",
            "xenagent",
            "xensvc",
            "XenInstall",
            "xenbus_monitor",
            "xenlite",
            "xenevtchn",
            "xenpci",
            "xenscsi",
            "xennet5",
            "xennet6",
            "xenutil",
            "xendisk_filter",
            "rhelscsi",
            "rhelnet",
            "rhelfltr",
            "rhelpad",
        ],
        filters: &["xenfilt", "xencrsh", "xendisk", "scsifilt", "rhelfltr"],
        starts: &[],
        products: &[
            "XenServer Tools",
            "XenServer VM Tools",
            "Citrix XenServer",
            "Citrix Hypervisor PV",
            "Citrix Tools for Virtual Machines",
            "XCP-ng",
        ],
    },
    Tool {
        name: "Parallels Tools",
        platform: Platform::Parallels,
        inbox: None,
        marks: &["prl_strg", "prl_tg", "prl_fs"],
        services: &[
            "prl_boot",
            "prl_dd",
            "prl_eth5",
            "prl_fs",
            "prl_memdev",
            "prl_mouf",
            "prl_pv32",
            "prl_pv64",
            "prl_scsi",
            "prl_sound",
            "prl_strg",
            "prl_tg",
            "prl_time",
            "prl_uprof",
            "prl_va",
            "Parallels Tools Service",
            "Parallels Coherence Service",
        ],
        filters: &["prl_strg", "prl_mouf"],
        starts: &["Parallels Tools Center", "SharedIntApp"],
        products: &["Parallels Tools"],
    },
    Tool {
        name: "Hyper-V integration components",
        platform: Platform::HyperV,
        inbox: Some(VISTA),
        marks: &["vmicheartbeat", "vmbus"],
        services: &[
            "vmbus",
            "storvsc",
            "storflt",
            "netvsc",
            "s3cap",
            "dmvsc",
            "VMBusHID",
            "HyperVideo",
            "SynthVid",
            "vmicheartbeat",
            "vmicguestinterface",
            "vmickvpexchange",
            "vmicshutdown",
            "vmictimesync",
            "vmicvss",
            r"W32Time\TimeProviders\VMICTimeProvider",
        ],
        filters: &["storflt"],
        starts: &[],
        products: &["Hyper-V Integration Services", "Microsoft Hyper-V", "Hyper-V Guest Components"],
    },
    Tool {
        name: "QEMU guest agent",
        platform: Platform::Kvm,
        inbox: None,
        marks: &["QEMU-GA", "QEMU Guest Agent VSS Provider", "vdservice", "spice-agent", "BalloonService"],
        services: &["QEMU-GA", "QEMU Guest Agent VSS Provider", "vdservice", "spice-agent", "BalloonService"],
        filters: &[],
        starts: &[],
        products: &["QEMU guest agent"],
    },
];

/// Where devices may have filters of their own (`Enum`).
const BUSES: &[&str] = &["ACPI", "HID", "IDE", "PCI", "PCIIDE", "SCSI", "STORAGE", "USB", "XENBUS"];

/// What is installed in the control set in use, besides what is a part of this Windows and does nothing elsewhere.
pub fn installed(hives: &mut Hives<'_>, system: &System) -> Result<Vec<&'static Tool>> {
    let mut found = Vec::new();
    let is_inbox = |tool: &Tool| tool.inbox.is_some_and(|first| system.version >= first);
    for tool in TOOLS.iter().filter(|tool| !is_inbox(tool)) {
        for mark in tool.marks {
            if hives.has(Store::System, &format!(r"{}\Services\{mark}", system.current))? {
                found.push(tool);
                break;
            }
        }
    }
    Ok(found)
}

/// Takes out what belongs to other platforms.
pub fn adapt(work: &mut Work<'_>) -> Result<()> {
    let home = Platform::of(work.profile);
    for tool in installed(&mut work.hives, &work.system)? {
        if tool.platform == home {
            continue;
        }
        if work.option("keep-tools") == Some("yes") {
            work.note(format!("{} stays installed, as the option keep-tools says", tool.name));
            continue;
        }
        remove(work, tool)?;
        work.commit(&format!("the new machine has no hardware for {}", tool.name))?;
        work.note(format!("taken out of the registry: {}; the files are left where they are", tool.name));
    }
    Ok(())
}

fn remove(work: &mut Work<'_>, tool: &Tool) -> Result<()> {
    work.in_sets(|work, set| {
        filters(work, set, tool)?;
        for service in tool.services {
            work.remove(Store::System, &format!(r"{set}\Services\{service}"))?;
        }
        Ok(())
    })?;
    for run in [r"Microsoft\Windows\CurrentVersion\Run", r"WOW6432Node\Microsoft\Windows\CurrentVersion\Run"]
    {
        for name in tool.starts {
            work.unset(Store::Software, run, name)?;
        }
    }
    product(work, tool)
}

/// Takes a tool's names out of the filters of device classes and of single devices: a missing filter keeps each of them from
/// starting.
fn filters(work: &mut Work<'_>, set: &str, tool: &Tool) -> Result<()> {
    if tool.filters.is_empty() {
        return Ok(());
    }
    let classes = format!(r"{set}\Control\Class");
    for class in work.hives.keys(Store::System, &classes)? {
        unfilter(work, &format!(r"{classes}\{class}"), tool)?;
    }
    for bus in BUSES {
        let devices = format!(r"{set}\Enum\{bus}");
        for device in work.hives.keys(Store::System, &devices)? {
            for instance in work.hives.keys(Store::System, &format!(r"{devices}\{device}"))? {
                unfilter(work, &format!(r"{devices}\{device}\{instance}"), tool)?;
            }
        }
    }
    Ok(())
}

/// The same in one key.
fn unfilter(work: &mut Work<'_>, key: &str, tool: &Tool) -> Result<()> {
    for list in ["UpperFilters", "LowerFilters"] {
        let old = work.hives.texts(Store::System, key, list)?;
        let new: Vec<&str> =
            old.iter().map(String::as_str).filter(|name| !is_one(tool.filters, name)).collect();
        if new.len() == old.len() {
            continue;
        }
        if new.is_empty() {
            work.unset(Store::System, key, list)?;
        } else {
            work.set(Store::System, key, list, Kind::MULTI_SZ, &data::multi_sz(&new))?;
        }
    }
    Ok(())
}

fn is_one(list: &[&str], name: &str) -> bool {
    list.iter().any(|one| one.eq_ignore_ascii_case(name))
}

/// Takes it out of the installed programs: its own uninstaller refuses to run elsewhere.
fn product(work: &mut Work<'_>, tool: &Tool) -> Result<()> {
    for branch in [r"Microsoft\Windows\CurrentVersion", r"WOW6432Node\Microsoft\Windows\CurrentVersion"] {
        let uninstall = format!(r"{branch}\Uninstall");
        for name in work.hives.keys(Store::Software, &uninstall)? {
            let key = format!(r"{uninstall}\{name}");
            let shown = work.hives.text(Store::Software, &key, "DisplayName")?.unwrap_or_default();
            if !tool.products.iter().any(|product| shown.starts_with(product)) {
                continue;
            }
            work.remove(Store::Software, &key)?;
            let Some(packed) = packed(&name) else { continue };
            for place in [
                r"Classes\Installer\Products",
                r"Classes\Installer\Features",
                r"Microsoft\Windows\CurrentVersion\Installer\UserData\S-1-5-18\Products",
            ] {
                work.remove(Store::Software, &format!(r"{place}\{packed}"))?;
            }
        }
    }
    Ok(())
}

/// A product code as Windows Installer names its keys: the first three parts reversed, the bytes of the others by their halves.
fn packed(code: &str) -> Option<String> {
    let code = code.strip_prefix('{')?.strip_suffix('}')?;
    let parts: Vec<&str> = code.split('-').collect();
    let sizes: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    if sizes != [8, 4, 4, 4, 12] || !code.bytes().all(|c| c == b'-' || c.is_ascii_hexdigit()) {
        return None;
    }
    let mut packed: String = parts[..3].iter().flat_map(|part| part.chars().rev()).collect();
    for byte in parts[3..].concat().as_bytes().chunks(2) {
        packed.extend([char::from(byte[1]), char::from(byte[0])]);
    }
    Some(packed.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn product_codes_are_packed() {
        // Microsoft, "Windows Installer: packed GUIDs".
        let packed = packed("{FE2F6A2C-196E-4210-9C04-2B1BC21F07EF}");
        assert_eq!(packed.as_deref(), Some("C2A6F2EFE6910124C940B2B12CF170FE"));
        assert_eq!(super::packed("{not a code}"), None);
    }
}
