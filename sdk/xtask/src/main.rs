//! `cargo xtask`: the project's commands.

mod adapters;
mod boot;
mod console;
mod demo;
mod disk;
mod families;
mod firmware;
mod fuzz;
mod image;
mod kernel;
mod loops;
mod luks;
mod lvm;
mod matrix;
mod mirror;
mod packages;
mod progress;
mod snapshot;
mod story;
mod test;
mod tree;

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const USAGE: &str = "cargo xtask build-adapters   builds adapters/* to target/adapters/components/*.wasm
cargo xtask test [--all]     installs what is missing, builds everything, runs every test; with --all every boot
cargo xtask boots [--all|NAME]
                             converts and boots source disks; NAME chooses, such as lvm or ext4/nvme;
                             `snapshot` boots a disk straight from an archive, over NBD
cargo xtask bench            measures the release build
cargo xtask bench-archive    measures the archive against restic and borg
cargo xtask bench-windows    measures a Windows with many files
cargo xtask bench-families   measures how long each kind of source disk takes to inspect and to plan
cargo xtask image [KIND|all] makes a source disk in .work/, once: ext4, uefi, lvm, dracut, deleted, xfs, btrfs,
                             md, verity, extlinux, systemd-boot, pygrub
cargo xtask boot IMAGE [ahci|virtio-blk|virtio-scsi|nvme]
                             boots an image under QEMU's emulator without writing to it
cargo xtask kernel           makes the kernel that tests ask what Linux makes of a volume, once
cargo xtask fuzz [SECONDS [NAME...]]
                             fuzzes every parser, or those named, each for 600 s or as long as is said
cargo xtask demo [--record]  the whole story, from a disk to a machine that boots; with --record as docs/demo.svg";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["build-adapters"] => adapters::build(),
        ["test"] => test::run_tests(false),
        ["test", "--all"] => test::run_tests(true),
        ["boots"] => matrix::run(false, ""),
        ["boots", "--all"] => matrix::run(true, ""),
        ["boots", "snapshot"] => snapshot::run(),
        ["boots", name] => matrix::run(true, name),
        ["bench"] => bench(),
        ["bench-archive"] => bench_archive(),
        ["bench-windows"] => bench_windows(),
        ["bench-families"] => bench_families(),
        ["image"] => image::build(&image::KINDS[0]).map(drop),
        ["image", "all"] => image::KINDS.iter().try_for_each(|kind| image::build(kind).map(drop)),
        ["image", kind] => image::Kind::named(kind).and_then(image::build).map(drop),
        ["kernel"] => kernel::build(),
        ["boot", disk] => login(disk, "virtio-blk"),
        ["boot", disk, hardware] => login(disk, hardware),
        ["fuzz"] => fuzz::fuzz(600, &[]),
        ["fuzz", seconds, names @ ..] => seconds
            .parse()
            .with_context(|| format!("`{seconds}` is no number of seconds"))
            .and_then(|seconds| fuzz::fuzz(seconds, names)),
        ["demo"] => demo::run_demo(false),
        ["demo", "--record"] => demo::run_demo(true),
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

/// The benchmarks' own program, in tests/bench.
fn bench() -> Result<()> {
    run(cargo().args(["build", "--release", "--workspace"]))?;
    adapters::build()?;
    image::build(&image::KINDS[0])?;
    run(&mut bench_program())
}

fn bench_program() -> Command {
    let mut program = Command::new(root().join("target/release/wherry-bench"));
    program.current_dir(root()).env("WHERRY_ADAPTERS", root().join("target/adapters/components"));
    program
}

/// The archive against restic and borg.
fn bench_archive() -> Result<()> {
    packages::install(packages::ARCHIVE_BENCH)?;
    run(cargo().args(["build", "--release", "--workspace"]))?;
    adapters::build()?;
    run(bench_program()
        .arg("archive")
        .envs(["WHERRY_PASSWORD", "RESTIC_PASSWORD", "BORG_PASSPHRASE"].map(|name| (name, "bench"))))
}

/// A Windows with many files.
fn bench_windows() -> Result<()> {
    packages::install(packages::TESTS)?;
    run(cargo().args(["build", "--release", "--workspace"]))?;
    adapters::build()?;
    run(bench_program().arg("windows"))
}

/// Every kind of source disk.
fn bench_families() -> Result<()> {
    run(cargo().args(["build", "--release", "--workspace"]))?;
    adapters::build()?;
    families::bench()
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

/// The built program with the built adapters, started in the checkout.
fn wherry() -> Command {
    let mut wherry = Command::new(root().join("target/release/wherry"));
    wherry.current_dir(root()).env("WHERRY_ADAPTERS", root().join("target/adapters/components"));
    wherry
}
