//! Raw images: logical byte N is file byte N.

mod reader;
mod writer;

use wherry_sdk::DiskFormat;

/// The `raw` format.
pub struct Raw;

impl DiskFormat for Raw {
    type Reader = reader::Reader;
    type Writer = writer::Writer;

    /// Anything could be raw, so nothing is recognised: an operator says `raw`.
    fn probe(_head: &[u8], _tail: &[u8]) -> Option<String> {
        None
    }
}

wherry_sdk::register_disk_format!(Raw, "../adapter.toml");
