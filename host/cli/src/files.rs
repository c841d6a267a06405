//! `wherry ls` and `wherry cp`.

use crate::Format;
use crate::words::{bytes, put, say};
use anyhow::Result;
use migrate::{Entry, Files};
use runtime::Adapters;
use std::path::Path;

/// What is in a directory of a guest.
pub fn list(
    (disks, keys): (&[String], &[String]),
    path: &str,
    volume: Option<&str>,
    adapters: &Adapters,
    format: Format,
) -> Result<()> {
    let entries = Files::open(disks, keys, volume, adapters)?.list(path)?;
    match format {
        Format::Json => put(&serde_json::to_string_pretty(&entries)?),
        Format::Text => entries.iter().for_each(show),
    }
    Ok(())
}

/// As `ls -l` writes it.
fn show(entry: &Entry) {
    let letter = match entry.kind.as_str() {
        "directory" => 'd',
        "symlink" => 'l',
        "file" => '-',
        _ => '?',
    };
    let bits: String = (0..9)
        .rev()
        .map(|bit| if entry.mode >> bit & 1 == 1 { ['x', 'w', 'r'][bit % 3] } else { '-' })
        .collect();
    let (user, group) = entry.owner;
    let target = entry.target.as_ref().map(|target| format!(" -> {target}")).unwrap_or_default();
    say!(
        "{letter}{bits} {user:>5} {group:>5} {:>12} {:>12} {}{target}",
        entry.size,
        entry.modified,
        entry.name
    );
}

/// Copies a file or a directory out of a guest.
pub fn copy(
    (disks, keys): (&[String], &[String]),
    (path, to): (&str, &Path),
    volume: Option<&str>,
    adapters: &Adapters,
    format: Format,
) -> Result<()> {
    let written = Files::open(disks, keys, volume, adapters)?.copy(path, to)?;
    match format {
        Format::Json => put(&serde_json::json!({ "path": path, "to": to, "bytes": written }).to_string()),
        Format::Text => say!("{path} to {} ({})", to.display(), bytes(written)),
    }
    Ok(())
}
