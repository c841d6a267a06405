//! Disks against models of them.
#![allow(clippy::unwrap_used, reason = "tests")]

mod changes;
#[cfg(test)]
mod codec;
mod exercise;
mod hostile;
#[cfg(test)]
mod layers;
#[cfg(test)]
mod luks;
#[cfg(test)]
mod mapped;
#[cfg(test)]
mod model;
