//! Windows guests of every generation.

mod exercise;
mod generations;
mod golden;
mod hostile;
mod identify;
mod profiles;
