//! The images: makefs makes UFS of the BSDs in both orders of bytes; what Solaris has otherwise is put into it here: directories
//! without kinds, owners in other places, its state (illumos: `ufs_fs.h`, `ufs_inode.h`, `ufs_fsdir.h`).

use crate::raw::Raw;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use wherry_sdk::testing::{noise, run};

/// A file system that makefs can make.
pub struct Flavour {
    pub name: &'static str,
    order: &'static str,
    options: &'static str,
    /// Megabytes.
    size: u64,
}

/// A flavour: order of bytes, options of makefs, megabytes.
pub const fn flavour(name: &'static str, order: &'static str, options: &'static str, size: u64) -> Flavour {
    Flavour { name, order, options, size }
}

/// Solaris' usual block is 8192 with fragments of 1024.
pub const FLAVOURS: &[Flavour] = &[
    flavour("x86", "le", "version=1,bsize=8192,fsize=1024", 24),
    flavour("sparc", "be", "version=1,bsize=8192,fsize=1024", 24),
    flavour("x86-512", "le", "version=1,bsize=4096,fsize=512,density=4096", 16),
    flavour("sparc-whole", "be", "version=1,bsize=8192,fsize=8192", 24),
    flavour("groups", "le", "version=1,bsize=4096,fsize=512,density=2048", 40),
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

/// UFS of the BSDs, as makefs leaves it.
pub fn plain(order: &str, options: &str, size: u64, populate: fn(&Path)) -> Image {
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let (path, source) = (directory.path().join("image"), directory.path().join("source"));
    fs::create_dir(&source).unwrap();
    populate(&source);
    let mut makefs = Command::new("makefs");
    makefs.args(["-t", "ffs", "-B", order, "-o", options, "-s", &format!("{size}m"), "-f", "1500"]);
    run(makefs.arg(&path).arg(&source));
    Image { directory, path }
}

/// Solaris' UFS.
pub fn make(flavour: &Flavour, populate: fn(&Path)) -> Image {
    let image = plain(flavour.order, flavour.options, flavour.size, populate);
    let mut raw = Raw { bytes: fs::read(&image.path).unwrap(), big: flavour.order == "be" };
    to_sun(&mut raw);
    raw.check();
    fs::write(&image.path, &raw.bytes).unwrap();
    image
}

fn to_sun(raw: &mut Raw) {
    for number in 2..raw.inodes() {
        if raw.mode(number) == 0 {
            continue;
        }
        if raw.mode(number) & 0o170_000 == 0o040_000 {
            for (at, _, _, name) in raw.entries(number, false) {
                raw.put16(at + 6, name.len() as u16);
            }
        }
        let place = raw.inode_place(number);
        let (uid, gid) = (raw.u32(place + 112), raw.u32(place + 116));
        raw.put16(place + 4, u16::try_from(uid).unwrap_or(u16::MAX));
        raw.put16(place + 6, u16::try_from(gid).unwrap_or(u16::MAX));
        raw.put32(place + 112, 0);
        raw.put32(place + 116, uid);
        raw.put32(place + 120, gid);
        raw.put32(place + 124, 0);
        [20, 28, 36].into_iter().for_each(|spare| raw.put32(place + spare, 0));
    }
    let time = raw.u32(8192 + 32);
    let state = if raw.big { 1336 } else { 132 };
    (1116..1340).step_by(4).for_each(|at| raw.put32(8192 + at, 0));
    raw.put32(8192 + state, 0x7c26_9d38u32.wrapping_sub(time));
    raw.bytes[8192 + 209] = 1;
    if raw.big {
        raw.put32(8192 + 132, raw.sb(168) as u32);
    } else {
        raw.put32(8192 + 1336, raw.sb(168) as u32);
    }
    // makefs leaves these tables empty.
    for group in 0..raw.groups() {
        for (place, wide, counted) in raw.rotation(group) {
            if wide { raw.put32(place, counted as u32) } else { raw.put16(place, counted as u16) }
        }
    }
    // Old field of the BSDs, where Solaris has the state of the summaries: good.
    raw.put32(8192 + 136, 0);
}

/// Files of all sizes around the limits of fragments, blocks and blocks of addresses; long directories; links of all kinds.
pub fn populate(root: &Path) {
    for directory in ["etc", "var/lib/deep/deeper", "many", "empty"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    fs::write(root.join("etc/vfstab"), "/dev/dsk/c0t0d0s0 /dev/rdsk/c0t0d0s0 / ufs 1 no -\n").unwrap();
    fs::set_permissions(root.join("etc/vfstab"), fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::chown(root.join("etc/vfstab"), Some(3), Some(70_000)).unwrap();
    for (index, size) in
        [0, 1, 511, 512, 513, 1024, 1025, 8191, 8192, 8193, 70_000, 98_304, 98_305].iter().enumerate()
    {
        fs::write(root.join(format!("etc/size-{size}")), noise(index as u64, *size)).unwrap();
    }
    fs::write(root.join("etc/large"), noise(100, (3 << 20) + 77)).unwrap();
    for index in 0..400 {
        fs::write(root.join(format!("many/{index}-a_rather_long_name")), format!("{index}")).unwrap();
    }
    fs::hard_link(root.join("etc/size-513"), root.join("var/second")).unwrap();
    symlink("../etc/vfstab", root.join("var/table")).unwrap();
    symlink("y".repeat(200), root.join("var/long")).unwrap();
    fs::write(root.join("etc/größe"), "ü").unwrap();
}
