//! Lists of subkeys (the specification, "Index leaf", "Fast leaf", "Hash leaf", "Index root").

use crate::base::BASE;
use crate::bytes::{half, word};
use crate::hive::Hive;
use crate::key::Key;
use crate::name::Name;
use crate::pages::Storage;
use wherry_sdk::{Error, Result};

/// Bytes of a key's cell at least.
const KEY_LEAST: u32 = 80;

/// Lists that are looked through from front to back, so that what is not in order is found too.
const SHORT: usize = 64;

/// What a leaf says of a key beside its place.
enum Hint {
    Nothing,
    Letters([u8; 4]),
    Hash(u32),
}

/// A name that is looked for, with what leaves may say of it.
struct Wanted<'a> {
    name: &'a Name,
    letters: [u8; 4],
    hash: u32,
}

impl<'a> Wanted<'a> {
    fn new(name: &'a Name) -> Self {
        Self { name, letters: name.hint(), hash: name.hash_of_leaf() }
    }

    /// Whether it may be there.
    fn allowed(&self, hint: &Hint) -> bool {
        match hint {
            Hint::Nothing => true,
            // Letters that are no bytes leave no hint.
            Hint::Letters(letters) => {
                letters[0] == 0
                    || self.letters[0] == 0
                    || letters.eq_ignore_ascii_case(&self.letters)
                    || letters.iter().any(|letter| !letter.is_ascii())
            }
            Hint::Hash(hash) => *hash == self.hash,
        }
    }
}

impl<S: Storage> Hive<S> {
    /// The keys in a key, in their order.
    pub fn subkeys(&mut self, key: &Key) -> Result<Vec<Key>> {
        self.entries(key)?.into_iter().map(|(at, _)| self.key(at)).collect()
    }

    /// The key of that name in a key.
    pub fn subkey(&mut self, key: &Key, name: &Name) -> Result<Option<Key>> {
        let (entries, wanted) = (self.entries(key)?, Wanted::new(name));
        let hashed = matches!(entries.first(), Some((_, Hint::Hash(_))));
        if entries.len() > SHORT && !hashed {
            return self.search(&entries, name);
        }
        for (at, hint) in entries {
            if wanted.allowed(&hint) {
                let found = self.key(at)?;
                if found.name == *wanted.name {
                    return Ok(Some(found));
                }
            }
        }
        Ok(None)
    }

    /// The same in a list that says little of its keys, by their order.
    fn search(&mut self, entries: &[(u32, Hint)], name: &Name) -> Result<Option<Key>> {
        let (mut low, mut high) = (0, entries.len());
        while low < high {
            let middle = (low + high) / 2;
            let key = self.key(entries[middle].0)?;
            match key.name.cmp(name) {
                std::cmp::Ordering::Equal => return Ok(Some(key)),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Ok(None)
    }

    /// Places of the subkeys, and the hints of the lists.
    fn entries(&mut self, key: &Key) -> Result<Vec<(u32, Hint)>> {
        if key.subkeys == 0 {
            return Ok(Vec::new());
        }
        // So many have no room among the bins, however often a list names a leaf.
        if key.subkeys > self.base.bins / KEY_LEAST {
            let message = format!("`{}` has {} subkeys, more than the hive can hold", key.name, key.subkeys);
            return Err(Error::corrupt(BASE + u64::from(key.at), message));
        }
        let mut entries = Vec::new();
        let list = self.cell(key.list)?;
        if !list.starts_with(b"ri") {
            self.leaf(key.list, &list, &mut entries)?;
        } else {
            for number in 0..usize::from(half(&list, 2)) {
                let at = self.element(key.list, &list, 4, number)?;
                let leaf = self.cell(at)?;
                self.leaf(at, &leaf, &mut entries)?;
                if entries.len() > key.subkeys as usize {
                    break;
                }
            }
        }
        if entries.len() != key.subkeys as usize {
            let message =
                format!("`{}` has {} subkeys, and its list {}", key.name, key.subkeys, entries.len());
            return Err(Error::corrupt(BASE + u64::from(key.at), message));
        }
        Ok(entries)
    }

    fn leaf(&self, at: u32, leaf: &[u8], entries: &mut Vec<(u32, Hint)>) -> Result<()> {
        let size = match leaf.get(..2) {
            Some(b"li") => 4,
            Some(b"lf" | b"lh") => 8,
            _ => {
                let message = format!("the cell at {at} is no list of subkeys: 0x{:04x}", half(leaf, 0));
                return Err(Error::corrupt(BASE + u64::from(at), message));
            }
        };
        for number in 0..usize::from(half(leaf, 2)) {
            let place = self.element(at, leaf, size, number)?;
            let hint = word(leaf, 4 + size * number + 4);
            entries.push(match (size, leaf[1]) {
                (4, _) => (place, Hint::Nothing),
                (_, b'f') => (place, Hint::Letters(hint.to_le_bytes())),
                _ => (place, Hint::Hash(hint)),
            });
        }
        Ok(())
    }

    /// The offset in element `number` of a list.
    pub(crate) fn element(&self, at: u32, list: &[u8], size: usize, number: usize) -> Result<u32> {
        let from = 4 + size * number;
        if list.len() < from + size {
            let message = format!("the list at {at} ends before its element {number}");
            return Err(Error::corrupt(BASE + u64::from(at), message));
        }
        Ok(word(list, from))
    }
}
