//! Areas that mkswap makes, what blkid says of them, and what sleeps in them.

#![expect(clippy::unwrap_used, reason = "a test says what failed by failing")]

mod exercise;
mod hostile;
mod lab;
mod naming;
mod used;
