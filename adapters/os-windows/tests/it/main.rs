//! Windows guests of every generation.
#![allow(clippy::unwrap_used, reason = "tests")]

mod driver_import;
mod exercise;
mod generations;
mod golden;
mod hostile;
mod identify;
mod inf_exercise;
mod inf_hostile;
mod packages;
mod profiles;
