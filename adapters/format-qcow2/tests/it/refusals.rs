//! What an operator is told: images that are not read, and those that are read with a warning.

use crate::host;
use crate::qemu::{self, text};
use std::path::{Path, PathBuf};
use tempfile::{TempDir, tempdir};
use wherry_sdk::{Concern, DiskFormat, ErrorKind, FormatReader, Severity};

fn create(arguments: &[&str]) -> (TempDir, PathBuf) {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.qcow2");
    qemu::img(&[&["create", "-q", "-f", "qcow2"], arguments, &[text(&path), "4M"]].concat());
    (folder, path)
}

fn patch(path: &Path, at: usize, bytes: &[u8]) {
    let mut image = std::fs::read(path).unwrap();
    image[at..at + bytes.len()].copy_from_slice(bytes);
    std::fs::write(path, image).unwrap();
}

/// The only concern.
fn concern(path: &Path) -> Concern {
    let mut concerns = host::open(&[path]).unwrap().facts().concerns;
    assert_eq!(concerns.len(), 1, "{concerns:?}");
    concerns.remove(0)
}

/// A blocking concern with these words, and extents that are refused for the same reason.
fn refused(path: &Path, id: &str, words: &str) {
    let concern = concern(path);
    assert_eq!((concern.id.as_str(), concern.severity), (id, Severity::Blocking));
    assert!(concern.message.contains(words), "{}", concern.message);
    let error = host::open(&[path]).unwrap().extents(0, 1).unwrap_err();
    assert_eq!((error.kind, error.message), (ErrorKind::Unsupported, concern.message));
}

#[test]
fn internal_snapshots_are_listed_and_refused() {
    let (_folder, path) = create(&[]);
    qemu::io(&path, &["write -P 1 0 1M".into()]);
    for name in ["before upgrade", "zweiter"] {
        qemu::img(&["snapshot", "-c", name, text(&path)]);
    }
    refused(&path, "qcow2.internal-snapshots", "`before upgrade`, `zweiter`");
    let facts = host::open(&[&path]).unwrap().facts().facts;
    let names: Vec<&str> =
        facts.iter().filter(|fact| fact.key == "snapshot").map(|fact| fact.value.as_str()).collect();
    assert_eq!(names, ["before upgrade", "zweiter"]);
}

/// LUKS is only marked: `qemu-img` measures the processor's speed to make one, which fails on a busy machine.
#[test]
fn encryption_is_refused() {
    let options = ["--object", "secret,id=s,data=x", "-o", "encrypt.format=aes,encrypt.key-secret=s"];
    let (_folder, path) = create(&options);
    refused(&path, "qcow2.encrypted", "encrypted with AES");
    patch(&path, 32, &2u32.to_be_bytes());
    refused(&path, "qcow2.encrypted", "encrypted with LUKS");
}

#[test]
fn an_external_data_file_is_refused() {
    let folder = tempdir().unwrap();
    let data = folder.path().join("payload.raw");
    let (_folder, path) = create(&["-o", &format!("data_file={}", text(&data))]);
    refused(&path, "qcow2.external-data-file", "payload.raw");
}

#[test]
fn unknown_features_are_refused_by_name() {
    let (_folder, path) = create(&[]);
    patch(&path, 72, &(1u64 << 40 | 1 << 63).to_be_bytes());
    // QEMU's feature name table starts behind the header; its first entry becomes bit 40 of the incompatible ones.
    patch(&path, 120, b"\x00\x28time travel\0");
    refused(&path, "qcow2.unknown-feature", "`time travel` (bit 40), incompatible bit 63");
}

#[test]
fn an_unknown_compression_is_refused() {
    let (_folder, path) = create(&["-o", "compression_type=zstd"]);
    patch(&path, 104, &[2]);
    refused(&path, "qcow2.unknown-compression", "compression type 2");
}

#[test]
fn a_marked_image_is_read_with_a_warning() {
    let (_folder, path) = create(&[]);
    qemu::io(&path, &["write -P 1 0 1M".into()]);
    let before = host::decode(&[&path], 100);
    patch(&path, 72, &2u64.to_be_bytes());
    let concern = concern(&path);
    assert_eq!((concern.id.as_str(), concern.severity), ("qcow2.marked-corrupt", Severity::Warning));
    assert!(host::decode(&[&path], 100) == before);
}

/// `abort` leaves lazy refcounts unwritten.
#[test]
fn a_dirty_image_is_read_with_a_warning() {
    let (_folder, path) = create(&["-o", "lazy_refcounts=on"]);
    let script = format!("qemu-io -f qcow2 -c 'write -P 5 64k 1M' -c abort {} >/dev/null 2>&1", text(&path));
    let done = std::process::Command::new("sh").args(["-c", &script]).status().unwrap();
    assert!(!done.success());
    let concern = concern(&path);
    assert_eq!((concern.id.as_str(), concern.severity), ("qcow2.dirty", Severity::Warning));
    let bytes = host::decode(&[&path], 100);
    assert!(bytes[64 << 10..(64 << 10) + (1 << 20)].iter().all(|byte| *byte == 5));
    assert!(bytes == qemu::raw(&path));
}

#[test]
fn only_qcow2_is_recognised() {
    let (_folder, path) = create(&["-o", "compat=0.10"]);
    let head = std::fs::read(&path).unwrap();
    assert_eq!(format_qcow2::Qcow2::probe(&head, &[]).as_deref(), Some("qcow2 v2"));
    assert_eq!(format_qcow2::Qcow2::probe(b"QFI\xfb\0\0\0\x01", &[]), None);
    assert_eq!(format_qcow2::Qcow2::probe(b"QFI", &[]), None);
}
