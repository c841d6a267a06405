//! Windows registry hives (regf), read and edited as they lie in a guest: only the pages that are asked for, with the transaction logs
//! of a hive that was not closed applied in memory. "The specification" in comments is msuhanov/regf, "Windows registry file
//! format specification"; where it is silent, libyal/libregf's.
//!
//! Every offset in a hive counts from the end of its base block. Nothing in a hive is believed: a cell that leaves its place,
//! a list that does not end and a count that cannot be are errors that name the offset.
//!
//! Edits are made in memory too, and handed out as ranges of the file that changed:
//!
//! ```
//! use wherry_registry::{Hive, Kind, data};
//!
//! let mut hive = Hive::empty(5)?;
//! hive.set(r"ControlSet001\Services\storahci", "Start", Kind::DWORD, &data::dword(0))?;
//! let taken = hive.take(r"HKEY_LOCAL_MACHINE\SYSTEM")?;
//! assert!(taken.change.after.ends_with("\"Start\"=dword:00000000\n"));
//! # Ok::<(), wherry_sdk::Error>(())
//! ```

mod base;
pub mod bcd;
mod bytes;
mod cells;
pub mod data;
pub mod device;
mod edit;
mod empty;
mod hive;
mod index;
mod journal;
mod key;
mod list;
mod log;
mod marvin;
mod name;
mod pages;
mod reg;
mod store;
mod take;
mod tree;
mod value;

pub use hive::Hive;
pub use key::Key;
pub use name::Name;
pub use pages::Storage;
pub use take::Taken;
pub use value::{Kind, Value};
