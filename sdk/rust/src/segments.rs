//! A volume's segments in the making.

use crate::volume::Segment;

/// Adds a piece behind the others, to the last one if it goes on there. The caller makes sure that its ends are below 2^64.
pub fn join(segments: &mut Vec<Segment>, piece: Segment) {
    match segments.last_mut() {
        Some(last) if last.device == piece.device && last.offset + last.length == piece.offset => {
            last.length += piece.length;
        }
        _ => segments.push(piece),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_is_one() {
        let mut segments = Vec::new();
        for (logical, device, offset) in [(0, 0, 10), (5, 0, 15), (10, 1, 20), (15, 1, 30)] {
            join(&mut segments, Segment { logical, length: 5, device, offset });
        }
        let shown: Vec<_> =
            segments.iter().map(|one| (one.logical, one.length, one.device, one.offset)).collect();
        assert_eq!(shown, [(0, 10, 0, 10), (10, 5, 1, 20), (15, 5, 1, 30)]);
    }
}
