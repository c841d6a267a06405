//! What is written for known systems, read and agreed to by a person. `WHERRY_WRITE_GOLDEN=1` writes it anew.

use crate::bench::{DEBIAN, NT4, WINDOWS_7, WINDOWS_2022, machine, vmx};
use crate::exercise::made_of;
use std::path::Path;

#[test]
fn machines_are_described_as_agreed() {
    let cases: [(&str, &[_], &[_]); 5] = [
        ("nt4", NT4, &[]),
        ("windows-7", WINDOWS_7, &[("wish.cores-per-socket", "2")]),
        ("windows-2022", WINDOWS_2022, &[("wish.secure-boot", "on"), ("wish.machine", "vmx-19")]),
        ("debian-bios", DEBIAN, &[]),
        (
            "debian-nvme",
            DEBIAN,
            &[("firmware", "uefi"), ("wish.disk-bus", "nvme"), ("wish.nic-model", "e1000e")],
        ),
    ];
    for (name, system, wishes) in cases {
        agreed(&format!("{name}.vmx"), &vmx(&machine(system, wishes)));
        // One element a line.
        let import = made_of(system, wishes).replace("><", ">\n<");
        agreed(&format!("{name}.xml"), &import);
    }
}

fn agreed(name: &str, seen: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden").join(name);
    if std::env::var_os("WHERRY_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, seen).unwrap();
    }
    assert_eq!(seen, std::fs::read_to_string(&path).unwrap(), "{name}");
}
