//! VDI disk images, after VirtualBox's `src/VBox/Storage/VDICore.h` and QEMU's `block/vdi.c`.

mod header;
mod reader;
mod writer;

use wherry_sdk::DiskFormat;

/// The `vdi` format.
pub struct Vdi;

impl DiskFormat for Vdi {
    type Reader = reader::Reader;
    type Writer = writer::Writer;

    fn probe(head: &[u8], _tail: &[u8]) -> Option<String> {
        header::variant(head)
    }
}

wherry_sdk::register_disk_format!(Vdi, "../adapter.toml");
