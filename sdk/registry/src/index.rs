//! Lists of subkeys, changed. Which kind a list is of, and when it is divided, follows Windows (ReactOS, cmlib, `CmpAddSubKey`,
//! and what Windows wrote into yarp's `ManySubkeysHive`): fast leaves up to version 1.4, which become plain ones where they
//! grow, and hash leaves from 1.5 on; a leaf that is full is divided in halves under an index root.

use crate::base::BASE;
use crate::bytes::{half, word};
use crate::hive::{Hive, NONE};
use crate::key::Key;
use crate::name::Name;
use crate::pages::Storage;
use wherry_sdk::{Error, Result};

/// Elements of a fast leaf: (4096 - 40) / 8.
const FAST_MOST: usize = 507;
/// Elements of any other list: (4096 - 40) / 4 - 1.
const LIST_MOST: usize = 1013;

/// A leaf: its two letters; a key's place and the hint for each.
struct Leaf {
    letters: [u8; 2],
    entries: Vec<(u32, u32)>,
}

impl Leaf {
    fn new(letters: [u8; 2]) -> Self {
        Self { letters, entries: Vec::new() }
    }

    fn hint(&self, name: &Name) -> u32 {
        match &self.letters {
            b"lf" => u32::from_le_bytes(name.hint()),
            b"lh" => name.hash_of_leaf(),
            _ => 0,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let hinted = self.letters != *b"li";
        let mut bytes = self.letters.to_vec();
        bytes.extend((self.entries.len() as u16).to_le_bytes());
        for (at, hint) in &self.entries {
            bytes.extend(at.to_le_bytes());
            bytes.extend(hint.to_le_bytes().iter().filter(|_| hinted));
        }
        bytes
    }
}

/// An index root's bytes.
fn root_bytes(leaves: &[u32]) -> Vec<u8> {
    let mut bytes = b"ri".to_vec();
    bytes.extend((leaves.len() as u16).to_le_bytes());
    leaves.iter().for_each(|leaf| bytes.extend(leaf.to_le_bytes()));
    bytes
}

impl<S: Storage> Hive<S> {
    /// Puts a new key of that name into the list of its parent: the list's place from now on.
    pub(crate) fn list_insert(&mut self, parent: &Key, name: &Name, child: u32) -> Result<u32> {
        if parent.subkeys == 0 {
            let mut leaf = Leaf::new(match self.base.minor {
                0..=2 => *b"li",
                3..=4 => *b"lf",
                _ => *b"lh",
            });
            leaf.entries.push((child, leaf.hint(name)));
            return self.store(&leaf.bytes(), child);
        }
        let Some(mut leaves) = self.leaves(parent.list)? else {
            let parts = self.leaf_insert(parent.list, name, child)?;
            return match parts[..] {
                [one] => Ok(one),
                _ => self.store(&root_bytes(&parts), child),
            };
        };
        let chosen = self.leaf_for(&leaves, name)?;
        let parts = self.leaf_insert(leaves[chosen], name, child)?;
        leaves.splice(chosen..=chosen, parts);
        self.store_again(parent.list, &root_bytes(&leaves))
    }

    /// Takes a key out of the list of its parent: the list's place from now on, none if nothing is left.
    pub(crate) fn list_remove(&mut self, parent: &Key, child: u32) -> Result<u32> {
        let Some(mut leaves) = self.leaves(parent.list)? else {
            return match self.leaf_remove(parent.list, child)? {
                Some(at) => Ok(at),
                None => self.not_listed(parent, child),
            };
        };
        for number in 0..leaves.len() {
            match self.leaf_remove(leaves[number], child)? {
                None => continue,
                Some(NONE) => drop(leaves.remove(number)),
                Some(at) => leaves[number] = at,
            }
            if leaves.is_empty() {
                self.free(parent.list)?;
                return Ok(NONE);
            }
            return self.store_again(parent.list, &root_bytes(&leaves));
        }
        self.not_listed(parent, child)
    }

    fn not_listed(&self, parent: &Key, child: u32) -> Result<u32> {
        let message = format!("the list of `{}` does not name its key at {child}", parent.name);
        Err(Error::corrupt(BASE + u64::from(parent.list), message))
    }

    /// The leaves that an index root names; none if the list is a leaf itself.
    pub(crate) fn leaves(&mut self, list: u32) -> Result<Option<Vec<u32>>> {
        let bytes = self.cell(list)?;
        if !bytes.starts_with(b"ri") {
            return Ok(None);
        }
        let count = usize::from(half(&bytes, 2));
        (0..count).map(|number| self.element(list, &bytes, 4, number)).collect::<Result<_>>().map(Some)
    }

    fn read_leaf(&mut self, at: u32) -> Result<Leaf> {
        let bytes = self.cell(at)?;
        let letters = match bytes.get(..2) {
            Some(letters @ (b"li" | b"lf" | b"lh")) => [letters[0], letters[1]],
            _ => {
                let message = format!("the cell at {at} is no list of subkeys: 0x{:04x}", half(&bytes, 0));
                return Err(Error::corrupt(BASE + u64::from(at), message));
            }
        };
        let size = if letters == *b"li" { 4 } else { 8 };
        let mut leaf = Leaf::new(letters);
        for number in 0..usize::from(half(&bytes, 2)) {
            let hint = if size == 8 { word(&bytes, 4 + 8 * number + 4) } else { 0 };
            leaf.entries.push((self.element(at, &bytes, size, number)?, hint));
        }
        Ok(leaf)
    }

    /// The number of the leaf that a name belongs into: the first that does not end before it, else the last.
    fn leaf_for(&mut self, leaves: &[u32], name: &Name) -> Result<usize> {
        let (mut low, mut high) = (0, leaves.len().saturating_sub(1));
        while low < high {
            let middle = (low + high) / 2;
            let leaf = self.read_leaf(leaves[middle])?;
            let ends_before = match leaf.entries.last() {
                Some((last, _)) => self.key(*last)?.name < *name,
                None => true,
            };
            (low, high) = if ends_before { (middle + 1, high) } else { (low, middle) };
        }
        match leaves.is_empty() {
            true => Err(Error::corrupt(BASE, "an index root of a key with subkeys names no list")),
            false => Ok(low),
        }
    }

    /// Puts a key into a leaf: the places of what the leaf is from now on, itself or its halves.
    fn leaf_insert(&mut self, at: u32, name: &Name, child: u32) -> Result<Vec<u32>> {
        let mut leaf = self.read_leaf(at)?;
        let place = self.place_in(&leaf, name)?;
        let hint = leaf.hint(name);
        leaf.entries.insert(place, (child, hint));
        let count = leaf.entries.len();
        let late = self.base.minor >= 5;
        if count > LIST_MOST && late && leaf.letters != *b"lh" {
            self.become_hash_leaf(&mut leaf)?;
        } else if !late && leaf.letters != *b"li" && count > FAST_MOST {
            leaf.letters = *b"li";
        }
        if count <= LIST_MOST {
            let roomy = self.roomy(at, &leaf)?;
            return Ok(vec![roomy]);
        }
        let second = Leaf { letters: leaf.letters, entries: leaf.entries.split_off(count / 2) };
        Ok(vec![self.store_again(at, &leaf.bytes())?, self.store(&second.bytes(), child)?])
    }

    /// Writes a leaf; one that has to move gets some room to grow.
    fn roomy(&mut self, at: u32, leaf: &Leaf) -> Result<u32> {
        let mut bytes = leaf.bytes();
        if self.cell_length(at)? as usize >= bytes.len() {
            return self.store_again(at, &bytes);
        }
        bytes.resize(bytes.len() + bytes.len() / 2, 0);
        self.store_again(at, &bytes)
    }

    fn become_hash_leaf(&mut self, leaf: &mut Leaf) -> Result<()> {
        leaf.letters = *b"lh";
        for (at, hint) in &mut leaf.entries {
            *hint = self.key(*at)?.name.hash_of_leaf();
        }
        Ok(())
    }

    /// Where a name belongs among those of a leaf.
    fn place_in(&mut self, leaf: &Leaf, name: &Name) -> Result<usize> {
        let (mut low, mut high) = (0, leaf.entries.len());
        // New keys are often the last ones.
        let mut middle = high.saturating_sub(1);
        while low < high {
            let before = self.key(leaf.entries[middle].0)?.name < *name;
            (low, high) = if before { (middle + 1, high) } else { (low, middle) };
            middle = (low + high) / 2;
        }
        Ok(low)
    }

    /// Takes a key out of a leaf: where the leaf is from now on, `NONE` if it was the last one, and nothing if it was not there.
    fn leaf_remove(&mut self, at: u32, child: u32) -> Result<Option<u32>> {
        let mut leaf = self.read_leaf(at)?;
        let Some(place) = leaf.entries.iter().position(|(at, _)| *at == child) else { return Ok(None) };
        leaf.entries.remove(place);
        if leaf.entries.is_empty() {
            self.free(at)?;
            return Ok(Some(NONE));
        }
        self.store_again(at, &leaf.bytes()).map(Some)
    }
}
