//! End-to-end tests. They use what `cargo xtask test` has built: `target/release/wherry` and the components.
#![allow(clippy::unwrap_used, reason = "tests")]

mod adapters;
mod archive;
mod devices;
mod disk;
mod encrypted;
mod families;
mod firmware;
mod guest;
mod hostile;
mod kills;
mod loops;
mod migrate;
mod mirror;
mod nbd;
mod ovf;
mod refused;
mod rules;
mod sandbox;
mod sectors;
mod servers;
mod solaris;
mod split;
mod targets;
mod vsphere;
mod windows;

#[path = "../../adapters/fs-ufs/tests/it/raw.rs"]
#[allow(dead_code, reason = "only counted here")]
mod raw;
/// The same guests as in the adapter's own tests.
#[path = "../../adapters/os-solaris/tests/it/guests.rs"]
#[allow(dead_code, reason = "one of them is enough here")]
mod solaris_guests;
/// The same file systems, and their second reader, as in the adapter's own tests.
#[path = "../../adapters/fs-ufs/tests/it/images.rs"]
#[allow(dead_code, reason = "one of them is enough here")]
mod sun_images;
/// The same simulator as in the adapter's own tests.
#[path = "../../adapters/target-vmware/tests/it/vcsim.rs"]
mod vcsim;
/// The same server as in the tests of the host's client.
#[path = "../../host/channels/tests/it/web.rs"]
mod web;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The directory this test was built into: `target/release`.
fn built() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    test.ancestors().nth(2).expect("target/release/deps/it").to_path_buf()
}

/// The components that `cargo xtask build-adapters` made.
fn components() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/adapters/components")
}

/// The built program with the built components, and the code cache that the tests share.
fn program() -> Command {
    let mut command = Command::new(built().join("wherry"));
    command.env("WHERRY_ADAPTERS", components());
    command.env("XDG_CACHE_HOME", Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/test-cache"));
    command
}

/// Runs `wherry` with these adapters and a code cache of its own.
fn wherry(adapters: &Path, arguments: &[&str]) -> Output {
    let program = built().join("wherry");
    Command::new(&program)
        .args(arguments)
        .env("WHERRY_ADAPTERS", adapters)
        .env("XDG_CACHE_HOME", adapters.join("cache"))
        .output()
        .unwrap_or_else(|e| panic!("{}: {e}; run `cargo xtask test`", program.display()))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
