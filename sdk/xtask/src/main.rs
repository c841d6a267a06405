//! `cargo xtask`: the project's commands.

mod adapters;
mod packages;

use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::process::{Command, ExitCode};

const USAGE: &str = "cargo xtask build-adapters   builds adapters/* to target/adapters/components/*.wasm
cargo xtask test             installs what is missing, builds everything, runs every test";

fn main() -> ExitCode {
    let verb = std::env::args().nth(1);
    let done = match verb.as_deref() {
        Some("build-adapters") => adapters::build(),
        Some("test") => test(),
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
