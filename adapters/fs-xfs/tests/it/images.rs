//! The images: a matrix of features, filled by mkfs.xfs from a real tree, which it is told of by a protofile.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use wherry_sdk::testing::{noise, run, run_to};

/// A file system that mkfs.xfs can make.
pub struct Flavour {
    pub name: &'static str,
    arguments: &'static [&'static str],
    /// what `probe` tells of it
    pub features: &'static [&'static str],
}

const fn flavour(
    name: &'static str,
    arguments: &'static [&'static str],
    features: &'static [&'static str],
) -> Flavour {
    Flavour { name, arguments, features }
}

/// Every layout that matters. Debian 12's defaults are those of `default`.
pub const FLAVOURS: &[Flavour] = &[
    flavour("default", &[], &["v5", "ftype", "finobt", "sparse", "reflink", "bigtime", "inobtcount"]),
    flavour("v5-plain", &["-m", "crc=1,finobt=0,reflink=0,bigtime=0", "-i", "sparse=0"], &["v5", "ftype"]),
    flavour(
        "rmapbt",
        &["-m", "rmapbt=1,reflink=1", "-i", "nrext64=1"],
        &["v5", "rmapbt", "reflink", "nrext64"],
    ),
    flavour("1k", &["-b", "size=1024"], &["v5"]),
    flavour("1k-wide", &["-b", "size=1024", "-n", "size=8192", "-i", "maxpct=50"], &["v5"]),
    flavour("2k", &["-b", "size=2048", "-i", "size=1024"], &["v5"]),
    flavour("sector-4k", &["-s", "size=4096", "-n", "size=16384"], &["v5"]),
    flavour("groups", &["-d", "agcount=3"], &["v5"]),
    flavour("ci", &["-n", "version=ci"], &["v5", "ascii-ci"]),
    flavour("v4", &["-m", "crc=0"], &["v4", "attr2", "lazy-count"]),
    flavour("v4-ftype", &["-m", "crc=0", "-n", "ftype=1"], &["v4", "ftype"]),
    flavour("v4-512", &["-m", "crc=0", "-b", "size=512", "-i", "size=256", "-n", "size=4096"], &["v4"]),
    flavour("v4-old", &["-m", "crc=0", "-i", "attr=1", "-l", "lazy-count=0"], &["v4"]),
];

/// The flavour of that name.
pub fn find(name: &str) -> &'static Flavour {
    FLAVOURS.iter().find(|flavour| flavour.name == name).unwrap()
}

/// An image in a directory of its own, which holds in `source` what was put into it.
pub struct Image {
    directory: TempDir,
    pub path: PathBuf,
}

impl Image {
    /// A name for a further file beside the image.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// An empty image of so many bytes.
pub fn empty(flavour: &Flavour, size: u64) -> Image {
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let path = directory.path().join("image");
    format(flavour, &path, size, None);
    Image { directory, path }
}

/// An image with what `populate` makes.
pub fn make(flavour: &Flavour, size: u64, populate: fn(&Path)) -> Image {
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let (path, source) = (directory.path().join("image"), directory.path().join("source"));
    fs::create_dir(&source).unwrap();
    populate(&source);
    let mut lines = format!("boot\n0 0\n{}", line("", &source));
    describe(&source, &mut lines);
    let proto = directory.path().join("proto");
    fs::write(&proto, lines).unwrap();
    format(flavour, &path, size, Some(&proto));
    Image { directory, path }
}

fn format(flavour: &Flavour, path: &Path, size: u64, proto: Option<&Path>) {
    fs::File::create(path).unwrap().set_len(size).unwrap();
    let mut mkfs = Command::new("/sbin/mkfs.xfs");
    mkfs.args(["--unsupported", "-q", "-f", "-L", "a label", "-m"]);
    mkfs.arg("uuid=01234567-89ab-cdef-0123-456789abcdef").args(flavour.arguments);
    if let Some(proto) = proto {
        mkfs.arg("-p").arg(proto);
    }
    run(mkfs.arg(path));
    check(path);
}

/// `xfs_repair -n` must find nothing.
pub fn check(image: &Path) {
    run_to(Command::new("/sbin/xfs_repair").args(["-n", "-f", "-o", "force_geometry"]).arg(image), &[0]);
}

/// One object of a protofile (mkfs.xfs(8), `-p`).
fn line(name: &str, path: &Path) -> String {
    let meta = fs::symlink_metadata(path).unwrap();
    let kind = if meta.is_dir() {
        'd'
    } else if meta.is_symlink() {
        'l'
    } else {
        '-'
    };
    let content = match kind {
        'l' => fs::read_link(path).unwrap().display().to_string(),
        'd' => String::new(),
        _ => path.display().to_string(),
    };
    format!("{name} {kind}--{:03o} {} {} {content}\n", meta.mode() & 0o777, meta.uid(), meta.gid())
}

fn describe(directory: &Path, lines: &mut String) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        lines.push_str(&line(&entry.file_name().to_string_lossy(), &entry.path()));
        if entry.file_type().unwrap().is_dir() {
            describe(&entry.path(), lines);
        }
    }
    lines.push_str("$\n");
}

/// Files of all sizes around the limits of blocks; names enough for each form of a directory; targets of every length.
pub fn populate(root: &Path) {
    for directory in ["etc", "var/lib/deep/deeper", "many", "some", "few", "empty"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    fs::write(root.join("etc/fstab"), "UUID=x / xfs defaults 0 1\n").unwrap();
    fs::set_permissions(root.join("etc/fstab"), fs::Permissions::from_mode(0o640)).unwrap();
    for (index, size) in [0, 1, 511, 512, 513, 4095, 4096, 4097, 70_000].iter().enumerate() {
        fs::write(root.join(format!("few/size-{size}")), noise(index as u64, *size)).unwrap();
    }
    fs::write(root.join("etc/big"), noise(100, (2 << 20) + 77)).unwrap();
    for index in 0..30 {
        fs::write(root.join(format!("some/{index}-a_rather_long_name")), format!("{index}")).unwrap();
    }
    for index in 0..1500 {
        let name = format!("many/{index}-a_rather_long_name_so_that_one_block_is_not_enough");
        symlink("x", root.join(name)).unwrap();
    }
    // mkfs.xfs forgets the headers of longer ones.
    links(root, &[1, 60, 100, 150]);
    fs::write(root.join("etc/größe"), "ü").unwrap();
}

/// Symbolic links whose targets have so many bytes.
pub fn links(root: &Path, lengths: &[usize]) {
    for length in lengths {
        symlink("y".repeat(*length), root.join(format!("link-{length}"))).unwrap();
    }
}

/// A script that sets attributes: in the inode, in leaves, in nodes, and with values in blocks of their own. Also what it sets.
pub fn attributes(script: &mut String) -> Vec<(String, String, String)> {
    let mut all = Vec::new();
    let mut add = |path: &str, name: String, length: usize| {
        let value = format!("{name}-").repeat(length / (name.len() + 1) + 1);
        writeln!(script, "setfattr -n {name} -v {} {path}", &value[..length]).unwrap();
        all.push((format!("/{path}"), name, value[..length].to_owned()));
    };
    add("etc/fstab", "security.selinux".into(), 30);
    add("etc/fstab", "user.note".into(), 5);
    add("etc", "trusted.what".into(), 20);
    add("etc/big", "user.long".into(), 900);
    for length in [1000, 3000, 5000, 65_000] {
        add("few/size-513", format!("user.l{length}"), length);
    }
    for index in 0..60 {
        add("few/size-1", format!("user.number-{index}"), 40 + index * 6);
    }
    all
}
