//! The kernel that tests ask what Linux makes of a volume: of Debian, newer than the machine's, with the drivers that this one
//! has not. `wherry_sdk::testing::kernel` starts it.

use crate::{packages, progress, quiet, root};
use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

const SUITE: &str = "trixie";
const PACKAGES: &str = "linux-image-amd64,busybox-static,attr";
/// What is read before the file systems' drivers.
const BUS: &[&str] = &["virtio_pci", "virtio_blk"];
const DRIVERS: &[&str] = &["ntfs3", "xfs", "btrfs", "ufs", "isofs"];
/// What busybox of Debian has not, and what it needs: where it is in Debian's tree, and where it goes.
const PROGRAMS: &[(&str, &str)] = &[
    ("usr/bin/setfattr", "bin"),
    ("usr/lib/x86_64-linux-gnu/libattr.so.1", "lib/x86_64-linux-gnu"),
    ("usr/lib/x86_64-linux-gnu/libc.so.6", "lib/x86_64-linux-gnu"),
    ("usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "lib64"),
];
const INIT: &str = include_str!("kernel.sh");

fn recipe() -> String {
    format!("{SUITE} {PACKAGES} {BUS:?} {DRIVERS:?} {PROGRAMS:?}\n{INIT}")
}

/// Makes `.work/kernel/vmlinuz` and `initrd`, once.
pub fn build() -> Result<()> {
    let folder = root().join(".work/kernel");
    let stamp = folder.join("recipe");
    if fs::read_to_string(&stamp).is_ok_and(|made| made == recipe()) {
        return Ok(());
    }
    packages::install(packages::IMAGE)?;
    packages::install(packages::TESTS)?;
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let (debian, inside) = (folder.join("debian"), folder.join("inside"));
    fs::create_dir_all(&folder)?;
    let mut extract = Command::new("mmdebstrap");
    extract.args(["--quiet", "--variant=extract", "--aptopt=Acquire::Languages \"none\""]);
    extract.arg("--aptopt=Apt::Install-Recommends \"false\"").arg(format!("--include={PACKAGES}"));
    progress::run(&format!("a kernel of Debian {SUITE}"), extract.arg(SUITE).arg(&debian))?;
    for name in ["dev", "proc", "volume", "modules"] {
        fs::create_dir_all(inside.join(name))?;
    }
    fs::copy(debian.join("usr/bin/busybox"), inside.join("busybox")).context("busybox-static has moved")?;
    for (program, to) in PROGRAMS {
        let to = inside.join(to);
        fs::create_dir_all(&to)?;
        let name = Path::new(program).file_name().unwrap_or_default();
        fs::copy(debian.join(program), to.join(name)).with_context(|| format!("{program} has moved"))?;
    }
    let version = version(&debian)?;
    fs::copy(debian.join(format!("boot/vmlinuz-{version}")), folder.join("vmlinuz"))?;
    modules(&debian, &version, &inside.join("modules"))?;
    fs::write(inside.join("init"), INIT)?;
    let pack = "chmod 755 init && find . | cpio -o -H newc --quiet | gzip -1 > ../initrd";
    quiet(Command::new("sh").args(["-ec", pack]).current_dir(&inside))?;
    fs::remove_dir_all(debian)?;
    fs::remove_dir_all(inside)?;
    fs::write(stamp, recipe()).context("cannot write .work/kernel/recipe")
}

/// The version of the only kernel there.
fn version(debian: &Path) -> Result<String> {
    let mut entries = fs::read_dir(debian.join("usr/lib/modules"))?;
    let entry = entries.next().context("Debian's kernel has no modules")??;
    Ok(entry.file_name().to_string_lossy().into_owned())
}

/// The modules, unpacked, and in `order` the names of those that have to be there before a file system's own.
fn modules(debian: &Path, version: &str, to: &Path) -> Result<()> {
    quiet(Command::new("depmod").arg("-b").arg(debian.join("usr")).arg(version))?;
    let mut order: Vec<String> = Vec::new();
    for name in BUS.iter().chain(DRIVERS) {
        let mut needed = Command::new("modprobe");
        needed
            .args(["--show-depends", "--set-version", version, "--dirname"])
            .arg(debian.join("usr"))
            .arg(name);
        let said = quiet(&mut needed)?;
        let paths: Vec<PathBuf> = said
            .lines()
            .filter_map(|line| line.strip_prefix("insmod "))
            .map(|path| path.trim().into())
            .collect();
        ensure!(!paths.is_empty() || said.starts_with("builtin"), "modprobe knows no module {name}: {said}");
        for path in paths {
            let file = path.file_name().unwrap_or_default().to_string_lossy().replace(".ko.xz", ".ko");
            if !to.join(&file).exists() {
                let unpacked = File::create(to.join(&file))?;
                let status = Command::new("xz").arg("-dc").arg(&path).stdout(unpacked).status()?;
                ensure!(status.success(), "xz cannot unpack {}", path.display());
                if DRIVERS.iter().all(|driver| file != format!("{driver}.ko")) {
                    order.push(file);
                }
            }
        }
    }
    Ok(fs::write(to.join("order"), order.join("\n"))?)
}
