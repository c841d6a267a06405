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
    unpack_with(volume, driver, "ro", folder)
}

/// The same with options that the driver needs, which begin with `ro`.
pub fn unpack_with(volume: &Path, driver: &str, options: &str, folder: &Path) -> String {
    let kernel = kernel();
    let tar = folder.with_extension("tar");
    File::create(&tar)
        .and_then(|file| file.set_len(TAR_MOST))
        .unwrap_or_else(|e| panic!("{}: {e}", tar.display()));
    let said = linux(&kernel, volume, driver, &tar, options);
    run(Command::new("tar").arg("-xf").arg(&tar).arg("-C").arg(folder));
    std::fs::remove_file(&tar).unwrap_or_else(|e| panic!("{}: {e}", tar.display()));
    said.lines().filter(|line| line.contains(driver)).map(|line| format!("{}\n", line.trim_end())).collect()
}

/// Mounts the volume for writing, with these options such as `rw`, and puts everything from `folder` into it; then runs the
/// script there, with busybox's programs, `setfattr`, and the volume as its directory. A script that ends with
/// `echo "wherry: complete"; poweroff -f` leaves a volume that was not shut down. Panics as [`unpack`] does.
pub fn fill(volume: &Path, driver: &str, options: &str, folder: &Path, script: &str) -> String {
    let kernel = kernel();
    let (own, tar) = (folder.join(".fill"), folder.with_extension("tar"));
    std::fs::write(&own, script).unwrap_or_else(|e| panic!("{}: {e}", own.display()));
    run(Command::new("tar").args(["--format=gnu", "-cf"]).arg(&tar).arg("-C").arg(folder).arg("."));
    let said = linux(&kernel, volume, driver, &tar, options);
    for path in [own, tar] {
        std::fs::remove_file(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
    said
}

fn linux(kernel: &Path, volume: &Path, driver: &str, tar: &Path, options: &str) -> String {
    let said = run(&mut qemu(kernel, volume, driver, tar, options));
    assert!(said.lines().any(|line| line.trim_end() == "wherry: complete"), "Linux' {driver} fails:\n{said}");
    said
}

fn kernel() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.work/kernel");
    assert!(folder.join("recipe").exists(), "no kernel in .work/kernel: `cargo xtask kernel` makes it");
    folder
}

fn qemu(kernel: &Path, volume: &Path, driver: &str, tar: &Path, options: &str) -> Command {
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
    // The test of the timer fails where a loaded machine gives the emulator no time.
    let words = format!(
        "console=ttyS0 quiet panic=-1 no_timer_check wherry.driver={driver} wherry.options={options}"
    );
    command.args(["-append", &words]);
    let reading = options == "ro" || options.starts_with("ro,");
    let modes = if reading { ["readonly=on", "readonly=off"] } else { ["readonly=off", "readonly=on"] };
    for (path, mode) in [volume, tar].into_iter().zip(modes) {
        let path = path.display().to_string().replace(',', ",,");
        command.args(["-drive", &format!("file={path},format=raw,if=virtio,cache=unsafe,{mode}")]);
    }
    command
}
