//! The real tools: mke2fs, e2fsck, debugfs, and the kernel's loop mount.

use std::path::Path;
use std::process::Command;
use wherry_sdk::testing::{Mount, run, run_to};

/// A tool of e2fsprogs.
pub fn tool(name: &str) -> Command {
    Command::new(Path::new("/sbin").join(name))
}

/// `e2fsck -fn` must find nothing at all: exit code 0, and no question asked.
pub fn check(image: &Path) {
    let text = run_to(tool("e2fsck").arg("-fn").arg(image), &[0]);
    assert!(!text.contains("? no") && !text.contains("IGNORED"), "e2fsck finds fault:\n{text}");
}

/// The whole tree as debugfs reads it, in `target`.
pub fn dump(image: &Path, target: &Path) {
    std::fs::create_dir(target).unwrap();
    run(tool("debugfs").arg("-R").arg(format!("rdump / {}", target.display())).arg(image));
}

/// Commands for `debugfs -w`, one a line.
pub fn debugfs(image: &Path, commands: &str) {
    let script = image.with_extension("debugfs");
    std::fs::write(&script, commands).unwrap();
    run(tool("debugfs").args(["-w", "-f"]).arg(&script).arg(image));
}

/// Mounts by the kernel; none, loudly, where the environment forbids it.
pub fn mounted(image: &Path, options: &str) -> Option<Mount> {
    Mount::by_kernel("ext4", image, options)
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
