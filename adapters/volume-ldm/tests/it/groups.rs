//! Groups with volumes of every type, as ldmtool sees them.

use crate::exercise::checked_scan;
use crate::made::{DATA, Record, component, database, disk, gpt, group, mbr, partition, volume};
use std::io::Write;
use std::process::{Command, Stdio};
use wherry_sdk::find;
use wherry_sdk::volume::{Layout, Part};

/// Three disks with a volume of each type.
pub fn all(later: bool) -> Vec<Record> {
    let mut records = vec![group(), disk(1, later), disk(2, later), disk(3, later)];
    records.extend([volume(10, "Simple", false, 1, 300), component(11, 10, 2, 1, 0)]);
    records.push(partition(12, 11, 1, (0, 0, 300), None));
    records.extend([volume(20, "Spanned", false, 1, 500), component(21, 20, 2, 2, 0)]);
    records.extend([partition(23, 21, 1, (400, 300, 200), None), partition(22, 21, 2, (100, 0, 300), None)]);
    records.extend([volume(30, "Striped", false, 1, 768), component(31, 30, 1, 2, 128)]);
    records.extend([partition(32, 31, 3, (0, 0, 384), Some(1)), partition(33, 31, 2, (500, 0, 384), None)]);
    records.extend([volume(40, "Mirrored", false, 2, 256)]);
    records.extend([component(41, 40, 2, 1, 0), component(43, 40, 2, 1, 0)]);
    records.extend([partition(42, 41, 3, (400, 0, 256), None), partition(44, 43, 1, (700, 0, 256), None)]);
    records.extend([volume(50, "Raid", true, 1, 2 * 512), component(51, 50, 3, 3, 128)]);
    records
        .extend([partition(52, 51, 1, (1000, 0, 512), None), partition(53, 51, 2, (1000, 0, 512), Some(1))]);
    records.push(partition(54, 51, 3, (1100, 0, 512), Some(2)));
    records
}

fn part<'a>(layout: &'a Layout, name: &str) -> &'a Part {
    layout.parts.iter().find(|part| part.id == format!("ldm:Dg0/{name}")).unwrap()
}

/// Where sector `at` of a volume is: disk number and sector of the disk, as the disk's own bytes say.
fn place(part: &Part, disks: &[Vec<u8>], at: u64) -> (u8, u32) {
    let segment = part.segments.iter().find(|one| at * 512 < one.logical + one.length).unwrap();
    let offset = (segment.offset + at * 512 - segment.logical) as usize;
    let bytes = &disks[segment.device as usize][offset..];
    (bytes[0], u32::from_be_bytes(bytes[1..5].try_into().unwrap()))
}

#[test]
fn every_type_is_mapped() {
    for later in [false, true] {
        let database = database(&all(later), 7);
        // In another order than in the database.
        let disks = [2, 3, 1].map(|number| mbr(number, &database));
        let layout = checked_scan(&[&disks[0], &disks[1], &disks[2]]);
        let concerns: Vec<&str> = layout.concerns.iter().map(|one| one.id.as_str()).collect();
        assert_eq!(concerns, ["ldm.mirror", "ldm.parity"], "{:?}", layout.concerns);
        let at = |name, sector| {
            let (disk, place) = place(part(&layout, name), &disks, sector);
            (disk, u64::from(place) - DATA)
        };
        assert_eq!([at("Simple", 0), at("Simple", 299)], [(1, 0), (1, 299)]);
        assert_eq!(
            [at("Spanned", 299), at("Spanned", 300), at("Spanned", 499)],
            [(2, 399), (1, 400), (1, 599)]
        );
        assert_eq!(
            [at("Striped", 127), at("Striped", 128), at("Striped", 257)],
            [(2, 627), (3, 0), (2, 629)]
        );
        assert_eq!(at("Mirrored", 255), (3, 655));
        // Row 0: data, data, parity; row 1: data of 2 and 0 around the parity in 1; row 2: parity in 0.
        let raid = [0, 1, 2, 3, 4, 5, 6, 7].map(|chunk| at("Raid", chunk * 128));
        let rows = [(1, 1000), (2, 1000), (3, 1228), (1, 1128), (2, 1256), (3, 1356), (1, 1384), (2, 1384)];
        assert_eq!(raid, rows);
        for part in &layout.parts {
            assert_eq!(find(&part.facts, "ldm.drive"), Some("E:"), "{}", part.id);
        }
    }
}

/// What ldmtool answers to these commands.
fn ldmtool(disks: &[&[u8]], commands: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let mut names = Vec::new();
    for (index, bytes) in disks.iter().enumerate() {
        let path = directory.path().join(format!("disk{index}"));
        std::fs::write(&path, bytes).unwrap();
        names.push(path.to_str().unwrap().to_owned());
    }
    let mut command = Command::new("ldmtool");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut tool = command.spawn().expect("package ldmtool");
    let script = format!("scan {}\n{commands}", names.join(" "));
    tool.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = tool.wait_with_output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn ldmtool_sees_the_same() {
    for later in [false, true] {
        let database = database(&all(later), 7);
        let disks = [mbr(1, &database), mbr(2, &database), gpt(3, &database)];
        let disks: Vec<&[u8]> = disks.iter().map(Vec::as_slice).collect();
        let layout = checked_scan(&disks);
        assert_eq!(layout.parts.len(), 5);
        for part in &layout.parts {
            let name = find(&part.facts, "ldm.volume").unwrap();
            let told = ldmtool(&disks, &format!("show volume {} {name}\n", crate::made::GROUP));
            let size = part.segments.iter().map(|one| one.length).sum::<u64>() / 512;
            let expected = [
                format!("\"type\" : \"{}\"", find(&part.facts, "ldm.type").unwrap()),
                format!("\"size\" : {size},"),
                format!("\"guid\" : \"{}\"", find(&part.facts, "ldm.id").unwrap()),
                "\"hint\" : \"E:\"".to_owned(),
            ];
            assert!(expected.iter().all(|line| told.contains(line)), "{name}: {expected:?} of {told}");
        }
        let told = ldmtool(
            &disks,
            &format!(
                "show partition {} Disk3-54\nshow disk {} Disk3\n",
                crate::made::GROUP,
                crate::made::GROUP
            ),
        );
        assert!(told.contains("\"start\" : 1100") && told.contains("\"data-start\" : 2200"), "{told}");
    }
}

/// A disk of the group has no database, or an older one.
#[test]
fn the_newest_database_counts() {
    let new = database(&all(true), 8);
    let mut old = all(true);
    old.retain(|record| record.kind != 0x51 && record.kind != 0x32 && record.kind != 0x33);
    let old = database(&old, 7);
    for disks in
        [[mbr(1, &old), mbr(2, &new), mbr(3, &old)], [mbr(1, &new), mbr(2, &old), mbr(3, &vec![0; 1 << 20])]]
    {
        let layout = checked_scan(&[&disks[0], &disks[1], &disks[2]]);
        assert_eq!(
            layout.parts.iter().filter(|part| !part.segments.is_empty()).count(),
            5,
            "{:?}",
            layout.concerns
        );
    }
}

/// The private header's copy is used, too.
#[test]
fn a_damaged_header_has_a_copy() {
    let database = database(&all(true), 7);
    let mut first = mbr(1, &database);
    first[6 * 512 + 0x40] ^= 1;
    let layout = checked_scan(&[&first, &mbr(2, &database), &mbr(3, &database)]);
    assert_eq!(layout.concerns.len(), 2, "{:?}", layout.concerns);
}
