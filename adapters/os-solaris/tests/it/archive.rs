//! Guests whose boot archives are ISO images.

use crate::golden::{adapt, profile, told};
use crate::guests::{find, with};
use crate::hsfs::image;
use wherry_sdk::testing::MemoryVolume;

/// What may differ between archive and root.
pub const SAFE: &str = "etc/devices/devid_cache\netc/path_to_inst\netc/rtc_config\n";
/// The archives.
pub const NARROW: &str = "/platform/i86pc/boot_archive";
/// See [`NARROW`].
pub const WIDE: &str = "/platform/i86pc/amd64/boot_archive";

/// A guest whose archives are such images.
pub fn root() -> MemoryVolume {
    let image = image("genisoimage", &["-quiet", "-dlrDJN", "-relaxed-filenames"]);
    find("10-1-13-ufs")
        .root()
        .file("/boot/solaris/filelist.safe", SAFE)
        .file(NARROW, &image)
        .file(WIDE, &image)
}

fn kvm() -> wherry_sdk::DeviceProfile {
    profile("ide", "e1000", "i440fx")
}

#[test]
fn devices_are_numbered_anew() {
    let tree = with(root(), 1);
    let (adaptation, edits) = adapt(&tree, &kvm());
    assert!(adaptation.concerns.is_empty());
    assert_eq!(tree.text("/etc/path_to_inst"), "#path_to_inst_bootstrap_1\n");
    assert!(tree.text("/etc/path_to_inst.wherry").contains("e1000g"));
    // the first card of its driver, not the second
    assert_eq!(tree.text("/etc/hostname.e1000g0"), "sol netmask + broadcast + up\n");
    let modified: Vec<&str> =
        edits.iter().filter(|edit| edit.action == "modify").map(|edit| edit.object.as_str()).collect();
    assert_eq!(modified, [NARROW, WIDE]);
}

#[test]
fn archives_of_cpio_are_edited_as_well() {
    let tree = with(root().file(NARROW, crate::cpio::archive("odc")), 1);
    let (_, edits) = adapt(&tree, &kvm());
    assert_eq!(edits.iter().filter(|edit| edit.action == "modify").count(), 2);
    // the newer format is not one that the kernel reads
    let tree = with(root().file(NARROW, crate::cpio::archive("newc")), 1);
    let (adaptation, edits) = adapt(&tree, &kvm());
    assert!(told(&adaptation).contains("stays as it is (the archive has no header here"));
    assert!(edits.iter().all(|edit| edit.action != "modify"));
}

#[test]
fn one_archive_that_cannot_be_edited_leaves_all_as_they_are() {
    let mut gzip = vec![0x1f, 0x8b, 8];
    gzip.resize(100, 0);
    let mut ufs = vec![0; 16384];
    ufs[8192 + 1372..8192 + 1376].copy_from_slice(&0x0001_1954_u32.to_le_bytes());
    let cases = [
        (gzip, "the gzip archive"),
        (ufs, "the UFS superblock"),
        (vec![0; 10], "archives of the kind unknown are not edited"),
    ];
    for (content, why) in cases {
        let tree = with(root().file(WIDE, content), 1);
        let (adaptation, edits) = adapt(&tree, &kvm());
        let told = told(&adaptation);
        assert!(told.contains(&format!("note {WIDE} stays as it is ({why}")), "{told}");
        assert!(
            edits.iter().all(|edit| edit.action != "modify" && !edit.object.starts_with("/etc/path_to_inst"))
        );
        assert_eq!(tree.text("/etc/hostname.e1000g1"), "sol netmask + broadcast + up\n");
    }
    let (_, edits) = adapt(&with(root().file("/boot/solaris/filelist.safe", "etc/rtc_config\n"), 1), &kvm());
    assert!(edits.iter().all(|edit| edit.action != "modify"));
    let (adaptation, _) = adapt(&with(root().file("/platform/i86pc/boot_archive.hash", "x"), 1), &kvm());
    assert!(told(&adaptation).contains("its hash is checked"));
}
