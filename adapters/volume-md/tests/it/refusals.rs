//! What is refused, and by which concern.

use crate::arrays::{content, kinds};
use crate::exercise::checked_scan;
use crate::made::{Plan, device, members, place, seal, superblock};
use wherry_sdk::bytes::{put_u16, put_u32, put_u64, u32_at};

const MIRROR: Plan = Plan { level: 1, layout: 0, chunk: 0, disks: 2, events: 9 };

fn scanned(devices: &[Vec<u8>]) -> wherry_sdk::volume::Layout {
    let devices: Vec<&[u8]> = devices.iter().map(Vec::as_slice).collect();
    checked_scan(&devices)
}

/// Changes a superblock of version 1.2 of the mirror.
fn changed(number: u32, change: impl Fn(&mut [u8])) -> Vec<u8> {
    let mut block = superblock("1.2", &MIRROR, number);
    change(&mut block);
    device("1.2", &block)
}

/// Linux takes levels without a layout to be the original one, and version 0.90 has none.
#[test]
fn striped_with_an_early_superblock() {
    let plan = Plan { level: 0, layout: 0, chunk: 8192, disks: 3, events: 1 };
    let devices = members("0.90", &plan);
    let layout = scanned(&devices);
    assert!(layout.concerns.is_empty(), "{:?}", layout.concerns);
    let slices: Vec<&[u8]> = devices.iter().map(Vec::as_slice).collect();
    let bytes = content(&layout.parts[0], &slices);
    let sectors: Vec<u32> = bytes.chunks(8192).take(5).map(|chunk| u32_at(chunk, 0)).collect();
    assert_eq!((sectors, bytes.len()), (vec![0, 0, 0, 16, 16], 3 * place("0.90")));
}

#[test]
fn every_refusal_has_its_name() {
    let whole = |number| changed(number, |_| {});
    let cases: [(&str, Vec<Vec<u8>>); 7] = [
        ("md.duplicate-member", vec![whole(0), whole(0)]),
        (
            "md.conflict",
            vec![
                changed(0, |block| put_u16(block, 258, 0xfffe)),
                changed(1, |block| put_u16(block, 256, 0xfffe)),
            ],
        ),
        ("md.unsupported-level", vec![changed(0, |block| put_u32(block, 72, -4i32 as u32))]),
        ("md.bad-array", vec![changed(0, |block| put_u32(block, 92, 0))]),
        ("md.bad-array", vec![changed(0, |block| put_u64(block, 80, 1 << 40))]),
        ("md.bad-superblock", vec![changed(0, |block| put_u64(block, 136, 1 << 40))]),
        ("md.bad-superblock", vec![changed(0, |block| put_u32(block, 8, 1 << 20))]),
    ];
    for (kind, devices) in cases {
        let layout = scanned(&devices);
        assert_eq!(kinds(&layout), [kind], "{:?}", layout.concerns);
        assert!(layout.parts.iter().all(|part| part.segments.is_empty()), "{kind}");
    }
    let mut damaged = whole(0);
    damaged[place("1.2") + 40] ^= 1;
    assert_eq!(kinds(&scanned(&[damaged])), ["md.bad-superblock"]);
}

/// One event behind is what a crash leaves; two is a member that was away.
#[test]
fn how_old_a_member_may_be() {
    for (behind, concerns) in [(0, &[][..]), (1, &[]), (2, &["md.stale-member", "md.degraded"])] {
        let old = changed(0, |block| put_u64(block, 200, 9 - behind));
        assert_eq!(kinds(&scanned(&[old, changed(1, |_| {})])), concerns, "{behind}");
    }
}

/// The superblock that was made last counts, and one that says it belongs elsewhere does not.
#[test]
fn leftovers() {
    let mut both = changed(0, |_| {});
    let mut older = superblock("1.0", &MIRROR, 0);
    put_u64(&mut older, 64, 1_500_000_000);
    older[16] ^= 1;
    seal(&mut older);
    both[place("1.0")..][..4096].copy_from_slice(&older);
    let layout = scanned(&[both]);
    assert_eq!(layout.parts.len(), 1);
    assert!(layout.parts[0].facts.iter().any(|fact| fact.value == "1.2"), "{:?}", layout.parts[0].facts);
    let mut copied = vec![0; 4096];
    copied.extend(changed(0, |_| {}));
    assert!(scanned(&[copied]).parts.is_empty());
}
