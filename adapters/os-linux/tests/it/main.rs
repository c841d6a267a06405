//! os-linux against real guests' files.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod clouds;
mod concerns;
mod core_image;
mod current;
mod debian;
mod debians;
mod deferred;
mod enterprise;
mod exercise;
mod firmware;
mod golden;
mod hostile;
mod initramfs;
mod initramfs_exercise;
mod initramfs_guest;
mod initramfs_hostile;
mod legacy;
mod lent_exercise;
mod modules;
mod nash;
mod network;
mod others;
mod red_hat;
mod slots;
mod suse;
mod system;
mod unified;
