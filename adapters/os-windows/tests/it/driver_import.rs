//! Imports of real INF files, against what Windows and other tools have written.

use crate::packages::{NETKVM, VIOSTOR, guest, imported, target, tree};
use crate::program;
use os_windows::decoration::{Architecture, Target};
use os_windows::edit::{Change, Edit, Hive};
use os_windows::import::Import;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// An import as text, a line for each file and edit.
fn show(import: &Import) -> String {
    let mut all = String::new();
    for file in &import.files {
        writeln!(all, "write {} ({} bytes): {}", file.path, file.bytes.len(), file.reason).unwrap();
    }
    for edit in &import.edits {
        writeln!(all, "{}", line(edit)).unwrap();
    }
    import.notes.iter().for_each(|note| writeln!(all, "note {note}").unwrap());
    all
}

fn line(edit: &Edit) -> String {
    let hive = match edit.hive {
        Hive::System => "SYSTEM",
        Hive::Software => "SOFTWARE",
        Hive::Drivers => "DRIVERS",
    };
    format!(r"{hive}\{} {}", edit.path, change(&edit.change))
}

fn change(change: &Change) -> String {
    match change {
        Change::Key => "key".into(),
        Change::Value { name, kind, data, when } => {
            let text = match kind.0 {
                1 | 2 | 7 => format!("{:?}", text(data)),
                _ => data.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" "),
            };
            let when = if format!("{when:?}") == "Always" { String::new() } else { format!(" if {when:?}") };
            format!("`{name}` = ({}) {text}{when}", kind.0)
        }
        other => format!("{other:?}"),
    }
}

fn text(data: &[u8]) -> String {
    let units: Vec<u16> =
        data.chunks_exact(2).map(|two| u16::from_le_bytes(two.try_into().unwrap())).collect();
    String::from_utf16(&units).unwrap().trim_end_matches('\0').to_owned()
}

/// The data of a value.
fn value<'a>(import: &'a Import, path: &str, name: &str) -> &'a [u8] {
    let found = import.edits.iter().find_map(|edit| match &edit.change {
        Change::Value { name: own, data, .. } if own == name && edit.path.eq_ignore_ascii_case(path) => {
            Some(data)
        }
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no value {name} in {path}\n{}", show(import)))
}

fn golden(name: &str, import: &Import) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden").join(format!("{name}.txt"));
    let (own, there) = (show(import), std::fs::read_to_string(&path).unwrap_or_default());
    if std::env::var_os("GOLDEN").is_some() {
        std::fs::write(&path, &own).unwrap();
    } else {
        assert!(own == there, "{name} is other than {}; GOLDEN=1 writes it anew:\n{own}", path.display());
    }
}

#[test]
fn goldens() {
    let of = |name: &str, target: Target, device: &str| {
        let tree = tree(&[]);
        golden(name, &imported(&guest(&tree, target), device));
    };
    let (viostor, vioscsi) = (r"PCI\VEN_1AF4&DEV_1001", r"PCI\VEN_1AF4&DEV_1048");
    of("viostor-2003", target(5, 2, 3790, true), viostor);
    of("viostor-2008r2", target(6, 1, 7601, true), viostor);
    of("viostor-2012r2", target(6, 3, 9600, true), viostor);
    of("vioscsi-2019", target(10, 0, 17763, true), vioscsi);
    of("netkvm-10", target(10, 0, 19045, false), r"PCI\VEN_1AF4&DEV_1000");
}

/// What lxc/distrobuilder writes for viostor, taken from a Windows that had imported it (windows/driver_viostor.go).
#[test]
fn as_distrobuilder_has_it() {
    let tree = tree(&[("oem0.inf", "another")]);
    let import = imported(&guest(&tree, target(10, 0, 17763, true)), r"PCI\VEN_1AF4&DEV_1001");
    let active = text(value(&import, r"DriverDatabase\DriverInfFiles\oem1.inf", "Active"));
    let package = format!(r"DriverDatabase\DriverPackages\{active}");
    let texts = [
        (r"ControlSet\Services\viostor", "ImagePath", r"System32\drivers\viostor.sys"),
        (r"ControlSet\Services\viostor", "Group", "SCSI miniport"),
        (
            r"ControlSet\Services\EventLog\System\viostor",
            "EventMessageFile",
            r"%SystemRoot%\System32\IoLogMsg.dll",
        ),
        (r"DriverDatabase\DriverInfFiles\oem1.inf", "", &active),
        (r"DriverDatabase\DriverInfFiles\oem1.inf", "Configurations", "scsi_inst"),
        (&package, "", "oem1.inf"),
        (&package, "Catalog", "viostor.cat"),
        (&package, "InfName", "viostor.inf"),
        (&package, "Provider", "Red Hat, Inc."),
        (&package, "SignerName", "Microsoft Windows Hardware Compatibility Publisher"),
        (&format!(r"{package}\Configurations\scsi_inst"), "Service", "viostor"),
        (&format!(r"{package}\Descriptors\PCI\VEN_1AF4&DEV_1001"), "Configuration", "scsi_inst"),
        (&format!(r"{package}\Descriptors\PCI\VEN_1AF4&DEV_1001"), "Description", "%viostorscsi.devicedesc%"),
        (&format!(r"{package}\Descriptors\PCI\VEN_1AF4&DEV_1042"), "Manufacturer", "%vendor%"),
        (&format!(r"{package}\Strings"), "viostorscsi.devicedesc", "Red Hat VirtIO SCSI controller"),
        (&format!(r"{package}\Strings"), "vendor", "Red Hat, Inc."),
    ];
    texts
        .iter()
        .for_each(|(path, name, own)| assert_eq!(text(value(&import, path, name)), *own, "{path} {name}"));
    let device = format!(r"{package}\Configurations\scsi_inst\Device\Interrupt Management");
    let numbers: [(&str, &str, u32); 12] = [
        (r"ControlSet\Services\viostor", "Start", 0),
        (r"ControlSet\Services\viostor", "Type", 1),
        (r"ControlSet\Services\viostor", "ErrorControl", 1),
        (r"ControlSet\Services\viostor", "Tag", 0x21),
        (r"ControlSet\Services\viostor\Parameters", "BusType", 1),
        (r"ControlSet\Services\viostor\Parameters\PnpInterface", "5", 1),
        (&package, "SignerScore", 0x0d00_0005),
        (&package, "StatusFlags", 0x12),
        (&format!(r"{package}\Configurations\scsi_inst"), "ConfigScope", 7),
        (&format!(r"{package}\Configurations\scsi_inst\Services\viostor\Parameters"), "BusType", 1),
        (&format!(r"{device}\Affinity Policy"), "DevicePolicy", 5),
        (&format!(r"{device}\MessageSignaledInterruptProperties"), "MSISupported", 1),
    ];
    numbers.iter().for_each(|(path, name, own)| {
        assert_eq!(value(&import, path, name), own.to_le_bytes(), "{path} {name}")
    });
    let ids =
        [("VEN_1AF4&DEV_1001", 2), ("VEN_1AF4&DEV_1001&SUBSYS_00021AF4&REV_00", 1), ("VEN_1AF4&DEV_1042", 2)];
    for (id, kind) in ids {
        assert_eq!(
            value(&import, &format!(r"DriverDatabase\DeviceIds\PCI\{id}"), "oem1.inf"),
            [kind, 0xff, 0, 0]
        );
    }
    assert_eq!(value(&import, "DriverDatabase", "OemInfMap"), [0x40]);
    let lockdown =
        r"Microsoft\Windows\CurrentVersion\Setup\PnpLockdownFiles\%SystemRoot%/System32/drivers/viostor.sys";
    assert_eq!(value(&import, lockdown, "Class"), [4, 0, 0, 0]);
    let source = text(value(&import, lockdown, "Source"));
    assert_eq!(source, format!(r"%SystemRoot%\System32\DriverStore\FileRepository\{active}\viostor.sys"));
}

/// What a Windows 8.1 stored of VirtualBox' package (dfwinreg's SYSTEM hive), but for the last eight bytes of `Version`, which
/// nothing seems to read, and `StatusFlags`, as a device uses it there.
#[test]
fn as_windows_has_it() {
    let text = "[Version]\nClass=System\nClassGuid={4D36E97D-E325-11CE-BFC1-08002BE10318}\nProvider=%o%\nDriverVer=07/18/2016,5.0.26.0\n\
        [Manufacturer]\n%o%=VBoxGuest,NTamd64\n[VBoxGuest.NTamd64]\n%d%=VBoxGuest_Install,PCI\\VEN_80ee&DEV_cafe\n\
        [VBoxGuest_Install]\n[VBoxGuest_Install.Services]\nAddService=VBoxGuest,2,service\n[service]\nDisplayName=%VBoxGuest_svcdesc%\n\
        ServiceType=1\nStartType=0\nErrorControl=1\nLoadOrderGroup=Base\nServiceBinary=%12%\\VBoxGuest.sys\n\
        [Strings]\no=Oracle Corporation\nVBoxGuest_svcdesc=VirtualBox Guest Driver\n";
    let tree = tree(&[("oem0.inf", "another")]);
    let mut guest = guest(&tree, target(6, 3, 9600, false));
    guest.boot_classes = vec!["{4d36e97d-e325-11ce-bfc1-08002be10318}".into()];
    guest.oem_map = vec![0xa0];
    let package = os_windows::package::Package::parse("/x", "VBoxGuest.inf", text.into(), 0x409).unwrap();
    let device = os_windows::package::Device::new(r"PCI\VEN_80EE&DEV_CAFE");
    let packages = [package];
    let choice = os_windows::package::ranked(&packages, &device, &guest.target).remove(0);
    let import = os_windows::import::import(&guest, &choice).unwrap();
    let own = text_of(&import, r"DriverDatabase\DriverInfFiles\oem1.inf", "Active");
    assert!(
        own.starts_with("vboxguest.inf_amd64_") && own.len() == "vboxguest.inf_amd64_015c006906a48641".len()
    );
    let version = "00ff0900000000007de9364d25e3ce11bfc108002be103180080b45387e0d10100001a0000000500";
    let bytes = value(&import, &format!(r"DriverDatabase\DriverPackages\{own}"), "Version");
    let hex: String = bytes.iter().take(40).map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((hex.as_str(), bytes.len()), (version, 48));
    assert_eq!(
        value(&import, r"DriverDatabase\DeviceIds\PCI\VEN_80ee&DEV_cafe", "oem1.inf"),
        [1, 0xff, 0, 0]
    );
    assert!(
        value(&import, r"DriverDatabase\DeviceIds\{4d36e97d-e325-11ce-bfc1-08002be10318}", "oem1.inf")
            .is_empty()
    );
    assert_eq!(value(&import, "DriverDatabase", "OemInfMap"), [0xe0]);
    assert_eq!(
        text_of(&import, r"DriverDatabase\DriverInfFiles\oem1.inf", "Configurations"),
        "VBoxGuest_Install"
    );
    let service = r"ControlSet\Services\VBoxGuest";
    assert_eq!(
        text_of(&import, service, "DisplayName"),
        "@oem1.inf,%VBoxGuest_svcdesc%;VirtualBox Guest Driver"
    );
    assert_eq!(text_of(&import, service, "Group"), "Base");
    assert!(text_of(&import, service, "ImagePath").eq_ignore_ascii_case(r"system32\DRIVERS\VBoxGuest.sys"));
    // Unsigned here, as the fixture has no catalog.
    assert!(import.notes.iter().any(|note| note.contains("is not signed")), "{:?}", import.notes);
}

/// `PnpLockdownFiles` of dfwinreg's SOFTWARE hive of a Windows 8.1: a key for each file that VirtualBox' package has copied below
/// Windows, class 5 where the INF file asks for no lock. distrobuilder's have class 4 where it does. What Vista and 7 keep there
/// is not known well enough to be written.
#[test]
fn files_that_are_locked() {
    let inf = |lock: &str| {
        format!(
            "[Version]\nClass=System\nClassGuid={{4D36E97D-E325-11CE-BFC1-08002BE10318}}\nProvider=o\n{lock}\n[Manufacturer]\no=m,NTamd64\n\
             [m.NTamd64]\nd=i,PCI\\VEN_80ee&DEV_cafe\n[DestinationDirs]\ndrivers=12\nprograms=11\nother=16422,Oracle\n\
             [i]\nCopyFiles=drivers,programs,other\n[drivers]\nVBoxGuest.sys\n[programs]\nVBoxTray.exe\n[other]\nVBox.txt\n\
             [i.Services]\nAddService=,2\n"
        )
    };
    let locked = |lock: &str, version: (u32, u32)| {
        let volume = wherry_sdk::testing::MemoryVolume::new("v", &[("fs.kind", "ntfs")])
            .directory("/Windows/INF")
            .file("/d/vboxguest.inf", inf(lock))
            .file("/d/VBoxGuest.sys", program::driver(program::AMD64, "v"))
            .file("/d/VBoxTray.exe", "t")
            .file("/d/VBox.txt", "o");
        let tree = wherry_sdk::testing::MemoryTree::new(vec![volume]);
        wherry_sdk::Tree::mount(&tree, "v", "/").unwrap();
        let guest = guest(&tree, target(version.0, version.1, 9600, false));
        let (packages, _) = os_windows::package::find(&tree, "/d", 0x409).unwrap();
        let device = os_windows::package::Device::new(r"PCI\VEN_80EE&DEV_CAFE");
        let choice = os_windows::package::ranked(&packages, &device, &guest.target).remove(0);
        os_windows::import::import(&guest, &choice).unwrap()
    };
    let keys = |import: &Import| {
        let all = import.edits.iter().filter(|edit| edit.path.contains("PnpLockdownFiles"));
        all.map(|edit| edit.path.rsplit('\\').next().unwrap().to_owned())
            .collect::<std::collections::BTreeSet<_>>()
    };
    let import = locked("", (6, 3));
    let names = ["%SystemRoot%/System32/VBoxTray.exe", "%SystemRoot%/System32/drivers/VBoxGuest.sys"];
    assert_eq!(keys(&import).into_iter().collect::<Vec<_>>(), names);
    let key = format!(r"Microsoft\Windows\CurrentVersion\Setup\PnpLockdownFiles\{}", names[1]);
    assert_eq!(value(&import, &key, "Class"), [5, 0, 0, 0]);
    let source = text_of(&import, &key, "Source");
    assert!(source.starts_with(r"%SystemRoot%\System32\DriverStore\FileRepository\vboxguest.inf_amd64_"));
    assert!(source.ends_with(r"\VBoxGuest.sys"));
    let owners = Change::Append { name: "Owners".into(), texts: vec!["oem0.inf".into()] };
    assert!(import.edits.iter().any(|edit| edit.path == key && edit.change == owners));
    assert_eq!(value(&locked("PnpLockdown=1", (10, 0)), &key, "Class"), [4, 0, 0, 0]);
    assert!(
        keys(&locked("PnpLockdown=1", (6, 1))).is_empty()
            && keys(&locked("PnpLockdown=1", (6, 0))).is_empty()
    );
}

fn text_of(import: &Import, path: &str, name: &str) -> String {
    text(value(import, path, name))
}

/// The second time, the same number is found, and nothing else is written but what is there.
#[test]
fn an_import_is_repeated_without_change() {
    let before = tree(&[("oem0.inf", "another")]);
    let first = imported(&guest(&before, target(10, 0, 17763, true)), r"PCI\VEN_1AF4&DEV_1001");
    let after = tree(&[("oem0.inf", "another"), ("oem1.inf", VIOSTOR)]);
    let mut again = guest(&after, target(10, 0, 17763, true));
    again.oem_map = value(&first, "DriverDatabase", "OemInfMap").to_vec();
    let second = imported(&again, r"PCI\VEN_1AF4&DEV_1001");
    assert_eq!(first, second);
    // Another package takes the next number.
    let other = imported(&again, r"PCI\VEN_1AF4&DEV_1048");
    assert!(other.files.iter().any(|file| file.path == "/Windows/INF/oem2.inf"));
}

/// Classes that are not needed to boot are in the DRIVERS hive where there is one.
#[test]
fn hives() {
    let tree = tree(&[]);
    let mut own = guest(&tree, target(10, 0, 19045, false));
    let hives = |import: &Import| {
        let all = import.edits.iter().filter(|edit| edit.path.contains(r"DriverPackages\"));
        all.map(|edit| edit.hive).collect::<std::collections::BTreeSet<_>>()
    };
    let (card, disk) = (r"PCI\VEN_1AF4&DEV_1000", r"PCI\VEN_1AF4&DEV_1001");
    assert_eq!(hives(&imported(&own, card)), [Hive::Drivers].into());
    assert_eq!(hives(&imported(&own, disk)), [Hive::System].into());
    own.boot_classes.clear();
    assert_eq!(
        (hives(&imported(&own, card)), hives(&imported(&own, disk))),
        ([Hive::Drivers].into(), [Hive::System].into())
    );
    // A driver that the loader starts is in the SYSTEM hive whatever its class.
    own.boot_classes = vec!["{4d36e97d-e325-11ce-bfc1-08002be10318}".into()];
    let other = imported(&own, disk);
    assert_eq!(hives(&other), [Hive::System].into());
    assert!(show(&other).contains("`BootCritical` = (4) 01 00 00 00"));
    own.has_drivers_hive = false;
    assert_eq!(hives(&imported(&own, card)), [Hive::System].into());
    assert!(NETKVM.contains("%13%"), "the card's driver runs from the store");
    let image = text_of(&imported(&own, card), r"ControlSet\Services\netkvm", "ImagePath");
    assert!(
        image.starts_with(r"\SystemRoot\System32\DriverStore\FileRepository\netkvm.inf_amd64_"),
        "{image}"
    );
}

/// Files of a driver's floppy may be packed by themselves, where the release unpacks them.
#[test]
fn packed_files() {
    use crate::media::packed;
    // mscompress spoils files of less than 18 bytes.
    let driver = program::driver(program::AMD64, "viostor");
    let catalog = "viostor.cat".repeat(9).into_bytes();
    let volume = wherry_sdk::testing::MemoryVolume::new("v", &[("fs.kind", "ntfs")])
        .directory("/Windows/INF")
        .file("/d/viostor.inf", VIOSTOR)
        .file("/d/VIOSTOR.SY_", packed("viostor.sys", &driver, false))
        .file("/d/viostor.ca_", packed("viostor.cat", &catalog, true));
    let tree = wherry_sdk::testing::MemoryTree::new(vec![volume]);
    wherry_sdk::Tree::mount(&tree, "v", "/").unwrap();
    let (packages, _) = os_windows::package::find(&tree, "/d", 0x409).unwrap();
    let device = os_windows::package::Device::new(r"PCI\VEN_1AF4&DEV_1001");
    let import = |major, minor| {
        let guest = guest(&tree, target(major, minor, 3790, true));
        let choice = os_windows::package::ranked(&packages, &device, &guest.target).remove(0);
        os_windows::import::import(&guest, &choice)
    };
    let files = import(5, 2).unwrap().files;
    let bytes = |end: &str| &files.iter().find(|file| file.path.ends_with(end)).unwrap().bytes;
    assert!(*bytes("/System32/drivers/viostor.sys") == driver);
    assert!(*bytes(".cat") == catalog);
    assert!(import(6, 1).unwrap_err().message.contains("lacks viostor"));
}

/// NT 4.0 knows nothing but services; its drivers' INF files have the same sections.
#[test]
fn nt4() {
    let text =
        VIOSTOR.replace("NTamd64", "").replace("[VioStor.]", "[VioStor]").replace("VioStor,", "VioStor");
    let volume = wherry_sdk::testing::MemoryVolume::new("v", &[("fs.kind", "ntfs")])
        .directory("/WINNT/INF")
        .file("/d/viostor.inf", text);
    let volume =
        volume.file("/d/viostor.sys", program::driver(program::I386, "s")).file("/d/viostor.cat", "c");
    let tree = wherry_sdk::testing::MemoryTree::new(vec![volume]);
    wherry_sdk::Tree::mount(&tree, "v", "/").unwrap();
    let system = Target { architecture: Architecture::X86, ..target(4, 0, 1381, true) };
    let mut own = guest(&tree, system);
    (own.windows, own.root) = (r"C:\WINNT".into(), "/WINNT".into());
    let (packages, _) = os_windows::package::find(&tree, "/d", 0x409).unwrap();
    let device = os_windows::package::Device::new(r"PCI\VEN_1AF4&DEV_1001");
    let import =
        os_windows::import::import(&own, &os_windows::package::ranked(&packages, &device, &system).remove(0))
            .unwrap();
    let paths: Vec<&str> = import.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["/WINNT/System32/drivers/viostor.sys"]);
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    import
        .edits
        .iter()
        .for_each(|edit| *counts.entry(edit.path.split('\\').nth(1).unwrap()).or_default() += 1);
    assert_eq!(counts.keys().copied().collect::<Vec<_>>(), ["Services"]);
}
