//! Levels 4, 5 and 6: rows of chunks, one or two of which are parity (`raid5.c`, raid5_compute_sector).

use crate::array::{Array, Refusal};
use crate::map::{Mapped, chunk, power_of_two};

/// How data go on in a row with parity.
#[derive(Clone, Copy)]
enum Order {
    /// from the first member on, the parity left out
    Straight,
    /// behind the parity, round the end
    Round,
}

/// Where the parity is in a row.
struct Row {
    /// Members that the parity rotates through.
    turn: u64,
    /// The first chunk of parity, and how many there are in the turn.
    parity: u64,
    parities: u64,
    order: Order,
}

impl Row {
    /// The row of that number; none if the layout is unknown.
    fn of(level: i32, layout: u32, disks: u64, number: u64) -> Option<Self> {
        // Level 6 whose second parity stays on the last member is level 5 on the others.
        let (layout, turn, parities) = match (level, layout) {
            (4, _) => (5, disks, 1),
            (5, 0..=5) => (layout, disks, 1),
            (6, 0..=5 | 8..=10) => (layout, disks, 2),
            (6, 16..=20) => (layout - 16, disks - 1, 1),
            _ => return None,
        };
        let left = turn - 1 - number % turn;
        let right = number % turn;
        let (parity, order) = match layout {
            0 => (left, Order::Straight),
            1 | 8 => (right, Order::Straight),
            2 => (left, Order::Round),
            3 => (right, Order::Round),
            4 => (0, Order::Straight),
            5 => (turn - parities, Order::Straight),
            9 => (turn - 1 - (number + 1) % turn, Order::Straight),
            // Here the second parity is before the first one.
            _ => ((left + turn - 1) % turn, Order::Round),
        };
        Some(Self { turn, parity, parities, order })
    }

    /// Chunks of data in it.
    fn data(&self) -> u64 {
        self.turn - self.parities
    }

    /// The member with the data of that number.
    fn member(&self, data: u64) -> u64 {
        let first = (self.parity + self.parities) % self.turn;
        match self.order {
            Order::Round => (first + data) % self.turn,
            // Parity round the end leaves the first member to the second parity.
            Order::Straight if first < self.parity => data + first,
            Order::Straight if data < self.parity => data,
            Order::Straight => data + self.parities,
        }
    }
}

/// The data of every row.
pub fn rows(array: &Array, mapped: &mut Mapped) -> Result<(), Refusal> {
    let chunk = power_of_two(chunk(array)?)?;
    let superblock = &array.superblock;
    let (level, disks) = (superblock.level, u64::from(superblock.disks));
    let layout = superblock.layout.unwrap_or_default();
    let least = if level == 6 { 4 } else { 2 };
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
