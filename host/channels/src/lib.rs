//! The network. Disks: the NBD protocol (`doc/proto.md` of NetworkBlockDevice/nbd, "the specification"), as a client whose
//! exports are [`block::Disk`]s, and as a server for any of them. Servers that adapters ask: an HTTP client that keeps their
//! secrets.

mod address;
mod answer;
mod client;
mod handshake;
mod http;
mod link;
mod login;
mod ntlm;
mod origin;
mod sealed;
mod secret;
mod server;
mod stream;
mod tls;
mod trust;
mod watch;
mod wire;

pub use address::{Address, Place, Tls};
pub use answer::Answer;
pub use client::NbdDisk;
pub use http::{Call, Client, Failure, Trouble};
pub use origin::Origin;
pub use secret::{Kind, Secret};
pub use server::{Export, Server};
pub use tls::ServerTls;
pub use trust::{Server as Peer, Trust};
