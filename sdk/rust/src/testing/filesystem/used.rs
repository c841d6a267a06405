//! Ranges in use.

use crate::testing::noise;
use crate::{FileSystem, Range, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// All ranges of a device of `size` bytes that are in use, asked for `most` at a time: in order, and inside of the device.
///
/// # Panics
/// If they are not.
pub fn used<F: FileSystem>(fs: &mut F, size: u64, most: u32) -> Result<Vec<Range>> {
    let (mut all, mut start) = (Vec::new(), 0);
    loop {
        let page = fs.used(start, most)?;
        assert!(page.len() <= most as usize);
        if page.is_empty() {
            return Ok(all);
        }
        for Range { offset, length } in &page {
            let end = offset.checked_add(*length).expect("an end");
            assert!(*offset >= start && *length > 0 && end <= size, "ordered, inside");
            start = end;
        }
        all.extend(page);
    }
}

/// Makes a file as long as `from`, with these ranges of it and noise everywhere else: what is in use must be enough.
///
/// # Panics
/// If the files cannot be read and written.
pub fn copy_used(from: &Path, to: &Path, used: &[Range]) {
    let source = File::open(from).expect("opens");
    let size = source.metadata().expect("is there").len();
    std::fs::write(to, noise(2, size as usize)).expect("writes");
    let target = File::options().write(true).open(to).expect("opens");
    for range in used {
        let mut bytes = vec![0; range.length as usize];
        source.read_exact_at(&mut bytes, range.offset).expect("inside of the file");
        target.write_all_at(&bytes, range.offset).expect("writes");
    }
}
