//! What cannot be read faithfully, and what would lead out of the package.

use crate::lab::{DMTF, VIRTUALBOX, beside, container, ids, system, tar};
use definition_ovf::Ovf;
use wherry_sdk::{ErrorKind, MachineDefinition, Severity};

fn changed(from: &str, to: &str) -> String {
    assert!(VIRTUALBOX.contains(from), "{from}");
    VIRTUALBOX.replacen(from, to, 1)
}

#[test]
fn no_reference_leads_out_of_the_package() {
    for hostile in [
        "../../etc/passwd",
        "/etc/shadow",
        "%2e%2e%2fetc%2fpasswd",
        "..%2fx",
        "http://example.com/x.vmdk",
        "..",
        "",
        "sub/x.vmdk",
        "a\\b",
        "file:///etc/passwd",
    ] {
        let text = changed("mail-disk001.vmdk", hostile);
        let refused = beside(&text, None, &[]).unwrap_err();
        assert!(
            refused.kind == ErrorKind::Denied && refused.message.contains("plain name"),
            "{hostile}: {refused:?}"
        );
        let refused = container(tar(&[("mail.ovf", text.as_bytes())], &[])).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Denied, "{hostile}");
    }
    assert_eq!(Ovf::companions("ovf", "a.b.ovf"), ["a.b.mf"]);
    assert!(Ovf::companions("ova", "a.ova").is_empty());
}

#[test]
fn entities_are_never_expanded() {
    let bomb = "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]>\n<Envelope ovf:version";
    let refused = beside(changed("<Envelope ovf:version", bomb), None, &[]).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Unsupported, "{refused:?}");
    let external = "<!DOCTYPE x SYSTEM \"file:///etc/passwd\">\n<Envelope ovf:version";
    assert!(beside(changed("<Envelope ovf:version", external), None, &[]).is_err());
}

#[test]
fn what_blocks_says_so() {
    let cases = [
        ("ovf:href=\"mail", "ovf:compression=\"gzip\" ovf:href=\"mail", "ovf.compressed-file"),
        ("ovf:href=\"mail", "ovf:chunkSize=\"1000\" ovf:href=\"mail", "ovf.chunked-file"),
        ("ovf:diskId=\"vmdisk1\"", "ovf:diskId=\"vmdisk1\" ovf:parentRef=\"x\"", "ovf.disk-parent"),
        (
            "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized",
            "urn:tape",
            "ovf.disk-format",
        ),
        ("/disk/vmdisk1", "ovf:/file/file1", "ovf.no-disk"),
        ("<vbox:Machine", "<StrangeSection ovf:required=\"1\"/><vbox:Machine", "ovf.unknown-section"),
    ];
    for (from, to, id) in cases {
        let machine = beside(changed(from, to), None, &[]).unwrap();
        let found = machine.concerns.iter().find(|concern| concern.id == id);
        assert!(
            found.is_some_and(|concern| concern.severity == Severity::Blocking),
            "{id}: {:?}",
            ids(&machine)
        );
    }
}

#[test]
fn contradictions_are_errors() {
    let cases = [
        ("ovf:fileRef=\"file1\"", "ovf:fileRef=\"file9\"", "does not have"),
        ("/disk/vmdisk1", "/disk/other", "does not describe"),
        (
            "<File ovf:id=\"file1\"",
            "<File ovf:id=\"file1\" ovf:href=\"b\"/><File ovf:id=\"file1\"",
            "two elements File",
        ),
        ("envelope/1\"", "envelope/9\"", "versions 1 and 2"),
        ("</References>", "</References><x:EncryptedData xmlns:x=\"y\"/>", "encrypted"),
        ("</Envelope>", "", "cannot be read"),
    ];
    for (from, to, words) in cases {
        let refused = beside(changed(from, to), None, &[]).unwrap_err();
        assert!(refused.message.contains(words), "{words}: {refused:?}");
    }
    let two = DMTF.replace("ovf:id=\"app\"", "ovf:id=\"db\"");
    assert!(beside(two, None, &system("db")).unwrap_err().message.contains("two machines"));
    let size = changed("ovf:href=\"mail", "ovf:size=\"99\" ovf:href=\"mail");
    let short =
        container(tar(&[("mail.ovf", size.as_bytes()), ("mail-disk001.vmdk", b"x")], &[])).unwrap_err();
    assert!(short.message.contains("has 1 bytes, and 99 are expected"), "{short:?}");
}

#[test]
fn the_wrong_word_is_told() {
    let refused = beside(crate::lab::appliance(&["--format", "ustar"]), None, &[]).unwrap_err();
    assert!(refused.message.contains("ova:a.ovf"), "{refused:?}");
    assert!(container(VIRTUALBOX).unwrap_err().message.contains("ovf:"));
    assert!(container("nothing of the kind".repeat(100)).unwrap_err().message.contains("no tar file"));
    assert!(beside("<html/>", None, &[]).unwrap_err().message.contains("no OVF envelope"));
    assert!(beside(b"\xff\xfe<\0", None, &[]).unwrap_err().message.contains("UTF-16"));
}

#[test]
fn a_manifest_that_checks_nothing_is_told() {
    let odd = beside(VIRTUALBOX, Some("MD5(mail-disk001.vmdk)= 00\n"), &[]).unwrap();
    assert!(
        ids(&odd).starts_with(&["ovf.manifest-line", "ovf.no-digest", "ovf.no-digest"]),
        "{:?}",
        ids(&odd)
    );
    let short = beside(VIRTUALBOX, Some("SHA256(mail-disk001.vmdk)= abcd\n"), &[]).unwrap();
    assert!(ids(&short).contains(&"ovf.manifest-line"));
}
