//! Moves a disk into a file: parallel, sparse, resumable after a kill at any point.

mod engine;
mod error;
mod journal;
mod layout;
#[cfg(test)]
mod tests;

pub use engine::{Options, Progress, Report, Stage, run};
pub use error::{Error, ErrorKind, Result};
pub use layout::{Codec, Ending, Layout, Raw, Shape, Unit};
