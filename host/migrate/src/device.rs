//! Devices and exports that a target names: each is looked at before the first byte is written, and refused where it may not be
//! overwritten.

use crate::source::{Source, address};
use crate::{Error, ErrorKind, Result};
use block::{Disk, FileDisk, is_zero};
use channels::{Address, NbdDisk};
use rustix::fs::OFlags;
use std::fs::File;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use transfer::Target;

/// What is read of each end of a device to see whether it holds something: the tables and superblocks of partitions,
/// file systems, RAID and LVM are there.
const LOOK: u64 = 1 << 20;

/// A device that the operator lets the target have.
#[derive(Clone, Debug)]
pub struct Grant {
    /// By any of its names, or an export's address.
    pub path: PathBuf,
    /// Whether what it holds may be lost.
    pub overwrite: bool,
}

/// Where a disk may go.
pub(crate) enum Device {
    /// A block device, by its own path.
    Local(PathBuf),
    /// A server's export, by its address.
    Export(PathBuf, Box<NbdDisk>),
    /// One that holds its disk already.
    Done(PathBuf),
}

impl Device {
    /// Its one name.
    pub fn name(&self) -> &Path {
        match self {
            Self::Local(name) | Self::Export(name, _) | Self::Done(name) => name,
        }
    }

    /// As the pump wants it.
    pub fn target<'a>(&'a self, checkpoint: &'a Path) -> Target<'a> {
        match self {
            Self::Export(name, disk) => Target::Disk { disk: disk.as_ref(), name, checkpoint },
            Self::Local(path) | Self::Done(path) => Target::Existing { path, checkpoint },
        }
    }
}

/// The one name of a device or file that has many, or of an export; none if there is no such file.
pub(crate) fn name(said: &str) -> Option<PathBuf> {
    match Address::is_uri(said) {
        true => Address::parse(said).ok().map(|address| address.to_string().into()),
        false => Path::new(said).canonicalize().ok(),
    }
}

/// A device that somebody wants to write a disk to.
pub(crate) struct Wanted<'a> {
    /// As it was named.
    pub said: &'a str,
    /// What is to be written.
    pub disk: &'a dyn Disk,
    /// What is never written.
    pub sources: &'a [Source],
    /// What the operator lets the target have.
    pub grants: &'a [Grant],
    /// By their own names: what this job has begun with, which may hold its disk already.
    pub begun: &'a [PathBuf],
}

impl Wanted<'_> {
    /// The device, if the disk may be written to it: granted, of the right size and sectors, used by nobody, and empty or
    /// given up by the operator. Nothing is written.
    pub fn check(&self) -> Result<Device> {
        match Address::is_uri(self.said) {
            true => self.export(&address(self.said)?),
            false => self.local(),
        }
    }

    fn refuse<T>(&self, what: impl Into<String>) -> Result<T> {
        let what = what.into();
        Err(Error::new(ErrorKind::Failed, format!("nothing was written to {}: {what}", self.said)))
    }

    /// The grants for it, at least one.
    fn granted(&self, name: &Path) -> Result<Vec<&Grant>> {
        let is_it = |grant: &&Grant| self::name(&grant.path.to_string_lossy()).as_deref() == Some(name);
        let grants: Vec<&Grant> = self.grants.iter().filter(is_it).collect();
        if grants.is_empty() {
            let next = format!("say --device {} if it may", self.said);
            return self.refuse(format!("the target wants it, and you did not grant it; {next}"));
        }
        Ok(grants)
    }

    fn local(&self) -> Result<Device> {
        let Some(path) = name(self.said) else {
            return self.refuse("there is no such device; attach it, and say the same command again");
        };
        let grants = self.granted(&path)?;
        let io = |e| Error::failed(format!("cannot look at {}: {e}", self.said));
        let meta = path.metadata().map_err(io)?;
        if !meta.file_type().is_block_device() {
            return self.refuse("it is no block device");
        }
        let related = |source: &&Source| source.devices.iter().any(|one| related(*one, meta.rdev()));
        if let Some(source) = self.sources.iter().find(related) {
            let name = &source.name;
            return self.refuse(format!(
                "it is, or holds, or is a part of the source {name}, which is never written"
            ));
        }
        // As mount(2) and the device mapper do it: a device has one exclusive user.
        match File::options().read(true).custom_flags(OFlags::EXCL.bits() as i32).open(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::ResourceBusy => {
                let next =
                    "end that (umount, swapoff, vgchange -an, mdadm --stop), and say the same command again";
                return self.refuse(format!("it is in use, mounted or a part of LVM, RAID or swap; {next}"));
            }
            opened => drop(opened.map_err(io)?),
        }
        let device = FileDisk::open_read(&path)?;
        if let Some(what) = unfit(&device, self.disk) {
            return self.refuse(what);
        }
        self.empty(&device, &path, &grants)?;
        Ok(Device::Local(path))
    }

    /// An export has no sectors: whoever gets it from the server decides.
    fn export(&self, address: &Address) -> Result<Device> {
        let name = PathBuf::from(address.to_string());
        let grants = self.granted(&name)?;
        let same = |source: &&Source| source.exports.iter().any(|one| one.is_same(address));
        if let Some(source) = self.sources.iter().find(same) {
            return self.refuse(format!("it is the source {}, which is never written", source.name));
        }
        let export = NbdDisk::open(address)?;
        if let Some(why) = export.unwritable() {
            return self.refuse(format!("{why}; ask for one that may be written"));
        }
        if let Some(what) = too_small(&export, self.disk) {
            return self.refuse(what);
        }
        self.empty(&export, &name, &grants)?;
        Ok(Device::Export(name, Box::new(export)))
    }

    /// Refuses a device that holds something which is not this job's and not given up.
    fn empty(&self, device: &dyn Disk, name: &Path, grants: &[&Grant]) -> Result<()> {
        let ours = self.begun.iter().any(|begun| begun == name) && begins_as(device, self.disk)?;
        if !ours && !grants.iter().any(|grant| grant.overwrite) && holds_data(device)? {
            let said = self.said;
            return self.refuse(format!("it holds data; say --overwrite-device {said} if that may be lost"));
        }
        Ok(())
    }
}

fn too_small(device: &dyn Disk, disk: &dyn Disk) -> Option<String> {
    let (room, need) = (device.length(), disk.length());
    (room < need).then(|| format!("it has {room} bytes, and the disk has {need}; use a larger device"))
}

/// Why the disk cannot become this device.
fn unfit(device: &dyn Disk, disk: &dyn Disk) -> Option<String> {
    let (its, own) = (device.sector_size(), disk.sector_size());
    let sectors = || {
        let next = "use a device with the same, or the guest finds no partition there";
        format!("it has sectors of {its} bytes, and the disk has sectors of {own}; {next}")
    };
    too_small(device, disk).or_else(|| (its != own).then(sectors))
}

/// Anything but zeroes at its ends, unless it is a copy that was never completed.
fn holds_data(device: &dyn Disk) -> Result<bool> {
    let length = device.length();
    let mut piece = vec![0; LOOK.min(length) as usize];
    device.read_at(0, &mut piece)?;
    if transfer::is_incomplete(&piece) {
        return Ok(false);
    }
    if !is_zero(&piece) {
        return Ok(true);
    }
    device.read_at(length - piece.len() as u64, &mut piece)?;
    Ok(!is_zero(&piece))
}

/// Whether the disk's first block, which the pump writes last of all, has arrived here; all of it but for sectors that
/// are still empty.
fn begins_as(device: &dyn Disk, disk: &dyn Disk) -> Result<bool> {
    let (mut there, mut here) = ([0; 4096], [0; 4096]);
    let length = disk.length().min(4096) as usize;
    device.read_at(0, &mut there[..length])?;
    disk.read_at(0, &mut here[..length])?;
    let mut sectors = there.chunks(512).zip(here.chunks(512));
    let first = sectors.next().is_some_and(|(there, here)| there == here && !is_zero(here));
    Ok(first && sectors.all(|(there, here)| there == here || is_zero(there)))
}

/// Whether two devices (by their numbers) are one, or one is a partition of the other: sysfs has partitions within
/// their disks.
fn related(one: u64, other: u64) -> bool {
    let folder = |number| {
        let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
        Path::new("/sys/dev/block").join(format!("{major}:{minor}")).canonicalize().ok()
    };
    let within = |(one, other): (PathBuf, PathBuf)| one.starts_with(&other) || other.starts_with(&one);
    one == other || folder(one).zip(folder(other)).is_some_and(within)
}

#[cfg(test)]
mod tests {
    use super::*;
    use block::{MemoryDisk, Sectored};
    use std::sync::Arc;

    #[test]
    fn devices_that_do_not_fit_or_hold_something_are_known() {
        let disk = |length| MemoryDisk::new(vec![0; length]);
        assert!(unfit(&disk(4096), &disk(4096)).is_none() && unfit(&disk(8192), &disk(4096)).is_none());
        assert!(unfit(&disk(4096), &disk(4608)).unwrap().contains("larger"));
        let large = Sectored::new(Arc::new(disk(4096)), 4096);
        assert!(unfit(&large, &disk(4096)).unwrap().contains("sectors of 4096 bytes"));
        assert!(unfit(&large, &large).is_none());
        let holds = |length: usize, at: usize| {
            let mut bytes = vec![0; length];
            bytes[at] = 1;
            holds_data(&MemoryDisk::new(bytes)).unwrap()
        };
        assert!(!holds_data(&disk(3 << 20)).unwrap() && !holds_data(&disk(0)).unwrap());
        assert!(
            holds(512, 511) && holds(3 << 20, 0) && holds(3 << 20, (3 << 20) - 1) && holds(3 << 20, 1 << 16)
        );
    }

    #[test]
    fn a_disk_that_has_arrived_is_known_by_its_first_block() {
        let disk = MemoryDisk::new(vec![7; 8192]);
        let begins = |bytes: Vec<u8>| begins_as(&MemoryDisk::new(bytes), &disk).unwrap();
        let mut bytes = vec![7; 8192];
        assert!(begins(bytes.clone()));
        bytes[512..1024].fill(0);
        assert!(begins(bytes.clone()));
        bytes[600] = 1;
        assert!(!begins(bytes) && !begins(vec![0; 8192]));
        let blank = MemoryDisk::new(vec![0; 8192]);
        assert!(!begins_as(&blank, &blank).unwrap(), "emptiness is no sign");
    }

    #[test]
    fn what_is_not_granted_or_no_device_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let said = file.path().to_str().unwrap();
        let check = |said, grants: &[Grant]| {
            let disk = MemoryDisk::new(vec![]);
            let wanted = Wanted { said, disk: &disk, sources: &[], grants, begun: &[] };
            wanted.check().err().unwrap().message
        };
        let grant = |path: &str| Grant { path: path.into(), overwrite: true };
        let missing = check("/dev/none/such", &[grant("/dev/none/such")]);
        assert!(missing.contains("no such device"), "{missing}");
        for grants in [&[][..], &[grant("/dev/null"), grant("/dev/none")][..]] {
            let refused = check(said, grants);
            assert!(refused.contains("did not grant") && refused.contains("--device"), "{refused}");
        }
        for no_device in [said, "/dev/null", "/"] {
            let refused = check(no_device, &[grant(no_device)]);
            assert!(refused.contains("no block device"), "{refused}");
        }
    }
}
