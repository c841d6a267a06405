//! What LUKS headers are taken for, and that the host opens what is described.

mod damaged;
mod exercise;
mod headers;
mod opened;
