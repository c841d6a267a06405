//! Every call that reads, on pools that may be anything.

use fs_zfs::Driver;
use std::rc::Rc;
use wherry_sdk::{Blob, Error, ErrorKind, FileSystem, Kind, READ_MOST, Result};

/// Objects that are looked at.
const OBJECTS_MOST: usize = 40;

/// A device of which some bytes are others. Clones and damages share the rest.
#[derive(Clone)]
pub struct Overlay {
    pub base: Rc<Vec<u8>>,
    pub patches: Vec<(usize, Vec<u8>)>,
    pub size: usize,
}

impl Overlay {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { size: bytes.len(), base: Rc::new(bytes), patches: Vec::new() }
    }
}

impl Blob for Overlay {
    fn size(&self) -> u64 {
        self.size as u64
    }
    fn sector_size(&self) -> u32 {
        512
    }
    fn writable(&self) -> bool {
        false
    }
    fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        let (from, to) = (offset as usize, offset as usize + length as usize);
        assert!(length <= READ_MOST && to <= self.size, "{offset}+{length} is inside of the device");
        let mut bytes = self.base[from..to].to_vec();
        for (at, patch) in &self.patches {
            let (first, last) = (from.max(*at), to.min(at + patch.len()));
            if first < last {
                bytes[first - from..last - from].copy_from_slice(&patch[first - at..last - at]);
            }
        }
        Ok(bytes)
    }
    fn write(&self, _: u64, _: &[u8]) -> Result<()> {
        Err(Error::new(ErrorKind::Denied, "nothing writes"))
    }
}

/// Probes and mounts a device and looks around.
pub fn exercise(device: &Overlay) {
    if let Ok(Some(identity)) = Driver::probe(device) {
        assert!(identity.size <= device.size() && identity.block >= 512);
        let facts: usize = identity.facts.iter().map(|fact| fact.key.len() + fact.value.len()).sum();
        assert!(facts < 1 << 20);
    }
    if let Ok(mut fs) = Driver::mount(Box::new(device.clone()), false) {
        look(&mut fs, device.size());
    }
}

/// Reads what can be found. Returns how many objects that were.
pub fn look(fs: &mut Driver, size: u64) -> usize {
    let mut found = 0;
    let mut todo = vec!["/".to_owned()];
    while let Some(path) = todo.pop().filter(|_| found < OBJECTS_MOST) {
        let Ok(meta) = fs.stat(&path) else { continue };
        found += 1;
        for offset in [0, 1000, meta.size / 2, meta.size.saturating_sub(5), u64::MAX - 3] {
            if let Ok(bytes) = fs.read(&path, offset, 70_000) {
                assert!(bytes.len() as u64 <= meta.size.saturating_sub(offset).min(70_000));
            }
        }
        if let Ok(target) = fs.read_link(&path) {
            assert!(target.len() <= 3 * 4096);
        }
        if meta.kind == Kind::Directory {
            list(fs, &path, &mut todo);
        }
    }
    if let Ok(room) = fs.room() {
        assert!(room.free <= room.total && room.total <= size);
    }
    let mut start = 0;
    for _ in 0..20 {
        let Ok(page) = fs.used(start, 9) else { break };
        assert!(page.len() <= 9);
        for range in &page {
            assert!(range.offset >= start && range.length > 0);
            start = range.offset.checked_add(range.length).filter(|end| *end <= size).unwrap();
        }
    }
    found
}

fn list(fs: &mut Driver, path: &str, todo: &mut Vec<String>) {
    let mut next = Some(0);
    while let Some(start) = next.filter(|_| todo.len() < OBJECTS_MOST) {
        let Ok(page) = fs.entries(path, start, 7) else { return };
        assert!(page.entries.len() <= 7);
        assert!(page.next.is_none_or(|next| next > start), "a listing goes on");
        for entry in page.entries {
            assert!(!matches!(entry.name.as_str(), "" | "." | "..") && !entry.name.contains(['/', '\0']));
            assert!(entry.meta.attributes.is_empty(), "not in listings");
            todo.push(format!("{}/{}", path.trim_end_matches('/'), entry.name));
        }
        next = page.next;
    }
}
