//! The native test bench, as strict as the host: blobs in memory and over a file, a guest's tree in memory, an output
//! directory, repeatable damage, a kernel to compare with.

mod blob;
pub mod image;
pub mod kernel;
mod output;
mod random;
mod tree;

pub use blob::{FileBlob, MemoryBlob};
pub use output::Directory;
pub use random::{Random, damage};
pub use tree::{Edit, MemoryTree, MemoryVolume};
