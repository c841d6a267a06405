//! Drives a change of firmware with lent files of any content. Shared with the fuzz target.

use os_linux::Linux;
use wherry_sdk::testing::{MemoryTree, MemoryVolume};
use wherry_sdk::{DeviceProfile, SourceOs};

/// The smallest `i386-pc` that a core can be made of.
pub fn small_bios() -> Vec<(&'static str, Vec<u8>)> {
    let mut boot = vec![0x90; 512];
    boot[510..].copy_from_slice(&[0x55, 0xaa]);
    // ELF of 32 bits with one section of code at 0x9000
    let mut kernel = vec![0; 52];
    kernel[..6].copy_from_slice(b"\x7fELF\x01\x01");
    (kernel[18], kernel[32], kernel[46], kernel[48]) = (3, 52, 40, 1);
    let mut section = [0; 40];
    (section[4], section[8], section[16], section[20]) = (1, 6, 92, 16);
    section[12..16].copy_from_slice(&0x9000_u32.to_le_bytes());
    kernel.extend(section);
    kernel.extend(*b"kernel of 16 by.");
    let list =
        "biosdisk:\nsearch_fs_uuid: extcmd\nextcmd:\next2: fshelp\nfshelp:\npart_msdos:\npart_gpt:\nlvm:\n";
    let mut files = vec![
        ("boot.img", boot.clone()),
        ("diskboot.img", boot),
        ("kernel.img", kernel),
        ("lzma_decompress.img", vec![0x90; 64]),
        ("moddep.lst", list.into()),
    ];
    let modules = [
        "biosdisk.mod",
        "ext2.mod",
        "extcmd.mod",
        "fshelp.mod",
        "part_gpt.mod",
        "part_msdos.mod",
        "search_fs_uuid.mod",
    ];
    files.extend(modules.map(|name| (name, name.into())));
    files
}

fn guest(lent: MemoryVolume) -> MemoryTree {
    let root = [
        ("fs.kind", "ext4"),
        ("fs.uuid", "1111-root"),
        ("disk.index", "0"),
        ("partition.number", "1"),
        ("partition.uuid", "cafe-01"),
        ("table.kind", "mbr"),
        ("table.gap", "512-32256"),
        ("parent", "disk:0"),
    ];
    let esp = [
        ("fs.kind", "vfat"),
        ("fs.uuid", "ABCD-0001"),
        ("disk.index", "0"),
        ("partition.number", "2"),
        ("partition.type", "ef"),
        ("parent", "disk:0"),
    ];
    let menu = "title a\nroot (hd0,0)\nkernel /boot/vmlinuz-5.0 root=/dev/sda1\n";
    let root = MemoryVolume::new("mbr:1", &root)
        .file("/etc/os-release", "ID=debian\n")
        .file("/etc/fstab", "UUID=1111-root / ext4 defaults 0 1\n")
        .file("/boot/vmlinuz-5.0", "")
        .file("/boot/grub/menu.lst", menu);
    let disk = MemoryVolume::new("disk:0", &[("disk.index", "0")]).kind("disk");
    MemoryTree::new(vec![disk, root, MemoryVolume::new("mbr:2", &esp), lent.kind("drivers")])
}

/// As GRUB's image for UEFI, then in the place of each file of GRUB for BIOS.
pub fn exercise(bytes: &[u8]) {
    let lent = || MemoryVolume::new("drivers:0", &[("fs.kind", "iso9660")]);
    adapt(&guest(lent().file("/grubx64.efi", bytes)), "uefi");
    let small = small_bios();
    let turn = bytes.len() % small.len();
    let replaced = small.iter().enumerate().fold(lent(), |lent, (number, (name, content))| {
        lent.file(&format!("/{name}"), if number == turn { bytes } else { content })
    });
    adapt(&guest(replaced), "bios");
}

fn adapt(tree: &MemoryTree, firmware: &str) {
    let profile = DeviceProfile {
        firmware: firmware.into(),
        disk_bus: "virtio-blk".into(),
        nic_model: "virtio-net".into(),
        architecture: "x86_64".into(),
        machine: "q35".into(),
        facts: Vec::new(),
    };
    Linux::identify(tree).expect("works").expect("a Linux");
    let wanted = Linux::partitions(tree, &profile, &[]).expect("answers");
    assert!(wanted.is_empty(), "{wanted:?}");
    Linux::identify(tree).expect("works");
    Linux::adapt(tree, &profile, &[]).expect("adapts");
    for edit in tree.edits() {
        let inside =
            ["/boot/efi", "/boot/grub", "/etc/", "disk:0"].iter().any(|top| edit.object.starts_with(top));
        assert!(inside && !edit.object.contains(".."), "{}", edit.object);
        if edit.action == "write-boot-code" {
            // three patches, each with 8 bytes of its offset
            assert!(edit.after.unwrap_or_default().len() <= 32256 - 512 + 440 + 24);
        }
    }
}
