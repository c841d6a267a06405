//! Windows registry hives (regf), read as they lie in a guest: only the pages that are asked for, with the transaction logs
//! of a hive that was not closed applied in memory. "The specification" in comments is msuhanov/regf, "Windows registry file
//! format specification"; where it is silent, libyal/libregf's.
//!
//! Every offset in a hive counts from the end of its base block. Nothing in a hive is believed: a cell that leaves its place,
//! a list that does not end and a count that cannot be are errors that name the offset.

mod base;
mod bytes;
mod hive;
mod key;
mod list;
mod log;
mod marvin;
mod name;
mod pages;
mod value;

pub use hive::Hive;
pub use key::Key;
pub use name::Name;
pub use pages::Storage;
pub use value::{Kind, Value};
