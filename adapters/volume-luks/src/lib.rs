//! LUKS: what is encrypted with which cipher, and how a passphrase becomes its key. The adapter never sees a key: it describes,
//! and the host derives, opens and decrypts.
//!
//! Sources: the LUKS On-Disk Format Specifications 1.2.3 and LUKS2 (cryptsetup's `docs/`), cryptsetup's `lib/luks1/luks.h` and
//! `lib/luks2/luks2.h`. Checked against what cryptsetup 2.7 and Linux 6.12 made and filled.

mod first;
mod sealed;
mod second;

use sealed::Sealed;
use wherry_sdk::volume::{Layout, Part, Segment};
use wherry_sdk::{Blob, Result, Severity, VolumeMap, concern, fact};

/// Linux Unified Key Setup.
pub struct Luks;

/// As many as the host keeps devices.
const PARTS_MOST: usize = 4096;

impl VolumeMap for Luks {
    fn scan(devices: &[Box<dyn Blob>]) -> Result<Layout> {
        let mut layout = Layout { parts: Vec::new(), concerns: Vec::new() };
        for (device, index) in devices.iter().zip(0..) {
            let found = match first::read(device.as_ref()) {
                Ok(None) => second::read(device.as_ref()),
                other => other,
            };
            match found {
                Ok(None) => {}
                Ok(Some(sealed)) => describe(&sealed, index, &mut layout),
                Err(e) => {
                    let message = format!("the LUKS header of device {index} cannot be used: {}", e.message);
                    let remedy =
                        "look at it on the source with cryptsetup luksDump; the disk is still copied whole";
                    layout.concerns.push(concern(Severity::Warning, "luks.unusable", message, Some(remedy)));
                }
            }
        }
        Ok(layout)
    }
}

fn describe(sealed: &Sealed, device: u32, layout: &mut Layout) {
    let id = format!("luks:{}", sealed.uuid);
    if layout.parts.len() >= PARTS_MOST || layout.parts.iter().any(|part| part.id == id) {
        let message = format!(
            "device {device} has the same uuid as another one, or is one too many: {id} is there already"
        );
        let remedy = "leave one of the copies away, or give it another uuid with cryptsetup luksUUID";
        return layout.concerns.push(concern(Severity::Warning, "luks.same-uuid", message, Some(remedy)));
    }
    let mut facts = vec![
        fact("luks.uuid", &sealed.uuid),
        fact("luks.version", sealed.version),
        fact("cipher", &sealed.cipher),
    ];
    if !sealed.label.is_empty() {
        facts.push(fact("luks.label", &sealed.label));
    }
    facts.extend(sealed.slots.iter().map(|slot| fact("cipher.slot", slot)));
    facts.extend(sealed.digests.iter().map(|digest| fact("cipher.digest", digest)));
    let segment = Segment { logical: 0, length: sealed.length, device, offset: sealed.offset };
    layout.parts.push(Part { id, kind: "encrypted".into(), segments: vec![segment], facts });
}

wherry_sdk::register_volume_map!(Luks, "../adapter.toml");
