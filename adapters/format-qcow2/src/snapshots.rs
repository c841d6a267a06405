//! Names of internal snapshots (docs/interop/qcow2, "Snapshots").

use crate::header::Table;
use wherry_sdk::bytes::big;
use wherry_sdk::{Blob, Error, Result};

/// QEMU: `QCOW_MAX_SNAPSHOTS`.
const SNAPSHOTS_MOST: u64 = 65_536;
/// More are counted, but not named.
const NAMES_MOST: u64 = 100;
const FIXED: u64 = 40;
/// QEMU: `QCOW_MAX_SNAPSHOT_EXTRA_DATA`.
const EXTRA_MOST: u64 = 1024;

/// The names of the first hundred snapshots.
pub(crate) fn names(image: &dyn Blob, table: Table) -> Result<Vec<String>> {
    if table.entries > SNAPSHOTS_MOST {
        return Err(Error::corrupt(60, format!("{} snapshots: QEMU allows {SNAPSHOTS_MOST}", table.entries)));
    }
    let mut names = Vec::new();
    let mut at = table.offset;
    for _ in 0..table.entries.min(NAMES_MOST) {
        let entry = read(image, at, FIXED)?;
        let (id, name, extra) = (big(&entry, 12, 2), big(&entry, 14, 2), big(&entry, 36, 4));
        if extra > EXTRA_MOST {
            return Err(Error::corrupt(at, format!("a snapshot with {extra} bytes of extra data")));
        }
        let name_at = at.saturating_add(FIXED + extra + id);
        names.push(String::from_utf8_lossy(&read(image, name_at, name)?).into_owned());
        at = at.saturating_add((FIXED + extra + id + name).next_multiple_of(8));
    }
    Ok(names)
}

fn read(image: &dyn Blob, at: u64, length: u64) -> Result<Vec<u8>> {
    if at.checked_add(length).is_none_or(|end| end > image.size()) {
        return Err(Error::corrupt(at, "the snapshot table leaves the file"));
    }
    image.read(at, length as u32)
}
