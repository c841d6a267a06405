//! Names of types, compared with util-linux's.

use std::process::Command;

/// The lines of `sfdisk --list-types`: identifier in lower case and name.
fn known(label: &str) -> Vec<(String, String)> {
    let output = Command::new("/sbin/sfdisk").args(["--list-types", "--label", label]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let split = |line: &str| {
        let (id, name) = line.trim().split_once("  ")?;
        Some((id.to_lowercase(), name.trim().to_owned()))
    };
    text.lines().filter_map(split).collect()
}

/// The pairs in the adapter's own list, as its source writes them.
fn ours(list: &str) -> Vec<(String, String)> {
    let source = include_str!("../../src/types.rs");
    let (_, rest) = source.split_once(list).unwrap();
    let lines = rest.split("];").next().unwrap().lines();
    let pair = |line: &str| {
        let (id, name) = line.trim().strip_prefix('(')?.strip_suffix("),")?.split_once(", ")?;
        let id = id.trim_matches('"').trim_start_matches("0x").trim_start_matches('0');
        Some((id.to_owned(), name.trim_matches('"').to_owned()))
    };
    lines.filter_map(pair).collect()
}

#[test]
fn every_name_is_the_one_that_sfdisk_prints() {
    for (list, label, least) in [("const GPT", "gpt", 20), ("const MBR", "dos", 20)] {
        let known = known(label);
        let ours = ours(list);
        assert!(ours.len() >= least, "{ours:?}");
        for (id, name) in ours {
            // sfdisk calls it SFS, but Windows has used it for its dynamic disks since 2000.
            if id == "42" {
                continue;
            }
            let found = known.iter().find(|(other, _)| other.trim_start_matches('0') == id);
            assert_eq!(found.map(|(_, name)| name), Some(&name), "{id}");
        }
    }
}
