//! Files that call themselves adapters and are not fit to be one: each is refused with the reason, before it is
//! compiled, while the others go on working.

use crate::components;
use crate::sandbox::cache;
use block::{Disk, MemoryDisk};
use runtime::{Adapters, ErrorKind, FormatReader, Limits, Volumes};
use std::sync::Arc;

const MANIFEST: &str =
    "id = \\\"bad\\\"\\nversion = \\\"1\\\"\\nkind = \\\"disk-format\\\"\\ncontract = \\\"0.1.0\\\"\\n";

/// A component with this manifest and these lines besides.
fn component(manifest: &str, lines: &str) -> Vec<u8> {
    let text = format!("(component (core module (@custom \"wherry:manifest\" \"{manifest}\")) {lines})");
    wat::parse_str(&text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// What the host says of this file when it stands beside a good adapter.
fn refusal(file: &[u8]) -> String {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("a-bad.wasm"), file).unwrap();
    std::fs::copy(components().join("format-raw.wasm"), directory.path().join("good.wasm")).unwrap();
    let adapters =
        Adapters::load(&[directory.path().to_path_buf()], Some(&cache()), &Limits::default()).unwrap();
    assert_eq!(adapters.list.len(), 1, "the good one goes on");
    assert_eq!(adapters.list[0].manifest.id, "format-raw");
    assert_eq!(adapters.refused.len(), 1);
    adapters.refused[0].to_string()
}

#[test]
fn wasi_is_refused_with_the_way_to_build_without() {
    let wasi = "(import \"wasi:cli/environment@0.2.0\" (instance))";
    let message = refusal(&component(MANIFEST, wasi));
    assert!(
        message.contains("wasi:cli/environment@0.2.0") && message.contains("wasm32-unknown-unknown"),
        "{message}"
    );
}

#[test]
fn an_import_outside_its_world_is_refused() {
    let message = refusal(&component(MANIFEST, "(import \"wherry:adapter/http@0.1.0\" (instance))"));
    assert!(message.contains("wherry:adapter/http@0.1.0") && message.contains("disk-format"), "{message}");
}

#[test]
fn a_right_that_the_manifest_does_not_ask_for_is_refused() {
    let manifest = MANIFEST.replace("disk-format", "target-platform");
    let message = refusal(&component(&manifest, "(import \"wherry:adapter/output@0.1.0\" (instance))"));
    assert!(message.contains("does not ask for that right"), "{message}");
}

#[test]
fn another_contract_version_is_refused() {
    let message = refusal(&component(&MANIFEST.replace("0.1.0", "9.9.0"), ""));
    assert!(message.contains("contract 9.9.0"), "{message}");
}

#[test]
fn no_manifest_a_broken_one_and_a_misspelt_right_are_refused() {
    assert!(refusal(&wat::parse_str("(component)").unwrap()).contains("has no manifest"));
    assert!(refusal(&component("id = ", "")).contains("its manifest"));
    let misspelt = format!("{MANIFEST}[asks]\\noutputs = true\\n");
    assert!(refusal(&component(&misspelt, "")).contains("outputs"));
}

#[test]
fn a_core_module_garbage_and_damaged_adapters_are_refused_without_a_panic() {
    assert!(refusal(&wat::parse_str("(module)").unwrap()).contains("not a WebAssembly component"));
    assert!(refusal(b"MZ this is not wasm").contains("not a WebAssembly component"));
    assert!(refusal(b"").contains("not a WebAssembly component"));
    let whole = std::fs::read(components().join("format-raw.wasm")).unwrap();
    for cut in (8..whole.len()).step_by(whole.len() / 20) {
        refusal(&whole[..cut]);
    }
}

/// What the host says when it starts this component, whose module does `body` at its start, beside a good adapter.
fn start(body: &str, more: &str) -> runtime::Error {
    let manifest = MANIFEST.replace("disk-format", "volume-map");
    let text = format!(
        "(component
            (core module $m (@custom \"wherry:manifest\" \"{manifest}\") (func (export \"scan\")) {body})
            (core instance $i (instantiate $m))
            {more})"
    );
    let file = wat::parse_str(&text).unwrap_or_else(|e| panic!("{text}: {e}"));
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("bad.wasm"), file).unwrap();
    std::fs::copy(components().join("format-raw.wasm"), directory.path().join("good.wasm")).unwrap();
    let limits = Limits { memory: 64 << 20, call_seconds: 1, ..Limits::default() };
    let adapters = Adapters::load(&[directory.path().to_path_buf()], Some(&cache()), &limits).unwrap();
    assert_eq!(adapters.list.len(), 2, "{:?}", adapters.refused);
    let error = Volumes::open(adapters.get("bad").unwrap()).err().expect("it must not start");
    assert_eq!((error.adapter.as_str(), error.call), ("bad", "load"));
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new(vec![0; 512]));
    let mut good = FormatReader::open(adapters.get("format-raw").unwrap(), vec![disk]).unwrap();
    assert_eq!(good.facts().unwrap().virtual_size, 512);
    error
}

/// The world's export, of another type; it is looked at only after the start.
const EXPORT: &str = "(func $scan (canon lift (core func $i \"scan\")))
    (instance $v (export \"scan\" (func $scan)) (export \"add-partition\" (func $scan)) (export \"relabel\" (func $scan)))
    (export \"wherry:adapter/volume@0.1.0\" (instance $v))";

#[test]
fn limits_hold_before_the_first_call() {
    let grow = "(func $f (loop $again (br_if $again (i32.ne (i32.const -1) (GROW)))) unreachable) (start $f)";
    let table =
        format!("(table 1 funcref) {}", grow.replace("GROW", "table.grow (ref.null func) (i32.const 50000)"));
    let memory = format!("(memory 1) {}", grow.replace("GROW", "memory.grow (i32.const 16)"));
    let instances = format!("{} {EXPORT}", "(core instance (instantiate $m))".repeat(20));
    for (body, more, words) in [
        (table.as_str(), EXPORT, "100000 elements of a table"),
        ("(table 200000 funcref)", EXPORT, "100000 elements of a table"),
        (memory.as_str(), EXPORT, "67108864 bytes of memory"),
        ("(memory 2000)", EXPORT, "67108864 bytes of memory"),
        ("", instances.as_str(), "16 instances"),
    ] {
        let error = start(body, more);
        assert_eq!(error.kind, ErrorKind::Limit, "{body}: {error}");
        assert!(error.to_string().contains(words), "{body}: {error}");
    }
    let error = start("(func $f (loop $again (br $again))) (start $f)", EXPORT);
    assert_eq!(error.kind, ErrorKind::Deadline, "{error}");
    let error = start("(func $f (call $f)) (start $f)", EXPORT);
    assert!(error.kind == ErrorKind::Trap && error.to_string().contains("call stack exhausted"), "{error}");
}

#[test]
fn an_adapter_without_its_world_is_unfit() {
    let error = start("", "");
    assert_eq!(error.kind, ErrorKind::Unfit, "{error}");
    assert!(error.to_string().contains("wherry:adapter/volume"), "{error}");
    // The export is there, and of another type.
    assert!(start("", EXPORT).is_fault());
}
