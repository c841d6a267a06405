//! A file system in a file, as a device with an overlay in memory: what was changed comes out as patches.

use crate::hsfs::Read;
use std::cell::RefCell;
use std::collections::BTreeMap;
use wherry_sdk::{Blob, Error, Patch, READ_MOST, Result};

/// Bytes of a page, which is changed as a whole.
const PAGE: u64 = 4096;
/// Pages that may be changed.
const PAGES_MOST: usize = 2048;
/// Bytes of one patch.
const PATCH: usize = 64 << 10;

/// The image.
pub struct Overlay<'a> {
    read: &'a Read<'a>,
    size: u64,
    pages: RefCell<BTreeMap<u64, Vec<u8>>>,
}

impl<'a> Overlay<'a> {
    /// An image of `size` bytes that nothing was changed in.
    pub fn new(read: &'a Read<'a>, size: u64) -> Self {
        Self { read, size, pages: RefCell::default() }
    }

    fn page(&self, number: u64) -> Result<Vec<u8>> {
        let start = number * PAGE;
        (self.read)(start, PAGE.min(self.size.saturating_sub(start)))
    }

    /// What has to be written so that the file becomes what the device is now, in order.
    ///
    /// # Errors
    /// What reading says.
    pub fn patches(&self) -> Result<Vec<Patch>> {
        let mut patches: Vec<Patch> = Vec::new();
        for (number, bytes) in self.pages.borrow().iter() {
            if self.page(*number)? == *bytes {
                continue;
            }
            let offset = number * PAGE;
            match patches.last_mut() {
                Some(last) if last.offset + last.bytes.len() as u64 == offset && last.bytes.len() < PATCH => {
                    last.bytes.extend_from_slice(bytes);
                }
                _ => patches.push(Patch { offset, bytes: bytes.clone() }),
            }
        }
        Ok(patches)
    }

    fn check(&self, offset: u64, length: u64) -> Result<u64> {
        let beyond = || Error::corrupt(offset, format!("{length} bytes lie beyond the end of the image"));
        offset.checked_add(length).filter(|end| *end <= self.size).ok_or_else(beyond)
    }
}

impl Blob for Overlay<'_> {
    fn size(&self) -> u64 {
        self.size
    }
    fn sector_size(&self) -> u32 {
        512
    }
    fn writable(&self) -> bool {
        true
    }

    fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        let end = self.check(offset, length.min(READ_MOST).into())?;
        let mut bytes = (self.read)(offset, end - offset)?;
        for (number, page) in self.pages.borrow().range(offset / PAGE..=end / PAGE) {
            let start = number * PAGE;
            let from = start.max(offset);
            let skipped = page.iter().skip((from - start) as usize);
            bytes.iter_mut().skip((from - offset) as usize).zip(skipped).for_each(|(to, from)| *to = *from);
        }
        Ok(bytes)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let end = self.check(offset, bytes.len() as u64)?;
        let mut pages = self.pages.borrow_mut();
        let mut at = offset;
        while at < end {
            let (number, within) = (at / PAGE, at % PAGE);
            if !pages.contains_key(&number) {
                if pages.len() >= PAGES_MOST {
                    return Err(Error::unsupported("more of the image would change than is sensible"));
                }
                pages.insert(number, self.page(number)?);
            }
            let length = (PAGE - within).min(end - at);
            let new = bytes.iter().skip((at - offset) as usize).take(length as usize);
            let page = pages.entry(number).or_default();
            page.iter_mut().skip(within as usize).zip(new).for_each(|(to, from)| *to = *from);
            at += length;
        }
        Ok(())
    }
}
