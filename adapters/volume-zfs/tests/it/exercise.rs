//! Looks at devices whose labels may be anything: nothing may panic, run on and on, or name bytes that are not there.

use std::rc::Rc;
use volume_zfs::Zfs;
use wherry_sdk::testing::volume::scan_blobs;
use wherry_sdk::volume::Layout;
use wherry_sdk::{Blob, Error, ErrorKind, READ_MOST, Result};
use wherry_zfs::{NVLIST, NVLIST_LENGTH, places};

/// A device of which only the lists in its labels are there: nothing else is looked at.
#[derive(Clone)]
pub struct Device {
    pub size: u64,
    /// Where the lists are, and their bytes.
    pub lists: Vec<(u64, Rc<Vec<u8>>)>,
}

impl Device {
    /// What is looked at of these bytes.
    pub fn new(bytes: &[u8]) -> Self {
        let size = bytes.len() as u64;
        let list = |place: u64| {
            let at = (place + NVLIST) as usize;
            (at as u64, Rc::new(bytes[at..at + NVLIST_LENGTH].to_vec()))
        };
        Self { size, lists: places(size).into_iter().flatten().map(list).collect() }
    }
}

impl Blob for Device {
    fn size(&self) -> u64 {
        self.size
    }
    fn sector_size(&self) -> u32 {
        512
    }
    fn writable(&self) -> bool {
        false
    }
    fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        assert!(length <= READ_MOST && offset + u64::from(length) <= self.size, "inside of the device");
        let known = self.lists.iter().find(|(at, _)| *at == offset);
        let mut bytes = known.map_or_else(Vec::new, |(_, list)| list.to_vec());
        bytes.resize(length as usize, 0);
        Ok(bytes)
    }
    fn write(&self, _: u64, _: &[u8]) -> Result<()> {
        Err(Error::new(ErrorKind::Denied, "nothing writes"))
    }
}

/// Scans these devices.
pub fn exercise(devices: &[Device]) -> Layout {
    let blobs: Vec<Box<dyn Blob>> =
        devices.iter().map(|one| Box::new(one.clone()) as Box<dyn Blob>).collect();
    scan_blobs::<Zfs>(&blobs)
}
