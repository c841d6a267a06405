//! Windows registry hives (regf), read and edited as they lie in a guest: only the pages that are asked for, with the transaction logs
//! of a hive that was not closed applied in memory. "The specification" in comments is msuhanov/regf, "Windows registry file
//! format specification"; where it is silent, libyal/libregf's.
//!
//! Every offset in a hive counts from the end of its base block. Nothing in a hive is believed: a cell that leaves its place,
//! a list that does not end and a count that cannot be are errors that name the offset.
//!
//! Versions: 1.2 to 1.6 are read and edited. 1.3 (NT 4.0 to Server 2003, and small hives of all later ones), 1.5 and 1.6 were
//! compared with hives that Windows wrote; of 1.2 (NT 3.51) and 1.4 there are none to compare with, and they follow the
//! specification: no fast leaves before 1.3, big data from 1.4 on, hash leaves from 1.5 on. 1.1 (NT 3.1 and 3.5) is only read,
//! by the specification alone.
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
