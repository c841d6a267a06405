//! Persistent dirty bitmaps that QEMU keeps.

use crate::host;
use crate::qemu::{self, text};
use std::path::{Path, PathBuf};
use tempfile::{TempDir, tempdir};
use wherry_sdk::testing::Random;
use wherry_sdk::{ErrorKind, FormatReader, Result};

const SIZE: u64 = (40 << 20) + 512;

/// An image of SIZE bytes with a bitmap `since`.
fn image(cluster: &str, granularity: &str) -> (TempDir, PathBuf) {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.qcow2");
    let (options, size) = (format!("cluster_size={cluster}"), SIZE.to_string());
    qemu::img(&["create", "-q", "-f", "qcow2", "-o", &options, text(&path), &size]);
    qemu::io(&path, &["write -P 1 0 1M".into()]);
    qemu::img(&["bitmap", "--add", "-g", granularity, text(&path), "since"]);
    (folder, path)
}

/// What changed, asked for by pages of `most`.
fn changed(path: &Path, mark: &str, most: u32) -> Result<Vec<(u64, u64)>> {
    let mut reader = host::open(&[path])?;
    let (mut all, mut start): (Vec<(u64, u64)>, u64) = (Vec::new(), 0);
    loop {
        let page = reader.changed(mark, start, most)?;
        assert!(page.len() <= most as usize);
        let Some(last) = page.last() else { break };
        start = last.offset + last.length;
        for range in page {
            match all.last_mut() {
                // A page may end within a run.
                Some(last) if last.1 == range.offset => last.1 += range.length,
                _ => all.push((range.offset, range.offset + range.length)),
            }
        }
    }
    Ok(all)
}

#[test]
fn what_was_written_since_is_told() {
    for (seed, (cluster, granularity)) in
        [("512", "512"), ("4k", "4k"), ("64k", "64k"), ("64k", "512"), ("2M", "4M"), ("4k", "1M")]
            .iter()
            .enumerate()
    {
        let (_folder, path) = image(cluster, granularity);
        assert!(changed(&path, "since", 7).unwrap().is_empty());
        let unit: u64 = match *granularity {
            "512" => 512,
            "4k" => 4096,
            "64k" => 64 << 10,
            "1M" => 1 << 20,
            _ => 4 << 20,
        };
        let mut random = Random::new(seed as u64 + 1);
        let (mut writes, mut dirty) = (Vec::new(), vec![false; SIZE.div_ceil(unit) as usize]);
        for _ in 0..60 {
            let offset = random.below(SIZE / 512) * 512;
            let length = (512 * (1 + random.below(300))).min(SIZE - offset);
            writes.push(format!("write -P 2 {offset} {length}"));
            dirty[(offset / unit) as usize..=((offset + length - 1) / unit) as usize].fill(true);
        }
        qemu::io(&path, &writes);
        let mut expected: Vec<(u64, u64)> = Vec::new();
        for (number, _) in (0u64..).zip(&dirty).filter(|(_, dirty)| **dirty) {
            let (from, to) = (number * unit, ((number + 1) * unit).min(SIZE));
            match expected.last_mut() {
                Some(last) if last.1 == from => last.1 = to,
                _ => expected.push((from, to)),
            }
        }
        for most in [1, 3, u32::MAX] {
            assert_eq!(changed(&path, "since", most).unwrap(), expected, "{cluster} {granularity}");
        }
    }
}

#[test]
fn whole_clusters_of_ones_need_no_data() {
    let (_folder, path) = image("64k", "512");
    qemu::io(&path, &["write -z 0 40M".into()]);
    assert_eq!(changed(&path, "since", 5).unwrap(), [(0, 40 << 20)]);
}

#[test]
fn an_image_that_waits_for_its_parent_tells_as_well() {
    let (folder, base) = image("64k", "64k");
    let top = folder.path().join("top.qcow2");
    qemu::img(&["create", "-q", "-f", "qcow2", "-b", text(&base), "-F", "qcow2", text(&top)]);
    qemu::img(&["bitmap", "--add", text(&top), "since"]);
    qemu::io(&top, &["write -P 3 2M 64k".into()]);
    assert_eq!(changed(&top, "since", 5).unwrap(), [(2 << 20, (2 << 20) + (64 << 10))]);
}

#[test]
fn a_bitmap_that_does_not_tell_all_is_refused() {
    let refused = |path: &Path, mark: &str, kind: ErrorKind, words: &str| {
        let error = changed(path, mark, 5).unwrap_err();
        assert!(error.kind == kind && error.message.contains(words), "{error:?}");
    };
    let (_folder, path) = image("64k", "64k");
    qemu::img(&["bitmap", "--add", text(&path), "other"]);
    refused(&path, "mine", ErrorKind::NotFound, "there are: `since`, `other`");
    let facts = host::open(&[&path]).unwrap().facts().facts;
    let named: Vec<&str> =
        facts.iter().filter(|fact| fact.key == "bitmap").map(|fact| fact.value.as_str()).collect();
    assert_eq!(named, ["since", "other"]);

    qemu::img(&["bitmap", "--disable", text(&path), "since"]);
    refused(&path, "since", ErrorKind::Unsupported, "it is disabled");
    qemu::img(&["bitmap", "--enable", text(&path), "since"]);
    changed(&path, "since", 5).unwrap();

    let good = std::fs::read(&path).unwrap();
    let number = |at: usize, length: usize| {
        good[at..at + length].iter().fold(0usize, |value, byte| value << 8 | usize::from(*byte))
    };
    let extension = good.windows(4).position(|word| word == 0x2385_2875u32.to_be_bytes()).unwrap();
    let directory = number(extension + 24, 8);
    let damaged = |at: usize, byte: u8| {
        let mut image = good.clone();
        image[at] = byte;
        std::fs::write(&path, image).unwrap();
    };
    // QEMU sets the flag `in use` while it has the image open for writing.
    damaged(directory + 15, good[directory + 15] | 1);
    refused(&path, "since", ErrorKind::Unsupported, "in use");
    // Autoclear bit 0.
    damaged(95, good[95] & !1);
    refused(&path, "since", ErrorKind::Unsupported, "does not know bitmaps");
    // Granularity, the table's length, the directory's place.
    damaged(directory + 17, 40);
    refused(&path, "since", ErrorKind::Corrupt, "2^40");
    damaged(directory + 11, 9);
    refused(&path, "since", ErrorKind::Corrupt, "has 9 clusters");
    damaged(extension + 24, 0x7f);
    refused(&path, "since", ErrorKind::Corrupt, "leaves the file");
}

#[test]
fn images_without_bitmaps_say_so() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.qcow2");
    for options in ["compat=0.10", "compat=1.1"] {
        qemu::img(&["create", "-q", "-f", "qcow2", "-o", options, text(&path), "1M"]);
        assert!(changed(&path, "since", 5).unwrap_err().message.contains("there are: none"));
    }
}
