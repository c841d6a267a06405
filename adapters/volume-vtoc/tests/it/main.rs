//! Labels that sfdisk made, labels made by the documents, read by the adapter and by partx; damaged ones.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod exercise;
mod hostile;
mod labels;
mod made;
