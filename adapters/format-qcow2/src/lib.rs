//! qcow2 v2 and v3 disk images, after QEMU's docs/interop/qcow2 ("the specification" in comments).

mod bitmaps;
mod concerns;
mod header;
mod l2;
mod map;
mod metadata;
mod pages;
mod placement;
mod reader;
mod refcounts;
mod snapshots;
mod tables;
mod tail;
mod writer;

use wherry_sdk::DiskFormat;

/// The `qcow2` format.
pub struct Qcow2;

impl DiskFormat for Qcow2 {
    type Reader = reader::Reader;
    type Writer = writer::Writer;

    fn probe(head: &[u8], _tail: &[u8]) -> Option<String> {
        header::variant(head)
    }
}

wherry_sdk::register_disk_format!(Qcow2, "../adapter.toml");
