//! The native test bench, as strict as the host: blobs in memory and over a file, a guest's tree in memory, repeatable
//! damage.

mod blob;
pub mod image;
mod random;
mod tree;

pub use blob::{FileBlob, MemoryBlob};
pub use random::{Random, damage};
pub use tree::{Edit, MemoryTree, MemoryVolume};
