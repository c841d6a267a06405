//! VHDX disk images, after Microsoft's [MS-VHDX] ("Virtual Hard Disk v2 File Format", sections in comments) and QEMU's
//! `block/vhdx.c` and `block/vhdx-log.c`.

mod bitmaps;
mod header;
mod log;
mod metadata;
mod options;
mod reader;
mod regions;
mod replay;
mod table;
mod writer;

use wherry_sdk::DiskFormat;

/// The `vhdx` format.
pub struct Vhdx;

impl DiskFormat for Vhdx {
    type Reader = reader::Reader;
    type Writer = writer::Writer;

    /// The kind of image is said far behind the first 64 KiB.
    fn probe(head: &[u8], _tail: &[u8]) -> Option<String> {
        head.starts_with(header::SIGNATURE).then(|| "vhdx".into())
    }
}

wherry_sdk::register_disk_format!(Vhdx, "../adapter.toml");
