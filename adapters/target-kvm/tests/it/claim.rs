//! Whose files these are.

use crate::bench::{Directory, machine, make, names};
use target_kvm::Kvm;
use wherry_sdk::target::Machine;
use wherry_sdk::{ErrorKind, Output, TargetPlatform};

#[test]
fn a_place_belongs_to_its_key() {
    let output = Directory::new("claims");
    let one = machine(&[]);
    let sinks = make(&output, "one", &one).unwrap();
    for name in names(&sinks) {
        output.write(&name, b"data", false).unwrap();
    }
    output.write("web-a.1.notes", b"a person's", false).unwrap();
    make(&output, "one", &one).expect("the same key again");
    let profile = Kvm::profile(&one).unwrap().profile;
    assert_eq!(make(&output, "two", &one).unwrap_err().kind, ErrorKind::Exists);
    assert_eq!(Kvm::finish(&output, "two", &one, &profile).unwrap_err().kind, ErrorKind::Exists);

    let neighbour = Machine { name: "web-a.1-1".into(), disks: one.disks[..1].to_vec(), ..one.clone() };
    let error = make(&output, "two", &neighbour).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Exists);
    output.remove("web-a.1-1.qcow2").unwrap();
    let error = make(&output, "two", &neighbour).unwrap_err();
    assert!(error.message.contains("belongs to machine `web-a.1`"), "{}", error.message);

    let before = output.names().unwrap();
    Kvm::undo(&output, "two", &one).unwrap();
    assert_eq!(output.names().unwrap(), before);
    Kvm::undo(&output, "one", &one).unwrap();
    Kvm::undo(&output, "one", &one).unwrap();
    assert_eq!(output.names().unwrap(), ["web-a.1.notes"]);
    assert_eq!(Kvm::finish(&output, "one", &one, &profile).unwrap_err().kind, ErrorKind::NotFound);
}

#[test]
fn files_of_others_stay() {
    for file in ["web-a.1.qcow2", "web-a.1-0.qcow2", "web-a.1-3.qcow2", "web-a.1.xml", "web-a.1.sh"] {
        let output = Directory::new(file);
        output.write(file, b"precious", false).unwrap();
        let error = make(&output, "k", &machine(&[])).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Exists);
        assert!(error.message.contains(file));
        Kvm::undo(&output, "k", &machine(&[])).unwrap();
        assert_eq!(output.names().unwrap(), [file]);
    }
    let output = Directory::new("foreign-claim");
    output.write("web-a.1.wherry.json", b"{]", false).unwrap();
    assert_eq!(make(&output, "k", &machine(&[])).unwrap_err().kind, ErrorKind::Exists);
    let lying = br#"{"key":"k","files":["other.txt","web-a.1.qcow2","web-a.10.qcow2"]}"#;
    output.write("web-a.1.wherry.json", lying, false).unwrap();
    output.write("other.txt", b"precious", false).unwrap();
    output.write("web-a.10.qcow2", b"precious", false).unwrap();
    Kvm::undo(&output, "k", &machine(&[])).unwrap();
    assert_eq!(output.names().unwrap(), ["other.txt", "web-a.10.qcow2"]);
}
