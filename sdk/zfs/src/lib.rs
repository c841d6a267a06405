//! What a ZFS device says of itself and of its pool: the labels, for the adapter that joins a pool's devices and for the one
//! that reads the pool.
//!
//! Four labels of 256 KiB, two at the start of a device and two at its end, each with the same name-value list: the pool, and
//! the tree of the top-level vdev that the device is a leaf of. Sources: "ZFS On-Disk Specification" (Sun, 2006), chapter 1;
//! OpenZFS' `include/sys/vdev_impl.h`, `module/zfs/vdev_label.c`, and `module/nvpair/nvpair.c` for the lists in XDR.
//!
//! How devices of one pool are joined, so that both adapters agree: see [`Label::member_length`] and [`Label::pieces`].

pub mod edit;
mod label;
mod nvlist;
mod seal;
mod vdev;

pub use label::{AREA, END, FRONT, Label, NVLIST, NVLIST_LENGTH, STATE_DESTROYED, STATE_EXPORTED, places};
pub use nvlist::{List, Value};
pub use seal::{MAGIC as SEAL_MAGIC, TRAILER, is_sealed, seal};
pub use vdev::Vdev;
