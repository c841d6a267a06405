//! Whole guests of many releases, adapted to many machines.

mod archive;
mod exercise;
mod golden;
mod guests;
mod hostile;
mod hsfs;
mod hsfs_exercise;
mod identify;
mod odd;
