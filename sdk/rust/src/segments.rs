//! A volume's segments in the making.

use crate::volume::Segment;

/// The number of no device: what lies there is zeroes (`device` of [`Segment`]; its `offset` is 0).
pub const ZEROES: u32 = u32::MAX;

/// Adds a piece behind the others, to the last one if it goes on there. The caller makes sure that its ends are below 2^64.
pub fn join(segments: &mut Vec<Segment>, piece: Segment) {
    match segments.last_mut() {
        Some(last)
            if last.device == piece.device
                && (last.device == ZEROES || last.offset + last.length == piece.offset) =>
        {
            last.length += piece.length;
        }
        _ => segments.push(piece),
    }
}

/// Bytes of a volume.
pub fn total(segments: &[Segment]) -> u64 {
    segments.last().map_or(0, |last| last.logical.saturating_add(last.length))
}

/// The pieces that `length` bytes from byte `offset` of a volume lie in, with their places in the volume; fewer where it ends
/// before. Segments follow each other without gaps.
pub fn slice(segments: &[Segment], offset: u64, length: u64) -> impl Iterator<Item = Segment> {
    let end = offset.saturating_add(length);
    let first = segments.partition_point(|one| one.logical.saturating_add(one.length) <= offset);
    let rest = segments.get(first..).unwrap_or_default().iter();
    rest.take_while(move |one| one.logical < end && length > 0).map(move |one| {
        let from = one.logical.max(offset);
        let to = one.logical.saturating_add(one.length).min(end);
        let moved = if one.device == ZEROES { 0 } else { one.offset + (from - one.logical) };
        Segment { logical: from, length: to - from, device: one.device, offset: moved }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(segments: impl IntoIterator<Item = Segment>) -> Vec<(u64, u64, u32, u64)> {
        segments.into_iter().map(|one| (one.logical, one.length, one.device, one.offset)).collect()
    }

    #[test]
    fn what_goes_on_is_one() {
        let mut segments = Vec::new();
        for (logical, device, offset) in
            [(0, 0, 10), (5, 0, 15), (10, 1, 20), (15, 1, 30), (20, ZEROES, 0), (25, ZEROES, 0)]
        {
            join(&mut segments, Segment { logical, length: 5, device, offset });
        }
        assert_eq!(shown(segments), [(0, 10, 0, 10), (10, 5, 1, 20), (15, 5, 1, 30), (20, 10, ZEROES, 0)]);
    }

    #[test]
    fn a_slice_begins_and_ends_within_pieces() {
        let piece = |logical, device, offset| Segment { logical, length: 10, device, offset };
        let segments = [piece(0, 0, 100), piece(10, 1, 200), piece(20, ZEROES, 0)];
        assert_eq!(total(&segments), 30);
        assert_eq!(shown(slice(&segments, 5, 10)), [(5, 5, 0, 105), (10, 5, 1, 200)]);
        assert_eq!(shown(slice(&segments, 15, 100)), [(15, 5, 1, 205), (20, 10, ZEROES, 0)]);
        assert_eq!(shown(slice(&segments, 12, 3)), [(12, 3, 1, 202)]);
        assert_eq!(shown(slice(&segments, 30, 3)), []);
        assert_eq!(shown(slice(&segments, 4, 0)), []);
    }
}
