//! The difference between two states of a volume, as the records of a log that lead from one to the other.

use crate::raw::{Volume, fixed};
use wherry_sdk::Blob;
use wherry_sdk::bytes::{field, little};

/// An attribute that is open.
#[derive(Clone, Debug, PartialEq)]
pub struct Opened {
    /// the file's reference
    pub file: u64,
    pub kind: u32,
    pub name: Vec<u8>,
    /// bytes of a block
    pub block: u32,
}

/// What a change does to a structure: operations, offset in the record, in the attribute, bytes after and before.
type Step = (u16, u16, usize, usize, Vec<u8>, Vec<u8>);

/// A change.
#[derive(Clone, Debug)]
pub struct Change {
    pub redo: u16,
    pub undo: u16,
    pub opened: Opened,
    pub record_offset: usize,
    pub attribute_offset: usize,
    pub cluster_offset: usize,
    pub vcn: u64,
    pub lcns: Vec<u64>,
    pub after: Vec<u8>,
    pub before: Vec<u8>,
}

/// A structure or a page of bits that differs.
pub struct Piece {
    /// where it is, in parts
    pub places: Vec<u64>,
    pub changes: Vec<Change>,
    /// as it was stored before
    pub before: Vec<u8>,
    /// it knows its newest change
    pub numbered: bool,
}

fn text(bytes: &[u8], at: usize) -> Vec<u8> {
    let length = usize::from(bytes[at + 9]) * 2;
    field(bytes, at + little(bytes, at + 10, 2) as usize, length).to_vec()
}

/// A file record in parts: up to its attributes, and these.
fn parts(bytes: &[u8]) -> (usize, Vec<Vec<u8>>) {
    let first = little(bytes, 0x14, 2) as usize;
    let (mut at, mut list) = (first, Vec::new());
    while little(bytes, at, 4) != 0xffff_ffff {
        let length = little(bytes, at + 4, 4) as usize;
        list.push(bytes[at..at + length].to_vec());
        at += length;
    }
    (first, list)
}

fn key(attribute: &[u8]) -> (u64, Vec<u8>, u64) {
    (little(attribute, 0, 4), text(attribute, 0), little(attribute, 14, 2))
}

/// Where the mapping pairs are, and all bytes from there on, as Windows logs them.
fn pairs(attribute: &[u8]) -> (usize, Vec<u8>) {
    let first = little(attribute, 0x20, 2) as usize;
    (first, attribute[first..].to_vec())
}

fn sizes(attribute: &[u8]) -> Vec<u8> {
    // The log has the initialized size before the size.
    [0x28, 0x38, 0x30].into_iter().flat_map(|at| attribute[at..at + 8].to_vec()).collect()
}

/// Entries of a node, the last one included.
fn entries(node: &[u8], header: usize) -> Vec<Vec<u8>> {
    let (mut at, mut list) = (header + little(node, header, 4) as usize, Vec::new());
    loop {
        let length = little(node, at + 8, 2) as usize;
        list.push(node[at..at + length].to_vec());
        if node[at + 12] & 2 != 0 {
            return list;
        }
        at += length;
    }
}

/// Steps from one node to the other; none where entries alone do not lead there. Operations are those of the first node; in a
/// block they are two higher, and one for what is in an entry.
fn entry_steps(one: &[u8], two: &[u8], header: usize, roff: usize, block: bool) -> Option<Vec<Step>> {
    if one[header + 12] != two[header + 12] || little(one, header, 4) != little(two, header, 4) {
        return None;
    }
    let (ones, twos) = (entries(one, header), entries(two, header));
    let id = |entry: &[u8]| match entry[12] & 2 {
        0 => {
            let key = 16 + little(entry, 10, 2) as usize;
            (entry[..8].to_vec(), entry.get(16 + 64..key).unwrap_or_default().to_vec())
        }
        _ => Default::default(),
    };
    let child = |entry: &[u8]| (entry[12] & 1 != 0).then(|| entry[entry.len() - 8..].to_vec());
    let by = |code: u16| code + if block { 2 } else { 0 };
    let inside = |code: u16| code + u16::from(block);
    let (mut at, mut i, mut j, mut steps) = (header + little(one, header, 4) as usize, 0, 0, Vec::new());
    while i < ones.len() || j < twos.len() {
        let (x, y) = (ones.get(i)?, twos.get(j)?);
        if id(x) == id(y) {
            if x.len() != y.len() || child(x).is_some() != child(y).is_some() {
                return None;
            }
            if id(x) != Default::default() && x[24..24 + 56] != y[24..24 + 56] {
                steps.push((inside(0x13), inside(0x13), roff, at, y[24..80].to_vec(), x[24..80].to_vec()));
            }
            if let (Some(x), Some(y)) = (child(x), child(y))
                && x != y
            {
                steps.push((inside(0x11), inside(0x11), roff, at, y, x));
            }
            (at, i, j) = (at + y.len(), i + 1, j + 1);
        } else if y[12] & 2 != 0 || ones[i..].iter().any(|other| id(other) == id(y)) {
            steps.push((by(0x0d), by(0x0c), roff, at, Vec::new(), x.clone()));
            i += 1;
        } else {
            steps.push((by(0x0c), by(0x0d), roff, at, y.clone(), Vec::new()));
            (at, j) = (at + y.len(), j + 1);
        }
    }
    Some(steps)
}

/// Steps from one attribute to the other.
fn attribute_steps(one: &[u8], two: &[u8], roff: usize) -> Vec<Step> {
    let whole = vec![(6, 5, roff, 0, Vec::new(), one.to_vec()), (5, 6, roff, 0, two.to_vec(), Vec::new())];
    if one[8..0x10] != two[8..0x10] {
        return whole;
    }
    if one[8] != 0 {
        let ((at, old), (other, new)) = (pairs(one), pairs(two));
        if at != other || one[0x10..0x18] != two[0x10..0x18] {
            return whole;
        }
        let mut steps = vec![(0x0b, 0x0b, roff, 0, sizes(two), sizes(one))];
        if old != new {
            steps.push((9, 9, roff, at, new, old));
        }
        return steps;
    }
    let value = little(one, 0x14, 2) as usize;
    let end = |attribute: &[u8]| value + little(attribute, 0x10, 4) as usize;
    let (a, b) = (&one[..end(one)], &two[..end(two)]);
    if little(one, 0, 4) == 0x90 {
        return entry_steps(one, two, value + 16, roff, false).unwrap_or(whole);
    }
    let from = (value..a.len().min(b.len())).find(|at| a[*at] != b[*at]).unwrap_or(a.len().min(b.len()));
    vec![(7, 7, roff, from, b[from..].to_vec(), a[from..].to_vec())]
}

/// Steps from one file record to the other, their update sequences resolved.
fn record_steps(one: Option<&[u8]>, two: &[u8]) -> Vec<Step> {
    let used = little(two, 0x18, 4) as usize;
    let in_use = |bytes: &[u8]| bytes[0x16] & 1 != 0;
    let old = one.filter(|bytes| in_use(bytes));
    let make = (2, 0, 0, 0, two[..used].to_vec(), Vec::new());
    match (old, in_use(two)) {
        (None, false) => Vec::new(),
        (None, true) => vec![(0, 3, 0, 0, Vec::new(), vec![0; 8]), make],
        (Some(old), false) => vec![(3, 2, 0, 0, Vec::new(), old[..0x18].to_vec())],
        (Some(old), true) if old[0x10..0x12] != two[0x10..0x12] || old[0x16] != two[0x16] => {
            let before = old[..little(old, 0x18, 4) as usize].to_vec();
            vec![(0, 2, 0, 0, Vec::new(), before), make]
        }
        (Some(old), true) => {
            let ((first, mut now), (_, want)) = (parts(old), parts(two));
            let place = |now: &[Vec<u8>], i: usize| first + now[..i].iter().map(Vec::len).sum::<usize>();
            let mut steps = Vec::new();
            while let Some(i) = now.iter().position(|one| !want.iter().any(|two| key(one) == key(two))) {
                steps.push((6, 5, place(&now, i), 0, Vec::new(), now.remove(i)));
            }
            for i in 0..now.len() {
                let two = want.iter().find(|two| key(two) == key(&now[i])).unwrap();
                if *two != now[i] {
                    steps.extend(attribute_steps(&now[i], two, place(&now, i)));
                    now[i].clone_from(two);
                }
            }
            for (i, two) in want.iter().enumerate() {
                if now.get(i).is_none_or(|one| key(one) != key(two)) {
                    steps.push((5, 6, place(&now, i), 0, two.clone(), Vec::new()));
                    now.insert(i, two.clone());
                }
            }
            steps
        }
    }
}

/// Steps from one index block to the other.
fn block_steps(one: Option<&[u8]>, two: &[u8]) -> Vec<Step> {
    let whole = |bytes: &[u8]| bytes[..0x18 + little(bytes, 0x1c, 4) as usize].to_vec();
    let Some(one) = one else { return vec![(8, 0, 0, 0, whole(two), Vec::new())] };
    let steps = entry_steps(one, two, 0x18, 0, true);
    let Some(steps) = steps else { return vec![(8, 8, 0, 0, whole(two), whole(one))] };
    if steps.len() > 6 {
        // Windows writes the rest of a block that was split in one.
        let (at, _) = (steps[0].3, ());
        return vec![(0x10, 0x10, 0, at, whole(two)[at..].to_vec(), whole(one)[at..].to_vec())];
    }
    steps
}

/// Steps from some bits to the others.
fn bit_steps(one: &[u8], two: &[u8]) -> Vec<Step> {
    let bit = |bytes: &[u8], at: usize| bytes[at / 8] >> (at % 8) & 1;
    let (mut at, mut steps) = (0, Vec::new());
    while at < one.len() * 8 {
        let start = at;
        while at < one.len() * 8 && bit(one, at) != bit(two, at) && bit(one, at) == bit(one, start) {
            at += 1;
        }
        if at == start {
            at += 1;
            continue;
        }
        let range: Vec<u8> =
            [start as u32, (at - start) as u32].iter().flat_map(|n| n.to_le_bytes()).collect();
        let (redo, undo) = if bit(one, start) == 0 { (0x15, 0x16) } else { (0x16, 0x15) };
        steps.push((redo, undo, 0, 0, range.clone(), range));
    }
    steps
}

/// Where in the volume an attribute's bytes from `offset` on are.
struct Spot<'a> {
    opened: &'a Opened,
    runs: &'a [(u64, u64)],
    offset: u64,
    length: usize,
}

impl Spot<'_> {
    fn changes(&self, volume: &Volume, steps: Vec<Step>) -> Vec<Change> {
        let cluster = volume.cluster;
        let (first, last) = (self.offset / cluster, (self.offset + self.length as u64 - 1) / cluster);
        let lcns: Vec<u64> =
            (first..=last).map(|vcn| volume.place(self.runs, vcn * cluster) / cluster).collect();
        let change = |(redo, undo, record_offset, attribute_offset, after, before)| Change {
            redo,
            undo,
            opened: self.opened.clone(),
            record_offset,
            attribute_offset,
            cluster_offset: (self.offset % cluster / 512) as usize,
            vcn: first,
            lcns: lcns.clone(),
            after,
            before,
        };
        steps.into_iter().map(change).collect()
    }

    fn piece(&self, one: &Volume, two: &Volume, word: Option<&[u8]>) -> Option<Piece> {
        let [before, after] = [one, two].map(|volume| volume.gather(self.runs, self.offset, self.length));
        if before == after {
            return None;
        }
        let whole = |bytes: &[u8]| fixed(bytes).filter(|bytes| bytes.starts_with(word.unwrap_or_default()));
        let steps = match word {
            Some(b"FILE") => record_steps(whole(&before).as_deref(), &whole(&after)?),
            Some(_) => block_steps(whole(&before).as_deref(), &whole(&after)?),
            None => bit_steps(&before, &after),
        };
        let places = (self.offset..self.offset + self.length as u64).step_by(512);
        Some(Piece {
            places: places.map(|at| two.place(self.runs, at)).collect(),
            changes: self.changes(two, steps),
            before,
            numbered: word.is_some(),
        })
    }
}

/// All that differs between two states and is logged: file records, index blocks, bitmaps. Clusters are those of the
/// second state.
pub fn describe(one: &Volume, two: &Volume) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let table = Opened { file: 1 << 48, kind: 0x80, name: Vec::new(), block: 0 };
    let records = two.mft.iter().map(|run| run.1).sum::<u64>() * two.cluster / two.record as u64;
    for number in 0..records {
        let offset = number * two.record as u64;
        let spot = Spot { opened: &table, runs: &two.mft, offset, length: two.record };
        pieces.extend(spot.piece(one, two, Some(b"FILE")));
        let record =
            fixed(&two.gather(&two.mft, offset, two.record)).filter(|bytes| bytes.starts_with(b"FILE"));
        let Some(record) = record.filter(|bytes| bytes[0x16] & 1 != 0) else { continue };
        for attribute in parts(&record).1.iter().filter(|attribute| attribute[8] != 0) {
            let kind = little(attribute, 0, 4) as u32;
            let bits = kind == 0xb0 || (kind == 0x80 && number == 6);
            if !bits && kind != 0xa0 {
                continue;
            }
            let block = if bits { 0 } else { 4096 };
            let file = number | little(&record, 0x10, 2) << 48;
            let opened = Opened { file, kind, name: text(attribute, 0), block };
            let runs = crate::raw::runs(&pairs(attribute).1);
            let length = runs.iter().map(|run| run.1).sum::<u64>() * two.cluster;
            for offset in (0..length).step_by(4096) {
                let length = (length - offset).min(4096) as usize;
                let spot = Spot { opened: &opened, runs: &runs, offset, length };
                let word: Option<&[u8]> = if bits { None } else { Some(b"INDX") };
                pieces.extend(spot.piece(one, two, word));
            }
        }
    }
    pieces
}

/// Writes a piece to a volume as it was before.
pub fn write(volume: &Volume, piece: &Piece) {
    for (place, sector) in piece.places.iter().zip(piece.before.chunks(512)) {
        volume.write(*place, sector).unwrap();
    }
}
