//! A root whose file system refuses edits, and a /boot that takes them.

use crate::initramfs_guest::{Base, kernel, unpack};
use crate::system::*;
use os_linux::Linux;
use std::fs;
use std::process::Command;
use tempfile::TempDir;
use wherry_sdk::testing::{MemoryTree, MemoryVolume};
use wherry_sdk::{SourceOs, Tree};

const TABLE: &str = "/dev/sda1 / ext4 defaults 0 1\n/dev/sda2 /boot ext4 defaults 0 2\n";

fn guest(image: &[u8], boot: MemoryVolume) -> MemoryTree {
    let release = &kernel().0;
    let root = with_modules(MemoryVolume::new("mbr:1", ROOT))
        .fact("fs.edits", "its blocks are shared")
        .file("/etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n")
        .file("/etc/fstab", TABLE)
        .file("/etc/initramfs-tools/initramfs.conf", "MODULES=dep\n")
        .file("/etc/initramfs-tools/modules", "# it's a list\n")
        .file("/usr/lib/systemd/systemd", "")
        .directory("/boot");
    let menu = format!(
        "menuentry 'Debian' {{\n\tlinux /vmlinuz-{release} root=/dev/sda1 ro\n\tinitrd /initrd.img-{release}\n}}\n"
    );
    let boot = boot
        .file("/grub/grub.cfg", menu)
        .file(&format!("/vmlinuz-{release}"), vmlinuz(release))
        .file(&format!("/initrd.img-{release}"), image);
    tree(root, vec![boot])
}

/// The image of the adapted guest, unpacked as the kernel does.
fn unpacked(tree: &MemoryTree, base: usize) -> TempDir {
    let path = format!("/boot/initrd.img-{}", kernel().0);
    let image = tree.read_all(&path, 1 << 30).unwrap();
    let folder = TempDir::new().unwrap();
    unpack(&image[..base], folder.path());
    let mut rest = &image[base..];
    // What was appended is two archives, each with its padding.
    while let Some(start) = rest.windows(6).position(|window| window == b"070701") {
        rest = &rest[start..];
        unpack(rest, folder.path());
        let name = rest.windows(10).position(|window| window == b"TRAILER!!!").unwrap();
        rest = &rest[name + 10..];
    }
    folder
}

#[test]
fn the_initramfs_carries_what_the_root_refuses() {
    for (base, hook) in [
        (Base::new(true).initramfs_tools(), "scripts/init-bottom/ORDER"),
        (Base::new(true).dracut(), "lib/dracut/hooks/pre-pivot/00-wherry.sh"),
    ] {
        let image = old_image(base);
        let tree = guest(&image, MemoryVolume::new("mbr:2", BOOT));
        let (adaptation, edits) = adapt(&tree, &virtio(), &[]);
        assert_eq!(concerns(&adaptation), Vec::<String>::new(), "{hook}");
        assert_eq!(tree.deferred().len(), 1, "{hook}: {:?}", adaptation.notes);
        assert!(tree.pending().is_empty());
        let refused: Vec<&str> =
            edits.iter().map(|edit| edit.object.as_str()).filter(|path| !path.starts_with("/boot")).collect();
        assert!(refused.contains(&"/etc/fstab"), "{refused:?}");
        let folder = unpacked(&tree, image.len());
        let text = |path: &str| fs::read_to_string(folder.path().join(path)).unwrap();
        assert!(text(hook).contains("sh /wherry/first-start"), "{hook}");
        for script in ["wherry/first-start", "wherry/apply"] {
            let checked = Command::new("sh").arg("-n").arg(folder.path().join(script)).output().unwrap();
            assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
        }
        let apply = text("wherry/apply");
        assert!(refused.iter().all(|path| apply.contains(path)), "{apply}");
        let carried = fs::read_dir(folder.path().join("wherry")).unwrap();
        let carried: Vec<String> =
            carried.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).collect();
        assert!(carried.iter().any(|text| text.contains("UUID=1111-root / ext4")), "{carried:?}");
    }
}

/// Where nobody can carry them they stay pending, and a note says why; the host blocks the plan.
#[test]
fn what_cannot_be_carried_stays_pending() {
    let image = old_image(Base::new(true).initramfs_tools());
    let refusing = MemoryVolume::new("mbr:2", BOOT).fact("fs.edits", "it is full of snapshots");
    let arch = Base::new(true);
    arch.file("config", "").file("buildconfig", "").file("usr/lib/systemd/systemd-udevd", "udev");
    let unknown = old_image(arch);
    for (image, boot, why) in [
        (&image, refusing, "cannot be changed either"),
        (&image, MemoryVolume::new("mbr:2", BOOT).room(66_000), "has no room"),
        (&unknown, MemoryVolume::new("mbr:2", BOOT), "no place for a script"),
    ] {
        let tree = guest(image, boot);
        identify(&tree);
        let adaptation = Linux::adapt(&tree, &virtio(), &[]).unwrap();
        assert!(adaptation.notes.iter().any(|note| note.contains(why)), "{why}: {:?}", adaptation.notes);
        assert!(!tree.pending().is_empty() && tree.deferred().is_empty(), "{why}");
    }
}
