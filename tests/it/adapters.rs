//! Adapters are files: found at run time, checked before they are compiled, cached.

use crate::{components, text, wherry};
use block::{Disk, MemoryDisk};
use runtime::contract::{Place, Unit};
use runtime::{Adapters, ErrorKind, FormatReader, FormatWriter, Limits};
use std::path::Path;
use std::sync::Arc;

fn load(directory: &Path) -> Adapters {
    Adapters::load(&[directory.to_path_buf()], None, &Limits::default()).unwrap()
}

#[test]
fn a_new_file_in_the_directory_is_a_new_adapter_of_the_program_already_built() {
    let directory = tempfile::tempdir().unwrap();
    let before = wherry(directory.path(), &["adapters", "list"]);
    assert!(before.status.success());
    assert!(text(&before.stdout).contains("no adapters"));
    std::fs::copy(components().join("format-raw.wasm"), directory.path().join("anything.wasm")).unwrap();
    let after = wherry(directory.path(), &["adapters", "list", "--output", "json"]);
    let answer: serde_json::Value = serde_json::from_slice(&after.stdout).unwrap();
    assert_eq!(answer["adapters"][0]["id"], "format-raw");
    assert_eq!(answer["refused"], serde_json::json!([]));
}

#[test]
fn every_component_imports_only_what_its_world_has() {
    let adapters = load(&components());
    assert!(adapters.refused.is_empty(), "{:?}", adapters.refused);
    assert!(!adapters.list.is_empty());
    for adapter in &adapters.list {
        assert!(
            adapter.imports.iter().all(|import| import.starts_with("wherry:adapter/")),
            "{:?}",
            adapter.imports
        );
    }
}

#[test]
fn raw_reads_and_places_through_the_sandbox() {
    let adapters = load(&components());
    let raw = adapters.get("format-raw").unwrap();
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new(vec![7; 200_000]));
    let mut reader = FormatReader::open(raw, vec![disk]).unwrap();
    assert_eq!(reader.facts().unwrap().virtual_size, 200_000);
    let extents = reader.extents(1000, 16).unwrap();
    assert_eq!((extents[0].logical, extents[0].length), (1000, 199_000));
    assert!(matches!(extents[0].at, Place::Stored(1000)));
    assert!(reader.extents(200_000, 16).unwrap().is_empty());

    let mut writer = FormatWriter::create(raw, 200_000, &[]).unwrap();
    let codec = writer.shape().unwrap().codec;
    let unit = |index| Unit { index, stored: 65536, codec };
    assert_eq!(writer.place(&[unit(3), unit(0)]).unwrap(), [3 * 65536, 0]);
    let refused = writer.place(&[unit(4)]).unwrap_err();
    assert_eq!((refused.kind, refused.code), (ErrorKind::Refused, Some("invalid-input")));
    assert!(!refused.is_fault());
    assert_eq!(writer.finish(0).unwrap().length, 200_000);
}

#[test]
fn compiled_code_comes_from_the_cache_and_a_damaged_entry_is_compiled_again() {
    let cache = tempfile::tempdir().unwrap();
    let private = cache.path().join("code");
    let load = || Adapters::load(&[components()], Some(&private), &Limits::default()).unwrap().list.len();
    let first = load();
    let entries: Vec<_> = std::fs::read_dir(&private).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(entries.len(), first);
    let whole = std::fs::read(&entries[0]).unwrap();
    std::fs::write(&entries[0], &whole[..whole.len() / 2]).unwrap();
    assert_eq!(load(), first);
    assert_eq!(std::fs::read(&entries[0]).unwrap().len(), whole.len());
}

#[test]
fn an_unknown_adapter_is_named_with_the_known_ones() {
    let shown = wherry(&components(), &["adapters", "inspect", "format-nonsense"]);
    assert_eq!(shown.status.code(), Some(1));
    let message = text(&shown.stderr);
    assert!(message.contains("format-nonsense") && message.contains("format-raw"), "{message}");
}

#[test]
fn a_disk_without_a_format_is_refused() {
    let shown = wherry(&components(), &["inspect", "/dev/null"]);
    assert_eq!(shown.status.code(), Some(2));
    assert!(text(&shown.stderr).contains("raw:/dev/null"));
}

#[test]
fn inspect_shows_the_partitions_of_a_real_disk_and_leaves_it_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.img");
    std::fs::File::create(&path).unwrap().set_len(32 << 20).unwrap();
    let script =
        "label: dos\nlabel-id: 0x0badcafe\nstart=1MiB,size=4MiB,type=83\nstart=8MiB,size=8MiB,type=82\n";
    let mut sfdisk = std::process::Command::new("/sbin/sfdisk");
    let mut sfdisk = sfdisk.arg("--quiet").arg(&path).stdin(std::process::Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut sfdisk.stdin.take().unwrap(), script.as_bytes()).unwrap();
    assert!(sfdisk.wait().unwrap().success());
    let before = std::fs::read(&path).unwrap();

    let named = format!("raw:{}", path.display());
    let shown = wherry(&components(), &["inspect", &named, "--output", "json"]);
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    let answer: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    let volumes = answer["volumes"].as_array().unwrap();
    assert_eq!(volumes.len(), 3);
    assert_eq!((&volumes[1]["id"], &volumes[1]["size"]), (&"mbr:1".into(), &(4u64 << 20).into()));
    assert_eq!(volumes[2]["facts"]["partition.uuid"], "0badcafe-02");
    assert_eq!(volumes[2]["facts"]["parent"], "disk:0");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}
