//! QEMU's images, read by us.
