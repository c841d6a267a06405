//! Levels 4, 5 and 6: rows of chunks, one or two of which are parity.

use crate::array::{Array, Refusal};
use crate::map::{Mapped, chunk, power_of_two};
use wherry_sdk::raid::Row;

/// The data of every row.
pub fn rows(array: &Array, mapped: &mut Mapped) -> Result<(), Refusal> {
    let chunk = power_of_two(chunk(array)?)?;
    let superblock = &array.superblock;
    let (level, disks) = (superblock.level, u64::from(superblock.disks));
    let layout = superblock.layout.unwrap_or_default();
    let least = Row::least(level);
    if disks < least {
        return Err(Refusal::bad(format!("level {level} has at least {least} members, not {disks}")));
    }
    let rows = superblock.size / chunk;
    mapped.expect(rows.saturating_mul(disks - least / 2))?;
    for number in 0..rows {
        let row = Row::of(level, layout, disks, number);
        let row =
            row.ok_or_else(|| Refusal("md.unknown-layout", format!("its layout {layout} is unknown")))?;
        for data in 0..row.data() {
            let member = row.member(data);
            mapped.push(array.seat(member as u32)?, number * chunk, chunk)?;
        }
    }
    Ok(())
}
