//! What VMware calls the guest's system, and which devices that system has drivers for.

use wherry_sdk::guest::{Guest, Solaris, Windows};

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

/// The hardware that knows Solaris 11 (vSphere 5.0).
const SOLARIS_11_SINCE: u32 = 8;

/// Any other Linux.
const OTHER: &str = "otherLinux64Guest";

/// A distribution's os-release ID; how its identifiers begin; the versions that have one of their own, newest first, with
/// the hardware; what all others are, with the hardware. 64 bits.
type Distribution = (&'static str, &'static str, &'static [(u32, u32)], &'static str, u32);

const LINUX: [Distribution; 11] = [
    (
        "debian",
        "debian",
        &[(12, 20), (11, 17), (10, 13), (9, 13), (8, 13), (7, 13), (6, 13), (5, 13)],
        "debian4_64Guest",
        OLDEST,
    ),
    ("ubuntu", "", &[], "ubuntu64Guest", OLDEST),
    ("rhel", "rhel", &[(9, 18), (8, 14), (7, 13), (6, 13), (5, 13), (4, 13)], "rhel3_64Guest", OLDEST),
    ("centos", "centos", &[(9, 18), (8, 14), (7, 13), (6, 13)], "centos64Guest", OLDEST),
    ("rocky", "", &[], "rockylinux_64Guest", 20),
    ("almalinux", "", &[], "almalinux_64Guest", 20),
    ("ol", "oracleLinux", &[(9, 18), (8, 14), (7, 13), (6, 13)], "oracleLinux64Guest", OLDEST),
    ("sles", "sles", &[(15, 14), (12, 13), (11, 13), (10, 13)], "sles64Guest", OLDEST),
    ("opensuse", "", &[], "opensuse64Guest", OLDEST),
    ("fedora", "", &[], "fedora64Guest", OLDEST),
    ("amzn", "amazonlinux", &[(2, 14)], OTHER, OLDEST),
];

/// The identifier of the vSphere API (VirtualMachineGuestOsIdentifier) that virtual hardware of this version knows.
pub fn identifier(guest: &Guest<'_>, hardware: u32) -> String {
    if let Some(windows) = guest.windows {
        return windows_identifier(&windows, guest.is_wide, hardware).into();
    }
    if let Some(solaris) = guest.solaris() {
        return solaris_identifier(solaris, guest.is_wide, hardware).into();
    }
    let found = if guest.id.is_empty() { "otherGuest64".into() } else { distribution(guest, hardware) };
    if guest.is_wide { found } else { narrow(&found) }
}

/// VMware has none for illumos, which is nearest to Solaris 11.
fn solaris_identifier(solaris: Solaris, is_wide: bool, hardware: u32) -> &'static str {
    match solaris {
        Solaris::Eleven | Solaris::Illumos if is_wide && hardware >= SOLARIS_11_SINCE => "solaris11_64Guest",
        _ if is_wide => "solaris10_64Guest",
        _ => "solaris10Guest",
    }
}

fn distribution(guest: &Guest<'_>, hardware: u32) -> String {
    let is_known = |since: u32| since <= hardware.max(OLDEST);
    // openSUSE Leap has no identifiers of its own.
    let id = if guest.id == "opensuse-leap" { "opensuse" } else { guest.id };
    let Some((_, stem, versions, others, since)) = LINUX.iter().find(|one| one.0 == id) else {
        return OTHER.into();
    };
    let own = versions.iter().find(|(version, since)| *version <= guest.version.0 && is_known(*since));
    match own {
        Some((version, _)) => format!("{stem}{version}_64Guest"),
        None => if is_known(*since) { *others } else { OTHER }.into(),
    }
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
    match guest.solaris() {
        Some(Solaris::Ten | Solaris::Eleven) => {
            return &["lsi-scsi", "ide", "lsi-sas", "ahci", "nvme", "buslogic", "pvscsi"];
        }
        // mpt, the driver of LSI's controllers, is not in every distribution
        Some(Solaris::Illumos) => {
            return &["ahci", "ide", "lsi-scsi", "lsi-sas", "pvscsi", "nvme", "buslogic"];
        }
        None => {}
    }
    match guest.windows {
        Some(windows) if windows.kernel < (6, 0) => &["ide", "buslogic", "lsi-scsi"],
        Some(_) => &["lsi-sas", "ahci", "nvme", "pvscsi", "lsi-scsi", "ide"],
        None if guest.id.is_empty() => &["lsi-scsi", "ide", "ahci", "lsi-sas", "pvscsi", "nvme", "buslogic"],
        None => &["pvscsi", "lsi-scsi", "lsi-sas", "ahci", "nvme", "ide", "buslogic"],
    }
}

/// Cards likewise.
pub fn cards(guest: &Guest<'_>) -> &'static [&'static str] {
    if guest.solaris().is_some() {
        return &["e1000", "pcnet", "e1000e", "vmxnet3"];
    }
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
            (linux("solaris", 10, true), 13, "solaris10-64"),
            (linux("solaris", 10, false), 13, "solaris10"),
            (linux("solaris", 11, true), 13, "solaris11-64"),
            (linux("solaris", 11, true), 7, "solaris10-64"),
            (linux("omnios", 0, true), 13, "solaris11-64"),
            (linux("", 0, true), 13, "other-64"),
            (linux("", 0, false), 13, "other"),
        ];
        for (guest, hardware, expected) in cases {
            assert_eq!(word(&identifier(&guest, hardware)), expected, "{} {hardware}", guest.id);
        }
    }
}
