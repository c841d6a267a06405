//! What the volumes themselves say: a system that sleeps in its swap area, and content that nobody can see.

use crate::work::Work;
use wherry_sdk::find;

/// Adds what a person has to know of them.
pub fn concerns(work: &mut Work<'_>) {
    for volume in work.guest.volumes() {
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
            let by = told("fs.luks.tokens")
                .map(|tokens| format!(" (it is opened by {tokens})"))
                .unwrap_or_default();
            work.warn(
                "linux.encrypted",
                format!("{} is encrypted with LUKS{by}: nothing in it can be seen or changed", volume.id),
                "keep a passphrase at hand: what only the old machine's TPM opens, the new one does not open",
            );
        }
    }
}
