//! Disks over the network: the NBD protocol (`doc/proto.md` of NetworkBlockDevice/nbd, "the specification"), as a
//! client whose exports are [`block::Disk`]s, and as a server for any of them.

mod address;
mod client;
mod handshake;
mod link;
mod server;
mod stream;
mod tls;
mod wire;

pub use address::{Address, Place, Tls};
pub use client::NbdDisk;
pub use server::{Export, Server};
pub use tls::ServerTls;
