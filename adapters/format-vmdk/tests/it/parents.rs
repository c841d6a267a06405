//! Differences: refused unless the operator names the parent, then read through.

use crate::host;
use crate::qemu;
use std::path::Path;
use tempfile::tempdir;
use wherry_sdk::format::Place;
use wherry_sdk::testing::FileBlob;
use wherry_sdk::testing::image::{Pattern, SparseDisk, text};
use wherry_sdk::{Blob, ErrorKind, FormatReader, Severity, find};

const MIB: u64 = 1 << 20;

fn overlay(backing: &Path, path: &Path, options: &str) {
    let (backing, path) = (text(backing), text(path));
    qemu::img(&["create", "-q", "-f", "vmdk", "-o", options, "-b", backing, "-F", "vmdk", path]);
}

#[test]
fn a_chain_reads_through_the_nearest_parent() {
    for subformat in ["monolithicSparse", "twoGbMaxExtentSparse"] {
        let folder = tempdir().unwrap();
        let at = |name| folder.path().join(name);
        let (raw, base, top) = (at("base.raw"), at("base.vmdk"), at("top.vmdk"));
        SparseDisk::new(5 * MIB + 512, Pattern::Alternating, 1).write_raw(&raw);
        qemu::img(&["convert", "-f", "raw", "-O", "vmdk", text(&raw), text(&base)]);
        overlay(&base, &top, &format!("subformat={subformat},zeroed_grain=on"));
        qemu::io(&top, &["write -P 1 10k 3k", "write -z 1M 64k", "write -P 2 3M 1k"].map(String::from));
        let expected = qemu::raw(&top);
        let mut image = host::open(&top, Some(&raw)).unwrap();
        assert!(image.decode(3) == expected, "{subformat}");
        let facts = image.reader.facts();
        let concern = &facts.concerns[0];
        assert_eq!((concern.id.as_str(), facts.concerns.len()), ("vmdk.parent-unchecked", 1));
        let cid = find(&facts.facts, "parent-cid").unwrap();
        assert!(concern.severity == Severity::Information && concern.message.contains(cid));
        assert_eq!(find(&host::open(&base, None).unwrap().reader.facts().facts, "cid"), Some(cid));
        let parent = image.parts.len() as u32 - 1;
        let inherited = image.extents(1000).into_iter().filter(|extent| {
            matches!(extent.at, Place::StoredIn((part, offset)) if part == parent && offset == extent.logical)
        });
        assert!(inherited.count() >= 3);
    }
}

/// A parent that is shorter than the disk ends in zeroes.
#[test]
fn a_short_parent_ends_in_zeroes() {
    let folder = tempdir().unwrap();
    let (base, top, short) =
        (folder.path().join("base.vmdk"), folder.path().join("top.vmdk"), folder.path().join("short.raw"));
    qemu::img(&["create", "-q", "-f", "vmdk", text(&base), "4M"]);
    overlay(&base, &top, "subformat=monolithicSparse");
    std::fs::write(&short, vec![7; MIB as usize + 512]).unwrap();
    let bytes = host::open(&top, Some(&short)).unwrap().decode(100);
    assert_eq!(bytes.iter().filter(|byte| **byte == 7).count() as u64, MIB + 512);
    assert_eq!(bytes.len() as u64, 4 * MIB);
}

#[test]
fn a_parent_is_named_and_not_opened() {
    let folder = tempdir().unwrap();
    let (base, top) = (folder.path().join("base.vmdk"), folder.path().join("top.vmdk"));
    qemu::img(&["create", "-q", "-f", "vmdk", text(&base), "1M"]);
    overlay(&base, &top, "subformat=monolithicSparse");
    let mut image = host::open(&top, None).unwrap();
    let facts = image.reader.facts();
    assert_eq!(facts.parent.as_deref(), Some(text(&base)));
    let concern = &facts.concerns[0];
    assert_eq!((concern.id.as_str(), concern.severity), ("vmdk.parent", Severity::Blocking));
    let refused = image.reader.extents(0, 10).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Unsupported);
    assert!(refused.message.contains(text(&base)), "{}", refused.message);
}

#[test]
fn parts_that_the_image_does_not_have_are_refused() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.vmdk");
    qemu::img(&["create", "-q", "-f", "vmdk", text(&path), "1M"]);
    let refused = host::open(&path, Some(&path)).err().unwrap();
    assert_eq!(refused.kind, ErrorKind::InvalidInput);
    let options = "subformat=twoGbMaxExtentSparse";
    qemu::img(&["create", "-q", "-f", "vmdk", "-o", options, text(&path), "5G"]);
    let blob = || Box::new(FileBlob::open(&path).unwrap()) as Box<dyn Blob>;
    let mut alone = host::Reader::open(vec![blob()]).unwrap();
    assert_eq!((alone.facts().files.len(), alone.facts().virtual_size), (3, 5 << 30));
    assert!(alone.extents(0, 1).unwrap_err().message.contains("the 3 files"));
    assert_eq!(host::Reader::open(vec![blob(), blob()]).err().unwrap().kind, ErrorKind::InvalidInput);
}
