//! Hives that hivex wrote, logs of every kind, and damaged ones. `hivexregedit` comes with Debian's `libwin-hivex-perl`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod bcd;
mod checker;
mod edit;
mod exercise;
mod hives;
mod hostile;
mod logs;
mod model;
mod read;
mod text;
