//! Arrays that Linux made and filled, arrays made by the documents, damaged ones.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod arrays;
mod exercise;
mod hostile;
mod made;
mod refusals;
