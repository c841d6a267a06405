//! Driver packages on a disk laid out as virtio-win's, and guests without a driver for them.

use crate::program::{self, AMD64, I386};
use crate::{generations, profiles};
use os_windows::decoration::{Architecture, SERVER, Target, WORKSTATION};
use os_windows::import::{Guest, Import, import};
use os_windows::package::{self, Device};
use wherry_sdk::testing::{MemoryTree, MemoryVolume};
use wherry_sdk::{Severity, SourceOs, Tree};

pub const VIOSTOR: &str = include_str!("fixtures/viostor.inf");
pub const VIOSCSI: &str = include_str!("fixtures/vioscsi.inf");
pub const NETKVM: &str = include_str!("fixtures/netkvm.inf");
const VIOSTOR_NO_MSI: &str = include_str!("fixtures/viostor-no-msi.inf");
const NETKVM_NDIS5: &str = include_str!("fixtures/netkvm-ndis5.inf");

/// Folders of virtio-win: of 0.1.185, the last one for XP and 2003, and later ones.
const OLD: [&str; 7] = ["xp/x86", "2k3/x86", "2k3/amd64", "2k8/x86", "2k8/amd64", "w7/x86", "w7/amd64"];
const NEW: [&str; 9] = [
    "2k8R2/amd64",
    "2k12R2/amd64",
    "w10/x86",
    "w10/amd64",
    "2k16/amd64",
    "2k19/amd64",
    "2k22/amd64",
    "w11/amd64",
    "2k25/amd64",
];

/// A disk with the packages for virtio's disks and cards, in the layout of virtio-win.
pub fn lent() -> MemoryVolume {
    let mut disk = MemoryVolume::new("drivers:0", &[("name", "/iso/virtio-win"), ("fs.kind", "iso9660")])
        .kind("drivers");
    for system in OLD.iter().chain(&NEW) {
        let (release, processors) = system.split_once('/').unwrap();
        let (machine, decoration) = if processors == "x86" { (I386, "NTx86") } else { (AMD64, "NTamd64") };
        for (driver, text) in [("viostor", viostor(release)), ("NetKVM", netkvm(release))] {
            let (name, folder) = (driver.to_lowercase(), format!("/{driver}/{system}"));
            let text = text.replace("NTx86", decoration).replace("NTamd64", decoration);
            disk = disk
                .file(&format!("{folder}/{name}.inf"), text)
                .file(&format!("{folder}/{name}.sys"), program::driver(machine, &format!("{name} {system}")))
                .file(&format!("{folder}/{name}.cat"), "placeholder of a catalog");
            if driver == "NetKVM" && !is_ndis5(release) {
                disk = disk.file(&format!("{folder}/netkvmp.exe"), "placeholder of a service");
            }
        }
    }
    disk
}

fn viostor(release: &str) -> String {
    if matches!(release, "xp" | "2k3" | "2k8") { VIOSTOR_NO_MSI.into() } else { VIOSTOR.into() }
}

fn is_ndis5(release: &str) -> bool {
    matches!(release, "xp" | "2k3")
}

/// The card's driver goes to directory 13 from Windows 10 on, to 12 before. XP's has its models without a decoration, as old
/// packages have.
fn netkvm(release: &str) -> String {
    match release {
        "xp" => NETKVM_NDIS5.replace("NetKVM, NTx86", "NetKVM").replace("[NetKVM.NTx86]", "[NetKVM]"),
        release if is_ndis5(release) => NETKVM_NDIS5.into(),
        "2k8" | "w7" | "2k8R2" | "2k12R2" => {
            let text = NETKVM.replace(r"%13%\netkvm.sys", r"%12%\netkvm.sys");
            text.replace("kvmnet6.CopyFiles = 13", "kvmnet6.CopyFiles = 12")
        }
        _ => NETKVM.into(),
    }
}

/// Where the operator's disk appears.
pub const DRIVERS: &str = "/.wherry/drivers";

/// The release of a system, and folders on the disk that are for it.
pub fn target(major: u32, minor: u32, build: u32, server: bool) -> Target {
    let product = if server { SERVER } else { WORKSTATION };
    Target { architecture: Architecture::Amd64, major, minor, build, product, suite: 0, language: 0x409 }
}

/// A guest's volume with its INF files, and the disk below it.
pub fn tree(infs: &[(&str, &str)]) -> MemoryTree {
    let mut volume = MemoryVolume::new("windows", &[("fs.kind", "ntfs")]).directory("/Windows/INF");
    for (name, text) in infs {
        volume = volume.file(&format!("/Windows/INF/{name}"), text.as_bytes());
    }
    for (driver, text) in [("viostor", VIOSTOR), ("vioscsi", VIOSCSI), ("NetKVM", NETKVM)] {
        for system in ["2k3", "w7", "2k8R2", "w8.1", "2k12R2", "w10", "2k19"] {
            let name = driver.to_lowercase();
            let folder = format!("{DRIVERS}/{driver}/{system}/amd64");
            volume = volume.file(&format!("{folder}/{name}.inf"), text.as_bytes());
            volume = volume.file(&format!("{folder}/{name}.sys"), program::driver(AMD64, system));
            let signed = "placeholder, signed by Microsoft Windows Hardware Compatibility Publisher";
            volume = volume.file(&format!("{folder}/{name}.cat"), signed);
            volume = volume
                .file(&format!("{folder}/{name}.pdb"), "symbols")
                .file(&format!("{folder}/netkvmp.exe"), "service");
        }
    }
    let tree = MemoryTree::new(vec![volume]);
    tree.mount("windows", "/").unwrap();
    tree
}

pub fn guest(tree: &MemoryTree, target: Target) -> Guest<'_> {
    Guest {
        tree,
        target,
        windows: r"C:\Windows".into(),
        root: "/Windows".into(),
        oem_map: Vec::new(),
        boot_classes: vec!["{4d36e97b-e325-11ce-bfc1-08002be10318}".into()],
        has_drivers_hive: target.version() >= (6, 2),
        now: 0x01da_6700_0000_0000,
        signing: os_windows::loading::Signing::default(),
    }
}

/// The import for a device, known by no more than its vendor and number.
pub fn imported(guest: &Guest<'_>, device: &str) -> Import {
    let (packages, odd) = package::find(guest.tree, DRIVERS, 0x409).unwrap();
    assert_eq!(odd, [""; 0]);
    let choice = package::ranked(&packages, &Device::new(device), &guest.target).remove(0);
    import(guest, &choice).unwrap()
}

#[test]
fn a_disk_is_searched() {
    let tree = tree(&[]);
    let (packages, odd) = package::find(&tree, DRIVERS, 0x409).unwrap();
    assert_eq!((packages.len(), odd.len()), (21, 0));
    assert_eq!(package::summary(&packages), "21 packages (netkvm 7, vioscsi 7, viostor 7)");
    let chosen = |device: &str, target: Target| {
        package::ranked(&packages, &Device::new(device), &target).first().map(|choice| choice.package.path())
    };
    let at = |rest: &str| Some(format!("{DRIVERS}/{rest}"));
    let (viostor, vioscsi) = (r"PCI\VEN_1AF4&DEV_1001", r"PCI\VEN_1AF4&DEV_1048");
    assert_eq!(chosen(viostor, target(6, 1, 7601, true)), at("viostor/2k8R2/amd64/viostor.inf"));
    assert_eq!(chosen(viostor, target(6, 3, 9600, false)), at("viostor/w8.1/amd64/viostor.inf"));
    assert_eq!(chosen(vioscsi, target(10, 0, 20348, true)), at("vioscsi/2k19/amd64/vioscsi.inf"));
    assert_eq!(chosen(vioscsi, target(6, 0, 6002, true)), at("vioscsi/2k3/amd64/vioscsi.inf"));
    assert_eq!(chosen(r"PCI\VEN_15AD&DEV_07C0", target(10, 0, 20348, true)), None);
    // The INF files are for amd64 alone.
    let old = Target { architecture: Architecture::X86, ..target(5, 2, 3790, true) };
    assert_eq!(chosen(viostor, old), None);
    assert_eq!(package::misfits(&packages, &Device::new(viostor)).len(), 7);
}

#[test]
fn what_is_no_inf_is_told() {
    let volume = MemoryVolume::new("v", &[("fs.kind", "ntfs")])
        .file("/a.inf", b"\x01\0\x02\x03")
        .file("/b/c.INF", "[Version]\n");
    let tree = MemoryTree::new(vec![volume]);
    tree.mount("v", "/").unwrap();
    let (packages, odd) = package::find(&tree, "/", 0x409).unwrap();
    assert_eq!((packages.len(), odd.len()), (1, 1));
    assert!(odd[0].starts_with("/a.inf: no text"), "{odd:?}");
}

#[test]
fn a_package_that_lacks_a_file_is_refused() {
    for (missing, message) in [("viostor.sys", "lacks viostor.sys"), ("viostor.cat", "lacks viostor.cat")] {
        let mut volume = MemoryVolume::new("v", &[("fs.kind", "ntfs")])
            .directory("/Windows/INF")
            .file("/d/viostor.inf", VIOSTOR);
        for name in ["viostor.sys", "viostor.cat"].iter().filter(|name| **name != missing) {
            volume = volume.file(&format!("/d/{name}"), "x");
        }
        let tree = MemoryTree::new(vec![volume]);
        tree.mount("v", "/").unwrap();
        let (packages, _) = package::find(&tree, "/d", 0x409).unwrap();
        let guest = guest(&tree, target(10, 0, 17763, true));
        let choice =
            package::ranked(&packages, &Device::new(r"PCI\VEN_1AF4&DEV_1001"), &guest.target).remove(0);
        let e = import(&guest, &choice).unwrap_err();
        assert!(e.message.contains(message), "{}", e.message);
    }
}

/// A vendor's file that others include is Windows' own.
#[test]
fn needs_are_taken_from_the_guest() {
    let text = VIOSTOR.replace(
        "[scsi_inst.HW]",
        "[scsi_inst.HW]\nInclude=machine.inf\nNeeds=PciIoSpaceNotRequired.HW\n[scsi_inst.unused]",
    );
    let machine = "[PciIoSpaceNotRequired.HW]\nAddReg=io\n[io]\nHKR,e5b3b5ac,IoNotRequired,0x10001,1\n";
    let build = |with: bool| {
        let mut volume = MemoryVolume::new("v", &[("fs.kind", "ntfs")])
            .directory("/Windows/INF")
            .file("/d/viostor.inf", &text);
        if with {
            volume = volume.file("/Windows/INF/machine.inf", machine);
        }
        let tree = MemoryTree::new(vec![
            volume.file("/d/viostor.sys", program::driver(AMD64, "s")).file("/d/viostor.cat", "c"),
        ]);
        tree.mount("v", "/").unwrap();
        let guest = guest(&tree, target(10, 0, 17763, true));
        let (packages, _) = package::find(&tree, "/d", 0x409).unwrap();
        let choice =
            package::ranked(&packages, &Device::new(r"PCI\VEN_1AF4&DEV_1001"), &guest.target).remove(0);
        import(&guest, &choice).unwrap()
    };
    let io = |import: &Import| import.edits.iter().any(|edit| edit.path.ends_with(r"Device\e5b3b5ac"));
    assert!(io(&build(true)) && !io(&build(false)));
}

/// The file for QEMU's serial cards takes all from Windows' `mf.inf`, which is written by hand here.
#[test]
fn a_file_of_qemus() {
    let text = include_str!("fixtures/qemupciserial.inf");
    let mf = "[MFINSTALL.mf.Services]\nAddService=mf,2,mf_Service\n[mf_Service]\nDisplayName=%mf%\nServiceType=1\nStartType=3\n\
        ErrorControl=1\nServiceBinary=%12%\\mf.sys\n[Strings]\nmf=Multifunction\n";
    let volume = MemoryVolume::new("v", &[("fs.kind", "ntfs")])
        .file("/d/qemupciserial.inf", text)
        .file("/d/qemupciserial.cat", "c")
        .file("/Windows/INF/mf.inf", mf);
    let tree = MemoryTree::new(vec![volume]);
    tree.mount("v", "/").unwrap();
    let guest = guest(&tree, target(10, 0, 17763, true));
    let (packages, _) = package::find(&tree, "/d", 0x409).unwrap();
    let choice = package::ranked(&packages, &Device::new(r"PCI\VEN_1B36&DEV_0002"), &guest.target).remove(0);
    assert_eq!(choice.model.section, "ComPort_inst1");
    let import = import(&guest, &choice).unwrap();
    let texts = format!("{:?}", import.edits);
    let of = |text: &str| format!("{:?}", wherry_registry::data::sz(text));
    assert!(texts.contains(&of("@mf.inf,%mf%;Multifunction")), "the token is the other file's");
    assert!(
        texts.contains(&of(r"\SystemRoot\System32\drivers\mf.sys")) && texts.contains(r#"texts: ["mf.inf"]"#)
    );
    // Nothing of it is copied but what is published: the driver is Windows' own.
    assert!(!import.files.iter().any(|file| file.path.contains("/drivers/")), "{:?}", import.files);
}

/// A driver for other processors is passed over, whatever its INF file says; what is no program blocks.
#[test]
fn drivers_are_looked_at() {
    let adapted = |one: Vec<u8>, other: Vec<u8>| {
        let mut all = generations::volumes(generations::find("2019"));
        let mut lent =
            MemoryVolume::new("drivers:0", &[("name", "lent"), ("fs.kind", "iso9660")]).kind("drivers");
        for (folder, bytes) in [("/2k19", one), ("/w10", other)] {
            lent = lent
                .file(&format!("{folder}/viostor.inf"), VIOSTOR)
                .file(&format!("{folder}/viostor.cat"), "c")
                .file(&format!("{folder}/viostor.sys"), bytes);
        }
        all.push(lent);
        let tree = MemoryTree::new(all);
        os_windows::Windows::identify(&tree).unwrap().unwrap();
        let result = os_windows::Windows::adapt(&tree, &profiles::virtio("uefi", (10, 0)), &[]).unwrap();
        let written = tree.read_all("/Windows/System32/drivers/viostor.sys", 1 << 20).ok();
        let blocks: Vec<String> = result
            .concerns
            .iter()
            .filter(|concern| concern.severity == Severity::Blocking)
            .map(|concern| format!("{}: {}", concern.id, concern.message))
            .collect();
        (written, blocks, result.notes.join("\n"))
    };
    let (narrow, wide) = (program::driver(I386, "n"), program::driver(AMD64, "w"));
    let (written, blocks, _) = adapted(narrow.clone(), wide.clone());
    assert_eq!((written, blocks), (Some(wide), vec![]));
    let (written, blocks, notes) = adapted(narrow.clone(), narrow);
    assert_eq!(written, None);
    assert!(blocks.len() == 1 && blocks[0].starts_with("windows.storage.driver-missing"), "{blocks:?}");
    assert!(notes.contains("viostor.sys is for x86, and this Windows is for x86_64"), "{notes}");
    let (written, blocks, _) = adapted(b"MZ, then text".to_vec(), vec![]);
    assert_eq!(written, None);
    assert!(blocks.len() == 1 && blocks[0].contains("viostor.sys is damaged"), "{blocks:?}");
}
