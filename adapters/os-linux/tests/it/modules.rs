//! Kernel modules that are made here: ELF files with nothing but what the adapter reads of them, and the indexes of depmod.

use wherry_sdk::testing::MemoryVolume;

/// A module: its file, what it needs, and for which device it asks.
pub struct Module {
    pub path: &'static str,
    pub needs: &'static [&'static str],
    pub alias: &'static str,
}

/// `m("drivers/block/virtio_blk", &["virtio", "virtio_ring"], "virtio:d00000002v*")`
pub const fn m(path: &'static str, needs: &'static [&'static str], alias: &'static str) -> Module {
    Module { path, needs, alias }
}

pub const SCSI: &[Module] =
    &[m("drivers/scsi/scsi_mod", &[], ""), m("drivers/scsi/sd_mod", &["scsi_mod"], "scsi:t-0x00*")];
pub const VIRTIO: &[Module] = &[
    m("drivers/virtio/virtio", &[], ""),
    m("drivers/virtio/virtio_ring", &[], ""),
    m("drivers/virtio/virtio_pci", &["virtio_ring", "virtio"], "pci:v00001AF4d*sv*sd*bc*sc*i*"),
    m("drivers/block/virtio_blk", &["virtio_ring", "virtio"], "virtio:d00000002v*"),
    m("drivers/net/virtio_net", &["virtio_ring", "virtio"], "virtio:d00000001v*"),
];
pub const VIRTIO_SCSI: &[Module] =
    &[m("drivers/scsi/virtio_scsi", &["virtio_ring", "virtio", "scsi_mod"], "virtio:d00000008v*")];
pub const ATA: &[Module] = &[
    m("drivers/ata/libata", &["scsi_mod"], ""),
    m("drivers/ata/ahci", &["libata", "scsi_mod"], "pci:v*d*sv*sd*bc01sc06i01*"),
    m("drivers/ata/ata_piix", &["libata", "scsi_mod"], "pci:v00008086d00007111sv*sd*bc*sc*i*"),
];
/// Before 2.6.20: IDE has drivers of its own, and libata those of SATA only.
pub const OLD_ATA: &[Module] = &[
    m("drivers/ide/ide-core", &[], ""),
    m("drivers/ide/ide-disk", &["ide-core"], ""),
    m("drivers/ide/pci/piix", &["ide-core"], "pci:v00008086d00007010sv*sd*bc*sc*i*"),
    m("drivers/scsi/libata", &["scsi_mod"], ""),
    m("drivers/scsi/ahci", &["libata", "scsi_mod"], "pci:v00008086d00002922sv*sd*bc*sc*i*"),
    m("drivers/scsi/ata_piix", &["libata", "scsi_mod"], "pci:v00008086d000024D1sv*sd*bc*sc*i*"),
];
pub const LSI: &[Module] = &[
    m("drivers/message/fusion/mptbase", &[], ""),
    m("drivers/message/fusion/mptscsih", &["mptbase", "scsi_mod"], ""),
    m("drivers/scsi/scsi_transport_spi", &["scsi_mod"], ""),
    m(
        "drivers/message/fusion/mptspi",
        &["mptscsih", "mptbase", "scsi_transport_spi", "scsi_mod"],
        "pci:v00001000d00000030sv*sd*bc*sc*i*",
    ),
    m("drivers/scsi/scsi_transport_sas", &["scsi_mod"], ""),
    m(
        "drivers/message/fusion/mptsas",
        &["mptscsih", "mptbase", "scsi_transport_sas", "scsi_mod"],
        "pci:v00001000d00000054sv*sd*bc*sc*i*",
    ),
];
pub const BUSLOGIC: &[Module] =
    &[m("drivers/scsi/BusLogic", &["scsi_mod"], "pci:v0000104Bd00001040sv*sd*bc*sc*i*")];
pub const HYPERV: &[Module] = &[
    m("drivers/hv/hv_vmbus", &[], "acpi*:VMBUS:*"),
    m("drivers/scsi/hv_storvsc", &["hv_vmbus", "scsi_mod"], "vmbus:d96361baa104294db60572e2ffb1dc7f*"),
    m("drivers/net/hyperv/hv_netvsc", &["hv_vmbus"], "vmbus:635161f83edfc546913ff2d2f965ed0e*"),
];
pub const NEW: &[Module] = &[
    m("drivers/nvme/host/nvme-core", &[], ""),
    m("drivers/nvme/host/nvme", &["nvme-core"], "pci:v*d*sv*sd*bc01sc08i02*"),
    m("drivers/scsi/vmw_pvscsi", &["scsi_mod"], "pci:v000015ADd000007C0sv*sd*bc*sc*i*"),
    m("drivers/block/xen-blkfront", &[], "xen:vbd"),
];
/// Network cards: those of every kernel, and of newer ones.
pub const CARDS: &[Module] = &[m("drivers/net/e1000/e1000", &[], "pci:v00008086d0000100Fsv*sd*bc*sc*i*")];
pub const PCNET: &[Module] = &[m("drivers/net/pcnet32", &[], "pci:v00001022d00002000sv*sd*bc*sc*i*")];
pub const NEW_CARDS: &[Module] = &[
    m("drivers/net/e1000e/e1000e", &[], "pci:v00008086d000010D3sv*sd*bc*sc*i*"),
    m("drivers/net/vmxnet3/vmxnet3", &[], "pci:v000015ADd000007B0sv*sd*bc*sc*i*"),
    m("drivers/net/xen-netfront", &[], "xen:vif"),
];
pub const DM: &[Module] =
    &[m("drivers/md/dm-mod", &[], ""), m("fs/jbd/jbd", &[], ""), m("fs/ext3/ext3", &["jbd"], "")];

/// What a kernel of today has of these.
pub fn today() -> Vec<&'static [Module]> {
    [enterprise(), vec![BUSLOGIC, PCNET]].concat()
}

/// The same without what Red Hat and Amazon have not built since 2014.
pub fn enterprise() -> Vec<&'static [Module]> {
    vec![SCSI, VIRTIO, VIRTIO_SCSI, ATA, LSI, HYPERV, NEW, CARDS, NEW_CARDS, DM]
}

/// A relocatable ELF file of 64 bits with one section of information.
fn elf(release: &str, depends: &str, alias: &str) -> Vec<u8> {
    let mut information = format!("license=GPL\0depends={depends}\0vermagic={release} SMP mod_unload \0");
    if !alias.is_empty() {
        information.push_str(&format!("alias={alias}\0"));
    }
    let names = b"\0.modinfo\0.shstrtab\0";
    let mut bytes = vec![0; 64];
    bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    bytes[16] = 1;
    bytes[18] = 62;
    let places = [(bytes.len(), information.len(), 1u32), (bytes.len() + information.len(), names.len(), 10)];
    bytes.extend(information.bytes());
    bytes.extend(names);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    let table = bytes.len() as u64;
    bytes[40..48].copy_from_slice(&table.to_le_bytes());
    for (at, value) in [(52, 64u16), (58, 64), (60, 3), (62, 2)] {
        bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }
    bytes.extend([0; 64]);
    for (offset, size, name) in places {
        let mut header = [0u8; 64];
        header[..4].copy_from_slice(&name.to_le_bytes());
        header[24..32].copy_from_slice(&(offset as u64).to_le_bytes());
        header[32..40].copy_from_slice(&(size as u64).to_le_bytes());
        bytes.extend(header);
    }
    bytes
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap()
}

/// A kernel's modules.
pub struct Kernel {
    pub release: &'static str,
    pub sets: Vec<&'static [Module]>,
}

impl Kernel {
    fn all(&self) -> impl Iterator<Item = &'static Module> + '_ {
        self.sets.iter().flat_map(|set| set.iter())
    }

    fn path(&self, wanted: &str) -> String {
        let found = self.all().find(|module| name(module.path) == wanted);
        format!("kernel/{}.ko", found.unwrap_or_else(|| panic!("no {wanted}")).path)
    }

    /// What an initramfs has below its folder `lib` (`lib`, `usr/lib`), with the modules of these names.
    pub fn inside(&self, lib: &str, keeps: &[&str]) -> Vec<(String, Vec<u8>)> {
        let files = self.files(|name| keeps.contains(&name)).into_iter();
        files.map(|(path, bytes)| (format!("{lib}/modules/{}/{path}", self.release), bytes)).collect()
    }

    /// Every file of `/lib/modules/RELEASE` with the modules that `keeps` says.
    pub fn files(&self, keeps: impl Fn(&str) -> bool) -> Vec<(String, Vec<u8>)> {
        let mut files = Vec::new();
        let (mut needs, mut aliases) = (String::new(), String::new());
        for module in self.all().filter(|module| keeps(name(module.path))) {
            let depends: Vec<String> = module.needs.iter().map(|need| self.path(need)).collect();
            needs.push_str(
                &format!("kernel/{}.ko: {}\n", module.path, depends.join(" ")).replace(": \n", ":\n"),
            );
            if !module.alias.is_empty() {
                aliases.push_str(&format!(
                    "alias {} {}\n",
                    module.alias,
                    name(module.path).replace('-', "_")
                ));
            }
            let depends = module.needs.join(",");
            files.push((format!("kernel/{}.ko", module.path), elf(self.release, &depends, module.alias)));
        }
        files.push(("modules.dep".into(), needs.into_bytes()));
        files.push(("modules.alias".into(), aliases.into_bytes()));
        files
    }

    /// The file of one module.
    pub fn file(&self, wanted: &str) -> Vec<u8> {
        let path = self.path(wanted);
        let found = self.files(|_| true).into_iter().find(|(other, _)| *other == path);
        found.unwrap().1
    }

    /// The volume with these modules, in `/lib` as it was before `/usr` took it over, or below `/usr`.
    pub fn install(&self, mut root: MemoryVolume, lib: &str) -> MemoryVolume {
        for (path, bytes) in self.files(|_| true) {
            root = root.file(&format!("{lib}/modules/{}/{path}", self.release), bytes);
        }
        if lib == "/usr/lib" { root.symlink("/lib", "usr/lib") } else { root }
    }
}

/// XenSource's drivers.
pub const XEN_SOURCE: &[Module] =
    &[m("drivers/xen/blkfront/xenblk", &[], ""), m("drivers/xen/netfront/xennet", &[], "")];
