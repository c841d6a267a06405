//! A checker of our own, written without the adapter's code: every record, every reference, every run against `$Bitmap`,
//! every index in order and without lost blocks, every index entry against the file's own name and sizes.

use std::collections::{BTreeMap, BTreeSet};
use wherry_sdk::Blob;

fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    bytes[at..at + length].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

fn text(bytes: &[u8]) -> Vec<u16> {
    bytes.chunks(2).map(|pair| number(pair, 0, 2) as u16).collect()
}

const MASK: u64 = 0xffff_ffff_ffff;

/// A joined attribute: bytes in the record, or runs.
#[derive(Clone, Default)]
struct Attribute {
    flags: u64,
    inside: Option<Vec<u8>>,
    /// (vcn, lcn, length)
    runs: Vec<(u64, Option<u64>, u64)>,
    allocated: u64,
    size: u64,
    initialized: u64,
}

type Key = (u64, Vec<u16>);
/// A piece of an attribute: the attribute, its number in the record, its first cluster, its bytes.
type Piece = (Key, u64, u64, Vec<u8>);

#[derive(Default)]
struct File {
    sequence: u64,
    directory: bool,
    attributes: BTreeMap<Key, Attribute>,
    names: Vec<Vec<u8>>,
}

struct Check<'a> {
    blob: &'a dyn Blob,
    cluster: u64,
    record: usize,
    clusters: u64,
    upcase: Vec<u16>,
    mft: Attribute,
    files: BTreeMap<u64, File>,
    owners: Vec<u32>,
    levels: std::cell::Cell<u64>,
}

/// Undoes the update sequence.
fn fixed(mut bytes: Vec<u8>, what: &str) -> Vec<u8> {
    let (at, count) = (number(&bytes, 4, 2) as usize, number(&bytes, 6, 2) as usize);
    assert_eq!(count, bytes.len() / 512 + 1, "{what}: numbers of the update sequence");
    for index in 1..count {
        let place = index * 512 - 2;
        assert_eq!(bytes[place..place + 2], bytes[at..at + 2], "{what}: torn");
        bytes.copy_within(at + index * 2..at + index * 2 + 2, place);
    }
    bytes
}

fn signed(bytes: &[u8]) -> i64 {
    let shift = 64 - 8 * bytes.len() as u32;
    ((number(bytes, 0, bytes.len()) << shift) as i64) >> shift
}

fn pairs(bytes: &[u8], vcn: &mut u64, runs: &mut Vec<(u64, Option<u64>, u64)>) {
    let (mut at, mut lcn) = (0, 0);
    while bytes[at] != 0 {
        let (count, place) = (usize::from(bytes[at] & 15), usize::from(bytes[at] >> 4));
        let length = signed(&bytes[at + 1..at + 1 + count]) as u64;
        assert!(length > 0 && length < 1 << 40, "length of a run");
        if place > 0 {
            lcn += signed(&bytes[at + 1 + count..at + 1 + count + place]);
        }
        runs.push((*vcn, (place > 0).then_some(lcn as u64), length));
        *vcn += length;
        at += 1 + count + place;
    }
}

impl Check<'_> {
    fn read(&self, attribute: &Attribute, offset: u64, length: usize) -> Vec<u8> {
        if let Some(bytes) = &attribute.inside {
            return bytes[offset as usize..offset as usize + length].to_vec();
        }
        let mut bytes = Vec::new();
        while bytes.len() < length {
            let at = offset + bytes.len() as u64;
            let vcn = at / self.cluster;
            let (first, lcn, count) =
                *attribute.runs.iter().find(|run| vcn >= run.0 && vcn < run.0 + run.2).expect("a run");
            let there = (first + count) * self.cluster - at;
            let take = there.min((length - bytes.len()) as u64).min(1 << 20);
            let place = lcn.expect("no hole here") * self.cluster + (at - first * self.cluster);
            bytes.extend(self.blob.read(place, take as u32).expect("inside"));
        }
        bytes
    }

    fn all(&self, attribute: &Attribute) -> Vec<u8> {
        let mut bytes = self.read(attribute, 0, attribute.initialized as usize);
        bytes.resize(attribute.size as usize, 0);
        bytes
    }

    /// The attributes of a record: kind, name, id, first cluster, bytes.
    fn pieces(&self, index: u64, record: &[u8]) -> Vec<(Key, u64, u64, Vec<u8>)> {
        let (mut at, mut pieces, mut ids) = (number(record, 0x14, 2) as usize, Vec::new(), BTreeSet::new());
        let mut last = 0;
        while number(record, at, 4) != 0xffff_ffff {
            let kind = number(record, at, 4);
            let length = number(record, at + 4, 4) as usize;
            assert!(
                kind >= last && length.is_multiple_of(8) && length >= 0x18,
                "record {index}: attribute {kind:#x}"
            );
            last = kind;
            let piece = record[at..at + length].to_vec();
            let (name_length, name_at) = (usize::from(piece[9]), number(&piece, 10, 2) as usize);
            let name = text(&piece[name_at..name_at + name_length * 2]);
            let id = number(&piece, 14, 2);
            assert!(ids.insert(id) && id < number(record, 0x28, 2), "record {index}: attribute id {id}");
            let first = if piece[8] == 1 { number(&piece, 0x10, 8) } else { 0 };
            pieces.push(((kind, name), id, first, piece));
            at += length;
        }
        let used = number(record, 0x18, 4) as usize;
        assert!(used == at + 8 && used <= record.len(), "record {index}: {used} bytes used, ends at {at}");
        pieces
    }

    fn raw(&self, index: u64) -> Vec<u8> {
        self.read(&self.mft, index * self.record as u64, self.record)
    }

    fn join(&self, file: &mut File, (kind, name): Key, first: u64, piece: &[u8], index: u64) {
        if kind == 0x30 {
            let (length, at) = (number(piece, 0x10, 4) as usize, number(piece, 0x14, 2) as usize);
            assert_eq!(piece[0x16], 1, "record {index}: a name is indexed");
            file.names.push(piece[at..at + length].to_vec());
            return;
        }
        let what = format!("record {index}, attribute {kind:#x}");
        if piece[8] == 0 {
            let (length, at) = (number(piece, 0x10, 4) as usize, number(piece, 0x14, 2) as usize);
            let inside = Some(piece[at..at + length].to_vec());
            let size = length as u64;
            let flags = number(piece, 12, 2);
            let whole = Attribute { inside, size, initialized: size, flags, ..Attribute::default() };
            assert!(file.attributes.insert((kind, name), whole).is_none(), "{what} twice");
            return;
        }
        let attribute = file.attributes.entry((kind, name)).or_default();
        let mut vcn = attribute.runs.last().map_or(0, |run| run.0 + run.2);
        assert_eq!(first, vcn, "{what}: pieces follow each other");
        if first == 0 {
            attribute.flags = number(piece, 12, 2);
            attribute.allocated = number(piece, 0x28, 8);
            attribute.size = number(piece, 0x30, 8);
            attribute.initialized = number(piece, 0x38, 8);
        }
        pairs(&piece[number(piece, 0x20, 2) as usize..], &mut vcn, &mut attribute.runs);
        assert_eq!(number(piece, 0x18, 8), vcn.wrapping_sub(1), "{what}: highest cluster");
    }

    fn load(&mut self, index: u64) -> Option<File> {
        let record = self.raw(index);
        if !record.starts_with(b"FILE") {
            return None;
        }
        let record = fixed(record, &format!("record {index}"));
        if record[0x16] & 1 == 0 || number(&record, 0x20, 8) != 0 {
            return None;
        }
        if number(&record, 4, 2) >= 0x30 {
            assert_eq!(number(&record, 0x2c, 4), index, "a record knows its number");
        }
        let mut file =
            File { sequence: number(&record, 0x10, 2), directory: record[0x16] & 2 != 0, ..File::default() };
        let own = self.pieces(index, &record);
        let list = own.iter().find(|((kind, _), ..)| *kind == 0x20).map(|(_, _, _, piece)| piece.clone());
        match list {
            None => {
                for (key, _, first, piece) in own {
                    self.join(&mut file, key, first, &piece, index);
                }
            }
            Some(list) => self.load_listed(index, &mut file, &list, own),
        }
        assert_eq!(number(&record, 0x12, 2) as usize, file.names.len(), "record {index}: names are counted");
        Some(file)
    }

    fn load_listed(&mut self, index: u64, file: &mut File, list: &[u8], own: Vec<(Key, u64, u64, Vec<u8>)>) {
        let mut holder = File::default();
        self.join(&mut holder, (0x20, Vec::new()), 0, list, index);
        let list = holder.attributes.remove(&(0x20, Vec::new())).unwrap();
        let bytes = self.all(&list);
        file.attributes.insert((0x20, Vec::new()), list);
        let mut at = 0;
        let mut seen = BTreeSet::new();
        let mut records: BTreeMap<u64, Vec<Piece>> = BTreeMap::new();
        records.insert(index, own);
        let mut before: Option<(u64, u64)> = None;
        while at < bytes.len() {
            let (kind, length) = (number(&bytes, at, 4), number(&bytes, at + 4, 2) as usize);
            let (vcn, reference) = (number(&bytes, at + 8, 8), number(&bytes, at + 16, 8));
            let (other, id) = (reference & MASK, number(&bytes, at + 24, 2));
            assert!(before.is_none_or(|before| before.0 <= kind), "record {index}: the list is sorted");
            before = Some((kind, vcn));
            if let std::collections::btree_map::Entry::Vacant(free) = records.entry(other) {
                let record = fixed(self.raw(other), &format!("record {other}"));
                assert_eq!(number(&record, 0x20, 8), index | file.sequence << 48, "record {other}: base");
                assert_eq!(number(&record, 0x10, 2), reference >> 48, "record {other}: sequence");
                assert_eq!(record[0x16] & 1, 1, "record {other} continues {index} and is in use");
                free.insert(self.pieces(other, &record));
            }
            let pieces = &records[&other];
            let piece =
                pieces.iter().find(|piece| piece.1 == id).expect("a listed attribute is there").clone();
            assert_eq!((piece.0.0, piece.2), (kind, vcn), "record {index}: the list says what is there");
            assert!(seen.insert((other, id)));
            self.join(file, piece.0, piece.2, &piece.3, index);
            at += length;
        }
        let count: usize = records.values().map(Vec::len).sum();
        assert_eq!(seen.len() + 1, count, "record {index}: every attribute is listed");
        for other in records.keys().filter(|other| **other != index) {
            self.owners[*other as usize] = index as u32 + 1;
        }
    }

    /// Every record is in use exactly if its bit is set, and is a file or continues one.
    fn records(&mut self) {
        let count = self.mft.size / self.record as u64;
        self.owners = vec![0; count as usize];
        for index in 0..count {
            if let Some(file) = self.load(index) {
                self.files.insert(index, file);
            }
        }
        let bits = self.all(&self.files[&0].attributes[&(0xb0, Vec::new())]);
        for index in 0..bits.len() as u64 * 8 {
            let set = bits[(index / 8) as usize] >> (index % 8) & 1 == 1;
            let used = self.files.contains_key(&index)
                || self.owners.get(index as usize).is_some_and(|owner| *owner > 0);
            // mkntfs marks the reserved records.
            assert!(set == used || (set && index < 24), "record {index}: bit {set}, in use {used}");
        }
    }

    /// Every cluster has one owner exactly if its bit is set.
    fn clusters(&self) {
        let mut owner: BTreeMap<u64, u64> = BTreeMap::new();
        let mut used = vec![false; self.clusters as usize];
        for (index, file) in &self.files {
            for ((kind, name), attribute) in &file.attributes {
                let what = format!("record {index}, attribute {kind:#x} {}", String::from_utf16_lossy(name));
                if attribute.inside.is_some() {
                    continue;
                }
                let end = attribute.runs.last().map_or(0, |run| run.0 + run.2);
                assert_eq!(attribute.allocated, end * self.cluster, "{what}: allocated");
                assert!(attribute.size <= attribute.allocated, "{what}: size");
                assert!(attribute.initialized <= attribute.size, "{what}: initialized");
                for (_, lcn, length) in &attribute.runs {
                    let Some(lcn) = lcn else {
                        assert!(attribute.flags & 0x8001 != 0 || *index == 8, "{what}: a hole");
                        continue;
                    };
                    for cluster in *lcn..lcn + length {
                        assert!(
                            !used[cluster as usize],
                            "{what}: cluster {cluster} is also of {:?}",
                            owner.get(&cluster)
                        );
                        used[cluster as usize] = true;
                        owner.insert(cluster, *index);
                    }
                }
            }
        }
        let bits = self.all(&self.files[&6].attributes[&(0x80, Vec::new())]);
        for (cluster, used) in used.iter().enumerate() {
            let set = bits[cluster / 8] >> (cluster % 8) & 1 == 1;
            assert_eq!(set, *used, "cluster {cluster}: bit, use");
        }
    }

    /// All entries of an index in order; blocks and their bits.
    fn index(&self, index: u64, name: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
        let (file, name) = (&self.files[&index], name.encode_utf16().collect::<Vec<_>>());
        let root = file.attributes[&(0x90, name.clone())].inside.as_ref().unwrap();
        let block = number(root, 8, 4);
        let unit = if self.cluster > block { 512 } else { self.cluster };
        let empty = Attribute::default();
        let blocks = file.attributes.get(&(0xa0, name.clone())).unwrap_or(&empty);
        let (mut list, mut seen, mut depths) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        let mut walk =
            Walk { check: self, blocks, block, unit, list: &mut list, seen: &mut seen, depths: &mut depths };
        walk.node(root, 16, 0, index);
        assert_eq!(depths.len(), 1, "directory {index}: leaves are at one depth: {depths:?}");
        self.levels.set(self.levels.get().max(depths.first().map_or(0, |depth| depth + 1)));
        if let Some(bitmap) = file.attributes.get(&(0xb0, name)) {
            let bits = self.all(bitmap);
            for block in 0..bits.len() as u64 * 8 {
                let set = bits[(block / 8) as usize] >> (block % 8) & 1 == 1;
                assert_eq!(set, seen.contains(&block), "directory {index}: block {block}: bit, use");
            }
        }
        list
    }

    fn upper(&self, name: &[u16]) -> Vec<u16> {
        name.iter().map(|unit| self.upcase[usize::from(*unit)]).collect()
    }

    fn directories(&self) {
        let mut indexed = BTreeSet::new();
        for (index, file) in self.files.iter().filter(|(_, file)| file.directory) {
            let mut last: Option<(Vec<u16>, Vec<u16>)> = None;
            for (front, key) in self.index(*index, "$I30") {
                let name = text(&key[0x42..0x42 + usize::from(key[0x40]) * 2]);
                let order = (self.upper(&name), name);
                assert!(
                    last.as_ref().is_none_or(|last| *last < order),
                    "directory {index} is sorted at {order:?}"
                );
                let reference = number(&front, 0, 8);
                let target = self.files.get(&(reference & MASK));
                let target = target
                    .unwrap_or_else(|| panic!("{:?} leads to a file", String::from_utf16_lossy(&order.1)));
                assert_eq!(reference >> 48, target.sequence, "directory {index}: {order:?}");
                self.summary(target, &key, &String::from_utf16_lossy(&order.1), *index);
                let parent = number(&key, 0, 8);
                assert_eq!(parent, index | file.sequence << 48, "{order:?}: parent");
                assert!(indexed.insert((reference & MASK, parent, key[0x41], order.1.clone())));
                last = Some(order);
            }
        }
        let mut named = BTreeSet::new();
        for (index, file) in &self.files {
            for name in &file.names {
                let units = text(&name[0x42..0x42 + usize::from(name[0x40]) * 2]);
                assert!(named.insert((*index, number(name, 0, 8), name[0x41], units)));
            }
        }
        assert_eq!(
            indexed.difference(&named).collect::<Vec<_>>(),
            Vec::<&_>::new(),
            "entries without a name"
        );
        assert_eq!(
            named.difference(&indexed).collect::<Vec<_>>(),
            Vec::<&_>::new(),
            "names without an entry"
        );
    }

    /// What the directory says of a file's sizes, times and flags.
    fn summary(&self, file: &File, key: &[u8], name: &str, directory: u64) {
        if directory == 5 && name.starts_with(['$', '.']) || directory == 11 {
            return;
        }
        let standard = file.attributes[&(0x10, Vec::new())].inside.as_ref().unwrap();
        assert_eq!(key[8..0x20], standard[..0x18], "{name}: times in the directory");
        let flags = number(standard, 0x20, 4) | if file.directory { 0x1000_0000 } else { 0 };
        assert_eq!(number(key, 0x38, 4) & !0x200, flags & !0x200, "{name}: flags in the directory");
        if let Some(data) = file.attributes.get(&(0x80, Vec::new())).filter(|_| !file.directory) {
            assert_eq!(number(key, 0x30, 8), data.size, "{name}: size in the directory");
        }
    }

    /// The indexes of reparse points and object ids, and the ids of access rights.
    fn extend(&self) {
        let Some(extend) = self.files.get(&11).filter(|file| file.directory) else { return };
        assert!(extend.sequence > 0);
        for (_, key) in self.index(11, "$I30") {
            let name = String::from_utf16_lossy(&text(&key[0x42..0x42 + usize::from(key[0x40]) * 2]));
            let found = self.files.iter().find(|(_, file)| {
                file.names.iter().any(|own| {
                    own[0x42..] == key[0x42..0x42 + usize::from(key[0x40]) * 2] && own[..8] == key[..8]
                })
            });
            let index = *found.unwrap().0;
            if name == "$Reparse" {
                let keys: Vec<Vec<u8>> = self.index(index, "$R").into_iter().map(|(_, key)| key).collect();
                let mut expected: Vec<Vec<u8>> = Vec::new();
                for (index, file) in &self.files {
                    if let Some(reparse) = file.attributes.get(&(0xc0, Vec::new())) {
                        let reference = index | file.sequence << 48;
                        expected.push([&self.all(reparse)[..4], &reference.to_le_bytes()].concat());
                    }
                }
                expected.sort_by_key(|key| [number(key, 0, 4), number(key, 4, 4), number(key, 8, 4)]);
                assert_eq!(keys, expected, "the index of reparse points");
            }
            if name == "$ObjId" {
                let keys: BTreeSet<Vec<u8>> =
                    self.index(index, "$O").into_iter().map(|(_, key)| key).collect();
                let ids = self.files.values().filter_map(|file| file.attributes.get(&(0x40, Vec::new())));
                let expected = ids.filter_map(|id| id.inside.as_ref()).map(|id| id[..16].to_vec()).collect();
                assert_eq!(keys, expected, "the index of object ids");
            }
        }
        let ids: BTreeSet<u64> = self.index(9, "$SII").iter().map(|(_, key)| number(key, 0, 4)).collect();
        for (index, file) in self.files.iter().filter(|(index, _)| **index >= 16) {
            let standard = file.attributes[&(0x10, Vec::new())].inside.as_ref().unwrap();
            if standard.len() >= 0x48 {
                let id = number(standard, 0x34, 4);
                let own = file.attributes.contains_key(&(0x50, Vec::new()));
                assert!(ids.contains(&id) || (id == 0 && own), "record {index}: access rights {id}");
            }
        }
    }
}

struct Walk<'w> {
    check: &'w Check<'w>,
    blocks: &'w Attribute,
    block: u64,
    unit: u64,
    list: &'w mut Vec<(Vec<u8>, Vec<u8>)>,
    seen: &'w mut BTreeSet<u64>,
    depths: &'w mut BTreeSet<u64>,
}

impl Walk<'_> {
    fn node(&mut self, node: &[u8], header: usize, depth: u64, index: u64) {
        let mut at = header + number(node, header, 4) as usize;
        let end = header + number(node, header + 4, 4) as usize;
        let below = node[header + 12] & 1 == 1;
        if !below {
            self.depths.insert(depth);
        }
        assert!(
            end <= node.len() && number(node, header + 8, 4) as usize + header <= node.len(),
            "node of {index}"
        );
        loop {
            let (length, key, flags) = (
                number(node, at + 8, 2) as usize,
                number(node, at + 10, 2) as usize,
                number(node, at + 12, 2),
            );
            assert_eq!(flags & 1 == 1, below, "directory {index}: entries with and without nodes below");
            if flags & 1 == 1 {
                let child = number(node, at + length - 8, 8);
                let offset = child * self.unit;
                assert!(self.seen.insert(offset / self.block), "directory {index}: block {child} twice");
                assert!(
                    offset + self.block <= self.blocks.size,
                    "directory {index}: block {child} beyond the end"
                );
                let bytes = self.check.read(self.blocks, offset, self.block as usize);
                assert!(bytes.starts_with(b"INDX"), "directory {index}: block {child}");
                let bytes = fixed(bytes, &format!("directory {index}, block {child}"));
                assert_eq!(number(&bytes, 16, 8), child, "a block knows its number");
                let entries = 0x18 + number(&bytes, 0x18, 4) as usize;
                assert!(
                    number(&bytes, entries + 12, 2) & 2 == 0,
                    "directory {index}: block {child} is empty"
                );
                self.node(&bytes, 0x18, depth + 1, index);
            }
            if flags & 2 == 2 {
                assert_eq!(at + length, end, "directory {index}: the end mark ends the node");
                return;
            }
            self.list.push((node[at..at + 8].to_vec(), node[at + 16..at + 16 + key].to_vec()));
            at += length;
        }
    }
}

/// What a volume makes use of, so that a test can tell whether it tests something.
#[derive(Debug)]
pub struct Uses {
    /// files whose list of attributes has clusters
    pub lists_outside: usize,
    /// the master file table is one of them
    pub mft: bool,
    /// the most levels of a directory's index
    pub levels: u64,
}

/// Panics at the first thing that is wrong.
pub fn check(blob: &dyn Blob) -> Uses {
    let boot = blob.read(0, 512).unwrap();
    let per = match boot[13] {
        power @ 0xe1.. => 1 << (256 - u64::from(power)),
        count => u64::from(count),
    };
    let sector = number(&boot, 11, 2);
    let cluster = per * sector;
    let record = match boot[0x40] as i8 {
        power if power < 0 => 1usize << -power,
        count => count as usize * cluster as usize,
    };
    let clusters = number(&boot, 0x28, 8) * sector / cluster;
    let start = number(&boot, 0x30, 8) * cluster;
    let mut check = Check {
        blob,
        cluster,
        record,
        clusters,
        upcase: Vec::new(),
        mft: Attribute::default(),
        files: BTreeMap::new(),
        owners: vec![0; 1 << 20],
        levels: Default::default(),
    };
    // The table's first piece, to begin with.
    let first = fixed(blob.read(start, record as u32).unwrap(), "record 0");
    let mut file = File::default();
    for (key, _, first, piece) in check.pieces(0, &first) {
        if key.0 == 0x80 {
            check.join(&mut file, key, first, &piece, 0);
        }
    }
    check.mft = file.attributes.remove(&(0x80, Vec::new())).unwrap();
    let whole = check.load(0).unwrap();
    check.mft = whole.attributes[&(0x80, Vec::new())].clone();
    check.records();
    check.upcase = text(&check.all(&check.files[&10].attributes[&(0x80, Vec::new())]));
    let mirror = &check.files[&1].attributes[&(0x80, Vec::new())];
    let length = mirror.size as usize / record * record;
    assert!(check.read(mirror, 0, length) == check.read(&check.mft, 0, length), "$MFTMirr is a copy");
    check.clusters();
    check.directories();
    check.extend();
    assert_eq!(
        blob.read(number(&boot, 0x28, 8) * sector, 512).unwrap(),
        boot,
        "the backup of the boot sector"
    );
    let lists = || check.files.values().filter_map(|file| file.attributes.get(&(0x20, Vec::new())));
    Uses {
        lists_outside: lists().filter(|list| list.inside.is_none()).count(),
        mft: check.files[&0].attributes.contains_key(&(0x20, Vec::new())),
        levels: check.levels.get(),
    }
}
