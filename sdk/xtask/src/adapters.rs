//! From adapters/* to components: a core module by cargo, a component by wit-component.

use crate::{cargo, packages, root, run};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-unknown-unknown";
/// Components that only tests load.
const HOSTILE: [&str; 7] = [
    "hostile-definition",
    "hostile-devices",
    "hostile-files",
    "hostile-format",
    "hostile-ship",
    "hostile-target",
    "hostile-volume",
];

/// Builds every adapter that registers a world.
pub fn build() -> Result<()> {
    let names = names(&root().join("adapters"))?;
    let all = names.iter().map(String::as_str).chain(HOSTILE);
    let target = root().join("target/adapters");
    let mut cargo = compiler()?;
    cargo.env("CARGO_TARGET_DIR", &target).env("RUSTFLAGS", "-C target-feature=+simd128");
    cargo.args(["build", "--profile", "adapter", "--lib", "--target", TARGET]);
    all.clone().for_each(|name| {
        cargo.args(["--package", name]);
    });
    run(&mut cargo)?;
    let components = target.join("components");
    let tests = target.join("hostile");
    for folder in [&components, &tests] {
        let _ = std::fs::remove_dir_all(folder);
        std::fs::create_dir_all(folder)?;
    }
    for name in all {
        let core = target.join(TARGET).join("adapter").join(format!("{}.wasm", name.replace('-', "_")));
        let folder = if HOSTILE.contains(&name) { &tests } else { &components };
        encode(&core, &folder.join(format!("{name}.wasm"))).with_context(|| format!("adapter {name}"))?;
    }
    Ok(())
}

/// Folders whose library registers a world; the others are not finished, and that is said.
fn names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Ok(text) = std::fs::read_to_string(path.join("src/lib.rs")) else { continue };
        if text.contains("wherry_sdk::register_") {
            names.push(name);
        } else {
            println!("{name} registers no world yet, so no component is built of it");
        }
    }
    names.sort();
    Ok(names)
}

/// A cargo that can build for Wasm: the workspace's own if it has the target, else Debian's with the standard
/// library's source.
fn compiler() -> Result<Command> {
    let sysroot =
        Command::new("rustc").args(["--print", "sysroot"]).output().context("cannot start rustc")?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&sysroot.stdout).trim());
    if sysroot.join("lib/rustlib").join(TARGET).is_dir() {
        return Ok(cargo());
    }
    packages::install(packages::WASM)
        .context("or, where rustup may: rustup target add wasm32-unknown-unknown")?;
    let mut cargo = Command::new("/usr/bin/cargo");
    cargo.current_dir(root()).env("RUSTC", "/usr/bin/rustc");
    // Debian ships the library's source but not the compiled library, and -Z needs this permission on a stable rustc.
    cargo.env("RUSTC_BOOTSTRAP", "1").args(["-Z", "build-std=std,panic_abort"]);
    cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "/usr/bin/wasm-ld-19");
    for variable in ["RUSTUP_TOOLCHAIN", "CARGO", "RUSTC_WRAPPER"] {
        cargo.env_remove(variable);
    }
    Ok(cargo)
}

fn encode(core: &Path, component: &Path) -> Result<()> {
    let module = std::fs::read(core).with_context(|| format!("cannot read {}", core.display()))?;
    let bytes = wit_component::ComponentEncoder::default().validate(true).module(&module)?.encode()?;
    println!("{} {} KiB", component.file_name().unwrap_or_default().to_string_lossy(), bytes.len() >> 10);
    std::fs::write(component, bytes).with_context(|| format!("cannot write {}", component.display()))
}
