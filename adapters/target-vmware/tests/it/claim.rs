//! Whose files these are.

use crate::bench::{DEBIAN, Directory, files, lone, machine, make, profile};
use target_vmware::VMware;
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
    let profile = profile(&one).unwrap().profile;
    assert_eq!(make(&output, "two", &one).unwrap_err().kind, ErrorKind::Exists);
    assert_eq!(VMware::finish(lone(&output), "two", &one, &profile).unwrap_err().kind, ErrorKind::Exists);
    let before = output.names().unwrap();
    VMware::undo(lone(&output), "two", &one).unwrap();
    assert_eq!(output.names().unwrap(), before);
    VMware::undo(lone(&output), "one", &one).unwrap();
    VMware::undo(lone(&output), "one", &one).unwrap();
    assert_eq!(output.names().unwrap(), ["web-a.1.notes"]);
    assert_eq!(VMware::finish(lone(&output), "one", &one, &profile).unwrap_err().kind, ErrorKind::NotFound);
}

#[test]
fn files_of_others_stay() {
    for file in ["web-a.1.vmdk", "web-a.1-0.vmdk", "web-a.1-2.vmdk", "web-a.1.nvram", "web-a.1.vmx"] {
        let output = Directory::new(file);
        output.write(file, b"precious", false).unwrap();
        let error = make(&output, "k", &machine(DEBIAN, &[])).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Exists, "{file}");
        assert!(error.message.contains(file));
        VMware::undo(lone(&output), "k", &machine(DEBIAN, &[])).unwrap();
        assert_eq!(output.names().unwrap(), [file]);
    }
    let output = Directory::new("lying-claim");
    let lying = br#"{"key":"k","files":["other.txt","web-a.1.vmdk","web-a.10.vmdk","web-a.1-x.vmdk"]}"#;
    for (file, bytes) in [("web-a.1.wherry.json", &lying[..]), ("other.txt", b"x"), ("web-a.10.vmdk", b"x")] {
        output.write(file, bytes, false).unwrap();
    }
    VMware::undo(lone(&output), "k", &machine(DEBIAN, &[])).unwrap();
    assert_eq!(output.names().unwrap(), ["other.txt", "web-a.10.vmdk"]);
}
