//! Whose files these are.

use crate::bench::{Directory, machine, make};
use target_ovf::Ovf;
use wherry_sdk::{ErrorKind, Output, TargetPlatform};

#[test]
fn a_place_belongs_to_its_key() {
    let output = Directory::new("claims");
    let one = machine(&[]);
    output.write("web-a.1.notes", b"a person's", false).unwrap();
    make(&output, "one", &one).unwrap();
    make(&output, "one", &one).unwrap();
    assert_eq!(make(&output, "two", &one).unwrap_err().kind, ErrorKind::Exists);
    let profile = Ovf::profile(&one).unwrap().profile;
    let unknown = Ovf::finish(&output, "one", &one, &profile).unwrap_err();
    assert!(unknown.message.contains("digest"), "{unknown:?}");
    Ovf::undo(&output, "two", &one).unwrap();
    assert_eq!(output.names().unwrap().len(), 6);
    Ovf::undo(&output, "one", &one).unwrap();
    assert_eq!(output.names().unwrap(), ["web-a.1.notes"]);
}

#[test]
fn files_of_others_stay() {
    for file in ["web-a.1.ovf", "web-a.1.mf", "web-a.1.ova", "web-a.1-disk2.vmdk"] {
        let output = Directory::new("others");
        output.write(file, b"precious", false).unwrap();
        let refused = make(&output, "k", &machine(&[("target.name", "ova")])).unwrap_err();
        assert!(refused.kind == ErrorKind::Exists && refused.message.contains(file), "{refused:?}");
        Ovf::undo(&output, "k", &machine(&[])).unwrap();
        assert_eq!(output.names().unwrap(), [file]);
    }
    let output = Directory::new("lying");
    let lying = br#"{"key":"k","files":["other.txt","web-a.1.mf","web-a.1-disk1.vmdk.bak","web-a.10.ovf"]}"#;
    output.write("web-a.1.wherry.json", lying, false).unwrap();
    for file in ["other.txt", "web-a.1-disk1.vmdk.bak", "web-a.10.ovf"] {
        output.write(file, b"precious", false).unwrap();
    }
    Ovf::undo(&output, "k", &machine(&[])).unwrap();
    assert_eq!(output.names().unwrap(), ["other.txt", "web-a.1-disk1.vmdk.bak", "web-a.10.ovf"]);
}
