//! `cargo xtask`: the project commands.
fn main() {}
