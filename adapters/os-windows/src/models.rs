//! Models of network cards: the device that Windows sees on each platform, and the releases that have a driver of their own.
//!
//! Sources of the releases: VMware KB 1001805 (e1000 from 2003 and XP for x64 on, PCnet on 32 bits before Vista, e1000e from 8 and
//! 2012 on); VirtualBox's manual, "Virtual networking hardware" (82540EM, which is QEMU's, from Vista on); `netrtl64.inf` of Windows 10
//! and of the 24H2 ADK (RTL8139C+); `dc21x4vm.inf` of Vista, 10 and 11 (Hyper-V's DEC 21140), and Microsoft on 64-bit 2003 and
//! XP, which have none for it. Sources of the devices: QEMU's `hw/net`, instance ids of VMware's and Hyper-V's guests.

use crate::decoration::Architecture;
use crate::tools::Platform;
use crate::version::{EIGHT, NT4, SEVEN, VISTA, Version, W2000, W2003};

/// From which version on, and before which.
type Span = (Version, Option<Version>);

/// A model of card, as a device and a driver of Windows' own.
#[derive(Debug, PartialEq, Eq)]
pub struct Model {
    /// The most exact hardware id; none where the card is on no PCI bus, or nobody has looked it up.
    pub device: Option<&'static str>,
    /// What it is called where nothing else says so.
    pub name: &'static str,
    /// Services that drive it once they are installed.
    pub services: &'static [&'static str],
    /// Which versions of 32 bits have a driver of their own.
    own_x86: Option<Span>,
    /// Which of 64 bits.
    own_x64: Option<Span>,
    /// Where a driver is to be had.
    pub source: &'static str,
}

impl Model {
    /// Whether this Windows has a driver of its own.
    pub fn is_own(&self, version: Version, architecture: Architecture) -> bool {
        let span = if architecture == Architecture::X86 { self.own_x86 } else { self.own_x64 };
        span.is_some_and(|(from, before)| version >= from && before.is_none_or(|end| version < end))
    }
}

/// What is known of a model of the contract's register on a platform.
pub fn model(name: &str, platform: Platform) -> Option<Model> {
    let vmware = platform == Platform::VmWare;
    match name {
        "e1000" | "e1000e" => Some(intel(name, vmware)),
        "rtl8139" => Some(Model {
            device: Some(match platform {
                Platform::Xen => r"PCI\VEN_10EC&DEV_8139&SUBSYS_00015853&REV_20",
                _ => r"PCI\VEN_10EC&DEV_8139&SUBSYS_11001AF4&REV_20",
            }),
            name: "Realtek RTL8139C+ Fast Ethernet NIC",
            services: &["rtl8139", "RTL8023xp", "RTL8023x64"],
            own_x86: Some((W2000, None)),
            own_x64: Some((W2000, None)),
            source: "Realtek's driver for RTL8139C+",
        }),
        "pcnet" => Some(Model {
            device: vmware.then_some(r"PCI\VEN_1022&DEV_2000&SUBSYS_20001022&REV_10"),
            name: "AMD PCNET Family Ethernet Adapter",
            services: &["PCnet", "amdpcn", "AMDPCN"],
            own_x86: Some((NT4, Some(VISTA))),
            own_x64: None,
            source: "AMD's PCnet driver",
        }),
        "tulip" => Some(Model {
            device: Some(r"PCI\VEN_1011&DEV_0009&SUBSYS_21140A00&REV_20"),
            name: "Intel 21140-Based PCI Fast Ethernet Adapter",
            services: &["dc21x4", "DC21X4", "dc21x4vm"],
            own_x86: Some((NT4, None)),
            own_x64: Some((VISTA, None)),
            source: "Intel's 21140 driver",
        }),
        _ => synthetic(name),
    }
}

/// VMware's PRO/1000 are other cards than QEMU's.
fn intel(name: &str, vmware: bool) -> Model {
    let source = "Intel's PRO/1000 driver package (PROWin32, PROWinx64)";
    if name == "e1000e" {
        let own = Some((EIGHT, None));
        return Model {
            device: Some(match vmware {
                true => r"PCI\VEN_8086&DEV_10D3&SUBSYS_07D015AD&REV_00",
                false => r"PCI\VEN_8086&DEV_10D3&SUBSYS_00008086&REV_00",
            }),
            name: "Intel(R) 82574L Gigabit Network Connection",
            services: &["e1iexpress", "e1qexpress", "e1yexpress", "e1kexpress"],
            own_x86: own,
            own_x64: own,
            source,
        };
    }
    let own = Some((if vmware { W2003 } else { VISTA }, None));
    Model {
        device: Some(match vmware {
            true => r"PCI\VEN_8086&DEV_100F&SUBSYS_075015AD&REV_01",
            false => r"PCI\VEN_8086&DEV_100E&SUBSYS_11001AF4&REV_03",
        }),
        name: "Intel(R) PRO/1000 MT Network Connection",
        services: &["E1000", "E1G60"],
        own_x86: own,
        own_x64: own,
        source,
    }
}

/// Cards that no real machine has.
fn synthetic(name: &str) -> Option<Model> {
    let model = |device, name, services, own, source| {
        Some(Model { device, name, services, own_x86: own, own_x64: own, source })
    };
    match name {
        "virtio-net" => model(
            Some(r"PCI\VEN_1AF4&DEV_1000&SUBSYS_00011AF4&REV_00"),
            "Red Hat VirtIO Ethernet Adapter",
            &["netkvm"][..],
            None,
            "the virtio-win ISO",
        ),
        "vmxnet3" => model(
            Some(r"PCI\VEN_15AD&DEV_07B0&SUBSYS_07B015AD&REV_01"),
            "vmxnet3 Ethernet Adapter",
            &["vmxnet3ndis6", "vmxnet3ndis5"][..],
            None,
            "VMware Tools",
        ),
        "hyperv-net" => model(
            None,
            "Microsoft Hyper-V Network Adapter",
            &["netvsc", "netvsc60", "netvsc63"][..],
            Some((SEVEN, None)),
            "Hyper-V's integration components (vmguest.iso)",
        ),
        "xen-netfront" => model(
            None,
            "Xen PV Network Device",
            &["xennet", "xenvif"][..],
            None,
            "https://xenproject.org/windows-pv-drivers/",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::{TEN, XP};
    use Architecture::{Amd64, X86};

    #[test]
    fn who_has_a_driver() {
        let own = |name, platform, version, architecture| {
            model(name, platform).unwrap().is_own(version, architecture)
        };
        let (kvm, vmware) = (Platform::Kvm, Platform::VmWare);
        assert!(!own("e1000", kvm, XP, X86) && !own("e1000", kvm, W2003, X86));
        assert!(!own("e1000", vmware, XP, X86) && own("e1000", vmware, W2003, X86));
        assert!(own("e1000", kvm, VISTA, Amd64) && own("e1000", kvm, TEN.build(26100), Amd64));
        assert!(!own("e1000e", kvm, SEVEN, Amd64) && own("e1000e", vmware, EIGHT, Amd64));
        assert!(own("rtl8139", Platform::Xen, TEN, Amd64) && !own("rtl8139", kvm, NT4, X86));
        assert!(own("tulip", Platform::HyperV, NT4, X86) && own("tulip", Platform::HyperV, VISTA, Amd64));
        assert!(!own("tulip", Platform::HyperV, W2003, Amd64));
        assert!(own("pcnet", vmware, XP, X86) && !own("pcnet", vmware, W2003, Amd64));
        assert!(!own("pcnet", vmware, VISTA, X86) && !own("virtio-net", kvm, TEN, Amd64));
        assert_eq!(model("carrier pigeon", kvm), None);
    }

    #[test]
    fn platforms_have_cards_of_their_own() {
        let device = |name, platform| model(name, platform).unwrap().device;
        for name in ["e1000", "e1000e"] {
            assert_ne!(device(name, Platform::Kvm), device(name, Platform::VmWare));
        }
        assert!(device("rtl8139", Platform::Xen).unwrap().contains("00015853"));
        assert_eq!(device("pcnet", Platform::Kvm), None);
    }
}
