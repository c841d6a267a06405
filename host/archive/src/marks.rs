//! Two lists that every writer looks at: packs that a prune has removed or is removing, and chunks that a repair has given up.
//! Each prune and each repair writes an object of its own, before it removes anything.

use crate::archive::Archive;
use crate::pack::{hex, name_of};
use crate::seal::{open_text, seal_text};
use crate::snapshot::new_id;
use crate::{Error, ErrorKind, Result};
use std::collections::BTreeSet;
use std::time::SystemTime;

const MAGIC: &[u8; 8] = b"WHERRYMK";
/// Packs.
pub(crate) const GONE: &str = "gone/";
/// Chunks.
pub(crate) const LOST: &str = "lost/";

/// Names of 32 bytes.
pub(crate) type Names = BTreeSet<[u8; 32]>;

/// Writes a list; its key.
pub(crate) fn write(archive: &Archive, folder: &str, names: &Names) -> Result<String> {
    let text: String = names.iter().map(|name| hex(name) + "\n").collect();
    let key = format!("{folder}{}", new_id()?);
    archive.store.put_new(&key, &seal_text(&archive.keys, MAGIC, text.as_bytes())?)?;
    Ok(key)
}

/// Everything in the lists of a folder.
pub(crate) fn read(archive: &Archive, folder: &str) -> Result<Names> {
    let mut keys = Vec::new();
    archive.store.list(folder, &mut |object| keys.push(object.key))?;
    let mut names = Names::new();
    for key in keys {
        let bytes = match archive.store.get(&key) {
            Err(e) if e.kind == ErrorKind::Missing => continue,
            bytes => bytes?,
        };
        let named = |e: Error| Error::new(e.kind, format!("{key}: {}", e.context));
        let text = open_text(&archive.keys, MAGIC, &bytes).map_err(named)?;
        names.extend(String::from_utf8_lossy(&text).lines().filter_map(name_of));
    }
    Ok(names)
}

/// Removes lists that no running capture can need any more.
pub(crate) fn sweep(archive: &Archive, folder: &str, before: SystemTime) -> Result<()> {
    let mut old = Vec::new();
    archive.store.list(folder, &mut |object| old.extend((object.modified < before).then_some(object.key)))?;
    old.iter().try_for_each(|key| archive.store.delete(key))
}
