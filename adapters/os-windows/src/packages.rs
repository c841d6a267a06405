//! Vendors' drivers that the operator lends: found, chosen for a device, and imported.

use crate::decoration::{CONTROLLER, SERVER, Target, WORKSTATION};
use crate::edit::{CONTROL_SET, Change, Edit, Hive, When};
use crate::files;
use crate::hives::{Store, filetime};
use crate::import::{self, Import};
use crate::loading::Signing;
use crate::media;
use crate::package::{self, Device, Package};
use crate::updates;
use crate::work::Work;
use wherry_registry::{Kind, data};
use wherry_sdk::{ErrorKind, Result, Tree, Volume, find as find_fact};

/// American English, where Windows does not say its language.
const ENGLISH: u16 = 0x409;

/// A place of the operator's drivers.
pub struct Lent {
    /// What the operator called it.
    name: String,
    /// Paths of its files in the tree.
    pub files: Vec<String>,
}

/// A place that is mounted: its path and what the operator called it.
pub type Mounted = (String, String);

/// Mounts what is lent.
pub fn mount(guest: &dyn Tree) -> Vec<Mounted> {
    let lent = guest.volumes().into_iter().filter(|volume| volume.kind == "drivers").enumerate();
    let mount = |(number, volume): (usize, Volume)| {
        let path = format!("/[drivers {number}]");
        guest.mount(&volume.id, &path).ok()?;
        let name = find_fact(&volume.facts, "name").unwrap_or(&volume.id).to_owned();
        Some((path, name))
    };
    lent.filter_map(mount).collect()
}

/// Looks for the files of these places.
pub fn list(guest: &dyn Tree, places: &[Mounted]) -> Result<Vec<Lent>> {
    let list = |(path, name): &Mounted| Ok(Lent { name: name.clone(), files: files::below(guest, path)? });
    places.iter().map(list).collect()
}

/// All packages in these places.
pub fn find(work: &mut Work<'_>, places: &[Lent]) -> Result<Vec<Package>> {
    let language = language(work)?;
    let mut packages = Vec::new();
    for place in places {
        let (found, odd) = package::among(work.guest, &place.files, language);
        if found.is_empty() && !media::is_among(&place.files) {
            work.block(
                "windows.drivers.none",
                format!("there are no driver packages (INF files) in {}", place.name),
                "name the directory or ISO that they are in, such as virtio-win.iso",
            );
        }
        packages.extend(found);
        if !odd.is_empty() {
            work.note(format!(
                "{} files there are no INF files that can be read: {}",
                odd.len(),
                odd.join("; ")
            ));
        }
    }
    Ok(packages)
}

fn language(work: &mut Work<'_>) -> Result<u16> {
    let key = format!(r"{}\Control\Nls\Language", work.system.current);
    let said = work.hives.text(Store::System, &key, "InstallLanguage")?;
    Ok(said.and_then(|text| u16::from_str_radix(text.trim(), 16).ok()).unwrap_or(ENGLISH))
}

fn target(work: &mut Work<'_>) -> Result<Target> {
    let product = match (work.system.server, work.system.controller) {
        (false, _) => WORKSTATION,
        (true, true) => CONTROLLER,
        (true, false) => SERVER,
    };
    let (version, language) = (work.system.version, language(work)?);
    Ok(Target {
        architecture: work.system.machine,
        major: version.major,
        minor: version.minor,
        build: version.build,
        product,
        suite: 0,
        language,
    })
}

/// Imports the best package for one of these devices, the first that has any; whether there was one.
pub fn import(work: &mut Work<'_>, devices: &[&str], name: &str) -> Result<bool> {
    let packages = work.packages()?;
    if packages.is_empty() {
        return Ok(false);
    }
    let guest = guest(work)?;
    let ranked = |device: &&str| package::ranked(&packages, &Device::new(device), &guest.target);
    let mut unfit = Vec::new();
    for choice in devices.iter().flat_map(ranked) {
        match import::import(&guest, &choice) {
            Ok(import) => {
                apply(work, import)?;
                return Ok(true);
            }
            Err(e) if e.kind == ErrorKind::Unsupported => unfit.push(e.message),
            Err(e) if matches!(e.kind, ErrorKind::Corrupt | ErrorKind::NotFound) => {
                work.block(
                    "windows.drivers.damaged",
                    e.message,
                    "lend the package as its maker ships it, whole",
                );
                return Ok(true);
            }
            Err(e) => return Err(e),
        }
    }
    unfit.dedup();
    let near = devices.iter().flat_map(|device| package::misfits(&packages, &Device::new(device)));
    let near: Vec<String> = near.take(3).collect();
    work.note(match (unfit.first(), near.is_empty()) {
        (Some(first), _) => format!("drivers for {name} were lent that this Windows cannot load: {first}"),
        (None, true) => {
            format!("none of the drivers that were lent is for {name}: {}", package::summary(&packages))
        }
        (None, false) => {
            format!("drivers for {name} were lent, though for other systems than this: {}", near.join(", "))
        }
    });
    Ok(false)
}

/// What an import has to know.
fn guest<'a>(work: &mut Work<'a>) -> Result<import::Guest<'a>> {
    let hive = r"DriverDatabase";
    let oem_map =
        work.hives.value(Store::System, hive, "OemInfMap")?.map(|(_, bytes)| bytes).unwrap_or_default();
    let classes = work.hives.keys(Store::System, &format!(r"{hive}\DeviceIds"))?;
    let windows = work.hives.text(Store::Software, r"Microsoft\Windows NT\CurrentVersion", "SystemRoot")?;
    Ok(import::Guest {
        tree: work.guest,
        target: target(work)?,
        windows: windows.unwrap_or_else(|| r"C:\Windows".into()),
        root: work.place.root.clone(),
        oem_map,
        boot_classes: classes.into_iter().filter(|name| name.starts_with('{')).collect(),
        has_drivers_hive: work.hives.exists(Store::Drivers),
        now: filetime(),
        signing: Signing {
            knows_sha2: updates::knows_sha2(work)?,
            secure_boot: work.profile.firmware == "uefi-secure-boot",
            trusted: work.option("driver-signatures") == Some("trusted"),
        },
    })
}

/// Brings an import into the guest.
fn apply(work: &mut Work<'_>, import: Import) -> Result<()> {
    for file in &import.files {
        work.write(&file.path, &file.bytes, &file.reason)?;
    }
    let mut reason: Option<&str> = None;
    for edit in &import.edits {
        if let Some(last) = reason.filter(|last| *last != edit.reason) {
            work.commit(last)?;
        }
        reason = Some(&edit.reason);
        change(work, edit)?;
    }
    if let Some(last) = reason {
        work.commit(last)?;
    }
    import.notes.into_iter().for_each(|note| work.note(note));
    for one in import.concerns {
        work.concern(one.severity, &one.id, one.message, &one.remedy.unwrap_or_default());
    }
    Ok(())
}

/// One change, in every control set where it names none.
fn change(work: &mut Work<'_>, edit: &Edit) -> Result<()> {
    let store = match edit.hive {
        Hive::System => Store::System,
        Hive::Software => Store::Software,
        Hive::Drivers => Store::Drivers,
    };
    match edit.path.strip_prefix(CONTROL_SET).filter(|rest| store == Store::System && rest.starts_with('\\'))
    {
        Some(rest) => {
            work.in_sets(|work, set| change_key(work, store, &format!("{set}{rest}"), &edit.change))
        }
        None => change_key(work, store, &edit.path, &edit.change),
    }
}

fn change_key(work: &mut Work<'_>, store: Store, path: &str, change: &Change) -> Result<()> {
    match change {
        Change::Key => work.make(store, path),
        Change::Value { name, kind, data, when } => {
            let there = work.hives.value(store, path, name)?.is_some();
            match when {
                When::Absent if there => Ok(()),
                When::Present if !there => Ok(()),
                _ => work.set(store, path, name, *kind, data),
            }
        }
        Change::Append { name, texts } => {
            let mut all = work.hives.texts(store, path, name)?;
            let before = all.len();
            for text in texts {
                if !all.iter().any(|one| one.eq_ignore_ascii_case(text)) {
                    all.push(text.clone());
                }
            }
            if all.len() == before {
                Ok(())
            } else {
                work.set(store, path, name, Kind::MULTI_SZ, &data::multi_sz(&all))
            }
        }
        Change::Extend { name, part, usual } => {
            let text = work.hives.text(store, path, name)?.filter(|text| !text.trim().is_empty());
            let text = text.unwrap_or_else(|| usual.clone());
            if text.split(';').any(|own| own.trim().eq_ignore_ascii_case(part)) {
                return Ok(());
            }
            let text = format!("{};{part}", text.trim_end_matches([' ', ';']));
            work.set(store, path, name, Kind::EXPAND_SZ, &data::sz(&text))
        }
        Change::RemoveTexts { name, texts } => {
            let mut all = work.hives.texts(store, path, name)?;
            let before = all.len();
            all.retain(|one| !texts.iter().any(|text| text.eq_ignore_ascii_case(one)));
            if all.len() == before {
                Ok(())
            } else {
                work.set(store, path, name, Kind::MULTI_SZ, &data::multi_sz(&all))
            }
        }
        Change::RemoveValue { name } => work.unset(store, path, name),
        Change::RemoveKey => work.remove(store, path),
    }
}
