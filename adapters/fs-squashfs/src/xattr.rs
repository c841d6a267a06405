//! Extended attributes (Linux: `fs/squashfs/xattr.c`, `xattr_id.c`).

use crate::Squash;
use crate::bytes::{text, u16_at, u32_at, u64_at};
use crate::metadata::Cursor;
use wherry_sdk::{Error, Result};

/// Bytes of an entry in the table of sets.
const SET: usize = 16;
/// The value is elsewhere.
const ELSEWHERE: u16 = 0x100;
/// Bytes of a value, as for Linux.
const VALUE_MOST: u32 = 65536;
/// Attributes of one inode, and bytes of their values.
const COUNT_MOST: u32 = 4096;
const BYTES_MOST: usize = 1 << 20;

impl Squash {
    /// Names and values of the set of this number; those of kinds that Linux does not know are left out, as it does.
    pub fn attributes(&mut self, number: u32) -> Result<Vec<(String, Vec<u8>)>> {
        let Some(table) = self.superblock.attributes_at else { return Ok(Vec::new()) };
        let bad = |what: &str| Error::corrupt(table, format!("extended attributes, set {number}: {what}"));
        let head = self.device_bytes(table, 16)?;
        let (values, sets) = (u64_at(&head, 0), u32_at(&head, 8));
        if number >= sets {
            return Err(bad("there is none"));
        }
        let set = self.entry(table.saturating_add(16), number.into(), SET)?;
        let count = u32_at(&set, 8);
        if count > COUNT_MOST {
            return Err(bad("it has too many"));
        }
        let end = self.superblock.size;
        let mut cursor = Cursor::follow(values, u64_at(&set, 0), end);
        let (mut found, mut total) = (Vec::new(), 0);
        for _ in 0..count {
            let entry = self.take(&mut cursor, 4)?;
            let (kind, length) = (u16_at(&entry, 0), u16_at(&entry, 2));
            let name = text(&self.take(&mut cursor, length.into())?);
            let mut value = self.value(&mut cursor)?;
            if kind & ELSEWHERE != 0 {
                let mut there = Cursor::follow(values, u64_at(&value, 0), end);
                value = self.value(&mut there)?;
            }
            total += value.len() + name.len();
            if total > BYTES_MOST {
                return Err(bad("it is too long"));
            }
            let prefix = match kind & 0xff {
                0 => "user.",
                1 => "trusted.",
                2 => "security.",
                _ => continue,
            };
            found.push((format!("{prefix}{name}"), value));
        }
        Ok(found)
    }

    fn value(&mut self, cursor: &mut Cursor) -> Result<Vec<u8>> {
        let length = u32_at(&self.take(cursor, 4)?, 0);
        if length > VALUE_MOST {
            let at = self.superblock.attributes_at.unwrap_or(0);
            return Err(Error::corrupt(at, format!("an extended attribute has {length} bytes")));
        }
        self.take(cursor, length as usize)
    }
}
