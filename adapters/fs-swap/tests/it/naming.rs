//! What an area is called, compared with blkid.

use crate::lab::{SIZE, area, by_blkid};
use fs_swap::Swap;
use wherry_sdk::filesystem::Identity;
use wherry_sdk::testing::MemoryBlob;
use wherry_sdk::{ErrorKind, FileSystem, find};

fn probe(bytes: &[u8]) -> Option<Identity> {
    Swap::probe(&MemoryBlob::read_only(bytes)).unwrap()
}

const PAGES: [&str; 5] = ["4096", "8192", "16384", "32768", "65536"];

#[test]
fn areas_of_every_page_size() {
    for (page, order) in PAGES.iter().flat_map(|page| [(page, "little"), (page, "big")]) {
        let mut bytes = area(&["-p", page, "-L", "fifteen letters"], 0x5a);
        if order == "big" {
            // mkswap writes this machine's order only: version, last page, number of bad ones.
            (1024..1036).step_by(4).for_each(|at| bytes[at..at + 4].reverse());
        }
        let identity = probe(&bytes).unwrap();
        let [kind, version, uuid, label] = by_blkid(&bytes);
        assert_eq!((identity.kind, find(&identity.facts, "swap.version").unwrap()), (kind, version.as_str()));
        assert_eq!((identity.uuid.unwrap(), identity.label.unwrap()), (uuid, label.clone()));
        assert_eq!((label.as_str(), identity.clean), ("fifteen letters", true));
        let size = page.parse::<u64>().unwrap();
        assert_eq!((u64::from(identity.block), identity.size), (size, SIZE / size * size));
        assert_eq!(find(&identity.facts, "swap.order"), (order == "big").then_some("big-endian"));
    }
}

/// Signatures as hibernation puts them there.
#[test]
fn sleeping_systems() {
    for (image, version) in [
        ("S1SUSPEND\0", "s1suspend"),
        ("S2SUSPEND\0", "s2suspend"),
        ("ULSUSPEND\0", "ulsuspend"),
        ("LINHIB0001", "linhib0001"),
    ] {
        let mut bytes = area(&["-L", "x"], 0);
        bytes.copy_within(4086..4096, 4076);
        bytes[4086..4096].copy_from_slice(image.as_bytes());
        let identity = probe(&bytes).unwrap();
        let [kind, told, uuid, _] = by_blkid(&bytes);
        assert_eq!((kind.as_str(), told.as_str()), ("swsuspend", version));
        assert_eq!((identity.uuid.unwrap(), identity.clean), (uuid, false));
        assert_eq!(find(&identity.facts, "swap.hibernated"), Some(image.trim_end_matches('\0')));
    }
    let mut bytes = area(&[], 0);
    bytes[..8].copy_from_slice(b"\xed\xc3\x02\xe9\x98\x56\xe5\x0c");
    assert_eq!(by_blkid(&bytes)[1], "tuxonice");
    let identity = probe(&bytes).unwrap();
    assert_eq!((find(&identity.facts, "swap.hibernated"), identity.clean), (Some("TuxOnIce"), false));
}

#[test]
fn old_areas_and_areas_without_names() {
    let mut bytes = area(&[], 0);
    bytes[1024..4086].fill(0);
    bytes[4086..4096].copy_from_slice(b"SWAP-SPACE");
    let identity = probe(&bytes).unwrap();
    assert_eq!(by_blkid(&bytes)[..2], ["swap", "0"]);
    assert_eq!((find(&identity.facts, "swap.version"), identity.uuid), (Some("0"), None));
    let identity = probe(&area(&["-U", "clear"], 0)).unwrap();
    assert_eq!((identity.uuid, identity.label), (None, None));
}

#[test]
fn what_is_no_area() {
    let whole = area(&[], 0);
    let changed = |at: usize, with: &[u8]| {
        let mut bytes = whole.clone();
        bytes[at..at + with.len()].copy_from_slice(with);
        bytes
    };
    assert!(probe(&whole).is_some());
    for bytes in [
        changed(1024, &[2]),
        changed(1028, &[0; 4]),
        changed(4086, b"SWAPSPACE3"),
        whole[..40_000].to_vec(),
        Vec::new(),
    ] {
        assert!(probe(&bytes).is_none());
        let error = Swap::mount(Box::new(MemoryBlob::read_only(bytes)), false).err().unwrap();
        assert_eq!(error.kind, ErrorKind::Corrupt);
    }
    // Something that spared the signature.
    for (at, signature) in [
        (512, &b"LABELONE"[..]),
        (4096, b"\xfc\x4e\x2b\xa9"),
        (8192 + 1372, &[0x54, 0x19, 1, 0]),
        (8192 + 1372, &[0, 1, 0x19, 0x54]),
        (65536 + 1372, &[0x19, 1, 0x54, 0x19]),
        (16384 + 24, b"version\0"),
        (65536 + 64, b"_BHRfS_M"),
        (1 << 20, b"\x0d\xd0\x01\xc0"),
    ] {
        assert!(probe(&changed(at, signature)).is_none(), "{at}");
    }
}

#[test]
fn there_are_no_files() {
    let blob = MemoryBlob::new(area(&[], 0));
    let refused = |answer: wherry_sdk::Result<()>| answer.unwrap_err().kind == ErrorKind::Unsupported;
    assert!(refused(Swap::mount(Box::new(blob.clone()), true).map(|_| ())));
    let mut area = Swap::mount(Box::new(blob.clone()), false).unwrap();
    assert!(area.entries("/", 0, 10).unwrap().entries.is_empty());
    assert_eq!(area.stat("/a").unwrap_err().kind, ErrorKind::NotFound);
    assert!(refused(area.write("/a", &blob, None)) && refused(area.remove("/")));
}
