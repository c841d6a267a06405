//! The binary module index of kmod (`modules.dep.bin` and its kin): a radix trie, big-endian
//! (kmod `libkmod/libkmod-index.c`, `tools/depmod.c`).
//!
//! ```text
//! u32 0xB007F457, u32 0x00020001, u32 root
//! node: [prefix\0 if flag 0x80000000] [u8 first, u8 last, u32 child[last-first+1] if 0x20000000]
//!       [u32 count, count * { u32 priority, value\0 } if 0x40000000]
//! ```
//! A reference to a node holds its flags in the upper four bits and its offset in the file in the rest; 0 is none.

use wherry_sdk::{Error, Result};

const MAGIC: u32 = 0xb007_f457;
const VERSION: u32 = 0x0002_0001;
const PREFIX: u32 = 0x8000_0000;
const VALUES: u32 = 0x4000_0000;
const CHILDREN: u32 = 0x2000_0000;
const OFFSET: u32 = 0x0fff_ffff;
/// Keys are aliases and names; the longest known alias has some 200 bytes.
const KEY_MOST: usize = 4096;
/// The most bytes of keys and values that an index may expand to.
const EXPANDED_MOST: usize = 64 << 20;

/// One key with one of its values. A lower priority number comes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// 7-bit ASCII
    pub key: String,
    /// what the key means
    pub value: String,
    /// rank among the key's values
    pub priority: u32,
}

/// Every entry of an index, in the order of keys.
pub fn read(bytes: &[u8]) -> Result<Vec<Entry>> {
    let mut reader = Reader { bytes, nodes: 0, expanded: 0, entries: Vec::new() };
    if (reader.number(0)?, reader.number(4)?) != (MAGIC, VERSION) {
        return Err(Error::corrupt(0, "not a module index of version 2.1"));
    }
    let mut todo = vec![(reader.number(8)?, Vec::new())];
    while let Some((node, key)) = todo.pop() {
        reader.node(node, key, &mut todo)?;
    }
    Ok(reader.entries)
}

struct Reader<'a> {
    bytes: &'a [u8],
    nodes: usize,
    expanded: usize,
    entries: Vec<Entry>,
}

impl Reader<'_> {
    fn number(&self, at: usize) -> Result<u32> {
        let bytes = self.bytes.get(at..).and_then(|rest| rest.first_chunk());
        bytes.map(|four| u32::from_be_bytes(*four)).ok_or_else(|| cut(at))
    }

    fn text(&mut self, at: usize) -> Result<&[u8]> {
        let rest = self.bytes.get(at..).unwrap_or_default();
        let length = rest.iter().take(1 << 16).position(|byte| *byte == 0).ok_or_else(|| cut(at))?;
        self.expanded += length;
        Ok(rest.get(..length).unwrap_or_default())
    }

    /// Reads one node; its children go on the stack, so that a deep trie needs no deep stack of calls.
    fn node(&mut self, node: u32, mut key: Vec<u8>, todo: &mut Vec<(u32, Vec<u8>)>) -> Result<()> {
        let mut at = (node & OFFSET) as usize;
        self.nodes += 1;
        self.expanded += key.len();
        // Every node of an honest trie has bytes of its own, so that there are fewer nodes than bytes.
        if self.nodes > self.bytes.len() || self.expanded > EXPANDED_MOST || key.len() > KEY_MOST {
            return Err(Error::corrupt(at as u64, "a module index refers to itself"));
        }
        if node & PREFIX != 0 {
            let prefix = self.text(at)?;
            at += prefix.len() + 1;
            key.extend(prefix);
        }
        if node & CHILDREN != 0 {
            let range = self.bytes.get(at..at + 2).and_then(|two| two.first_chunk::<2>());
            let [first, last] = *range.ok_or_else(|| cut(at))?;
            at += 2;
            let from = todo.len();
            for letter in first..=last {
                let child = self.number(at)?;
                at += 4;
                if child != 0 {
                    let mut key = key.clone();
                    key.push(letter);
                    todo.push((child, key));
                }
            }
            if let Some(children) = todo.get_mut(from..) {
                children.reverse();
            }
        }
        if node & VALUES != 0 {
            self.values(at, &key)?;
        }
        Ok(())
    }

    fn values(&mut self, mut at: usize, key: &[u8]) -> Result<()> {
        let count = self.number(at)?;
        at += 4;
        let key = String::from_utf8_lossy(key).into_owned();
        for _ in 0..count {
            let priority = self.number(at)?;
            let value = self.text(at + 4)?;
            at += 4 + value.len() + 1;
            let value = String::from_utf8_lossy(value).into_owned();
            self.expanded += key.len();
            if self.expanded > EXPANDED_MOST {
                return Err(Error::corrupt(at as u64, "a module index expands to too many bytes"));
            }
            self.entries.push(Entry { key: key.clone(), value, priority });
        }
        Ok(())
    }
}

fn cut(at: usize) -> Error {
    Error::corrupt(at as u64, "a module index ends early")
}

/// A node in the making.
#[derive(Default)]
struct Node {
    prefix: Vec<u8>,
    /// first letter and node, in the order of letters
    children: Vec<(u8, usize)>,
    /// numbers of entries, in the order in which they are stored
    values: Vec<usize>,
    size: u32,
    offset: u32,
}

impl Node {
    fn flags(&self) -> u32 {
        let flag = |set: bool, flag| if set { flag } else { 0 };
        flag(!self.prefix.is_empty(), PREFIX)
            | flag(!self.children.is_empty(), CHILDREN)
            | flag(!self.values.is_empty(), VALUES)
    }

    fn span(&self) -> Option<(u8, u8)> {
        Some((self.children.first()?.0, self.children.last()?.0))
    }
}

/// An index of these entries, byte for byte as depmod writes it when it inserts them in this order.
/// Keys or values that are not 7-bit ASCII cannot be stored and are left out.
pub fn write(entries: &[Entry]) -> Vec<u8> {
    let mut nodes = vec![Node::default()];
    for (number, entry) in entries.iter().enumerate() {
        let storable = |text: &str| text.bytes().all(|byte| byte != 0 && byte < 0x80);
        if storable(&entry.key) && storable(&entry.value) && entry.key.len() <= KEY_MOST {
            insert(&mut nodes, entries, number);
        }
    }
    let order = layout(&mut nodes, entries);
    let mut bytes = Vec::new();
    for number in [MAGIC, VERSION, reference(&nodes, 0)] {
        bytes.extend(number.to_be_bytes());
    }
    for number in order {
        emit(&mut bytes, &nodes, number, entries);
    }
    bytes
}

fn insert(nodes: &mut Vec<Node>, entries: &[Entry], number: usize) {
    let mut key = entries[number].key.as_bytes();
    let mut at = 0;
    loop {
        let common = nodes[at].prefix.iter().zip(key).take_while(|(a, b)| a == b).count();
        if common < nodes[at].prefix.len() {
            split(nodes, at, common);
        }
        key = &key[common..];
        let Some((letter, rest)) = key.split_first() else {
            let new = entries[number].priority;
            let values = &mut nodes[at].values;
            let place = values.iter().position(|old| entries[*old].priority >= new).unwrap_or(values.len());
            values.insert(place, number);
            return;
        };
        match nodes[at].children.binary_search_by_key(letter, |child| child.0) {
            Ok(place) => {
                at = nodes[at].children[place].1;
                key = rest;
            }
            Err(place) => {
                let child = nodes.len();
                nodes.push(Node { prefix: rest.to_vec(), values: vec![number], ..Node::default() });
                nodes[at].children.insert(place, (*letter, child));
                return;
            }
        }
    }
}

/// Makes a node end after `common` bytes of its prefix; what it was becomes its only child.
fn split(nodes: &mut Vec<Node>, at: usize, common: usize) {
    let mut child = std::mem::take(&mut nodes[at]);
    let letter = child.prefix[common];
    let parent = Node {
        prefix: child.prefix[..common].to_vec(),
        children: vec![(letter, nodes.len())],
        ..Node::default()
    };
    child.prefix.drain(..=common);
    nodes.push(child);
    nodes[at] = parent;
}

/// Sizes and offsets; answers the nodes in the order of the file: each before its children.
fn layout(nodes: &mut [Node], entries: &[Entry]) -> Vec<usize> {
    let mut order = Vec::with_capacity(nodes.len());
    let mut todo = vec![0];
    let mut offset = 12;
    while let Some(number) = todo.pop() {
        order.push(number);
        let node = &mut nodes[number];
        let prefix = if node.prefix.is_empty() { 0 } else { node.prefix.len() + 1 };
        let children = node.span().map_or(0, |(first, last)| 2 + 4 * (usize::from(last - first) + 1));
        let values: usize = node.values.iter().map(|value| 5 + entries[*value].value.len()).sum();
        let values = if values == 0 { 0 } else { values + 4 };
        node.size = (prefix + children + values) as u32;
        node.offset = offset;
        offset += node.size;
        todo.extend(node.children.iter().rev().map(|child| child.1));
    }
    order
}

fn reference(nodes: &[Node], number: usize) -> u32 {
    nodes[number].offset | nodes[number].flags()
}

fn emit(bytes: &mut Vec<u8>, nodes: &[Node], number: usize, entries: &[Entry]) {
    let node = &nodes[number];
    if !node.prefix.is_empty() {
        bytes.extend(&node.prefix);
        bytes.push(0);
    }
    if let Some((first, last)) = node.span() {
        bytes.extend([first, last]);
        let mut children = node.children.iter().peekable();
        for letter in first..=last {
            let child = children.next_if(|child| child.0 == letter);
            bytes.extend(child.map_or(0, |child| reference(nodes, child.1)).to_be_bytes());
        }
    }
    if !node.values.is_empty() {
        bytes.extend((node.values.len() as u32).to_be_bytes());
        for value in &node.values {
            bytes.extend(entries[*value].priority.to_be_bytes());
            bytes.extend(entries[*value].value.bytes());
            bytes.push(0);
        }
    }
}
