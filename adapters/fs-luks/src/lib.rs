//! Volumes that LUKS encrypted: named, with what their headers say in the clear, and not mounted.

mod first;
mod header;
mod second;

use wherry_sdk::filesystem::Identity;
use wherry_sdk::{Blob, Encrypted, Locked, Result, others};

/// A volume that LUKS encrypted.
pub struct Luks;

/// The adapter.
pub type Driver = Locked<Luks>;

impl Encrypted for Luks {
    fn probe(device: &dyn Blob) -> Result<Option<Identity>> {
        let identity = |found: header::Found| Identity {
            kind: "crypto_LUKS".into(),
            uuid: Some(found.uuid).filter(|uuid| !uuid.is_empty()),
            label: Some(found.label).filter(|label| !label.is_empty()),
            block: found.sector,
            size: device.size(),
            clean: found.clean,
            facts: found.facts,
        };
        let found = header::read(device)?;
        Ok(if found.is_some() && others::are_here(device)? { None } else { found.map(identity) })
    }

    fn refusal(identity: &Identity) -> String {
        let state = if identity.clean { "" } else { " (which is being changed, or its header is damaged)" };
        format!(
            "it is encrypted with LUKS{state}: decrypt it on the source, or open it there with cryptsetup and take the opened device; \
             to unlock it on the source is not enough, its bytes stay encrypted"
        )
    }
}

wherry_sdk::register_filesystem_driver!(Driver, "../adapter.toml");
