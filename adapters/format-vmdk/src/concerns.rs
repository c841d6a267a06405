//! What keeps an image from being read, or what an operator should know of it.

use crate::descriptor::{Access, Descriptor, Kind, Line, NO_PARENT, short};
use crate::sparse::Sparse;
use wherry_sdk::bytes::little;
use wherry_sdk::{Blob, Concern, READ_MOST, Result, Severity, concern};

fn blocking(id: &str, message: String, remedy: &str) -> Concern {
    concern(Severity::Blocking, id, message, Some(remedy))
}

/// `parent`: whether the operator named one.
pub(crate) fn of_descriptor(descriptor: &Descriptor, parent: bool) -> Vec<Concern> {
    let mut found = Vec::new();
    if descriptor.has_parent() {
        found.push(of_parent(descriptor, parent));
    }
    let encrypted = |(key, value): &(String, String)| {
        key.to_ascii_lowercase().starts_with("encryption")
            || (key.eq_ignore_ascii_case("ddb.iofilters") && value.contains("vmwarevmcrypt"))
    };
    if descriptor.values.iter().any(encrypted) {
        found.push(blocking(
            "vmdk.encrypted",
            "the disk is encrypted by VMware".into(),
            "decrypt the machine in VMware first",
        ));
    }
    found
}

fn of_parent(descriptor: &Descriptor, named: bool) -> Concern {
    let cid = descriptor.parent_cid.unwrap_or(NO_PARENT);
    let name = descriptor.parent_name.as_deref().unwrap_or("not named in the image");
    if named {
        let message = format!(
            "the parent was named by the operator; whether its content id is {cid:08x}, as the image wants, is not \
             checked"
        );
        let remedy = "compare with the line `CID=` of the parent's descriptor";
        return concern(Severity::Information, "vmdk.parent-unchecked", message, Some(remedy));
    }
    blocking(
        "vmdk.parent",
        format!(
            "the image is a difference to its parent `{name}`, content id {cid:08x}, which was not named"
        ),
        "name that file as the parent, if it is yours: it is never opened because an image says so",
    )
}

/// An extent that cannot be read whatever its file holds.
pub(crate) fn of_line(line: &Line) -> Option<Concern> {
    if let Kind::Other(kind) = &line.kind {
        return Some(blocking(
            "vmdk.unknown-extent",
            format!("an extent of type `{}`: raw devices and unknown types are not read", short(kind)),
            "copy the disk into a file of its own, in VMware",
        ));
    }
    if line.access == Access::None {
        return Some(blocking(
            "vmdk.no-access",
            format!("an extent of {} sectors that nobody may read", line.sectors),
            "remove it from the descriptor, if the disk is whole without it",
        ));
    }
    if matches!(line.kind, Kind::Zero) {
        return None;
    }
    let remedy = "put the file beside the descriptor, and its plain name, in UTF-8, between the quotes";
    match line.file.as_deref() {
        None => Some(blocking("vmdk.file-name", "the name of an extent's file is not UTF-8".into(), remedy)),
        Some(name) if is_plain(name) => None,
        Some(name) => Some(blocking(
            "vmdk.file-outside",
            format!("the extent `{}` is not a file beside the image, and not opened", short(name)),
            remedy,
        )),
    }
}

/// A name that leads nowhere else, on any system.
fn is_plain(name: &str) -> bool {
    !name.contains(['/', '\\', ':', '\0']) && name != "." && !name.contains("..")
}

/// A sparse extent without a descriptor is one part of an image.
pub(crate) fn no_descriptor() -> Concern {
    blocking(
        "vmdk.no-descriptor",
        "the file is one extent of a disk and has no descriptor: which disk, and what else belongs to it, is not said"
            .into(),
        "open the descriptor, the small .vmdk file that names this one",
    )
}

/// The contract packs units of part 0 only.
pub(crate) fn compressed_file(line: &Line) -> Concern {
    blocking(
        "vmdk.compressed-extent",
        format!("the extent `{}` is compressed and not the image itself", name(line)),
        "convert the disk with VMware's tools or `qemu-img convert`",
    )
}

pub(crate) fn large_grains(grain: u64) -> Concern {
    blocking(
        "vmdk.large-grains",
        format!("compressed grains of {grain} bytes: at most 2 MiB are read"),
        "convert it with the program that made it",
    )
}

pub(crate) fn other_capacity(line: &Line, capacity: u64) -> Concern {
    blocking(
        "vmdk.other-capacity",
        format!(
            "the extent `{}` has {capacity} sectors, and its descriptor says {}",
            name(line),
            line.sectors
        ),
        "find the descriptor that belongs to these files",
    )
}

pub(crate) fn short_file(line: &Line, size: u64) -> Concern {
    blocking(
        "vmdk.short-file",
        format!(
            "the extent `{}` has {size} bytes: {} sectors from sector {} on are not in it",
            name(line),
            line.sectors,
            line.offset
        ),
        "copy the file again, and compare the lengths",
    )
}

fn name(line: &Line) -> String {
    short(line.file.as_deref().unwrap_or_default())
}

/// Bytes of two directories that are compared: 8 TiB of disk with 64 KiB grains.
const COMPARED_MOST: u64 = READ_MOST as u64;

/// Whether the redundant directory has to help out: it is compared up to 1 MiB, and used beyond that without a word.
pub(crate) fn of_directories(file: &dyn Blob, sparse: &Sparse) -> Result<Option<Concern>> {
    let damaged = match sparse.directories() {
        Directories::One => 0,
        Directories::RedundantOnly => sparse.directory_entries(),
        Directories::Both(first, second) => {
            let length = (sparse.directory_entries() * 4).min(COMPARED_MOST) as u32;
            let (first, second) = (file.read(first, length)?, file.read(second, length)?);
            let pairs = first.chunks_exact(4).zip(second.chunks_exact(4));
            let worse = |(one, two): &(&[u8], &[u8])| {
                sparse.prefers_second(file, little(one, 0, 4), little(two, 0, 4))
            };
            pairs.filter(worse).count() as u64
        }
    };
    let message =
        || format!("{damaged} entries of the grain directory are damaged: the redundant one is used");
    let remedy = Some("compare the copy with the machine; `vmware-vdiskmanager -R` repairs a disk");
    Ok((damaged > 0).then(|| concern(Severity::Warning, "vmdk.damaged-directory", message(), remedy)))
}

/// Which grain directories of an extent are in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Directories {
    One,
    RedundantOnly,
    Both(u64, u64),
}
