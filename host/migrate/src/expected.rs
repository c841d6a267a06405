//! What an edit must have left in a file, looked for again by fresh instances.

use runtime::contract::Patch;
use std::collections::BTreeMap;

/// What must be found at a path.
pub enum Expected {
    /// A file of exactly this content.
    Content(blake3::Hash),
    /// A file with these parts.
    Parts(Parts),
    /// Nothing.
    Gone,
}

/// Parts of a file, apart from each other, by their offsets.
#[derive(Default)]
pub struct Parts {
    /// Bytes of the file.
    pub size: u64,
    parts: BTreeMap<u64, Vec<u8>>,
}

impl Parts {
    /// Of a file of `size` bytes, nothing of it known yet.
    pub fn new(size: u64) -> Self {
        Self { size, parts: BTreeMap::new() }
    }

    /// A part that was written over whatever was there.
    pub fn put(&mut self, patch: &Patch) {
        let (start, end) = (patch.offset, patch.offset + patch.bytes.len() as u64);
        self.size = self.size.max(end);
        if start == end {
            return;
        }
        let before = self.parts.range(..start).next_back().map(|(at, bytes)| (*at, bytes.len() as u64));
        if let Some((at, length)) = before.filter(|(at, length)| at + length > start)
            && let Some(bytes) = self.parts.get_mut(&at)
        {
            let rest = bytes.split_off((start - at) as usize);
            if at + length > end {
                self.parts.insert(end, rest[(end - start) as usize..].to_vec());
            }
        }
        let covered: Vec<u64> = self.parts.range(start..end).map(|(at, _)| *at).collect();
        for at in covered {
            let bytes = self.parts.remove(&at).unwrap_or_default();
            if at + bytes.len() as u64 > end {
                self.parts.insert(end, bytes[(end - at) as usize..].to_vec());
            }
        }
        self.parts.insert(start, patch.bytes.clone());
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.parts.iter().map(|(at, bytes)| (*at, bytes.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_parts_cover_earlier_ones() {
        let (mut model, mut known) = ([0_u8; 64], [false; 64]);
        let mut parts = Parts::new(10);
        let mut state = 7_u64;
        for round in 1..=200_u8 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (from, length) = ((state >> 33) as usize % 50, (state >> 50) as usize % 14);
            parts.put(&Patch { offset: from as u64, bytes: vec![round; length] });
            model[from..from + length].fill(round);
            known[from..from + length].fill(true);
            let mut found = [false; 64];
            for (at, bytes) in parts.iter() {
                let at = at as usize;
                assert_eq!(&model[at..at + bytes.len()], bytes);
                assert!(found[at..at + bytes.len()].iter().all(|known| !known), "two parts overlap");
                found[at..at + bytes.len()].fill(true);
            }
            assert_eq!(found, known);
        }
        assert_eq!(parts.size, 1 + known.iter().rposition(|known| *known).unwrap() as u64);
    }
}
