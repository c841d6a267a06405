//! What a file system adapter's tests need: every call on any bytes, trees of files read by the adapter and by others,
//! ranges in use, and random changes against a model.

mod exercise;
mod files;
mod model;
mod sequences;
mod used;

pub use exercise::{Exercise, exercise};
pub use files::{
    Content, Contents, Files, Node, assert_same, attributes, contents, from_adapter, from_directory, read_all,
};
pub use model::{Habits, Model};
pub use sequences::sequences;
pub use used::{copy_used, used};
