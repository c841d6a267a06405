//! What keeps an image from being read, or what an operator should know of it.

use crate::header::{Header, incompatible};
use wherry_sdk::{Concern, Severity, concern};

/// `parent`: whether the operator named one.
pub(crate) fn concerns(header: &Header, snapshots: &[String], parent: bool) -> Vec<Concern> {
    let mut found = Vec::new();
    unreadable(header, &mut found);
    if let Some(name) = header.backing_file.as_deref().filter(|_| !parent) {
        found.push(concern(
            Severity::Blocking,
            "qcow2.backing-file",
            format!("the image is a difference to the backing file `{name}`, which was not named"),
            Some("name that file as the parent, if it is yours: it is never opened because an image says so"),
        ));
    }
    if header.snapshots.entries > 0 {
        let (count, names) = (header.snapshots.entries, snapshots.join("`, `"));
        found.push(concern(
            Severity::Blocking,
            "qcow2.internal-snapshots",
            format!("the image has {count} internal snapshots, which would be lost: `{names}`"),
            Some(
                "delete them with `qemu-img snapshot -d`, or copy the current state with `qemu-img convert`",
            ),
        ));
    }
    if header.has(incompatible::DIRTY) {
        found.push(concern(
            Severity::Warning,
            "qcow2.dirty",
            "the image was not closed: its refcounts may be stale and are not checked",
            Some("make sure that no machine is using it; `qemu-img check -r all` clears the mark"),
        ));
    }
    if header.has(incompatible::CORRUPT) {
        found.push(concern(
            Severity::Warning,
            "qcow2.marked-corrupt",
            "QEMU has found this image to be corrupt and marked it",
            Some("look at it with `qemu-img check`; `-r all` repairs what can be repaired"),
        ));
    }
    found
}

/// Features that give the tables or the data another meaning.
fn unreadable(header: &Header, found: &mut Vec<Concern>) {
    let mut refuse = |id, message: String, remedy| {
        found.push(concern(Severity::Blocking, id, message, Some(remedy)));
    };
    let encryption = match header.encryption {
        0 => None,
        1 => Some("AES".to_string()),
        2 => Some("LUKS".to_string()),
        other => Some(format!("an unknown method, {other}")),
    };
    if let Some(method) = encryption {
        refuse(
            "qcow2.encrypted",
            format!("the image is encrypted with {method}"),
            "decrypt a copy with `qemu-img convert --object secret,...`",
        );
    }
    if header.has(incompatible::DATA_FILE) {
        let name = header.extensions.data_file.as_deref().unwrap_or("not named in the image");
        refuse(
            "qcow2.external-data-file",
            format!("the data is in an external file: `{name}`"),
            "put it into one file with `qemu-img convert -O qcow2`",
        );
    }
    if header.compression_type > 1 {
        refuse(
            "qcow2.unknown-compression",
            format!("compression type {}: only 0 (zlib) and 1 (zstd) are known", header.compression_type),
            "convert it with the QEMU that made it: `qemu-img convert -O qcow2`",
        );
    }
    let unknown = header.incompatible & !incompatible::KNOWN;
    if unknown != 0 {
        let names: Vec<String> =
            (0..64).filter(|bit| unknown >> bit & 1 == 1).map(|bit| feature(header, bit)).collect();
        refuse(
            "qcow2.unknown-feature",
            format!("the image needs features that are not known here: {}", names.join(", ")),
            "convert it with the program that made it, to qcow2 without them",
        );
    }
}

/// The name in the image's feature name table, or the bit.
fn feature(header: &Header, bit: u8) -> String {
    let named = header.extensions.features.iter().find(|(number, _)| *number == bit);
    named.map_or_else(|| format!("incompatible bit {bit}"), |(_, name)| format!("`{name}` (bit {bit})"))
}
