//! What cannot be done is said before a byte is copied.

use crate::initramfs_guest::{Base, kernel};
use crate::system::*;
use os_linux::Linux;
use wherry_sdk::testing::{MemoryTree, MemoryVolume};
use wherry_sdk::{DeviceProfile, SourceOs};

/// A guest with one kernel of this release, its modules elsewhere.
fn guest(root: MemoryVolume, release: &str, menu: &str) -> MemoryVolume {
    root.file("/etc/os-release", "ID=debian\n")
        .file("/usr/lib/systemd/systemd", "")
        .file("/etc/fstab", "UUID=1111-root / ext4 defaults 0 1\n")
        .file("/etc/initramfs-tools/initramfs.conf", "MODULES=most\n")
        .directory("/boot/grub/i386-pc")
        .file("/boot/grub/grub.cfg", menu)
        .file(&format!("/boot/vmlinuz-{release}"), vmlinuz(release))
        .file(&format!("/boot/initrd.img-{release}"), "")
}

fn menu(release: &str) -> String {
    format!(
        "menuentry 'a' {{\n\tlinux /boot/vmlinuz-{release} root=UUID=1111-root ro\n\tinitrd /boot/initrd.img-{release}\n}}\n"
    )
}

fn found(tree: &MemoryTree, profile: &DeviceProfile) -> (Vec<String>, Vec<String>) {
    let (adaptation, edits) = adapt(tree, profile, &[]);
    (concerns(&adaptation), shown(&edits))
}

fn builtin_guest() -> MemoryVolume {
    guest(built_in(MemoryVolume::new("mbr:1", ROOT)), BUILT_IN, &menu(BUILT_IN))
}

#[test]
fn a_driver_that_the_kernel_does_not_have() {
    let tree = tree(builtin_guest(), Vec::new());
    identify(&tree);
    let profile = DeviceProfile { disk_bus: "nvme".into(), ..virtio() };
    let adaptation = Linux::adapt(&tree, &profile, &[]).expect("adapts");
    same(&concerns(&adaptation), &["blocking linux.initramfs.module-missing"]);
    let concern = &adaptation.concerns[0];
    assert_eq!(concern.message, format!("kernel {BUILT_IN} has no module nvme"));
    assert_eq!(concern.remedy.as_deref(), Some("choose another disk bus with wish.disk-bus: virtio-blk"));
    assert!(tree.edits().is_empty());
}

#[test]
fn no_room_for_the_segment() {
    let release = &kernel().0;
    let image = old_image(Base::new(true).initramfs_tools());
    let root = with_modules(MemoryVolume::new("mbr:1", ROOT)).file("/etc/os-release", "ID=debian\n");
    let root = root
        .file("/etc/fstab", "UUID=1111-root / ext4 defaults 0 1\nUUID=2222-boot /boot ext4 defaults 0 2\n");
    let root = root.file("/etc/initramfs-tools/initramfs.conf", "MODULES=dep\n");
    let boot = MemoryVolume::new("mbr:2", BOOT)
        .room(200_000)
        .directory("/grub/i386-pc")
        .file("/grub/grub.cfg", menu(release).replace("/boot/", "/"))
        .file(&format!("/vmlinuz-{release}"), vmlinuz(release))
        .file(&format!("/initrd.img-{release}"), &image);
    let tree = tree(root, vec![boot]);
    let (concerns, edits) = found(&tree, &virtio());
    same(&concerns, &["blocking linux.boot.no-room"]);
    same(&edits, &["write /etc/initramfs-tools/modules", "+ virtio_pci", "+ virtio_blk"]);
}

#[test]
fn one_image_for_several_entries_is_extended_once() {
    let release = &kernel().0;
    let second = menu(release).replace("'a'", "'b'");
    let image = old_image(Base::new(true).initramfs_tools());
    let root = with_modules(MemoryVolume::new("mbr:1", ROOT));
    let root = guest(root, release, &format!("{}{second}", menu(release)))
        .file(&format!("/boot/initrd.img-{release}"), image)
        .symlink("/boot/initrd.img", &format!("initrd.img-{release}"));
    let tree = tree(root, Vec::new());
    let (concerns, edits) = found(&tree, &virtio());
    assert!(concerns.is_empty());
    same(&edits, &[&format!("append /boot/initrd.img-{release}")]);
}

#[test]
fn a_damaged_image() {
    let release = &kernel().0;
    let root = guest(with_modules(MemoryVolume::new("mbr:1", ROOT)), release, &menu(release));
    let root = root.file(&format!("/boot/initrd.img-{release}"), b"070701 and then nothing");
    let (concerns, edits) = found(&tree(root, Vec::new()), &virtio());
    same(&concerns, &["blocking linux.initramfs.not-extended"]);
    assert!(edits.is_empty());
}

#[test]
fn kernels_without_modules() {
    // the only one
    let root = guest(MemoryVolume::new("mbr:1", ROOT), "5.4.0-lost", &menu("5.4.0-lost"));
    let (concerns, _) = found(&tree(root, Vec::new()), &virtio());
    same(&concerns, &["blocking linux.kernel.no-modules"]);
    // one that does not start by itself
    let both = format!("{}{}", menu(BUILT_IN), menu("5.4.0-lost"));
    let root = builtin_guest()
        .file("/boot/grub/grub.cfg", &both)
        .file("/boot/vmlinuz-5.4.0-lost", vmlinuz("5.4.0-lost"));
    let (concerns, _) = found(&tree(root.clone(), Vec::new()), &virtio());
    same(&concerns, &["warning linux.initramfs.missing", "warning linux.kernel.no-modules"][1..]);
    // the one that starts by itself
    let root = root.file("/boot/grub/grub.cfg", format!("set default=1\n{both}"));
    let (concerns, _) = found(&tree(root, Vec::new()), &virtio());
    same(&concerns, &["blocking linux.kernel.no-modules"]);
    // built for this machine, nothing is a module
    let root = guest(MemoryVolume::new("mbr:1", ROOT), "5.4.0-own", &menu("5.4.0-own"))
        .file("/boot/config-5.4.0-own", "CONFIG_VIRTIO_PCI=y\nCONFIG_VIRTIO_BLK=y\n");
    let (concerns, _) = found(&tree(root, Vec::new()), &virtio());
    assert!(concerns.is_empty());
}

#[test]
fn no_kernel_at_all() {
    let root = MemoryVolume::new("mbr:1", ROOT).file("/etc/os-release", "ID=debian\n");
    let (concerns, _) = found(&tree(root, Vec::new()), &virtio());
    same(&concerns, &["blocking linux.kernel.missing", "warning linux.boot-loader.unknown"]);
}

#[test]
fn mounts_that_fail() {
    let table = "UUID=1111-root / ext4 defaults 0 1\nUUID=abc /usr ext4 defaults 0 2\n/dev/sda5 /boot xfs defaults 0 2\n";
    let root = builtin_guest().file("/etc/fstab", table);
    let tree = tree(root, vec![MemoryVolume::new("mbr:5", SWAP)]);
    let os = identify(&tree);
    assert_eq!(of(&os, "mount./usr"), Some("UUID=abc not found"));
    assert_eq!(
        of(&os, "mount./boot"),
        Some("/dev/sda5 not mounted: no adapter knows the file system of mbr:5")
    );
    let (concerns, edits) = found(&tree, &virtio());
    let failed = "blocking linux.mount.failed";
    same(&concerns, &[failed, failed]);
    same(
        &edits,
        &[
            "write /etc/fstab",
            "- /dev/sda5 /boot xfs defaults 0 2",
            "+ PARTUUID=cafe-05 /boot xfs defaults 0 2",
        ],
    );
}

#[test]
fn disks_that_are_not_there() {
    let table = "UUID=1111-root / ext4 defaults 0 1\n/dev/sdb1 /srv ext4 defaults 0 2\n/dev/sdc1 /mnt ext4 nofail 0 2\nLABEL=gone /data ext4 defaults 0 2\n";
    let text = menu(BUILT_IN).replace("UUID=1111-root", "/dev/sdb1");
    let root = builtin_guest().file("/etc/fstab", table).file("/boot/grub/grub.cfg", text);
    let (concerns, edits) = found(&tree(root, Vec::new()), &virtio());
    let device = "linux.fstab.unknown-device";
    let [blocking, information] = ["blocking", "information"].map(|severity| format!("{severity} {device}"));
    same(&concerns, &[&blocking, &information, &blocking, "blocking linux.boot.unknown-root"]);
    assert!(edits.is_empty());
}

#[test]
fn firmware() {
    let mismatch = "blocking linux.firmware.mismatch";
    let (concerns, _) = found(&tree(builtin_guest(), Vec::new()), &virtio_uefi());
    same(&concerns, &[mismatch]);
    let esp = |loader: &str| MemoryVolume::new("gpt:3", ESP).file(&format!("/EFI/debian/{loader}"), "x");
    let table = "UUID=1111-root / ext4 defaults 0 1\nUUID=ABCD-0001 /boot/efi vfat defaults 0 1\n";
    let root = || {
        built_in(MemoryVolume::new("gpt:1", ROOT))
            .file("/etc/os-release", "ID=debian\n")
            .file("/etc/fstab", table)
            .file(&format!("/boot/vmlinuz-{BUILT_IN}"), vmlinuz(BUILT_IN))
    };
    same(&found(&tree(root(), vec![esp("grubx64.efi")]), &virtio()).0, &[mismatch]);
    same(&found(&tree(root(), vec![esp("other.efi")]), &virtio_uefi()).0, &["blocking linux.efi.no-loader"]);
    same(
        &found(&tree(root(), vec![esp("grubx64.efi").room(10)]), &virtio_uefi()).0,
        &["blocking linux.efi.no-room"],
    );
    let secure = DeviceProfile { firmware: "uefi-secure-boot".into(), ..virtio() };
    same(
        &found(&tree(root(), vec![esp("grubx64.efi")]), &secure).0,
        &["blocking linux.firmware.secure-boot"],
    );
    let settings = format!("boot=/dev/sda\nimage=/boot/vmlinuz-{BUILT_IN}\n  label=a\n  root=/dev/sda1\n");
    let lilo = root().file("/etc/lilo.conf", settings);
    let lilo = lilo.file("/etc/fstab", "UUID=1111-root / ext4 defaults 0 1\n");
    same(&found(&tree(lilo, Vec::new()), &virtio()).0, &["blocking linux.lilo.root"]);
}

#[test]
fn storage_of_the_old_machine() {
    let root = builtin_guest()
        .file("/etc/lvm/lvm.conf", "devices {\n  # filter = [ \"a|/dev/sda|\" ]\n  global_filter = [ \"a|^/dev/sda3|\", \"r|.*|\" ]\n}\n")
        .file("/etc/mdadm/mdadm.conf", "DEVICE /dev/sd*\nARRAY /dev/md0 UUID=1\n")
        .file("/etc/multipath/bindings", "# Format:\nmpatha 36000c29\n");
    let (concerns, edits) = found(&tree(root, Vec::new()), &virtio());
    same(
        &concerns,
        &["warning linux.lvm.filter", "warning linux.mdadm.devices", "warning linux.multipath.bindings"],
    );
    assert!(edits.is_empty());
}

/// A table that names what is inside of an encrypted volume is not wrong for that.
#[test]
fn what_the_volumes_say() {
    let fstab = "UUID=1111-root / ext4 defaults 0 1\nUUID=inside /home ext4 defaults 0 2\n";
    let part = |id: &str, facts: &[(&str, &str)]| {
        let place = [("disk.index", "0"), ("partition.number", &id[4..]), ("fs.uuid", id)];
        MemoryVolume::new(id, &[&place, facts].concat())
    };
    let volumes = |hidden: &str| {
        let asleep = part("mbr:5", &[("fs.kind", "swap"), ("fs.swap.hibernated", "S1SUSPEND")]);
        vec![asleep, part("mbr:6", &[("fs.kind", hidden), ("fs.luks.tokens", "0: systemd-tpm2")])]
    };
    let root = || builtin_guest().file("/etc/fstab", fstab);
    same(
        &found(&tree(root(), volumes("crypto_LUKS")), &virtio()).0,
        &["blocking linux.hibernated", "warning linux.encrypted"],
    );
    same(
        &found(&tree(root(), volumes("ext4")), &virtio()).0,
        &["blocking linux.hibernated", "blocking linux.fstab.unknown-device"],
    );
}

#[test]
fn a_bus_that_nobody_knows() {
    let tree = tree(builtin_guest(), Vec::new());
    identify(&tree);
    let profile = DeviceProfile { disk_bus: "mfm".into(), ..virtio() };
    let error = Linux::adapt(&tree, &profile, &[]).expect_err("refused");
    assert_eq!(error.kind, wherry_sdk::ErrorKind::Unsupported);
}

#[test]
fn an_option_that_nobody_knows_blocks() {
    let guest =
        tree(built_in(MemoryVolume::new("mbr:1", ROOT).file("/etc/os-release", "ID=debian\n")), vec![]);
    identify(&guest);
    let options = [wherry_sdk::fact("first-boot", "yes")];
    let result = Linux::adapt(&guest, &virtio(), &options).unwrap();
    assert!(concerns(&result).contains(&"blocking linux.unknown-option".to_owned()));
}
