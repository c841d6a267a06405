//! What the volumes themselves say: a system that sleeps in its swap area, and content that nobody can see.

use crate::work::Work;
use wherry_sdk::{Volume, find};

/// Adds what a person has to know of them.
pub fn concerns(work: &mut Work<'_>) {
    let volumes = work.guest.volumes();
    for volume in &volumes {
        let told = |key| find(&volume.facts, key);
        if let Some(sign) = told("fs.swap.hibernated") {
            work.block(
                "linux.hibernated",
                format!(
                    "a system is hibernated in {} ({sign}): it would go on with files as they were",
                    volume.id
                ),
                "start the source once more and shut it down before the last copy",
            );
        }
        if told("fs.kind") == Some("crypto_LUKS") {
            let opened = |other: &Volume| {
                find(&other.facts, "luks.uuid").is_some_and(|uuid| told("fs.uuid") == Some(uuid))
            };
            let hidden = !volumes.iter().any(opened);
            let tokens = told("fs.luks.tokens");
            let mut message = format!("{} is encrypted with LUKS", volume.id);
            message += &tokens.map(|tokens| format!(" (it is opened by {tokens})")).unwrap_or_default();
            message += if hidden { ": nothing in it can be seen or changed" } else { "" };
            if hidden || tokens.is_some() {
                let remedy = "keep a passphrase at hand: what only the old machine's TPM opens, the new one does not open";
                work.warn("linux.encrypted", message, remedy);
            }
        }
    }
}
