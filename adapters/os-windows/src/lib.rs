//! Windows guests: drivers from a vendor's package.

pub mod addreg;
pub mod decoration;
pub mod directories;
pub mod edit;
pub mod inf;
pub mod install;
