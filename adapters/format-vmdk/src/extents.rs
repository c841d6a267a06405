//! The answer of `extents` in the making: clipped, merged, without gaps.

use wherry_sdk::format::{Codec, Extent, Place};

/// Extents from a logical byte on.
pub(crate) struct Extents {
    start: u64,
    /// Bytes of the disk.
    size: u64,
    /// Number and bytes of the parent, if there is one.
    parent: Option<(u32, u64)>,
    list: Vec<Extent>,
}

impl Extents {
    pub(crate) fn new(start: u64, size: u64, parent: Option<(u32, u64)>) -> Self {
        Self { start, size, parent, list: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// The first `most`; the next one is only known to be complete when another has begun.
    pub(crate) fn take(mut self, most: usize) -> Vec<Extent> {
        self.list.truncate(most);
        self.list
    }

    pub(crate) fn zero(&mut self, logical: u64, length: u64) {
        self.push(logical, length, Place::Zero);
    }

    /// The parent's bytes, and zeroes beyond its end.
    pub(crate) fn absent(&mut self, logical: u64, length: u64) {
        let Some((part, size)) = self.parent else { return self.zero(logical, length) };
        let inherited = size.saturating_sub(logical).min(length);
        self.push(logical, inherited, Place::StoredIn((part, logical)));
        self.zero(logical + inherited, length - inherited);
    }

    pub(crate) fn stored(&mut self, logical: u64, length: u64, part: u32, offset: u64) {
        let at = if part == 0 { Place::Stored(offset) } else { Place::StoredIn((part, offset)) };
        self.push(logical, length, at);
    }

    /// A whole grain, cut at the end of the disk: the only kind of extent that may begin before the start.
    pub(crate) fn packed(&mut self, logical: u64, length: u64, offset: u64, stored: u64) {
        let length = length.min(self.size.saturating_sub(logical));
        self.list.push(Extent { logical, length, at: Place::Compressed((Codec::Zlib, offset, stored)) });
    }

    fn push(&mut self, logical: u64, length: u64, at: Place) {
        let from = logical.max(self.start);
        let end = (logical + length).min(self.size);
        if from >= end {
            return;
        }
        let extent = Extent { logical: from, length: end - from, at: shifted(at, from - logical) };
        match self.list.last_mut() {
            Some(last) if follows(last, &extent) => last.length += extent.length,
            _ => self.list.push(extent),
        }
    }
}

fn shifted(at: Place, by: u64) -> Place {
    match at {
        Place::Stored(offset) => Place::Stored(offset + by),
        Place::StoredIn((part, offset)) => Place::StoredIn((part, offset + by)),
        other => other,
    }
}

/// Whether `next` goes on where `last` ends, in the disk (always so) and in its part.
fn follows(last: &Extent, next: &Extent) -> bool {
    match (last.at, next.at) {
        (Place::Zero, Place::Zero) => true,
        (Place::Stored(one), Place::Stored(two)) => one + last.length == two,
        (Place::StoredIn((one, from)), Place::StoredIn((two, to))) => one == two && from + last.length == to,
        _ => false,
    }
}
