//! The adapter against an output directory on disk and a parser of PowerShell.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod bench;
mod choice;
mod claim;
mod exercise;
mod golden;
mod hostile;
mod live;
mod recorded;
mod syntax;
mod winrm;
