//! QEMU's images, read by us.

use crate::disk::{Disk, PATTERNS};
use crate::host;
use crate::qemu::{self, text};
use tempfile::tempdir;
use wherry_sdk::{FormatReader, find};

const MIB: u64 = 1 << 20;
const SUBFORMATS: [&str; 5] =
    ["monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "streamOptimized"];

#[test]
fn converted_images_of_every_kind_read_as_their_source() {
    for subformat in SUBFORMATS {
        for size in [512, 3 * MIB + 512, 40 * MIB] {
            for pattern in PATTERNS {
                let folder = tempdir().unwrap();
                let (raw, vmdk) = (folder.path().join("a.raw"), folder.path().join("a.vmdk"));
                Disk::new(size, pattern, size).write_raw(&raw);
                let options = format!("subformat={subformat}");
                qemu::img(&["convert", "-f", "raw", "-O", "vmdk", "-o", &options, text(&raw), text(&vmdk)]);
                assert!(
                    host::decode(&vmdk, 9) == std::fs::read(&raw).unwrap(),
                    "{options} {size} {pattern:?}"
                );
                let facts = host::open(&vmdk, None).unwrap().reader.facts();
                assert_eq!(find(&facts.facts, "create-type"), Some(subformat));
                assert_eq!(facts.variant_name, format!("VMDK {subformat}"));
                assert!(facts.concerns.is_empty(), "{:?}", facts.concerns);
            }
        }
    }
}
