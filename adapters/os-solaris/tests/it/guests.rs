//! Guests in memory, made of what the releases install.

use wherry_sdk::testing::{MemoryTree, MemoryVolume};

/// A kind of guest.
pub struct Guest {
    /// What its golden files are called.
    pub name: &'static str,
    /// `/etc/release`'s first line.
    pub release: &'static str,
    /// `ufs`, `zfs`.
    pub root: &'static str,
    /// What it runs on now.
    pub old: Old,
    /// What it can drive.
    pub drivers: &'static [(&'static str, &'static str)],
}

/// The machine that a guest comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Old {
    /// VMware with LSI Logic and e1000.
    VMware,
    /// A PC with IDE and a Broadcom card.
    Ide,
    /// sun4u with two SCSI disks.
    Sun4u,
    /// A logical domain.
    Domain,
}

const IDE: (&str, &str) = ("pci-ide", "pciclass,0101");
const MPT: [(&str, &str); 2] = [("mpt", "pci1000,30"), ("mpt", "pci1000,54")];
const AHCI: (&str, &str) = ("ahci", "pciclass,010601");
const E1000: [(&str, &str); 2] = [("e1000g", "pci8086,100e"), ("e1000g", "pci8086,100f")];
const E1000E: (&str, &str) = ("e1000g", "pciex8086,10d3");
const PCN: (&str, &str) = ("pcn", "pci1022,2000");
const RTLS: (&str, &str) = ("rtls", "pci10ec,8139");
const DNET: (&str, &str) = ("dnet", "pci1011,9");
const NVME: (&str, &str) = ("nvme", "pciexclass,010802");
const VIRTIO: [(&str, &str); 3] =
    [("vioblk", "pci1af4,1001"), ("vioif", "pci1af4,1000"), ("vioscsi", "pci1af4,1004")];
const VMXNET: (&str, &str) = ("vmxnet3s", "pciex15ad,7b0");

const FIRST: &[(&str, &str)] = &[IDE, MPT[0], E1000[0], E1000[1], PCN, RTLS, DNET];
const TEN: &[(&str, &str)] = &[IDE, MPT[0], MPT[1], AHCI, E1000[0], E1000[1], E1000E, PCN, RTLS, DNET];
const ELEVEN: &[(&str, &str)] =
    &[IDE, MPT[0], MPT[1], AHCI, E1000[0], E1000[1], E1000E, PCN, RTLS, DNET, NVME];
const ILLUMOS: &[(&str, &str)] = &[
    IDE, MPT[0], MPT[1], AHCI, E1000[0], E1000[1], E1000E, PCN, RTLS, DNET, NVME, VIRTIO[0], VIRTIO[1],
    VIRTIO[2], VMXNET,
];

/// All guests.
pub const ALL: &[Guest] = &[
    Guest {
        name: "10-1-06-ufs",
        release: "                    Solaris 10 1/06 s10x_u1wos_19a X86",
        root: "ufs",
        old: Old::Ide,
        drivers: FIRST,
    },
    Guest {
        name: "10-11-06-ufs",
        release: "                   Solaris 10 11/06 s10x_u3wos_10 X86",
        root: "ufs",
        old: Old::VMware,
        drivers: FIRST,
    },
    Guest {
        name: "10-10-08-ufs",
        release: "                   Solaris 10 10/08 s10x_u6wos_07b X86",
        root: "ufs",
        old: Old::VMware,
        drivers: TEN,
    },
    Guest {
        name: "10-1-13-ufs",
        release: "                  Oracle Solaris 10 1/13 s10x_u11wos_24a X86",
        root: "ufs",
        old: Old::VMware,
        drivers: TEN,
    },
    Guest {
        name: "10-1-13-zfs",
        release: "                  Oracle Solaris 10 1/13 s10x_u11wos_24a X86",
        root: "zfs",
        old: Old::VMware,
        drivers: TEN,
    },
    Guest {
        name: "10-8-11-sun4u",
        release: "                  Oracle Solaris 10 8/11 s10s_u10wos_17b SPARC",
        root: "ufs",
        old: Old::Sun4u,
        drivers: &[],
    },
    Guest {
        name: "10-1-13-sun4v",
        release: "                  Oracle Solaris 10 1/13 s10s_u11wos_24a SPARC",
        root: "zfs",
        old: Old::Domain,
        drivers: &[],
    },
    Guest {
        name: "11-0",
        release: "                           Oracle Solaris 11 11/11 X86",
        root: "zfs",
        old: Old::VMware,
        drivers: ELEVEN,
    },
    Guest {
        name: "11-3",
        release: "                             Oracle Solaris 11.3 X86",
        root: "zfs",
        old: Old::VMware,
        drivers: ELEVEN,
    },
    Guest {
        name: "11-4",
        release: "                             Oracle Solaris 11.4 X86",
        root: "zfs",
        old: Old::VMware,
        drivers: ELEVEN,
    },
    Guest {
        name: "openindiana",
        release: "             OpenIndiana Hipster 2023.10 (powered by illumos)",
        root: "zfs",
        old: Old::VMware,
        drivers: ILLUMOS,
    },
    Guest { name: "omnios", release: "  OmniOS v11 r151046", root: "zfs", old: Old::Ide, drivers: ILLUMOS },
    Guest {
        name: "smartos",
        release: "                       SmartOS 20240125T000236Z x86_64",
        root: "zfs",
        old: Old::VMware,
        drivers: ILLUMOS,
    },
];

/// The guest with this name.
pub fn find(name: &str) -> &'static Guest {
    ALL.iter().find(|guest| guest.name == name).unwrap()
}

impl Guest {
    /// Its first disk's name and place.
    pub fn disk(&self) -> (&'static str, &'static str) {
        match self.old {
            Old::VMware => ("c1t0d0", "/pci@0,0/pci15ad,1976@10/sd@0,0"),
            Old::Ide => ("c0d0", "/pci@0,0/pci-ide@1f,1/ide@0/cmdk@0,0"),
            Old::Sun4u => ("c0t0d0", "/pci@1f,700000/scsi@2/sd@0,0"),
            Old::Domain => ("c0d0", "/virtual-devices@100/channel-devices@200/disk@0"),
        }
    }

    /// Its card.
    pub fn card(&self) -> &'static str {
        match self.old {
            Old::VMware => "e1000g0",
            Old::Ide => "bge0",
            Old::Sun4u => "ce0",
            Old::Domain => "vnet0",
        }
    }

    fn sparc(&self) -> bool {
        matches!(self.old, Old::Sun4u | Old::Domain)
    }

    fn ten(&self) -> bool {
        self.release.contains("Solaris 10")
    }

    /// Its root.
    pub fn root(&self) -> MemoryVolume {
        let kind = self.root;
        let facts = [
            ("fs.kind", kind),
            ("disk.index", "0"),
            ("table.kind", "vtoc-x86"),
            ("partition.number", "0"),
            ("parent", "disk:0"),
        ];
        let mut root = MemoryVolume::new("vtoc:0", &facts)
            .file("/etc/release", format!("{}\n   Copyright\n   Assembled 2013\n", self.release))
            .file("/etc/name_to_major", "cn 0\nrootnex 1\n")
            .file("/etc/nodename", "sol\n")
            .file("/etc/system", "*\n* Forceload: ...\n")
            .file("/etc/zones/index", "global:installed:/\n")
            .file("/kernel/genunix", "");
        let architecture = if self.sparc() { "sun4u" } else { "i86pc" };
        root = root.file(&format!("/platform/{architecture}/kernel/unix"), "");
        if self.old == Old::Domain {
            root = root.file("/platform/sun4v/kernel/unix", "");
        }
        root = if kind == "zfs" { self.on_zfs(root) } else { self.on_ufs(root) };
        if self.sparc() {
            return root.file(&format!("/etc/hostname.{}", self.card()), "sol\n");
        }
        root = root.file("/platform/i86pc/kernel/amd64/unix", "").file("/platform/i86pc/boot_archive", "UFS");
        let mut aliases = String::from("bge \"pci14e4,1659\"\n");
        for (driver, alias) in self.drivers {
            aliases += &format!("{driver} \"{alias}\"\n");
            root = root.file(&format!("/kernel/drv/amd64/{driver}"), "");
        }
        root = root.file("/etc/driver_aliases", aliases).file("/etc/path_to_inst", self.instances());
        self.network(root)
    }

    fn on_zfs(&self, root: MemoryVolume) -> MemoryVolume {
        let table = "#device device mount FS fsck mount mount\nfd\t-\t/dev/fd\tfd\t-\tno\t-\n/proc\t-\t/proc\tproc\t-\tno\t-\n/dev/zvol/dsk/rpool/swap\t-\t-\tswap\t-\tno\t-\n";
        root.file("/etc/vfstab", table)
            .fact("fs.pool", "rpool")
            .fact("label.pool", "rpool")
            .fact("fs.bootfs", "rpool/ROOT/be1")
            .fact("fs.boot-environments", "be1\nbe2")
            .fact("fs.edits", "ZFS is read, not written")
    }

    fn on_ufs(&self, root: MemoryVolume) -> MemoryVolume {
        let (disk, path) = self.disk();
        let table = format!(
            "#device\tdevice\tmount\tFS\tfsck\tmount\tmount\n#to mount\tto fsck\tpoint\ttype\tpass\tat boot\toptions\n#\nfd\t-\t/dev/fd\tfd\t-\tno\t-\n/proc\t-\t/proc\tproc\t-\tno\t-\n/dev/dsk/{disk}s1\t-\t-\tswap\t-\tno\t-\n/dev/dsk/{disk}s0\t/dev/rdsk/{disk}s0\t/\tufs\t1\tno\t-\n/dev/dsk/{disk}s7\t/dev/rdsk/{disk}s7\t/export/home\tufs\t2\tyes\t-\n/devices\t-\t/devices\tdevfs\t-\tno\t-\nswap\t-\t/tmp\ttmpfs\t-\tyes\t-\n"
        );
        let menu = format!(
            "#\ndefault 0\ntimeout 10\n#---------- ADDED BY BOOTADM - DO NOT EDIT ----------\ntitle {}\nroot (hd0,0,a)\nkernel /platform/i86pc/multiboot\nmodule /platform/i86pc/boot_archive\n#---------------------END BOOTADM--------------------\n#---------- ADDED BY BOOTADM - DO NOT EDIT ----------\ntitle Solaris failsafe\nroot (hd0,0,a)\nkernel /boot/multiboot kernel/unix -s\nmodule /boot/x86.miniroot-safe\n#---------------------END BOOTADM--------------------\n",
            self.release.trim()
        );
        let mut root = root
            .file("/etc/vfstab", table)
            .file("/etc/dumpadm.conf", format!("#\nDUMPADM_DEVICE=/dev/dsk/{disk}s1\nDUMPADM_SAVDIR=/var/crash/sol\nDUMPADM_CONTENT=kernel\nDUMPADM_ENABLE=yes\n"))
            .symlink("/dev/cfg/c1", "../../devices/pci@0,0/pci15ad,1976@10:scsi");
        for (slice, minor) in [("s0", "a"), ("s1", "b"), ("s7", "h")] {
            root = root
                .symlink(&format!("/dev/dsk/{disk}{slice}"), &format!("../../devices{path}:{minor}"))
                .symlink(&format!("/dev/rdsk/{disk}{slice}"), &format!("../../devices{path}:{minor},raw"));
        }
        if self.sparc() {
            return root;
        }
        root.file("/boot/grub/menu.lst", menu).file(
            "/boot/solaris/bootenv.rc",
            format!("#\n# Copyright\n#\nsetprop ata-dma-enabled '1'\nsetprop console 'text'\nsetprop bootpath '{path}:a'\n"),
        )
    }

    fn instances(&self) -> String {
        let (_, path) = self.disk();
        let card = match self.old {
            Old::VMware => "\"/pci@0,0/pci15ad,790@11/pci15ad,750@0\" 0 \"e1000g\"\n",
            _ => "\"/pci@0,0/pci8086,244e@1e/pci1014,2f7@8\" 0 \"bge\"\n",
        };
        let driver = if path.contains("cmdk") { "cmdk" } else { "sd" };
        format!(
            "#\n#\tCaution! This file contains critical kernel state\n#\n\"/options\" 0 \"options\"\n\"/pci@0,0\" 0 \"pci\"\n\"{path}\" 0 \"{driver}\"\n{card}"
        )
    }

    fn network(&self, root: MemoryVolume) -> MemoryVolume {
        let card = self.card();
        if self.ten() {
            return root
                .file(&format!("/etc/hostname.{card}"), "sol netmask + broadcast + up\n")
                .file(&format!("/etc/dhcp.{card}"), "")
                .file("/etc/zones/web.xml", format!("<zone name=\"web\" zonepath=\"/zones/web\">\n  <network address=\"10.0.0.9/24\" physical=\"{card}\"/>\n</zone>\n"))
                .file("/etc/zones/index", "global:installed:/\nweb:installed:/zones/web:6a0c\n");
        }
        if self.release.contains("Solaris 11") {
            let table =
                format!("net0\tclass=int,1;media=int,4;phymaj=int,78;phyinst=int,0;devname=string,{card};\n");
            return root.file("/etc/dladm/datalink.conf", table);
        }
        root.file("/etc/ipadm/ipadm.conf", format!("_ifname=lo0;_family=2;\n_ifname={card};_family=2;\n_ifname={card};_aobjname={card}/v4;_dhcp=-1,0;\n"))
    }

    /// The guest with its one disk.
    pub fn tree(&self) -> MemoryTree {
        with(self.root(), 1)
    }
}

/// A root and so many disks.
pub fn with(root: MemoryVolume, disks: u32) -> MemoryTree {
    let disk =
        |n: u32| MemoryVolume::new(&format!("disk:{n}"), &[("disk.index", &n.to_string())]).kind("disk");
    let mut volumes: Vec<MemoryVolume> = (0..disks).map(disk).collect();
    volumes.push(root);
    MemoryTree::new(volumes)
}
