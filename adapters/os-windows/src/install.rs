//! What a driver's INF file says is to be done for a device on a system: files, services, registry (Microsoft, "INF Models
//! Section", "INF DDInstall Section", "INF AddService Directive", "INF CopyFiles Directive", "INF SourceDisksFiles Section").

use crate::addreg::{self, Entry};
use crate::decoration::{self, Target};
use crate::directories::Directories;
use crate::inf::{Inf, number};
use std::collections::{BTreeMap, BTreeSet};
use wherry_sdk::{Error, ErrorKind, Result};

/// Files that `Include` may bring, and how deep `Needs` may lead.
const INCLUDED_MOST: usize = 32;
const NEEDS_MOST: usize = 64;
/// `SPSVCINST_ASSOCSERVICE`: the service is the device's function driver.
const ASSOCIATED: u32 = 0x2;
/// `SPSVCINST_NOCLOBBER_...`: what a service that is there keeps.
pub const KEEP_DISPLAY: u32 = 0x8;
/// Its start.
pub const KEEP_START: u32 = 0x10;
/// Its error control.
pub const KEEP_ERROR: u32 = 0x20;
/// Its group.
pub const KEEP_GROUP: u32 = 0x40;
/// What it depends on.
pub const KEEP_DEPENDENCIES: u32 = 0x80;
/// Its description.
pub const KEEP_DESCRIPTION: u32 = 0x100;
/// `SERVICE_BOOT_START`: drivers that the loader starts.
pub const BOOT: u32 = 0;
/// `SERVICE_KERNEL_DRIVER` and `SERVICE_FILE_SYSTEM_DRIVER`.
pub const KERNEL: [u32; 2] = [1, 2];
/// Without `DestinationDirs`, files go to this directory's number.
const NO_DIRECTORY: &str = "11";
/// `FeatureScore` where none is said.
const FEATURE_SCORE: u8 = 0xff;
/// Models of one file; the largest have some thousands.
const MODELS_MOST: usize = 50_000;

/// A device that a file has a driver for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// What it is called, with its `%token%`.
    pub description: String,
    /// Who makes it, with its `%token%`.
    pub manufacturer: String,
    /// The install section, undecorated.
    pub section: String,
    /// The hardware id, and compatible ids behind it.
    pub ids: Vec<String>,
}

/// The devices that a file has a driver for on a system.
pub fn models(inf: &Inf, target: &Target) -> Vec<Model> {
    let mut all = Vec::new();
    for line in inf.lines("Manufacturer") {
        // A name without `=` is the section's own.
        let manufacturer = line.key.clone().unwrap_or_else(|| line.field(0).to_owned());
        let section = inf.expand(line.field(0));
        let decorations: Vec<String> = line.values.iter().skip(1).map(|field| inf.expand(field)).collect();
        let Some(models) = decoration::models(inf, &section, &decorations, target) else { continue };
        for model in inf.lines(&models) {
            let Some(description) = &model.key else { continue };
            let ids = model.values.iter().skip(1).map(|id| inf.expand(id)).filter(|id| !id.is_empty());
            let (description, section) = (description.clone(), inf.expand(model.field(0)));
            all.push(Model { description, manufacturer: manufacturer.clone(), section, ids: ids.collect() });
            if all.len() >= MODELS_MOST {
                return all;
            }
        }
    }
    all
}

/// Files that a file includes: Windows' own, in the guest.
#[derive(Default)]
pub struct Library {
    infs: BTreeMap<String, Inf>,
    /// Those that the guest does not have.
    pub missing: BTreeSet<String>,
}

impl Library {
    /// Everything that `inf` includes, and what that includes; `read` gives a file of `Windows\INF` by its name.
    pub fn load(inf: &Inf, language: u16, read: &dyn Fn(&str) -> Option<Vec<u8>>) -> Self {
        let mut all = Self::default();
        let mut pending = included(inf);
        while let Some(name) = pending.pop() {
            if all.infs.contains_key(&name) || all.missing.contains(&name) || all.infs.len() >= INCLUDED_MOST
            {
                continue;
            }
            match read(&name).and_then(|bytes| Inf::parse(&bytes, language).ok()) {
                Some(inf) => {
                    pending.extend(included(&inf));
                    all.infs.insert(name, inf);
                }
                None => {
                    all.missing.insert(name);
                }
            }
        }
        all
    }

    fn get(&self, name: &str) -> Option<&Inf> {
        self.infs.get(&name.to_lowercase())
    }

    fn name(&self, inf: &Inf) -> Option<String> {
        self.infs.iter().find(|(_, own)| std::ptr::eq(*own, inf)).map(|(name, _)| name.clone())
    }
}

/// Names in lower case of all that a file includes anywhere; what is no plain name is left out.
fn included(inf: &Inf) -> Vec<String> {
    let sections: Vec<&str> = inf.names("").collect();
    let names = sections.iter().flat_map(|section| inf.list(section, "Include"));
    let mut names: Vec<String> =
        names.map(|name| name.to_lowercase()).filter(|name| !name.contains(['/', '\\', ':'])).collect();
    names.sort();
    names.dedup();
    names
}

/// A file that is copied.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Copy {
    /// Where it is, relative to the INF file: `viostor.sys`, `amd64/x.sys`.
    pub source: String,
    /// Where it goes, as Windows knows the path.
    pub destination: String,
}

/// An event log source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventLog {
    /// `System`, `Application` or `Security`.
    pub log: String,
    /// The source's name.
    pub name: String,
    /// What its key gets.
    pub entries: Vec<Entry>,
}

/// A text for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// Its token, where it is one alone.
    pub token: Option<String>,
    /// What it says; empty where nothing is said.
    pub text: String,
}

impl Text {
    fn new(inf: &Inf, raw: &str) -> Self {
        let token = raw.strip_prefix('%').and_then(|rest| rest.strip_suffix('%'));
        let token = token.filter(|token| inf.string(token).is_some()).map(str::to_owned);
        Self { token, text: inf.expand(raw) }
    }
}

/// A service or driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its key's name.
    pub name: String,
    /// `SPSVCINST_...`.
    pub flags: u32,
    /// Windows' own file that says so, where it is not the package's.
    pub home: Option<String>,
    /// For people.
    pub display: Text,
    /// For people, longer.
    pub description: Text,
    /// `ServiceType`: 1 is a kernel's driver.
    pub kind: u32,
    /// `StartType`: 0 is started by the loader.
    pub start: u32,
    /// `ErrorControl`.
    pub error: u32,
    /// `ServiceBinary`, as Windows knows the path.
    pub binary: String,
    /// `LoadOrderGroup`; empty without one.
    pub group: String,
    /// `Dependencies`: services, and groups behind a plus sign.
    pub dependencies: Vec<String>,
    /// `StartName`: the account, or the driver's object.
    pub account: String,
    /// What its key gets.
    pub entries: Vec<Entry>,
    /// Its source of events.
    pub log: Option<EventLog>,
}

impl Service {
    /// Whether it is the device's own driver, rather than a filter or helper.
    pub fn is_function(&self) -> bool {
        self.flags & ASSOCIATED != 0
    }
}

/// All that is done for a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Install {
    /// The install section as the file writes it: with its decoration.
    pub section: String,
    /// Files.
    pub copies: Vec<Copy>,
    /// Services.
    pub services: Vec<Service>,
    /// What the driver's key in `Control\Class` gets.
    pub software: Vec<Entry>,
    /// What the device's key in `Enum` gets.
    pub hardware: Vec<Entry>,
    /// `FeatureScore`; less is better.
    pub feature_score: u8,
    /// Files of Windows' own that are used.
    pub included: Vec<String>,
}

impl Install {
    /// The device's own driver.
    pub fn function(&self) -> Option<&Service> {
        self.services.iter().find(|service| service.is_function())
    }

    /// What the undecorated install section `name` says for a system.
    pub fn read(inf: &Inf, library: &Library, name: &str, context: (&Target, &Directories)) -> Result<Self> {
        let (target, directories) = context;
        let section = decoration::install(inf, name, target).ok_or_else(|| {
            let message = format!("the INF file has no section {name} for this system");
            Error::new(ErrorKind::Corrupt, message)
        })?;
        let written = inf.written(&section).unwrap_or(&section).to_owned();
        let all = Sections { inf, library, directories };
        let mut services = Vec::new();
        for (own, section) in all.with_needs(&format!("{section}.Services")) {
            for line in own.entries(&section, "AddService") {
                let found = service(own, line, directories)?;
                services.extend(found.map(|found| Service { home: library.name(own), ..found }));
            }
        }
        let mut copies = copies(inf, &section, target, directories)?;
        copies.extend(self::copies(inf, &format!("{section}.CoInstallers"), target, directories)?);
        copies.sort();
        copies.dedup();
        let mut software = all.entries(&section)?;
        software.extend(all.entries(&format!("{section}.CoInstallers"))?);
        let score = inf.value(&section, "FeatureScore");
        let score = score.and_then(|text| {
            let digits = text.trim_start_matches("0x").trim_start_matches("0X");
            u8::from_str_radix(digits, 16).ok()
        });
        Ok(Self {
            section: written,
            copies,
            services,
            software,
            hardware: all.entries(&format!("{section}.HW"))?,
            feature_score: score.unwrap_or(FEATURE_SCORE),
            included: inf.list(&section, "Include"),
        })
    }
}

/// Sections of a file, and those of other files that they need.
struct Sections<'a> {
    inf: &'a Inf,
    library: &'a Library,
    directories: &'a Directories,
}

impl<'a> Sections<'a> {
    /// The section, and all that it needs, in the order in which they are processed.
    fn with_needs(&self, section: &str) -> Vec<(&'a Inf, String)> {
        let mut all: Vec<(&'a Inf, String)> = Vec::new();
        let mut pending = vec![(self.inf, section.to_lowercase())];
        while let Some((inf, section)) = pending.pop() {
            let there = |(own, name): &(&Inf, String)| std::ptr::eq(*own, inf) && *name == section;
            if !inf.has(&section) || all.iter().any(there) || all.len() >= NEEDS_MOST {
                continue;
            }
            let files = inf.list(&section, "Include");
            let files: Vec<&Inf> =
                files.iter().filter_map(|name| self.library.get(name)).chain([inf]).collect();
            for need in inf.list(&section, "Needs") {
                let home = files.iter().find(|file| file.has(&need));
                pending.extend(home.map(|file| (*file, need.to_lowercase())));
            }
            all.push((inf, section));
        }
        all
    }

    /// What the `AddReg` and `DelReg` of a section and of those that it needs do.
    fn entries(&self, section: &str) -> Result<Vec<Entry>> {
        let mut all = Vec::new();
        for (inf, section) in self.with_needs(section) {
            all.extend(entries(inf, &section, self.directories)?);
        }
        Ok(all)
    }
}

/// What the `DelReg` and `AddReg` of a section do.
fn entries(inf: &Inf, section: &str, directories: &Directories) -> Result<Vec<Entry>> {
    let mut all = Vec::new();
    for name in inf.list(section, "DelReg") {
        all.extend(addreg::delete(inf, &name, directories)?);
    }
    for name in inf.list(section, "AddReg") {
        all.extend(addreg::add(inf, &name, directories)?);
    }
    Ok(all)
}

/// The service of an `AddService` line; none for `AddService = ,2`: a device that needs no driver.
fn service(inf: &Inf, line: &crate::inf::Line, directories: &Directories) -> Result<Option<Service>> {
    let field = |place: usize| inf.expand(line.field(place));
    let (name, section) = (field(0), field(2));
    if name.is_empty() {
        return Ok(None);
    }
    if name.contains(['\\', '/']) {
        return Err(Error::new(ErrorKind::Corrupt, format!("`{name}` is no name of a service")));
    }
    if !inf.has(&section) {
        let message = format!("the INF file has no section `{section}` for service {name}");
        return Err(Error::new(ErrorKind::Corrupt, message));
    }
    let raw = |key: &str| {
        let first = inf.entries(&section, key).next();
        first.map(|line| line.field(0).to_owned()).unwrap_or_default()
    };
    let needed = |key: &str| {
        let text = inf.value(&section, key).unwrap_or_default();
        number(&text).ok_or_else(|| {
            let message = format!("section {section}: {key} `{text}` of service {name} is no number");
            Error::new(ErrorKind::Corrupt, message)
        })
    };
    let log = inf.has(&field(3)).then(|| event_log(inf, line, directories)).transpose()?;
    Ok(Some(Service {
        flags: number(&field(1)).unwrap_or(0),
        home: None,
        display: Text::new(inf, &raw("DisplayName")),
        description: Text::new(inf, &raw("Description")),
        kind: needed("ServiceType")?,
        start: needed("StartType")?,
        error: needed("ErrorControl")?,
        binary: directories.expand(inf, &raw("ServiceBinary")),
        group: inf.expand(&raw("LoadOrderGroup")),
        dependencies: inf.list(&section, "Dependencies"),
        account: inf.expand(&raw("StartName")),
        entries: entries(inf, &section, directories)?,
        log,
        name,
    }))
}

fn event_log(inf: &Inf, line: &crate::inf::Line, directories: &Directories) -> Result<EventLog> {
    let field = |place: usize| Some(inf.expand(line.field(place))).filter(|text| !text.is_empty());
    let log = field(4).unwrap_or_else(|| "System".into());
    let name = field(5).unwrap_or_else(|| inf.expand(line.field(0)));
    Ok(EventLog { log, name, entries: entries(inf, &field(3).unwrap_or_default(), directories)? })
}

/// The files of a section's `CopyFiles`.
fn copies(inf: &Inf, section: &str, target: &Target, directories: &Directories) -> Result<Vec<Copy>> {
    let mut all = Vec::new();
    for list in inf.list(section, "CopyFiles") {
        if let Some(file) = list.strip_prefix('@') {
            all.push(copy(inf, ("DefaultDestDir", file, file), target, directories)?);
            continue;
        }
        for line in inf.lines(&list) {
            // A lone name with an equals sign would be a key; destination, and source if it has another name.
            let name = inf.expand(line.field(0));
            let source = Some(inf.expand(line.field(1))).filter(|source| !source.is_empty());
            let source = source.unwrap_or_else(|| name.clone());
            all.push(copy(inf, (&list, &name, &source), target, directories)?);
        }
    }
    Ok(all)
}

/// One file: the list that names it, its name at the destination, and in the package.
fn copy(inf: &Inf, names: (&str, &str, &str), target: &Target, directories: &Directories) -> Result<Copy> {
    let (list, name, source) = names;
    let line = inf.entries("DestinationDirs", list).next();
    let line = line.or_else(|| inf.entries("DestinationDirs", "DefaultDestDir").next());
    let directory = line.map_or_else(|| NO_DIRECTORY.to_owned(), |line| inf.expand(line.field(0)));
    let base = directory.trim().parse::<i64>().ok().and_then(|number| directories.path(number as i32));
    let base = base.ok_or_else(|| {
        let message = format!("file {name} goes to directory {directory}, which is not known here");
        Error::unsupported(message)
    })?;
    let below = line.map(|line| directories.expand(inf, line.field(1))).unwrap_or_default();
    let parts = [base.as_str(), below.trim_matches('\\'), name];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    Ok(Copy { source: source_path(inf, source, target), destination: parts.join("\\") })
}

/// Where a file is in the package, relative to the INF file.
fn source_path(inf: &Inf, name: &str, target: &Target) -> String {
    let lists = decoration::platform(inf, "SourceDisksFiles", target);
    let line = lists.iter().find_map(|list| inf.entries(list, name).next());
    let Some(line) = line else { return relative(&[name]) };
    let disk = inf.expand(line.field(0));
    let disks = decoration::platform(inf, "SourceDisksNames", target);
    let disk = disks.iter().find_map(|list| inf.entries(list, &disk).next());
    let folder = disk.map(|disk| inf.expand(disk.field(3))).unwrap_or_default();
    relative(&[&folder, &inf.expand(line.field(1)), name])
}

/// All files that a package has for a system, relative to the INF file.
pub fn package_files(inf: &Inf, target: &Target) -> BTreeSet<String> {
    let lists = decoration::platform(inf, "SourceDisksFiles", target);
    let names = lists.iter().flat_map(|list| inf.lines(list)).filter_map(|line| line.key.as_deref());
    names.map(|name| source_path(inf, &inf.expand(name), target)).collect()
}

/// A relative path that leads to nothing above.
fn relative(parts: &[&str]) -> String {
    let all = parts.iter().flat_map(|part| part.split(['\\', '/']));
    let all: Vec<&str> = all.filter(|part| !matches!(*part, "" | "." | "..")).collect();
    all.join("/")
}
