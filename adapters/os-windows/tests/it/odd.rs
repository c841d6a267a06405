//! Machines that are not as most are.

use crate::generations::{self, Boot, Generation, Values, find, hive, system, volumes};
use crate::profiles;
use os_windows::Windows;
use wherry_registry::bcd::{Element, Store, element};
use wherry_registry::{Hive, Kind, data};
use wherry_sdk::image::Uuid;
use wherry_sdk::source::Adaptation;
use wherry_sdk::testing::{MemoryTree, MemoryVolume};
use wherry_sdk::{DeviceProfile, SourceOs, Tree, fact};

/// The machine's last volume, which is Windows', is what `change` makes of it.
fn guest(one: &Generation, change: impl Fn(MemoryVolume) -> MemoryVolume) -> MemoryTree {
    let mut all = volumes(one);
    let own = all.pop().unwrap();
    all.push(change(own));
    MemoryTree::new(all)
}

/// A machine with these values more in SYSTEM.
fn with(one: &Generation, more: Values) -> MemoryTree {
    guest(one, |volume| {
        volume.file(&config(one, "SYSTEM"), hive(one.regf, &[system(one), more.clone()].concat()))
    })
}

fn config(one: &Generation, name: &str) -> String {
    format!("/{}/System32/config/{name}", one.root)
}

/// Adapts, and makes sure that a second time changes nothing.
fn adapt(tree: &MemoryTree, profile: &DeviceProfile) -> Adaptation {
    Windows::identify(tree).unwrap().expect("a Windows");
    let result = Windows::adapt(tree, profile, &profiles::options()).unwrap();
    let edits = tree.edits();
    tree.forget();
    Windows::adapt(tree, profile, &profiles::options()).unwrap();
    assert_eq!(tree.edits(), [], "after {edits:?}");
    result
}

fn ids(result: &Adaptation) -> Vec<&str> {
    result.concerns.iter().map(|concern| concern.id.as_str()).collect()
}

fn value(tree: &MemoryTree, one: &Generation, key: &str, name: &str) -> Option<Vec<u8>> {
    let bytes = tree.read_all(&config(one, "SYSTEM"), 1 << 26).unwrap();
    let mut hive = Hive::open(bytes, &[]).unwrap();
    let root = hive.root().unwrap();
    let key = hive.find(&root, key).unwrap()?;
    let value = hive.value(&key, name).unwrap()?;
    Some(hive.data(&value).unwrap())
}

fn dword(path: &str, name: &str, number: u32) -> (String, String, Kind, Vec<u8>) {
    (path.into(), name.into(), Kind::DWORD, data::dword(number))
}

fn profile(bus: &str, release: &str) -> DeviceProfile {
    DeviceProfile { disk_bus: bus.into(), ..profiles::kvm("bios", find(release).number()) }
}

#[test]
fn boot_ini_by_the_old_controller() {
    for (release, arc) in [("nt4", "scsi(0)disk(3)rdisk(0)"), ("2000", "signature(12345678)disk(3)rdisk(0)")]
    {
        let one = find(release);
        let ini = format!(
            "[boot loader]\r\ndefault={arc}partition(1)\\WINNT\r\n[operating systems]\r\n{arc}partition(1)\\WINNT=\"NT\" /sos\r\n"
        );
        let tree = guest(one, |volume| volume.file("/boot.ini", &ini));
        adapt(&tree, &profile("ide", release));
        let path = r"multi(0)disk(0)rdisk(0)partition(1)\WINNT";
        let text = tree.text("/boot.ini");
        assert!(
            text.contains(&format!(
                "default={path}\r\n{}\r\n{path}=\"NT (BIOS)\" /sos\r\n{arc}",
                "[operating systems]"
            )),
            "{text}"
        );
    }
}

/// A second Windows, on a partition in front.
fn two(release: &str, default: &str) -> MemoryTree {
    let one = find(release);
    let mut all = volumes(one);
    let live = all.pop().unwrap().file(
        "/boot.ini",
        format!("[boot loader]\r\ndefault={default}\r\n[operating systems]\r\n{default}=\"x\"\r\n"),
    );
    let facts = [
        ("fs.kind", "ntfs"),
        ("disk.index", "0"),
        ("partition.number", "1"),
        ("table.id", "12345678"),
        ("parent", "disk:0"),
    ];
    let dead = MemoryVolume::new("part:0", &facts)
        .file("/WINDOWS/System32/config/SYSTEM", hive(one.regf, &system(one)))
        .file("/WINDOWS/System32/config/SOFTWARE", hive(one.regf, &generations::software(one)));
    all.insert(1, dead);
    // The live one is the second partition.
    all.push(live.fact("partition.number", "2"));
    MemoryTree::new(all)
}

#[test]
fn the_windows_that_starts_is_the_one() {
    let tree = two("xp", r"multi(0)disk(0)rdisk(0)partition(2)\WINDOWS");
    let os = Windows::identify(&tree).unwrap().unwrap();
    assert_eq!(wherry_sdk::find(&os.facts, "root.volume"), Some("part:1"));
    assert!(!ids(&adapt(&tree, &profile("ide", "xp"))).contains(&"windows.several"));
    let tree = two("xp", r"C:\CMDCONS\BOOTSECT.DAT");
    assert!(ids(&adapt(&tree, &profile("ide", "xp"))).contains(&"windows.several"));
}

#[test]
fn a_control_set_that_is_not_there() {
    let one = find("2016");
    let tree = with(one, vec![dword("Select", "Current", 7), dword("Select", "Default", 7)]);
    let os = Windows::identify(&tree).unwrap().unwrap();
    assert_eq!(wherry_sdk::find(&os.facts, "windows.control-set"), Some("ControlSet002"));
    assert_eq!((os.architecture.as_str(), os.hostname.as_deref()), ("x86_64", Some("OLDBOX")));
}

#[test]
fn scsi_drivers_of_old_windows_know_their_device() {
    let one = find("2003");
    let tree = guest(one, |volume| volume.file("/WINDOWS/System32/drivers/symmpi.sys", "placeholder"));
    adapt(&tree, &profile("lsi-scsi", "2003"));
    for set in ["ControlSet001", "ControlSet002"] {
        let device = format!(r"{set}\Control\CriticalDeviceDatabase\pci#ven_1000&dev_0030");
        assert_eq!(value(&tree, one, &device, "Service"), Some(data::sz("symmpi")));
        let service = format!(r"{set}\Services\symmpi");
        assert_eq!(value(&tree, one, &service, "Start"), Some(data::dword(0)));
        assert_eq!(value(&tree, one, &service, "Tag"), Some(data::dword(0x21)));
        assert_eq!(
            value(&tree, one, &format!(r"{service}\Parameters\PnpInterface"), "5"),
            Some(data::dword(1))
        );
    }
}

#[test]
fn a_machine_that_is_moved_again() {
    let one = find("2016");
    let card = r"Wherry\Cards\{0A1B2C3D-1111-2222-3333-444455556666}";
    let old = (card.into(), "IPAddress".into(), Kind::MULTI_SZ, data::multi_sz(&["10.9.9.9"]));
    let counted = [generations::software(one), vec![dword("Wherry", "Runs", 3), old]].concat();
    let tree = guest(one, |volume| volume.file(&config(one, "SOFTWARE"), hive(one.regf, &counted)));
    let options = [profiles::options(), vec![fact("first-boot", "yes")]].concat();
    for _ in 0..2 {
        Windows::identify(&tree).unwrap();
        tree.forget();
        Windows::adapt(&tree, &profiles::kvm("bios", (10, 0)), &options).unwrap();
    }
    assert_eq!(tree.edits(), []);
    let mut hive = Hive::open(tree.read_all(&config(one, "SOFTWARE"), 1 << 26).unwrap(), &[]).unwrap();
    let root = hive.root().unwrap();
    assert!(hive.find(&root, "Wherry").unwrap().is_none(), "count and cards are those of the first move");
}

#[test]
fn filters_of_single_devices() {
    let one = find("10");
    let device = r"ControlSet001\Enum\ACPI\PNP0F13\4&1bd7f811&0";
    let more =
        vec![(device.into(), "UpperFilters".into(), Kind::MULTI_SZ, data::multi_sz(&["vmmouse", "kept"]))];
    let tree = with(one, more);
    adapt(&tree, &profiles::kvm("uefi", (10, 0)));
    assert_eq!(value(&tree, one, device, "UpperFilters"), Some(data::multi_sz(&["kept"])));
}

#[test]
fn letters_and_shared_disks() {
    let one = find("2008r2");
    let key = r"ControlSet001\Services\mountmgr";
    let off = vec![dword(key, "NoAutoMount", 1)];
    let tree = with(one, off.clone());
    adapt(&tree, &profile("ahci", "2008r2"));
    assert_eq!(value(&tree, one, key, "NoAutoMount"), Some(data::dword(1)), "every letter is known");
    let unknown = ("MountedDevices".into(), r"\DosDevices\C:".into(), Kind::BINARY, vec![1; 12]);
    let tree = with(one, [off, vec![unknown]].concat());
    adapt(&tree, &profile("ahci", "2008r2"));
    assert_eq!(value(&tree, one, key, "NoAutoMount"), Some(data::dword(0)));

    let policy = r"ControlSet001\Services\partmgr\Parameters";
    for (more, expected) in
        [(vec![], Some(data::dword(1))), (vec![dword(r"ControlSet001\Services\ClusSvc", "Start", 2)], None)]
    {
        let mut all = volumes(one);
        let own = all.pop().unwrap();
        all.push(MemoryVolume::new("disk:1", &[("disk.index", "1")]).kind("disk"));
        all.push(own.file(&config(one, "SYSTEM"), hive(one.regf, &[system(one), more].concat())));
        let tree = MemoryTree::new(all);
        adapt(&tree, &profile("ahci", "2008r2"));
        assert_eq!(value(&tree, one, policy, "SanPolicy"), expected);
    }
}

/// A machine whose ESP, the volume before the last, is what `change` makes of it.
fn esp(one: &Generation, change: impl Fn(MemoryVolume) -> MemoryVolume) -> MemoryTree {
    let mut all = volumes(one);
    let own = all.pop().unwrap();
    let esp = all.pop().unwrap();
    all.extend([change(esp), own]);
    MemoryTree::new(all)
}

#[test]
fn what_firmware_starts_by_itself() {
    const FALLBACK: &str = "/[system partition]/EFI/Boot/bootx64.efi";
    let one = find("2022");
    let old: Vec<u8> = [
        b"MZ".to_vec(),
        "OriginalFilename\0bootmgr.exe\0".encode_utf16().flat_map(u16::to_le_bytes).collect(),
    ]
    .concat();
    let tree = esp(one, |esp| esp.file("/EFI/Boot/bootx64.efi", &old));
    let result = adapt(&tree, &profiles::kvm("uefi", (10, 0)));
    assert!(!ids(&result).contains(&"windows.efi.other-loader"));
    assert_eq!(tree.read_all(FALLBACK, 100).unwrap(), b"placeholder for the boot manager");
    let tree = esp(one, |esp| esp.file("/EFI/Boot/bootx64.efi", "MZ GRUB"));
    assert!(ids(&adapt(&tree, &profiles::kvm("uefi", (10, 0)))).contains(&"windows.efi.other-loader"));
    assert_eq!(tree.read_all(FALLBACK, 100).unwrap(), b"MZ GRUB");

    let narrow = Generation { boot: Boot::Uefi, ..*find("7") };
    let tree = esp(&narrow, |esp| esp);
    assert!(ids(&adapt(&tree, &profiles::kvm("uefi", (6, 1)))).contains(&"windows.firmware"));
}

#[test]
fn a_store_without_graphics() {
    let one = find("2022");
    let path = "/[system partition]/EFI/Microsoft/Boot/BCD";
    let loader = Uuid::parse("11111111-2222-3333-4444-555555555555").unwrap();
    let plain = generations::tree(one);
    Windows::identify(&plain).unwrap();
    let mut hive = Hive::open(plain.read_all(path, 1 << 20).unwrap(), &[]).unwrap();
    let mut store = Store::open(&mut hive).unwrap();
    store.set(&loader, element::GRAPHICS_DISABLED, &Element::Boolean(true)).unwrap();
    let dark = hive.bytes().unwrap();
    let tree = esp(one, |esp| esp.file("/EFI/Microsoft/Boot/BCD", &dark));
    adapt(&tree, &profiles::kvm("uefi", (10, 0)));
    let mut hive = Hive::open(tree.read_all(path, 1 << 20).unwrap(), &[]).unwrap();
    assert_eq!(Store::open(&mut hive).unwrap().element(&loader, element::GRAPHICS_DISABLED).unwrap(), None);
}

#[test]
fn a_store_that_means_another_disk_stays() {
    let one = find("2016");
    let tree = guest(one, |volume| volume.fact("partition.offset", "2097152"));
    let before = volume_text(&tree);
    adapt(&tree, &profiles::kvm("bios", (10, 0)));
    assert_eq!(volume_text(&tree), before);
}

fn volume_text(tree: &MemoryTree) -> Vec<u8> {
    Windows::identify(tree).unwrap();
    tree.read_all("/Boot/BCD", 1 << 20).unwrap()
}
