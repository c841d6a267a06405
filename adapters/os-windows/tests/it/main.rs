//! Windows guests of every generation.

mod generations;
mod golden;
mod identify;
mod profiles;
