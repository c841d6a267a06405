//! A small guest on a real disk: partition table by sfdisk, file system by mke2fs, files that look like a Debian's.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const MIB: u64 = 1 << 20;
/// Bytes of the disk.
pub const SIZE: u64 = 96 * MIB;

/// Runs a tool to its end and gives its output.
pub fn tool(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .output()
        .unwrap_or_else(|e| panic!("{program}: {e}; `cargo xtask test` installs it"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// Makes `disk.raw` in `folder`. The kernel has the drivers of `builtin` built in, and no modules.
pub fn disk(folder: &Path, builtin: &[&str]) -> PathBuf {
    let tree = tree(folder, builtin);
    let path = partitioned(folder, "start=1MiB,type=83,bootable\n");
    file_system(&path, &tree, 1, SIZE / MIB - 1, &[]);
    path
}

/// The files of that guest, in `folder`.
pub fn tree(folder: &Path, builtin: &[&str]) -> PathBuf {
    let tree = folder.join("tree");
    let put = |path: &str, text: &[u8]| {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    put("etc/os-release", b"ID=debian\nVERSION_ID=12\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n");
    put("etc/hostname", b"small\n");
    put("etc/fstab", b"# a comment that stays\n/dev/sda1 / ext4 errors=remount-ro 0 1\n");
    put("etc/initramfs-tools/initramfs.conf", b"MODULES=dep\n");
    put("boot/vmlinuz-6.1.0-1-amd64", b"a kernel");
    put("boot/initrd.img-6.1.0-1-amd64", &archive(folder));
    let entry = "menuentry 'Debian' {\n\tlinux /boot/vmlinuz-6.1.0-1-amd64 root=/dev/sda1 ro\n\tinitrd /boot/initrd.img-6.1.0-1-amd64\n}\n";
    put("boot/grub/grub.cfg", entry.as_bytes());
    let list: String = builtin.iter().map(|name| format!("kernel/drivers/{name}.ko\n")).collect();
    put("lib/modules/6.1.0-1-amd64/modules.builtin", list.as_bytes());
    put("lib/modules/6.1.0-1-amd64/modules.dep", b"");
    put("lib/modules/6.1.0-1-amd64/modules.alias", b"");
    put("srv/data", &noise(40 * MIB as usize));
    tree
}

/// An empty `disk.raw` with these partitions.
pub fn partitioned(folder: &Path, partitions: &str) -> PathBuf {
    let path = folder.join("disk.raw");
    fs::File::create(&path).unwrap().set_len(SIZE).unwrap();
    let mut sfdisk = Command::new("/sbin/sfdisk").arg("-q").arg(&path).stdin(Stdio::piped()).spawn().unwrap();
    let script = format!("label: dos\nlabel-id: 0x77680002\n{partitions}");
    sfdisk.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(sfdisk.wait().unwrap().success());
    path
}

/// An ext4 of `size` MiB from MiB `start` of a disk on, with a tree's files.
pub fn file_system(disk: &Path, tree: &Path, start: u64, size: u64, options: &[&str]) {
    let (tree, disk) = (tree.to_str().unwrap(), disk.to_str().unwrap());
    let (offset, size) = (format!("offset={}", start * MIB), format!("{size}M"));
    let usual = ["-q", "-F", "-t", "ext4", "-d", tree, "-E", &offset];
    tool("/sbin/mke2fs", &[&usual[..], options, &[disk, &size]].concat());
}

/// An initramfs of initramfs-tools' kind, by cpio.
fn archive(folder: &Path) -> Vec<u8> {
    let root = folder.join("initramfs");
    fs::create_dir_all(root.join("conf")).unwrap();
    fs::write(root.join("init"), "#!/bin/sh\n").unwrap();
    fs::write(root.join("conf/initramfs.conf"), "MODULES=dep\n").unwrap();
    fs::write(root.join("conf/modules"), "").unwrap();
    fs::create_dir(root.join("scripts")).unwrap();
    fs::write(root.join("scripts/functions"), "").unwrap();
    let script = format!("cd '{}' && find . | cpio -o -H newc --quiet > ../initrd", root.display());
    tool("/bin/sh", &["-c", &script]);
    fs::read(folder.join("initrd")).unwrap()
}

/// Bytes that nothing can compress, the same every time.
pub fn noise(length: usize) -> Vec<u8> {
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        bytes.extend(random.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Checks the file system of a raw disk's first partition.
pub fn fsck(folder: &Path, raw: &Path) {
    let part = folder.join("part");
    let bytes = fs::read(raw).unwrap();
    fs::write(&part, &bytes[MIB as usize..]).unwrap();
    tool("/sbin/e2fsck", &["-fn", part.to_str().unwrap()]);
    fs::remove_file(part).unwrap();
}

/// A file of a raw disk's first partition, by debugfs.
pub fn read(raw: &Path, path: &str) -> String {
    let device = format!("{}?offset=1048576", raw.display());
    tool("/sbin/debugfs", &["-R", &format!("cat {path}"), &device])
}
