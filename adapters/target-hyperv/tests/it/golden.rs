//! What is written for known systems, read and agreed to by a person. `WHERRY_WRITE_GOLDEN=1` writes it anew.

use crate::bench::{DEBIAN, NT4, WINDOWS_7, WINDOWS_2022, machine, script};
use std::path::Path;

/// The part of the script that differs between machines.
fn described(script: &str) -> &str {
    let (_, rest) = script.split_once("\n$Name = ").unwrap();
    let (described, _) = rest.split_once("\n\n# Changes the machine").unwrap();
    described
}

#[test]
fn machines_are_described_as_agreed() {
    let cases: [(&str, &[_], &[_]); 6] = [
        ("nt4", NT4, &[]),
        ("windows-7", WINDOWS_7, &[]),
        ("windows-2022", WINDOWS_2022, &[("wish.secure-boot", "on")]),
        ("debian-bios", DEBIAN, &[]),
        ("debian-uefi", DEBIAN, &[("firmware", "uefi"), ("wish.secure-boot", "on")]),
        ("debian-uefi-insecure", DEBIAN, &[("firmware", "uefi")]),
    ];
    for (name, system, wishes) in cases {
        let script = script(&machine(system, wishes));
        let seen = format!("$Name = {}\n", described(&script));
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/golden/{name}.ps1"));
        if std::env::var_os("WHERRY_WRITE_GOLDEN").is_some() {
            std::fs::write(&path, &seen).unwrap();
        }
        assert_eq!(seen, std::fs::read_to_string(&path).unwrap(), "{name}");
    }
}
