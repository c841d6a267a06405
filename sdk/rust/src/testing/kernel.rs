//! What Linux makes of a volume: a kernel under QEMU's emulator mounts it by its own driver. This machine's kernel has few of
//! them. `cargo xtask test` makes the kernel (`.work/kernel`).

use super::run;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// More than what any test's volume holds; the file is sparse.
const TAR_MOST: u64 = 8 << 30;
/// Seconds, many times what it takes: ten on a quiet machine.
const PATIENCE: &str = "300";

/// Mounts the volume for reading by the driver of that name and unpacks what Linux finds in it into `folder`, which has to
/// be there. Returns what the driver said. Panics when it does not mount, when anything cannot be read, and where the
/// kernel was not made.
pub fn unpack(volume: &Path, driver: &str, folder: &Path) -> String {
    let kernel = kernel();
    let tar = folder.with_extension("tar");
    File::create(&tar)
        .and_then(|file| file.set_len(TAR_MOST))
        .unwrap_or_else(|e| panic!("{}: {e}", tar.display()));
    let said = run(&mut qemu(&kernel, volume, driver, &tar));
    assert!(said.lines().any(|line| line.trim_end() == "wherry: complete"), "Linux' {driver} fails:\n{said}");
    run(Command::new("tar").arg("-xf").arg(&tar).arg("-C").arg(folder));
    std::fs::remove_file(&tar).unwrap_or_else(|e| panic!("{}: {e}", tar.display()));
    said.lines().filter(|line| line.contains(driver)).map(|line| format!("{}\n", line.trim_end())).collect()
}

fn kernel() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.work/kernel");
    assert!(folder.join("recipe").exists(), "no kernel in .work/kernel: `cargo xtask kernel` makes it");
    folder
}

fn qemu(kernel: &Path, volume: &Path, driver: &str, tar: &Path) -> Command {
    let mut command = Command::new("timeout");
    command.stdin(Stdio::null()).args([
        PATIENCE,
        "qemu-system-x86_64",
        "-machine",
        "q35,accel=tcg",
        "-cpu",
        "max",
        "-m",
        "512",
    ]);
    command.args(["-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot"]);
    command.arg("-kernel").arg(kernel.join("vmlinuz")).arg("-initrd").arg(kernel.join("initrd"));
    let words = format!("console=ttyS0 quiet panic=-1 wherry.driver={driver} wherry.options=ro");
    command.args(["-append", &words]);
    for (path, mode) in [(volume, "readonly=on"), (tar, "readonly=off")] {
        let path = path.display().to_string().replace(',', ",,");
        command.args(["-drive", &format!("file={path},format=raw,if=virtio,cache=unsafe,{mode}")]);
    }
    command
}
