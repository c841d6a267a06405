//! The images: a matrix of features, populated from a real tree.

use crate::tools::{debugfs, tool};
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use wherry_sdk::testing::{noise, run, run_to};

/// A file system that mke2fs can make.
pub struct Flavour {
    pub name: &'static str,
    arguments: &'static [&'static str],
    /// this adapter changes it
    pub writable: bool,
}

const fn flavour(name: &'static str, arguments: &'static [&'static str]) -> Flavour {
    Flavour { name, arguments, writable: true }
}

const fn read_only(name: &'static str, arguments: &'static [&'static str]) -> Flavour {
    Flavour { writable: false, ..flavour(name, arguments) }
}

/// Every layout that matters. Debian 12's defaults for ext4 are those of `default`.
pub const FLAVOURS: &[Flavour] = &[
    flavour("default", &["-t", "ext4", "-b", "4096"]),
    flavour("no-sums", &["-t", "ext4", "-b", "4096", "-O", "^metadata_csum,^64bit"]),
    flavour("uninit", &["-t", "ext4", "-b", "1024", "-O", "^metadata_csum,uninit_bg"]),
    flavour("ext3", &["-t", "ext3", "-b", "1024"]),
    flavour("ext3-4k", &["-t", "ext3", "-b", "4096", "-I", "128"]),
    flavour("ext2", &["-t", "ext2", "-b", "1024"]),
    flavour(
        "ext2-old",
        &["-t", "ext2", "-b", "1024", "-O", "^filetype,^dir_index,^sparse_super,^resize_inode", "-I", "128"],
    ),
    flavour("1k", &["-t", "ext4", "-b", "1024"]),
    flavour("2k", &["-t", "ext4", "-b", "2048", "-I", "512"]),
    flavour("inline", &["-t", "ext4", "-b", "4096", "-O", "inline_data"]),
    flavour("inline-1k", &["-t", "ext4", "-b", "1024", "-O", "inline_data", "-I", "512"]),
    flavour("orphan-file", &["-t", "ext4", "-b", "4096", "-O", "orphan_file,metadata_csum_seed"]),
    flavour("meta-bg", &["-t", "ext4", "-b", "1024", "-O", "meta_bg,^resize_inode"]),
    flavour("no-flex", &["-t", "ext4", "-b", "1024", "-O", "^flex_bg"]),
    flavour("mapped-sums", &["-t", "ext4", "-b", "1024", "-O", "^extent,^64bit,large_dir"]),
    flavour("sparse2", &["-t", "ext4", "-b", "1024", "-O", "sparse_super2,^resize_inode", "-N", "4096"]),
    flavour("small-groups", &["-t", "ext4", "-b", "4096", "-g", "1024", "-N", "6144"]),
    flavour("fast-commit", &["-t", "ext4", "-b", "4096", "-O", "fast_commit", "-J", "size=8"]),
    flavour("no-journal", &["-t", "ext4", "-b", "4096", "-O", "^has_journal", "-m", "0"]),
    read_only("bigalloc", &["-t", "ext4", "-b", "4096", "-O", "bigalloc", "-C", "16384"]),
    read_only("quota", &["-t", "ext4", "-b", "4096", "-O", "quota"]),
    read_only("ea-inode", &["-t", "ext4", "-b", "1024", "-O", "ea_inode,quota"]),
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

    /// A copy of the image, for instance to try something on.
    pub fn copy(&self, name: &str) -> PathBuf {
        let copy = self.beside(name);
        copy_sparse(&self.path, &copy);
        copy
    }
}

/// Copies with holes.
pub fn copy_sparse(from: &Path, to: &Path) {
    run(std::process::Command::new("cp").arg("--sparse=always").arg(from).arg(to));
}

/// A temporary directory, in memory where there is such a place: loop mounts on a busy disk are slow.
pub fn directory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// An image with these arguments of mke2fs.
pub fn make_with(arguments: &'static [&'static str]) -> Image {
    make(&flavour("unnamed", arguments))
}

/// An image of that flavour with `populate`d content.
pub fn make(flavour: &Flavour) -> Image {
    let directory = directory();
    let source = directory.path().join("source");
    populate(&source);
    let path = directory.path().join("image");
    fs::File::create(&path).unwrap().set_len(48 << 20).unwrap();
    let mut mke2fs = tool("mke2fs");
    mke2fs
        .args(["-q", "-F", "-L", "a label", "-U", "01234567-89ab-cdef-0123-456789abcdef", "-d"])
        .arg(&source);
    mke2fs.args(flavour.arguments).args(["-E", "hash_seed=89abcdef-0123-4567-89ab-cdef01234567"]).arg(&path);
    run(&mut mke2fs);
    let image = Image { directory, path };
    debugfs(
        &image.path,
        "ea_set /etc/fstab security.selinux system_u:object_r:etc_t:s0\n\
         ea_set /etc/fstab user.note hello\n\
         ea_set /etc/big user.long 0123456789012345678901234567890123456789012345678901234567890123456789\n",
    );
    // Makes indexes where the feature is on; exit code 1 says that it changed something.
    run_to(tool("e2fsck").args(["-fyD"]).arg(&image.path), &[0, 1]);
    // That changed directories after it had counted for the quota.
    run_to(tool("e2fsck").args(["-fy"]).arg(&image.path), &[0, 1]);
    crate::tools::check(&image.path);
    image
}

/// Files of all sizes around the limits of inline data, blocks and block maps; names long enough for several leaves.
pub fn populate(root: &Path) {
    for directory in ["etc", "boot", "var/lib/deep/deeper", "many", "few", "empty"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    fs::write(root.join("etc/fstab"), "UUID=x / ext4 defaults 0 1\n").unwrap();
    fs::set_permissions(root.join("etc/fstab"), fs::Permissions::from_mode(0o640)).unwrap();
    for (index, size) in
        [0, 1, 59, 60, 61, 100, 150, 1023, 1024, 1025, 4095, 4096, 4097, 70_000].iter().enumerate()
    {
        fs::write(root.join(format!("few/size-{size}")), noise(index as u64, *size)).unwrap();
    }
    fs::write(root.join("etc/big"), noise(100, 3 << 20)).unwrap();
    fs::write(root.join("boot/initrd"), noise(101, (1 << 20) + 5000)).unwrap();
    let sparse = fs::File::create(root.join("var/sparse")).unwrap();
    for index in 0..40u64 {
        sparse.write_all_at(&noise(index, 3000), index * 70_000).unwrap();
    }
    sparse.set_len(5 << 20).unwrap();
    for index in 0..240 {
        fs::write(
            root.join(format!("many/{index}-a rather long name so that one block is not enough")),
            format!("{index}"),
        )
        .unwrap();
    }
    fs::hard_link(root.join("etc/fstab"), root.join("etc/fstab.link")).unwrap();
    symlink("etc/fstab", root.join("short")).unwrap();
    symlink("x".repeat(59), root.join("longest-short")).unwrap();
    symlink("y/".repeat(40), root.join("long")).unwrap();
    symlink("ü".repeat(300), root.join("longer")).unwrap();
    fs::write(root.join("etc/größe"), "ü").unwrap();
}
