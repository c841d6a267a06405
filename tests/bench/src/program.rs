//! The built program on the demo's guest: first start, planning with a warm code cache, and what calls to adapters cost.

use crate::table::median;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// The demo's source disk, as `cargo xtask image` makes it.
const DISK: &str = ".work/source-ext4.raw";

/// Runs `wherry` with this code cache; seconds, and its answer.
pub fn run(words: &[&str], cache: &Path) -> Result<(f64, Value)> {
    let mut program = Command::new("target/release/wherry");
    program.args(words).args(["--output", "json"]);
    program.env("WHERRY_ADAPTERS", "target/adapters/components").env("XDG_CACHE_HOME", cache);
    let started = Instant::now();
    let output = program.stderr(Stdio::inherit()).output().context("target/release/wherry")?;
    let seconds = started.elapsed().as_secs_f64();
    ensure!(output.status.success(), "wherry {words:?} ended with {}", output.status);
    Ok((seconds, serde_json::from_slice(&output.stdout)?))
}

/// Measures and prints; nothing without the demo's disk, which is said.
pub fn measure(folder: &Path, rounds: usize) -> Result<Value> {
    if !Path::new(DISK).exists() {
        println!("\n{DISK} is not there, so inspect, plan and migrate were not measured (cargo xtask image)");
        return Ok(Value::Null);
    }
    let source = format!("raw:{DISK}");
    let out = folder.join("machine");
    let to = format!("kvm:{}", out.display());
    let (mut first, mut inspect, mut plan, mut migrate) = (vec![], vec![], vec![], vec![]);
    let (mut calls, mut share) = (0.0, vec![]);
    for _ in 0..rounds {
        let cache = folder.join("cache");
        let _absent = std::fs::remove_dir_all(&cache);
        first.push(run(&["inspect", &source], &cache)?.0);
        inspect.push(run(&["inspect", &source], &cache)?.0);
        plan.push(run(&["plan", &source, "--to", &to], &cache)?.0);
        let (seconds, answer) = run(&["migrate", &source, "--to", &to], &cache)?;
        migrate.push(seconds);
        let cost = &answer["adapter-calls"];
        calls = cost["count"].as_f64().context("adapter-calls.count")?;
        share.push(cost["seconds"].as_f64().context("adapter-calls.seconds")? / seconds);
        std::fs::remove_dir_all(&out)?;
    }
    let figures = json!({
        "first-start-seconds": median(first.into_iter()),
        "inspect-seconds": median(inspect.into_iter()),
        "plan-seconds": median(plan.into_iter()),
        "migrate-seconds": median(migrate.into_iter()),
        "adapter-calls": calls,
        "adapter-calls-share": median(share.into_iter()),
    });
    println!("\nthe demo's guest, medians of {rounds} (adapter calls include what the host does for them)");
    for (name, value) in figures.as_object().into_iter().flatten() {
        println!("{name:<24} {:>10.3}", value.as_f64().unwrap_or_default());
    }
    Ok(figures)
}
