//! LVM2 linear and striped logical volumes.
