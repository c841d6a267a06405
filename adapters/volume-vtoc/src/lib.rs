//! Solaris' own disk labels (SMI, "VTOC"): up to 8 slices of a SPARC disk, up to 16 of a partition on x86. Solaris' EFI labels
//! are GPTs, which `volume-partitions` reads.
//!
//! Sources: illumos' `sys/dklabel.h` and `sys/vtoc.h`; Linux' `block/partitions/{sun,msdos}.h`. Checked against sfdisk, which
//! makes SPARC labels, and partx, which reads both.

mod label;
mod slices;

use label::Label;
use wherry_sdk::volume::Layout;
use wherry_sdk::{Blob, Result, Severity, VolumeMap, concern};

/// Both kinds of label.
pub struct Vtoc;

impl VolumeMap for Vtoc {
    fn scan(devices: &[Box<dyn Blob>]) -> Result<Layout> {
        let mut layout = Layout { parts: Vec::new(), concerns: Vec::new() };
        let mut known: Vec<(Label, u64)> = Vec::new();
        for (index, device) in devices.iter().enumerate() {
            match label::read(device.as_ref()) {
                Ok(Some(label)) if known.iter().any(|other| slices::shows(other, &label, device.size())) => {}
                Ok(Some(label)) => {
                    slices::describe(index as u32, device.size(), &label, &mut layout);
                    known.push((label, device.size()));
                }
                Ok(None) => {}
                Err(e) => {
                    let message = format!("the Solaris label of device {index} is not used: {}", e.message);
                    let remedy = "look at it on the source with prtvtoc; format can take the backup label";
                    layout.concerns.push(concern(Severity::Warning, "vtoc.bad-label", message, Some(remedy)));
                }
            }
        }
        Ok(layout)
    }
}

wherry_sdk::register_volume_map!(Vtoc, "../adapter.toml");
