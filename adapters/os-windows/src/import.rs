//! The offline import of a driver package: files and registry edits, as the release of Windows needs them.
//!
//! Windows 8 and later know a package by their driver database, which [`crate::database`] writes. Vista and 7 keep an index of
//! their store in three files of no known format (`infpub.dat`, `infstor.dat`, `infstrng.dat`), and 2000 to 2003 have none. To
//! all of these the package is offered in a folder of its own that `DevicePath` names, where Plug and Play looks for drivers at
//! the first start, as virt-v2v has done from XP to 7. It is not put into `Windows\INF`: Windows takes the place of the files of
//! an `oemN.inf` there from its precompiled form (`SetupCopyOEMInf`), and asks for a disk where that is missing. They boot all the
//! same: the service is there, and `CriticalDeviceDatabase` names it for the device. NT 4.0 has no Plug and Play: services and
//! files.

use crate::addreg::{Entry, Root};
use crate::database;
use crate::decoration::Target;
use crate::directories::Directories;
use crate::edit::{CONTROL_SET, Change, Edit, Hive, NewFile, When};
use crate::install::{self, BOOT, Copy, Install, KERNEL, Library, Service, Text};
use crate::loading::{self, Signing};
use crate::package::{Choice, Package};
use crate::packed;
use std::collections::{BTreeMap, BTreeSet};
use wherry_registry::Kind;
use wherry_registry::data::{multi_sz, sz};
use wherry_sdk::{Concern, Error, ErrorKind, Kind as FileKind, Result, Tree};

/// Where catalogs of drivers are (the subsystem's GUID, `DRIVER_ACTION_VERIFY`).
const CATALOGS: &str = "System32/CatRoot/{F750E6C3-38EE-11D1-85E5-00C04FC295EE}";
/// Where packages are offered to 2000 to 7, below Windows.
const OFFERED: &str = "Drivers/Wherry";
/// The key of `DevicePath`, and what the value is without us.
const DEVICE_PATH: &str = r"Microsoft\Windows\CurrentVersion";
const DEVICE_PATH_USUAL: &str = r"%SystemRoot%\inf";
/// The first that knows directory 13, the store's (Microsoft, "Using Dirids").
const STORE_FROM: (u32, u32) = (6, 3);
/// Files of one package.
const FILES_MOST: usize = 2000;
/// Where miniports are in the order of `SCSI miniport`: behind Windows' own, as on machines that installed theirs.
const MINIPORT_TAG: u32 = 0x21;

/// What has to be known of the guest.
pub struct Guest<'a> {
    /// Its files.
    pub tree: &'a dyn Tree,
    /// What it is.
    pub target: Target,
    /// `C:\Windows`.
    pub windows: String,
    /// The same in the tree: `/Windows`.
    pub root: String,
    /// `OemInfMap` of `SYSTEM\DriverDatabase`; empty where there is none.
    pub oem_map: Vec<u8>,
    /// Class GUIDs among the keys of `SYSTEM\DriverDatabase\DeviceIds`, in braces: these are needed to boot, all others are in
    /// the DRIVERS hive.
    pub boot_classes: Vec<String>,
    /// Whether there is a DRIVERS hive.
    pub has_drivers_hive: bool,
    /// FILETIME of now.
    pub now: u64,
    /// How it looks at signatures.
    pub signing: Signing,
}

/// A package for a guest, read.
pub struct Parcel<'a> {
    /// The package.
    pub package: &'a Package,
    /// What its INF file says.
    pub install: Install,
    /// The install sections of all its models on this system, as written, with what they say.
    pub installs: Vec<Install>,
    /// Bytes of its files by their path relative to the INF file, the INF file among them.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Its catalog's name.
    pub catalog: Option<String>,
    /// Its folder's name in the driver store.
    pub folder: String,
    /// N of `oemN.inf`.
    pub number: u32,
}

impl Parcel<'_> {
    /// `oemN.inf`.
    pub fn published(&self) -> String {
        format!("oem{}.inf", self.number)
    }
}

/// What has to be written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Import {
    /// Files, in an order that is good.
    pub files: Vec<NewFile>,
    /// Registry edits.
    pub edits: Vec<Edit>,
    /// What a person should know.
    pub notes: Vec<String>,
    /// What speaks against it.
    pub concerns: Vec<Concern>,
}

impl Import {
    /// One more registry edit.
    pub fn edit(&mut self, hive: Hive, path: &str, change: Change, reason: &str) {
        let edit = Edit { hive, path: path.trim_matches('\\').into(), change, reason: reason.into() };
        if !self.edits.contains(&edit) {
            self.edits.push(edit);
        }
    }

    /// One more value.
    pub fn value(&mut self, place: (Hive, &str), name: &str, data: (Kind, Vec<u8>), reason: &str) {
        let change = Change::Value { name: name.into(), kind: data.0, data: data.1, when: When::Always };
        self.edit(place.0, place.1, change, reason);
    }

    fn file(&mut self, path: String, bytes: &[u8], reason: &str) {
        if !self.files.iter().any(|file| file.path.eq_ignore_ascii_case(&path)) {
            self.files.push(NewFile { path, bytes: bytes.into(), reason: reason.into() });
        }
    }
}

/// Everything to be written so that the chosen package drives its device on the next start. [`ErrorKind::Unsupported`]: the
/// package is not for this guest, another may be.
pub fn import(guest: &Guest<'_>, choice: &Choice<'_>) -> Result<Import> {
    let parcel = read(guest, choice)
        .and_then(|parcel| loading::check(&parcel, &guest.target).map(|()| parcel))
        .map_err(|e| e.within(&choice.package.path()))?;
    let directories = directories(guest, &parcel.folder);
    let mut import = Import::default();
    let version = guest.target.version();
    drivers(&mut import, &parcel, &directories)?;
    if version >= (6, 2) {
        store(&mut import, &parcel, &directories);
        publish(&mut import, &parcel, &directories);
        database::write(&mut import, guest, &parcel)?;
    } else if version >= (5, 0) {
        offer(&mut import, &parcel, &directories);
        critical(&mut import, guest, &parcel, choice);
    }
    services(&mut import, guest, &parcel);
    import.concerns = loading::concerns(guest, &parcel);
    if parcel.catalog.is_none() && version >= (6, 0) && guest.target.architecture.is_wide() {
        import.notes.push(format!(
            "{} is not signed, and may be refused when it is installed again",
            parcel.package.name
        ));
    }
    for name in &parcel.install.included {
        if !guest
            .tree
            .stat(&format!("{}/INF/{name}", guest.root))
            .is_ok_and(|meta| meta.kind == FileKind::File)
        {
            import
                .notes
                .push(format!("{} needs {name}, which this Windows does not have", parcel.package.name));
        }
    }
    Ok(import)
}

/// Directories as the package's INF file means them.
fn directories(guest: &Guest<'_>, folder: &str) -> Directories {
    let store =
        format!(r"{}\System32\DriverStore\FileRepository\{folder}", guest.windows.trim_end_matches('\\'));
    let store = (guest.target.version() >= STORE_FROM).then_some(store.as_str());
    Directories::new(&guest.windows, &guest.root, store)
}

/// Reads all of a package.
fn read<'a>(guest: &Guest<'_>, choice: &Choice<'a>) -> Result<Parcel<'a>> {
    let (package, target) = (choice.package, &guest.target);
    let inf_folder = format!("{}/INF", guest.root);
    let own = |name: &str| {
        let path = format!("{inf_folder}/{name}");
        guest.tree.read_all(&path, crate::inf::INF_MOST as u64).ok()
    };
    let library = Library::load(&package.inf, target.language, &own);
    let catalog = package.catalog(target);
    let mut files = BTreeMap::from([(package.name.clone(), package.bytes.clone())]);
    let optional = install::package_files(&package.inf, target);
    if optional.len() > FILES_MOST {
        return Err(Error::new(ErrorKind::Limit, format!("more than {FILES_MOST} files")));
    }
    for name in optional.iter().chain(&catalog) {
        if let Some(bytes) = fetch(guest, package, name)? {
            files.insert(name.clone(), bytes);
        }
    }
    if let Some(name) = catalog.as_ref().filter(|name| !files.contains_key(*name)) {
        return Err(missing(name, "its catalog"));
    }
    let folder = folder_name(package, target, &files);
    let directories = directories(guest, &folder);
    let context = (target, &directories);
    let install = Install::read(&package.inf, &library, &choice.model.section, context)?;
    for Copy { source, .. } in &install.copies {
        if !files.contains_key(source) {
            let bytes = fetch(guest, package, source)?.ok_or_else(|| missing(source, "which it copies"))?;
            files.insert(source.clone(), bytes);
        }
    }
    let installs = installs(package, &library, context)?;
    let number = number(guest, &package.bytes)?;
    Ok(Parcel { package, install, installs, files, catalog, folder, number })
}

/// A file of the package. Before Vista it may be packed; later, packages are signed and kept as they are.
fn fetch(guest: &Guest<'_>, package: &Package, name: &str) -> Result<Option<Vec<u8>>> {
    let plain = package.read(guest.tree, name)?;
    if plain.is_some() || guest.target.version() >= (6, 0) {
        return Ok(plain);
    }
    match package.read(guest.tree, &packed::name(name))? {
        Some(bytes) => packed::unpack(bytes, name).map_err(|e| e.within(&packed::name(name))),
        None => Ok(None),
    }
}

fn missing(name: &str, what: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("the package lacks {name}, {what}: copy it whole"))
}

/// All install sections of a package on a system. One of another device that cannot be read is left out.
fn installs(package: &Package, library: &Library, context: (&Target, &Directories)) -> Result<Vec<Install>> {
    let mut names = BTreeSet::new();
    let mut all: Vec<Install> = Vec::new();
    for model in install::models(&package.inf, context.0) {
        if names.insert(model.section.to_lowercase()) && names.len() <= FILES_MOST {
            all.extend(Install::read(&package.inf, library, &model.section, context).ok());
        }
    }
    Ok(all)
}

/// `viostor.inf_amd64_0123456789abcdef`. How Windows makes the digits is not public; it looks a folder up by the name that the
/// database has for it, so that any other will do (virt-v2v's `guestor.inf_amd64_0000000000000000` and the constant names of
/// distrobuilder work). These are of the content, so that the same package has the same name.
fn folder_name(package: &Package, target: &Target, files: &BTreeMap<String, Vec<u8>>) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for (name, bytes) in files {
        for byte in name.to_lowercase().bytes().chain([0]).chain(bytes.iter().copied()) {
            // FNV-1a.
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
    format!("{}_{}_{hash:016x}", package.name.to_lowercase(), target.architecture.suffix())
}

/// The number of the guest's `oemN.inf` with this content, or the lowest that is free, as Windows chooses.
fn number(guest: &Guest<'_>, bytes: &[u8]) -> Result<u32> {
    let folder = format!("{}/INF", guest.root);
    let mut taken = BTreeSet::new();
    for entry in guest.tree.entries(&folder).unwrap_or_default() {
        let name = entry.name.to_ascii_lowercase();
        let digits = name.strip_prefix("oem").and_then(|rest| rest.strip_suffix(".inf"));
        let Some(number) = digits.and_then(|digits| digits.parse::<u32>().ok()) else { continue };
        if entry.meta.size == bytes.len() as u64 {
            let own = guest.tree.read_all(&format!("{folder}/{}", entry.name), entry.meta.size)?;
            if own == bytes {
                return Ok(number);
            }
        }
        taken.insert(number);
    }
    taken.extend(database::numbers(&guest.oem_map));
    Ok((0..).find(|number| !taken.contains(number)).unwrap_or(0))
}

/// The files that the INF file copies.
fn drivers(import: &mut Import, parcel: &Parcel<'_>, directories: &Directories) -> Result<()> {
    for Copy { source, destination } in &parcel.install.copies {
        let path = directories.in_tree(destination).ok_or_else(|| {
            let message = format!("{source} goes to {destination}, which is not on Windows' volume");
            Error::unsupported(message)
        })?;
        let bytes = parcel.files.get(source).map(Vec::as_slice).unwrap_or_default();
        import.file(path, bytes, &format!("{} copies it there", parcel.package.name));
    }
    Ok(())
}

/// The package in the driver store.
fn store(import: &mut Import, parcel: &Parcel<'_>, directories: &Directories) {
    for (name, bytes) in &parcel.files {
        let path =
            directories.below(&format!("System32/DriverStore/FileRepository/{}/{name}", parcel.folder));
        import.file(path, bytes, &format!("the driver store keeps all of {}", parcel.package.name));
    }
}

/// The INF file and the catalog where Windows has those that are installed.
fn publish(import: &mut Import, parcel: &Parcel<'_>, directories: &Directories) {
    let published = parcel.published();
    let reason = format!("{} is known to Windows by this name", parcel.package.name);
    import.file(directories.below(&format!("INF/{published}")), &parcel.package.bytes, &reason);
    if let Some(bytes) = parcel.catalog.as_ref().and_then(|name| parcel.files.get(name)) {
        let path = directories.below(&format!("{CATALOGS}/oem{}.cat", parcel.number));
        import.file(path, bytes, &format!("the signature of {published} and of its files"));
    }
}

/// The package in a folder where Plug and Play looks for drivers at the first start.
fn offer(import: &mut Import, parcel: &Parcel<'_>, directories: &Directories) {
    let folder = format!("{OFFERED}/{}", parcel.folder);
    let reason = format!("Plug and Play installs {} from here at the first start", parcel.package.name);
    for (name, bytes) in &parcel.files {
        import.file(directories.below(&format!("{folder}/{name}")), bytes, &reason);
    }
    let change = Change::Extend {
        name: "DevicePath".into(),
        part: format!(r"%SystemRoot%\{}", folder.replace('/', r"\")),
        usual: DEVICE_PATH_USUAL.into(),
    };
    import.edit(Hive::Software, DEVICE_PATH, change, &reason);
}

/// Devices that start before Plug and Play has installed anything: `CriticalDeviceDatabase` of 2000 to 7 (Microsoft's page of that
/// name). Only drivers that the loader starts are of use there.
fn critical(import: &mut Import, guest: &Guest<'_>, parcel: &Parcel<'_>, choice: &Choice<'_>) {
    let Some(function) = parcel.install.function().filter(|service| service.start == BOOT) else { return };
    let class = parcel.package.class().map(|class| format!("{{{}}}", class.to_string().to_uppercase()));
    let reason = format!("the device is driven by {} before Plug and Play has seen it", function.name);
    let models = install::models(&parcel.package.inf, &guest.target);
    let models = models.iter().filter(|model| model.section.eq_ignore_ascii_case(&choice.model.section));
    for id in models.flat_map(|model| &model.ids) {
        let key =
            format!(r"{CONTROL_SET}\Control\CriticalDeviceDatabase\{}", id.replace('\\', "#").to_lowercase());
        let place = (Hive::System, key.as_str());
        import.value(place, "Service", (Kind::SZ, sz(&function.name)), &reason);
        if let Some(class) = &class {
            import.value(place, "ClassGUID", (Kind::SZ, sz(class)), &reason);
        }
    }
}

/// The services' keys, in every control set, and their sources of events.
fn services(import: &mut Import, guest: &Guest<'_>, parcel: &Parcel<'_>) {
    for service in &parcel.install.services {
        let key = format!(r"{CONTROL_SET}\Services\{}", service.name);
        let reason = service_reason(parcel, service);
        service_values(import, guest, parcel, (service, &key));
        entries(import, guest, (Hive::System, &key), &service.entries, &reason);
        if let Some(log) = &service.log {
            let key = format!(r"{CONTROL_SET}\Services\EventLog\{}\{}", log.log, log.name);
            entries(import, guest, (Hive::System, &key), &log.entries, &reason);
        }
    }
}

fn service_reason(parcel: &Parcel<'_>, service: &Service) -> String {
    match service.start {
        BOOT => format!("the loader has to start {}", service.name),
        _ => format!("{} is a service of {}", service.name, parcel.package.name),
    }
}

fn service_values(import: &mut Import, guest: &Guest<'_>, parcel: &Parcel<'_>, own: (&Service, &str)) {
    let (service, key) = own;
    let reason = service_reason(parcel, service);
    let place = (Hive::System, key);
    let number = |number: u32| (Kind::DWORD, number.to_le_bytes().to_vec());
    let text = |text: &str| (Kind::SZ, sz(text));
    // What the file says that a service keeps is written only where it is not there.
    let mut set = |name: &str, (kind, data): (Kind, Vec<u8>), keep: bool| {
        let when = if keep { When::Absent } else { When::Always };
        import.edit(place.0, place.1, Change::Value { name: name.into(), kind, data, when }, &reason);
    };
    let kept = |flag: u32| service.flags & flag != 0;
    set("Type", number(service.kind), false);
    set("Start", number(service.start), kept(install::KEEP_START));
    set("ErrorControl", number(service.error), kept(install::KEEP_ERROR));
    set("ImagePath", (Kind::EXPAND_SZ, sz(&image(service, &guest.windows))), false);
    if !service.group.is_empty() {
        set("Group", text(&service.group), kept(install::KEEP_GROUP));
    }
    if service.start == BOOT && service.group.eq_ignore_ascii_case("SCSI miniport") {
        set("Tag", number(MINIPORT_TAG), true);
    }
    let owner = service.home.clone().unwrap_or_else(|| parcel.published());
    let texts = [
        ("DisplayName", &service.display, install::KEEP_DISPLAY),
        ("Description", &service.description, install::KEEP_DESCRIPTION),
    ];
    for (name, own, keep) in texts.into_iter().filter(|(_, own, _)| !own.text.is_empty()) {
        set(name, text(&shown(&owner, own, guest.target.version())), kept(keep));
    }
    let (groups, names): (Vec<String>, Vec<String>) =
        service.dependencies.iter().cloned().partition(|name| name.starts_with('+'));
    let groups: Vec<String> = groups.iter().map(|name| name.trim_start_matches('+').to_owned()).collect();
    for (name, list) in [("DependOnService", names), ("DependOnGroup", groups)] {
        if !list.is_empty() {
            set(name, (Kind::MULTI_SZ, multi_sz(&list)), kept(install::KEEP_DEPENDENCIES));
        }
    }
    let account = match service.account.as_str() {
        "" if KERNEL.contains(&service.kind) => None,
        "" => Some("LocalSystem"),
        name => Some(name),
    };
    if let Some(account) = account {
        set("ObjectName", text(account), false);
    }
    if guest.target.version() >= (6, 2) {
        let change = Change::Append { name: "Owners".into(), texts: vec![owner] };
        import.edit(place.0, place.1, change, &reason);
    }
}

/// A service's file as its key has it: relative to Windows for the loader, from `\SystemRoot` for other drivers.
fn image(service: &Service, windows: &str) -> String {
    let windows = windows.trim_end_matches('\\');
    let head = service.binary.get(..windows.len()).is_some_and(|head| head.eq_ignore_ascii_case(windows));
    let rest = service.binary.get(windows.len()..).filter(|rest| head && rest.starts_with('\\'));
    match rest {
        Some(rest) if service.start == BOOT => rest.trim_start_matches('\\').to_owned(),
        Some(rest) if KERNEL.contains(&service.kind) => format!(r"\SystemRoot{rest}"),
        Some(rest) => format!("%SystemRoot%{rest}"),
        None => service.binary.clone(),
    }
}

/// A text for people: a `%token%` is looked up in the INF file, which has its name here from Windows 8 on.
fn shown(owner: &str, own: &Text, version: (u32, u32)) -> String {
    match own.token.as_ref().filter(|_| version >= (6, 2)) {
        Some(token) => format!("@{owner},%{token}%;{}", own.text),
        None => own.text.clone(),
    }
}

/// Entries of a section whose own key is `base`.
pub fn entries(import: &mut Import, guest: &Guest<'_>, base: (Hive, &str), all: &[Entry], reason: &str) {
    for entry in all {
        match place(entry, base, guest.target.architecture.is_wide()) {
            Some((hive, path)) => import.edit(hive, &path, entry.change.clone(), reason),
            None => import.notes.push(format!("{} is set by Windows, not before: {reason}", entry.key)),
        }
    }
}

/// The hive and key of an entry; none where it is in a hive that is not written here.
fn place(entry: &Entry, base: (Hive, &str), wide: bool) -> Option<(Hive, String)> {
    let below = |head: &str, rest: &str| format!(r"{head}\{rest}").trim_matches('\\').to_owned();
    let narrow = if entry.narrow && wide { "WOW6432Node" } else { "" };
    let (first, rest) = entry.key.split_once('\\').unwrap_or((&entry.key, ""));
    match entry.root {
        Root::Relative => Some((base.0, below(base.1, &entry.key))),
        Root::Classes => Some((Hive::Software, below("Classes", &below(narrow, &entry.key)))),
        Root::Machine if first.eq_ignore_ascii_case("software") => {
            Some((Hive::Software, below(narrow, rest)))
        }
        Root::Machine if first.eq_ignore_ascii_case("system") => {
            let (set, rest) = rest.split_once('\\').unwrap_or((rest, ""));
            let current = set.eq_ignore_ascii_case("CurrentControlSet");
            Some((Hive::System, if current { below(CONTROL_SET, rest) } else { below(set, rest) }))
        }
        Root::Machine | Root::User => None,
    }
}
