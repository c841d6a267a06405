//! Whose files these are.

use crate::bench::{DEBIAN, Directory, at, files, machine, make, nowhere};
use target_hyperv::HyperV;
use wherry_sdk::{ErrorKind, LivePlatform, Output};

#[test]
fn a_place_belongs_to_its_key() {
    let output = Directory::new("claims");
    let one = machine(DEBIAN, &[]);
    let sinks = make(&output, "one", &one).unwrap();
    for file in files(&sinks) {
        output.write(&file.name, b"data", false).unwrap();
    }
    output.write("web-a.1.notes", b"a person's", false).unwrap();
    make(&output, "one", &one).expect("the same key again");
    let profile = HyperV::profile(nowhere(), &one).unwrap().profile;
    assert_eq!(make(&output, "two", &one).unwrap_err().kind, ErrorKind::Exists);
    assert_eq!(HyperV::finish(at(&output), "two", &one, &profile).unwrap_err().kind, ErrorKind::Exists);
    let before = output.names().unwrap();
    HyperV::undo(at(&output), "two", &one).unwrap();
    assert_eq!(output.names().unwrap(), before);
    HyperV::undo(at(&output), "one", &one).unwrap();
    HyperV::undo(at(&output), "one", &one).unwrap();
    assert_eq!(output.names().unwrap(), ["web-a.1.notes"]);
    assert_eq!(HyperV::finish(at(&output), "one", &one, &profile).unwrap_err().kind, ErrorKind::NotFound);
}

#[test]
fn files_of_others_stay() {
    for file in ["web-a.1.vhdx", "web-a.1-0.vhdx", "web-a.1-2.vhdx", "web-a.1.vhd", "web-a.1.ps1"] {
        let output = Directory::new(file);
        output.write(file, b"precious", false).unwrap();
        let error = make(&output, "k", &machine(DEBIAN, &[])).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Exists, "{file}");
        assert!(error.message.contains(file));
        HyperV::undo(at(&output), "k", &machine(DEBIAN, &[])).unwrap();
        assert_eq!(output.names().unwrap(), [file]);
    }
    let output = Directory::new("lying-claim");
    let lying = br#"{"key":"k","files":["other.txt","web-a.1.vhdx","web-a.10.vhdx","web-a.1-x.vhdx"]}"#;
    for (file, bytes) in [("web-a.1.wherry.json", &lying[..]), ("other.txt", b"x"), ("web-a.10.vhdx", b"x")] {
        output.write(file, bytes, false).unwrap();
    }
    HyperV::undo(at(&output), "k", &machine(DEBIAN, &[])).unwrap();
    assert_eq!(output.names().unwrap(), ["other.txt", "web-a.10.vhdx"]);
}
