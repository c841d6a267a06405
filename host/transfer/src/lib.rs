//! Moves a disk into a file or onto a device: parallel, sparse, compressed if the format wants it, verified, and resumed
//! after a kill at any point.

mod desks;
mod engine;
mod error;
mod held;
mod journal;
mod layout;
mod pack;
mod parts;
mod progress;
mod read;
mod ring;
mod run;
mod same;
mod since;
mod sink;
mod target;
#[cfg(test)]
mod tests;
mod verify;

pub use engine::Options;
pub use error::{Error, ErrorKind, Result};
pub use held::is_incomplete;
pub use layout::{Codec, Ending, Layout, Part, Raw, Shape, Unit};
pub use progress::{Progress, Stage};
pub use run::{Report, run};
pub use target::Target;
