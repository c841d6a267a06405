//! The vSphere API (`vim25`) over SOAP: as much of it as it takes to make one machine.

pub mod inventory;
pub mod lease;
pub mod machines;
pub mod property;
pub mod session;
pub mod soap;
pub mod spec;
