//! The images: a matrix of features, filled by Linux' own driver.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use wherry_sdk::testing::{Mount, noise, run};

/// Bytes of an image.
pub const SIZE: u64 = 160 << 20;

/// A file system that mkfs.btrfs can make, and how Linux mounts it.
pub struct Flavour {
    pub name: &'static str,
    arguments: &'static [&'static str],
    pub options: &'static str,
}

const fn flavour(name: &'static str, arguments: &'static [&'static str], options: &'static str) -> Flavour {
    Flavour { name, arguments, options }
}

/// Layouts; the last one is made by newer programs than Debian 12 has.
const FLAVOURS: &[Flavour] = &[
    flavour("default", &[], "rw"),
    flavour("zlib", &["--csum", "xxhash"], "compress-force=zlib"),
    flavour("lzo", &["--csum", "sha256"], "compress-force=lzo"),
    flavour("zstd", &["--csum", "blake2"], "compress-force=zstd"),
    flavour("small-nodes", &["-n", "4096"], "rw"),
    flavour("large-nodes", &["-n", "65536", "-m", "single"], "rw"),
    flavour("mixed", &["-M"], "rw"),
    flavour("old", &["-O", "^no-holes", "-R", "^free-space-tree"], "space_cache=v1"),
    flavour("no-sums", &[], "nodatasum"),
    flavour("block-group-tree", &["-O", "block-group-tree"], "rw"),
];

/// Where newer programs of btrfs were unpacked, if they were.
fn newer() -> Option<PathBuf> {
    std::env::var_os("WHERRY_BTRFS_PROGS").map(PathBuf::from)
}

/// A program of btrfs: `sbin/mkfs.btrfs`, `bin/btrfs`.
pub fn program(path: &str) -> Command {
    Command::new(newer().unwrap_or_else(|| "/".into()).join(path))
}

/// Every layout that matters and that can be made here.
pub fn flavours() -> &'static [Flavour] {
    let (_, usual) = FLAVOURS.split_last().unwrap();
    if newer().is_some() { FLAVOURS } else { usual }
}

/// The flavour of that name.
pub fn find(name: &str) -> &'static Flavour {
    flavours().iter().find(|flavour| flavour.name == name).unwrap()
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

/// A new file system that a script fills, in a shell whose directory is its top; none where nothing may be mounted.
pub fn make(flavour: &Flavour, script: &str) -> Option<Image> {
    make_sized(flavour, SIZE, script)
}

/// One of so many bytes.
pub fn make_sized(flavour: &Flavour, size: u64, script: &str) -> Option<Image> {
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let path = directory.path().join("image");
    fs::File::create(&path).unwrap().set_len(size).unwrap();
    let mut mkfs = program("sbin/mkfs.btrfs");
    mkfs.args(["-q", "-L", "a label"]);
    run(mkfs.args(flavour.arguments).arg(&path));
    let mounted = Mount::by_kernel("btrfs", &path, flavour.options)?;
    fs::write(directory.path().join("noise"), noise(7, 3 << 20)).unwrap();
    let mut shell = Command::new("bash");
    shell.args(["-e", "-o", "pipefail", "-c", script]).current_dir(&mounted.path);
    run(shell.env("NOISE", directory.path().join("noise")));
    drop(mounted);
    check(&path);
    Some(Image { directory, path })
}

/// `btrfs check` must find nothing, neither in trees nor in content.
pub fn check(image: &Path) {
    let mut check = program("bin/btrfs");
    let said = run(check.args(["check", "--check-data-csum"]).arg(image));
    assert!(!said.contains("ERROR") && said.contains("no error found"), "{said}");
}

/// Files of all sizes around the limits of sectors and of what is inline, holes, second names, attributes, subvolumes, a
/// snapshot, clones.
pub const FILL: &str = r#"
mkdir -p etc var/lib/deep/deeper many empty
printf 'UUID=x / btrfs defaults 0 1\n' > etc/fstab
chmod 640 etc/fstab; chown 3:4 etc/fstab; touch -d @1234567890 etc/fstab
setfattr -n security.selinux -v 'system_u:object_r:etc_t:s0' etc/fstab
setfattr -n user.note -v hello etc
for size in 0 1 2047 2048 2049 4095 4096 4097 70000 131072 131073 1048576 3000000; do
	head -c $size "$NOISE" > etc/noise-$size
	yes "line $size" | head -c $size > etc/text-$size || true
done
truncate -s 3M etc/hole; printf middle | dd of=etc/hole bs=1 seek=1048577 conv=notrunc status=none
fallocate -l 300000 etc/ahead; printf 'start' | dd of=etc/ahead conv=notrunc status=none
ln etc/noise-4097 var/lib/second
ln -s ../etc/fstab var/table
ln -s "$(head -c 3000 /dev/zero | tr '\0' x)" var/long
mkfifo var/pipe
for i in $(seq 700); do echo $i > "many/$i-a_rather_long_name_so_that_one_leaf_is_not_enough"; done
printf 'ü' > etc/größe
btrfs -q subvolume create @rootfs; cp -a etc @rootfs/; mkdir @rootfs/home
btrfs -q subvolume create @rootfs/inner; echo inner > @rootfs/inner/file
btrfs -q subvolume snapshot @rootfs snapshot; echo changed > @rootfs/etc/changed
btrfs -q subvolume snapshot -r @rootfs var/read-only
cp --reflink=always etc/noise-3000000 etc/clone
dd if="$NOISE" of=etc/clone bs=4096 count=3 seek=100 conv=notrunc status=none
btrfs subvolume set-default "$(btrfs subvolume list . | sed -n 's/^ID \([0-9]*\) .*@rootfs$/\1/p')" .
sync
"#;
