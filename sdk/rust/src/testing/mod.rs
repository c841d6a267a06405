//! The native test bench, as strict as the host: blobs in memory and over a file, a guest's tree in memory, an output
//! directory, repeatable damage, a kernel to compare with, and what adapters of one kind test alike.

mod blob;
pub mod filesystem;
pub mod image;
pub mod kernel;
mod mount;
mod output;
mod random;
pub mod target;
mod tool;
mod tree;
pub mod volume;

pub use blob::{FileBlob, MemoryBlob};
pub use mount::{Mount, can_fuse, can_loop};
pub use output::Directory;
pub use random::{Random, damage, noise};
pub use tool::{run, run_to};
pub use tree::{Edit, MemoryTree, MemoryVolume};
