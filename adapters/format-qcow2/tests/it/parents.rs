//! Backing files: refused unless named by the operator, then read through.

use crate::host;
use crate::qemu::{self, text};
use std::path::Path;
use tempfile::tempdir;
use wherry_sdk::format::Place;
use wherry_sdk::testing::image::{Pattern, SparseDisk};
use wherry_sdk::{ErrorKind, FormatReader, Severity};

const MIB: u64 = 1 << 20;

fn overlay(backing: &Path, format: &str, path: &Path, options: &str, size: u64) {
    let size = size.to_string();
    let (backing, path) = (text(backing), text(path));
    qemu::img(&["create", "-q", "-f", "qcow2", "-o", options, "-b", backing, "-F", format, path, &size]);
}

#[test]
fn a_chain_reads_through_the_nearest_parent() {
    for options in ["compat=0.10", "compat=1.1", "extended_l2=on"] {
        let folder = tempdir().unwrap();
        let at = |name| folder.path().join(name);
        let (base, middle, top) = (at("base.raw"), at("middle.qcow2"), at("top.qcow2"));
        // Each is longer than its parent, and the base is no multiple of a cluster.
        SparseDisk::new(2 * MIB + 512, Pattern::Alternating, 1).write_raw(&base);
        overlay(&base, "raw", &middle, options, 3 * MIB + 1024);
        qemu::io(&middle, &["write -P 1 10k 3k", "write -z 1M 64k", "write -P 2 3M 1k"].map(String::from));
        overlay(&middle, "qcow2", &top, options, 5 * MIB);
        qemu::io(&top, &["write -P 3 128k 700", "write -z 2M 256k", "write -c 4M 64k"].map(String::from));
        let expected = qemu::raw(&top);
        let parent = at("middle.qcow2").with_extension("raw");
        std::fs::write(&parent, qemu::raw(&middle)).unwrap();
        assert!(host::decode(&[&top, &parent], 3) == expected, "{options}");
        let mut reader = host::open(&[&top, &parent]).unwrap();
        assert!(reader.facts().concerns.is_empty());
        for extent in host::extents(&mut reader, 1000) {
            if let Place::StoredIn((part, offset)) = extent.at {
                assert!(part == 1 && offset + extent.length <= 3 * MIB + 1024, "{extent:?}");
            }
        }
    }
}

#[test]
fn a_backing_file_is_named_and_not_opened() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.qcow2");
    qemu::img(&["create", "-q", "-u", "-f", "qcow2", "-b", "/etc/shadow", "-F", "raw", text(&path), "1M"]);
    let mut reader = host::open(&[&path]).unwrap();
    let facts = reader.facts();
    assert_eq!(facts.parent.as_deref(), Some("/etc/shadow"));
    let concern = &facts.concerns[0];
    assert_eq!((concern.id.as_str(), concern.severity), ("qcow2.backing-file", Severity::Blocking));
    let refused = reader.extents(0, 10).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Unsupported);
    assert!(refused.message.contains("`/etc/shadow`"), "{}", refused.message);
}

#[test]
fn a_parent_that_the_image_does_not_have_is_refused() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.qcow2");
    qemu::img(&["create", "-q", "-f", "qcow2", text(&path), "1M"]);
    let refused = host::open(&[&path, &path]).err().unwrap();
    assert_eq!(refused.kind, ErrorKind::InvalidInput);
}
