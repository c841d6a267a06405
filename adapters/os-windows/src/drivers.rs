//! Which drivers of Windows' own find the disks of which controller: services, files, and since when.
//!
//! Sources: Microsoft KB 314082 ("You receive a Stop 0x0000007B error after you move the Windows XP system disk"), KB 922976
//! (AHCI in Vista and 7), KB 2990941 (NVMe in 7), the driver lists of each release, [Sysprep] BuildMassStorageSection and Azure Site
//! Recovery's `registryupdater.cpp` (symmpi); `windows-conversion.md`.

use crate::version::{BLUE, EIGHT, NT4, SEVEN, VISTA, Version, W2000, W2003, XP};

/// A driver as a service.
#[derive(Debug, PartialEq, Eq)]
pub struct Driver {
    /// The key's name.
    pub service: &'static str,
    /// In `System32\drivers`.
    pub file: &'static str,
    /// Files that it is linked with.
    pub with: &'static [&'static str],
    /// The group it is loaded with.
    pub group: &'static str,
    /// Its place in the group; 0: none.
    pub tag: u32,
    /// The device that 2000 to 7 have to take for known before Plug and Play has seen it; empty: none.
    pub device: &'static str,
    /// Whether it is a miniport that takes its devices from Plug and Play only where it is told to (`PnpInterface`).
    pub is_miniport: bool,
}

const fn driver(
    service: &'static str,
    file: &'static str,
    with: &'static [&'static str],
    group: &'static str,
    tag: u32,
) -> Driver {
    Driver { service, file, with, group, tag, device: "", is_miniport: false }
}

impl Driver {
    const fn of(self, device: &'static str) -> Self {
        Self { device, ..self }
    }

    const fn miniport(self) -> Self {
        Self { is_miniport: true, ..self }
    }
}

const MINIPORT: &str = "SCSI Miniport";
const BUS: &str = "System Bus Extender";

const ATAPI_NT4: Driver = driver("atapi", "atapi.sys", &[], MINIPORT, 0x18);
const ATAPI: Driver = driver("atapi", "atapi.sys", &[], MINIPORT, 0x19);
const ATAPI_VISTA: Driver = driver("atapi", "atapi.sys", &["ataport.sys"], MINIPORT, 0x19);
const INTELIDE: Driver = driver("intelide", "intelide.sys", &["pciidex.sys"], BUS, 4);
const PCIIDE: Driver = driver("pciide", "pciide.sys", &["pciidex.sys"], BUS, 3);
const MSAHCI: Driver = driver("msahci", "msahci.sys", &["ataport.sys", "pciidex.sys"], BUS, 0);
const STORAHCI: Driver = driver("storahci", "storahci.sys", &["storport.sys"], MINIPORT, 0);
const STORNVME: Driver = driver("stornvme", "stornvme.sys", &["storport.sys"], MINIPORT, 0);
const SYMMPI: Driver =
    driver("symmpi", "symmpi.sys", &[], MINIPORT, 0x21).of("pci#ven_1000&dev_0030").miniport();
const LSI_SCSI: Driver =
    driver("LSI_SCSI", "lsi_scsi.sys", &["storport.sys"], MINIPORT, 0).of("pci#ven_1000&dev_0030");
const LSI_SAS: Driver =
    driver("LSI_SAS", "lsi_sas.sys", &["storport.sys"], MINIPORT, 0).of("pci#ven_1000&dev_0054");
const BUSLOGIC: Driver =
    driver("BusLogic", "buslogic.sys", &[], MINIPORT, 0).of("pci#ven_104b&dev_1040").miniport();
const VMBUS: Driver = driver("vmbus", "vmbus.sys", &[], BUS, 0);
const STORVSC: Driver = driver("storvsc", "storvsc.sys", &[], MINIPORT, 0);
const STORFLT: Driver = driver("storflt", "vmstorfl.sys", &[], BUS, 0);

/// What lets Windows find its disks.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// These drivers, which it has.
    Own(&'static [Driver]),
    /// A vendor's driver for one of these devices, under one of these service names.
    Vendors(Vendor),
}

/// A driver that comes from elsewhere.
#[derive(Debug, PartialEq, Eq)]
pub struct Vendor {
    /// Services by which it is known once it is installed.
    pub services: &'static [&'static str],
    /// Devices that it has to know, the most usual first.
    pub devices: &'static [&'static str],
    /// For people.
    pub name: &'static str,
    /// Where it is to be had.
    pub source: &'static str,
}

const VIRTIO: &str = "the virtio-win ISO (https://fedorapeople.org/groups/virt/virtio-win/direct-downloads/); 0.1.185 has the \
                      last drivers for 2003 and XP";

const VIOSTOR: Vendor = Vendor {
    services: &["viostor"],
    devices: &[
        r"PCI\VEN_1AF4&DEV_1001&SUBSYS_00021AF4&REV_00",
        r"PCI\VEN_1AF4&DEV_1042&SUBSYS_11001AF4&REV_01",
    ],
    name: "virtio-blk (viostor)",
    source: VIRTIO,
};
const VIOSCSI: Vendor = Vendor {
    services: &["vioscsi"],
    devices: &[
        r"PCI\VEN_1AF4&DEV_1004&SUBSYS_00081AF4&REV_00",
        r"PCI\VEN_1AF4&DEV_1048&SUBSYS_11001AF4&REV_01",
    ],
    name: "virtio-scsi (vioscsi)",
    source: VIRTIO,
};
const PVSCSI: Vendor = Vendor {
    services: &["pvscsi"],
    devices: &[r"PCI\VEN_15AD&DEV_07C0&SUBSYS_07C015AD&REV_02"],
    name: "VMware PVSCSI",
    source: "the pvscsi folder of VMware Tools (https://packages.vmware.com/tools/), or VMware's pvscsi floppy images",
};
const AHCI: Vendor = Vendor {
    services: &["iaStor", "iastor", "ahcix86", "ahcix64"],
    devices: &[r"PCI\VEN_8086&DEV_2922&SUBSYS_11001AF4&REV_02", r"PCI\VEN_8086&DEV_2829", r"PCI\CC_010601"],
    name: "AHCI",
    source: "Intel's Matrix Storage F6 floppy for XP and 2003; or choose IDE disks",
};
const NVME_SEVEN: Vendor =
    Vendor { source: "Microsoft's KB 2990941 and KB 3087873; or choose AHCI or IDE disks", ..NVME };
const NVME: Vendor = Vendor {
    services: &["stornvme"],
    devices: &[r"PCI\CC_010802"],
    name: "NVMe",
    source: "the controller's maker, if there is one for this Windows; or choose AHCI or IDE disks",
};
const LSI: Vendor = Vendor {
    services: &["symmpi", "LSI_SCSI", "lsi_scsi"],
    devices: &[r"PCI\VEN_1000&DEV_0030"],
    name: "LSI Logic parallel SCSI",
    source: "LSI's 53C1030 driver floppy; or choose another disk bus",
};
const LSISAS: Vendor = Vendor {
    services: &["LSI_SAS", "lsi_sas"],
    devices: &[r"PCI\VEN_1000&DEV_0054"],
    name: "LSI Logic SAS",
    source: "LSI's 3000-series driver floppy; or choose another disk bus",
};
const LOGIC: Vendor = Vendor {
    services: &["BusLogic", "vmscsi"],
    devices: &[r"PCI\VEN_104B&DEV_1040"],
    name: "BusLogic",
    source: "VMware's vmscsi floppy; or choose another disk bus",
};
const HYPERV: Vendor = Vendor {
    services: &["storvsc"],
    devices: &[r"VMBUS\{ba6163d9-04a1-4d29-b605-72e2ffb1dc7f}"],
    name: "Hyper-V's integration components",
    source: "vmguest.iso of Windows Server 2012 R2 or earlier, installed before the move; or choose IDE disks",
};
const XEN: Vendor = Vendor {
    services: &["xenvbd", "rhelscsi", "xenvif"],
    devices: &[r"XENBUS\VEN_XP0001&DEV_VBD", r"PCI\VEN_5853&DEV_0001"],
    name: "Xen paravirtual drivers",
    source: "https://xenproject.org/windows-pv-drivers/; or choose IDE disks, which Xen's HVM machines have",
};

/// What Hyper-V's disks are seen by, in the Windows that have it: the bus, its disks, and a filter between them.
pub const HYPERV_GUEST: &[Driver] = &[VMBUS, STORVSC, STORFLT];

/// What a disk bus needs in a version; none: no Windows finds disks there.
pub fn storage(bus: &str, version: Version) -> Option<Answer> {
    let own = |drivers| Some(Answer::Own(drivers));
    let vendors = |vendor| Some(Answer::Vendors(vendor));
    match bus {
        "ide" if version < W2000 => own(&[ATAPI_NT4]),
        "ide" if version < VISTA => own(&[PCIIDE, INTELIDE, ATAPI]),
        "ide" => own(&[PCIIDE, INTELIDE, ATAPI_VISTA]),
        "ahci" | "sata" if version < VISTA => vendors(AHCI),
        "ahci" | "sata" if version < EIGHT => own(&[MSAHCI, PCIIDE, ATAPI_VISTA]),
        "ahci" | "sata" => own(&[STORAHCI]),
        "nvme" if (SEVEN..EIGHT).contains(&version) => vendors(NVME_SEVEN),
        "nvme" if version < BLUE => vendors(NVME),
        "nvme" => own(&[STORNVME]),
        "lsi-scsi" if (W2003..VISTA).contains(&version) => own(&[SYMMPI]),
        "lsi-scsi" if (VISTA..BLUE).contains(&version) => own(&[LSI_SCSI]),
        "lsi-scsi" => vendors(LSI),
        "lsi-sas" if version >= VISTA => own(&[LSI_SAS]),
        "lsi-sas" => vendors(LSISAS),
        "buslogic" if (NT4..XP).contains(&version) => own(&[BUSLOGIC]),
        "buslogic" => vendors(LOGIC),
        "hyperv-scsi" if version >= SEVEN => own(&[VMBUS, STORVSC]),
        "hyperv-scsi" => vendors(HYPERV),
        "virtio-blk" => vendors(VIOSTOR),
        "virtio-scsi" => vendors(VIOSCSI),
        "pvscsi" => vendors(PVSCSI),
        "xen" => vendors(XEN),
        _ => None,
    }
}

/// `ClassGUID` of controllers of hard disks (IDE).
pub const HDC: &str = "{4D36E96A-E325-11CE-BFC1-08002BE10318}";
/// `ClassGUID` of SCSI controllers.
pub const SCSI: &str = "{4D36E97B-E325-11CE-BFC1-08002BE10318}";
/// `ClassGUID` of disks.
pub const DISKS: &str = "{4D36E967-E325-11CE-BFC1-08002BE10318}";

/// Devices that 2000, XP and 2003 take for known before Plug and Play has seen them, with class and service: those of KB 314082
/// but for six controllers that no hypervisor has.
pub const CRITICAL_IDE: &[(&str, &str, &str)] = &[
    ("primary_ide_channel", HDC, "atapi"),
    ("secondary_ide_channel", HDC, "atapi"),
    ("*pnp0600", HDC, "atapi"),
    ("*azt0502", HDC, "atapi"),
    ("gendisk", DISKS, "disk"),
    ("pci#cc_0101", HDC, "pciide"),
    ("pci#ven_0e11&dev_ae33", HDC, "pciide"),
    ("pci#ven_1039&dev_0601", HDC, "pciide"),
    ("pci#ven_1039&dev_5513", HDC, "pciide"),
    ("pci#ven_1042&dev_1000", HDC, "pciide"),
    ("pci#ven_105a&dev_4d33", HDC, "pciide"),
    ("pci#ven_1095&dev_0640", HDC, "pciide"),
    ("pci#ven_1095&dev_0646", HDC, "pciide"),
    ("pci#ven_1106&dev_0571", HDC, "pciide"),
    ("pci#ven_10ad&dev_0001", HDC, "pciide"),
    ("pci#ven_10b9&dev_5215", HDC, "pciide"),
    ("pci#ven_10b9&dev_5219", HDC, "pciide"),
    ("pci#ven_10b9&dev_5229", HDC, "pciide"),
    ("pci#ven_8086&dev_1222", HDC, "intelide"),
    ("pci#ven_8086&dev_1230", HDC, "intelide"),
    ("pci#ven_8086&dev_2411", HDC, "intelide"),
    ("pci#ven_8086&dev_2421", HDC, "intelide"),
    ("pci#ven_8086&dev_7010", HDC, "intelide"),
    ("pci#ven_8086&dev_7111", HDC, "intelide"),
    ("pci#ven_8086&dev_7199", HDC, "intelide"),
];

/// Whether this Windows keeps a database of such devices (`CriticalDeviceDatabase`).
pub fn has_critical_devices(version: Version) -> bool {
    (W2000..EIGHT).contains(&version)
}

/// Whether drivers that nothing needs are put off by `StartOverride` (Windows 8 and later).
pub fn has_start_override(version: Version) -> bool {
    version >= EIGHT
}

/// Whether files of drivers lie packed in cabinets.
pub fn has_driver_cache(version: Version) -> bool {
    (W2000..VISTA).contains(&version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::TEN;

    fn services(bus: &str, version: Version) -> Vec<&'static str> {
        match storage(bus, version) {
            Some(Answer::Own(drivers)) => drivers.iter().map(|driver| driver.service).collect(),
            Some(Answer::Vendors(vendor)) => vec![vendor.name],
            None => Vec::new(),
        }
    }

    #[test]
    fn each_release_has_its_drivers() {
        assert_eq!(services("ide", NT4), ["atapi"]);
        assert_eq!(services("ide", XP), ["pciide", "intelide", "atapi"]);
        assert_eq!(services("ahci", SEVEN.build(7601)), ["msahci", "pciide", "atapi"]);
        assert_eq!(services("ahci", TEN.build(26100)), ["storahci"]);
        assert_eq!(services("nvme", SEVEN), ["NVMe"]);
        assert_eq!(services("nvme", BLUE), ["stornvme"]);
        assert_eq!(services("lsi-scsi", W2003), ["symmpi"]);
        assert_eq!(services("lsi-scsi", EIGHT), ["LSI_SCSI"]);
        assert_eq!(services("lsi-scsi", BLUE), ["LSI Logic parallel SCSI"]);
        assert_eq!(services("buslogic", W2000), ["BusLogic"]);
        assert!(matches!(storage("buslogic", XP), Some(Answer::Vendors(_))), "XP's CD has none");
        assert_eq!(services("floppy", TEN), Vec::<&str>::new());
    }
}
