//! `cargo xtask`: the project's commands.

mod adapters;
mod boot;
mod image;
mod packages;

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const USAGE: &str = "cargo xtask build-adapters   builds adapters/* to target/adapters/components/*.wasm
cargo xtask test             installs what is missing, builds everything, runs every test
cargo xtask image [ext4]     makes the demo's source disk in .work/, once
cargo xtask boot IMAGE [ahci|virtio-blk|virtio-scsi|nvme]
                             boots an image under QEMU's emulator without writing to it
cargo xtask demo             builds all, makes the disk, inspects it, boots it at home and away";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["build-adapters"] => adapters::build(),
        ["test"] => test(),
        ["image"] => image::build("ext4").map(drop),
        ["image", kind] => image::build(kind).map(drop),
        ["boot", disk] => boot::login(Path::new(disk), "virtio-blk"),
        ["boot", disk, hardware] => boot::login(Path::new(disk), hardware),
        ["demo"] => demo(),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("xtask: {e:#}");
            ExitCode::FAILURE
        }
    }
}

/// The checkout.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs a command to its end; anything but success is an error.
fn run(command: &mut Command) -> Result<()> {
    println!("> {}", format!("{command:?}").replace('"', ""));
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    if !status.success() {
        bail!("{:?} ended with {status}", command.get_program());
    }
    Ok(())
}

/// The workspace's own toolchain.
fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}

fn test() -> Result<()> {
    packages::install(packages::TESTS)?;
    adapters::build()?;
    run(cargo().args(["fmt", "--all", "--check"]))?;
    run(cargo().args(["build", "--release", "--package", "wherry"]))?;
    run(cargo().args(["test", "--release", "--workspace", "--no-fail-fast"]))
}

/// The whole story as far as it goes today: the disk boots at home and not on a hypervisor's hardware, and what the
/// adapters see of it. Planning and migrating are not in the `wherry` program yet.
fn demo() -> Result<()> {
    run(cargo().args(["build", "--release", "--package", "wherry"]))?;
    adapters::build()?;
    let disk = image::build("ext4")?;
    packages::install(packages::BOOT)?;
    boot::login(&disk, "ahci")?;
    let away = boot::boot(&disk, "virtio-blk")?;
    if away != boot::End::Lost {
        bail!("the source disk should lose its root on virtio-blk, and ended as {away:?}");
    }
    let mut wherry = Command::new(root().join("target/release/wherry"));
    wherry.arg("--adapters").arg(root().join("target/adapters/components"));
    run(wherry.arg("inspect").arg(format!("raw:{}", disk.display())))?;
    println!("not yet: wherry plan, wherry migrate, the boot of the migrated machine");
    Ok(())
}
