//! A guest made of real parts: Debian's kernel modules, images packed by cpio and the real compressors, indexes by
//! depmod; and the checkers: unpacking by cpio, asking by modprobe.

use os_linux::initramfs::{ModuleTree, Need, Outcome, Segment, plan};
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use tempfile::TempDir;
use wherry_sdk::Result;

/// What is taken from the kernel's package: every disk controller's driver and what they and ext4 need.
const PARTS: &[&str] = &[
    "modules.*",
    "kernel/arch/*",
    "kernel/block/*",
    "kernel/crypto/*",
    "kernel/drivers/ata/*",
    "kernel/drivers/block/*",
    "kernel/drivers/hv/*",
    "kernel/drivers/message/*",
    "kernel/drivers/net/net_failover.ko",
    "kernel/drivers/net/virtio_net.ko",
    "kernel/drivers/nvme/*",
    "kernel/drivers/scsi/*",
    "kernel/drivers/virtio/*",
    "kernel/fs/ext4/*",
    "kernel/fs/jbd2/*",
    "kernel/fs/mbcache.ko",
    "kernel/lib/*",
    "kernel/net/core/*",
];

/// Runs a command that must succeed; answers what it printed.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a filter over bytes.
pub fn filter(command: &mut Command, input: &[u8]) -> Vec<u8> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "{command:?}");
    output.stdout
}

/// The guest's modules: their release and the folder that has `lib/modules/RELEASE`. Made once and kept in `.work`.
pub fn kernel() -> &'static (String, PathBuf) {
    static KERNEL: OnceLock<(String, PathBuf)> = OnceLock::new();
    KERNEL.get_or_init(|| {
        let work = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.work");
        let home = work.join("kernel-modules");
        if !home.exists() {
            fs::create_dir_all(&work).unwrap();
            let part = TempDir::new_in(&work).unwrap();
            download(part.path());
            // Another run may have been faster.
            let _ = fs::rename(part.path().join("tree"), &home);
        }
        let home = home.canonicalize().unwrap();
        let release = only_entry(&home.join("lib/modules"));
        (release, home)
    })
}

fn only_entry(folder: &Path) -> String {
    let entry = fs::read_dir(folder).unwrap().next().unwrap().unwrap();
    entry.file_name().into_string().unwrap()
}

fn download(part: &Path) {
    let depends = run(Command::new("apt-cache").args(["depends", "linux-image-amd64"]));
    let package = depends.split_whitespace().find(|word| word.starts_with("linux-image-6"));
    run(Command::new("apt-get")
        .args(["-q", "-o", "APT::Sandbox::User=root", "download", package.expect("a kernel package")])
        .current_dir(part));
    let tree = part.join("tree");
    fs::create_dir(&tree).unwrap();
    let patterns: Vec<String> = PARTS.iter().map(|part| format!("'./lib/modules/*/{part}'")).collect();
    let script = format!("dpkg-deb --fsys-tarfile ../*.deb | tar -x --wildcards {}", patterns.join(" "));
    run(Command::new("sh").args(["-c", &script]).current_dir(&tree));
    let release = only_entry(&tree.join("lib/modules"));
    run(Command::new("depmod").arg("-b").arg(&tree).arg(release));
}

/// A module directory on the test's disk.
pub struct Folder(pub PathBuf);

impl ModuleTree for Folder {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        Ok(fs::read(self.0.join(path)).ok())
    }
}

/// The guest's modules as the engine reads them.
pub fn guest() -> Folder {
    let (release, home) = kernel();
    Folder(home.join("lib/modules").join(release))
}

/// An image in the making.
pub struct Base {
    pub folder: TempDir,
    modules: &'static str,
}

impl Base {
    /// Nothing.
    pub fn empty() -> Self {
        Self { folder: TempDir::new().unwrap(), modules: "" }
    }

    /// A usr-merged image, as every current distribution makes, or one with a plain `lib`.
    pub fn new(merged: bool) -> Self {
        let folder = TempDir::new().unwrap();
        let (lib, modules) = if merged { ("usr/lib", "usr/lib/modules") } else { ("lib", "lib/modules") };
        fs::create_dir_all(folder.path().join(lib).join("modules").join(&kernel().0)).unwrap();
        if merged {
            symlink("usr/lib", folder.path().join("lib")).unwrap();
        }
        let base = Self { folder, modules };
        base.file("usr/sbin/tool", "not a module").file("usr/bin/large", "x".repeat(300_000));
        base
    }

    pub fn file(&self, path: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    /// Everything that tells an initramfs-tools image with udev.
    pub fn initramfs_tools(self) -> Self {
        self.file("conf/initramfs.conf", "MODULES=dep\n").file("scripts/functions", "");
        self.file("conf/modules", "# loaded early\next4").file("usr/lib/systemd/systemd-udevd", "udev");
        self
    }

    /// Everything that tells a dracut image.
    pub fn dracut(self) -> Self {
        self.file("usr/lib/dracut/dracut-dir", "").file("usr/lib/systemd/systemd-udevd", "udev");
        self
    }

    /// Puts these modules and all they need into the image, then the indexes by depmod, as the generators do.
    pub fn modules(self, names: &[&str]) -> Self {
        let (release, home) = kernel();
        for name in names {
            let mut modprobe = Command::new("modprobe");
            modprobe.arg("-d").arg(home).args(["-S", release, "--ignore-install", "--show-depends", name]);
            for line in run(&mut modprobe).lines() {
                let Some(path) = line.strip_prefix("insmod ") else { continue };
                let inside = path.trim().split_once("/lib/modules/").unwrap().1;
                self.file(&format!("{}/{inside}", self.modules), fs::read(path.trim()).unwrap());
            }
        }
        for name in ["modules.order", "modules.builtin", "modules.builtin.modinfo"] {
            let content = fs::read(home.join("lib/modules").join(release).join(name)).unwrap();
            self.file(&format!("{}/{release}/{name}", self.modules), content);
        }
        depmod(self.folder.path());
        self
    }

    /// The archive by GNU cpio.
    pub fn pack(&self) -> Vec<u8> {
        let script = "find . -mindepth 1 | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0";
        let mut command = Command::new("sh");
        filter(command.args(["-c", script]).current_dir(self.folder.path()), b"")
    }
}

pub fn depmod(folder: &Path) {
    run(Command::new("depmod").arg("-b").arg(folder).arg(&kernel().0));
}

/// Unpacks one archive over what is there, as the kernel would.
pub fn unpack(archive: &[u8], folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    filter(Command::new("cpio").args(["--quiet", "-idu"]).current_dir(folder), archive);
}

/// Looks what `image` needs for these modules.
pub fn look(image: &[u8], modules: &dyn ModuleTree, wanted: &[&str]) -> Outcome {
    plan(&Need { release: &kernel().0, image: &image, wanted, modules }).unwrap()
}

/// The segment, where one is expected.
pub fn segment(outcome: Outcome) -> Segment {
    match outcome {
        Outcome::Append(segment) => segment,
        other => panic!("{other:?}"),
    }
}

/// The reason, where it must be impossible.
pub fn reason(outcome: Outcome) -> String {
    match outcome {
        Outcome::Impossible { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

/// Every file below a folder: path, what it is, content or target.
pub fn listing(folder: &Path) -> Vec<(String, &'static str, Vec<u8>)> {
    let mut all = Vec::new();
    let mut todo = vec![folder.to_owned()];
    while let Some(next) = todo.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
            let meta = fs::symlink_metadata(&path).unwrap();
            if meta.is_symlink() {
                let target = fs::read_link(&path).unwrap();
                all.push((name, "link", target.to_str().unwrap().as_bytes().to_vec()));
            } else if meta.is_dir() {
                all.push((name, "directory", Vec::new()));
                todo.push(path);
            } else {
                all.push((name, "file", fs::read(&path).unwrap()));
            }
        }
    }
    all.sort();
    all
}
