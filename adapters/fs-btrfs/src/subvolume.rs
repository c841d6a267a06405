//! Subvolumes: which there are, where their names are, and which one is mounted unless another is asked for.

use crate::Btrfs;
use crate::bytes::{part, u16_at, u64_at};
use crate::checksum::name_hash;
use crate::directory::parse;
use crate::inode::Place;
use crate::key::{self, Key};
use crate::tree::Range;
use wherry_sdk::Result;

/// Subvolumes that are named.
const NAMED_MOST: usize = 256;
/// Directories above one another.
const DEPTH_MOST: usize = 128;
/// Where the default is found: in a directory of the tree of roots.
const ROOT_DIRECTORY: u64 = 6;

impl Btrfs<'_> {
    /// The number of the subvolume that is mounted if none is named.
    pub fn default_subvolume(&mut self) -> Result<u64> {
        let key = Key::new(ROOT_DIRECTORY, key::DIR_ITEM, name_hash(b"default"));
        let entries = self.item(key::ROOT_TREE, key)?.map(|item| parse(&item)).unwrap_or_default();
        let found = entries.into_iter().find(|entry| entry.name == b"default");
        Ok(found.map_or(key::FS_TREE, |entry| entry.location.object))
    }

    /// Numbers and paths of subvolumes, as far as they have a name and are not too many.
    pub fn subvolumes(&mut self) -> Result<Vec<(u64, String)>> {
        let range =
            Range { from: Key::new(key::FIRST_FREE, 0, 0), to: Key::new(key::LAST_FREE, u8::MAX, u64::MAX) };
        let root = self.store.superblock.root();
        let mut numbers = Vec::new();
        self.store.each(root, range, &mut |key, _| {
            if key.kind == key::ROOT_ITEM {
                numbers.push(key.object);
            }
            Ok(numbers.len() < NAMED_MOST)
        })?;
        let mut list = Vec::new();
        for number in numbers {
            if let Some(path) = self.subvolume_path(number)? {
                list.push((number, path));
            }
        }
        Ok(list)
    }

    /// The path of a subvolume from the file system's top; none if it has no name.
    pub fn subvolume_path(&mut self, number: u64) -> Result<Option<String>> {
        let mut names: Vec<Vec<u8>> = Vec::new();
        let mut at = number;
        while at != key::FS_TREE {
            let back = self.items(key::ROOT_TREE, Range::of(at, key::ROOT_BACKREF))?;
            let Some((key, item)) = back.first() else { return Ok(None) };
            names.push(part(item, 18, usize::from(u16_at(item, 16))).to_vec());
            let mut directory = Place { tree: key.offset, number: u64_at(item, 0) };
            while directory.number != key::FIRST_FREE {
                let Some((parent, name)) = self.parent(directory)? else { return Ok(None) };
                names.push(name);
                directory.number = parent;
                if names.len() > DEPTH_MOST {
                    return Ok(None);
                }
            }
            at = directory.tree;
            if names.len() > DEPTH_MOST {
                return Ok(None);
            }
        }
        names.reverse();
        let path: String = names.iter().map(|name| format!("/{}", String::from_utf8_lossy(name))).collect();
        Ok(Some(if path.is_empty() { "/".into() } else { path }))
    }
}
