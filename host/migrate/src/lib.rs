//! The verbs: what happens to a machine, step by step, with the adapters' descriptions and the host's bytes.

mod machine;
mod tree;

pub use machine::{Device, Machine, identify};
pub use tree::Tree;
