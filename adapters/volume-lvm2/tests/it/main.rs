//! Volume groups made by lvm2 on loop devices (root is needed) and by hand, read by the adapter.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod exercise;
mod groups;
mod hostile;
mod lab;
mod linux;
mod made;
mod metadata;
mod refusals;
