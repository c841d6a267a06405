//! OVF and OVA packages as other writers lay them out, and damaged ones.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod container;
mod exercise;
mod hostile;
mod lab;
mod refusals;
mod writers;
