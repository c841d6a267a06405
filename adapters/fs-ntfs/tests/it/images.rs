//! The volumes: a matrix of geometries, populated through ntfs-3g.

use crate::tools::mounted;
use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use wherry_sdk::testing::{noise, run};

/// A volume that mkntfs can make.
pub struct Flavour {
    pub name: &'static str,
    /// bytes
    pub size: u64,
    pub arguments: &'static [&'static str],
}

/// Every geometry that matters.
pub const FLAVOURS: &[Flavour] = &[
    Flavour { name: "4k", size: 64 << 20, arguments: &["-c", "4096", "-L", "Größe"] },
    Flavour { name: "512", size: 40 << 20, arguments: &["-c", "512"] },
    Flavour { name: "1k", size: 48 << 20, arguments: &["-c", "1024"] },
    Flavour { name: "64k", size: 160 << 20, arguments: &["-c", "65536"] },
    Flavour { name: "2m", size: 1 << 30, arguments: &["-c", "2097152"] },
    Flavour { name: "sector-4k", size: 96 << 20, arguments: &["-c", "4096", "-s", "4096"] },
    Flavour { name: "sector-4k-64k", size: 160 << 20, arguments: &["-c", "65536", "-s", "4096"] },
];

/// The flavour of that name.
pub fn find(name: &str) -> &'static Flavour {
    FLAVOURS.iter().find(|flavour| flavour.name == name).unwrap()
}

/// An image in a directory of its own.
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

/// An empty volume.
pub fn empty(flavour: &Flavour) -> Image {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    fs::File::create(&path).unwrap().set_len(flavour.size).unwrap();
    let mut mkntfs = Command::new("/usr/sbin/mkntfs");
    run(mkntfs
        .args(["-F", "-Q", "-q", "-p", "2048", "-H", "255", "-S", "63"])
        .args(flavour.arguments)
        .arg(&path));
    Image { directory, path }
}

/// A populated one.
pub fn make(flavour: &Flavour) -> Image {
    let image = empty(flavour);
    let mount = mounted(&image.path, "compression");
    populate(&mount.path);
    drop(mount);
    image
}

fn attribute(path: &Path, name: &str, value: &str) {
    run(Command::new("setfattr").args(["-h", "-n", name, "-v", value]).arg(path));
}

/// Files of all sizes around the limits of records and clusters; names enough for several index blocks; everything that
/// ntfs-3g can make.
pub fn populate(root: &Path) {
    for directory in ["Windows/System32/config", "many", "few", "empty", "packed", "pieces"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    for (index, size) in
        [0, 1, 511, 512, 600, 700, 800, 1023, 1024, 1025, 4095, 4096, 4097, 70_000].iter().enumerate()
    {
        fs::write(root.join(format!("few/size-{size}")), noise(index as u64, *size)).unwrap();
    }
    fs::write(root.join("Windows/System32/config/SYSTEM"), noise(100, (3 << 20) + 5)).unwrap();
    for index in 0..300 {
        let name = format!("many/{index}-a rather long name so that one block is not enough");
        fs::write(root.join(name), format!("{index}")).unwrap();
    }
    let sparse = fs::File::create(root.join("few/sparse")).unwrap();
    for index in 0..4u64 {
        sparse.write_all_at(&noise(index, 3000), index * 1_000_000).unwrap();
    }
    sparse.set_len(5 << 20).unwrap();
    fs::hard_link(root.join("few/size-70000"), root.join("empty/link")).unwrap();
    fs::write(root.join("few/größe ÿ 𝄞"), "ü").unwrap();
    fs::write(root.join("few/a long name.txt"), "short").unwrap();
    attribute(&root.join("few/a long name.txt"), "system.ntfs_dos_name", "ALONGN~1.TXT");
    attribute(&root.join("few/size-70000"), "user.stream", "what it says");
    // FILE_ATTRIBUTE_COMPRESSED: what is made here is compressed.
    attribute(&root.join("packed"), "system.ntfs_attrib_be", "0x00000800");
    for (index, size) in [100, 5000, 65536, 200_000].iter().enumerate() {
        let text = format!("line {index} of a text that packs well\n").repeat(size / 30);
        fs::write(root.join(format!("packed/{size}")), text).unwrap();
    }
    fs::write(root.join("packed/noise"), noise(7, 150_000)).unwrap();
    attribute(&root.join("few/size-600"), "system.ntfs_attrib_be", "0x00000007");
    // Two files that grow in turns are in pieces, too many for one record.
    let mut files = [0, 1].map(|index| fs::File::create(root.join(format!("pieces/{index}"))).unwrap());
    for round in 0..700u64 {
        for file in &mut files {
            file.write_all(&noise(round, 4096)).unwrap();
            file.sync_data().unwrap();
        }
    }
}
