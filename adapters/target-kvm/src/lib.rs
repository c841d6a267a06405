//! KVM machines as libvirt and QEMU run them.
