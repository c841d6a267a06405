//! The adapter against an output directory on disk, `xmllint` and `sha256sum`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod bench;
mod choice;
mod claim;
mod packages;
