//! The archive from outside: what is captured is read again, whatever happens in between.
#![allow(clippy::unwrap_used, reason = "tests")]

mod broken;
mod capture;
mod damage;
mod keys;
mod kills;
mod machine;
mod prune;
mod s3;
mod store;
