//! What changed on thin and era devices, by the real tools' output.

use std::fmt::Write;
use std::fs::File;
use std::path::Path;
use std::process::Command;
use wherry_block::changes::{era_invalidate, thin_delta};

const BLOCK: u64 = 64 << 10;

fn tool(program: &str, words: &[&str]) -> String {
    let path = Path::new("/usr/sbin").join(program);
    let done = Command::new(path).args(words).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    let text = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success(), "{program} {words:?}: {text}{}", String::from_utf8_lossy(&done.stderr));
    text
}

/// Metadata that the tools make of XML.
fn metadata(folder: &Path, program: &str, xml: &str) -> String {
    let (from, to) = (folder.join("xml"), folder.join("metadata"));
    std::fs::write(&from, xml).unwrap();
    File::create(&to).unwrap().set_len(4 << 20).unwrap();
    tool(program, &["-i", from.to_str().unwrap(), "-o", to.to_str().unwrap()]);
    to.display().to_string()
}

/// Two snapshots: 2..4 written again, 10 gone, 50..52 new.
const THIN: &str = r#"
<superblock uuid="" time="2" transaction="1" flags="0" version="2" data_block_size="128" nr_data_blocks="1000">
  <device dev_id="1" mapped_blocks="8" transaction="0" creation_time="0" snap_time="1">
    <range_mapping origin_begin="0" data_begin="0" length="4" time="0"/>
    <single_mapping origin_block="10" data_block="20" time="0"/>
    <range_mapping origin_begin="20" data_begin="30" length="3" time="0"/>
  </device>
  <device dev_id="2" mapped_blocks="9" transaction="1" creation_time="1" snap_time="1">
    <range_mapping origin_begin="0" data_begin="0" length="2" time="0"/>
    <range_mapping origin_begin="2" data_begin="100" length="2" time="1"/>
    <range_mapping origin_begin="20" data_begin="30" length="3" time="0"/>
    <range_mapping origin_begin="50" data_begin="200" length="2" time="1"/>
  </device>
</superblock>
"#;

#[test]
fn what_differs_between_two_thin_volumes() {
    let folder = tempfile::tempdir().unwrap();
    let metadata = metadata(folder.path(), "thin_restore", THIN);
    for more in [&[][..], &["--verbose"]] {
        let xml = tool("thin_delta", &[more, &["--thin1", "1", "--thin2", "2", &metadata]].concat());
        let changed = thin_delta(&xml, 1 << 40).unwrap();
        assert_eq!(
            changed.as_slice(),
            [2 * BLOCK..4 * BLOCK, 10 * BLOCK..11 * BLOCK, 50 * BLOCK..52 * BLOCK]
        );
        let shorter = thin_delta(&xml, 3 * BLOCK + 5).unwrap();
        assert_eq!((shorter.as_slice().len(), shorter.bytes()), (1, BLOCK + 5));
        let same = tool("thin_delta", &[more, &["--thin1", "1", "--thin2", "1", &metadata]].concat());
        assert_eq!(thin_delta(&same, 1 << 40).unwrap().bytes(), 0);
        // Cut off anywhere, it is no list with fewer changes.
        for end in 0..xml.trim().len() {
            assert!(thin_delta(&xml[..end], 1 << 40).is_err(), "{}", &xml[..end]);
        }
    }
    assert!(thin_delta("<superblock data_block_size=\"0\"></superblock>", 1).is_err());
    assert!(thin_delta("<superblock data_block_size=\"8\"><news begin=\"1\"/></superblock>", 1).is_err());
    assert!(
        thin_delta("<superblock data_block_size=\"8\"><different begin=\"1\"/></superblock>", 1).is_err()
    );
}

/// 3..8 written in era 1, 50 in era 2, 70 and 71 in era 3 and digested already.
fn era() -> String {
    let mut xml =
        String::from("<superblock uuid=\"\" block_size=\"128\" nr_blocks=\"100\" current_era=\"4\">\n");
    for (era, written) in [(1, 3..8), (2, 50..51), (3, 0..0)] {
        writeln!(xml, "<writeset era=\"{era}\" nr_bits=\"100\">").unwrap();
        for bit in 0..100 {
            writeln!(xml, "<bit block=\"{bit}\" value=\"{}\"/>", written.contains(&bit)).unwrap();
        }
        xml += "</writeset>\n";
    }
    xml += "<era_array>\n";
    for block in 0..100 {
        let era = if [70, 71].contains(&block) { 3 } else { 0 };
        writeln!(xml, "<era block=\"{block}\" era=\"{era}\"/>").unwrap();
    }
    xml + "</era_array>\n</superblock>\n"
}

#[test]
fn what_was_written_since_an_era() {
    let folder = tempfile::tempdir().unwrap();
    let metadata = metadata(folder.path(), "era_restore", &era());
    let since = |era: &str| tool("era_invalidate", &["--written-since", era, &metadata]);
    let all = [3 * BLOCK..8 * BLOCK, 50 * BLOCK..51 * BLOCK, 70 * BLOCK..72 * BLOCK];
    for (era, from) in [("1", 0), ("2", 1), ("3", 2), ("4", 3)] {
        assert_eq!(era_invalidate(&since(era), BLOCK, 1 << 40).unwrap().as_slice(), &all[from..], "{era}");
    }
    let xml = since("1");
    for end in 0..xml.trim().len() {
        assert!(era_invalidate(&xml[..end], BLOCK, 1 << 40).is_err(), "{}", &xml[..end]);
    }
    assert!(era_invalidate(&xml, 0, 1 << 40).is_err());
    assert!(era_invalidate("<blocks><range begin=\"8\" end=\"3\"/></blocks>", BLOCK, 1 << 40).is_err());
    assert!(era_invalidate("<blocks></blocks><blocks></blocks> more", BLOCK, 1 << 40).is_err());
}
