//! Whole guests of many releases, adapted to many machines.

mod exercise;
mod golden;
mod guests;
mod hostile;
mod identify;
mod odd;
