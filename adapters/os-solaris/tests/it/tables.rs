//! Devices that the guest's own drivers are given from outside, in the root and in every archive.

use crate::archive::{NARROW, SAFE, WIDE};
use crate::filestat::list;
use crate::golden::{adapt, profile, told};
use crate::guests::{find, with};
use crate::ufs::{ALIASES, gzip, image, image_packed};
use os_solaris::filestat;
use wherry_sdk::testing::{Edit, MemoryBlob, MemoryTree, MemoryVolume};
use wherry_sdk::{DeviceProfile, Tree, fact};

const GIVEN: &str = "ahci \"pciclass,010601\"\ne1000g \"pci8086,100e\"\ne1000g \"pci8086,100f\"\n";
const CACHE: &str = "/boot/solaris/timestamp.cache";
const TABLE: &str = "/etc/driver_aliases";

/// States of an archive in which the table has this size.
pub fn states(size: usize) -> Vec<u8> {
    list(&[
        ("boot/solaris/bootenv.rc", 100, 7),
        ("etc", 512, 7),
        ("etc/driver_aliases", size as u64, 0),
        ("etc/path_to_inst", 80, 7),
    ])
}

/// A guest whose table lacks most devices that its drivers could drive.
pub fn root(narrow: &[u8], wide: &[u8]) -> MemoryVolume {
    find("10-1-13-ufs")
        .root()
        .file("/boot/solaris/filelist.safe", SAFE)
        .file(filestat::PATH, states(ALIASES.len()))
        .file(CACHE, "")
        .file("/etc/name_to_major", "cn 0\nrootnex 1\nahci 190\ne1000g 191\npcn 192\n")
        .file(TABLE, ALIASES)
        .file(NARROW, narrow)
        .file(WIDE, wide)
}

/// A machine whose disks and card the table lacks.
pub fn sata() -> DeviceProfile {
    let mut profile = profile("ahci", "e1000", "q35");
    profile.facts.push(fact("disk.0.slot", "1f.2 port=0"));
    profile
}

fn bytes(tree: &MemoryTree, path: &str) -> Vec<u8> {
    tree.read_all(path, 1 << 30).unwrap()
}

fn within(image: &[u8], path: &str) -> String {
    let mut fs = wherry_ufs::Ufs::mount(Box::new(MemoryBlob::read_only(image)), false).unwrap();
    String::from_utf8(fs.read(path, 0, 1 << 20).unwrap()).unwrap()
}

#[test]
fn the_table_is_changed_everywhere() {
    let (plain, packed) = (image(), image_packed());
    let tree = with(root(&plain, &gzip(&["-c"], &packed)), 1);
    let (adaptation, edits) = adapt(&tree, &sata());
    assert!(adaptation.concerns.is_empty(), "{}", told(&adaptation));
    let new = format!("{ALIASES}{GIVEN}");
    assert_eq!(tree.text(TABLE), new);
    for archive in [bytes(&tree, NARROW), gzip(&["-dc"], &bytes(&tree, WIDE))] {
        crate::raw::Raw { bytes: archive.clone(), big: false }.check();
        assert_eq!(within(&archive, TABLE), new);
        assert_eq!(within(&archive, "/etc/path_to_inst"), "#path_to_inst_bootstrap_1\n");
        assert_eq!(within(&archive, "/etc/name_to_major"), "rootnex 0\n");
    }
    assert_eq!(bytes(&tree, filestat::PATH), states(new.len()));
    assert!(tree.stat(CACHE).is_err());
    assert!(edits.iter().any(|edit| edit.action == "rename" && edit.object == "/etc/driver_aliases.wherry"));
}

#[test]
fn archives_of_iso_take_the_table_at_their_end() {
    let old = "pci-ide \"pciclass,0101\"\n";
    // fills the sectors that it has
    let long = format!("{old}{}", "mpt \"pci1000,50\"\n".repeat(239));
    assert!(long.len() <= 4096 && long.len() + GIVEN.len() > 4096);
    for before in [old, &long] {
        let image =
            crate::hsfs::image_with("genisoimage", &["-quiet", "-dlrDJN", "-relaxed-filenames"], before);
        let tree =
            with(root(&image, &image).file(TABLE, before).file(filestat::PATH, states(before.len())), 1);
        let (adaptation, _) = adapt(&tree, &sata());
        assert!(adaptation.concerns.is_empty(), "{}", told(&adaptation));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image");
        std::fs::write(&path, bytes(&tree, WIDE)).unwrap();
        for names in ["-R", "-J"] {
            let text = crate::hsfs::isoinfo(&path, names, TABLE);
            assert!(text == tree.text(TABLE) && text == format!("{before}{GIVEN}"), "{text}");
            assert_eq!(
                crate::hsfs::isoinfo(&path, names, "/etc/path_to_inst"),
                "#path_to_inst_bootstrap_1\n"
            );
        }
    }
}

/// The blocking concern of the disks, and no edit of the table, archives or states.
fn refused(root: MemoryVolume, why: &str) {
    let (adaptation, edits) = adapt(&with(root, 1), &sata());
    let told = told(&adaptation);
    let expected = format!(
        "its driver is there, and /etc/driver_aliases lacks the device (not done from outside: {why}): in the guest before the move, update_drv -a -i '\"pciclass,010601\"' ahci; bootadm update-archive"
    );
    assert!(
        told.contains("blocking solaris.boot.no-driver") && told.contains(&expected),
        "{expected}\n{told}"
    );
    let touched = |edit: &Edit| [NARROW, WIDE, TABLE, filestat::PATH, CACHE].contains(&edit.object.as_str());
    assert!(!edits.iter().any(touched), "{edits:?}");
}

#[test]
fn what_cannot_be_done_is_told_with_the_reason() {
    let image = image();
    let root = || root(&image, &image);
    refused(
        root().file(WIDE, "x"),
        "/platform/i86pc/amd64/boot_archive stays as it is (archives of the kind unknown are not edited)",
    );
    refused(
        root().file("/platform/i86pc/boot_archive.hash", "x"),
        "/platform/i86pc/boot_archive stays as it is (its hash is checked)",
    );
    let cpio = crate::cpio::archive("odc");
    refused(
        root().file(WIDE, cpio),
        "/platform/i86pc/amd64/boot_archive stays as it is (etc/driver_aliases is not in the archive)",
    );
    let other = format!("{ALIASES}x \"y\"\n");
    refused(
        root().file(TABLE, &*other).file(filestat::PATH, states(other.len())),
        "/platform/i86pc/boot_archive stays as it is (etc/driver_aliases in it is another than the root's)",
    );
    refused(root().file(TABLE, other), "/etc/driver_aliases was changed after the boot archive was made");
    refused(root().file(filestat::PATH, "x"), "/boot/solaris/filestat.ramdisk is not packed as XDR");
    let unnamed = list(&[("etc/system", 1, 1)]);
    refused(
        root().file(filestat::PATH, unnamed),
        "/boot/solaris/filestat.ramdisk does not name etc/driver_aliases",
    );
    refused(root().file("/etc/name_to_major", "e1000g 191\n"), "ahci has no number in /etc/name_to_major");
}

#[test]
fn numbers_that_have_to_stay_do_not_hold_up_the_table() {
    let image = image();
    let tree = with(root(&image, &image).file("/boot/solaris/filelist.safe", "etc/rtc_config\n"), 1);
    let (adaptation, edits) = adapt(&tree, &sata());
    assert!(adaptation.concerns.is_empty(), "{}", told(&adaptation));
    for path in [NARROW, WIDE] {
        let archive = bytes(&tree, path);
        assert_eq!(within(&archive, TABLE), format!("{ALIASES}{GIVEN}"));
        assert!(within(&archive, "/etc/path_to_inst").contains("\"/pci@0,0\" 0 \"pci\""));
    }
    assert!(edits.iter().all(|edit| !edit.object.starts_with("/etc/path_to_inst")));
}

#[test]
fn without_states_nothing_is_done() {
    let tree = with(
        find("10-1-13-ufs").root().file(TABLE, ALIASES).file("/etc/name_to_major", "ahci 1\ne1000g 2\n"),
        1,
    );
    let (adaptation, _) = adapt(&tree, &sata());
    assert!(
        told(&adaptation).contains("(not done from outside: /boot/solaris/filestat.ramdisk: "),
        "{}",
        told(&adaptation)
    );
    assert_eq!(tree.text(TABLE), ALIASES);
}

#[test]
fn a_root_that_is_only_read_has_the_command_alone() {
    let image = image();
    let (adaptation, edits) =
        adapt(&with(root(&image, &image).fact("fs.edits", "it is read-only"), 1), &sata());
    let told = told(&adaptation);
    assert!(told.contains("lacks the device: in the guest before the move, update_drv -a -i"), "{told}");
    assert!(edits.is_empty());
}

#[test]
fn a_driver_without_a_number_does_not_hold_up_the_other() {
    let image = image();
    let tree = with(root(&image, &image).file("/etc/name_to_major", "ahci 190\n"), 1);
    let (adaptation, _) = adapt(&tree, &sata());
    let told = told(&adaptation);
    assert!(told.contains("warning solaris.network.no-driver") && !told.contains("blocking"), "{told}");
    assert!(told.contains("(not done from outside: e1000g has no number in /etc/name_to_major)"), "{told}");
    assert_eq!(tree.text(TABLE), format!("{ALIASES}ahci \"pciclass,010601\"\n"));
}

#[test]
fn a_card_alone_is_given_as_well() {
    let image = image();
    let tree = with(root(&image, &image), 1);
    let (adaptation, _) = adapt(&tree, &profile("ide", "pcnet", "i440fx"));
    assert!(adaptation.concerns.is_empty(), "{}", told(&adaptation));
    assert_eq!(tree.text(TABLE), format!("{ALIASES}pcn \"pci1022,2000\"\n"));
    assert_eq!(tree.text("/etc/hostname.pcn0"), "sol netmask + broadcast + up\n");
}

#[test]
fn a_new_file_over_the_old_one_keeps_the_time() {
    // what the list of states relies on
    let blob = MemoryBlob::new(image());
    let mut fs = wherry_ufs::Ufs::mount(Box::new(&blob), true).unwrap();
    let mut like = fs.stat(TABLE).unwrap();
    like.mtime = 1_136_073_600;
    fs.write("/etc/new", &wherry_ufs::Bytes(vec![b'x'; 20_000]), Some(&like)).unwrap();
    fs.rename("/etc/new", TABLE).unwrap();
    fs.sync().unwrap();
    let meta = fs.stat(TABLE).unwrap();
    assert_eq!((meta.mtime, meta.size, meta.mode), (like.mtime, 20_000, like.mode));
}
