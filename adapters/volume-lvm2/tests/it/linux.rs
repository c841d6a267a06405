//! Volumes that lvm2 and Linux made and filled (`fixtures/README.md`): the bytes that the segments name are those that Linux
//! read through the volume.

use crate::exercise::checked_scan;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use wherry_sdk::find;
use wherry_sdk::testing::run;
use wherry_sdk::volume::{Layout, Part, ZEROES};

/// What Linux read of a volume: its name, its length, the SHA-256 of its bytes.
struct Sum {
    volume: String,
    length: u64,
    hash: String,
}

/// The physical volumes of a group, and what Linux read of its logical volumes.
struct Fixture {
    disks: Vec<Vec<u8>>,
    sums: Vec<Sum>,
}

impl Fixture {
    fn open(name: &str) -> Self {
        let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/fixtures/{name}.tar.zst"));
        let folder = tempfile::tempdir().unwrap();
        run(Command::new("tar").arg("--zstd").arg("-xf").arg(archive).arg("-C").arg(folder.path()));
        let disks = (0..).map_while(|index: usize| std::fs::read(folder.path().join(index.to_string())).ok());
        let disks = disks.collect();
        let sums = std::fs::read_to_string(folder.path().join("sums")).unwrap_or_default();
        let sum = |line: &str| {
            let [volume, length, hash] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
            Sum { volume: volume.into(), length: length.parse().unwrap(), hash: hash.into() }
        };
        Self { disks, sums: sums.lines().map(sum).collect() }
    }

    fn slices(&self) -> Vec<&[u8]> {
        self.disks.iter().map(Vec::as_slice).collect()
    }

    fn without(&self, gone: usize) -> Vec<&[u8]> {
        let mut slices = self.slices();
        slices.remove(gone);
        slices
    }
}

/// The SHA-256 of the bytes that a part's segments name.
fn hash(part: &Part, devices: &[&[u8]]) -> String {
    let mut child =
        Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("coreutils");
    let mut into = child.stdin.take().unwrap();
    let zeroes = vec![0; 1 << 20];
    for segment in &part.segments {
        if segment.device != ZEROES {
            let from = segment.offset as usize;
            into.write_all(&devices[segment.device as usize][from..][..segment.length as usize]).unwrap();
            continue;
        }
        let mut left = segment.length as usize;
        while left > 0 {
            let take = left.min(zeroes.len());
            into.write_all(&zeroes[..take]).unwrap();
            left -= take;
        }
    }
    drop(into);
    let said = child.wait_with_output().unwrap().stdout;
    String::from_utf8_lossy(&said).split(' ').next().unwrap_or_default().into()
}

fn kinds(layout: &Layout) -> Vec<&str> {
    layout.concerns.iter().map(|one| one.id.as_str()).collect()
}

fn part<'a>(layout: &'a Layout, name: &str) -> &'a Part {
    let found = layout.parts.iter().find(|part| part.id == format!("lvm:vg/{name}"));
    found.unwrap_or_else(|| panic!("{name}: {:?}", layout.concerns))
}

/// All volumes that Linux read are found with their bytes, and so are their copies, of which there are so many.
fn is_linux(name: &str, devices: &[&[u8]], copies: usize, concerns: &[&str]) {
    let fixture = Fixture::open(name);
    let layout = checked_scan(devices);
    assert_eq!(kinds(&layout), concerns, "{name}: {:?}", layout.concerns);
    assert!(!fixture.sums.is_empty(), "{name}");
    for sum in &fixture.sums {
        let id = part(&layout, &sum.volume).id.clone();
        let same = |part: &&Part| part.id == id || find(&part.facts, "copy-of") == Some(&id);
        let places: Vec<&Part> = layout.parts.iter().filter(same).collect();
        assert_eq!(places.len(), copies, "{name} {id}");
        for part in places {
            let length: u64 = part.segments.iter().map(|segment| segment.length).sum();
            assert_eq!((length, hash(part, devices)), (sum.length, sum.hash.clone()), "{name} {}", part.id);
        }
    }
}

fn whole(names: &[&str], copies: usize, concerns: &[&str]) {
    for name in names {
        let fixture = Fixture::open(name);
        let mut devices = fixture.slices();
        is_linux(name, &devices, copies, concerns);
        // In whatever order the disks are.
        devices.reverse();
        is_linux(name, &devices, copies, concerns);
    }
}

#[test]
fn mirrors_have_all_their_copies() {
    whole(&["raid1", "mirror-disk", "mirror-core", "raid10", "raid10-6", "raid1-writemostly"], 2, &[]);
    whole(&["raid1-3"], 3, &[]);
}

#[test]
fn stripes_are_in_linux_order() {
    whole(&["raid0", "raid0-meta"], 1, &[]);
    let parity = [
        "raid4",
        "raid5_la",
        "raid5_ra",
        "raid5_ls",
        "raid5_rs",
        "raid5_n",
        "raid6_zr",
        "raid6_nr",
        "raid6_nc",
        "raid6_ls_6",
        "raid6_la_6",
        "raid6_rs_6",
        "raid6_ra_6",
        "raid6_n_6",
    ];
    whole(&parity, 1, &["lvm.parity"]);
    for name in parity {
        let fixture = Fixture::open(name);
        let layout = checked_scan(&fixture.slices());
        assert!(find(&part(&layout, "lv").facts, "keep-unused").is_some(), "{name}");
    }
}

/// A disk was away while Linux went on, and is there again with what it had.
#[test]
fn images_that_are_out_of_date_are_not_read() {
    for (name, concerns) in [
        ("raid1-stale", &["lvm.older-metadata", "lvm.degraded"][..]),
        ("raid10-stale", &["lvm.older-metadata", "lvm.degraded"]),
        ("raid4-stale", &["lvm.older-metadata", "lvm.degraded", "lvm.parity"]),
        ("raid6-stale", &["lvm.older-metadata", "lvm.degraded", "lvm.parity"]),
    ] {
        let fixture = Fixture::open(name);
        let older = checked_scan(&fixture.slices());
        let older = kinds(&older).contains(&"lvm.older-metadata");
        let concerns = if older { concerns } else { &concerns[1..] };
        let copies = if name == "raid10-stale" { 2 } else { 1 };
        is_linux(name, &fixture.slices(), copies, concerns);
    }
    let fixture = Fixture::open("raid5-stale");
    let layout = checked_scan(&fixture.slices());
    assert!(kinds(&layout).contains(&"lvm.missing-image"), "{:?}", layout.concerns);
    assert!(part(&layout, "lv").segments.is_empty());
    // Its second image says that it is not filled yet (`disk_recovery_offset` of its superblock).
    let fixture = Fixture::open("raid1");
    let mut disks = fixture.disks.clone();
    let superblock = |disk: &Vec<u8>| disk.chunks(4096).position(|block| block.starts_with(b"DmRd"));
    let at = superblock(&disks[1]).unwrap() * 4096 + 32;
    disks[1][at..at + 8].fill(0);
    let devices: Vec<&[u8]> = disks.iter().map(Vec::as_slice).collect();
    is_linux("raid1", &devices, 1, &["lvm.degraded"]);
}

#[test]
fn what_is_left_of_an_array_is_enough_or_refused() {
    for (name, enough) in
        [("raid1", true), ("raid10", true), ("raid0", false), ("raid5_ls", false), ("raid6_zr", false)]
    {
        let fixture = Fixture::open(name);
        for gone in 0..fixture.disks.len() {
            let devices = fixture.without(gone);
            let layout = checked_scan(&devices);
            if enough {
                let copies = if name == "raid1" { 1 } else { 2 };
                is_linux(name, &devices, copies, &["lvm.degraded"]);
            } else {
                assert!(part(&layout, "lv").segments.is_empty(), "{name}");
                let told = layout.concerns.iter().find(|one| one.id == "lvm.missing-image").unwrap();
                assert!(told.message.contains("last seen as /dev/loop"), "{}", told.message);
            }
        }
    }
    // Where only parity is missing, all data are there.
    for (name, gone) in [("raid5_n", 3), ("raid6_n_6", 4)] {
        let fixture = Fixture::open(name);
        is_linux(name, &fixture.without(gone), 1, &["lvm.degraded", "lvm.parity"]);
    }
}

#[test]
fn thin_volumes_have_holes_and_share_blocks() {
    for (name, copies) in [("thin", 1), ("thin-external", 1), ("thin-deep", 1), ("thin-raid", 2)] {
        let fixture = Fixture::open(name);
        is_linux(name, &fixture.slices(), copies, &[]);
        let layout = checked_scan(&fixture.slices());
        assert!(layout.parts.iter().all(|part| part.id != "lvm:vg/pool"), "{name}");
    }
    let fixture = Fixture::open("thin");
    let layout = checked_scan(&fixture.slices());
    for (name, shares) in [("one", true), ("snap", true), ("sparse", false)] {
        let part = part(&layout, name);
        assert!(part.segments.iter().any(|segment| segment.device == ZEROES), "{name}");
        assert_eq!(find(&part.facts, "keep-unused").is_some(), shares, "{name}");
        assert!(find(&part.facts, "edits").is_some(), "{name}");
    }
    let fixture = Fixture::open("thin-external");
    let layout = checked_scan(&fixture.slices());
    for name in ["base", "child"] {
        assert!(find(&part(&layout, name).facts, "edits").is_some(), "{name}");
    }
}

#[test]
fn an_origin_is_read_as_it_is_and_its_snapshot_is_not() {
    let fixture = Fixture::open("snapshot");
    let layout = checked_scan(&fixture.slices());
    assert_eq!(kinds(&layout), ["lvm.has-snapshots", "lvm.snapshot"]);
    let origin = part(&layout, "origin");
    assert_eq!(hash(origin, &fixture.slices()), fixture.sums[0].hash);
    assert!(find(&origin.facts, "keep-unused").is_some());
    assert!(part(&layout, "snap").segments.is_empty());
}

#[test]
fn caches_and_checksums_are_named_with_the_remedy() {
    for (name, id, remedy) in [
        ("cache", "lvm.cached", "--uncache"),
        ("cachevol", "lvm.cached", "--uncache"),
        ("integrity", "lvm.integrity", "--raidintegrity n"),
    ] {
        let fixture = Fixture::open(name);
        let layout = checked_scan(&fixture.slices());
        assert!(part(&layout, "lv").segments.is_empty(), "{name}");
        let told = layout.concerns.iter().find(|one| one.message.contains("vg/lv is left out")).unwrap();
        assert_eq!(told.id, id, "{name}: {}", told.message);
        assert!(told.remedy.as_deref().is_some_and(|text| text.contains(remedy)), "{name}");
    }
}

/// The pool's metadata and the images' superblocks, damaged; where a checksum covers them, it is made right again.
#[test]
fn damaged_metadata_of_pools_and_images() {
    use wherry_sdk::testing::Random;
    for (name, seeds) in [("thin", 300), ("raid1", 150), ("raid5_ls", 60)] {
        let fixture = Fixture::open(name);
        // Blocks that hold something between the label and the data of volumes.
        let busy = |disk: &Vec<u8>| {
            let blocks = disk.chunks(4096).enumerate().skip(256);
            let found = blocks.filter(|(_, block)| block[8..32].iter().any(|byte| *byte != 0));
            found.map(|(number, _)| number).take(64).collect::<Vec<_>>()
        };
        let places: Vec<Vec<usize>> = fixture.disks.iter().map(busy).collect();
        let mut disks = fixture.disks.clone();
        for seed in 0..seeds {
            let mut random = Random::new(seed);
            let disk = random.next_u64() as usize % fixture.disks.len();
            let Some(place) = places[disk].get(random.next_u64() as usize % places[disk].len().max(1)) else {
                continue;
            };
            let place = place * 4096..(place + 1) * 4096;
            let block = &mut disks[disk][place.clone()];
            for _ in 0..=random.next_u64() % 4 {
                let at = random.next_u64() as usize % if seed % 2 == 0 { 400 } else { 4096 };
                block[at] = random.next_u64() as u8;
            }
            seal(block);
            checked_scan(&disks.iter().map(Vec::as_slice).collect::<Vec<_>>());
            disks[disk][place.clone()].copy_from_slice(&fixture.disks[disk][place]);
        }
    }
}

/// The checksum of a block of dm-thin's metadata: a superblock's in block 0, else a node's.
fn seal(block: &mut [u8]) {
    let superblock = block[32..40] == 27_022_010u64.to_le_bytes();
    if !superblock && u32::from_le_bytes(block[20..24].try_into().unwrap()) > 512 {
        return;
    }
    if block[..4] == *b"DmRd" || block[..4] == *b"dRmD" {
        return;
    }
    let salt = if superblock { 160_774 } else { 121_107 };
    let sum = wherry_sdk::checksum::crc32c(!0, &block[4..]) ^ salt;
    block[..4].copy_from_slice(&sum.to_le_bytes());
}
