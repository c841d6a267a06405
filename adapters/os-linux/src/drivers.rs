//! The driver of the boot disk, early: every boot entry's initramfs must hold it and load it.

use crate::devices::Bus;
use crate::entries::Entry;
use crate::initramfs::{self, Outcome, Segment};
use crate::kernels::{Driver, Kernel};
use crate::unified::Unified;
use crate::work::Work;
use crate::{lilo, modules, persist};
use std::collections::BTreeMap;
use wherry_sdk::{Result, Severity};

/// Room in bytes that is left alone in the volume of an image.
pub const SPARE: u64 = 64 << 10;

struct Drivers<'w, 'a> {
    work: &'w mut Work<'a>,
    kernels: BTreeMap<String, Kernel>,
    /// whether an image (for a release) will reach the disk
    images: BTreeMap<(String, String), bool>,
    /// modules that the guest's configuration would not have brought
    keep: Vec<&'static str>,
    only_one: bool,
}

/// Extends every initramfs that cannot reach the disk, and keeps the modules for later ones.
pub fn adapt(work: &mut Work<'_>, entries: &[Entry]) -> Result<()> {
    if !entries.iter().any(|entry| entry.kernel.is_some()) {
        let message = "no kernel was found in /boot or by any boot menu".to_owned();
        work.block("linux.kernel.missing", message, "check that the boot volume is among the disks");
        return Ok(());
    }
    let mut kernels = BTreeMap::new();
    for path in entries.iter().filter(|entry| !entry.unified).filter_map(|entry| entry.kernel.as_ref()) {
        kernels.entry(path.clone()).or_insert_with(|| Kernel::read(work.guest, path));
    }
    let only_one = kernels.len() <= 1;
    let (images, keep) = (BTreeMap::new(), Vec::new());
    let mut drivers = Drivers { work, kernels, images, keep, only_one };
    let starts = entries.iter().find(|entry| entry.default).and_then(|entry| entry.kernel.as_ref());
    let kernel =
        starts.and_then(|path| drivers.kernels.get(path)).or_else(|| drivers.kernels.values().next());
    if kernel.is_some_and(|kernel| drivers.wanted(kernel).contains(&"ide_disk")) {
        drivers.work.bus = Bus::OldIde;
    }
    for entry in entries {
        drivers.entry(entry)?;
    }
    drivers.network(entries);
    let keep = drivers.keep;
    persist::adapt(work, &keep)
}

impl Drivers<'_, '_> {
    /// What cannot be done for an entry that a menu shows blocks; other kernels are only spoken of.
    fn severity(entry: &Entry) -> Severity {
        let listed = entry.kernel.as_ref() != Some(&entry.source) || entry.unified;
        if listed { Severity::Blocking } else { Severity::Warning }
    }

    /// The same for what is no worse than before the move, as long as the system starts by itself.
    fn severity_of_start(&self, entry: &Entry) -> Severity {
        if entry.default || self.only_one { Severity::Blocking } else { Severity::Warning }
    }

    fn entry(&mut self, entry: &Entry) -> Result<()> {
        let Some(path) = &entry.kernel else {
            let message =
                format!("{} starts {}, which is missing: {}", entry.title, entry.kernel_text, entry.source);
            let severity = if entry.default { Severity::Blocking } else { Severity::Information };
            self.work.concern(
                severity,
                "linux.kernel.missing",
                message,
                "remove the entry, or reinstall the kernel",
            );
            return Ok(());
        };
        if entry.unified {
            return self.unified(path);
        }
        let Some(kernel) = self.kernels.remove(path) else { return Ok(()) };
        let result = self.entry_with(entry, &kernel);
        self.kernels.insert(path.clone(), kernel);
        result
    }

    fn entry_with(&mut self, entry: &Entry, kernel: &Kernel) -> Result<()> {
        if kernel.release.is_none() && entry.starts_no_system() {
            return Ok(());
        }
        if kernel.needs_xen() && !entry.hypervisor {
            self.needs_xen(entry, kernel);
            return Ok(());
        }
        let wanted = self.wanted(kernel);
        if kernel.drivers(wanted, Driver::BuiltIn).len() == wanted.len() {
            return Ok(());
        }
        let (Some(release), Some(folder)) = (&kernel.release, &kernel.modules) else {
            let message = match &kernel.release {
                Some(release) => format!("kernel {release} ({}) has no module directory", kernel.path),
                None => format!("the release of kernel {} cannot be told", kernel.path),
            };
            let remedy = "remove this kernel from /boot, or reinstall its package";
            let severity = self.severity_of_start(entry);
            self.work.concern(severity, "linux.kernel.no-modules", message, remedy);
            return Ok(());
        };
        if !self.has_drivers(kernel, Self::severity(entry)) {
            return Ok(());
        }
        let needed = kernel.drivers(wanted, Driver::Module);
        for image in &entry.missing {
            let message = format!("{} loads {image}, which is missing: {}", entry.title, entry.source);
            let severity = self.severity_of_start(entry);
            self.work.concern(
                severity,
                "linux.initramfs.missing",
                message,
                "make the initramfs again in the guest",
            );
        }
        if entry.initrds.is_empty() && entry.missing.is_empty() {
            let message = format!("{} has no initramfs, and {} are modules", entry.title, needed.join(", "));
            let severity = self.severity_of_start(entry);
            self.work.concern(
                severity,
                "linux.initramfs.missing",
                message,
                "make an initramfs for it in the guest",
            );
        }
        self.initramfs(entry, release, folder, &needed)
    }

    /// A kernel for paravirtual machines, which is not put on hardware, be it emulated.
    fn needs_xen(&mut self, entry: &Entry, kernel: &Kernel) {
        let message = format!(
            "{} starts kernel {}, which runs on Xen's paravirtual machines only",
            entry.title,
            kernel.name()
        );
        let severity =
            if entry.default || self.only_one { Severity::Blocking } else { Severity::Information };
        let remedy = "install a kernel for ordinary machines in the guest and make it the one that starts";
        self.work.concern(severity, "linux.kernel.xen-only", message, remedy);
    }

    /// The modules by which this kernel reaches the disk.
    fn wanted(&self, kernel: &Kernel) -> &'static [&'static str] {
        let profile = &self.work.profile;
        let synthetic = kernel.storage("hyperv-scsi");
        // Hyper-V's IDE disks are left to its own driver where the kernel has it (ata_piix, `prefer_ms_hyperv`)
        let hyperv = profile.disk_bus == "ide" && profile.machine.starts_with("generation-");
        if hyperv && kernel.drivers(synthetic, Driver::Missing).is_empty() {
            return synthetic;
        }
        kernel.storage(&profile.disk_bus)
    }

    /// Whether the kernel has every wanted driver; if not, says so with the buses that it can do.
    fn has_drivers(&mut self, kernel: &Kernel, severity: Severity) -> bool {
        let missing = kernel.drivers(self.wanted(kernel), Driver::Missing);
        if missing.is_empty() {
            return true;
        }
        let message = format!("kernel {} has no module {}", kernel.name(), missing.join(", "));
        let remedy = match kernel.buses() {
            buses if buses.is_empty() => {
                "install a kernel with drivers for the new hardware in the guest".to_owned()
            }
            buses => format!("choose another disk bus with wish.disk-bus: {}", buses.join(", ")),
        };
        self.work.concern(severity, "linux.initramfs.module-missing", message, &remedy);
        false
    }

    /// Of several images the kernel unpacks one over the other, so that one that reaches the disk is enough.
    fn initramfs(
        &mut self,
        entry: &Entry,
        release: &str,
        folder: &str,
        needed: &[&'static str],
    ) -> Result<()> {
        let microcode = |path: &&String| path.contains("ucode") || path.contains("microcode");
        let candidates = entry.initrds.iter().rev().filter(|path| !microcode(path));
        let mut refusals = Vec::new();
        for image in candidates {
            let key = (image.clone(), release.to_owned());
            if let Some(reached) = self.images.get(&key) {
                if *reached {
                    return Ok(());
                }
                continue;
            }
            let outcome = initramfs::extend(self.work.guest, release, folder, image, needed);
            let outcome = outcome.map_err(|error| error.within(image))?;
            let reached = match outcome {
                Outcome::Sufficient => true,
                Outcome::Append(_) if entry.mapped() => {
                    let message = format!(
                        "LILO reads {image} by its sectors, and would not see the drivers that it lacks"
                    );
                    self.work.block("linux.lilo.map", message, lilo::REMEDY);
                    return Ok(());
                }
                Outcome::Append(segment) => self.append(image, release, &segment, needed)?,
                Outcome::Impossible { reason, remedy } => {
                    refusals.push((format!("{image} for kernel {release}: {reason}"), remedy));
                    false
                }
            };
            self.images.insert(key, reached);
            if reached {
                return Ok(());
            }
        }
        for (message, remedy) in refusals {
            self.keep(needed);
            self.work.concern(Self::severity(entry), "linux.initramfs.not-extended", message, &remedy);
        }
        Ok(())
    }

    /// Appends a segment if there is room. Lack of room has been spoken of, so that no other image need be tried.
    fn append(
        &mut self,
        image: &str,
        release: &str,
        segment: &Segment,
        needed: &[&'static str],
    ) -> Result<bool> {
        let length = segment.bytes.len() as u64;
        let free = self.work.guest.room(image)?.free;
        if segment.drivers {
            self.keep(needed);
        }
        if free < length.saturating_add(SPARE) {
            let message = format!(
                "{image} needs {} KiB more, but its volume has {} KiB free",
                length / 1024,
                free / 1024
            );
            self.work.block(
                "linux.boot.no-room",
                message,
                "make room in the guest, for instance by removing old kernels",
            );
            return Ok(true);
        }
        self.work.guest.append(image, &segment.bytes, &reason(release, segment, needed))?;
        for note in &segment.notes {
            self.work.note(format!("{image}: {note}"));
        }
        Ok(true)
    }

    fn keep(&mut self, needed: &[&'static str]) {
        let new = needed.iter().filter(|module| !self.keep.contains(module));
        self.keep.extend(new.copied().collect::<Vec<_>>());
    }

    /// Kernel, initramfs and command line in one file.
    fn unified(&mut self, path: &str) -> Result<()> {
        let remedy =
            "build the image again in the guest with these modules, or choose a disk bus whose driver it has";
        let found = Unified::open(self.work.guest, path)?;
        let kernel = Kernel::of_release(self.work.guest, path, found.release.clone());
        let wanted = self.wanted(&kernel);
        if kernel.drivers(wanted, Driver::BuiltIn).len() == wanted.len() {
            return Ok(());
        }
        let (Some(release), Some(folder)) = (&kernel.release, &kernel.modules) else {
            let message = format!("{path} is a unified kernel image whose kernel and modules are not known");
            self.work.block("linux.uki.unknown", message, remedy);
            return Ok(());
        };
        if !self.has_drivers(&kernel, Severity::Blocking) {
            return Ok(());
        }
        let needed = kernel.drivers(wanted, Driver::Module);
        let message = match found.check(release, folder, &needed)? {
            Outcome::Sufficient => return Ok(()),
            Outcome::Append(segment) => match self.grow(&found, release, &segment, &needed)? {
                None => return Ok(()),
                Some(why) => {
                    let lacks =
                        if segment.added.is_empty() { needed.join(", ") } else { segment.added.join(", ") };
                    format!("{path} is a unified kernel image that lacks {lacks}, and {why}")
                }
            },
            Outcome::Impossible { reason, .. } => format!("{path} is a unified kernel image: {reason}"),
        };
        self.work.block("linux.uki.driver-missing", message, remedy);
        Ok(())
    }

    /// Puts a segment into a unified image; if it cannot be, answers why.
    fn grow(
        &mut self,
        found: &Unified<'_>,
        release: &str,
        segment: &Segment,
        needed: &[&'static str],
    ) -> Result<Option<String>> {
        if let Some(why) = found.fixed(&self.work.profile.firmware) {
            return Ok(Some(why.to_owned()));
        }
        let reason = reason(release, segment, needed);
        let (room, done) = match found.extend(segment, &reason)? {
            Some(grown) => grown,
            None => return Ok(Some("its headers leave no room for a larger initramfs".to_owned())),
        };
        if !done {
            return Ok(Some(format!(
                "its volume has no room for the {} KiB that the change takes",
                room / 1024
            )));
        }
        if segment.drivers {
            self.keep(needed);
        }
        let note = "secrets that a TPM hands out for this image only (PCR 11) will be refused";
        self.work.note(format!("{} was changed: {note}", found.path()));
        Ok(None)
    }

    /// The card's driver is loaded from the root file system, so that it only has to be there.
    fn network(&mut self, entries: &[Entry]) {
        let Some((module, _)) = modules::network(&self.work.profile.nic_model) else { return };
        for kernel in self.kernels.values().filter(|kernel| kernel.modules.is_some()) {
            let listed = entries.iter().any(|entry| entry.kernel.as_ref() == Some(&kernel.path));
            if listed && kernel.driver(module) == Driver::Missing {
                let message = format!(
                    "kernel {} has no module {module}, so that it will have no network",
                    kernel.name()
                );
                let remedy = match kernel.cards() {
                    cards if cards.is_empty() => "install the module in the guest".to_owned(),
                    cards => format!(
                        "choose another card with wish.nic-model ({}), or install the module in the guest",
                        cards.join(", ")
                    ),
                };
                self.work.warn("linux.network.module-missing", message, &remedy);
            }
        }
    }
}

/// Why an initramfs is extended.
fn reason(release: &str, segment: &Segment, needed: &[&str]) -> String {
    if !segment.drivers {
        return format!("the initramfs of kernel {release} must not wait for devices of the old hardware");
    }
    let what = if segment.added.is_empty() {
        format!("nothing in it loads {}", needed.join(", "))
    } else {
        format!("it lacks {}", segment.added.join(", "))
    };
    format!("the initramfs of kernel {release} must reach the new disk controller: {what}")
}
