//! Good tables, as the tools that made them describe them; then what may be wrong with a good table.

use crate::disks::{GPT, Image, MBR, MIB, fdisk4096, run, sfdisk};
use crate::exercise::{Sectored, scan};
use serde_json::Value;
use volume_partitions::Partitions;
use wherry_sdk::testing::MemoryBlob;
use wherry_sdk::volume::{Layout, Part};
use wherry_sdk::{Blob, Severity, VolumeMap, find};

fn place(part: &Part) -> (u64, u64) {
    (part.segments[0].offset, part.segments[0].length)
}

fn ids(layout: &Layout) -> Vec<&str> {
    layout.parts.iter().map(|part| part.id.as_str()).collect()
}

fn concerns(layout: &Layout) -> Vec<&str> {
    layout.concerns.iter().map(|one| one.id.as_str()).collect()
}

/// Every part of the layout as `sfdisk --json` has it, but for extended partitions.
fn agrees_with_sfdisk(image: &Image) {
    let layout = scan(&image.bytes(), 512);
    assert!(layout.concerns.is_empty(), "{:?}", layout.concerns);
    let answer: Value = serde_json::from_str(&run("/sbin/sfdisk", &["--json"], &image.path(), "")).unwrap();
    let table = &answer["partitiontable"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_lowercase();
    let id = text(&table["id"]).trim_start_matches("0x").to_owned();
    let described = table["partitions"].as_array().unwrap().iter();
    let described: Vec<_> =
        described.filter(|one| !["5", "f", "85"].contains(&text(&one["type"]).as_str())).collect();
    assert_eq!(layout.parts.len(), described.len());
    for (part, described) in layout.parts.iter().zip(described) {
        let sector = |key: &str| described[key].as_u64().unwrap() * 512;
        assert_eq!(place(part), (sector("start"), sector("size")), "{}", part.id);
        let number = text(&described["node"]).rsplit("disk.img").next().unwrap().to_owned();
        let fact = |key: &str| find(&part.facts, key).unwrap_or_default();
        assert_eq!(fact("partition.number"), number);
        assert_eq!(fact("partition.offset"), sector("start").to_string());
        let kind = text(&described["type"]);
        assert_eq!(fact("partition.type"), if kind.len() == 1 { format!("0{kind}") } else { kind });
        assert_eq!(fact("partition.label"), described["name"].as_str().unwrap_or_default());
        let bootable = described["bootable"] == true || described["attrs"] == "LegacyBIOSBootable";
        assert_eq!(fact("partition.bootable") == "true", bootable);
        assert_eq!(fact("table.id"), id);
        if table["label"] == "gpt" {
            assert_eq!(fact("partition.uuid"), text(&described["uuid"]));
        } else {
            assert_eq!(fact("partition.uuid"), format!("{id}-{:02x}", number.parse::<u32>().unwrap()));
        }
    }
}

#[test]
fn tables_of_sfdisk() {
    let mbr = sfdisk(8 * MIB, MBR);
    agrees_with_sfdisk(&mbr);
    assert_eq!(ids(&scan(&mbr.bytes(), 512)), ["mbr:1", "mbr:5", "mbr:6", "mbr:7"]);
    let gpt = sfdisk(8 * MIB, GPT);
    agrees_with_sfdisk(&gpt);
    let layout = scan(&gpt.bytes(), 512);
    assert_eq!(find(&layout.parts[0].facts, "partition.type-name"), Some("EFI System"));
    assert_eq!(find(&layout.parts[1].facts, "partition.label"), Some("root \u{e9}"));
    agrees_with_sfdisk(&sfdisk(8 * MIB, "label: dos\nstart=2048,size=8,type=c\nstart=63,size=7,type=ef\n"));
    let many: String = (0..120).map(|n| format!("start={},size=8,type=L\n", 2048 + 8 * n)).collect();
    agrees_with_sfdisk(&sfdisk(8 * MIB, &format!("label: gpt\n{many}")));
    let many: String = (0..56).map(|n| format!("start={},size=8,type=83\n", 2064 + 16 * n)).collect();
    agrees_with_sfdisk(&sfdisk(
        8 * MIB,
        &format!("label: dos\ngrain: 512\nstart=2048,size=8192,type=f\n{many}"),
    ));
}

#[test]
fn tables_of_sgdisk_which_finds_no_problem_in_them() {
    let image = Image::new(8 * MIB);
    let make = ["--resize-table=256", "--new=1:2048:+1M", "--new=130:8192:+64K", "--attributes=130:set:2"];
    run("/sbin/sgdisk", &make, &image.path(), "");
    assert!(run("/sbin/sgdisk", &["--verify"], &image.path(), "").contains("No problems found"));
    agrees_with_sfdisk(&image);
    assert_eq!(ids(&scan(&image.bytes(), 512)), ["gpt:1", "gpt:130"]);
}

#[test]
fn sectors_of_4096_bytes() {
    let gpt = fdisk4096(8 * MIB, "g\nn\n1\n256\n+2M\nw\n");
    let layout = scan(&gpt.bytes(), 4096);
    assert!(layout.concerns.is_empty(), "{:?}", layout.concerns);
    assert_eq!((ids(&layout), place(&layout.parts[0])), (vec!["gpt:1"], (MIB, 2 * MIB)));
    // The same bytes as an image whose disk is said to have small sectors.
    let layout = scan(&gpt.bytes(), 512);
    assert_eq!(concerns(&layout), ["partitions.sector-size"]);
    assert_eq!(place(&layout.parts[0]), (MIB, 2 * MIB));
    assert_eq!(concerns(&scan(&sfdisk(8 * MIB, GPT).bytes(), 4096)), ["partitions.sector-size"]);
    let mut damaged = gpt.bytes();
    damaged[4096] = 0;
    assert_eq!(concerns(&scan(&damaged, 4096)), ["partitions.primary-gpt"]);
    assert_eq!(concerns(&scan(&damaged, 512)), ["partitions.primary-gpt", "partitions.sector-size"]);

    let keys = "o\nn\np\n1\n256\n+1M\nn\ne\n2\n512\n1535\nn\nl\n768\n+1M\nw\n";
    let layout = scan(&fdisk4096(8 * MIB, keys).bytes(), 4096);
    assert_eq!(ids(&layout), ["mbr:1", "mbr:5"]);
    assert_eq!((place(&layout.parts[0]), place(&layout.parts[1])), ((MIB, MIB), (3 * MIB, MIB)));
}

#[test]
fn the_backup_serves_where_the_primary_is_damaged() {
    let whole = sfdisk(8 * MIB, GPT).bytes();
    let expected = scan(&whole, 512).parts;
    let last = whole.len() - 512;
    for at in [512, 520, 512 + 40, 1024 + 40, 1024 + 128 * 100] {
        let mut disk = whole.clone();
        disk[at] ^= 0x5a;
        let layout = scan(&disk, 512);
        assert_eq!(concerns(&layout), ["partitions.primary-gpt"]);
        assert_eq!(layout.concerns[0].severity, Severity::Warning);
        assert_eq!(layout.parts, expected, "byte {at}");
        disk[last + 20] ^= 1;
        let layout = scan(&disk, 512);
        assert_eq!((concerns(&layout), layout.parts.len()), (vec!["partitions.unreadable"], 0));
        let said = &layout.concerns[0];
        assert!(
            said.severity == Severity::Blocking && said.message.contains("neither GPT is usable"),
            "{said:?}"
        );
    }
    // On a disk that has grown, only the primary header knows where the backup is.
    let mut grown = whole.clone();
    grown.resize(16 * MIB as usize, 0);
    assert_eq!(concerns(&scan(&grown, 512)), ["partitions.backup-gpt"]);
    grown[1024 + 40] ^= 1;
    assert_eq!(scan(&grown, 512).parts, expected);
}

#[test]
fn a_backup_that_is_damaged_or_different_is_mentioned() {
    let mut disk = sfdisk(8 * MIB, GPT).bytes();
    let (expected, last) = (scan(&disk, 512).parts, disk.len() - 512);
    disk[last + 30] ^= 1;
    let layout = scan(&disk, 512);
    assert_eq!((concerns(&layout), &layout.parts), (vec!["partitions.backup-gpt"], &expected));
    disk[last + 30] ^= 1;
    disk[last - 16384 + 56] ^= 1;
    crate::exercise::mend(&mut disk, 512);
    let layout = scan(&disk, 512);
    assert!(layout.concerns[0].message.contains("differs"), "{:?}", layout.concerns);
    assert_eq!(layout.parts, expected);
}

#[test]
fn hybrid_and_odd_protective_records() {
    let image = sfdisk(8 * MIB, GPT);
    run("/sbin/sgdisk", &["--hybrid=1:2"], &image.path(), "");
    let layout = scan(&image.bytes(), 512);
    assert_eq!(concerns(&layout), ["partitions.hybrid-mbr"]);
    assert_eq!(ids(&layout), ["gpt:1", "gpt:2"]);

    let mut disk = sfdisk(8 * MIB, GPT).bytes();
    disk[446 + 12..446 + 16].copy_from_slice(&1_000_000u32.to_le_bytes());
    let layout = scan(&disk, 512);
    assert_eq!((concerns(&layout), layout.parts.len()), (vec!["partitions.protective-mbr"], 2));
    disk[446 + 12..446 + 16].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(scan(&disk, 512).concerns.is_empty());
    // Without its protective record a GPT is old: the disk has an MBR now.
    disk[446 + 4] = 0x83;
    disk[446 + 12..446 + 16].copy_from_slice(&100u32.to_le_bytes());
    assert_eq!(ids(&scan(&disk, 512)), ["mbr:1"]);
}

#[test]
fn a_disk_cut_short_and_overlaps() {
    let disk = sfdisk(8 * MIB, MBR).bytes();
    let layout = scan(&disk[..6 * MIB as usize], 512);
    let left: Vec<&str> =
        layout.parts.iter().filter(|part| !part.segments.is_empty()).map(|part| part.id.as_str()).collect();
    assert_eq!(left, ["mbr:1", "mbr:5", "mbr:6"]);
    assert_eq!(concerns(&layout), ["partitions.bad-chain"]);

    let script = "label: dos\nstart=1MiB,size=1MiB\nstart=3MiB,size=1MiB\nstart=5MiB,size=1MiB\n";
    let mut disk = sfdisk(8 * MIB, script).bytes();
    disk[446 + 16 + 8..][..4].copy_from_slice(&2049u32.to_le_bytes());
    disk[446 + 32 + 12..][..4].copy_from_slice(&u32::MAX.to_le_bytes());
    let layout = scan(&disk, 512);
    assert!(layout.parts.iter().all(|part| part.segments.is_empty()));
    let said: Vec<&str> = layout.concerns.iter().map(|one| one.message.as_str()).collect();
    assert!(
        said[0].contains("mbr:1 overlaps partition 2") && said[2].contains("beyond its disk"),
        "{said:?}"
    );
}

#[test]
fn file_systems_and_empty_disks_are_no_tables() {
    let image = Image::new(40 * MIB);
    for options in [["-F", "12", "-s", "32"], ["-F", "16", "-s", "4"], ["-F", "32", "-s", "1"]] {
        run("/usr/sbin/mkfs.vfat", &options, &image.path(), "");
        assert!(scan(&image.bytes(), 512).parts.is_empty(), "{options:?}");
    }
    for (at, name) in [(3, "NTFS    "), (3, "EXFAT   "), (3, "-FVE-FS-"), (54, "FAT16   "), (82, "FAT32   ")]
    {
        let mut sector = vec![0; 4096];
        sector[at..at + 8].copy_from_slice(name.as_bytes());
        sector[510..512].copy_from_slice(&[0x55, 0xaa]);
        // What would be an entry, but starts where this sector is.
        sector[446 + 4] = 0x83;
        sector[446 + 12] = 1;
        assert!(scan(&sector, 512).parts.is_empty(), "{name}");
    }
    for nothing in [vec![0; 4096], vec![0; 511], Vec::new(), vec![0xff; 4096]] {
        let layout = scan(&nothing, 512);
        assert!(layout.parts.is_empty() && layout.concerns.is_empty());
    }
}

/// A disk that held a FAT as a whole, and was partitioned then: GRUB and fdisk leave the old parameter block.
#[test]
fn a_table_behind_an_old_parameter_block_is_a_table() {
    let image = Image::new(8 * MIB);
    run("/usr/sbin/mkfs.vfat", &["-F", "16", "-s", "1"], &image.path(), "");
    let mut disk = sfdisk(8 * MIB, MBR).bytes();
    disk[..90].copy_from_slice(&image.bytes()[..90]);
    assert_eq!(ids(&scan(&disk, 512)), ["mbr:1", "mbr:5", "mbr:6", "mbr:7"]);
}

#[test]
fn several_disks_keep_apart_and_a_bad_one_harms_no_other() {
    let mut bad = sfdisk(8 * MIB, GPT).bytes();
    bad[512..].fill(0);
    let disks = [bad, sfdisk(8 * MIB, MBR).bytes(), sfdisk(8 * MIB, GPT).bytes()];
    let lend =
        |bytes: &Vec<u8>| Box::new(Sectored(MemoryBlob::read_only(bytes.clone()), 512)) as Box<dyn Blob>;
    let layout = Partitions::scan(&disks.iter().map(lend).collect::<Vec<_>>()).unwrap();
    assert_eq!(ids(&layout), ["d1/mbr:1", "d1/mbr:5", "d1/mbr:6", "d1/mbr:7", "d2/gpt:1", "d2/gpt:2"]);
    assert!(layout.parts.iter().all(|part| part.segments[0].device == part.id[1..2].parse::<u32>().unwrap()));
    assert!(layout.concerns[0].message.contains("device 0"), "{:?}", layout.concerns);
}

/// Partitions that Windows divides further are named; a dynamic disk's volumes are found by another adapter.
#[test]
fn dynamic_disks_and_storage_spaces_are_named() {
    let spaces = "e75caf8f-f680-4cee-afa3-b001e56efc2d";
    let data = "af9b60a0-1431-4f62-bc68-3311714a69ad";
    for (script, ids, empty) in [
        ("label: dos\nstart=2048,size=2048,type=42\n".to_owned(), vec!["partitions.dynamic"], true),
        (format!("label: gpt\nstart=2048,size=2048,type={data}\n"), vec!["partitions.dynamic"], true),
        (
            format!("label: gpt\nstart=2048,size=2048,type={spaces}\n"),
            vec!["partitions.storage-spaces"],
            false,
        ),
    ] {
        let layout = scan(&sfdisk(4 * MIB, &script).bytes(), 512);
        assert_eq!(layout.concerns.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ids);
        assert_eq!(layout.parts.len(), 1);
        assert_eq!(layout.parts[0].segments.is_empty(), empty, "{script}");
    }
}
