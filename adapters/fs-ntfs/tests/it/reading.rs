//! Volumes made by others, as the adapter reads them.

use crate::images::{FLAVOURS, find, make};
use crate::tools::mounted;
use crate::tree::{from_adapter, from_directory};
use fs_ntfs::Ntfs;
use wherry_sdk::FileSystem;
use wherry_sdk::testing::FileBlob;
use wherry_sdk::testing::filesystem::assert_same;

#[test]
fn every_geometry_as_ntfs_3g_reads_it() {
    for flavour in FLAVOURS {
        let image = make(flavour);
        let device = FileBlob::open(&image.path).unwrap();
        let identity = Ntfs::probe(&device).unwrap().unwrap();
        assert!(identity.clean && identity.kind == "ntfs", "{}", flavour.name);
        let mut fs = Ntfs::mount(Box::new(device), false).unwrap();
        let tree = from_adapter(&mut fs);
        assert!(tree.len() > 330, "{}: {} objects", flavour.name, tree.len());
        let mount = mounted(&image.path, "ro");
        assert_same(&tree, &from_directory(&mount.path), flavour.name);
    }
}

fn attribute(fs: &mut Ntfs, path: &str, name: &str) -> Option<Vec<u8>> {
    let meta = fs.stat(path).unwrap();
    meta.attributes.into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

#[test]
fn names_streams_and_attributes() {
    let image = make(find("4k"));
    let device = FileBlob::open(&image.path).unwrap();
    let identity = Ntfs::probe(&device).unwrap().unwrap();
    assert_eq!((identity.label.as_deref(), identity.block), (Some("Größe"), 4096));
    assert_eq!(wherry_sdk::find(&identity.facts, "ntfs.version"), Some("3.1"));
    let mut fs = Ntfs::mount(Box::new(device), false).unwrap();
    for path in ["/few/a long name.txt", "/FEW/A LONG NAME.TXT", "/few/ALONGN~1.txt", "//few/./GRÖßE ÿ 𝄞"]
    {
        assert!(fs.stat(path).is_ok(), "{path}");
    }
    for path in ["/few/a long name", "/few/size-1/x", "/missing/x", "/few/size-1:none", "/few:x"] {
        assert_eq!(fs.stat(path).unwrap_err().kind, wherry_sdk::ErrorKind::NotFound, "{path}");
    }
    assert_eq!(fs.read("/few/size-70000:Stream", 5, 2).unwrap(), b"it");
    assert_eq!(attribute(&mut fs, "/few/size-70000", "ntfs.streams").unwrap(), b"stream");
    assert_eq!(attribute(&mut fs, "/few/a long name.txt", "ntfs.short-name").unwrap(), b"ALONGN~1.TXT");
    assert_eq!(fs.stat("/few/a long name.txt").unwrap().links, 1, "a short name is no further one");
    assert_eq!((fs.stat("/few/size-70000").unwrap().links, fs.stat("/empty/link").unwrap().links), (2, 2));
    assert_eq!(fs.stat("/few/size-600").unwrap().mode, 0o555);
    assert_eq!(attribute(&mut fs, "/few/size-600", "ntfs.attributes").unwrap()[0] & 7, 7);
    let names: Vec<String> =
        fs.entries("/few", 0, 100).unwrap().entries.into_iter().map(|one| one.name).collect();
    assert_eq!(names.iter().filter(|name| name.to_lowercase().starts_with("a")).count(), 1, "{names:?}");
}
