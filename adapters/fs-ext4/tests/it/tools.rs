//! The real tools: mke2fs, e2fsck, debugfs, and the kernel's loop mount.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard};

/// Runs a command and returns what it printed; panics when its exit code is not one of `allowed`.
pub fn run(command: &mut Command, allowed: &[i32]) -> String {
    let output: Output =
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error} (package e2fsprogs)"));
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let code = output.status.code().unwrap_or(-1);
    assert!(allowed.contains(&code), "{command:?} ended with {code}:\n{text}");
    text
}

/// A tool of e2fsprogs.
pub fn tool(name: &str) -> Command {
    Command::new(Path::new("/sbin").join(name))
}

/// `e2fsck -fn` must find nothing at all: exit code 0, and no question asked.
pub fn check(image: &Path) {
    let text = run(tool("e2fsck").arg("-fn").arg(image), &[0]);
    assert!(!text.contains("? no") && !text.contains("IGNORED"), "e2fsck finds fault:\n{text}");
}

/// The whole tree as debugfs reads it, in `target`.
pub fn dump(image: &Path, target: &Path) {
    std::fs::create_dir(target).unwrap();
    run(tool("debugfs").arg("-R").arg(format!("rdump / {}", target.display())).arg(image), &[0]);
}

/// Commands for `debugfs -w`, one a line.
pub fn debugfs(image: &Path, commands: &str) {
    let script = image.with_extension("debugfs");
    std::fs::write(&script, commands).unwrap();
    run(tool("debugfs").args(["-w", "-f"]).arg(&script).arg(image), &[0]);
}

/// One mount at a time: tests run in parallel, loop devices are few.
static MOUNTS: Mutex<()> = Mutex::new(());

/// Whether the kernel is asked. Where it cannot be, tests fail, unless the environment says WHERRY_NO_MOUNT.
pub fn mounts() -> bool {
    if std::env::var_os("WHERRY_NO_MOUNT").is_some() {
        return false;
    }
    let root = std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0);
    let possible = root && Path::new("/dev/loop-control").exists();
    assert!(
        possible,
        "no loop mount here: be root, or set WHERRY_NO_MOUNT to go without what the kernel says"
    );
    true
}

/// A loop mount, undone when it goes out of scope.
pub struct Mount {
    pub path: PathBuf,
    _only: MutexGuard<'static, ()>,
}

impl Mount {
    /// Mounts by the kernel; none, loudly, where the environment forbids it.
    pub fn new(image: &Path, options: &str) -> Option<Self> {
        let only = MOUNTS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if !mounts() {
            eprintln!(
                "NOT TESTED: what the kernel says of {}, since WHERRY_NO_MOUNT is set",
                image.display()
            );
            return None;
        }
        let path = image.with_extension("mounted");
        std::fs::create_dir_all(&path).unwrap();
        let options = format!("loop,{options}");
        run(Command::new("mount").args(["-t", "ext4", "-o", &options]).arg(image).arg(&path), &[0]);
        Some(Self { path, _only: only })
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // A process that another test is just starting may hold a file open until it is really started.
        for _ in 0..50 {
            if Command::new("umount").arg(&self.path).output().is_ok_and(|output| output.status.success()) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        if !std::thread::panicking() {
            panic!("cannot umount {}", self.path.display());
        }
    }
}

/// CRC-32C without the final inversion, bit by bit: damaged metadata is given right checksums, so that the parser
/// behind them is reached.
pub fn crc32c(start: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(start, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 },
        )
    })
}
