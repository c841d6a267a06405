//! VMware virtual disks, after VMware's "Virtual Disk Format 5.0" ("the specification" in comments); seSparse, which
//! it does not describe, after QEMU's block/vmdk.c.

mod bytes;
mod concerns;
mod cowd;
mod descriptor;
mod disk;
mod grains;
mod hosted;
mod map;
mod monolithic;
mod options;
mod pages;
mod reader;
mod sesparse;
mod share;
mod sparse;
mod stream;
mod writer;

use wherry_sdk::DiskFormat;

/// The `vmdk` format.
pub struct Vmdk;

impl DiskFormat for Vmdk {
    type Reader = reader::Reader;
    type Writer = writer::Writer;

    fn probe(head: &[u8], _tail: &[u8]) -> Option<String> {
        reader::variant(head)
    }
}

wherry_sdk::register_disk_format!(Vmdk, "../adapter.toml");
