//! Systems from before systemd: nash, dracut 004, SUSE's mkinitrd.

use crate::golden::{Guest, image};
use crate::modules::*;
use crate::system::*;
use wherry_sdk::testing::MemoryVolume;

const LVM: &[(&str, &str)] = &[
    ("fs.kind", "ext3"),
    ("fs.uuid", "3333"),
    ("lvm.vg", "VolGroup00"),
    ("lvm.lv", "LogVol00"),
    ("disk.index", "0"),
];
const BOOT_1: &[(&str, &str)] = &[
    ("fs.kind", "ext3"),
    ("fs.uuid", "2222-boot"),
    ("fs.label", "/boot"),
    ("disk.index", "0"),
    ("partition.number", "1"),
    ("parent", "disk:0"),
];

/// A menu of GRUB legacy in `/boot`, a partition of its own.
fn menu(title: &str, release: &str, arguments: &str, initrd: &str) -> String {
    format!(
        "default=0\ntimeout=5\nhiddenmenu\ntitle {title} ({release})\n\troot (hd0,0)\n\tkernel /vmlinuz-{release} {arguments}\n\tinitrd /{initrd}\n"
    )
}

fn nash_modules(kernel: &Kernel, names: &[&str]) -> Vec<(String, Vec<u8>)> {
    names.iter().map(|name| (format!("lib/{name}.ko"), kernel.file(name))).collect()
}

fn nash(kernel: &Kernel, init: &str, names: &[&str]) -> Vec<u8> {
    let modules = nash_modules(kernel, names);
    let mut files: Vec<(&str, &[u8])> =
        vec![("init", init.as_bytes()), ("bin/nash", b"nash"), ("bin/insmod", b"insmod")];
    files.extend(modules.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())));
    image(&files)
}

fn loading(names: &[&str]) -> String {
    names.iter().map(|name| format!("echo \"Loading {name}.ko module\"\ninsmod /lib/{name}.ko \n")).collect()
}

/// 2.6.9 with virtio (4.8 and later) on VMware: udev in the image, LVM, kudzu's modprobe.conf.
pub fn rhel_4() -> Guest {
    let kernel = Kernel { release: "2.6.9-89.EL", sets: vec![SCSI, VIRTIO, LSI, BUSLOGIC, CARDS, PCNET, DM] };
    let drivers = [
        "scsi_mod",
        "sd_mod",
        "mptbase",
        "mptscsih",
        "scsi_transport_spi",
        "mptspi",
        "jbd",
        "ext3",
        "dm-mod",
    ];
    let init = format!(
        "#!/bin/nash\n\nmount -t proc /proc /proc\nsetquiet\necho Mounting sysfs\nmount -t sysfs none /sys\necho Creating /dev\n\
         mount -o mode=0755 -t tmpfs none /dev\nmknod /dev/console c 5 1\nmkdir /dev/pts\necho Starting udev\n/sbin/udevstart\n\
         echo -n \"/sbin/hotplug\" > /proc/sys/kernel/hotplug\n{}/sbin/udevstart\necho Making device-mapper control node\nmkdmnod\n\
         echo Scanning logical volumes\nlvm vgscan\necho Activating logical volumes\nlvm vgchange -ay\necho Creating root device\n\
         mkrootdev /dev/root\numount /sys\necho Mounting root filesystem\nmount -o defaults --ro -t ext3 /dev/root /sysroot\n\
         echo Switching to new root\nswitchroot /sysroot\n",
        loading(&drivers)
    );
    let release = kernel.release;
    let boot = MemoryVolume::new("mbr:1", BOOT_1)
        .file(&format!("/vmlinuz-{release}"), vmlinuz(release))
        .file(&format!("/initrd-{release}.img"), nash(&kernel, &init, &drivers))
        .file(&format!("/config-{release}"), "CONFIG_BLK_DEV_PIIX=y\nCONFIG_BLK_DEV_IDEDISK=y\n")
        .file("/grub/stage2", "")
        .file("/grub/device.map", "(hd0)     /dev/sda\n")
        .file(
            "/grub/grub.conf",
            menu(
                "Red Hat Enterprise Linux AS",
                release,
                "ro root=/dev/VolGroup00/LogVol00 rhgb quiet",
                &format!("initrd-{release}.img"),
            ),
        );
    let root = kernel
        .install(MemoryVolume::new("lvm:root", LVM).kind("logical-volume"), "/lib")
        .file("/etc/redhat-release", "Red Hat Enterprise Linux AS release 4 (Nahant Update 8)\n")
        .file("/etc/fstab", "/dev/VolGroup00/LogVol00 / ext3 defaults 1 1\nLABEL=/boot /boot ext3 defaults 1 2\nnone /proc proc defaults 0 0\n/dev/hda /media/cdrom auto pamconsole,fscontext=system_u:object_r:removable_t,exec,noauto,managed 0 0\n")
        .file("/etc/modprobe.conf", "alias eth0 pcnet32\nalias scsi_hostadapter mptbase\nalias scsi_hostadapter1 mptspi\n")
        .file("/sbin/mkinitrd", "#!/bin/bash\n")
        .file("/sbin/nash", "")
        .file("/etc/sysconfig/network-scripts/ifcfg-eth0", "DEVICE=eth0\nBOOTPROTO=static\nHWADDR=00:0C:29:00:00:01\nIPADDR=192.0.2.9\nNETMASK=255.255.255.0\n");
    Guest { tree: tree(root, vec![boot]), firmware: "bios" }
}

/// 2.6.18 on VMware; a label as root, IDE built in.
pub fn rhel_5() -> Guest {
    let kernel =
        Kernel { release: "2.6.18-398.el5", sets: vec![SCSI, VIRTIO, ATA, LSI, BUSLOGIC, CARDS, PCNET, DM] };
    let drivers =
        ["jbd", "ext3", "scsi_mod", "sd_mod", "mptbase", "mptscsih", "scsi_transport_spi", "mptspi"];
    let init = format!(
        "#!/bin/nash\n\nmount -t proc /proc /proc\nsetquiet\necho Mounting proc filesystem\nmount -t sysfs /sys /sys\n\
         mount -o mode=0755 -t tmpfs /dev /dev\nmknod /dev/null c 1 3\necho Setting up hotplug.\nhotplug\n\
         echo Creating block device nodes.\nmkblkdevs\n{}echo Waiting for driver initialization.\n\
         stabilized --hash --interval 250 /proc/scsi/scsi\nmkblkdevs\n\
         echo Scanning and configuring dmraid supported devices\nresume LABEL=SWAP-sda2\necho Creating root device.\n\
         mkrootdev -t ext3 -o defaults,ro /dev/sda1\necho Mounting root filesystem.\nmount /sysroot\n\
         echo Setting up other filesystems.\nsetuproot\necho Switching to new root and running init.\nswitchroot\n",
        loading(&drivers)
    );
    let release = kernel.release;
    let root = [
        ("fs.kind", "ext3"),
        ("fs.uuid", "1111-root"),
        ("fs.label", "/"),
        ("disk.index", "0"),
        ("partition.number", "1"),
        ("parent", "disk:0"),
    ];
    let root = kernel
        .install(MemoryVolume::new("mbr:1", &root), "/lib")
        .file("/etc/redhat-release", "CentOS release 5.11 (Final)\n")
        .file("/etc/fstab", "LABEL=/ / ext3 defaults 1 1\nLABEL=SWAP-sda2 swap swap defaults 0 0\n.host:/ /mnt/hgfs vmhgfs defaults,ttl=5 0 0\n")
        .file("/etc/modprobe.conf", "alias eth0 pcnet32\nalias scsi_hostadapter mptbase\nalias scsi_hostadapter1 mptspi\n")
        .file("/sbin/mkinitrd", "#!/bin/bash\n")
        .file("/sbin/nash", "")
        .file("/etc/X11/xorg.conf", "Section \"InputDevice\"\n\tDriver \"vmmouse\"\nEndSection\nSection \"Device\"\n\tIdentifier \"Videocard0\"\n\tDriver      \"vmware\"\nEndSection\n")
        .file("/etc/sysconfig/network-scripts/ifcfg-eth0", "DEVICE=eth0\nBOOTPROTO=dhcp\nHWADDR=00:0C:29:00:00:01\n")
        .file(&format!("/boot/vmlinuz-{release}"), vmlinuz(release))
        .file(&format!("/boot/initrd-{release}.img"), nash(&kernel, &init, &drivers))
        .file(&format!("/boot/config-{release}"), "CONFIG_BLK_DEV_PIIX=y\nCONFIG_BLK_DEV_IDEDISK=y\n")
        .file("/boot/grub/stage2", "")
        .file("/boot/grub/grub.conf", menu("CentOS", release, "ro root=/dev/sda1", &format!("boot/initrd-{release}.img")).replace(" /vmlinuz", " /boot/vmlinuz"));
    Guest { tree: tree(root, Vec::new()), firmware: "bios" }
}

/// 2.6.32 on Xen HVM by its paravirtual disk: dracut 004, whose hooks lie in the root of the image.
pub fn rhel_6() -> Guest {
    let kernel = Kernel { release: "2.6.32-754.el6.x86_64", sets: today() };
    let inside = kernel.inside("lib", &["xen-blkfront", "jbd", "ext3"]);
    let mut files: Vec<(&str, &[u8])> = vec![
        ("init", b"#!/bin/sh\n. /lib/dracut-lib.sh\n"),
        ("dracut-004-411.el6", b""),
        ("lib/dracut-lib.sh", b""),
        ("sbin/udevd", b"udevd"),
        ("initqueue-finished/devexists-root.sh", b"[ -e \"/dev/disk/by-path/xen-vbd-51712-part1\" ]\n"),
    ];
    files.extend(inside.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())));
    let release = kernel.release;
    let root = kernel
        .install(MemoryVolume::new("mbr:1", ROOT), "/lib")
        .file("/etc/redhat-release", "Scientific Linux release 6.10 (Carbon)\n")
        .file("/etc/fstab", "/dev/xvda1 / ext4 defaults 1 1\ntmpfs /dev/shm tmpfs defaults 0 0\n")
        .file("/usr/share/dracut/dracut", "")
        .directory("/etc/dracut.conf.d")
        .file("/etc/inittab", "id:3:initdefault:\n")
        .file("/etc/sysconfig/network-scripts/ifcfg-eth0", "DEVICE=eth0\nBOOTPROTO=dhcp\n")
        .file("/lib/udev/rules.d/75-persistent-net-generator.rules", "")
        .file("/etc/udev/rules.d/70-persistent-net.rules", "SUBSYSTEM==\"net\", ACTION==\"add\", DRIVERS==\"?*\", ATTR{address}==\"00:16:3e:00:00:01\", ATTR{type}==\"1\", KERNEL==\"eth*\", NAME=\"eth0\"\n")
        .file(&format!("/boot/vmlinuz-{release}"), vmlinuz(release))
        .file(&format!("/boot/initramfs-{release}.img"), image(&files))
        .file("/boot/grub/stage2", "")
        .file("/boot/grub/grub.conf", menu("Scientific Linux", release, "ro root=/dev/xvda1 rd_NO_LUKS console=hvc0", &format!("boot/initramfs-{release}.img")).replace(" /vmlinuz", " /boot/vmlinuz"));
    Guest { tree: tree(root, Vec::new()), firmware: "bios" }
}

/// 2.6.16 on VMware: one script, which loads each driver by a line; udev's rules in the image load none but sd_mod.
pub fn sles_10() -> Guest {
    let kernel = Kernel {
        release: "2.6.16.60-0.85.1-default",
        sets: vec![SCSI, VIRTIO, OLD_ATA, LSI, BUSLOGIC, CARDS, PCNET, DM],
    };
    let keeps = ["scsi_mod", "sd_mod", "mptbase", "mptscsih", "scsi_transport_spi", "mptspi", "jbd", "ext3"];
    let inside = kernel.inside("lib", &keeps);
    let init = "#! /bin/bash\nudev_timeout=30\necho \"Starting udevd\"\n/sbin/udevd --daemon\n\necho \"Creating devices\"\n\
                /sbin/udevtrigger\n/sbin/udevsettle --timeout=$udev_timeout\n\necho \"Loading mptspi\"\nmodprobe mptspi $params\n\
                if ! udev_discover_root ; then\n    PATH=$PATH PS1='$ ' /bin/sh -i\nfi\n";
    let mut files: Vec<(&str, &[u8])> = vec![
        ("init", init.as_bytes()),
        ("sbin/udevd", b"udevd"),
        ("etc/udev/rules.d/50-udev-default.rules", b"SUBSYSTEM==\"scsi_device\", ACTION==\"add\", SYSFS{device/type}==\"0|7|14\", RUN+=\"/sbin/modprobe sd_mod\"\n"),
    ];
    files.extend(inside.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())));
    let release = kernel.release;
    let root = kernel
        .install(MemoryVolume::new("mbr:1", ROOT), "/lib")
        .file("/etc/SuSE-release", "SUSE Linux Enterprise Server 10 (x86_64)\nVERSION = 10\nPATCHLEVEL = 4\n")
        .file("/etc/fstab", "/dev/sda1 / ext3 acl,user_xattr 1 1\nproc /proc proc defaults 0 0\n")
        .file("/sbin/mkinitrd", "#!/bin/bash\n")
        .file("/etc/sysconfig/kernel", "INITRD_MODULES=\"mptspi processor thermal fan jbd ext3\"\n")
        .file("/etc/sysconfig/network/ifcfg-eth-id-00:50:56:00:00:01", "BOOTPROTO='dhcp'\nSTARTMODE='auto'\n")
        .file(&format!("/boot/vmlinuz-{release}"), vmlinuz(release))
        .file(&format!("/boot/initrd-{release}"), image(&files))
        .file("/boot/grub/stage2", "")
        .file(
            "/boot/grub/menu.lst",
            menu(
                "SUSE Linux Enterprise Server 10 SP4",
                release,
                "root=/dev/sda1 splash=silent showopts",
                &format!("boot/initrd-{release}"),
            )
            .replace(" /vmlinuz", " /boot/vmlinuz"),
        );
    Guest { tree: tree(root, Vec::new()), firmware: "bios" }
}

/// 3.0 on VMware: SUSE's mkinitrd, links by identifier everywhere, GRUB legacy, a file of its own for the next command line.
pub fn sles_11() -> Guest {
    let kernel = Kernel { release: "3.0.101-108-default", sets: today() };
    let keeps = ["scsi_mod", "sd_mod", "mptbase", "mptscsih", "scsi_transport_spi", "mptspi", "jbd", "ext3"];
    let inside = kernel.inside("lib", &keeps);
    let mut files: Vec<(&str, &[u8])> = vec![
        ("init", b"#!/bin/bash\nsource run_all.sh\n"),
        ("run_all.sh", b"source boot/01-start.sh\n"),
        ("config/mount.sh", b"[ \"$rootdev\" ] || rootdev='/dev/disk/by-id/scsi-36000c29-part1'\n"),
        ("config/start.sh", b""),
        ("sbin/udevd", b"udevd"),
        (
            "lib/udev/rules.d/80-drivers.rules",
            b"DRIVER!=\"?*\", ENV{MODALIAS}==\"?*\", RUN+=\"/sbin/modprobe $env{MODALIAS}\"\n",
        ),
    ];
    files.extend(inside.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())));
    let release = kernel.release;
    let id = "/dev/disk/by-id/scsi-36000c29-part";
    let root = kernel
        .install(MemoryVolume::new("mbr:1", ROOT), "/lib")
        .file("/etc/SuSE-release", "SUSE Linux Enterprise Server 11 (x86_64)\nVERSION = 11\nPATCHLEVEL = 4\n")
        .file("/etc/fstab", format!("{id}1 / ext3 acl,user_xattr 1 1\n{id}5 swap swap defaults 0 0\nproc /proc proc defaults 0 0\n"))
        .file("/sbin/mkinitrd", "#!/bin/bash\n")
        .file("/lib/mkinitrd/scripts/setup-modules.sh", "")
        .file("/etc/sysconfig/kernel", "INITRD_MODULES=\"mptspi ata_piix ata_generic\"\nDOMU_INITRD_MODULES=\"xennet xenblk\"\n")
        .file("/etc/sysconfig/bootloader", format!("LOADER_TYPE=\"grub\"\nDEFAULT_APPEND=\"resume={id}5 splash=silent showopts\"\nFAILSAFE_APPEND=\"showopts noresume\"\n"))
        .file("/etc/sysconfig/network/ifcfg-eth0", "BOOTPROTO='static'\nIPADDR='192.0.2.9/24'\nSTARTMODE='auto'\n")
        .file("/etc/udev/rules.d/70-persistent-net.rules", "SUBSYSTEM==\"net\", ACTION==\"add\", DRIVERS==\"?*\", ATTR{address}==\"00:50:56:00:00:01\", ATTR{dev_id}==\"0x0\", ATTR{type}==\"1\", KERNEL==\"eth*\", NAME=\"eth0\"\n")
        .file(&format!("/boot/vmlinuz-{release}"), vmlinuz(release))
        .file(&format!("/boot/initrd-{release}"), image(&files))
        .file("/boot/grub/stage2", "")
        .file("/boot/grub/device.map", "(hd0)\t/dev/disk/by-id/scsi-36000c29\n")
        .file("/boot/grub/menu.lst", menu("SUSE Linux Enterprise Server 11 SP4", release, &format!("root={id}1 resume={id}5 splash=silent showopts"), &format!("boot/initrd-{release}")).replace(" /vmlinuz", " /boot/vmlinuz"));
    Guest { tree: tree(root, vec![MemoryVolume::new("mbr:5", SWAP)]), firmware: "bios" }
}

/// RHEL 5 as Xen ran it: PyGrub reads the menu, the kernel runs on Xen only, logins are on its console.
pub fn xen_pv() -> Guest {
    let kernel = Kernel { release: "2.6.18-398.el5xen", sets: vec![SCSI, DM, XEN_SOURCE] };
    let drivers = ["xenblk", "jbd", "ext3"];
    let init = format!(
        "#!/bin/nash\nmount -t proc /proc /proc\nmkblkdevs\n{}mkblkdevs\nmkrootdev -t ext3 -o defaults,ro /dev/xvda1\nmount /sysroot\nswitchroot\n",
        loading(&drivers)
    );
    let release = kernel.release;
    let root = kernel
        .install(MemoryVolume::new("mbr:1", ROOT), "/lib")
        .file("/etc/redhat-release", "CentOS release 5.11 (Final)\n")
        .file("/etc/fstab", "/dev/xvda1 / ext3 defaults 1 1\n")
        .file("/etc/inittab", "id:3:initdefault:\nco:2345:respawn:/sbin/agetty xvc0 9600 vt100-nav\n#1:2345:respawn:/sbin/mingetty tty1\n#2:2345:respawn:/sbin/mingetty tty2\n")
        .file("/etc/securetty", "console\nxvc0\ntty1\n")
        .file("/etc/modprobe.conf", "alias eth0 xennet\nalias scsi_hostadapter xenblk\n")
        .file("/sbin/mkinitrd", "#!/bin/bash\n")
        .file("/sbin/nash", "")
        .file("/etc/sysconfig/network-scripts/ifcfg-eth0", "DEVICE=eth0\nBOOTPROTO=dhcp\n")
        .file(&format!("/boot/vmlinuz-{release}"), vmlinuz(release))
        .file(&format!("/boot/initrd-{release}.img"), nash(&kernel, &init, &drivers))
        .file(&format!("/boot/config-{release}"), "CONFIG_X86_64_XEN=y\n")
        .file("/boot/grub/menu.lst", menu("CentOS", release, "ro root=/dev/xvda1 console=xvc0", &format!("boot/initrd-{release}.img")).replace(" /vmlinuz", " /boot/vmlinuz"));
    Guest { tree: tree(root, Vec::new()), firmware: "bios" }
}

/// Slackware with a kernel that has the drivers of old machines in it: LILO starts it from a map.
pub fn lilo() -> Guest {
    let kernel = Kernel { release: "5.15.145", sets: today() };
    let release = kernel.release;
    let root = kernel
        .install(MemoryVolume::new("mbr:1", ROOT), "/lib")
        .file("/etc/slackware-version", "Slackware 15.0\n")
        .file("/etc/fstab", "/dev/sda1 / ext4 defaults 1 1\n")
        .file("/etc/lilo.conf", "boot = /dev/sda\nroot = /dev/sda1\nimage = /boot/vmlinuz\n  label = Linux\n  read-only\n")
        .file(&format!("/boot/vmlinuz-huge-{release}"), vmlinuz(release))
        .symlink("/boot/vmlinuz", &format!("vmlinuz-huge-{release}"))
        .file(&format!("/boot/config-{release}"), "CONFIG_SATA_AHCI=y\nCONFIG_BLK_DEV_SD=y\nCONFIG_FUSION_SPI=y\nCONFIG_VIRTIO_PCI=y\nCONFIG_VIRTIO_BLK=y\n");
    Guest { tree: tree(root, Vec::new()), firmware: "bios" }
}

/// SLES 10: files of the network are called by addresses, udev's rules by the names of its time.
#[test]
fn files_that_are_called_by_addresses() {
    let rule = |mac: &str| {
        format!(
            "SUBSYSTEM==\"net\", ACTION==\"add\", SYSFS{{address}}==\"{mac}\", IMPORT=\"/lib/udev/rename_netiface %k eth0\"\n"
        )
    };
    let root = built_in(MemoryVolume::new("mbr:1", ROOT))
        .file("/etc/SuSE-release", "SUSE Linux Enterprise Server 10 (x86_64)\nVERSION = 10\n")
        .file("/etc/fstab", "UUID=1111-root / ext3 defaults 1 1\n")
        .file("/boot/grub/stage2", "")
        .file(
            "/boot/grub/menu.lst",
            menu("SLES", BUILT_IN, "root=UUID=1111-root", "boot/initrd")
                .replace(" /vmlinuz", " /boot/vmlinuz"),
        )
        .file(&format!("/boot/vmlinuz-{BUILT_IN}"), vmlinuz(BUILT_IN))
        .file("/boot/initrd", "")
        .file(
            "/etc/sysconfig/network/ifcfg-eth-id-00:50:56:aa:00:01",
            "BOOTPROTO='static'\nIPADDR='192.0.2.9'\n",
        )
        .file("/etc/udev/rules.d/30-net_persistent_names.rules", rule("00:50:56:aa:00:01"));
    let tree = tree(root, Vec::new());
    same(
        &edits(&tree, &virtio(), &nics(&["52:54:00:00:00:01"])),
        &[
            "write /etc/udev/rules.d/30-net_persistent_names.rules",
            &format!("- {}", rule("00:50:56:aa:00:01").trim_end()),
            &format!("+ {}", rule("52:54:00:00:00:01").trim_end()),
            "rename /etc/sysconfig/network/ifcfg-eth-id-00:50:56:aa:00:01",
            "+ /etc/sysconfig/network/ifcfg-eth-id-52:54:00:00:00:01",
        ],
    );
}

/// A login on Xen's console moves to the serial line that the target has, where root may log in as well.
#[test]
fn a_login_on_the_serial_line() {
    let serial = wherry_sdk::fact("serial-console", "ttyS0");
    let profile = wherry_sdk::DeviceProfile { facts: vec![serial], ..virtio() };
    let Guest { tree, .. } = xen_pv();
    let (_, all) = adapt(&tree, &profile, &[]);
    let shown = shown(&all);
    let at = shown.iter().position(|line| line == "write /etc/inittab").unwrap();
    same(
        &shown[at..at + 9],
        &[
            "write /etc/inittab",
            "- co:2345:respawn:/sbin/agetty xvc0 9600 vt100-nav",
            "- #1:2345:respawn:/sbin/mingetty tty1",
            "- #2:2345:respawn:/sbin/mingetty tty2",
            "+ co:2345:respawn:/sbin/agetty ttyS0 9600 vt100-nav",
            "+ 1:2345:respawn:/sbin/mingetty tty1",
            "+ 2:2345:respawn:/sbin/mingetty tty2",
            "write /etc/securetty",
            "+ ttyS0",
        ],
    );
    assert!(shown.iter().any(|line| line.ends_with("root=UUID=1111-root console=ttyS0")), "{shown:?}");
}

/// Hyper-V's IDE disks are the synthetic driver's where the kernel has it, and nobody else's where it has not.
#[test]
fn ide_of_hyper_v() {
    let added = |guest: Guest| {
        let machine = "generation-1".to_owned();
        let profile = wherry_sdk::DeviceProfile { disk_bus: "ide".into(), machine, ..virtio() };
        let (_, all) = adapt(&guest.tree, &profile, &[]);
        all.iter().find(|edit| edit.action == "append").map(|edit| edit.reason.clone())
    };
    assert!(added(rhel_6()).unwrap().ends_with("it lacks hv_vmbus, scsi_mod, hv_storvsc, sd_mod"));
    // built in
    assert_eq!(added(rhel_5()), None);
}

/// RHEL 6 for UEFI: GRUB legacy's program and its menu are found under the fallback's name.
#[test]
fn grub_legacy_of_uefi() {
    let arguments = "root=UUID=1111-root console=tty0";
    let esp = MemoryVolume::new("gpt:3", ESP)
        .file("/EFI/redhat/grub.efi", "grub")
        .file("/EFI/redhat/grub.conf", menu("RHEL", BUILT_IN, arguments, "initrd"));
    let table = "UUID=1111-root / ext4 defaults 1 1\nUUID=ABCD-0001 /boot/efi vfat defaults 0 0\n";
    let root = built_in(MemoryVolume::new("gpt:1", ROOT))
        .file("/etc/redhat-release", "Red Hat Enterprise Linux Server release 6.10 (Santiago)\n")
        .file("/etc/fstab", table)
        .directory("/boot/efi")
        .symlink("/boot/grub/grub.conf", "../efi/EFI/redhat/grub.conf")
        .file(&format!("/boot/vmlinuz-{BUILT_IN}"), vmlinuz(BUILT_IN))
        .file("/boot/initrd", "");
    let lines = edits(&tree(root, vec![esp]), &virtio_uefi(), &[]);
    let written: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("write ")).collect();
    assert_eq!(written, ["/boot/efi/EFI/BOOT/BOOTX64.EFI", "/boot/efi/EFI/BOOT/BOOTX64.conf"]);
}
