//! Windows must find its disks at the first start: the driver of the new controller is loaded by the loader, in every control
//! set, from a file that is there.

use crate::decoration::Architecture;
use crate::drivers::{self, Answer, CRITICAL_IDE, Driver, HYPERV_GUEST, SCSI, Vendor};
use crate::files::{is_file, names};
use crate::hives::Store;
use crate::media::{self, Fit, Search};
use crate::packages;
use crate::services::{self, BOOT};
use crate::tools::Platform;
use crate::version::{SEVEN, VISTA, W2000};
use crate::work::Work;
use wherry_registry::{Kind, data};
use wherry_sdk::{Error, Result};

/// The largest driver that is copied.
const DRIVER_MOST: u64 = 32 << 20;
/// `Type` of a driver.
const KERNEL_DRIVER: u32 = 1;
/// INTERFACE_TYPE PCIBus.
const PCI: &str = "5";
/// STORAGE_BUS_TYPE BusTypeScsi.
const SCSI_BUS: u32 = 1;

/// Makes the disks of the profile's bus be found.
pub fn adapt(work: &mut Work<'_>) -> Result<()> {
    let bus = work.profile.disk_bus.clone();
    let Some(answer) = drivers::storage(&bus, work.system.version) else {
        return Err(Error::unsupported(format!("no Windows driver is known for disk bus {bus}")));
    };
    match answer {
        Answer::Own(list) => own(work, list, &bus)?,
        Answer::Vendors(vendor) => vendors(work, &vendor, &bus)?,
    }
    if Platform::of(work.profile) == Platform::HyperV && work.system.version >= SEVEN {
        guest_drivers(work)?;
    }
    Ok(())
}

/// Drivers of Hyper-V, where this Windows has them. Its generation 1 machines start from IDE, and go on with drivers that see
/// the disks faster.
fn guest_drivers(work: &mut Work<'_>) -> Result<()> {
    for driver in HYPERV_GUEST {
        if is_file(work.guest, &file(work, driver.file)) {
            start(work, driver)?;
        }
    }
    work.commit("Hyper-V's own drivers take over the disks that its machines start from")
}

fn own(work: &mut Work<'_>, list: &'static [Driver], bus: &str) -> Result<()> {
    for name in list.iter().flat_map(|driver| std::iter::once(&driver.file).chain(driver.with)) {
        if !ensure_file(work, name, bus)? {
            return Ok(());
        }
    }
    for driver in list {
        start(work, driver)?;
        if !driver.device.is_empty() && drivers::has_critical_devices(work.system.version) {
            critical_devices(work, &[(driver.device, SCSI, driver.service)])?;
        }
    }
    if bus == "ide" && drivers::has_critical_devices(work.system.version) && work.system.version < VISTA {
        critical_devices(work, CRITICAL_IDE)?;
    }
    let names: Vec<&str> = list.iter().map(|driver| driver.service).collect();
    work.commit(&format!(
        "the loader has to start {}, or Windows does not find its disks on {bus}",
        names.join(", ")
    ))
}

/// Whose name and place a driver's file has.
fn file(work: &Work<'_>, name: &str) -> String {
    work.place.path(&format!("System32/drivers/{name}"))
}

/// Starts a driver with the loader, in every control set.
fn start(work: &mut Work<'_>, driver: &Driver) -> Result<()> {
    work.in_sets(|work, set| {
        let key = format!(r"{set}\Services\{}", driver.service);
        if !work.hives.has(Store::System, &key)? {
            work.set_number(Store::System, &key, "Type", KERNEL_DRIVER)?;
            work.set_number(Store::System, &key, "ErrorControl", 1)?;
            work.set_text(Store::System, &key, "Group", driver.group)?;
            if driver.tag > 0 {
                work.set_number(Store::System, &key, "Tag", driver.tag)?;
            }
            let path = data::sz(&format!(r"system32\drivers\{}", driver.file));
            work.set(Store::System, &key, "ImagePath", Kind::EXPAND_SZ, &path)?;
        }
        if driver.is_miniport && work.system.version >= W2000 {
            plug_and_play(work, &key)?;
        }
        enable(work, set, driver.service)
    })
}

/// Has a SCSI miniport take its devices from Plug and Play on PCI, not look for them by itself (Microsoft, "SCSI miniport INF
/// files").
fn plug_and_play(work: &mut Work<'_>, key: &str) -> Result<()> {
    let parameters = format!(r"{key}\Parameters");
    work.set_number(Store::System, &format!(r"{parameters}\PnpInterface"), PCI, 1)?;
    if work.hives.number(Store::System, &parameters, "BusType")?.is_none() {
        work.set_number(Store::System, &parameters, "BusType", SCSI_BUS)?;
    }
    Ok(())
}

/// Starts a service that is there with the loader.
fn enable(work: &mut Work<'_>, set: &str, service: &str) -> Result<()> {
    let key = format!(r"{set}\Services\{service}");
    work.set_number(Store::System, &key, "Start", BOOT)?;
    let later = format!(r"{key}\StartOverride");
    if drivers::has_start_override(work.system.version) && work.hives.has(Store::System, &later)? {
        for name in work.hives.values(Store::System, &later)? {
            work.set_number(Store::System, &later, &name, BOOT)?;
        }
    }
    Ok(())
}

/// Devices that are known before Plug and Play has seen them.
pub fn critical_devices(work: &mut Work<'_>, list: &[(&str, &str, &str)]) -> Result<()> {
    work.in_sets(|work, set| {
        for (device, class, service) in list {
            let key = format!(r"{set}\Control\CriticalDeviceDatabase\{device}");
            work.set_text(Store::System, &key, "ClassGUID", class)?;
            work.set_text(Store::System, &key, "Service", service)?;
        }
        Ok(())
    })
}

/// Whether a driver's file is there, or could be brought from where Windows keeps its own.
fn ensure_file(work: &mut Work<'_>, name: &str, bus: &str) -> Result<bool> {
    let path = file(work, name);
    if is_file(work.guest, &path) {
        return Ok(true);
    }
    if let Some(bytes) = find(work, name)? {
        work.write(&path, &bytes, &format!("the driver of {bus} disks is not unpacked yet"))?;
        return Ok(true);
    }
    let mut message =
        format!("Windows needs {name} for {bus} disks, and neither {path} nor a copy of it is there");
    let on_cd = work.system.version < VISTA && work.system.machine == Architecture::X86;
    if on_cd {
        let fit = Fit { kernel: media::kernel_version(work), own: None };
        match media::find(work, name, fit)? {
            Search::Found(bytes) => {
                work.write(&path, &bytes, &format!("the driver of {bus} disks comes from what was lent"))?;
                return Ok(true);
            }
            Search::Others(others) if !others.is_empty() => {
                message += &format!("; what was lent is of another version: {}", others.join(", "));
            }
            Search::Others(_) => {}
        }
    }
    let remedy = if on_cd {
        "name by --drivers the I386 directory or ISO of this Windows with its service pack"
    } else {
        "copy it from a Windows of the same build into System32\\drivers, or choose another disk bus"
    };
    work.block("windows.storage.driver-missing", message, remedy);
    Ok(false)
}

/// A driver of Windows' own from the driver store, the service pack's files or the driver cache.
fn find(work: &Work<'_>, name: &str) -> Result<Option<Vec<u8>>> {
    let guest = work.guest;
    for folder in ["ServicePackFiles/i386", "ServicePackFiles/amd64", "System32/dllcache"] {
        let path = work.place.path(&format!("{folder}/{name}"));
        if is_file(guest, &path) {
            return guest.read_all(&path, DRIVER_MOST).map(Some);
        }
    }
    let store = work.place.path("System32/DriverStore/FileRepository");
    let ending = format!("_{}_", work.system.machine.suffix());
    // The last one in the order of names is as good as any: they are the same build's.
    for folder in names(guest, &store).into_iter().rev().filter(|folder| folder.contains(&ending)) {
        let path = format!("{store}/{folder}/{name}");
        if is_file(guest, &path) {
            return guest.read_all(&path, DRIVER_MOST).map(Some);
        }
    }
    if drivers::has_driver_cache(work.system.version) {
        return crate::cabinets::find(guest, &work.place, name);
    }
    Ok(None)
}

/// A vendor's driver: started where it is installed, else imported from where the operator says, else a blocking concern.
fn vendors(work: &mut Work<'_>, vendor: &Vendor, bus: &str) -> Result<()> {
    let set = work.system.current.clone();
    for service in vendor.services {
        if services::start(&mut work.hives, &set, service)?.is_none() {
            continue;
        }
        let image = image(work, &set, service)?;
        let path = file(work, &image);
        if !is_file(work.guest, &path)
            && let Some(bytes) = find(work, &image)?
        {
            work.write(&path, &bytes, &format!("the driver of {bus} disks is not unpacked yet"))?;
        }
        if is_file(work.guest, &path) {
            work.in_sets(|work, set| enable(work, set, service))?;
            return work
                .commit(&format!("{} is installed, and has to be started by the loader", vendor.name));
        }
    }
    if packages::import(work, vendor.devices, vendor.name)? {
        return Ok(());
    }
    let message = format!(
        "Windows {} has no driver for {bus} disks: {} is needed for {}",
        work.system.version.family(work.system.server),
        vendor.name,
        work.system.machine.name()
    );
    let remedy = format!("name a directory or ISO with it by --drivers; it comes from {}", vendor.source);
    work.block("windows.storage.driver-missing", message, &remedy);
    Ok(())
}

/// The name of a service's file in `System32\drivers`.
fn image(work: &mut Work<'_>, set: &str, service: &str) -> Result<String> {
    let path = work.hives.text(Store::System, &format!(r"{set}\Services\{service}"), "ImagePath")?;
    let path = path.unwrap_or_default();
    let name = path.rsplit(['\\', '/']).next().unwrap_or_default();
    Ok(if name.is_empty() { format!("{service}.sys") } else { name.to_owned() })
}
