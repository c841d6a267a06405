//! Windows guests: drivers from a vendor's package.

pub mod decoration;
pub mod inf;
