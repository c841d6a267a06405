//! How long it takes to inspect and to plan each kind of source disk, with everything in the caches.

use crate::firmware::Firmware;
use crate::image::{self, KINDS, Kind, Layout};
use crate::{luks, quiet, root, wherry};
use anyhow::Result;
use std::time::Instant;

/// Runs of each, of which the median counts; one before them warms the caches.
const ROUNDS: usize = 5;

/// Measures every kind and prints a table, in seconds.
pub fn bench() -> Result<()> {
    let mut lines = Vec::new();
    for kind in &KINDS {
        image::build(kind)?;
        let to = format!("kvm:{}", root().join(".work/bench-families").display());
        let inspect = median(kind, &["inspect"], &[])?;
        let plan = median(kind, &["plan"], &["--to", &to, "--name", "bench"])?;
        lines.push(format!("{:<14} {inspect:>8.3} {plan:>8.3}", kind.name));
    }
    println!("\n{:<14} {:>8} {:>8}\n{}", "disk", "inspect", "plan", lines.join("\n"));
    Ok(())
}

fn median(kind: &Kind, verb: &[&str], more: &[&str]) -> Result<f64> {
    let folder = root().join(".work/bench-families");
    std::fs::create_dir_all(&folder)?;
    let mut seconds = Vec::new();
    for round in 0..=ROUNDS {
        let mut command = wherry();
        command.args(verb).arg(format!("raw:{}", kind.path().display())).args(more);
        if kind.layout == Layout::Luks {
            command.args(["--key", &luks::lent(&folder)?]);
        }
        // it has no loader of its own
        if kind.layout == Layout::Pygrub && verb.contains(&"plan") {
            Firmware::Bios.ask(&mut command);
        }
        let start = Instant::now();
        quiet(&mut command)?;
        if round > 0 {
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    seconds.sort_by(f64::total_cmp);
    Ok(seconds.get(ROUNDS / 2).copied().unwrap_or_default())
}
