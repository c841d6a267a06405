//! os-linux against real guests' files.

mod initramfs;
mod initramfs_exercise;
mod initramfs_guest;
mod initramfs_hostile;
