//! Synthetic Windows of each generation: the layout of files and the keys that the documents name, written by our own registry
//! writer; programs are placeholders. No byte of them is Microsoft's.

use wherry_registry::bcd::{Element, Store, element, object};
use wherry_registry::device::{Device, Partition};
use wherry_registry::{Hive, Kind, data};
use wherry_sdk::image::Uuid;
use wherry_sdk::testing::{MemoryTree, MemoryVolume};

pub type Values = Vec<(String, String, Kind, Vec<u8>)>;

/// One release.
pub struct Generation {
    pub name: &'static str,
    pub version: &'static str,
    pub build: &'static str,
    pub product: &'static str,
    pub server: bool,
    pub x86: bool,
    pub root: &'static str,
    pub regf: u32,
    pub boot: Boot,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Boot {
    Ini,
    Bios,
    Uefi,
}

const fn generation(
    name: &'static str,
    (version, build): (&'static str, &'static str),
    product: &'static str,
    (server, x86): (bool, bool),
    boot: Boot,
) -> Generation {
    let (root, regf) = match boot {
        Boot::Ini if matches!(version.as_bytes(), b"4.0" | b"5.0") => ("WINNT", 3),
        Boot::Ini => ("WINDOWS", 5),
        _ => ("Windows", 5),
    };
    Generation { name, version, build, product, server, x86, root, regf, boot }
}

pub const ALL: &[Generation] = &[
    generation("nt4", ("4.0", "1381"), "", (true, true), Boot::Ini),
    generation("2000", ("5.0", "2195"), "Microsoft Windows 2000", (true, true), Boot::Ini),
    generation("xp", ("5.1", "2600"), "Microsoft Windows XP", (false, true), Boot::Ini),
    generation("2003", ("5.2", "3790"), "Microsoft Windows Server 2003", (true, true), Boot::Ini),
    generation("2008", ("6.0", "6002"), "Windows Server (R) 2008 Standard", (true, false), Boot::Bios),
    generation("7", ("6.1", "7601"), "Windows 7 Professional", (false, true), Boot::Bios),
    generation("2008r2", ("6.1", "7601"), "Windows Server 2008 R2 Standard", (true, false), Boot::Bios),
    generation("2012r2", ("6.3", "9600"), "Windows Server 2012 R2 Standard", (true, false), Boot::Bios),
    generation("10", ("6.3", "19045"), "Windows 10 Pro", (false, false), Boot::Uefi),
    generation("2016", ("6.3", "14393"), "Windows Server 2016 Standard", (true, false), Boot::Bios),
    generation("2019", ("6.3", "17763"), "Windows Server 2019 Standard", (true, false), Boot::Uefi),
    generation("2022", ("6.3", "20348"), "Windows Server 2022 Standard", (true, false), Boot::Uefi),
    generation("11", ("6.3", "22631"), "Windows 10 Pro", (false, false), Boot::Uefi),
    generation("2025", ("6.3", "26100"), "Windows Server 2025 Standard", (true, false), Boot::Uefi),
];

/// The release of this name.
pub fn find(name: &str) -> &'static Generation {
    ALL.iter().find(|one| one.name == name).unwrap_or_else(|| panic!("no generation {name}"))
}

impl Generation {
    pub fn number(&self) -> (u32, u32) {
        if self.is_ten() {
            return (10, 0);
        }
        let (major, minor) = self.version.split_once('.').unwrap();
        (major.parse().unwrap(), minor.parse().unwrap())
    }
    fn is_ten(&self) -> bool {
        self.build.parse::<u32>().unwrap() > 10000
    }
}

pub fn sz(path: &str, name: &str, text: &str) -> (String, String, Kind, Vec<u8>) {
    (path.into(), name.into(), Kind::SZ, data::sz(text))
}

pub fn dword(path: &str, name: &str, number: u32) -> (String, String, Kind, Vec<u8>) {
    (path.into(), name.into(), Kind::DWORD, data::dword(number))
}

pub fn multi(path: &str, name: &str, texts: &[&str]) -> (String, String, Kind, Vec<u8>) {
    (path.into(), name.into(), Kind::MULTI_SZ, data::multi_sz(texts))
}

/// A hive of these values.
pub fn hive(minor: u32, values: &Values) -> Vec<u8> {
    let mut hive = Hive::empty(minor).unwrap();
    hive.set_time(132_000_000_000_000_000);
    for (path, name, kind, bytes) in values {
        hive.set(path, name, *kind, bytes).unwrap_or_else(|e| panic!("{path} {name}: {e:?}"));
    }
    hive.bytes().unwrap()
}

/// Drivers of the release, each with how it starts: (service, file, start, start override).
fn drivers(one: &Generation) -> Vec<(&'static str, &'static str, u32, Option<u32>)> {
    let mut list = match one.number() {
        (4, _) => vec![("atapi", "atapi.sys", 4, None), ("buslogic", "buslogic.sys", 0, None)],
        (5, _) => vec![("symc8xx", "symc8xx.sys", 0, None), ("disk", "disk.sys", 0, None)],
        (6, 0 | 1) => vec![
            ("atapi", "atapi.sys", 3, None),
            ("intelide", "intelide.sys", 3, None),
            ("pciide", "pciide.sys", 3, None),
            ("msahci", "msahci.sys", 3, None),
            ("LSI_SAS", "lsi_sas.sys", 0, None),
            ("LSI_SCSI", "lsi_scsi.sys", 3, None),
            ("vmbus", "vmbus.sys", 3, None),
            ("storvsc", "storvsc.sys", 3, None),
            ("storflt", "vmstorfl.sys", 3, None),
        ],
        _ => vec![
            ("atapi", "atapi.sys", 3, Some(3)),
            ("intelide", "intelide.sys", 3, Some(3)),
            ("pciide", "pciide.sys", 3, Some(3)),
            ("storahci", "storahci.sys", 3, Some(3)),
            ("stornvme", "stornvme.sys", 3, Some(3)),
            ("LSI_SAS", "lsi_sas.sys", 0, None),
            ("vmbus", "vmbus.sys", 3, Some(3)),
            ("storvsc", "storvsc.sys", 3, Some(3)),
            ("storflt", "vmstorfl.sys", 3, Some(3)),
        ],
    };
    list.push(("Tcpip", "tcpip.sys", 1, None));
    list
}

/// Files of drivers that are there.
fn files(one: &Generation) -> Vec<&'static str> {
    let mut files: Vec<&str> = drivers(one).into_iter().map(|(_, file, ..)| file).collect();
    files.extend(match one.number() {
        (4, _) => &[][..],
        (5, _) => &["atapi.sys", "intelide.sys", "pciide.sys", "pciidex.sys"],
        (6, 0 | 1) => &["ataport.sys", "pciidex.sys", "storport.sys"],
        _ => &["ataport.sys", "pciidex.sys", "storport.sys"],
    });
    files
}

pub const NET: &str = "{4d36e972-e325-11ce-bfc1-08002be10318}";
pub const CARD: &str = "{0A1B2C3D-1111-2222-3333-444455556666}";
/// What VMware gives an e1000 card.
pub const OLD_CARD: &str = r"PCI\VEN_8086&DEV_100F&SUBSYS_075015AD&REV_01\4&b70f118&0&0888";

/// SYSTEM: control sets 1 and 2, a static address, VMware Tools.
pub fn system(one: &Generation) -> Values {
    let mut all = vec![
        dword("Select", "Current", 1),
        dword("Select", "Default", 1),
        dword("Select", "Failed", 0),
        dword("Select", "LastKnownGood", 2),
        (
            "MountedDevices".into(),
            r"\DosDevices\C:".into(),
            Kind::BINARY,
            vec![0x78, 0x56, 0x34, 0x12, 0, 0, 0x10, 0, 0, 0, 0, 0],
        ),
    ];
    for set in ["ControlSet001", "ControlSet002"] {
        all.extend(control(one, set));
    }
    all
}

fn control(one: &Generation, set: &str) -> Values {
    let at = |rest: &str| format!(r"{set}\{rest}");
    let kind = if one.server { "ServerNT" } else { "WinNT" };
    let mut all = vec![
        sz(&at(r"Control\ComputerName\ComputerName"), "ComputerName", "OLDBOX"),
        sz(&at(r"Control\ProductOptions"), "ProductType", kind),
        sz(
            &at(r"Control\Session Manager\Environment"),
            "PROCESSOR_ARCHITECTURE",
            if one.x86 { "x86" } else { "AMD64" },
        ),
    ];
    for (service, file, start, later) in drivers(one) {
        let key = at(&format!(r"Services\{service}"));
        all.push(dword(&key, "Start", start));
        all.push(dword(&key, "Type", 1));
        all.push(sz(&key, "ImagePath", &format!(r"System32\drivers\{file}")));
        all.extend(later.map(|later| dword(&format!(r"{key}\StartOverride"), "0", later)));
    }
    if one.number() >= (5, 0) {
        all.extend(card(&at(""), one));
    }
    if one.name == "nt4" {
        all.extend(adapter(&at("")));
    }
    if one.number().0 == 5 {
        all.push(dword(&at(r"Services\intelppm"), "Start", 1));
        let root = at(r"Enum\Root\ACPI_HAL\0000");
        all.push(sz(&root, "ClassGUID", "{4D36E966-E325-11CE-BFC1-08002BE10318}"));
        all.push(multi(&root, "HardwareID", &["acpiapic_up", "detected\\acpiapic_up"]));
    }
    let tools = at(r"Services\VMTools");
    all.extend([dword(&tools, "Start", 2), dword(&tools, "Type", 0x10)]);
    let mouse = at(r"Services\vmmouse");
    all.extend([dword(&mouse, "Start", 3), dword(&mouse, "Type", 1)]);
    let class = at(r"Control\Class\{4d36e96f-e325-11ce-bfc1-08002be10318}");
    all.push(multi(&class, "UpperFilters", &["vmmouse", "mouclass"]));
    all
}

/// What ACPI's devices without a number are called; a later installation has counted its image's.
fn acpi(one: &Generation) -> &'static str {
    if one.number() < (6, 0) { "2&daba3ff&0" } else { "2&daba3ff&1" }
}

fn card(set: &str, one: &Generation) -> Values {
    let class = format!(r"{set}Control\Class\{NET}\0007");
    let connection = format!(r"{set}Control\Network\{NET}\{CARD}\Connection");
    let address = format!(r"{set}Services\Tcpip\Parameters\Interfaces\{CARD}");
    let device = format!(r"{set}Enum\{OLD_CARD}");
    let mut all = vec![
        sz(&class, "NetCfgInstanceId", CARD),
        sz(&class, "DriverDesc", "Intel(R) PRO/1000 MT Network Connection"),
        dword(&class, "Characteristics", 0x84),
        sz(&class, "*SpeedDuplex", "0"),
        sz(&connection, "Name", if one.number().0 < 6 { "Local Area Connection" } else { "Ethernet0" }),
        sz(&connection, "PnpInstanceID", OLD_CARD),
        dword(&address, "EnableDHCP", 0),
        multi(&address, "IPAddress", &["192.168.7.20"]),
        multi(&address, "SubnetMask", &["255.255.255.0"]),
        multi(&address, "DefaultGateway", &["192.168.7.1"]),
        sz(&address, "NameServer", "192.168.7.2,192.168.7.3"),
        sz(&format!(r"{set}Enum\ACPI_HAL\PNP0C08\0"), "ParentIdPrefix", acpi(one)),
        sz(&device, "Driver", &format!(r"{NET}\0007")),
        sz(&device, "ClassGUID", NET),
    ];
    if one.number().0 >= 6 {
        all.extend(ipv6(set));
    }
    if one.number() >= (6, 2) {
        let second = format!(r"{set}Control\NetworkSetup2\Interfaces\{CARD}\Kernel");
        all.push(sz(&second, "PnPInstanceId", OLD_CARD));
    }
    all
}

/// A fixed IPv6 address with a way out, as Vista and later keep them by the interface's LUID.
fn ipv6(set: &str) -> Values {
    let luid = "0000000700000600";
    let store = format!(r"{set}Control\Nsi\{{eb004a01-9b1a-11d4-9123-0050047759bc}}");
    let address = format!("{luid}20010db8000000000000000000000005");
    let route = format!("{}{luid}{luid}fe800000000000000000000000000001", "0".repeat(96));
    let mut data = [0xff; 44];
    data[8..20].copy_from_slice(&[0x10, 0, 0, 0, 0x10, 0, 0, 0, 64, 0, 0, 0]);
    let class = format!(r"{set}Control\Class\{NET}\0007");
    let servers = format!(r"{set}Services\Tcpip6\Parameters\Interfaces\{CARD}");
    vec![
        dword(&class, "NetLuidIndex", 7),
        dword(&class, "*IfType", 6),
        (format!(r"{store}\10"), address, Kind::BINARY, data.to_vec()),
        (format!(r"{store}\16"), route, Kind::BINARY, vec![0xff; 56]),
        sz(&servers, "NameServer", "2001:db8::53"),
    ]
}

/// The adapter that NT 4.0 has for VMware's card.
fn adapter(set: &str) -> Values {
    let (driver, service) = (format!(r"{set}Services\AMDPCN"), format!(r"{set}Services\AMDPCN1"));
    let (parameters, address) = (format!(r"{service}\Parameters"), format!(r"{service}\Parameters\Tcpip"));
    vec![
        dword(&driver, "Start", 2),
        dword(&driver, "Type", 1),
        multi(&format!(r"{driver}\Linkage"), "Bind", &[r"\Device\AMDPCN1"]),
        dword(&service, "Start", 3),
        dword(&service, "Type", 4),
        dword(&parameters, "BusType", 5),
        dword(&parameters, "BusNumber", 0),
        dword(&parameters, "SlotNumber", 17),
        dword(&parameters, "TP", 0),
        dword(&address, "EnableDHCP", 0),
        multi(&address, "IPAddress", &["192.168.7.20"]),
        multi(&address, "SubnetMask", &["255.255.255.0"]),
        multi(&address, "DefaultGateway", &["192.168.7.1"]),
        sz(&format!(r"{set}Services\Tcpip\Parameters"), "NameServer", "192.168.7.2"),
    ]
}

/// DRIVERS, of 8.1 and later.
fn drivers_hive() -> Values {
    vec![dword("DriverDatabase", "Architecture", 9)]
}

/// SOFTWARE.
pub fn software(one: &Generation) -> Values {
    let nt = r"Microsoft\Windows NT\CurrentVersion";
    let mut all = vec![
        sz(nt, "CurrentVersion", one.version),
        sz(nt, "CurrentBuildNumber", one.build),
        sz(nt, "SystemRoot", &format!(r"C:\{}", one.root)),
    ];
    if one.number() >= (5, 0) {
        let path = (r"Microsoft\Windows\CurrentVersion".into(), "DevicePath".into());
        all.push((path.0, path.1, Kind::EXPAND_SZ, data::sz(r"%SystemRoot%\inf")));
    }
    if !one.product.is_empty() {
        all.push(sz(nt, "ProductName", one.product));
    }
    if one.is_ten() {
        all.push(dword(nt, "CurrentMajorVersionNumber", 10));
        all.push(dword(nt, "CurrentMinorVersionNumber", 0));
        all.push(sz(nt, "EditionID", if one.server { "ServerStandard" } else { "Professional" }));
    }
    if one.name == "nt4" {
        let card = r"Microsoft\Windows NT\CurrentVersion\NetworkCards\1";
        all.push(sz(card, "ServiceName", "AMDPCN1"));
        all.push(sz(card, "Title", "[1] AMD PCNET Family Ethernet Adapter"));
    }
    if matches!(one.name, "xp" | "7" | "2008r2" | "2003") {
        all.push(sz(nt, "CSDVersion", "Service Pack 1"));
    }
    let product = r"Microsoft\Windows\CurrentVersion\Uninstall\{FE2F6A2C-196E-4210-9C04-2B1BC21F07EF}";
    all.push(sz(product, "DisplayName", "VMware Tools"));
    all.push(sz(
        r"Classes\Installer\Products\C2A6F2EFE6910124C940B2B12CF170FE",
        "ProductName",
        "VMware Tools",
    ));
    all.push(sz(r"Microsoft\Windows\CurrentVersion\Run", "VMware User Process", "vmtoolsd.exe -n vmusr"));
    all
}

/// Its files.
pub fn volumes(one: &Generation) -> Vec<MemoryVolume> {
    let root = format!("/{}", one.root);
    let config = format!("{root}/System32/config");
    let kind = if one.name == "nt4" { "vfat" } else { "ntfs" };
    let uefi = one.boot == Boot::Uefi;
    let (table, number) = if uefi { ("gpt", "3") } else { ("mbr", "1") };
    let (id, own) = if uefi { (DISK, PARTITION) } else { ("12345678", "12345678-01") };
    let disk = MemoryVolume::new("disk:0", &[("disk.index", "0")]).kind("disk");
    let facts = [
        ("fs.kind", kind),
        ("disk.index", "0"),
        ("partition.number", number),
        ("partition.offset", "1048576"),
        ("partition.uuid", own),
        ("table.kind", table),
        ("table.id", id),
        ("parent", "disk:0"),
    ];
    let mut volume = MemoryVolume::new("part:1", &facts)
        .file(&format!("{config}/SYSTEM"), hive(one.regf, &system(one)))
        .file(&format!("{config}/SOFTWARE"), hive(one.regf, &software(one)))
        .file(&format!("{root}/System32/ntoskrnl.exe"), program("ntoskrnl.exe"))
        .file(&format!("{root}/System32/hal.dll"), program("halaacpi.dll"));
    if one.number() >= (6, 3) {
        volume = volume.file(&format!("{config}/DRIVERS"), hive(one.regf, &drivers_hive()));
    }
    for file in files(one) {
        volume = volume.file(&format!("{root}/System32/drivers/{file}"), format!("placeholder for {file}"));
    }
    match one.boot {
        Boot::Ini => {
            let ini = format!(
                "[boot loader]\r\ntimeout=30\r\ndefault=multi(0)disk(0)rdisk(0)partition(1)\\{0}\r\n[operating systems]\r\n\
                 multi(0)disk(0)rdisk(0)partition(1)\\{0}=\"Windows\" /fastdetect\r\n",
                one.root
            );
            vec![disk, volume.file("/ntldr", "placeholder").file("/boot.ini", ini)]
        }
        Boot::Bios => {
            vec![disk, volume.file("/bootmgr", "placeholder").file("/Boot/BCD", bcd(one))]
        }
        Boot::Uefi => {
            let facts = [
                ("fs.kind", "vfat"),
                ("disk.index", "0"),
                ("partition.number", "1"),
                ("partition.type", "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"),
                ("parent", "disk:0"),
            ];
            let esp = MemoryVolume::new("part:esp", &facts)
                .file("/EFI/Microsoft/Boot/BCD", bcd(one))
                .file("/EFI/Microsoft/Boot/bootmgfw.efi", "placeholder for the boot manager");
            vec![disk, esp, volume]
        }
    }
}

/// The partition's own identifier on a GPT disk, and the disk's.
pub const PARTITION: &str = "33333333-0000-0000-0000-000000000003";
pub const DISK: &str = "dddddddd-0000-0000-0000-00000000000d";

/// A store with one entry. The disk that it names has another signature: that of the disk that this one was copied from.
fn bcd(one: &Generation) -> Vec<u8> {
    let partition = if one.boot == Boot::Uefi {
        let (disk, partition) = (Uuid::parse("cccccccc-0000-0000-0000-00000000000c"), Uuid::parse(PARTITION));
        Partition::Gpt { disk: disk.unwrap(), partition: partition.unwrap() }
    } else {
        Partition::Mbr { signature: 0x8765_4321, offset: 1 << 20 }
    };
    let mut hive = Hive::empty(5).unwrap();
    let mut store = Store::create(&mut hive).unwrap();
    let loader = Uuid::parse("11111111-2222-3333-4444-555555555555").unwrap();
    store.make(&object::BOOTMGR, object::TYPE_BOOTMGR).unwrap();
    store.make(&loader, object::TYPE_LOADER).unwrap();
    let mut set = |id: &Uuid, number, element| store.set(id, number, &element).unwrap();
    set(&object::BOOTMGR, element::DEFAULT, Element::Object(loader));
    set(&object::BOOTMGR, element::DISPLAY_ORDER, Element::Objects(vec![loader]));
    set(&loader, element::DESCRIPTION, Element::Text("Windows".into()));
    set(&loader, element::DEVICE, Element::Device(Device::partition(&partition)));
    set(&loader, element::OS_DEVICE, Element::Device(Device::partition(&partition)));
    set(&loader, element::SYSTEM_ROOT, Element::Text(r"\Windows".into()));
    hive.bytes().unwrap()
}

/// A program whose version resource has this original name.
fn program(name: &str) -> Vec<u8> {
    let text = format!("OriginalFilename\0\0{name}\0");
    [b"MZ".to_vec(), text.encode_utf16().flat_map(u16::to_le_bytes).collect()].concat()
}

pub fn tree(one: &Generation) -> MemoryTree {
    MemoryTree::new(volumes(one))
}

/// With more in each control set, which is said by its name and a backslash.
pub fn tree_with(one: &Generation, more: impl Fn(&str) -> Values) -> MemoryTree {
    let mut values = system(one);
    ["ControlSet001\\", "ControlSet002\\"].iter().for_each(|set| values.extend(more(set)));
    let mut volumes = volumes(one);
    let windows = volumes.pop().unwrap();
    let path = format!("/{}/System32/config/SYSTEM", one.root);
    volumes.push(windows.file(&path, hive(one.regf, &values)));
    MemoryTree::new(volumes)
}
