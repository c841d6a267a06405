//! qcow2 v2 and v3 disk images.
