//! Every test, in the order in which a failure is cheapest, with the time each step took.

use crate::{adapters, cargo, kernel, matrix, packages, run};
use anyhow::Result;
use std::time::{Duration, Instant};

/// Runs them; stops at the first step that fails.
pub fn run_tests(all: bool) -> Result<()> {
    let mut times = Times::default();
    let done = steps(all, &mut times);
    times.print();
    done
}

fn steps(all: bool, times: &mut Times) -> Result<()> {
    times.of("packages", || {
        [packages::TESTS, packages::IMAGE, packages::BOOT].into_iter().try_for_each(packages::install)
    })?;
    times.of("kernel", kernel::build)?;
    times.of("format", || run(cargo().args(["fmt", "--all", "--check"])))?;
    times.of("build", || run(cargo().args(["build", "--release", "--workspace"])))?;
    times.of("adapters", adapters::build)?;
    times.of("lints", || {
        let mut clippy = cargo();
        clippy.args(["clippy", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"]);
        run(&mut clippy)
    })?;
    times.of("tests", || run(cargo().args(["test", "--release", "--workspace", "--no-fail-fast"])))?;
    times.of("boots", || matrix::run(all, ""))
}

/// What each step took.
#[derive(Default)]
struct Times {
    steps: Vec<(&'static str, Duration, bool)>,
}

impl Times {
    fn of(&mut self, step: &'static str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        let start = Instant::now();
        let done = work();
        self.steps.push((step, start.elapsed(), done.is_ok()));
        done
    }

    fn print(&self) {
        println!();
        for (step, time, passed) in &self.steps {
            let word = if *passed { "passed" } else { "FAILED" };
            println!("{step:<10} {word} {:8.1} s", time.as_secs_f64());
        }
        let all: Duration = self.steps.iter().map(|step| step.1).sum();
        println!("{:<10} {:15.1} s", "together", all.as_secs_f64());
    }
}
