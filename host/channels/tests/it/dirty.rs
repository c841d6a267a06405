//! What changed, by qemu's dirty bitmaps.

use crate::{Qemu, tool};
use block::Disk;
use std::path::Path;
use wherry_channels::{Address, NbdDisk};

const LENGTH: u64 = 3 << 30;

fn open(socket: &Path, bitmap: &str) -> Result<NbdDisk, String> {
    let uri = format!("nbd+unix:///x?socket={}{bitmap}", socket.display());
    NbdDisk::open(&Address::parse(&uri).unwrap()).map_err(|e| e.to_string())
}

#[test]
fn a_persistent_bitmap_says_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image.qcow2");
    let name = image.to_str().unwrap();
    tool("qemu-img", &["create", "-q", "-f", "qcow2", name, &LENGTH.to_string()]);
    tool("qemu-io", &["-f", "qcow2", "-c", "write -P 1 0 8M", name]);
    tool("qemu-img", &["bitmap", "--add", "-g", "65536", name, "b 0"]);
    let writes =
        ["write -P 2 1M 64k", "write -P 3 5000000 10", "write -z 2G 1M", "write -P 4 3221159936 64k"];
    let words: Vec<&str> = writes.iter().flat_map(|write| ["-c", write]).collect();
    tool("qemu-io", &[&["-f", "qcow2"], &words[..], &[name]].concat());

    let socket = folder.path().join("socket");
    let _qemu = Qemu::serve(&image, "qcow2", &socket, &["-r", "-e", "20", "-x", "x", "-B", "b 0"]);
    let disk = open(&socket, "&bitmap=b%200").unwrap();
    let g = 65536;
    let expected = [16 * g..17 * g, 76 * g..77 * g, 2 << 30..(2 << 30) + (1 << 20), LENGTH - g..LENGTH];
    assert_eq!(disk.changed(0, LENGTH).unwrap().as_slice(), expected);
    let cut = [16 * g + 5..17 * g, 76 * g..76 * g + 7];
    assert_eq!(disk.changed(16 * g + 5, 60 * g + 2).unwrap().as_slice(), cut);
    assert_eq!(disk.changed(17 * g, 2 << 20).unwrap().bytes(), 0);
    assert_eq!(disk.changed(5, 0).unwrap().bytes(), 0);
    assert!(disk.changed(LENGTH - 1, 2).is_err());
    // Both contexts at once: what is zero is known as before, and as without a bitmap.
    let plain = open(&socket, "").unwrap();
    assert_eq!(disk.extents(0, LENGTH).unwrap(), plain.extents(0, LENGTH).unwrap());
    assert!(plain.extents(0, LENGTH).unwrap().len() > 2);
    assert!(plain.changed(0, 1).unwrap_err().to_string().contains("without a dirty bitmap"));
    let none = open(&socket, "&bitmap=other").err().unwrap();
    assert!(none.contains("no dirty bitmap \"other\""), "{none}");
}

#[test]
fn a_server_without_contexts_is_not_believed_to_have_no_changes() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let path = crate::file(folder.path());
    let _qemu = Qemu::serve(&path, "raw", &socket, &["-r", "-e", "20", "-x", "x"]);
    assert!(open(&socket, "&bitmap=b").err().unwrap().contains("no dirty bitmap"));
}
