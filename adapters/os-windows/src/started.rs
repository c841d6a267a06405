//! Which Windows a loader starts by itself, where a machine has several.

use crate::arc::{ArcPath, Way};
use crate::bootini::BootIni;
use crate::files::text;
use crate::hives;
use crate::place::{Boot, Loader};
use crate::{boot, disks};
use wherry_registry::bcd::{Element, Store, element};
use wherry_registry::device::{DeviceKind, Partition};
use wherry_sdk::{Tree, Volume, find};

/// A Windows as a loader names it.
#[derive(Debug)]
pub struct Started {
    device: Device,
    /// `WINDOWS`
    directory: String,
}

#[derive(Debug)]
enum Device {
    Arc(ArcPath),
    Partition(Partition),
    /// The volume that the loader is on.
    Own,
}

/// What the loader on the volume at `/` starts; none where that cannot be told.
pub fn read(guest: &dyn Tree, loader: Loader) -> Option<Started> {
    let path = boot::file(&Boot { volume: String::new(), path: String::new(), loader });
    if loader == Loader::Ntldr {
        let ini = BootIni::parse(&text(guest, &path, boot::INI_MOST).ok()?);
        let arc = ArcPath::parse(&ini.usual()?.path)?;
        return Some(Started { directory: arc.directory.clone(), device: Device::Arc(arc) });
    }
    let mut hive = hives::open(guest, &path).ok()?;
    let mut store = Store::open(&mut hive).ok()?;
    let id = store.default_entry().ok()??;
    let Some(Element::Device(device)) = store.element(&id, element::OS_DEVICE).ok()? else { return None };
    let Some(Element::Text(root)) = store.element(&id, element::SYSTEM_ROOT).ok()? else { return None };
    let device = match device.kind() {
        DeviceKind::Partition(partition) => Device::Partition(partition),
        DeviceKind::Boot => Device::Own,
        _ => return None,
    };
    Some(Started { device, directory: root.trim_matches('\\').to_owned() })
}

impl Started {
    /// Whether it is the Windows in the directory `root` of `volume`, when the loader is on `from`.
    pub fn is(&self, volumes: &[Volume], from: &Volume, (volume, root): (&str, &str)) -> bool {
        let Some(volume) = volumes.iter().find(|one| one.id == volume) else { return false };
        if !root.trim_matches('/').eq_ignore_ascii_case(&self.directory) {
            return false;
        }
        match &self.device {
            Device::Own => volume.id == from.id,
            Device::Arc(arc) => is_named(arc, volumes, from, volume),
            Device::Partition(Partition::Mbr { signature, offset }) => {
                disks::signature(volume) == Some(*signature) && disks::offset(volume) == Some(*offset)
            }
            Device::Partition(Partition::Gpt { partition, .. }) => {
                find(&volume.facts, "partition.uuid").is_some_and(|uuid| uuid == partition.to_string())
            }
        }
    }
}

/// Whether an ARC path names a volume. The BIOS counts from the disk that it starts from.
fn is_named(arc: &ArcPath, volumes: &[Volume], from: &Volume, volume: &Volume) -> bool {
    let right = match arc.way {
        Way::Signature(signature) => disks::signature(volume) == Some(signature),
        Way::Bios | Way::Driver if arc.disk == 0 => disks::index(volume) == disks::index(from),
        Way::Bios | Way::Driver => disks::index(volume) == Some(arc.disk),
    };
    right && disks::arc_partition(volumes, volume) == Some(arc.partition)
}
