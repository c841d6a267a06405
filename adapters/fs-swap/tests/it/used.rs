//! Only an area that is certain to hold nothing of use is left out.

use crate::lab::{SIZE, area};
use fs_swap::Swap;
use wherry_sdk::FileSystem;
use wherry_sdk::testing::MemoryBlob;
use wherry_sdk::testing::filesystem::used;

fn needed(bytes: &[u8]) -> u64 {
    let mut area = Swap::mount(Box::new(MemoryBlob::read_only(bytes)), false).unwrap();
    let ranges = used(&mut area, bytes.len() as u64, 5).unwrap();
    assert_eq!((ranges.len(), ranges[0].offset), (1, 0));
    ranges[0].length
}

#[test]
fn the_first_page() {
    for page in [4096, 8192, 65536] {
        let mut bytes = area(&["-p", &page.to_string()], 0x77);
        assert_eq!(needed(&bytes), page);
        // What a kernel that woke up leaves behind.
        let end = page as usize;
        bytes[end - 40..end - 20].fill(9);
        assert_eq!(needed(&bytes), page);
        // A page that the device cannot hold.
        bytes[1032] = 1;
        bytes[1536] = 7;
        assert_eq!(needed(&bytes), page);
    }
}

#[test]
fn everything_where_there_is_doubt() {
    let whole = area(&[], 0);
    // A boot loader, another file system's fields, more bad pages than are listed, an area longer than the device.
    for (at, with) in [
        (0, &b"\xeb"[..]),
        (1023, &[1]),
        (1100, &[1]),
        (1540, &[1]),
        (3000, &[1]),
        (1032, &[0xff; 4]),
        (1028, &[0, 0, 1, 0]),
        (4086, b"S1SUSPEND\0"),
        (4086, b"SWAP-SPACE"),
        (8182, b"SWAPSPACE2"),
    ] {
        let mut bytes = whole.clone();
        bytes[at..at + with.len()].copy_from_slice(with);
        assert_eq!(needed(&bytes), SIZE, "{at}");
    }
}
