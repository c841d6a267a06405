//! `cargo xtask`: the project's commands.

mod adapters;
mod boot;
mod console;
mod disk;
mod fuzz;
mod image;
mod lvm;
mod packages;
mod progress;
mod tree;

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const USAGE: &str = "cargo xtask build-adapters   builds adapters/* to target/adapters/components/*.wasm
cargo xtask test             installs what is missing, builds everything, runs every test
cargo xtask image [ext4]     makes the demo's source disk in .work/, once
cargo xtask boot IMAGE [ahci|virtio-blk|virtio-scsi|nvme]
                             boots an image under QEMU's emulator without writing to it
cargo xtask fuzz [SECONDS]   fuzzes every parser, each for 600 s or as long as is said
cargo xtask demo             builds all, makes the disk, inspects it, boots it at home and away";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["build-adapters"] => adapters::build(),
        ["test"] => test(),
        ["image"] => image::build(&image::KINDS[0]).map(drop),
        ["image", "all"] => image::KINDS.iter().try_for_each(|kind| image::build(kind).map(drop)),
        ["image", kind] => image::Kind::named(kind).and_then(image::build).map(drop),
        ["boot", disk] => login(disk, "virtio-blk"),
        ["boot", disk, hardware] => login(disk, hardware),
        ["fuzz"] => fuzz::fuzz(600),
        ["fuzz", seconds] => seconds
            .parse()
            .with_context(|| format!("`{seconds}` is no number of seconds"))
            .and_then(fuzz::fuzz),
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

fn login(disk: &str, hardware: &str) -> Result<()> {
    boot::login(&Path::new(disk).canonicalize().with_context(|| format!("cannot find {disk}"))?, hardware)
}

/// The checkout.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// A path as seen from the checkout.
fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
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

/// Runs a short command; its output is shown only if it fails.
fn quiet(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start {:?}", command.get_program()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("{:?} ended with {}\n{text}{errors}", command.get_program(), output.status);
    }
    Ok(text)
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
    let disk = image::build(&image::KINDS[0])?;
    packages::install(packages::BOOT)?;
    boot::login(&disk, "ahci")?;
    let away = boot::start(&disk, "virtio-blk", console::Show::Lines)?.end()?;
    if away != boot::End::Lost {
        bail!("the source disk should lose its root on virtio-blk, and ended as {away:?}");
    }
    let mut wherry = Command::new(root().join("target/release/wherry"));
    wherry.arg("--adapters").arg(root().join("target/adapters/components"));
    run(wherry.arg("inspect").arg(format!("raw:{}", disk.display())))?;
    println!("not yet: wherry plan, wherry migrate, the boot of the migrated machine");
    Ok(())
}
