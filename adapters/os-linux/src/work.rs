//! What every part of the adaptation needs: the guest, the target, and the list of what a person has to know.

use crate::devices::{Bus, Devices, Naming};
use crate::files::{exists, text};
use crate::{fstab, mounts};
use wherry_sdk::source::Adaptation;
use wherry_sdk::{DeviceProfile, Fact, Result, Severity, Tree, concern};

/// One adaptation under way.
pub struct Work<'a> {
    /// The guest's files.
    pub guest: &'a dyn Tree,
    /// What the guest will find.
    pub profile: &'a DeviceProfile,
    /// The operator's options.
    pub options: &'a [Fact],
    /// The guest's volumes under their names.
    pub devices: Devices,
    /// How the kernel that starts names the target's disks.
    pub bus: Bus,
    /// Concerns and notes so far.
    pub result: Adaptation,
}

impl<'a> Work<'a> {
    /// For a guest whose root is mounted.
    pub fn new(
        guest: &'a dyn Tree,
        profile: &'a DeviceProfile,
        options: &'a [Fact],
        root: &mounts::Root,
    ) -> Self {
        let mut devices = Devices::new(&guest.volumes()).named(guest);
        let table = text(guest, "/etc/fstab").unwrap_or_default();
        if let Some(entry) = fstab::entries(&table).iter().find(|entry| entry.path == "/") {
            devices.learn(entry.source, &root.id);
        }
        let result = Adaptation { concerns: Vec::new(), notes: Vec::new() };
        Self { guest, profile, options, devices, bus: Bus::new(&profile.disk_bus), result }
    }

    /// Adds a concern, once.
    pub fn concern(&mut self, severity: Severity, id: &str, message: String, remedy: &str) {
        let new = concern(severity, id, message, Some(remedy));
        if !self.result.concerns.contains(&new) {
            self.result.concerns.push(new);
        }
    }

    /// The migration must not start.
    pub fn block(&mut self, id: &str, message: String, remedy: &str) {
        self.concern(Severity::Blocking, id, message, remedy);
    }

    /// It works, but differently from what one would expect.
    pub fn warn(&mut self, id: &str, message: String, remedy: &str) {
        self.concern(Severity::Warning, id, message, remedy);
    }

    /// Something to know or do afterwards.
    pub fn note(&mut self, note: String) {
        if !self.result.notes.contains(&note) {
            self.result.notes.push(note);
        }
    }

    /// Writes only what differs.
    pub fn replace(&self, path: &str, old: &str, new: &str, reason: &str) -> Result<()> {
        if old == new { Ok(()) } else { self.guest.write(path, new.as_bytes(), None, reason) }
    }

    /// Makes a directory and those above it where they are missing.
    pub fn ensure_directory(&self, path: &str, reason: &str) -> Result<()> {
        let ends = path.match_indices('/').map(|(at, _)| at).skip(1).chain([path.len()]);
        for end in ends {
            if !exists(self.guest, &path[..end]) {
                self.guest.make_directory(&path[..end], None, reason)?;
            }
        }
        Ok(())
    }

    /// Names that the guest's tables understand: `PARTUUID=` came to util-linux and udev just before systemd did.
    pub fn naming(&self) -> Naming {
        let systemd = ["/usr/lib/systemd/systemd", "/lib/systemd/systemd"];
        let partuuid = systemd.iter().any(|path| exists(self.guest, path));
        Naming { uuid: true, partuuid, bus: self.bus }
    }
}
