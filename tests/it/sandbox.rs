//! A running adapter that misbehaves: its call ends alone, the error names adapter, call and limit, the host goes on.

use crate::components;
use block::{Disk, MemoryDisk};
use runtime::{Adapters, Error, ErrorKind, FormatReader, Limits, Volumes};
use std::sync::Arc;

const LIMITS: fn() -> Limits = || Limits {
    memory: 64 << 20,
    call_seconds: 1,
    read_in_all: 8 << 20,
    log: 256 << 10,
    ..Limits::default()
};

/// What the host says of this misbehaviour, after which a good adapter still answers.
fn misbehave(how: u8) -> Error {
    let directories = [components(), components().with_file_name("hostile")];
    let adapters = Adapters::load(&directories, None, &LIMITS()).unwrap();
    let mut bytes = vec![0; 2 << 20];
    bytes[0] = how;
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new(bytes.clone()));
    let mut volumes = Volumes::open(adapters.get("hostile").unwrap()).unwrap();
    let error = volumes.scan(&[disk.clone()]).err().expect("misbehaviour must be an error");
    assert_eq!((error.adapter.as_str(), error.call), ("hostile", "volume.scan"));

    let mut after = vec![0; bytes.len()];
    disk.read_at(0, &mut after).unwrap();
    assert_eq!(after, bytes, "the device is as it was");
    let raw = adapters.get("format-raw").unwrap();
    assert_eq!(FormatReader::open(raw, vec![disk]).unwrap().facts().unwrap().virtual_size, 2 << 20);
    error
}

#[test]
fn an_adapter_that_behaves_is_heard() {
    let adapters = Adapters::load(&[components().with_file_name("hostile")], None, &LIMITS()).unwrap();
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new(vec![0; 512]));
    let mut volumes = Volumes::open(adapters.get("hostile").unwrap()).unwrap();
    assert!(volumes.scan(&[disk]).unwrap().parts.is_empty());
}

#[test]
fn an_endless_loop_meets_its_deadline() {
    let error = misbehave(b'l');
    assert_eq!(error.kind, ErrorKind::Deadline);
    assert!(error.to_string().contains("limit of 1 s"), "{error}");
}

#[test]
fn a_memory_bomb_meets_its_limit() {
    let error = misbehave(b'm');
    assert_eq!(error.kind, ErrorKind::Limit, "{error}");
    assert!(error.to_string().contains("67108864 bytes of memory"), "{error}");
}

#[test]
fn a_panic_tells_its_message() {
    let error = misbehave(b'p');
    assert_eq!(error.kind, ErrorKind::Trap);
    assert!(error.is_fault() && error.to_string().contains("a bug in the adapter"), "{error}");
}

#[test]
fn a_trapped_instance_is_gone() {
    let adapters = Adapters::load(&[components().with_file_name("hostile")], None, &LIMITS()).unwrap();
    let mut volumes = Volumes::open(adapters.get("hostile").unwrap()).unwrap();
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new(*b"p"));
    assert!(volumes.scan(&[disk]).is_err());
    let again = volumes.scan(&[]).unwrap_err();
    assert!(again.to_string().contains("this instance is gone"), "{again}");
}

#[test]
fn reads_and_writes_stay_inside_what_was_lent() {
    let error = misbehave(b'r');
    assert!(error.to_string().contains("beyond the end at 2097152"), "{error}");
    let error = misbehave(b'R');
    assert_eq!(error.kind, ErrorKind::Limit);
    assert!(error.to_string().contains("4294967295 bytes in one read"), "{error}");
    let error = misbehave(b'w');
    assert_eq!(error.kind, ErrorKind::Denied);
    assert!(error.to_string().contains("read-only"), "{error}");
}

#[test]
fn the_sum_of_reads_and_the_log_are_limited() {
    let error = misbehave(b'a');
    assert_eq!(error.kind, ErrorKind::Limit);
    assert!(error.to_string().contains("8388608 bytes read in all"), "{error}");
    let error = misbehave(b'g');
    assert_eq!(error.kind, ErrorKind::Limit, "{error}");
    assert!(error.to_string().contains("262144 bytes of log"), "{error}");
}

#[test]
fn a_part_outside_its_device_is_not_believed() {
    let error = misbehave(b's');
    assert_eq!(error.kind, ErrorKind::Answer);
    assert!(error.to_string().contains("outside its device"), "{error}");
}
