//! Every call of the adapter on any bytes, and what must hold of its answers. Shared with the fuzz target.

use std::collections::BTreeSet;
use volume_partitions::Partitions;
use wherry_sdk::testing::MemoryBlob;
use wherry_sdk::volume::{Added, Addition, Layout};
use wherry_sdk::{Blob, Result, VolumeMap};

/// A blob with sectors of another size.
pub struct Sectored(pub MemoryBlob, pub u32);

impl Blob for Sectored {
    fn size(&self) -> u64 {
        self.0.size()
    }
    fn sector_size(&self) -> u32 {
        self.1
    }
    fn writable(&self) -> bool {
        false
    }
    fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        self.0.read(offset, length)
    }
    fn write(&self, _offset: u64, _bytes: &[u8]) -> Result<()> {
        panic!("a volume adapter writes nothing")
    }
}

/// The layout of one disk.
pub fn scan(bytes: &[u8], sector: u32) -> Layout {
    let device: Box<dyn Blob> = Box::new(Sectored(MemoryBlob::read_only(bytes), sector));
    Partitions::scan(&[device]).expect("no table makes the whole scan fail")
}

/// Room for a partition on one disk.
pub fn add(bytes: &[u8], sector: u32, purpose: &str, least: u64, wanted: u64) -> Result<Added> {
    let device = Sectored(MemoryBlob::read_only(bytes), sector);
    Partitions::add_partition(&device, &Addition { purpose: purpose.into(), least, wanted })
}

/// Asks for a partition, and looks at what it makes of the table: nothing that was there has moved.
fn exercise_add(bytes: &[u8], sector: u32) {
    for purpose in ["efi-system", "bios-boot"] {
        let Ok(added) = add(bytes, sector, purpose, 8 << 10, 1 << 20) else { continue };
        assert!(added.length >= 8 << 10 && added.offset + added.length <= bytes.len() as u64, "{added:?}");
        let mut new = bytes.to_vec();
        for patch in &added.patches {
            let at = patch.offset as usize;
            new[at..at + patch.bytes.len()].copy_from_slice(&patch.bytes);
        }
        let (before, after) = (scan(bytes, sector), scan(&new, sector));
        believe(&after, new.len() as u64);
        for part in before.parts.iter().filter(|part| !part.segments.is_empty()) {
            let same = after.parts.iter().find(|other| other.id == part.id);
            assert_eq!(same.map(|one| &one.segments), Some(&part.segments), "{}", part.id);
        }
        let there = |part: &&wherry_sdk::volume::Part| {
            part.segments.iter().any(|one| (one.offset, one.length) == (added.offset, added.length))
        };
        assert!(after.parts.iter().any(|part| there(&part)), "{added:?} is not in {:?}", after.parts);
    }
}

/// Scans these bytes as they are and with the checksums put right, as disks with small and with large sectors.
pub fn exercise(bytes: &[u8]) {
    for sector in [512, 4096] {
        believe(&scan(bytes, sector), bytes.len() as u64);
        exercise_add(bytes, sector);
        let mut mended = bytes.to_vec();
        mend(&mut mended, sector as usize);
        believe(&scan(&mended, sector), bytes.len() as u64);
        exercise_add(&mended, sector);
    }
}

fn believe(layout: &Layout, size: u64) {
    assert!(layout.parts.len() <= 1024 && layout.concerns.len() <= 1024 + 8);
    let ids: BTreeSet<&str> = layout.parts.iter().map(|part| part.id.as_str()).collect();
    assert_eq!(ids.len(), layout.parts.len(), "ids repeat");
    let mut spans = Vec::new();
    for part in &layout.parts {
        assert_eq!(part.kind, "partition");
        let told =
            || layout.concerns.iter().any(|one| one.message.contains(&format!("partition {} ", part.id)));
        match part.segments.as_slice() {
            [] => assert!(told(), "{} is left out without a word", part.id),
            [one] => {
                assert_eq!((one.logical, one.device), (0, 0));
                assert!(one.length > 0 && one.offset >= 512, "{one:?}");
                assert!(one.offset.checked_add(one.length).is_some_and(|end| end <= size), "{one:?}");
                spans.push((one.offset, one.length));
            }
            more => panic!("{more:?}"),
        }
    }
    spans.sort_unstable();
    assert!(spans.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0), "parts overlap: {spans:?}");
    assert!(layout.concerns.iter().all(|one| one.id.starts_with("partitions.") && !one.message.is_empty()));
}

/// Makes the checksums of both GPT copies right again, so that damage to what they cover reaches the parser.
pub fn mend(bytes: &mut [u8], sector: usize) {
    let last = (bytes.len() / sector).saturating_sub(1) * sector;
    for at in [sector, last] {
        let Some(header) = bytes.get(at..at + 512).filter(|header| header.starts_with(b"EFI PART")) else {
            continue;
        };
        let number = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().unwrap()) as usize;
        let (size, count, length) = (number(12), number(80), number(84));
        let start = number(72).saturating_mul(sector);
        let array = bytes.get(start..start.saturating_add(count.saturating_mul(length)));
        if let Some(sum) = array.map(crc32fast::hash) {
            bytes[at + 88..at + 92].copy_from_slice(&sum.to_le_bytes());
        }
        bytes[at + 16..at + 20].fill(0);
        if let Some(sum) = bytes.get(at..at.saturating_add(size)).map(crc32fast::hash) {
            bytes[at + 16..at + 20].copy_from_slice(&sum.to_le_bytes());
        }
    }
}
