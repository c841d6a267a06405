use crate::model::{Random, check};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use wherry_block::{Disk, FileDisk, Kind, Masked, Overlay, Piece, Segments};

/// A sparse file of 3 MiB and a bit, and its content.
fn sparse(random: &mut Random) -> (tempfile::NamedTempFile, Vec<u8>) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut model = vec![0; (3 << 20) + 777];
    file.as_file().set_len(model.len() as u64).unwrap();
    for _ in 0..30 {
        let length = 1 + random.below(50_000) as usize;
        let bytes = random.bytes(length);
        let at = random.below((model.len() - bytes.len()) as u64);
        file.as_file().write_all_at(&bytes, at).unwrap();
        model[at as usize..at as usize + bytes.len()].copy_from_slice(&bytes);
    }
    (file, model)
}

#[test]
fn a_sparse_file_reads_as_its_model() {
    let mut random = Random::new(11);
    let (file, model) = sparse(&mut random);
    check(&FileDisk::open_read(file.path()).unwrap(), &model, &mut random, 200);
}

#[test]
fn edits_over_holes_read_as_their_model() {
    for seed in 1..6 {
        let mut random = Random::new(seed);
        let (file, mut model) = sparse(&mut random);
        let overlay = Overlay::new(Arc::new(FileDisk::open_read(file.path()).unwrap()));
        for _ in 0..40 {
            let length = random.below(20_000) as usize;
            let bytes = random.bytes(length);
            let at = random.below((model.len() - bytes.len()) as u64 + 1);
            overlay.write_at(at, &bytes).unwrap();
            model[at as usize..at as usize + bytes.len()].copy_from_slice(&bytes);
        }
        check(&overlay, &model, &mut random, 100);
    }
}

#[test]
fn blanked_ranges_are_zero_and_known_to_be() {
    for seed in 1..6 {
        let mut random = Random::new(seed);
        let (file, mut model) = sparse(&mut random);
        let length = model.len() as u64;
        let mut ranges = vec![7..7, length - 5..u64::MAX];
        for _ in 0..60 {
            let start = random.below(length);
            ranges.push(start..start + random.below(60_000));
        }
        let masked = Masked::new(Arc::new(FileDisk::open_read(file.path()).unwrap()), ranges.clone());
        for range in &ranges {
            model[range.start as usize..range.end.min(length) as usize].fill(0);
        }
        check(&masked, &model, &mut random, 200);
        for range in ranges.iter().filter(|range| range.end <= length && !range.is_empty()) {
            let list = masked.extents(range.start, range.end - range.start).unwrap();
            assert!(list.iter().all(|extent| extent.kind == Kind::Zero));
        }
        assert!(masked.write_at(0, &[1]).is_err());
    }
}

#[test]
fn pieces_of_a_layered_disk_read_as_their_model() {
    let mut random = Random::new(21);
    let (file, mut base) = sparse(&mut random);
    let overlay = Arc::new(Overlay::new(Arc::new(FileDisk::open_read(file.path()).unwrap())));
    let (mut pieces, mut model) = (Vec::new(), Vec::new());
    for _ in 0..40 {
        let length = 1 + random.below(100_000);
        let offset = random.below(base.len() as u64 - length);
        pieces.push(Piece { logical: model.len() as u64, length, disk: overlay.clone(), offset });
        model.extend(&base[offset as usize..(offset + length) as usize]);
    }
    let segments = Segments::new(pieces.clone());
    check(&segments, &model, &mut random, 100);
    segments.write_at(70_000, &[9; 70_000]).unwrap();
    overlay.read_at(0, &mut base).unwrap();
    let again = |piece: &Piece| base[piece.offset as usize..(piece.offset + piece.length) as usize].to_vec();
    let model: Vec<u8> = pieces.iter().flat_map(again).collect();
    assert!(model[70_000..140_000].iter().all(|byte| *byte == 9));
    check(&segments, &model, &mut random, 100);
}
