//! Images packed by mksquashfs in each of its ways.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;
use wherry_sdk::testing::{noise, run};

/// A way to pack.
pub struct Flavour {
    pub name: &'static str,
    pub packing: &'static str,
    arguments: &'static [&'static str],
}

const fn flavour(name: &'static str, packing: &'static str, arguments: &'static [&'static str]) -> Flavour {
    Flavour { name, packing, arguments }
}

/// Every packing, and what changes the layout.
pub const FLAVOURS: &[Flavour] = &[
    flavour("default", "gzip", &[]),
    flavour("lzo", "lzo", &[]),
    flavour("lz4", "lz4", &["-Xhc"]),
    flavour("xz", "xz", &["-Xbcj", "x86", "-b", "1M"]),
    flavour("zstd", "zstd", &["-b", "256K"]),
    flavour("small-blocks", "gzip", &["-b", "4K", "-always-use-fragments"]),
    flavour("no-fragments", "zstd", &["-no-fragments", "-no-exports", "-no-duplicates"]),
    flavour("stored", "gzip", &["-noI", "-noD", "-noF", "-noX"]),
];

/// Files of all sizes around those of blocks, holes, second names, attributes, devices, large directories.
pub const FILL: &str = r#"
mkdir -p etc var/lib/deep/deeper many empty
printf 'UUID=x / squashfs defaults 0 1\n' > etc/fstab
chmod 4640 etc/fstab; chown 3:70000 etc/fstab; touch -d @1234567890 etc/fstab
setfattr -n security.selinux -v 'system_u:object_r:etc_t:s0' etc/fstab
setfattr -n trusted.note -v hidden etc/fstab
setfattr -n user.note -v hello etc
for size in 0 1 4095 4096 4097 70000 131071 131072 131073 1048576 3000000; do
	head -c $size "$NOISE" > etc/noise-$size
	yes "line $size" | head -c $size > etc/text-$size || true
done
# The same attributes again, so that values are stored elsewhere.
for i in 1 2 3; do echo $i > etc/same-$i; setfattr -n user.long -v "$(head -c 900 /dev/zero | tr '\0' x)$i" etc/same-$i
	setfattr -n user.same -v "$(head -c 500 /dev/zero | tr '\0' y)" etc/same-$i; done
truncate -s 3M etc/hole; printf middle | dd of=etc/hole bs=1 seek=1048577 conv=notrunc status=none
ln etc/noise-4097 var/lib/second
ln -s ../etc/fstab var/table
ln -s "$(head -c 3000 /dev/zero | tr '\0' x)" var/long
ln -s x var/noted; setfattr -h -n trusted.note -v link var/noted
mkfifo var/pipe; mknod var/console c 5 1; mknod var/disk b 8 1; setfattr -n trusted.note -v pipe var/pipe
for i in $(seq 900); do echo $i > "many/$i-a_rather_long_name_so_that_one_block_is_not_enough"; done
printf 'ü' > etc/größe
"#;

/// A little of everything.
pub const FEW: &str = r#"
mkdir etc many
head -c 20000 "$NOISE" > etc/large; yes text | head -c 30000 > etc/text || true
for i in $(seq 30); do echo $i > many/$i; done
ln -s etc/large link; ln etc/large many/second; mkfifo pipe
setfattr -n user.note -v hello etc; setfattr -n user.note -v hello many; setfattr -n user.note -v hello etc/text
"#;

/// An image in a directory of its own.
pub struct Image {
    pub path: PathBuf,
    _directory: TempDir,
}

/// The folder that a script fills, packed.
pub fn make(flavour: &Flavour, script: &str) -> Image {
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let tree = directory.path().join("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(directory.path().join("noise"), noise(7, 3 << 20)).unwrap();
    let mut shell = Command::new("bash");
    shell.args(["-e", "-o", "pipefail", "-c", script]).current_dir(&tree);
    run(shell.env("NOISE", directory.path().join("noise")));
    let path = directory.path().join("image");
    let mut pack = Command::new("/usr/bin/mksquashfs");
    pack.arg(&tree).arg(&path).args(["-quiet", "-no-progress", "-comp", flavour.packing]);
    run(pack.args(flavour.arguments));
    Image { path, _directory: directory }
}
