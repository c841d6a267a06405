//! Where Linux' MD puts chunks: rows with parity (levels 4 to 6) and copies (level 10). MD arrays and the device-mapper's
//! `raid` target, which LVM uses, share it (`drivers/md/raid5.c` and `raid10.c`).

/// How data go on in a row with parity.
#[derive(Clone, Copy)]
enum Order {
    /// from the first member on, the parity left out
    Straight,
    /// behind the parity, round the end
    Round,
}

/// Where the parity is in a row of chunks (raid5_compute_sector).
pub struct Row {
    /// Members that the parity rotates through.
    turn: u64,
    /// The first chunk of parity, and how many there are in the turn.
    parity: u64,
    parities: u64,
    order: Order,
}

impl Row {
    /// The row of that number in an array of `disks` members; none if the level has no such layout or wants more members.
    pub fn of(level: i32, layout: u32, disks: u64, number: u64) -> Option<Self> {
        if disks < Self::least(level) {
            return None;
        }
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

    /// Members that an array of the level has at least.
    pub fn least(level: i32) -> u64 {
        if level == 6 { 4 } else { 2 }
    }

    /// Chunks of data in it.
    pub fn data(&self) -> u64 {
        self.turn - self.parities
    }

    /// The member with the data of that number.
    pub fn member(&self, data: u64) -> u64 {
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

/// How copies are placed (setup_geo).
pub struct Copies {
    /// members
    pub disks: u64,
    /// near copies of a chunk
    pub near: u64,
    /// far copies of each of them
    pub far: u64,
    /// far copies follow each row instead of filling the second part of each member
    offset: bool,
    /// members among which far copies are moved on
    set: u64,
    /// chunks between far copies
    stride: u64,
    /// chunks of the array
    pub chunks: u64,
}

impl Copies {
    /// Copies by MD's number of the layout in an array of `disks` members with `depth` chunks each; none where that makes no sense.
    pub fn of(layout: u32, disks: u64, depth: u64) -> Option<Self> {
        let (near, far) = (u64::from(layout & 0xff), u64::from(layout >> 8 & 0xff));
        let set = match layout >> 17 {
            0 => disks,
            1 => disks.checked_div(far).unwrap_or_default(),
            2 => near * far,
            _ => 0,
        };
        if near == 0 || far == 0 || near * far > disks || set == 0 || set > disks {
            return None;
        }
        let chunks = (depth / far).checked_mul(disks)? / near;
        let used = chunks.checked_mul(near * far)?.div_ceil(disks);
        let offset = layout >> 16 & 1 != 0;
        let stride = if offset { 1 } else { used / far };
        Some(Self { disks, near, far, offset, set, stride, chunks })
    }

    /// Member and chunk there of each copy of a chunk, in the order in which Linux counts them.
    pub fn places(&self, chunk: u64) -> impl Iterator<Item = (u64, u64)> {
        let nth = chunk * self.near;
        (0..self.near).flat_map(move |copy| {
            let (row, disk) = ((nth + copy) / self.disks, (nth + copy) % self.disks);
            // A near copy that begins a new row follows the first one's, which the far copies of a row are not between.
            let first = nth / self.disks;
            let row = if self.offset { first * self.far + (row - first) } else { row };
            let mut place = disk;
            (0..self.far).map(move |far| {
                if far > 0 {
                    place = self.moved(place);
                }
                (place, row + far * self.stride)
            })
        })
    }

    /// The member of the next far copy; the last set also has the members that make no whole set.
    fn moved(&self, disk: u64) -> u64 {
        let last = (self.disks / self.set - 1) * self.set;
        let next = disk + self.near;
        if !self.disks.is_multiple_of(self.set) && next > last {
            // Linux compares after it has moved on (__raid10_find_phys).
            return (next - last) % (self.set + self.disks % self.set) + last;
        }
        next % self.set + disk / self.set * self.set
    }
}
