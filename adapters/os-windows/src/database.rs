//! The driver database of Windows 8 and later: which packages there are, and which devices they are for.
//!
//! No document describes it. Read from the hives of a Windows 8.1 (159 packages, one of them a vendor's), from what
//! lxc/distrobuilder writes for Windows 10 and 11 and virt-v2v for 8 and later, and from mewclouds/drvctl's study of what DISM
//! writes on Windows 11 (67 packages; which values Windows needs). What is needed at a device's first start: `Version`, without
//! which a package is none, `DeviceIds`, and the `Service` of the configuration that the descriptor of the device's id names.

use crate::edit::{Change, Hive, When};
use crate::import::{self, Guest, Import, Parcel};
use crate::install::{self, Install};
use std::collections::BTreeSet;
use wherry_registry::Kind;
use wherry_registry::data::{multi_sz, sz};
use wherry_sdk::image::Uuid;
use wherry_sdk::{Error, Result};

/// Windows 10.
const TEN: (u32, u32) = (10, 0);
/// What `Version` of a vendor's package starts with on every Windows known. The last two bytes of four may be the processor's
/// number (9 is AMD64, and so is `Architecture` beside the map), yet virt-v2v writes them for x86 as well, and Windows takes it.
const VERSION_HEAD: [u8; 8] = [0, 0xff, 9, 0, 0, 0, 0, 0];
/// `StatusFlags` of packages that were imported and that no device uses yet.
const STATUS: u32 = 0x12;
/// `ConfigScope` of packages for boot devices; Windows puts its own in if it is missing.
const SCOPE: u32 = 7;
/// `SIGNERSCORE_WHQL`, `SIGNERSCORE_AUTHENTICODE` and `SIGNERSCORE_UNSIGNED` (SetupAPI.h).
const SCORES: [u32; 3] = [0x0d00_0005, 0x0f00_0000, 0x8000_0000];
/// Who signs drivers at Microsoft.
const PUBLISHER: &str = "Microsoft Windows Hardware Compatibility Publisher";
/// Kinds of ids in `DeviceIds`.
const HARDWARE: u8 = 1;
const COMPATIBLE: u8 = 2;
/// Classes whose packages lie in the SYSTEM hive, if the guest does not tell. In the hive of the Windows 8.1 they are SCSIAdapter,
/// HDC, System, DiskDrive, Volume, USB, HIDClass, Keyboard, Mouse, Ports, and more; Net and Display are not among them, though
/// basicdisplay.inf is there, as its package has `BootCritical`.
const BOOT_CLASSES: [&str; 10] = [
    "4d36e97b-e325-11ce-bfc1-08002be10318",
    "4d36e96a-e325-11ce-bfc1-08002be10318",
    "4d36e97d-e325-11ce-bfc1-08002be10318",
    "4d36e967-e325-11ce-bfc1-08002be10318",
    "71a27cdd-812a-11d0-bec7-08002be2092f",
    "36fc9e60-c465-11cf-8056-444553540000",
    "745a17a0-74d3-11d0-b6fe-00a0c90f57da",
    "4d36e96b-e325-11ce-bfc1-08002be10318",
    "4d36e96f-e325-11ce-bfc1-08002be10318",
    "4d36e978-e325-11ce-bfc1-08002be10318",
];

/// Numbers of the `oemN.inf` that a map says are there: the highest bit of its first byte is 0.
pub fn numbers(map: &[u8]) -> Vec<u32> {
    let bits = (0_u32..).zip(map.iter().flat_map(|byte| (0..8).map(move |bit| byte & (0x80 >> bit) != 0)));
    bits.filter(|(_, set)| *set).map(|(number, _)| number).collect()
}

/// The map with one number more.
fn with(map: &[u8], number: u32) -> Vec<u8> {
    let mut map = map.to_vec();
    let place = number as usize / 8;
    if map.len() <= place {
        map.resize(place + 1, 0);
    }
    if let Some(byte) = map.get_mut(place) {
        *byte |= 0x80 >> (number % 8);
    }
    map
}

/// Everything about a package.
pub fn write(import: &mut Import, guest: &Guest<'_>, parcel: &Parcel<'_>) -> Result<()> {
    let class = parcel.package.class().ok_or_else(|| {
        Error::unsupported("the INF file names no class (ClassGuid) for its devices, which Windows asks for")
    })?;
    let (hive, critical) = hive(guest, parcel, class);
    map(import, guest, parcel);
    let published = parcel.published();
    let reason = reason(parcel);
    let key = format!(r"DriverDatabase\DriverInfFiles\{published}");
    import.value((hive, &key), "", (Kind::MULTI_SZ, multi_sz(std::slice::from_ref(&parcel.folder))), &reason);
    import.value((hive, &key), "Active", (Kind::SZ, sz(&parcel.folder)), &reason);
    package(import, guest, parcel, (hive, class));
    if critical {
        let key = format!(r"DriverDatabase\DriverPackages\{}", parcel.folder);
        import.value((hive, &key), "BootCritical", (Kind::DWORD, vec![1, 0, 0, 0]), &reason);
    }
    device_ids(import, guest, parcel, (hive, class));
    if hive == Hive::System {
        let sections: Vec<String> = parcel.installs.iter().map(|install| install.section.clone()).collect();
        import.value((hive, &key), "Configurations", (Kind::MULTI_SZ, multi_sz(&sections)), &reason);
        for install in &parcel.installs {
            configuration(import, guest, parcel, install);
        }
        descriptors(import, guest, parcel);
    }
    lockdown(import, guest, parcel);
    Ok(())
}

/// Why all of this is written.
fn reason(parcel: &Parcel<'_>) -> String {
    format!(
        "Windows looks in its driver database for what {} ({}) is for",
        parcel.published(),
        parcel.package.name
    )
}

/// Packages for devices that are needed to boot are in the SYSTEM hive, which the loader reads; and whether such a package is of
/// another class.
fn hive(guest: &Guest<'_>, parcel: &Parcel<'_>, class: Uuid) -> (Hive, bool) {
    let own = class.to_string();
    let told = guest.boot_classes.iter().any(|name| name.trim_matches(['{', '}']).eq_ignore_ascii_case(&own));
    let known = guest.boot_classes.is_empty() && BOOT_CLASSES.contains(&own.as_str());
    let starts = parcel.install.services.iter().any(|service| service.start == 0);
    let home = if told || known || starts || !guest.has_drivers_hive { Hive::System } else { Hive::Drivers };
    (home, starts && !told && !known)
}

fn map(import: &mut Import, guest: &Guest<'_>, parcel: &Parcel<'_>) {
    let reason = reason(parcel);
    let place = (Hive::System, "DriverDatabase");
    import.value(place, "OemInfMap", (Kind::BINARY, with(&guest.oem_map, parcel.number)), &reason);
}

fn package(import: &mut Import, guest: &Guest<'_>, parcel: &Parcel<'_>, home: (Hive, Uuid)) {
    let ten = guest.target.version() >= TEN;
    let key = format!(r"DriverDatabase\DriverPackages\{}", parcel.folder);
    let place = (home.0, key.as_str());
    let reason = reason(parcel);
    let text = |text: &str| (Kind::SZ, sz(text));
    import.value(place, "", text(&parcel.published()), &reason);
    import.value(place, "InfName", text(&parcel.package.name), &reason);
    import.value(place, "OemPath", text(&guest.windows), &reason);
    import.value(place, "Provider", text(&parcel.package.provider()), &reason);
    let (score, signer) = signer(parcel);
    import.value(place, "SignerScore", (Kind::DWORD, score.to_le_bytes().to_vec()), &reason);
    if let Some(signer) = signer {
        import.value(place, "SignerName", text(signer), &reason);
    }
    import.value(place, "StatusFlags", (Kind::DWORD, STATUS.to_le_bytes().to_vec()), &reason);
    import.value(place, "Version", (Kind::BINARY, version(parcel, home.1)), &reason);
    if !ten {
        return;
    }
    if let Some(catalog) = &parcel.catalog {
        import.value(place, "Catalog", text(catalog), &reason);
    }
    let size: u64 = parcel.files.values().map(|bytes| bytes.len() as u64).sum();
    import.value(place, "FileSize", (Kind::QWORD, size.to_le_bytes().to_vec()), &reason);
    let (name, kind, data) = ("ImportDate".to_owned(), Kind::BINARY, guest.now.to_le_bytes().to_vec());
    import.edit(place.0, place.1, Change::Value { name, kind, data, when: When::Absent }, &reason);
}

/// 48 bytes: the head, the class, date and version of `DriverVer` (its numbers from the last to the first), and zeroes.
fn version(parcel: &Parcel<'_>, class: Uuid) -> Vec<u8> {
    let version = parcel.package.version();
    let mut bytes = VERSION_HEAD.to_vec();
    bytes.extend(class.guid());
    bytes.extend(version.filetime().to_le_bytes());
    bytes.extend(version.version.iter().rev().flat_map(|number| number.to_le_bytes()));
    bytes.extend([0; 8]);
    bytes
}

/// Whose signature the catalog has, as far as its certificates tell. It is not verified here: Windows does that.
fn signer(parcel: &Parcel<'_>) -> (u32, Option<&'static str>) {
    let [microsoft, other, none] = SCORES;
    let Some(bytes) = parcel.catalog.as_ref().and_then(|name| parcel.files.get(name)) else {
        return (none, None);
    };
    let there = bytes.windows(PUBLISHER.len()).any(|window| window == PUBLISHER.as_bytes());
    if there { (microsoft, Some(PUBLISHER)) } else { (other, None) }
}

/// Which ids lead to the package: what kind of id it is in the INF file, the feature score, and its number among those that are
/// compatible. The class has an entry without content.
fn device_ids(import: &mut Import, guest: &Guest<'_>, parcel: &Parcel<'_>, home: (Hive, Uuid)) {
    let (published, reason) = (parcel.published(), reason(parcel));
    for model in install::models(&parcel.package.inf, &guest.target) {
        let install = parcel.installs.iter().find(|install| same_section(install, &model.section));
        let score = install.map_or(0xff, |install| install.feature_score);
        for (place, id) in (0_u16..).zip(&model.ids) {
            let kind = if place == 0 { HARDWARE } else { COMPATIBLE };
            let [low, high] = place.saturating_sub(1).to_le_bytes();
            let key = format!(r"DriverDatabase\DeviceIds\{id}");
            import.value((home.0, &key), &published, (Kind::BINARY, vec![kind, score, low, high]), &reason);
        }
    }
    let key = format!(r"DriverDatabase\DeviceIds\{{{}}}", home.1);
    import.value((home.0, &key), &published, (Kind::NONE, Vec::new()), &reason);
}

/// Whether this is what an undecorated section's name leads to.
fn same_section(install: &Install, name: &str) -> bool {
    let head = install.section.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name));
    head && install.section.get(name.len()..).is_some_and(|rest| {
        rest.strip_prefix('.')
            .map_or(rest.is_empty(), |rest| crate::decoration::Decoration::parse(rest).is_some())
    })
}

/// What an install section gives a device that starts before its INF file can be read.
fn configuration(import: &mut Import, guest: &Guest<'_>, parcel: &Parcel<'_>, install: &Install) {
    let key = format!(r"DriverDatabase\DriverPackages\{}\Configurations\{}", parcel.folder, install.section);
    let place = (Hive::System, key.as_str());
    let reason = reason(parcel);
    import.value(place, "ConfigFlags", (Kind::DWORD, vec![0; 4]), &reason);
    if guest.target.version() >= TEN {
        import.value(place, "ConfigScope", (Kind::DWORD, SCOPE.to_le_bytes().to_vec()), &reason);
    }
    if !install.included.is_empty() {
        import.value(place, "IncludedInfs", (Kind::MULTI_SZ, multi_sz(&install.included)), &reason);
    }
    if let Some(function) = install.function() {
        import.value(place, "Service", (Kind::SZ, sz(&function.name)), &reason);
    }
    // What is elsewhere than below the device, the driver or the service is for Windows to set when it installs the device.
    let own = |all: &[crate::addreg::Entry]| {
        let own = all.iter().filter(|entry| entry.root == crate::addreg::Root::Relative);
        own.cloned().collect::<Vec<_>>()
    };
    let mut below = |name: &str, all: &[crate::addreg::Entry]| {
        import::entries(import, guest, (Hive::System, &format!(r"{key}\{name}")), &own(all), &reason);
    };
    below("Device", &install.hardware);
    below("Driver", &install.software);
    for service in &install.services {
        below(&format!(r"Services\{}", service.name), &service.entries);
    }
}

/// What each id is: its configuration, name and maker, with the strings that these need.
fn descriptors(import: &mut Import, guest: &Guest<'_>, parcel: &Parcel<'_>) {
    let key = format!(r"DriverDatabase\DriverPackages\{}", parcel.folder);
    let (mut strings, reason) = (BTreeSet::new(), reason(parcel));
    for model in install::models(&parcel.package.inf, &guest.target) {
        let Some(install) = parcel.installs.iter().find(|install| same_section(install, &model.section))
        else {
            continue;
        };
        for id in &model.ids {
            let key = format!(r"{key}\Descriptors\{id}");
            let place = (Hive::System, key.as_str());
            import.value(place, "Configuration", (Kind::SZ, sz(&install.section)), &reason);
            for (name, raw) in [("Description", &model.description), ("Manufacturer", &model.manufacturer)] {
                let token =
                    raw.strip_prefix('%').and_then(|rest| rest.strip_suffix('%')).map(str::to_lowercase);
                let token = token.filter(|token| parcel.package.inf.string(token).is_some());
                let text = token
                    .as_ref()
                    .map_or_else(|| parcel.package.inf.expand(raw), |token| format!("%{token}%"));
                import.value(place, name, (Kind::SZ, sz(&text)), &reason);
                strings.extend(token);
            }
        }
    }
    let key = format!(r"{key}\Strings");
    for token in strings {
        let text = parcel.package.inf.string(&token).unwrap_or_default();
        import.value((Hive::System, &key), &token, (Kind::SZ, sz(text)), &reason);
    }
}

/// Files that nothing but the package may change: `PnpLockdown` of the INF file, else watched only. The keys are as in the hive
/// of a Windows 8.1 (class 5) and in distrobuilder's of Windows 10 (class 4).
fn lockdown(import: &mut Import, guest: &Guest<'_>, parcel: &Parcel<'_>) {
    let locked = parcel.package.inf.value("Version", "PnpLockdown").is_some_and(|text| text.trim() == "1");
    let class = if locked { 4_u32 } else { 5 };
    let windows = guest.windows.trim_end_matches('\\');
    for copy in &parcel.install.copies {
        let head =
            copy.destination.get(..windows.len()).is_some_and(|head| head.eq_ignore_ascii_case(windows));
        let rest = copy.destination.get(windows.len()..).filter(|rest| head && rest.starts_with('\\'));
        let Some(rest) = rest.filter(|rest| !rest.contains(&parcel.folder)) else { continue };
        let path = format!("%SystemRoot%{}", rest.replace('\\', "/"));
        let key = format!(r"Microsoft\Windows\CurrentVersion\Setup\PnpLockdownFiles\{path}");
        let reason = format!("Windows protects this file as part of {} (PnpLockdown)", parcel.published());
        let place = (Hive::Software, key.as_str());
        let file = copy.source.replace('/', r"\");
        let source = format!(r"%SystemRoot%\System32\DriverStore\FileRepository\{}\{file}", parcel.folder);
        import.value(place, "Class", (Kind::DWORD, class.to_le_bytes().to_vec()), &reason);
        let change = Change::Append { name: "Owners".into(), texts: vec![parcel.published()] };
        import.edit(place.0, place.1, change, &reason);
        import.value(place, "Source", (Kind::EXPAND_SZ, sz(&source)), &reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps() {
        assert_eq!((numbers(&[0xe0]), numbers(&[0xa0, 0x01])), (vec![0, 1, 2], vec![0, 2, 15]));
        assert_eq!(
            (with(&[], 0), with(&[0xe0], 9), with(&[0x80], 2)),
            (vec![0x80], vec![0xe0, 0x40], vec![0xa0])
        );
        let all: Vec<u8> = (0..70).fold(Vec::new(), |map, number| with(&map, number));
        assert_eq!(numbers(&all), (0..70).collect::<Vec<_>>());
    }
}
