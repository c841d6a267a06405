//! Hives that hivex wrote, logs of every kind, and damaged ones. `hivexregedit` comes with Debian's `libwin-hivex-perl`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod edit;
mod hives;
mod hostile;
mod logs;
mod read;
