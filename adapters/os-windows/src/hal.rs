//! The hardware abstraction layer and the kernel of NT 4.0 to Server 2003, which fit one kind of machine each (Microsoft KB
//! 309283). Where the one that is installed does not start on the new machine, another goes beside it, under a name of its
//! own and with an entry of its own in boot.ini; the old entry stays, and starts what it always has.

use crate::bootini::{BootIni, Entry};
use crate::cabinets;
use crate::decoration::Architecture;
use crate::files::{bytes, is_file, text};
use crate::hives::{Hives, Store};
use crate::media::{self, Copy, Fit, Search};
use crate::place::{Loader, Place};
use crate::resource::{self, FileVersion};
use crate::system::System;
use crate::tools::Platform;
use crate::version::{VISTA, W2000};
use crate::work::Work;
use crate::{boot, services};
use wherry_sdk::{Fact, Result, Tree, fact};

/// `ClassGUID` of computers.
const COMPUTER: &str = "{4D36E966-E325-11CE-BFC1-08002BE10318}";
/// The largest kernel or HAL.
const FILE_MOST: u64 = 16 << 20;
/// Files that a service pack has replaced.
const UNINSTALL: &str = "$NtServicePackUninstall$";
/// What is put beside the originals: names that fit 8.3.
const OUR_HAL: &str = "halwhy.dll";
const OUR_KERNEL: &str = "krnlwhy.exe";
/// Drivers of processors, which stop another maker's machine (Microsoft KB 953356).
const PROCESSORS: &[&str] = &["intelppm", "p3", "AmdK6", "AmdK7", "AmdK8", "AmdPPM", "crusoe", "Processor"];

/// A kind of machine.
#[derive(Debug, PartialEq, Eq)]
struct Hal {
    /// The file as it is called on the installation CD.
    file: &'static str,
    /// The device that stands for it from 2000 on.
    device: &'static str,
    /// For people.
    name: &'static str,
    /// Whether it needs the kernel for several processors.
    multi: bool,
    /// Whether it finds its hardware by the MP table.
    table: bool,
}

const fn hal(file: &'static str, device: &'static str, name: &'static str, multi: bool, table: bool) -> Hal {
    Hal { file, device, name, multi, table }
}

impl Hal {
    /// Whether it is one for ACPI machines.
    fn is_acpi(&self) -> bool {
        self.device.starts_with("acpi")
    }
}

const HALS: &[Hal] = &[
    hal("hal.dll", "e_isa_up", "Standard PC", false, false),
    hal("halapic.dll", "mps_up", "MPS uniprocessor PC", false, true),
    hal("halmps.dll", "mps_mp", "MPS multiprocessor PC", true, true),
    hal("halacpi.dll", "acpipic_up", "ACPI PC", false, false),
    hal("halaacpi.dll", "acpiapic_up", "ACPI uniprocessor PC", false, false),
    hal("halmacpi.dll", "acpiapic_mp", "ACPI multiprocessor PC", true, false),
];

/// All of these files.
pub fn files() -> impl Iterator<Item = &'static str> {
    HALS.iter().map(|hal| hal.file).chain(media::KERNELS)
}

/// What is installed.
#[derive(Default)]
struct Installed {
    /// A known kind, if it is one.
    hal: Option<&'static Hal>,
    /// What it calls itself.
    name: String,
    /// Whether Plug and Play has found the machine by ACPI.
    acpi: bool,
    /// Whether the kernel is the one for several processors; none where it does not say.
    multi: Option<bool>,
    /// Versions of the files.
    hal_version: Option<FileVersion>,
    kernel_version: Option<FileVersion>,
}

impl Installed {
    /// What a file has to go with.
    fn fit(&self, name: &str) -> Fit {
        let own = self.hal_version.filter(|_| !media::KERNELS.contains(&name));
        Fit { kernel: self.kernel_version, own }
    }
}

fn installed(guest: &dyn Tree, hives: &mut Hives<'_>, place: &Place, system: &System) -> Result<Installed> {
    let program = |file: &str| {
        let path = place.path(&format!("System32/{file}"));
        guest.read_all(&path, FILE_MOST).unwrap_or_default()
    };
    let (hal, kernel) = (program("hal.dll"), program("ntoskrnl.exe"));
    let multi = resource::original_name(&kernel).map(|name| name.to_ascii_lowercase());
    let multi = multi.map(|name| matches!(name.as_str(), "ntkrnlmp.exe" | "ntkrpamp.exe"));
    let (hal_version, kernel_version) = (resource::version(&hal), resource::version(&kernel));
    let known = Installed { multi, hal_version, kernel_version, ..Installed::default() };
    if system.version >= W2000
        && let Some((root, device)) = computer(hives, system)?
    {
        let hal = HALS.iter().find(|hal| hal.device.eq_ignore_ascii_case(&device));
        return Ok(Installed { hal, name: device, acpi: root.eq_ignore_ascii_case("ACPI_HAL"), ..known });
    }
    let name = resource::original_name(&hal).unwrap_or_default();
    let hal = HALS.iter().find(|hal| hal.file.eq_ignore_ascii_case(&name));
    Ok(Installed { hal, name, ..known })
}

/// The device that stands for the computer, and its first hardware id.
pub fn computer(hives: &mut Hives<'_>, system: &System) -> Result<Option<(String, String)>> {
    let root = format!(r"{}\Enum\Root", system.current);
    for device in hives.keys(Store::System, &root)? {
        for instance in hives.keys(Store::System, &format!(r"{root}\{device}"))? {
            let key = format!(r"{root}\{device}\{instance}");
            let class = hives.text(Store::System, &key, "ClassGUID")?.unwrap_or_default();
            if class.eq_ignore_ascii_case(COMPUTER) {
                let first = hives.texts(Store::System, &key, "HardwareID")?.into_iter().next();
                return Ok(first.map(|id| (device, id)));
            }
        }
    }
    Ok(None)
}

/// `hal`, `kernel`.
pub fn describe(
    guest: &dyn Tree,
    hives: &mut Hives<'_>,
    place: &Place,
    system: &System,
) -> Result<Vec<Fact>> {
    let found = installed(guest, hives, place, system)?;
    let name = found.hal.map_or(found.name.as_str(), |hal| hal.name);
    let mut facts = Vec::new();
    if !name.is_empty() {
        facts.push(fact("hal", name));
    }
    if let Some(multi) = found.multi {
        facts.push(fact("kernel", if multi { "multiprocessor" } else { "uniprocessor" }));
    }
    Ok(facts)
}

/// Puts a HAL that fits beside one that does not, and stops drivers of processors that are left behind.
pub fn adapt(work: &mut Work<'_>) -> Result<()> {
    if work.system.version >= VISTA {
        return Ok(());
    }
    processors(work)?;
    if work.system.machine != Architecture::X86 {
        return Ok(());
    }
    let (place, system) = (work.place.clone(), work.system.clone());
    let found = installed(work.guest, &mut work.hives, &place, &system)?;
    let asked = work.option("hal");
    let wanted = match asked {
        Some(name) => match HALS.iter().find(|hal| hal.device.eq_ignore_ascii_case(name)) {
            Some(hal) => Some(hal),
            None => {
                let known: Vec<&str> = HALS.iter().map(|hal| hal.device).collect();
                work.block(
                    "windows.hal.unknown",
                    format!("no HAL is called {name}"),
                    &format!("choose one of {}", known.join(", ")),
                );
                return Ok(());
            }
        },
        None => replacement(&found, Platform::of(work.profile)),
    };
    let Some(wanted) = wanted.filter(|wanted| found.hal != Some(wanted)) else { return Ok(()) };
    if work.system.version < W2000 && wanted.multi && found.multi == Some(false) {
        work.block(
            "windows.hal.processors",
            "NT 4.0 for one processor needs more than another HAL and kernel for several (KB 142660)".into(),
            "give the machine one processor, or run uptomp.exe of the Resource Kit on the source",
        );
        return Ok(());
    }
    if work.system.version >= W2000 && wanted.is_acpi() != found.acpi {
        work.warn(
            "windows.hal.kind",
            format!("{} and {} find their hardware in different ways (KB 309283)", said(&found), wanted.name),
            "expect Windows to look for all of its hardware anew on the first start, or to stop there",
        );
    }
    beside(work, wanted, &found)
}

/// A HAL that starts where the installed one does not: one of no known kind is a computer maker's, and Hyper-V has no MP table.
fn replacement(found: &Installed, platform: Platform) -> Option<&'static Hal> {
    let file = match found.hal {
        None if found.name.is_empty() => return None,
        None => match (found.acpi, found.multi == Some(true)) {
            (true, true) => "halmacpi.dll",
            (true, false) => "halaacpi.dll",
            (false, true) => "halmps.dll",
            (false, false) => "hal.dll",
        },
        Some(hal) if hal.table && platform == Platform::HyperV => "hal.dll",
        Some(_) => return None,
    };
    HALS.iter().find(|hal| hal.file == file)
}

fn processors(work: &mut Work<'_>) -> Result<()> {
    work.in_sets(|work, set| {
        for service in PROCESSORS {
            if services::start(&mut work.hives, set, service)?.is_some() {
                let key = format!(r"{set}\Services\{service}");
                work.set_number(Store::System, &key, "Start", services::DISABLED)?;
            }
        }
        Ok(())
    })?;
    work.commit("processor drivers for one maker's machine stop Windows on another's (KB 953356), and do nothing in a virtual machine")
}

/// Adds files and an entry that starts them.
fn beside(work: &mut Work<'_>, wanted: &Hal, found: &Installed) -> Result<()> {
    let Some(start) = work.place.boots.iter().find(|boot| boot.loader == Loader::Ntldr).cloned() else {
        return Ok(());
    };
    let path = boot::file(&start);
    let old = text(work.guest, &path, boot::INI_MOST)?;
    let ini = BootIni::parse(&old);
    let Some(usual) = ini.usual() else { return Ok(()) };
    if usual.switches.to_ascii_lowercase().contains(&format!("/hal={OUR_HAL}")) {
        return Ok(());
    }
    let kernel = (found.multi != Some(wanted.multi)).then_some(if wanted.multi {
        "ntkrnlmp.exe"
    } else {
        "ntoskrnl.exe"
    });
    let reason = format!("{} does not start on the new machine: {} goes beside it", said(found), wanted.name);
    for (source, name) in
        [Some((wanted.file, OUR_HAL)), kernel.map(|source| (source, OUR_KERNEL))].into_iter().flatten()
    {
        let bytes = match file(work, source, found)? {
            Search::Found(bytes) => bytes,
            Search::Others(others) => {
                missing(work, source, found, &others);
                return Ok(());
            }
        };
        work.write(&work.place.path(&format!("System32/{name}")), &bytes, &reason)?;
    }
    let switches = switches(&usual.switches, kernel.is_some());
    let mut new = Entry::clone(usual);
    (new.title, new.switches) = (format!("{} ({})", usual.title, wanted.name), switches);
    work.guest.write(&path, &bytes(&ini.with(usual, &new)), None, &reason)?;
    work.note(format!("boot.ini has a new entry, \"{}\"; the old one stays below it", new.title));
    if kernel.is_some() {
        work.note("later service packs refuse to run while boot.ini has /KERNEL= (KB 327101)".into());
    }
    Ok(())
}

fn said(found: &Installed) -> String {
    format!("the HAL of this Windows ({})", found.hal.map_or(found.name.as_str(), |hal| hal.name))
}

/// The old switches and ours. A kernel of its own is one without PAE, which `/NoExecute` would switch on.
fn switches(old: &str, kernel: bool) -> String {
    let lower = |switch: &str| switch.to_ascii_lowercase();
    let ours = |switch: &&str| {
        let switch = lower(switch);
        let pae = kernel && (switch == "/pae" || switch.starts_with("/noexecute"));
        !switch.starts_with("/hal=") && !switch.starts_with("/kernel=") && !pae
    };
    let mut all: Vec<String> = old.split_whitespace().filter(ours).map(str::to_owned).collect();
    all.push(format!("/HAL={OUR_HAL}"));
    if kernel {
        all.extend([format!("/KERNEL={OUR_KERNEL}"), "/NoExecute=AlwaysOff".into()]);
    }
    all.join(" ")
}

fn missing(work: &mut Work<'_>, name: &str, found: &Installed, others: &[String]) {
    let mut message =
        format!("{} does not start on the new machine, and {name} is not on this one", said(found));
    if !others.is_empty() {
        message += &format!("; what was found is of another version: {}", others.join(", "));
    }
    let version = found.kernel_version.map_or(String::new(), |version| format!(" ({version})"));
    let remedy = format!(
        "name by --drivers the I386 directory or ISO of this Windows with its service pack, or a directory with {name} and the \
         kernel{version} that belongs to it"
    );
    work.block("windows.hal.missing", message, &remedy);
}

/// A file of the installation, from the guest or what the operator lends: one that goes with the kernel, else the one of the
/// guest's service pack, which updates may have gone beyond since.
fn file(work: &mut Work<'_>, name: &str, found: &Installed) -> Result<Search> {
    let (own, fit) = (own(work, name)?, found.fit(name));
    if let Some(copy) = own.iter().find(|copy| fit.has(copy)) {
        return Ok(Search::Found(copy.bytes.clone()));
    }
    let old = work.place.path(UNINSTALL);
    Ok(match media::find(work, name, fit)? {
        Search::Others(others) => match own.iter().find(|copy| copy.folder() != old) {
            Some(copy) => Search::Found(copy.bytes.clone()),
            None => Search::Others(others.into_iter().chain(own.iter().map(Copy::show)).collect()),
        },
        found => found,
    })
}

/// What the guest has of a file: its service pack's files, its driver cache, and what the service pack has replaced.
fn own(work: &Work<'_>, name: &str) -> Result<Vec<Copy>> {
    let mut copies = Vec::new();
    for folder in ["ServicePackFiles/i386", "Driver Cache/i386"] {
        let path = work.place.path(&format!("{folder}/{name}"));
        if is_file(work.guest, &path) {
            copies.push(Copy::new(path.clone(), work.guest.read_all(&path, FILE_MOST)?));
        }
    }
    if let Some(bytes) = cabinets::find(work.guest, &work.place, name)? {
        copies.push(Copy::new(work.place.path(&format!("Driver Cache/{name}")), bytes));
    }
    let path = work.place.path(&format!("{UNINSTALL}/{name}"));
    if is_file(work.guest, &path) {
        copies.push(Copy::new(path.clone(), work.guest.read_all(&path, FILE_MOST)?));
    }
    Ok(copies)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_of_the_new_entry() {
        assert_eq!(
            switches("/fastdetect /NoExecute=OptIn", false),
            "/fastdetect /NoExecute=OptIn /HAL=halwhy.dll"
        );
        let both = "/fastdetect /HAL=halwhy.dll /KERNEL=krnlwhy.exe /NoExecute=AlwaysOff";
        assert_eq!(switches("/fastdetect /NoExecute=OptIn /PAE", true), both);
    }

    #[test]
    fn who_needs_another() {
        let found = |file: &str, multi| Installed {
            hal: HALS.iter().find(|hal| hal.file == file),
            name: file.to_owned(),
            multi: Some(multi),
            ..Installed::default()
        };
        let file = |found: &Installed, platform| replacement(found, platform).map(|hal| hal.file);
        assert_eq!(file(&found("halsp.dll", true), Platform::Kvm), Some("halmps.dll"));
        assert_eq!(file(&found("halmps.dll", true), Platform::Kvm), None);
        assert_eq!(file(&found("halmps.dll", true), Platform::HyperV), Some("hal.dll"));
        assert_eq!(file(&found("halmacpi.dll", true), Platform::HyperV), None);
        let maker = Installed { acpi: true, ..found("maker_acpi", true) };
        assert_eq!(file(&maker, Platform::Kvm), Some("halmacpi.dll"));
    }
}
