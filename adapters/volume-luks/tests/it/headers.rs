//! Headers that are damaged, of another kind, or ask for what cannot be done.

use crate::exercise::{checked_scan, seal};
use crate::opened::fixture;
use wherry_sdk::find;

fn complaint(bytes: &[u8]) -> String {
    let layout = checked_scan(&[bytes]);
    assert!(layout.parts.is_empty());
    layout.concerns.first().map_or_else(String::new, |one| one.message.clone())
}

/// Replaces text of the same length in the JSON of the first copy, and removes the second one.
fn changed(from: &str, to: &str) -> Vec<u8> {
    let mut bytes = fixture("luks2-4096");
    let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).expect("it is there");
    assert_eq!(from.len(), to.len());
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    bytes[16384..32768].fill(0);
    seal(&mut bytes);
    bytes
}

#[test]
fn the_other_copy_counts_where_one_is_damaged() {
    let whole = fixture("luks2-4096");
    let expected = checked_scan(&[&whole]).parts[0].facts.clone();
    for at in [20, 300, 470, 5000] {
        let mut first = whole.clone();
        first[at] ^= 0xff;
        let layout = checked_scan(&[&first]);
        assert_eq!(layout.parts[0].facts.len(), expected.len(), "byte {at}");
        let mut second = whole.clone();
        second[16384 + at] ^= 0xff;
        assert_eq!(checked_scan(&[&second]).parts[0].facts.len(), expected.len(), "byte {at}");
        first[16384 + at] ^= 0xff;
        assert!(complaint(&first).contains("LUKS header of device 0"), "byte {at}");
    }
}

#[test]
fn what_cannot_be_opened_is_named() {
    for (from, to, message) in [
        ("\"sector_size\":4096", "\"sector_size\":4095", "sectors of 4095 bytes"),
        ("\"type\":\"crypt\"", "\"type\":\"linea\"", "of another type"),
        ("\"offset\":\"16777216\"", "\"offset\":\"96777216\"", "beyond the device's end"),
        ("\"offset\":\"16777216\"", "\"offset\":\"00000000\"", "detached header"),
        ("\"offset\":\"16777216\"", "\"offset\":\"00032256\"", "detached header"),
        ("\"keyslots\":{", "\"keysl0ts\":{", "no keyslots"),
    ] {
        let told = complaint(&changed(from, to));
        assert!(told.contains(message), "{to}: {told}");
    }
    let mut old = fixture("luks1-cbc");
    old[7] = 3;
    assert!(complaint(&old).contains("version 3 is unknown"));
    old[7] = 1;
    old[104..108].fill(0);
    assert!(complaint(&old).contains("detached header"));
}

#[test]
fn two_of_one_uuid_and_what_is_none() {
    let whole = fixture("luks1-cbc");
    let layout = checked_scan(&[&whole, &whole]);
    assert_eq!((layout.parts.len(), layout.concerns[0].id.as_str()), (1, "luks.same-uuid"));
    assert!(find(&layout.parts[0].facts, "luks.uuid").is_some());
    let layout = checked_scan(&[&[0; 100], &[0; 10000], b"LUKS", b"LUKS\xba\xbe\0\x02"]);
    assert!(layout.parts.is_empty() && layout.concerns.is_empty());
}
