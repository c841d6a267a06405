//! B-trees of the device-mapper's persistent data (`drivers/md/persistent-data/dm-btree-internal.h`): blocks of 4 KiB with a
//! header of 32 bytes, room for so many keys of 8 bytes, and as many values.

use crate::reader;
use wherry_sdk::bytes::{field, u32_at, u64_at};
use wherry_sdk::checksum::crc32c;
use wherry_sdk::volume::Segment;
use wherry_sdk::{Blob, Error, ErrorKind, Result};

/// Bytes of a block.
pub const BLOCK: u64 = 4096;
const HEADER: usize = 32;
const NODE_SALT: u32 = 121_107;
const INTERNAL: u32 = 1;
const LEAF: u32 = 2;
/// 2^64 keys at 126 a node need ten.
const DEPTH_MOST: usize = 10;
/// Nodes of one tree: 4 TiB in blocks of 64 KiB.
const NODES_MOST: usize = 1 << 18;

/// The checksum of a block, which does not cover its own place (dm_bm_checksum).
pub fn checksum(block: &[u8], salt: u32) -> u32 {
    crc32c(!0, block.get(4..).unwrap_or_default()) ^ salt
}

/// Where trees are.
pub struct Tree<'a> {
    pub devices: &'a [Box<dyn Blob>],
    /// The pool's metadata.
    pub volume: &'a [Segment],
}

/// One block of a tree.
struct Node {
    bytes: Vec<u8>,
    is_leaf: bool,
    count: usize,
    most: usize,
    value: usize,
}

impl Node {
    fn key(&self, index: usize) -> u64 {
        u64_at(&self.bytes, HEADER + index * 8)
    }

    fn value(&self, index: usize) -> &[u8] {
        field(&self.bytes, HEADER + self.most * 8 + index * self.value, self.value)
    }

    /// The block under a key.
    fn child(&self, index: usize) -> u64 {
        u64_at(self.value(index), 0)
    }
}

impl Tree<'_> {
    /// A node whose leaves have values of that size.
    fn node(&self, number: u64, value: usize) -> Result<Node> {
        let offset = number.saturating_mul(BLOCK);
        let bad = |message: &str| Error::corrupt(offset, format!("block {number}: {message}"));
        let bytes = reader::read(self.devices, self.volume, offset, BLOCK)?;
        if checksum(&bytes, NODE_SALT) != u32_at(&bytes, 0) || u64_at(&bytes, 8) != number {
            return Err(bad("its checksum or its number is wrong"));
        }
        let is_leaf = match u32_at(&bytes, 4) & (INTERNAL | LEAF) {
            INTERNAL => false,
            LEAF => true,
            _ => return Err(bad("it is neither a leaf nor a node")),
        };
        let value = if is_leaf { value } else { 8 };
        let (count, most) = (u32_at(&bytes, 16) as usize, u32_at(&bytes, 20) as usize);
        let room = (BLOCK as usize - HEADER) / (8 + value);
        if count > most || most > room || u32_at(&bytes, 24) as usize != value {
            return Err(bad(&format!("{count} of {most} values do not fit")));
        }
        Ok(Node { bytes, is_leaf, count, most, value })
    }

    /// The value of a key, of `size` bytes.
    pub fn find(&self, root: u64, key: u64, size: usize) -> Result<Option<Vec<u8>>> {
        let mut number = root;
        for _ in 0..DEPTH_MOST {
            let node = self.node(number, size)?;
            let Some(index) = (0..node.count).rev().find(|index| node.key(*index) <= key) else {
                return Ok(None);
            };
            if node.is_leaf {
                return Ok((node.key(index) == key).then(|| node.value(index).to_vec()));
            }
            number = node.child(index);
        }
        Err(Error::corrupt(0, "a tree is too deep"))
    }

    /// Calls `take` with every key, in order, and its value of 8 bytes, until it says false.
    pub fn each(&self, root: u64, mut take: impl FnMut(u64, u64) -> bool) -> Result<()> {
        let mut path = vec![(self.node(root, 8)?, 0)];
        let (mut next, mut visited) = (0u64, 1);
        while let Some((node, index)) = path.last_mut() {
            if *index >= node.count {
                path.pop();
                continue;
            }
            let (key, value) = (node.key(*index), node.child(*index));
            *index += 1;
            if !node.is_leaf {
                visited += 1;
                if path.len() >= DEPTH_MOST || visited > NODES_MOST {
                    return Err(Error::new(ErrorKind::Limit, "a tree has too many nodes"));
                }
                path.push((self.node(value, 8)?, 0));
                continue;
            }
            if key < next {
                return Err(Error::corrupt(0, format!("key {key} of a tree is out of order")));
            }
            if !take(key, value) {
                return Ok(());
            }
            next = key.saturating_add(1);
        }
        Ok(())
    }
}
