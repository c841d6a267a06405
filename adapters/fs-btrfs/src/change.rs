//! Changes of trees, in place: the overlay that they land in is dropped when anything fails, so that nothing has to be copied
//! for the sake of a crash. Blocks that another tree shares are copied first (Linux: fs/btrfs/ctree.c, update_ref_for_cow).

use crate::Btrfs;
use crate::block::{Block, Expected, ITEM, LEVELS_MOST, POINTER, Pointer};
use crate::bytes::{put, put_u64, u64_at};
use crate::content::{Extent, INLINE};
use crate::key::{self, Key};
use crate::reference::{Piece, Reference};
use crate::superblock::Root;
use crate::tree::Tree;
use std::rc::Rc;
use wherry_sdk::{Error, ErrorKind, Result};

/// A block on the way to a key, and the slot that leads on.
struct Step {
    block: Rc<Block>,
    slot: usize,
}

/// A reference to be counted when the tree at hand is in order again.
pub struct Pending {
    piece: Piece,
    reference: Option<Reference>,
    add: bool,
}

/// Whether the blocks of a tree can be shared with others.
fn can_share(tree: u64) -> bool {
    tree == key::FS_TREE || (key::FIRST_FREE..=key::LAST_FREE).contains(&tree)
}

/// Items in as few lists as hold them, about even if there are two.
fn grouped(items: Vec<(Key, Vec<u8>)>, room: usize) -> Vec<Vec<(Key, Vec<u8>)>> {
    let size = |item: &(Key, Vec<u8>)| item.1.len() + ITEM;
    let total: usize = items.iter().map(size).sum();
    if total <= room {
        return vec![items];
    }
    // Half of it, unless that makes a third list.
    let even = total.div_ceil(2).max(total.saturating_sub(room)).min(room);
    let mut groups: Vec<Vec<(Key, Vec<u8>)>> = Vec::new();
    let (mut group, mut taken) = (Vec::new(), 0);
    for item in items {
        let limit = if groups.is_empty() { even } else { room };
        if taken + size(&item) > limit
            && !group.is_empty()
            && (groups.is_empty() || taken + size(&item) > room)
        {
            groups.push(std::mem::take(&mut group));
            taken = 0;
        }
        taken += size(&item);
        group.push(item);
    }
    groups.push(group);
    groups
}

impl Btrfs<'_> {
    /// Inserts an item, or replaces the one with this key.
    pub fn put_item(&mut self, tree: u64, key: Key, data: Vec<u8>) -> Result<()> {
        self.reserve()?;
        let mut steps = self.path(tree, key)?;
        let leaf = steps.pop().ok_or_else(lost)?;
        let here = leaf.slot < leaf.block.count() && leaf.block.key(leaf.slot) == key;
        if here && leaf.block.item(leaf.slot).len() == data.len() {
            let mut block = (*leaf.block).clone();
            block.item_mut(leaf.slot).copy_from_slice(&data);
            return self.store.change(block);
        }
        if data.len() + ITEM > leaf.block.room() {
            return Err(Error::new(
                ErrorKind::Limit,
                format!("an item of {} bytes fits into no block", data.len()),
            ));
        }
        let mut items = leaf.block.items();
        if here {
            items.splice(leaf.slot..=leaf.slot, [(key, data)]);
        } else {
            items.insert(leaf.slot.min(items.len()), (key, data));
        }
        self.set_leaf(tree, steps, &leaf.block, items)
    }

    /// Removes an item, which has to be there.
    pub fn remove_item(&mut self, tree: u64, key: Key) -> Result<()> {
        self.reserve()?;
        let mut steps = self.path(tree, key)?;
        let leaf = steps.pop().ok_or_else(lost)?;
        if leaf.slot >= leaf.block.count() || leaf.block.key(leaf.slot) != key {
            let message = format!("tree {tree} has no item {key:?}: run btrfs check");
            return Err(Error::new(ErrorKind::Corrupt, message));
        }
        let mut items = leaf.block.items();
        items.remove(leaf.slot);
        self.set_leaf(tree, steps, &leaf.block, items)
    }

    /// The way from a tree's root to the leaf where `key` is or would be, all of it the tree's own.
    fn path(&mut self, tree: u64, key: Key) -> Result<Vec<Step>> {
        let root = self.root(tree)?;
        let (mut address, mut expected) = (root.block, root.expected());
        let mut steps: Vec<Step> = Vec::new();
        loop {
            let level = expected.level;
            let mut block = self.store.block(address, expected)?;
            if can_share(tree)
                && let Some(own) = self.unshare(tree, &block)?
            {
                block = own;
                let generation = block.generation();
                match steps.last_mut() {
                    None => self.set_root(tree, Root { block: block.address(), level, generation })?,
                    Some(step) => {
                        let mut parent = (*step.block).clone();
                        let mut pointers = parent.pointers();
                        if let Some(pointer) = pointers.get_mut(step.slot) {
                            (pointer.block, pointer.generation) = (block.address(), generation);
                        }
                        parent.set_pointers(&pointers);
                        step.block = Rc::new(parent.clone());
                        self.store.change(parent)?;
                    }
                }
                // Now its children are known to be shared.
                self.settle()?;
            }
            if level == 0 {
                let slot = block.lower(key);
                steps.push(Step { block, slot });
                return Ok(steps);
            }
            if block.count() == 0 || steps.len() >= usize::from(LEVELS_MOST) {
                return Err(lost());
            }
            let slot = block.child(key);
            let child = block.pointer(slot);
            steps.push(Step { block, slot });
            (address, expected) = (child.block, child.expected(level));
        }
    }

    /// A copy of a block that only this tree uses, if it is shared.
    fn unshare(&mut self, tree: u64, block: &Block) -> Result<Option<Rc<Block>>> {
        let address = block.address();
        if self.own.contains(&address) {
            return Ok(None);
        }
        let piece = Piece::Block { address, level: block.level() };
        let missing =
            || Error::corrupt(address, format!("the tree block at {address} is not in use: run btrfs check"));
        let extent = self.extent(piece)?.ok_or_else(missing)?;
        if extent.references() == 1 && !extent.is_full() {
            self.own.insert(address);
            return Ok(None);
        }
        let generation = self.store.superblock.generation();
        self.reserve()?;
        let mut copy = block.clone();
        put_u64(&mut copy.bytes, 48, self.take_block()?);
        let flags = u64_at(&copy.bytes, 56);
        put_u64(&mut copy.bytes, 56, flags & !2);
        put_u64(&mut copy.bytes, 80, generation);
        put_u64(&mut copy.bytes, 88, tree);
        if extent.references() > 1 && block.owner() == tree && !extent.is_full() {
            self.children(block, true, true)?;
            self.pending.push_back(Pending { piece, reference: None, add: true });
        } else {
            self.children(&copy, false, true)?;
            if extent.references() == 1 {
                self.children(block, true, false)?;
            }
        }
        let new = Piece::Block { address: copy.address(), level: copy.level() };
        self.note(new, Reference::Tree(tree), true);
        self.note(piece, Reference::Tree(tree), false);
        self.own.insert(copy.address());
        self.store.change(copy.clone())?;
        Ok(Some(Rc::new(copy)))
    }

    /// Counts what a block refers to, by the block itself (`full`) or by its tree.
    fn children(&mut self, block: &Block, full: bool, add: bool) -> Result<()> {
        let (address, tree) = (block.address(), block.owner());
        for slot in 0..block.count() {
            if block.level() > 0 {
                let piece = Piece::Block { address: block.pointer(slot).block, level: block.level() - 1 };
                self.note(piece, if full { Reference::Block(address) } else { Reference::Tree(tree) }, add);
                continue;
            }
            let key = block.key(slot);
            if key.kind != key::EXTENT_DATA {
                continue;
            }
            let extent = Extent::parse(key, block.item(slot))?;
            if extent.kind != INLINE && extent.address != 0 {
                let piece = Piece::Data { address: extent.address, length: extent.stored };
                let file = file_reference(tree, key.object, &extent);
                self.note(piece, if full { Reference::Leaf(address) } else { file }, add);
            }
        }
        Ok(())
    }

    /// Has a reference counted later.
    pub fn note(&mut self, piece: Piece, reference: Reference, add: bool) {
        self.pending.push_back(Pending { piece, reference: Some(reference), add });
    }

    /// Counts all references that wait for it.
    pub fn settle(&mut self) -> Result<()> {
        while let Some(next) = self.pending.pop_front() {
            let Some(reference) = next.reference else {
                self.set_full(next.piece)?;
                continue;
            };
            if next.add {
                if self.add_reference(next.piece, reference)? {
                    self.taken(next.piece)?;
                }
            } else if self.drop_reference(next.piece, reference)? {
                if let Piece::Block { address, .. } = next.piece {
                    self.store.forget(address);
                    self.own.remove(&address);
                }
                self.freed(next.piece)?;
            }
        }
        Ok(())
    }

    /// Gives a leaf these items; if they do not fit, the rest goes into new ones.
    fn set_leaf(
        &mut self,
        tree: u64,
        steps: Vec<Step>,
        leaf: &Block,
        items: Vec<(Key, Vec<u8>)>,
    ) -> Result<()> {
        if items.is_empty() && !steps.is_empty() {
            self.drop_block(tree, leaf);
            return self.replace_child(tree, steps, Vec::new());
        }
        let groups = grouped(items, leaf.room());
        let mut pointers = Vec::new();
        for (number, group) in groups.iter().enumerate() {
            let mut block = if number == 0 { leaf.clone() } else { self.new_block(tree, leaf, 0)? };
            block.set_items(group);
            if let Some((key, _)) = group.first() {
                pointers.push(Pointer { key: *key, block: block.address(), generation: block.generation() });
            }
            self.store.change(block)?;
        }
        if steps.is_empty() && pointers.len() < 2 {
            return Ok(());
        }
        self.replace_child(tree, steps, pointers)
    }

    /// Puts these pointers in place of the one that the last of the steps leads on by.
    fn replace_child(&mut self, tree: u64, mut steps: Vec<Step>, with: Vec<Pointer>) -> Result<()> {
        let Some(step) = steps.pop() else { return self.replace_root(tree, &with) };
        let mut pointers = step.block.pointers();
        let old = pointers.clone();
        let slot = step.slot.min(pointers.len());
        pointers.splice(slot..(slot + 1).min(pointers.len()), with);
        if pointers == old {
            return Ok(());
        }
        if pointers.is_empty() {
            self.drop_block(tree, &step.block);
            return self.replace_child(tree, steps, Vec::new());
        }
        let most = step.block.room() / POINTER;
        let size = if pointers.len() > most { pointers.len().div_ceil(2) } else { most };
        let mut new = Vec::new();
        for (number, group) in pointers.chunks(size).enumerate() {
            let mut block = if number == 0 {
                (*step.block).clone()
            } else {
                self.new_block(tree, &step.block, step.block.level())?
            };
            block.set_pointers(group);
            if let Some(first) = group.first() {
                let (address, generation) = (block.address(), block.generation());
                new.push(Pointer { key: first.key, block: address, generation });
            }
            self.store.change(block)?;
        }
        if steps.is_empty() && new.len() < 2 {
            return Ok(());
        }
        self.replace_child(tree, steps, new)
    }

    /// A tree grows by a level, or has become empty.
    fn replace_root(&mut self, tree: u64, with: &[Pointer]) -> Result<()> {
        let old = self.root(tree)?;
        let generation = with.first().map_or(old.generation, |first| first.generation);
        let address = with.first().map_or(old.block, |first| first.block);
        let like = self.store.block(address, Expected { generation, ..old.expected() })?;
        let level = if with.is_empty() { 0 } else { old.level + 1 };
        if level >= LEVELS_MOST {
            return Err(lost());
        }
        let mut block = self.new_block(tree, &like, level)?;
        if with.is_empty() {
            block.set_items(&[])
        } else {
            block.set_pointers(with)
        }
        let root = Root { block: block.address(), level, generation: block.generation() };
        self.store.change(block)?;
        self.set_root(tree, root)
    }

    fn new_block(&mut self, tree: u64, like: &Block, level: u8) -> Result<Block> {
        let address = self.take_block()?;
        self.own.insert(address);
        self.note(Piece::Block { address, level }, Reference::Tree(tree), true);
        Ok(Block::new(like, address, level, tree, self.store.superblock.generation()))
    }

    fn drop_block(&mut self, tree: u64, block: &Block) {
        let piece = Piece::Block { address: block.address(), level: block.level() };
        self.note(piece, Reference::Tree(tree), false);
    }

    /// A tree begins elsewhere now.
    fn set_root(&mut self, tree: u64, root: Root) -> Result<()> {
        if tree == key::ROOT_TREE {
            self.store.superblock.set_root(root);
            return Ok(());
        }
        let items = self.items(key::ROOT_TREE, crate::tree::Range::of(tree, key::ROOT_ITEM))?;
        let (key, mut item) = items.into_iter().next().ok_or_else(lost)?;
        // The second generation says that what came later than the first kernels is in the item.
        let same = u64_at(&item, 160) == u64_at(&item, 239);
        put_u64(&mut item, 160, root.generation);
        put_u64(&mut item, 176, root.block);
        put(&mut item, 238, &[root.level]);
        if same {
            put_u64(&mut item, 239, root.generation);
        }
        let (flags, references) = self.find_tree(tree)?.map_or((0, 1), |tree| (tree.flags, tree.references));
        self.trees.insert(tree, Tree { root, flags, references });
        self.put_item(key::ROOT_TREE, key, item)
    }
}

/// What a file's piece of an extent is referred to by.
pub fn file_reference(tree: u64, object: u64, extent: &Extent) -> Reference {
    Reference::File { tree, object, offset: extent.at.wrapping_sub(extent.offset) }
}

fn lost() -> Error {
    Error::new(ErrorKind::Corrupt, "a tree has no way to its leaves: run btrfs check")
}
