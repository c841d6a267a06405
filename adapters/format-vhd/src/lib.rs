//! VHD disk images, after Microsoft's "Virtual Hard Disk Image Format Specification" 1.0 ("the specification" in
//! comments) and QEMU's `block/vpc.c`.

mod bitmaps;
mod footer;
mod header;
mod options;
mod reader;
mod writer;

use wherry_sdk::DiskFormat;

/// The `vhd` format.
pub struct Vhd;

impl DiskFormat for Vhd {
    type Reader = reader::Reader;
    type Writer = writer::Writer;

    /// A fixed image is known by its end alone.
    fn probe(head: &[u8], tail: &[u8]) -> Option<String> {
        let end = tail.len().checked_sub(footer::LENGTH as usize).and_then(|at| tail.get(at..));
        let name = |bytes: &[u8]| footer::Footer::parse(bytes).map(|footer| footer.kind.variant().to_owned());
        end.and_then(name).or_else(|| name(head.get(..footer::LENGTH as usize)?))
    }
}

wherry_sdk::register_disk_format!(Vhd, "../adapter.toml");
