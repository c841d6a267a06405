//! Labels, areas and texts made by hand.

use crate::exercise::checked_scan;
use crate::made::{self, logical, striped};

fn simple() -> String {
    made::group(&["A"], 1, &logical("root", &[&striped(0, 4, &[("pv0", 2)])]))
}

/// The message of the only concern about this disk.
fn complaint(disk: &[u8]) -> String {
    let layout = checked_scan(&[disk]);
    assert!(layout.parts.iter().all(|part| part.segments.is_empty()), "{:?}", layout.parts);
    let messages: Vec<String> = layout.concerns.into_iter().map(|concern| concern.message).collect();
    messages.join("; ")
}

#[test]
fn disks_without_a_label_are_not_ours() {
    for disk in [vec![], vec![0; 511], vec![0; 2048], vec![0x5a; 1 << 20]] {
        let layout = checked_scan(&[&disk]);
        assert!(layout.parts.is_empty() && layout.concerns.is_empty());
    }
    let mut orphan = made::physical("A", b"");
    orphan[made::AREA + 40..made::AREA + 56].fill(0);
    made::repair(&mut orphan);
    assert_eq!(complaint(&orphan), "");
}

#[test]
fn the_label_may_lie_in_any_of_four_sectors() {
    for sector in [0usize, 2, 3] {
        let mut disk = made::physical("A", simple().as_bytes());
        let mut label = disk[512..1024].to_vec();
        disk[512..1024].fill(0);
        label[8..16].copy_from_slice(&(sector as u64).to_le_bytes());
        let sum = made::checksum(&label[20..]);
        label[16..20].copy_from_slice(&sum.to_le_bytes());
        disk[sector * 512..][..512].copy_from_slice(&label);
        assert_eq!(checked_scan(&[&disk]).parts[0].segments[0].offset, (1 << 20) + 2 * (64 << 10));
    }
}

#[test]
fn damage_is_named() {
    let disk = made::physical("A", simple().as_bytes());
    let with = |at: usize, byte: u8| {
        let mut disk = disk.clone();
        disk[at] = byte;
        disk
    };
    assert!(complaint(&with(560, b'?')).contains("checksum of the label"));
    assert!(complaint(&with(520, 2)).contains("says that it lies in sector 2"));
    assert!(complaint(&with(made::AREA + 100, 1)).contains("area's header is wrong"));
    assert!(complaint(&with(made::AREA + 4, b'x')).contains("no header"));
    assert!(complaint(&with(made::AREA + 600, b'?')).contains("checksum of the metadata text"));
    let repaired = |at: usize, byte: u8| {
        let mut disk = with(at, byte);
        made::repair(&mut disk);
        disk
    };
    assert!(complaint(&repaired(made::AREA + 20, 2)).contains("version 2"));
    assert!(complaint(&repaired(made::AREA + 24, 7)).contains("disagree about its place"));
    assert!(complaint(&repaired(made::AREA + 55, 0xff)).contains("does not fit its area"));
    assert!(complaint(&repaired(630, 0xff)).contains("beyond the device's end"));
    let mut partitioned = disk.clone();
    partitioned[450] = 0x83;
    partitioned[458] = 1;
    partitioned[510..512].copy_from_slice(&[0x55, 0xaa]);
    assert!(complaint(&partitioned).contains("has a partition table"));
    let end = disk.len();
    for (at, version) in [((end & !0xffff) - 0x10000, 0), ((end - 8192) & !4095, 1u32), (4096, 1)] {
        let mut member = disk.clone();
        member[at..at + 4].copy_from_slice(&[0xfc, 0x4e, 0x2b, 0xa9]);
        member[at + 4..at + 8].copy_from_slice(&version.to_le_bytes());
        member[at + 144..at + 152].copy_from_slice(&(at as u64 / 512).to_le_bytes());
        assert!(complaint(&member).contains("a member of an MD array"), "{at}");
    }
}

/// The grammar: comments, escapes, strings in either quotes, commas before brackets, words.
#[test]
fn the_text_is_read_as_lvm2_writes_it() {
    let text = simple().replace(
        "contents",
        "description = \"a \\\"}\\\\\" # { \" \n quoted = 'C:\\' list = [ 1, \"x\", ] word = on\ncontents",
    ) + "\0} garbage";
    let layout = checked_scan(&[&made::physical("A", text.as_bytes())]);
    assert!(layout.concerns.is_empty(), "{:?}", layout.concerns);
    assert_eq!(layout.parts[0].segments[0].length, 4 * (64 << 10));
}

#[test]
fn texts_that_are_none() {
    let deep = "a {".repeat(1000);
    let nested = format!("x = {}", "[".repeat(100_000));
    let long = "x = 1\n".repeat(170_000);
    let cases = [
        ("}", "closes nothing"),
        ("vg {", "is not closed"),
        ("vg { id = \"x", "a string is not closed"),
        ("vg = ", "a name or a value is missing"),
        ("vg", "neither `{` nor `=`"),
        ("a = [1 2]", "neither `,` nor `]`"),
        (deep.as_str(), "too deep"),
        (nested.as_str(), "too deep"),
        (long.as_str(), "too long"),
        ("x = 1", "`contents` is missing"),
        ("contents = \"Text Format Volume Group\" version = 2", "not version 1"),
        ("contents = \"Text Format Volume Group\" version = 1", "no volume group"),
    ];
    for (text, message) in cases {
        let complaint = complaint(&made::physical("A", text.as_bytes()));
        assert!(complaint.contains(message), "{message}: {complaint}");
    }
}

#[test]
fn groups_that_make_no_sense() {
    let cases = [
        ("seqno = 1", "seqno = -1", "`seqno` is missing or is not a number"),
        ("extent_size = 128", "extent_size = 0", "extent_size is zero"),
        ("\"lvm2\"", "\"lvm1\"", "format lvm1"),
        ("extent_count = 4", "extent_count = 17", "beyond the 16 extents"),
        ("extent_count = 4", "extent_count = 18446744073709551615", "longer than 2^64 bytes"),
        ("extent_count = 4", "extent_count = 0", "do not follow each other"),
        ("start_extent = 0", "start_extent = 1", "do not follow each other"),
        ("segment_count = 1", "segment_count = 2", "segment_count"),
        ("stripe_count = 1", "stripe_count = 3", "stripe_count"),
        ("\"pv0\", 2", "\"pv0\"", "not a list of names and extents"),
        ("\"pv0\", 2", "\"root\", 2", "volumes lie on volumes more than"),
        ("root {", "-root {", "no name that LVM allows"),
        ("root {", "\"a/b\" {", "no name that LVM allows"),
        ("vg {", "\"..\" {", "no name that LVM allows"),
        ("pe_start = 2048", "pe_start = 18446744073709551615", "overlaps its own metadata"),
        ("pe_count = 16", "pe_count = 18446744073709551615", "overlaps its own metadata"),
        ("extent_size = 128", "extent_size = 18446744073709551615", "longer than 2^64 bytes"),
    ];
    for (from, to, message) in cases {
        let text = simple().replacen(from, to, 1);
        assert_ne!(text, simple());
        let complaint = complaint(&made::physical("A", text.as_bytes()));
        assert!(complaint.contains(message), "{to}: {complaint}");
    }
    let twice =
        logical("a", &[&striped(0, 1, &[("pv0", 2)])]) + &logical("a", &[&striped(0, 1, &[("pv0", 3)])]);
    let text = made::group(&["A"], 1, &twice);
    assert!(complaint(&made::physical("A", text.as_bytes())).contains("same name"));
    let uneven = made::group(&["A"], 1, &logical("a", &[&striped(0, 3, &[("pv0", 2), ("pv0", 8)])]));
    assert!(complaint(&made::physical("A", uneven.as_bytes())).contains("cannot be divided"));
    let zero = logical("a", &[&striped(0, 2, &[("pv0", 2), ("pv0", 8)])])
        .replace("stripe_size = 128", "stripe_size = 0");
    let text = made::group(&["A"], 1, &zero);
    assert!(complaint(&made::physical("A", text.as_bytes())).contains("do not divide"));
}

/// Found by fuzzing: such a volume was listed without segments and without a reason.
#[test]
fn a_volume_without_extents_is_refused_with_a_reason() {
    let text = made::group(&["A"], 1, &logical("root", &[]));
    assert!(complaint(&made::physical("A", text.as_bytes())).contains("root is left out: it has no extents"));
}
