//! Labels: which pool a device belongs to, and what as.

use crate::nvlist::{List, Value};
use crate::seal::is_sealed;
use crate::vdev::Vdev;
use wherry_sdk::volume::Segment;
use wherry_sdk::{Blob, Error, Result};

/// Bytes of a label.
pub const AREA: u64 = 256 << 10;
/// Bytes before the first one that is allocated: two labels and room for a boot loader.
pub const FRONT: u64 = 4 << 20;
/// Bytes of the labels at the end.
pub const END: u64 = 2 * AREA;
/// Where in a label the list begins, and its bytes with the checksum (vdev_phys_t).
pub const NVLIST: u64 = 16 << 10;
/// See [`NVLIST`].
pub const NVLIST_LENGTH: usize = 112 << 10;
/// States of a pool.
pub const STATE_EXPORTED: u64 = 1;
/// See [`STATE_EXPORTED`].
pub const STATE_DESTROYED: u64 = 2;
/// States of devices that are in a pool and hold nothing of it: spares, caches.
const STATE_SPARE: u64 = 3;
/// What an area of allocatable bytes is at most: 2^56.
const SIZE_MOST: u64 = 1 << 56;

/// Where the four labels of a device of `size` bytes are; none where it is too small for any data.
pub fn places(size: u64) -> Option<[u64; 4]> {
    let end = size - size % AREA;
    (end >= FRONT + END).then(|| [0, AREA, end - 2 * AREA, end - AREA])
}

/// What a label says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Version of the pool; 5000 with features.
    pub version: u64,
    /// The pool's name.
    pub name: String,
    /// 0 active, 1 exported, 2 destroyed.
    pub state: u64,
    /// When it was written.
    pub txg: u64,
    /// The pool's number.
    pub pool: u64,
    /// The number of the device.
    pub guid: u64,
    /// The number of the top-level vdev.
    pub top: u64,
    /// How many top-level vdevs the pool has; old pools do not tell.
    pub tops: Option<u64>,
    /// Ids of top-level vdevs that are no more.
    pub holes: Vec<u64>,
    /// The machine that used it last.
    pub hostname: Option<String>,
    /// Features that a reader has to know.
    pub features: Vec<String>,
    /// The top-level vdev.
    pub tree: Vdev,
}

impl Label {
    /// The label of the device that begins at `start`: the first, or the second where that is damaged. None if there is
    /// none, or it says that nothing of a pool is here: a spare, a cache, a device that was not yet added.
    pub fn read(device: &dyn Blob, start: u64) -> Result<Option<Self>> {
        for within in [0, AREA] {
            let at = start.saturating_add(within);
            let behind = at.checked_add(AREA).filter(|end| *end <= device.size());
            if behind.is_none() {
                return Ok(None);
            }
            let block = device.read(at + NVLIST, NVLIST_LENGTH as u32)?;
            if is_sealed(&block, [within + NVLIST, 0, 0, 0]).is_some() {
                let list = List::parse(&block).map_err(|e| Error { at: Some(at + NVLIST), ..e })?;
                return Ok(Self::from_list(&list));
            }
        }
        Ok(None)
    }

    fn from_list(list: &List) -> Option<Self> {
        let state = list.number("state")?;
        let features = match list.get("features_for_read") {
            Some(Value::List(features)) => features.0.iter().map(|(name, _)| name.clone()).collect(),
            _ => Vec::new(),
        };
        let label = Self {
            version: list.number("version")?,
            name: list.text("name")?.to_owned(),
            state,
            txg: list.number("txg")?,
            pool: list.number("pool_guid")?,
            guid: list.number("guid")?,
            top: list.number("top_guid")?,
            tops: list.number("vdev_children"),
            holes: list.numbers("hole_array").to_vec(),
            hostname: list.text("hostname").map(str::to_owned),
            features,
            tree: Vdev::parse(list.list("vdev_tree")?),
        };
        (state < STATE_SPARE && label.txg != 0 && label.tree.asize < SIZE_MOST).then_some(label)
    }

    /// This device's place among the leaves of its top-level vdev.
    pub fn place(&self) -> Option<usize> {
        self.tree.leaves().iter().position(|leaf| leaf.guid == self.guid)
    }

    /// Bytes that each device of this top-level vdev takes where a pool's devices are joined: what is before the data, the
    /// data, and the last two labels. What is between data and labels belongs to nobody.
    pub fn member_length(&self) -> u64 {
        FRONT + self.tree.leaf_size() + END
    }

    /// The pieces of a device of `size` bytes that make it a member, from `logical` on; none where it is too small.
    pub fn pieces(&self, device: u32, size: u64, logical: u64) -> Option<[Segment; 2]> {
        let [.., end, _] = places(size)?;
        let length = FRONT + self.tree.leaf_size();
        let labels = Segment { logical: logical.checked_add(length)?, length: END, device, offset: end };
        (length <= end).then_some([Segment { logical, length, device, offset: 0 }, labels])
    }
}
