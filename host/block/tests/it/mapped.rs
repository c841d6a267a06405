use crate::codec::pack;
use crate::model::{Random, check};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use wherry_block::{Codec, Disk, ExtentMap, MapExtent, MappedDisk, MemoryDisk, Place, Result};

const UNIT: u64 = 4096;

/// A list as a map: answers from the extent that holds `start`, as whole extents or cut to begin there.
struct List {
    length: u64,
    list: Vec<MapExtent>,
    cut: bool,
}

impl ExtentMap for List {
    fn length(&self) -> u64 {
        self.length
    }
    fn extents(&self, start: u64, most: u32) -> Result<Vec<MapExtent>> {
        let first = self.list.partition_point(|extent| extent.logical.saturating_add(extent.length) <= start);
        let mut answer: Vec<_> = self.list[first..].iter().take(most as usize).copied().collect();
        if let Some(extent) = answer.first_mut().filter(|extent| self.cut && extent.logical < start) {
            let inside = start - extent.logical;
            if let Place::Stored { offset, .. } = &mut extent.at {
                *offset += inside;
            }
            extent.logical = start;
            extent.length -= inside;
        }
        Ok(answer)
    }
}

/// Counts the reads that reach it.
struct Counted(MemoryDisk, AtomicUsize);

impl Disk for Counted {
    fn length(&self) -> u64 {
        self.0.length()
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.1.fetch_add(1, Relaxed);
        self.0.read_at(offset, buffer)
    }
}

/// A random image: the map, its two parts, and what the disk must read as.
fn image(seed: u64) -> (List, Vec<Arc<dyn Disk>>, Vec<u8>) {
    let mut random = Random::new(seed);
    let length = 500 * UNIT - random.below(2) * 1234;
    let (mut model, mut image, mut list) = (Vec::new(), vec![7; 512], Vec::new());
    let parent = random.bytes(40 * UNIT as usize);
    while (model.len() as u64) < length {
        let logical = model.len() as u64;
        let units = 1 + random.below(6);
        let whole = (units * UNIT).min(length - logical);
        let at = match random.below(6) {
            0 => Place::Zero,
            1 => Place::Stored { part: 1, offset: random.below(34 * UNIT) },
            2 | 3 => Place::Stored { part: 0, offset: image.len() as u64 },
            codec => {
                let codec = [Codec::Deflate, Codec::Zlib, Codec::Zstd, Codec::None]
                    [(codec + logical) as usize / 3 % 4];
                Place::Compressed { codec, offset: image.len() as u64, length: 0 }
            }
        };
        let extent = match at {
            Place::Zero => {
                model.resize(model.len() + whole as usize, 0);
                MapExtent { logical, length: whole, at }
            }
            Place::Stored { part: 1, offset } => {
                model.extend(&parent[offset as usize..(offset + whole) as usize]);
                MapExtent { logical, length: whole, at }
            }
            Place::Stored { .. } => {
                let bytes = random.bytes(whole as usize);
                image.extend(&bytes);
                model.extend(bytes);
                MapExtent { logical, length: whole, at }
            }
            Place::Compressed { codec, offset, .. } => {
                let mut unit = random.bytes(64).repeat(UNIT as usize / 64);
                let stored = pack(codec, &unit);
                let slack = if codec == Codec::None { 0 } else { random.below(300) };
                image.extend(&stored);
                image.extend(random.bytes(slack as usize));
                unit.truncate((length - logical).min(UNIT) as usize);
                let at = Place::Compressed { codec, offset, length: stored.len() as u64 + slack };
                let extent = MapExtent { logical, length: unit.len() as u64, at };
                model.extend(unit);
                extent
            }
        };
        list.push(extent);
    }
    let parts: Vec<Arc<dyn Disk>> = vec![Arc::new(MemoryDisk::new(image)), Arc::new(MemoryDisk::new(parent))];
    (List { length, list, cut: seed.is_multiple_of(2) }, parts, model)
}

#[test]
fn random_maps_read_as_their_models() {
    for seed in 1..40 {
        let (map, parts, model) = image(seed);
        let disk = MappedDisk::new(Box::new(map), parts, UNIT as u32).unwrap();
        check(&disk, &model, &mut Random::new(seed), 60);
    }
}

#[test]
fn many_extents_are_fetched_by_the_page_and_found_again() {
    let mut random = Random::new(1);
    let base = random.bytes(20_000 * 512);
    let order: Vec<u64> = (0..20_000).map(|n| n * 7919 % 20_000).collect();
    let extent = |(n, at): (u64, &u64)| {
        let at = Place::Stored { part: 0, offset: at * 512 };
        MapExtent { logical: n * 512, length: 512, at }
    };
    let list = (0..).zip(&order).map(extent).collect();
    let map = List { length: 20_000 * 512, list, cut: false };
    let model: Vec<u8> = order.iter().flat_map(|at| base[*at as usize * 512..][..512].to_vec()).collect();
    let disk = MappedDisk::new(Box::new(map), vec![Arc::new(MemoryDisk::new(base))], 4096).unwrap();
    check(&disk, &model, &mut random, 300);
}

#[test]
fn units_are_unpacked_once_however_they_are_read() {
    let units: Vec<Vec<u8>> = (0..32u8).map(|n| vec![n + 1; UNIT as usize]).collect();
    let (mut image, mut list) = (Vec::new(), Vec::new());
    for (n, unit) in (0..).zip(&units) {
        let stored = pack(Codec::Zstd, unit);
        let at =
            Place::Compressed { codec: Codec::Zstd, offset: image.len() as u64, length: stored.len() as u64 };
        list.push(MapExtent { logical: n * UNIT, length: UNIT, at });
        image.extend(stored);
    }
    let part = Arc::new(Counted(MemoryDisk::new(image), AtomicUsize::new(0)));
    let map = List { length: 32 * UNIT, list, cut: false };
    let disk = MappedDisk::new(Box::new(map), vec![part.clone()], UNIT as u32).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for at in (0..32 * UNIT).step_by(512) {
                    let mut read = [0; 512];
                    disk.read_at(at, &mut read).unwrap();
                    assert!(read == [(at / UNIT) as u8 + 1; 512]);
                }
            });
        }
    });
    assert_eq!(part.1.load(Relaxed), 32);
}

/// What reading the whole of a disk with this map says.
fn refused(list: Vec<MapExtent>, length: u64) -> String {
    let map = List { length, list, cut: false };
    let part: Arc<dyn Disk> = Arc::new(MemoryDisk::new(vec![1; 3 * UNIT as usize + 100]));
    let disk = MappedDisk::new(Box::new(map), vec![part], UNIT as u32).unwrap();
    let mut whole = vec![0; length as usize];
    disk.extents(0, length).map(|_| ()).and_then(|()| disk.read_at(0, &mut whole)).unwrap_err().to_string()
}

#[test]
fn wrong_maps_are_refused_and_say_where() {
    let stored =
        |logical, length, offset| MapExtent { logical, length, at: Place::Stored { part: 0, offset } };
    let packed = |logical, length, offset, size| {
        let at = Place::Compressed { codec: Codec::Zlib, offset, length: size };
        MapExtent { logical, length, at }
    };
    let cases = [
        (vec![], "ends before"),
        (vec![stored(0, UNIT, 0)], "at byte 4096: it ends before"),
        (vec![stored(512, UNIT, 0)], "a gap"),
        (vec![stored(0, UNIT, 0), stored(UNIT + 1, UNIT - 1, 0)], "at byte 4097: extents out of order"),
        (vec![stored(0, UNIT, 0), stored(512, UNIT, 0)], "out of order"),
        (vec![stored(0, 3 * UNIT, 0)], "beyond the disk's end"),
        (vec![stored(0, u64::MAX, 0)], "beyond the disk's end"),
        (vec![stored(0, UNIT, 0), stored(UNIT, u64::MAX - 5, 0)], "beyond the disk's end"),
        (vec![stored(0, 2 * UNIT, u64::MAX - 5)], "near 2^64"),
        (vec![stored(0, 2 * UNIT, 3 * UNIT)], "which ends at 12388"),
        (
            vec![MapExtent { logical: 0, length: 2 * UNIT, at: Place::Stored { part: 1, offset: 0 } }],
            "no part 1",
        ),
        (vec![packed(0, 2 * UNIT, 0, 100)], "not a unit"),
        (vec![stored(0, 512, 0), packed(512, UNIT, 0, 100)], "not a unit"),
        (vec![packed(0, UNIT, 4 * UNIT, 100), stored(UNIT, UNIT, 0)], "stored at 16384"),
        (vec![packed(0, UNIT, 0, 1 << 40), stored(UNIT, UNIT, 0)], "of 1099511627776 bytes"),
        (vec![packed(0, UNIT, 0, 100), stored(UNIT, UNIT, 0)], "damaged"),
    ];
    for (list, says) in cases {
        let error = refused(list.clone(), 2 * UNIT);
        assert!(error.contains(says), "{list:?}: {error}");
    }
}

#[test]
fn only_a_last_partial_unit_reads_as_zeroes_behind_the_file() {
    let at = Place::Stored { part: 0, offset: 3 * UNIT };
    let map = List { length: UNIT, list: vec![MapExtent { logical: 0, length: UNIT, at }], cut: false };
    let part: Arc<dyn Disk> = Arc::new(MemoryDisk::new(vec![1; 3 * UNIT as usize + 100]));
    let disk = MappedDisk::new(Box::new(map), vec![part], UNIT as u32).unwrap();
    let mut model = vec![1; 100];
    model.resize(UNIT as usize, 0);
    check(&disk, &model, &mut Random::new(1), 50);
}

/// A map that never gets anywhere.
struct Stuck;

impl ExtentMap for Stuck {
    fn length(&self) -> u64 {
        1 << 40
    }
    fn extents(&self, _: u64, _: u32) -> Result<Vec<MapExtent>> {
        Ok(vec![MapExtent { logical: 0, length: 512, at: Place::Zero }])
    }
}

#[test]
fn a_map_without_progress_ends_in_an_error() {
    let disk = MappedDisk::new(Box::new(Stuck), vec![], 512).unwrap();
    assert!(disk.read_at(0, &mut [1; 512]).is_ok());
    assert!(disk.read_at(512, &mut [0; 512]).unwrap_err().to_string().contains("only extents before"));
    assert!(disk.extents(0, 1 << 40).is_err());
    let disk = MappedDisk::new(Box::new(Stuck), vec![], 1024).unwrap();
    assert!(disk.read_at(1000, &mut [0; 10]).is_err());
    assert!(MappedDisk::new(Box::new(Stuck), vec![], 0).is_err());
}
