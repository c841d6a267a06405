//! The verbs: what happens to a machine, step by step, with the adapters' descriptions and the host's bytes.

mod capture;
mod changes;
mod compare;
mod convert;
mod copy;
mod definition;
mod device;
mod digest;
mod error;
mod files;
mod machine;
mod pack;
mod password;
mod plan;
mod run;
mod sink;
mod source;
mod target;
mod tree;
mod unused;
mod vault;

pub use capture::{Capture, capture};
pub use compare::{Comparison, compare};
pub use copy::{Copy, copy};
pub use definition::{Card, Definition, Described};
pub use device::Grant;
pub use error::{Error, ErrorKind, Result};
pub use files::{Entry, Files};
pub use machine::{Device, Machine};
pub use password::ask;
pub use plan::{Amount, Inspection, Nic, Plan, Request, inspect, plan};
pub use run::{Arrived, Event, Outcome, Transfer, migrate, sync};
pub use source::{Image, Source, open};
pub use target::{Done, Job, Sum};
pub use tree::Tree;
pub use vault::{key_file, open_archive, open_archive_with, password_file, secret};
