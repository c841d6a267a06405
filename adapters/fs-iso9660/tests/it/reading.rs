//! What was put on a disk is read from it.

use crate::lab::{Lab, mount, walk};
use fs_iso9660::Iso;
use wherry_sdk::testing::filesystem::{Contents, assert_same};
use wherry_sdk::testing::{MemoryBlob, Random};
use wherry_sdk::{ErrorKind, FileSystem, Kind, find};

/// A disk laid out as virtio-win's, with what is hard: long names, letters of other scripts, many files, a file over 1 MiB.
pub fn sample() -> Contents {
    let mut random = Random::new(1);
    let mut files = Contents::new();
    let mut add = |path: &str, size: usize| {
        files.insert(path.to_owned(), Some(random.bytes(size)));
    };
    add("/viostor/w10/amd64/viostor.inf", 3000);
    add("/viostor/w10/amd64/viostor.sys", 2_500_001);
    add("/viostor/2k8R2/amd64/viostor.cat", 2048);
    add("/NetKVM/w10/ARM64/netkvm.PDB", 1);
    add("/Empty file.txt", 0);
    add("/A long name with blanks and, signs (1).txt", 10);
    add("/Gr\u{fc}\u{df}e \u{4f60}\u{597d}/\u{3b1}.txt", 20);
    for number in 0..120 {
        add(&format!("/many/file number {number}.dat"), number);
    }
    let folders = [
        "/viostor",
        "/viostor/w10",
        "/viostor/w10/amd64",
        "/viostor/2k8R2",
        "/viostor/2k8R2/amd64",
        "/NetKVM",
    ];
    let more =
        ["/NetKVM/w10", "/NetKVM/w10/ARM64", "/Gr\u{fc}\u{df}e \u{4f60}\u{597d}", "/many", "/empty folder"];
    files.extend(folders.iter().chain(&more).map(|&path| (path.to_owned(), None)));
    files
}

fn kind_of_names(image: &[u8]) -> String {
    let identity = Iso::probe(&MemoryBlob::read_only(image)).unwrap().unwrap();
    assert_eq!((identity.kind.as_str(), identity.label.as_deref()), ("iso9660", Some("DRIVERS 1")));
    assert_eq!((identity.block, identity.clean), (2048, true));
    assert!(identity.size <= image.len() as u64 && identity.size > 2_500_000);
    let time = identity.uuid.unwrap();
    assert!(time.len() == "2024-02-25-12-34-56-00".len() && time.starts_with("20"), "{time}");
    find(&identity.facts, "iso9660.names").unwrap().to_owned()
}

#[test]
fn rock_ridge_and_joliet() {
    let (files, utf8) = (sample(), ["-input-charset", "utf-8"]);
    let lab = Lab::new(&files);
    let cases: [(&str, &[&str], &str); 7] = [
        ("/usr/bin/genisoimage", &["-R"], "rock-ridge"),
        ("/usr/bin/genisoimage", &["-J", "-joliet-long"], "joliet"),
        ("/usr/bin/xorrisofs", &["-r", "-J", "-joliet-long", "-iso-level", "4"], "rock-ridge"),
        ("/usr/bin/xorrisofs", &["--norock", "-iso-level", "4"], "enhanced"),
        ("/usr/bin/xorrisofs", &["-R"], "rock-ridge"),
        ("/usr/bin/xorrisofs", &["-J", "-joliet-long", "--norock"], "joliet"),
        ("/usr/bin/genisoimage", &["-udf", "-J", "-joliet-long"], "joliet"),
    ];
    for (program, options, expected) in cases {
        // xorrisofs takes its names from the locale, which is UTF-8 for both programs here.
        let given: Vec<&str> = utf8.iter().copied().chain(options.iter().copied()).collect();
        let image = lab.image(program, &given);
        assert_eq!(kind_of_names(&image), expected, "{program} {options:?}");
        assert_same(&walk(&mut mount(&image)), &files, expected);
    }
}

/// Without either, names are in upper case on the disk and shown in lower case.
#[test]
fn plain_names() {
    let files: Contents = sample().into_iter().filter(|(path, _)| path.starts_with("/viostor")).collect();
    let image = Lab::new(&files).image("/usr/bin/genisoimage", &["-iso-level", "2"]);
    assert_eq!(kind_of_names(&image), "plain");
    let lower: Contents = files.into_iter().map(|(path, content)| (path.to_lowercase(), content)).collect();
    let mut iso = mount(&image);
    assert_same(&walk(&mut iso), &lower, "plain");
    assert!(iso.stat("/VIOSTOR/W10/amd64/VioStor.inf").is_ok(), "in any case");
}

#[test]
fn links_modes_and_deep_folders() {
    let deep = "/1/2/3/4/5/6/7/8/9/10/11/deep.txt";
    let mut files: Contents = [(deep.to_owned(), Some(b"deep".to_vec()))].into();
    files.insert("/run".into(), Some(vec![1; 100]));
    let lab = Lab::new(&files);
    for (target, name) in [("run", "link"), ("../../up", "1/up"), ("/usr/bin/x", "absolute")] {
        std::os::unix::fs::symlink(target, lab.root().join(name)).unwrap();
    }
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(lab.root().join("run"), std::fs::Permissions::from_mode(0o750)).unwrap();
    // genisoimage does not end on long targets.
    let long = format!("{}end", "a/".repeat(150));
    for (program, options) in [("/usr/bin/genisoimage", ["-R"]), ("/usr/bin/xorrisofs", ["-R"])] {
        if program.ends_with("xorrisofs") {
            std::os::unix::fs::symlink(&long, lab.root().join("long")).unwrap();
        }
        let image = lab.image(program, &options);
        let mut iso = mount(&image);
        assert_eq!(iso.read(deep, 0, 100).unwrap(), b"deep", "{program}");
        let target = |iso: &mut Iso, path: &str| iso.read_link(path).unwrap();
        assert_eq!(target(&mut iso, "/link"), "run");
        assert_eq!(target(&mut iso, "/1/up"), "../../up");
        assert_eq!(target(&mut iso, "/absolute"), "/usr/bin/x");
        if program.ends_with("xorrisofs") {
            assert_eq!(target(&mut iso, "/long"), long);
        }
        let meta = iso.stat("/run").unwrap();
        assert_eq!((meta.kind, meta.mode, meta.size), (Kind::File, 0o750, 100));
        assert!(meta.mtime > 1_700_000_000);
        assert_eq!(iso.stat("/link").unwrap().kind, Kind::Symlink);
        assert_eq!(iso.read_link("/run").unwrap_err().kind, ErrorKind::InvalidInput);
    }
}

/// Contents of more than 4 GiB have a record for each part: two files are made one by hand, and xorriso reads them so, too.
#[test]
fn several_extents() {
    let parts: Contents = [("/A.BIN", 3 * 2048), ("/B.BIN", 700), ("/C.BIN", 9)]
        .map(|(path, size)| (path.to_owned(), Some(vec![path.as_bytes()[1]; size])))
        .into();
    let lab = Lab::new(&parts);
    let mut image = lab.image("/usr/bin/genisoimage", &[]);
    let at =
        |image: &[u8], name: &[u8]| image.windows(name.len()).rposition(|window| window == name).unwrap();
    let (a, b) = (at(&image, b"A.BIN;1"), at(&image, b"B.BIN;1"));
    image[a - 33 + 25] |= 0x80;
    image[b] = b'A';
    let mut iso = mount(&image);
    let whole = [vec![b'A'; 3 * 2048], vec![b'B'; 700]].concat();
    assert_eq!(iso.stat("/a.bin").unwrap().size, whole.len() as u64);
    assert_eq!(iso.read("/a.bin", 6000, 1000).unwrap(), whole[6000..].to_vec());
    let ours = walk(&mut iso);
    assert_eq!((ours.len(), ours["/a.bin"].as_ref().unwrap()), (2, &whole));
    let upper: Contents = ours.into_iter().map(|(path, content)| (path.to_uppercase(), content)).collect();
    assert_same(&upper, &lab.by_xorriso(&image), "xorriso");
}

#[test]
fn nothing_is_written() {
    let image = Lab::new(&[("/a".to_owned(), Some(vec![1]))].into()).image("/usr/bin/genisoimage", &["-R"]);
    let blob = MemoryBlob::new(&image[..]);
    assert_eq!(Iso::mount(Box::new(blob.clone()), true).err().unwrap().kind, ErrorKind::Denied);
    let mut iso = Iso::mount(Box::new(blob.clone()), false).unwrap();
    let content = MemoryBlob::new(vec![7]);
    let all = [
        iso.write("/a", &content, None),
        iso.modify("/a", 0, &content),
        iso.rename("/a", "/b"),
        iso.remove("/a"),
        iso.make_directory("/d", None),
        iso.make_symlink("/l", "a", None),
    ];
    assert!(all.iter().all(|answer| answer.as_ref().is_err_and(|e| e.kind == ErrorKind::Denied)));
    iso.sync().unwrap();
    assert_eq!((blob.bytes(), iso.room().unwrap().free), (image.clone(), 0));
    let used = iso.used(2048, 10).unwrap();
    assert_eq!((used.len(), used[0].offset, used[0].length), (1, 2048, image.len() as u64 - 2048));
}

#[test]
fn what_is_not_ours_and_what_is_not_there() {
    assert!(Iso::probe(&MemoryBlob::new(vec![0; 100_000])).unwrap().is_none());
    assert!(Iso::probe(&MemoryBlob::new(vec![0; 10])).unwrap().is_none());
    let image =
        Lab::new(&[("/a/b".to_owned(), Some(vec![1; 5000]))].into()).image("/usr/bin/genisoimage", &["-R"]);
    let mut iso = mount(&image);
    let kind = |answer: wherry_sdk::Result<Vec<u8>>| answer.unwrap_err().kind;
    assert_eq!(kind(iso.read("/x", 0, 1)), ErrorKind::NotFound);
    assert_eq!(kind(iso.read("/a", 0, 1)), ErrorKind::InvalidInput);
    assert_eq!(kind(iso.read("/a/b/c", 0, 1)), ErrorKind::InvalidInput);
    assert_eq!(kind(iso.read("a", 0, 1)), ErrorKind::InvalidInput);
    assert_eq!(kind(iso.read("/a/../a", 0, 1)), ErrorKind::InvalidInput);
    // A download that stopped: what is missing is told when it is read.
    let short = image.windows(100).rposition(|window| window.iter().all(|byte| *byte == 1)).unwrap();
    let mut iso = mount(&image[..short - 2000]);
    let e = iso.read("/a/b", 0, 5000).unwrap_err();
    assert!(e.kind == ErrorKind::Corrupt && e.message.contains("is the image complete"), "{}", e.message);
}
