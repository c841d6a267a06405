//! Which kernel modules drive the target's devices. Names and configuration symbols are those of the Linux source.

/// Modules that reach the boot disk: sets of which any is enough, the better first. Old kernels have other drivers for
/// the same hardware: those of IDE before libata had them, XenSource's before 2.6.23, LSI's before 2.6.13.
pub fn storage(disk_bus: &str) -> &'static [&'static [&'static str]] {
    match disk_bus {
        "virtio-blk" => &[&["virtio_pci", "virtio_blk"]],
        "virtio-scsi" => &[&["virtio_pci", "virtio_scsi", "sd_mod"]],
        "nvme" => &[&["nvme"]],
        "ahci" => &[&["ahci", "sd_mod"]],
        "ide" => &[&["ata_piix", "sd_mod"], &["piix", "ide_disk"]],
        "lsi-scsi" => &[&["mptspi", "sd_mod"], &["mptscsih", "sd_mod"]],
        "lsi-sas" => &[&["mptsas", "sd_mod"]],
        "buslogic" => &[&["BusLogic", "sd_mod"]],
        "pvscsi" => &[&["vmw_pvscsi", "sd_mod"]],
        "hyperv-scsi" => &[&["hv_vmbus", "hv_storvsc", "sd_mod"]],
        "xen" => &[&["xen_blkfront"], &["xen_platform_pci", "xen_vbd"], &["xen_vbd"], &["xenblk"]],
        _ => &[],
    }
}

/// Buses that an operator can wish for, the faster first.
pub const BUSES: [&str; 11] = [
    "virtio-blk",
    "virtio-scsi",
    "nvme",
    "ahci",
    "pvscsi",
    "lsi-scsi",
    "lsi-sas",
    "ide",
    "buslogic",
    "hyperv-scsi",
    "xen",
];

/// Models of network cards that an operator can wish for, the faster first.
pub const CARDS: [&str; 9] =
    ["virtio-net", "vmxnet3", "hyperv-net", "xen-netfront", "e1000e", "e1000", "rtl8139", "pcnet", "tulip"];

/// The module for a NIC model, and the driver's name as udev shows it.
pub fn network(nic_model: &str) -> Option<(&'static str, &'static str)> {
    Some(match nic_model {
        "virtio-net" => ("virtio_net", "virtio_net"),
        "e1000" => ("e1000", "e1000"),
        "e1000e" => ("e1000e", "e1000e"),
        "vmxnet3" => ("vmxnet3", "vmxnet3"),
        "hyperv-net" => ("hv_netvsc", "hv_netvsc"),
        "xen-netfront" => ("xen_netfront", "vif"),
        "rtl8139" => ("8139cp", "8139cp"),
        "tulip" => ("tulip", "tulip"),
        "pcnet" => ("pcnet32", "pcnet32"),
        _ => return None,
    })
}

/// The symbol in the kernel's configuration that says whether the module is built in.
pub fn symbol(module: &str) -> Option<&'static str> {
    Some(match module {
        "virtio_pci" => "CONFIG_VIRTIO_PCI",
        "virtio_blk" => "CONFIG_VIRTIO_BLK",
        "virtio_scsi" => "CONFIG_SCSI_VIRTIO",
        "sd_mod" => "CONFIG_BLK_DEV_SD",
        "nvme" => "CONFIG_BLK_DEV_NVME",
        "ahci" => "CONFIG_SATA_AHCI",
        "ata_piix" => "CONFIG_ATA_PIIX",
        "piix" => "CONFIG_BLK_DEV_PIIX",
        "ide_disk" => "CONFIG_BLK_DEV_IDEDISK",
        "mptspi" => "CONFIG_FUSION_SPI",
        "mptsas" => "CONFIG_FUSION_SAS",
        "mptscsih" => "CONFIG_FUSION",
        "BusLogic" => "CONFIG_SCSI_BUSLOGIC",
        "vmw_pvscsi" => "CONFIG_VMWARE_PVSCSI",
        "hv_vmbus" => "CONFIG_HYPERV",
        "hv_storvsc" => "CONFIG_HYPERV_STORAGE",
        "xen_blkfront" => "CONFIG_XEN_BLKDEV_FRONTEND",
        "virtio_net" => "CONFIG_VIRTIO_NET",
        "e1000" => "CONFIG_E1000",
        "e1000e" => "CONFIG_E1000E",
        "vmxnet3" => "CONFIG_VMXNET3",
        "hv_netvsc" => "CONFIG_HYPERV_NET",
        "xen_netfront" => "CONFIG_XEN_NETDEV_FRONTEND",
        "8139cp" => "CONFIG_8139CP",
        "tulip" => "CONFIG_TULIP",
        "pcnet32" => "CONFIG_PCNET32",
        _ => return None,
    })
}
