//! Windows guests of every generation.
#![allow(clippy::unwrap_used, reason = "tests")]

mod cabinet;
mod driver_import;
mod exercise;
mod first_boot;
mod generations;
mod golden;
mod hal;
mod hostile;
mod identify;
mod inf_exercise;
mod inf_hostile;
mod leaving;
mod media;
mod network;
mod odd;
mod packages;
mod packed_exercise;
mod profiles;
mod program;
mod signature;
