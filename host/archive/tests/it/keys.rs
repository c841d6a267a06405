use crate::machine::*;
use std::sync::Arc;
use tempfile::tempdir;
use wherry_archive::{Archive, ErrorKind, Local, Secret};

fn refused(path: &std::path::Path, secret: Option<&Secret>) -> wherry_archive::Error {
    Archive::open(Arc::new(Local::new(path)), secret).err().unwrap()
}

#[test]
fn slots_open_add_and_go() {
    let folder = tempdir().unwrap();
    let path = folder.path();
    let archive = create(path, Some(&password()));
    let disk = bytes(1, 3 * MIB);
    let snapshot = capture(&archive, "m", &[&disk], None);
    assert_eq!(refused(path, None).kind, ErrorKind::Key);
    let wrong = refused(path, Some(&Secret::Password("wrong".into())));
    assert!(wrong.kind == ErrorKind::Key && wrong.context.contains("no key slot"), "{wrong}");

    let file = Secret::KeyFile(noise(9, 64));
    let added = archive.add_slot(&file, "the safe", 5).unwrap();
    assert_eq!((added.kind.as_str(), added.label.as_str()), ("key-file", "the safe"));
    assert!(read(&open(path, Some(&file)), &snapshot, 0).unwrap() == disk);
    // Rotation: the first slot goes, what was written stays readable by the other.
    let first = archive.slots().unwrap().into_iter().find(|slot| slot.id != added.id).unwrap();
    archive.remove_slot(&first.id).unwrap();
    assert_eq!(refused(path, Some(&password())).kind, ErrorKind::Key);
    assert!(read(&open(path, Some(&file)), &snapshot, 0).unwrap() == disk);
    let last = archive.remove_slot(&added.id).unwrap_err();
    assert!(last.context.contains("last key slot"), "{last}");
    assert_eq!(archive.remove_slot("0000").unwrap_err().kind, ErrorKind::Missing);
    assert!(archive.add_slot(&Secret::Password(String::new()), "", 0).is_err());
    assert!(archive.add_slot(&Secret::KeyFile(vec![1; 31]), "", 0).is_err());
}

#[test]
fn nothing_of_a_disk_can_be_seen_in_an_encrypted_archive() {
    let folder = tempdir().unwrap();
    let archive = create(folder.path(), Some(&password()));
    // Noise is stored as it is where nothing is encrypted; so it would be seen.
    let disk = noise(4, 2 * MIB);
    capture(&archive, "secret-name", &[&disk], None);
    let mut ids = Vec::new();
    for chunk in disk.chunks(64 * KIB) {
        ids.push(*blake3::hash(chunk).as_bytes());
    }
    for (path, bytes) in files(folder.path()) {
        let holds = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
        assert!(!holds(&disk[5 * KIB..5 * KIB + 16]), "{} holds the disk", path.display());
        assert!(!holds(b"secret-name"), "{} holds the name", path.display());
        assert!(ids.iter().all(|id| !holds(&id[..16])), "{} holds a hash of the disk", path.display());
    }
}
