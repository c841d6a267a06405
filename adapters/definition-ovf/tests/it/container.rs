//! Containers as tar(1) packs them.

use crate::lab::{VIRTUALBOX, appliance, container, ids, packed, tar};
use definition_ovf::entries;
use wherry_sdk::definition::Place;
use wherry_sdk::testing::MemoryBlob;
use wherry_sdk::{Error, ErrorKind, Severity};

#[test]
fn every_format_of_tar_gives_the_same_machine() {
    for format in ["v7", "ustar", "gnu", "oldgnu", "posix"] {
        let bytes = appliance(&["--format", format]);
        let machine = container(bytes.clone()).unwrap();
        assert_eq!(machine.name.as_deref(), Some("mail"), "{format}");
        let member = &machine.members[machine.disks[0].member as usize];
        let Place::Within(range) = member.at else { panic!("{format}: {member:?}") };
        assert_eq!(range.length, 3000);
        assert!(bytes[range.offset as usize..][..3000].iter().all(|byte| *byte == 7), "{format}");
        assert_eq!(member.digests[0].hex, "ab".repeat(32));
        assert_eq!(ids(&machine), ["ovf.no-digest", "ovf.device-left-out"], "the descriptor has no digest");
    }
    let dotted = container(appliance(&["--transform", "s,^,./,"])).unwrap();
    assert_eq!(dotted.disks.len(), 1);
}

#[test]
fn long_names_and_large_files_have_their_headers() {
    let name = format!("{}.bin", "n".repeat(180));
    for format in ["gnu", "posix"] {
        let bytes = tar(&[(name.as_str(), b"abc")], &["--format", format]);
        let list = entries(&MemoryBlob::read_only(bytes)).unwrap();
        assert_eq!((list[0].name.as_str(), list[0].range.length), (name.as_str(), 3), "{format}");
    }
    // 9 GiB do not fit into eleven octal digits; only the header is looked at here.
    let folder = tempfile::tempdir().unwrap();
    std::fs::File::create(folder.path().join("big")).unwrap().set_len(9 << 30).unwrap();
    for format in ["gnu", "posix"] {
        let script = format!("tar -cf - --format {format} big | head -c 4096");
        let output =
            std::process::Command::new("sh").arg("-c").arg(script).current_dir(folder.path()).output();
        let refused = entries(&MemoryBlob::read_only(output.unwrap().stdout)).unwrap_err();
        assert!(refused.message.contains("cut off"), "{format}: {refused:?}");
    }
}

#[test]
fn members_elsewhere_are_ignored_and_links_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("mail.ovf"), VIRTUALBOX).unwrap();
    std::fs::create_dir(path("sub")).unwrap();
    std::fs::write(path("sub/mail-disk001.vmdk"), "x").unwrap();
    let refuse = |arguments: &[&str]| container(packed(folder.path(), arguments)).unwrap_err();
    let missing = refuse(&["mail.ovf", "sub"]);
    assert!(
        missing.kind == ErrorKind::NotFound && missing.message.contains("is not in the container"),
        "{missing:?}"
    );
    std::os::unix::fs::symlink("/etc/passwd", path("mail-disk001.vmdk")).unwrap();
    let link: Error = refuse(&["mail.ovf", "mail-disk001.vmdk"]);
    assert!(link.kind == ErrorKind::Denied && link.message.contains("link"), "{link:?}");
    std::fs::remove_file(path("mail-disk001.vmdk")).unwrap();
    std::fs::write(path("mail-disk001.vmdk"), "x").unwrap();
    let twice = refuse(&["mail.ovf", "mail-disk001.vmdk", "mail-disk001.vmdk", "--hard-dereference"]);
    assert!(twice.kind == ErrorKind::Corrupt && twice.message.contains("more than once"), "{twice:?}");
    let up = packed(
        folder.path(),
        &["-P", "--transform", "s,^sub/,../../etc/,", "mail.ovf", "mail-disk001.vmdk", "sub"],
    );
    let machine = container(up).unwrap();
    let odd = machine.concerns.iter().find(|concern| concern.id == "ovf.odd-member").unwrap();
    assert!(odd.severity == Severity::Warning && odd.message.contains("2 members"), "{odd:?}");
}

#[test]
fn a_hole_packed_as_such_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mail.ovf"), VIRTUALBOX).unwrap();
    let disk = std::fs::File::create(folder.path().join("mail-disk001.vmdk")).unwrap();
    disk.set_len(1 << 20).unwrap();
    for format in ["gnu", "posix"] {
        let bytes = packed(folder.path(), &["-S", "--format", format, "mail.ovf", "mail-disk001.vmdk"]);
        let refused = container(bytes).unwrap_err();
        assert!(
            refused.kind == ErrorKind::Unsupported && refused.message.contains("sparse"),
            "{format}: {refused:?}"
        );
    }
}
