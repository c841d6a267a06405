//! LILO, which looks for nothing: a map made by its own program says in which sectors kernel, initramfs and command line are, and
//! the device of the root is in it as a number (lilo.conf(5), "root", "map"). A disk that is copied bit by bit starts as before;
//! what has to change needs LILO's program, and so the guest. Neither the map nor the files in it are changed here.

use crate::devices::unstable;
use crate::entries::Entry;
use crate::work::Work;

/// Its settings.
pub const FILE: &str = "/etc/lilo.conf";
/// What to do about it.
pub const REMEDY: &str = "install GRUB in the guest before the move, or choose a disk bus whose driver the initramfs has and \
                          whose disks have the same names";

/// Says where the root would have another number.
pub fn adapt(work: &mut Work<'_>, entries: &[Entry]) {
    for entry in entries.iter().filter(|entry| entry.mapped()) {
        let root = entry.arguments.split(' ').find_map(|word| word.strip_prefix("root="));
        let Some(root) = root.filter(|root| unstable(root)) else { continue };
        let new = work.devices.resolve(root).and_then(|device| work.devices.kernel_name(device, work.bus));
        if new.as_deref() == Some(root) {
            continue;
        }
        let new = new.unwrap_or_else(|| "no disk here".to_owned());
        let message = format!(
            "LILO's map starts {} with the device number of {root}, which will be {new}",
            entry.title
        );
        if entry.default {
            work.block("linux.lilo.root", message, REMEDY);
        } else {
            work.warn("linux.lilo.root", message, REMEDY);
        }
    }
}
