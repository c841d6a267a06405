//! Groups of dynamic disks, made by the documents, read by the adapter and by ldmtool.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod exercise;
mod groups;
mod hostile;
mod made;
mod refusals;
