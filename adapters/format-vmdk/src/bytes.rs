//! What the other files count in.

/// Bytes of a sector: what offsets in VMDK count.
pub(crate) const SECTOR: u64 = 512;

/// A value, or what is wrong with it.
pub(crate) type Checked<T> = Result<T, &'static str>;
