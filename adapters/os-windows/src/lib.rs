//! Windows guests: drivers from a vendor's package.

pub mod addreg;
pub mod database;
pub mod decoration;
pub mod directories;
pub mod edit;
pub mod import;
pub mod inf;
pub mod install;
pub mod package;
