//! Windows guests.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod driver_import;
mod inf_exercise;
mod inf_hostile;
mod packages;
