//! What must hold in every hive, looked at without the crate: bins fill the file, cells fill bins, every allocated cell is
//! referred to exactly once (security items as often as they say), lists are sorted, and hints and counts are right.

use std::collections::BTreeMap;

const BASE: usize = 4096;
const NONE: usize = 0xffff_ffff;

/// How strict to be: others leave free cells side by side, or forget cells.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    Ours,
    /// A hive of others that we edited.
    Mixed,
}

struct Checker<'a> {
    hive: &'a [u8],
    minor: usize,
    /// Length of each cell, whether it is free, and how often it was referred to.
    cells: BTreeMap<usize, (usize, bool, usize)>,
    complaints: Vec<String>,
    keys: usize,
}

fn word(bytes: &[u8], at: usize) -> usize {
    bytes.get(at..at + 4).map_or(0, |word| u32::from_le_bytes(word.try_into().unwrap()) as usize)
}

fn half(bytes: &[u8], at: usize) -> usize {
    word(&[&bytes[at..at + 2], &[0, 0]].concat(), 0)
}

/// Upper-case units; letters that become several stay.
fn name(bytes: &[u8], compressed: bool) -> Vec<u16> {
    let units: Vec<u16> = match compressed {
        true => bytes.iter().map(|byte| u16::from(*byte)).collect(),
        false => bytes.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect(),
    };
    let upper = |unit: &u16| {
        let letters: Vec<char> =
            char::from_u32((*unit).into()).map(|c| c.to_uppercase().collect()).unwrap_or_default();
        match letters[..] {
            [one] => u16::try_from(u32::from(one)).unwrap_or(*unit),
            _ => *unit,
        }
    };
    units.iter().map(upper).collect()
}

impl<'a> Checker<'a> {
    fn complain(&mut self, text: String) {
        self.complaints.push(text);
    }

    /// Refers to a cell: what it holds.
    fn cell(&mut self, at: usize, what: &str) -> &'a [u8] {
        match self.cells.get_mut(&at) {
            Some((length, false, references)) => {
                *references += 1;
                &self.hive[BASE + at + 4..BASE + at + *length]
            }
            Some(_) => {
                self.complain(format!("{what}: the cell at {at} is free"));
                &[]
            }
            None => {
                self.complain(format!("{what}: there is no cell at {at}"));
                &[]
            }
        }
    }

    fn base(&mut self) -> usize {
        let hive = self.hive;
        let sum = hive[..508].chunks(4).fold(0, |sum, bytes| sum ^ word(bytes, 0));
        if !hive.starts_with(b"regf") || sum != word(hive, 508) || word(hive, 4) != word(hive, 8) {
            self.complain("base block: letters, checksum or sequence numbers".into());
        }
        self.minor = word(hive, 24);
        word(hive, 40)
    }

    fn bins(&mut self, end: usize, writer: Writer) {
        let mut start = 0;
        while start < end {
            let head = &self.hive[BASE + start..];
            let size = word(head, 8);
            if !head.starts_with(b"hbin")
                || word(head, 4) != start
                || size == 0
                || !size.is_multiple_of(4096)
                || start + size > end
            {
                return self.complain(format!("no bin at {start}"));
            }
            let (mut at, mut free_before) = (start + 32, false);
            while at < start + size {
                let length = i32::from_le_bytes(self.hive[BASE + at..BASE + at + 4].try_into().unwrap());
                let (free, length) = (length > 0, length.unsigned_abs() as usize);
                if length < 8 || !length.is_multiple_of(8) || at + length > start + size {
                    return self.complain(format!("cell of {length} bytes at {at}"));
                }
                if free && free_before && writer == Writer::Ours {
                    self.complain(format!("free cells side by side at {at}"));
                }
                free_before = free;
                self.cells.insert(at, (length, free, 0));
                at += length;
            }
            start += size;
        }
    }

    /// The keys that a list names, with their hints.
    fn list(&mut self, at: usize, nested: bool) -> Vec<(usize, Option<usize>, bool)> {
        let bytes = self.cell(at, "list");
        let Some(letters) = bytes.get(..2) else { return Vec::new() };
        let count = half(bytes, 2);
        if count == 0 || (letters == b"lf" && count > 507) || count > 1013 {
            self.complain(format!("{count} elements in the list at {at}"));
        }
        match letters {
            b"ri" if !nested => (0..count).flat_map(|n| self.list(word(bytes, 4 + 4 * n), true)).collect(),
            b"li" => (0..count).map(|n| (word(bytes, 4 + 4 * n), None, false)).collect(),
            b"lf" | b"lh" => (0..count)
                .map(|n| (word(bytes, 4 + 8 * n), Some(word(bytes, 8 + 8 * n)), letters == b"lh"))
                .collect(),
            _ => {
                self.complain(format!("no list at {at}"));
                Vec::new()
            }
        }
    }

    /// A key and all below it; its name, and the length of its class.
    fn key(
        &mut self,
        at: usize,
        parent: Option<usize>,
        security: &mut BTreeMap<usize, usize>,
    ) -> (Vec<u16>, usize) {
        let node = self.cell(at, "key");
        if !node.starts_with(b"nk") {
            self.complain(format!("no key at {at}"));
            return (Vec::new(), 0);
        }
        self.keys += 1;
        if parent.is_some_and(|parent| word(node, 16) != parent) {
            self.complain(format!("the key at {at} has another parent"));
        }
        *security.entry(word(node, 44)).or_default() += 1;
        let class = half(node, 74);
        if word(node, 48) != NONE && self.cell(word(node, 48), "class").len() < class {
            self.complain(format!("class of the key at {at}"));
        }
        self.values(at, node);
        self.subkeys(at, node, security);
        (name(&node[76..76 + half(node, 72)], half(node, 2) & 0x20 != 0), class)
    }

    fn subkeys(&mut self, at: usize, node: &[u8], security: &mut BTreeMap<usize, usize>) {
        let entries = if word(node, 28) == NONE { Vec::new() } else { self.list(word(node, 28), false) };
        if entries.len() != word(node, 20) {
            self.complain(format!(
                "the key at {at} has {} subkeys, and says {}",
                entries.len(),
                word(node, 20)
            ));
        }
        let mut before: Option<Vec<u16>> = None;
        for (child, hint, hashed) in entries {
            let (name, class) = self.key(child, Some(at), security);
            if before.is_some_and(|before| before >= name) {
                self.complain(format!("the subkeys of the key at {at} are not sorted"));
            }
            if half(node, 52) < 2 * name.len() || word(node, 56) < class {
                self.complain(format!("the key at {at} says that its subkeys have shorter names or classes"));
            }
            let hash =
                name.iter().fold(0u32, |hash, unit| hash.wrapping_mul(37).wrapping_add((*unit).into()));
            if hashed && hint != Some(hash as usize) {
                self.complain(format!("the hash of the key at {child}"));
            }
            if let Some(hint) = hint.filter(|_| !hashed) {
                let letters = (hint as u32).to_le_bytes();
                let wide = name.iter().take(4).any(|unit| *unit > 255);
                let first: Vec<u8> =
                    name.iter().take(4).map(|unit| *unit as u8).chain([0; 4]).take(4).collect();
                if !wide && letters.is_ascii() && letters.to_ascii_uppercase() != first {
                    self.complain(format!("the hint of the key at {child}"));
                }
            }
            before = Some(name);
        }
    }

    fn values(&mut self, at: usize, node: &[u8]) {
        let (count, list) = (word(node, 36), word(node, 40));
        if (count == 0) != (list == NONE) {
            self.complain(format!("the key at {at} has {count} values and a list at {list}"));
        }
        if list == NONE {
            return;
        }
        let places = self.cell(list, "values");
        if places.len() < 4 * count {
            return self.complain(format!("the list of values of the key at {at} ends before"));
        }
        for number in 0..count {
            let value = self.cell(word(places, 4 * number), "value");
            if !value.starts_with(b"vk") {
                self.complain(format!("no value at {}", word(places, 4 * number)));
                continue;
            }
            let length = half(value, 2) * if half(value, 16) & 1 == 1 { 2 } else { 1 };
            let size = word(value, 4) & 0x7fff_ffff;
            if word(node, 60) < length || word(node, 64) < size {
                self.complain(format!("the key at {at} says that its values are shorter"));
            }
            self.data(value, size);
        }
    }

    fn data(&mut self, value: &[u8], size: usize) {
        if word(value, 4) != size {
            if size > 4 {
                self.complain(format!("{size} bytes in place of an offset"));
            }
            return;
        }
        if size == 0 {
            return;
        }
        let at = word(value, 8);
        let data = self.cell(at, "data");
        if size <= 16_344 || self.minor < 4 {
            if data.len() < size {
                self.complain(format!("data of {size} bytes at {at}"));
            }
            return;
        }
        let (count, list) = (half(data, 2), word(data, 4));
        let pieces = self.cell(list, "big data");
        if !data.starts_with(b"db") || count != size.div_ceil(16_344) || pieces.len() < 4 * count {
            return self.complain(format!("big data at {at}"));
        }
        for number in 0..count {
            let piece = self.cell(word(pieces, 4 * number), "piece").len();
            if piece < 16_344.min(size - number * 16_344) {
                self.complain(format!("piece {number} of the big data at {at}"));
            }
        }
    }

    /// The ring of security items, and how many keys each has.
    fn security(&mut self, counted: &BTreeMap<usize, usize>) {
        let Some(first) = counted.keys().next().copied() else { return };
        let (mut at, mut seen) = (first, 0);
        loop {
            let item = self.cell(at, "security");
            if !item.starts_with(b"sk") || word(item, 12) != counted.get(&at).copied().unwrap_or(0) {
                return self.complain(format!(
                    "the security item at {at} counts {}, and has {:?}",
                    word(item, 12),
                    counted.get(&at)
                ));
            }
            let next = word(item, 4);
            if word(self.hive, BASE + next + 4 + 8) != at {
                return self.complain(format!("the security items at {at} and {next} are not neighbours"));
            }
            seen += 1;
            if next == first || seen > counted.len() {
                break;
            }
            at = next;
        }
        if seen != counted.len() {
            self.complain(format!("{seen} security items in their ring, and {} in use", counted.len()));
        }
    }
}

/// Complaints about a hive, and how many keys it has.
pub fn check(hive: &[u8], writer: Writer) -> (Vec<String>, usize) {
    let mut checker = Checker { hive, minor: 0, cells: BTreeMap::new(), complaints: Vec::new(), keys: 0 };
    let end = checker.base();
    if BASE + end > hive.len() {
        checker.complain(format!("{end} bytes of bins in a file of {}", hive.len()));
        return (checker.complaints, 0);
    }
    checker.bins(end, writer);
    let mut security = BTreeMap::new();
    checker.key(word(hive, 36), None, &mut security);
    checker.security(&security);
    for (at, (_, free, references)) in &checker.cells {
        let forgotten = *references == 0 && writer == Writer::Ours;
        if !free && (*references > 1 || forgotten) {
            checker.complaints.push(format!("the cell at {at} is referred to {references} times"));
        }
    }
    (checker.complaints, checker.keys)
}

/// Fails where there is a complaint.
pub fn assert_sound(hive: &[u8], writer: Writer) {
    let (complaints, _) = check(hive, writer);
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn the_checker_complains() {
    let mut hive = wherry_registry::Hive::empty(5).unwrap();
    hive.set(r"a\b", "v", wherry_registry::Kind::BINARY, &[7; 20]).unwrap();
    hive.make("c").unwrap();
    let sound = hive.bytes().unwrap();
    assert_eq!(check(&sound, Writer::Ours), (Vec::new(), 4));
    // Every byte that is changed where something is said: but for free room, times and padding nearly all are noticed.
    let (mut noticed, mut passed) = (0, 0);
    for at in (0..512).chain(BASE..BASE + 700) {
        let mut hive = sound.clone();
        hive[at] ^= 0x55;
        let caught = std::panic::catch_unwind(|| !check(&hive, Writer::Ours).0.is_empty()).unwrap_or(true);
        *(if caught { &mut noticed } else { &mut passed }) += 1;
    }
    assert!(noticed > 700, "{noticed} noticed, {passed} passed");
}
