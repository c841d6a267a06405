//! Changes to indexes: entries go in and out, nodes are split and joined, all leaves stay at one depth.

use crate::attribute::{ALLOCATION, Attribute, BITMAP, ROOT, Stored, Value};
use crate::bytes::{align, put, put_u16, put_u32, put_u64};
use crate::file::File;
use crate::fixup;
use crate::index::{BLOCK_HEADER, Entry, LAST, LEVELS_MOST, ROOT_HEADER, SUB, Shape, entries};
use crate::volume::Volume;
use core::cmp::Ordering;
use wherry_sdk::bits::find;
use wherry_sdk::{Error, ErrorKind, Result};

/// Bytes of a node's header.
const HEADER: usize = 16;
/// Where the update sequence of a block is.
const SEQUENCE: usize = 0x28;

/// An entry with a key.
#[derive(Clone, Debug)]
struct Item {
    /// without the number of the node below
    body: Vec<u8>,
    child: Option<u64>,
}

impl Item {
    fn key(&self) -> &[u8] {
        Entry::new(&self.body).key_of_body()
    }

    fn length(&self) -> usize {
        self.body.len() + if self.child.is_some() { 8 } else { 0 }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.body.clone();
        put_u16(&mut bytes, 8, self.length() as u16);
        put_u16(&mut bytes, 12, if self.child.is_some() { SUB } else { 0 });
        bytes.extend(self.child.iter().flat_map(|child| child.to_le_bytes()));
        bytes
    }
}

/// A node; the root has no number.
#[derive(Clone, Debug)]
struct Node {
    number: Option<u64>,
    items: Vec<Item>,
    /// the node below the end mark
    last: Option<u64>,
}

/// A node on the way down, and the place in it where the way goes on.
struct Step {
    node: Node,
    at: usize,
}

/// The index that is being changed.
struct Index<'i> {
    file: &'i mut File,
    name: &'i [u16],
    shape: Shape,
}

fn corrupt(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("{what}: run chkdsk"))
}

impl Node {
    fn parse(number: Option<u64>, bytes: &[u8], header: usize) -> Result<Self> {
        let mut node = Self { number, items: Vec::new(), last: None };
        for entry in entries(bytes, header)? {
            if entry.is_last() {
                node.last = entry.child();
            } else {
                node.items.push(Item { body: entry.body().to_vec(), child: entry.child() });
            }
        }
        Ok(node)
    }

    /// Bytes of the entries, the end mark included.
    fn length(&self) -> usize {
        let end = if self.last.is_some() { 24 } else { 16 };
        end + self.items.iter().map(Item::length).sum::<usize>()
    }

    fn child(&self, at: usize) -> Option<u64> {
        self.items.get(at).map_or(self.last, |item| item.child)
    }

    /// The header, then the entries from `first` bytes behind its beginning on; `room` bytes are there.
    fn bytes(&self, first: usize, room: usize) -> Vec<u8> {
        let mut bytes = vec![0; first];
        put_u32(&mut bytes, 0, first as u32);
        for item in &self.items {
            bytes.extend(item.bytes());
        }
        let end = Item { body: vec![0; 16], child: self.last };
        let mut end = end.bytes();
        put_u16(&mut end, 12, LAST | if self.last.is_some() { SUB } else { 0 });
        bytes.extend(end);
        let length = bytes.len();
        put_u32(&mut bytes, 4, length as u32);
        put_u32(&mut bytes, 8, room.max(length) as u32);
        put(&mut bytes, 12, &[u8::from(self.last.is_some())]);
        bytes
    }
}

/// An entry of the index of names or of another one; `data` is what stands in front: a reference, or nothing.
pub fn entry(front: [u8; 8], key: &[u8]) -> Vec<u8> {
    let mut body = vec![0; align(16 + key.len())];
    let length = body.len() as u16;
    put(&mut body, 0, &front);
    put_u16(&mut body, 8, length);
    put_u16(&mut body, 10, key.len() as u16);
    put(&mut body, 16, key);
    body
}

/// The value of the root of an empty index of names, for blocks of `block` bytes.
pub fn empty_root(block: usize, cluster: u64) -> Vec<u8> {
    let unit = if cluster > block as u64 { 512 } else { cluster };
    let mut root = vec![0; ROOT_HEADER];
    put_u32(&mut root, 0, crate::attribute::FILE_NAME);
    put_u32(&mut root, 4, 1);
    put_u32(&mut root, 8, block as u32);
    put(&mut root, 12, &[(block as u64 / unit) as u8]);
    root.extend(Node { number: None, items: Vec::new(), last: None }.bytes(HEADER, 0));
    root
}

impl Volume<'_> {
    /// Puts an entry into an index; `exists` where the key is there. The file is not stored.
    pub fn index_insert(&mut self, file: &mut File, name: &[u16], body: Vec<u8>) -> Result<()> {
        let mut index = Index::new(self, file, name)?;
        let item = Item { body, child: None };
        let (mut path, found) = index.path(self, item.key())?;
        if found {
            return Err(Error::new(ErrorKind::Exists, "an index has such a key already"));
        }
        if let Some(leaf) = path.last_mut() {
            leaf.node.items.insert(leaf.at, item);
        }
        index.settle(self, path)
    }

    /// Whether an index has a key.
    pub fn index_has(&mut self, file: &mut File, name: &[u16], key: &[u8]) -> Result<bool> {
        let index = Index::new(self, file, name)?;
        Ok(index.path(self, key)?.1)
    }

    /// Takes an entry out of an index; false where there is none. The file is not stored.
    pub fn index_remove(&mut self, file: &mut File, name: &[u16], key: &[u8]) -> Result<bool> {
        let mut index = Index::new(self, file, name)?;
        let (path, found) = index.path(self, key)?;
        if found {
            index.remove(self, path)?;
        }
        Ok(found)
    }

    /// Replaces an entry by one of the same key and length; false where there is none. The file is not stored.
    pub fn index_update(&mut self, file: &mut File, name: &[u16], body: Vec<u8>) -> Result<bool> {
        let mut index = Index::new(self, file, name)?;
        let (mut path, found) = index.path(self, Entry::new(&body).key_of_body())?;
        let Some(step) = path.pop().filter(|_| found) else { return Ok(false) };
        let Step { mut node, at } = step;
        match node.items.get_mut(at).filter(|item| item.body.len() == body.len()) {
            Some(item) => item.body = body,
            None => return Err(corrupt("an index entry has another length than its key")),
        }
        index.write(self, &node)?;
        Ok(true)
    }
}

impl<'i> Index<'i> {
    fn new(volume: &Volume<'_>, file: &'i mut File, name: &'i [u16]) -> Result<Self> {
        let shape = volume.index_shape(file, name)?;
        Ok(Self { file, name, shape })
    }

    fn root(&self) -> Result<Node> {
        Node::parse(None, self.file.value(ROOT, self.name)?, ROOT_HEADER)
    }

    fn block(&self, volume: &mut Volume<'_>, number: u64) -> Result<Node> {
        let bytes = volume.index_block(self.file, self.name, self.shape, number)?;
        Node::parse(Some(number), &bytes, BLOCK_HEADER)
    }

    /// The way from the root to a key, or to the place in a leaf where it would be.
    fn path(&self, volume: &mut Volume<'_>, key: &[u8]) -> Result<(Vec<Step>, bool)> {
        let (mut path, mut node) = (Vec::new(), self.root()?);
        while path.len() < LEVELS_MOST {
            let order = |item: &Item| self.shape.collation.compare(&volume.upcase, item.key(), key);
            let at = node.items.partition_point(|item| order(item) == Ordering::Less);
            let found = node.items.get(at).is_some_and(|item| order(item) == Ordering::Equal);
            let child = node.child(at);
            path.push(Step { node, at });
            let Some(number) = child.filter(|_| !found) else { return Ok((path, found)) };
            node = self.block(volume, number)?;
        }
        Err(corrupt("an index is deeper than it can be"))
    }

    /// Bytes for the entries of a block.
    fn room(&self) -> usize {
        self.shape.block - BLOCK_HEADER - self.first()
    }

    /// Where the entries of a block begin, counted from its header.
    fn first(&self) -> usize {
        align(SEQUENCE + fixup::count(self.shape.block) * 2) - BLOCK_HEADER
    }

    fn fits(&self, volume: &Volume<'_>, node: &Node) -> bool {
        if node.number.is_some() {
            return node.length() <= self.room();
        }
        let is_root = |one: &&Attribute| one.kind == ROOT && one.name == self.name;
        let (root, others): (Vec<&Attribute>, Vec<&Attribute>) =
            self.file.attributes.iter().partition(is_root);
        let others = others.iter().map(|one| one.length()).sum::<usize>();
        let root =
            align(root.first().map_or(0, |root| root.overhead(0)) + ROOT_HEADER + HEADER + node.length());
        let room = volume.record_room();
        node.items.is_empty()
            || others + root <= room
            || (!self.file.extensions.is_empty() && root <= room / 2)
    }

    fn write(&mut self, volume: &mut Volume<'_>, node: &Node) -> Result<()> {
        let Some(number) = node.number else {
            let attribute = self.file.get_mut(ROOT, self.name);
            let attribute = attribute.ok_or_else(|| corrupt("an index has no root"))?;
            if let Value::Resident { bytes, .. } = &mut attribute.value {
                bytes.truncate(ROOT_HEADER);
                bytes.extend(node.bytes(HEADER, 0));
            }
            return Ok(());
        };
        let mut bytes = vec![0; BLOCK_HEADER];
        put(&mut bytes, 0, b"INDX");
        put_u16(&mut bytes, 4, SEQUENCE as u16);
        put_u16(&mut bytes, 6, fixup::count(self.shape.block) as u16);
        put_u64(&mut bytes, 0x10, number);
        bytes.extend(node.bytes(self.first(), self.shape.block - BLOCK_HEADER));
        if bytes.len() > self.shape.block {
            return Err(corrupt("an index block does not hold what it should"));
        }
        bytes.resize(self.shape.block, 0);
        // Each time another number, whatever was there before.
        put_u16(&mut bytes, SEQUENCE, volume.device.changes() as u16);
        fixup::protect(&mut bytes);
        let stored = self.file.get(ALLOCATION, self.name).and_then(|blocks| blocks.clusters()).cloned();
        let stored = stored.ok_or_else(|| corrupt("an index has no blocks"))?;
        volume.write_stored(&stored, number * self.shape.unit, &bytes)
    }

    /// Takes a block that is free, or a new one.
    fn take_block(&mut self, volume: &mut Volume<'_>) -> Result<u64> {
        if self.file.get(ALLOCATION, self.name).is_none() {
            self.file.add(Attribute::stored(ALLOCATION, self.name, Stored::default()));
        }
        if self.file.get(BITMAP, self.name).is_none() {
            self.file.add(Attribute::resident(BITMAP, self.name, vec![0; 8]));
        }
        let bits = volume.whole(self.file, BITMAP, self.name)?.unwrap_or_default();
        let index = find(&bits, 0, bits.len() as u64 * 8, false);
        volume.grow_bits(self.file, self.name, index + 1)?;
        volume.set_bits(self.file, self.name, index, true)?;
        let block = self.shape.block as u64;
        let blocks = self.file.get_mut(ALLOCATION, self.name);
        if let Some(Value::Stored(stored)) = blocks.map(|blocks| &mut blocks.value) {
            let end = (index + 1) * block;
            let missing = end.div_ceil(volume.boot.cluster).saturating_sub(stored.runs.end());
            volume.extend(stored, missing)?;
            stored.size = stored.size.max(end);
            stored.initialized = stored.size;
        }
        Ok(index * block / self.shape.unit)
    }

    fn release_block(&mut self, volume: &mut Volume<'_>, number: u64) -> Result<()> {
        let index = number * self.shape.unit / self.shape.block as u64;
        volume.set_bits(self.file, self.name, index, false)
    }

    /// Writes the last node of the way, which is split if it has grown too long, and so on upwards.
    fn settle(&mut self, volume: &mut Volume<'_>, mut path: Vec<Step>) -> Result<()> {
        while let Some(Step { node, at }) = path.pop() {
            if self.fits(volume, &node) {
                return self.write(volume, &node);
            }
            if node.number.is_none() {
                let number = Some(self.take_block(volume)?);
                path.push(Step { node: Node { number: None, items: Vec::new(), last: number }, at: 0 });
                path.push(Step { node: Node { number, ..node }, at });
                // The root may have to be written even if the block is split no further.
                if let Some(root) = path.first().filter(|_| path.len() == 2) {
                    let root = root.node.clone();
                    self.write(volume, &root)?;
                }
                continue;
            }
            let parent = path.last_mut().ok_or_else(|| corrupt("an index block is its own root"))?;
            self.split(volume, node, parent)?;
        }
        Ok(())
    }

    /// The first half of a block goes into a new one, the entry between them into the parent.
    fn split(&mut self, volume: &mut Volume<'_>, mut node: Node, parent: &mut Step) -> Result<()> {
        let half = node.length() / 2;
        let mut length = 0;
        let middle = node.items.iter().position(|item| {
            length += item.length();
            length > half
        });
        let middle = middle.unwrap_or(0).clamp(1, node.items.len().saturating_sub(2).max(1));
        let right = node.items.split_off((middle + 1).min(node.items.len()));
        let (Some(mut median), false) = (node.items.pop(), right.is_empty()) else {
            return Err(Error::unsupported("a name is too long for the blocks of its directory"));
        };
        let left = self.take_block(volume)?;
        let first = Node { number: Some(left), items: node.items, last: median.child };
        let second = Node { number: node.number, items: right, last: node.last };
        if !self.fits(volume, &first) || !self.fits(volume, &second) {
            return Err(Error::unsupported("a name is too long for the blocks of its directory"));
        }
        self.write(volume, &first)?;
        self.write(volume, &second)?;
        median.child = Some(left);
        parent.node.items.insert(parent.at, median);
        Ok(())
    }

    /// Takes out the entry at the end of the way.
    fn remove(&mut self, volume: &mut Volume<'_>, mut path: Vec<Step>) -> Result<()> {
        let gone = || corrupt("an index has lost an entry");
        let step = path.last_mut().ok_or_else(gone)?;
        let at = step.at;
        let item = step.node.items.get(at).cloned().ok_or_else(gone)?;
        let Some(child) = item.child else {
            step.node.items.remove(at);
            let node = step.node.clone();
            self.write(volume, &node)?;
            return if node.items.is_empty() { self.prune(volume, path) } else { Ok(()) };
        };
        // The entry before it, which is the last of a leaf, takes its place.
        let mut leaf = self.block(volume, child)?;
        for _ in 0..LEVELS_MOST {
            let Some(next) = leaf.last else { break };
            leaf = self.block(volume, next)?;
        }
        let mut other = leaf.items.pop().filter(|_| leaf.last.is_none()).ok_or_else(gone)?;
        self.write(volume, &leaf)?;
        let key = other.key().to_vec();
        other.child = Some(child);
        if let Some(place) = step.node.items.get_mut(at) {
            *place = other;
        }
        self.settle(volume, path)?;
        if !leaf.items.is_empty() {
            return Ok(());
        }
        let (mut path, found) = self.path(volume, &key)?;
        let mut next = path.last().filter(|_| found).and_then(|step| step.node.child(step.at));
        while let Some(number) = next.filter(|_| path.len() < LEVELS_MOST) {
            let node = self.block(volume, number)?;
            next = node.last;
            let at = node.items.len();
            path.push(Step { node, at });
        }
        self.prune(volume, path)
    }

    /// The node at the end of the way is empty: it is joined with one beside it, and so on upwards.
    fn prune(&mut self, volume: &mut Volume<'_>, mut path: Vec<Step>) -> Result<()> {
        while let Some(Step { node, .. }) = path.pop() {
            let (Some(number), Some(parent)) = (node.number, path.last_mut()) else { return Ok(()) };
            if parent.node.items.is_empty() {
                self.release_block(volume, number)?;
                parent.node.last = node.last;
                let parent = parent.node.clone();
                self.write(volume, &parent)?;
                if parent.number.is_none() && parent.last.is_none() {
                    return self.drop_blocks(volume);
                }
                continue;
            }
            let Some(joined) = self.join(volume, &node, number, parent)? else { return Ok(()) };
            let upper = parent.node.clone();
            if !self.fits(volume, &joined) {
                let at = joined.items.len();
                path.push(Step { node: joined, at });
                // The parent is written after the split, which gives it an entry.
                return self.settle(volume, path);
            }
            self.write(volume, &joined)?;
            self.write(volume, &upper)?;
            if !upper.items.is_empty() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The neighbour of the empty node, which has block `number`, with the entry between them; the parent loses that
    /// entry. None if the two are not of one depth, as others may have left them: then the entry goes where it belongs.
    fn join(
        &mut self,
        volume: &mut Volume<'_>,
        empty: &Node,
        number: u64,
        parent: &mut Step,
    ) -> Result<Option<Node>> {
        let lost = || corrupt("an index has a gap between its levels");
        let at = parent.at.min(parent.node.items.len().saturating_sub(1));
        let to_right = at == parent.at;
        let beside = parent.node.child(if to_right { at + 1 } else { at }).ok_or_else(lost)?;
        let mut node = self.block(volume, beside)?;
        let even = node.last.is_some() == empty.last.is_some();
        if !even && empty.last.is_some() {
            return Ok(None);
        }
        let mut between = parent.node.items.remove(at);
        if !to_right {
            parent.node.last = node.number;
        }
        parent.at = at;
        self.release_block(volume, number)?;
        if !even {
            let parent = parent.node.clone();
            self.write(volume, &parent)?;
            volume.index_insert(self.file, self.name, between.body)?;
            return Ok(None);
        }
        if to_right {
            between.child = empty.last;
            node.items.insert(0, between);
        } else {
            between.child = node.last;
            node.items.push(between);
            node.last = empty.last;
        }
        Ok(Some(node))
    }

    /// Without entries there are no blocks.
    fn drop_blocks(&mut self, volume: &mut Volume<'_>) -> Result<()> {
        for kind in [ALLOCATION, BITMAP] {
            if let Some(Value::Stored(mut stored)) = self.file.take(kind, self.name).map(|one| one.value) {
                volume.release(&stored.runs.cut(0))?;
            }
        }
        Ok(())
    }
}
