//! The nouns that every room of the host shares. No I/O, no clock, no Wasm.

use serde::{Deserialize, Serialize};

/// One thing known about an object: a documented key and plain text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// Documented where it is produced.
    pub key: String,
    /// Plain text.
    pub value: String,
}

/// How much a concern weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The migration must not start.
    Blocking,
    /// It works, but differently from what one would expect.
    Warning,
    /// Good to know.
    Information,
}

/// Something an operator has to know before a byte is copied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Concern {
    /// Stable identifier, such as `linux.initramfs.module-missing`.
    pub id: String,
    /// Its weight.
    pub severity: Severity,
    /// What is the matter.
    pub message: String,
    /// What the operator can do about it.
    pub remedy: Option<String>,
}

/// One change made to the guest, in the overlay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// write, modify, append, rename, remove, make-directory, make-symlink; of a disk: lengthen, add-partition, format or write-boot-code.
    pub action: String,
    /// The guest's path, or a disk's name.
    pub object: String,
    /// Why, in the adapter's words.
    pub reason: String,
    /// The content before, where it is text of at most 64 KiB.
    pub before: Option<String>,
    /// The content after, likewise; for binary content its size in words.
    pub after: Option<String>,
    /// Why the file system refuses it, so that it is not in the copy; a concern says whether the guest makes it itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// What the guest will find on the other side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DeviceProfile {
    /// bios, uefi or uefi-secure-boot.
    pub firmware: String,
    /// virtio-blk, virtio-scsi, ahci, nvme, ...
    pub disk_bus: String,
    /// virtio-net, e1000, ...
    pub nic_model: String,
    /// x86_64, aarch64.
    pub architecture: String,
    /// i440fx, q35, ...
    pub machine: String,
    /// Further properties, such as `serial-console`.
    pub facts: Vec<Fact>,
}

/// A device found in the source's disks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Unique within the machine: `disk:0`, `mbr:1`, `lvm:vg/root`.
    pub id: String,
    /// disk, partition or logical-volume.
    pub kind: String,
    /// Bytes.
    pub size: u64,
    /// Keys as in `wit/tree.wit`.
    pub facts: Vec<Fact>,
}

/// The operating system on the disks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatingSystem {
    /// linux, windows, solaris.
    pub family: String,
    /// os-release ID.
    pub id: String,
    /// For people.
    pub product: String,
    /// Version number.
    pub version: String,
    /// x86_64, aarch64.
    pub architecture: String,
    /// The guest's own name.
    pub hostname: Option<String>,
    /// Everything else that was found.
    pub facts: Vec<Fact>,
}

/// The value of the first fact called `key`.
pub fn find<'a>(facts: &'a [Fact], key: &str) -> Option<&'a str> {
    facts.iter().find(|fact| fact.key == key).map(|fact| fact.value.as_str())
}
