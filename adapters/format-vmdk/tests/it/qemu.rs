//! The real tools.

use std::path::Path;
use wherry_sdk::testing::image::{run, text};

pub fn img(arguments: &[&str]) -> String {
    run("qemu-img", arguments)
}

/// `qemu-io` commands on an image.
pub fn io(path: &Path, commands: &[String]) {
    let mut arguments = vec!["-f", "vmdk"];
    for command in commands {
        arguments.extend(["-c", command]);
    }
    arguments.push(text(path));
    run("qemu-io", &arguments);
}

/// No error and no leaked cluster.
pub fn check(path: &Path) {
    let report = img(&["check", "-f", "vmdk", text(path)]);
    assert!(report.contains("No errors were found on the image."), "{report}");
}

/// The same content, as QEMU sees it.
pub fn compare(vmdk: &Path, other: &Path, format: &str) {
    img(&["compare", "-f", "vmdk", "-F", format, text(vmdk), text(other)]);
}

/// The content, as QEMU reads it.
pub fn raw(vmdk: &Path) -> Vec<u8> {
    let target = vmdk.with_extension("raw-by-qemu");
    img(&["convert", "-f", "vmdk", "-O", "raw", text(vmdk), text(&target)]);
    std::fs::read(target).unwrap()
}
