//! What VMware calls the guest's system, and which devices that system has drivers for.

use wherry_sdk::guest::{Guest, Windows};

/// Identifiers of the vSphere API come with the virtual hardware that first had them, or with a later one: by "Since" in its
/// reference, API 6.5 is hardware 13, 6.7 is 14, 7.0 is 17, 7.0.1 is 18, 8.0 is 20. None that came before is left out for older
/// hardware.
const OLDEST: u32 = 13;

/// Kernel, first build, whether a server's, identifier, hardware.
type Edition = ((u32, u32), u32, bool, &'static str, u32);

/// Windows by kernel, build, servers first, newest first. 64 bits; those of 32 below.
const WINDOWS: [Edition; 14] = [
    ((10, 0), 26040, true, "windows2022srvNext_64Guest", 20),
    ((10, 0), 20348, true, "windows2019srvNext_64Guest", 18),
    ((10, 0), 17763, true, "windows2019srv_64Guest", 17),
    ((10, 0), 0, true, "windows9Server64Guest", OLDEST),
    ((10, 0), 22000, false, "windows11_64Guest", 20),
    ((10, 0), 0, false, "windows9_64Guest", OLDEST),
    ((6, 2), 0, true, "windows8Server64Guest", OLDEST),
    ((6, 2), 0, false, "windows8_64Guest", OLDEST),
    ((6, 1), 0, true, "windows7Server64Guest", OLDEST),
    ((6, 1), 0, false, "windows7_64Guest", OLDEST),
    ((6, 0), 0, true, "winLonghorn64Guest", OLDEST),
    ((6, 0), 0, false, "winVista64Guest", OLDEST),
    ((5, 2), 0, true, "winNetStandard64Guest", OLDEST),
    ((5, 2), 0, false, "winXPPro64Guest", OLDEST),
];
const WINDOWS_NARROW: [((u32, u32), bool, &str); 11] = [
    ((10, 0), false, "windows9Guest"),
    ((6, 2), false, "windows8Guest"),
    ((6, 1), false, "windows7Guest"),
    ((6, 0), true, "winLonghornGuest"),
    ((6, 0), false, "winVistaGuest"),
    ((5, 2), true, "winNetStandardGuest"),
    ((5, 1), false, "winXPProGuest"),
    ((5, 0), true, "win2000ServGuest"),
    ((5, 0), false, "win2000ProGuest"),
    ((0, 0), true, "winNTGuest"),
    ((0, 0), false, "winNTGuest"),
];

/// Distributions by os-release ID, with the first version that an identifier is meant for; newest first, 64 bits.
const LINUX: [(&str, u32, &str, u32); 38] = [
    ("debian", 12, "debian12_64Guest", 20),
    ("debian", 11, "debian11_64Guest", 17),
    ("debian", 10, "debian10_64Guest", OLDEST),
    ("debian", 9, "debian9_64Guest", OLDEST),
    ("debian", 8, "debian8_64Guest", OLDEST),
    ("debian", 7, "debian7_64Guest", OLDEST),
    ("debian", 6, "debian6_64Guest", OLDEST),
    ("debian", 5, "debian5_64Guest", OLDEST),
    ("debian", 0, "debian4_64Guest", OLDEST),
    ("ubuntu", 0, "ubuntu64Guest", OLDEST),
    ("rhel", 9, "rhel9_64Guest", 18),
    ("rhel", 8, "rhel8_64Guest", 14),
    ("rhel", 7, "rhel7_64Guest", OLDEST),
    ("rhel", 6, "rhel6_64Guest", OLDEST),
    ("rhel", 5, "rhel5_64Guest", OLDEST),
    ("rhel", 4, "rhel4_64Guest", OLDEST),
    ("rhel", 0, "rhel3_64Guest", OLDEST),
    ("centos", 9, "centos9_64Guest", 18),
    ("centos", 8, "centos8_64Guest", 14),
    ("centos", 7, "centos7_64Guest", OLDEST),
    ("centos", 6, "centos6_64Guest", OLDEST),
    ("centos", 0, "centos64Guest", OLDEST),
    ("rocky", 0, "rockylinux_64Guest", 20),
    ("almalinux", 0, "almalinux_64Guest", 20),
    ("ol", 9, "oracleLinux9_64Guest", 18),
    ("ol", 8, "oracleLinux8_64Guest", 14),
    ("ol", 7, "oracleLinux7_64Guest", OLDEST),
    ("ol", 6, "oracleLinux6_64Guest", OLDEST),
    ("ol", 0, "oracleLinux64Guest", OLDEST),
    ("sles", 15, "sles15_64Guest", 14),
    ("sles", 12, "sles12_64Guest", OLDEST),
    ("sles", 11, "sles11_64Guest", OLDEST),
    ("sles", 10, "sles10_64Guest", OLDEST),
    ("sles", 0, "sles64Guest", OLDEST),
    ("opensuse", 0, "opensuse64Guest", OLDEST),
    ("opensuse-leap", 0, "opensuse64Guest", OLDEST),
    ("fedora", 0, "fedora64Guest", OLDEST),
    ("amzn", 2, "amazonlinux2_64Guest", 14),
];

/// The identifier of the vSphere API (VirtualMachineGuestOsIdentifier) that virtual hardware of this version knows.
pub fn identifier(guest: &Guest<'_>, hardware: u32) -> String {
    if let Some(windows) = guest.windows {
        return windows_identifier(&windows, guest.is_wide, hardware).into();
    }
    let fits = |one: &&(&str, u32, &str, u32)| {
        one.0 == guest.id && one.1 <= guest.version.0 && one.3 <= hardware.max(OLDEST)
    };
    let found = LINUX.iter().find(fits).map_or("otherLinux64Guest", |one| one.2);
    let found = if guest.id.is_empty() { "otherGuest64" } else { found };
    if guest.is_wide { found.into() } else { narrow(found) }
}

/// The same system of 32 bits, where VMware knows one.
fn narrow(identifier: &str) -> String {
    let plain =
        identifier.replace("_64Guest", "Guest").replace("64Guest", "Guest").replace("Guest64", "Guest");
    let newer = [
        "rhel8",
        "rhel9",
        "centos8",
        "centos9",
        "sles15",
        "oracleLinux8",
        "oracleLinux9",
        "amazon",
        "rocky",
        "alma",
    ];
    if newer.iter().any(|start| plain.starts_with(start)) { "otherLinuxGuest".into() } else { plain }
}

fn windows_identifier(windows: &Windows, is_wide: bool, hardware: u32) -> &'static str {
    let wide = WINDOWS.iter().find(|(kernel, build, is_server, _, since)| {
        *kernel <= windows.kernel
            && (*kernel < windows.kernel || *build <= windows.build)
            && *is_server == windows.is_server
            && *since <= hardware.max(OLDEST)
    });
    let narrow = WINDOWS_NARROW
        .iter()
        .find(|(kernel, is_server, _)| *kernel <= windows.kernel && *is_server == windows.is_server);
    let wide = wide.filter(|_| is_wide && windows.kernel >= (5, 2)).map(|one| one.3);
    wide.or(narrow.map(|one| one.2)).unwrap_or("winNTGuest")
}

/// The same in a VMX file (`guestOS`; open-vm-tools, `guest_os_tables.h`).
pub fn word(identifier: &str) -> String {
    if identifier == "otherGuest64" {
        return "other-64".into();
    }
    let stem = identifier.trim_end_matches("Guest");
    let (stem, wide) = match stem.strip_suffix("_64").or_else(|| stem.strip_suffix("64")) {
        Some(stem) => (stem, "-64"),
        None => (stem, ""),
    };
    let stem = stem.replace("winLonghorn", "longhorn").replace("Server", "srv");
    format!("{}{wide}", stem.to_ascii_lowercase())
}

/// Disk buses that the guest has drivers of its own for, the best first; then those that need others.
pub fn buses(guest: &Guest<'_>) -> &'static [&'static str] {
    match guest.windows {
        Some(windows) if windows.kernel < (6, 0) => &["ide", "buslogic", "lsi-scsi"],
        Some(_) => &["lsi-sas", "ahci", "nvme", "pvscsi", "lsi-scsi", "ide"],
        None if guest.id.is_empty() => &["lsi-scsi", "ide", "ahci", "lsi-sas", "pvscsi", "nvme", "buslogic"],
        None => &["pvscsi", "lsi-scsi", "lsi-sas", "ahci", "nvme", "ide", "buslogic"],
    }
}

/// Cards likewise.
pub fn cards(guest: &Guest<'_>) -> &'static [&'static str] {
    match guest.windows {
        Some(windows) if windows.kernel < (6, 0) && !guest.is_wide => &["pcnet", "e1000"],
        Some(windows) if windows.kernel < (5, 2) => &["pcnet", "e1000"],
        Some(windows) if windows.kernel < (6, 2) => &["e1000", "vmxnet3", "e1000e"],
        Some(_) => &["e1000e", "vmxnet3", "e1000"],
        None if guest.id.is_empty() => &["e1000", "vmxnet3", "e1000e", "pcnet"],
        None => &["vmxnet3", "e1000e", "e1000", "pcnet"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(kernel: (u32, u32), build: u32, is_server: bool, is_wide: bool) -> Guest<'static> {
        let windows = Some(Windows { kernel, build, is_server });
        Guest { windows, id: "windows", version: kernel, is_wide }
    }

    fn linux(id: &'static str, version: u32, is_wide: bool) -> Guest<'static> {
        Guest { windows: None, id, version: (version, 0), is_wide }
    }

    #[test]
    fn every_windows_has_its_word() {
        let cases = [
            (windows((3, 51), 1057, true, false), 13, "winnt"),
            (windows((4, 0), 1381, true, true), 13, "winnt"),
            (windows((5, 0), 2195, true, false), 13, "win2000serv"),
            (windows((5, 0), 2195, false, true), 13, "win2000pro"),
            (windows((5, 1), 2600, false, false), 13, "winxppro"),
            (windows((5, 2), 3790, true, false), 13, "winnetstandard"),
            (windows((5, 2), 3790, true, true), 13, "winnetstandard-64"),
            (windows((5, 2), 3790, false, true), 13, "winxppro-64"),
            (windows((6, 0), 6003, true, true), 13, "longhorn-64"),
            (windows((6, 0), 6003, true, false), 13, "longhorn"),
            (windows((6, 0), 6002, false, false), 13, "winvista"),
            (windows((6, 1), 7601, false, true), 13, "windows7-64"),
            (windows((6, 1), 7601, true, true), 13, "windows7srv-64"),
            (windows((6, 2), 9200, true, true), 13, "windows8srv-64"),
            (windows((6, 3), 9600, true, true), 13, "windows8srv-64"),
            (windows((6, 3), 9600, false, false), 13, "windows8"),
            (windows((10, 0), 19045, false, true), 13, "windows9-64"),
            (windows((10, 0), 19045, false, false), 13, "windows9"),
            (windows((10, 0), 14393, true, true), 21, "windows9srv-64"),
            (windows((10, 0), 17763, true, true), 13, "windows9srv-64"),
            (windows((10, 0), 17763, true, true), 17, "windows2019srv-64"),
            (windows((10, 0), 20348, true, true), 19, "windows2019srvnext-64"),
            (windows((10, 0), 26100, true, true), 20, "windows2022srvnext-64"),
            (windows((10, 0), 26100, true, true), 18, "windows2019srvnext-64"),
            (windows((10, 0), 22631, false, true), 20, "windows11-64"),
            (windows((10, 0), 22631, false, true), 13, "windows9-64"),
        ];
        for (guest, hardware, expected) in cases {
            assert_eq!(word(&identifier(&guest, hardware)), expected, "{:?} {hardware}", guest.windows);
        }
    }

    #[test]
    fn every_linux_has_its_word() {
        let cases = [
            (linux("debian", 12, true), 13, "debian10-64"),
            (linux("debian", 12, true), 20, "debian12-64"),
            (linux("debian", 3, false), 13, "debian4"),
            (linux("ubuntu", 22, true), 13, "ubuntu-64"),
            (linux("rhel", 9, true), 13, "rhel7-64"),
            (linux("rhel", 9, true), 19, "rhel9-64"),
            (linux("rhel", 6, false), 13, "rhel6"),
            (linux("centos", 7, true), 13, "centos7-64"),
            (linux("centos", 5, true), 13, "centos-64"),
            (linux("rocky", 9, true), 13, "otherlinux-64"),
            (linux("rocky", 9, true), 20, "rockylinux-64"),
            (linux("ol", 8, true), 14, "oraclelinux8-64"),
            (linux("ol", 5, false), 14, "oraclelinux"),
            (linux("sles", 15, false), 14, "otherlinux"),
            (linux("opensuse-leap", 15, true), 13, "opensuse-64"),
            (linux("amzn", 2023, true), 20, "amazonlinux2-64"),
            (linux("alpine", 3, true), 13, "otherlinux-64"),
            (linux("", 0, true), 13, "other-64"),
            (linux("", 0, false), 13, "other"),
        ];
        for (guest, hardware, expected) in cases {
            assert_eq!(word(&identifier(&guest, hardware)), expected, "{} {hardware}", guest.id);
        }
    }
}
