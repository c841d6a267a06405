//! A volume group on a loop device, without the kernel's device mapper: `lvcreate` would want to activate its volume, so
//! the logical volumes are written into the text of `vgcfgbackup` and put back by `vgcfgrestore`.

use crate::loops::Loop;
use crate::{quiet, root};
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;
use std::process::Command;

/// `pvcreate`'s default start of the first extent, and `vgcreate`'s default size of one.
const FIRST_EXTENT: u64 = 1 << 20;
const EXTENT: u64 = 4 << 20;
const SWAP_EXTENTS: u64 = 16;

/// Where the logical volumes lie on the disk, in bytes.
pub struct Volumes {
    pub root: u64,
    pub root_size: u64,
    pub swap: u64,
    pub swap_size: u64,
}

/// Everything here that decides what a disk holds.
pub fn recipe() -> String {
    format!("{FIRST_EXTENT} {EXTENT} {SWAP_EXTENTS}{}", volume("root", "", 0, 0))
}

/// Where the volumes of a physical volume lie that is this part of the disk.
pub fn volumes(offset: u64, size: u64) -> Volumes {
    let extents = (size - FIRST_EXTENT) / EXTENT - SWAP_EXTENTS;
    let root = offset + FIRST_EXTENT;
    let root_size = extents * EXTENT;
    Volumes { root, root_size, swap: root + root_size, swap_size: SWAP_EXTENTS * EXTENT }
}

/// Makes the physical volume, the group `vg0` and its volumes `root` and `swap`.
pub fn create(disk: &Path, offset: u64, size: u64) -> Result<Volumes> {
    let made = volumes(offset, size);
    let root_extents = made.root_size / EXTENT;
    let device = Loop::attach(disk, offset, size)?;
    lvm(&device, "pvcreate", &["--dataalignment", "1m", &device.path])?;
    lvm(&device, "vgcreate", &["vg0", &device.path])?;
    let text = root().join(".work/vg0.txt");
    let path = text.to_str().context("the checkout's path is no UTF-8")?;
    lvm(&device, "vgcfgbackup", &["-f", path, "vg0"])?;
    let group = fs::read_to_string(&text)?;
    let volumes = format!(
        "logical_volumes {{\n{}{}}}\n",
        volume("root", "VgRoot", 0, root_extents),
        volume("swap", "VgSwap", root_extents, SWAP_EXTENTS)
    );
    // The last brace closes the group.
    let end = group.rfind('}').context("vgcfgbackup wrote no group")?;
    fs::write(&text, format!("{}{volumes}}}\n", &group[..end]))?;
    lvm(&device, "vgcfgrestore", &["-f", path, "vg0"])?;
    Ok(made)
}

/// One linear volume; its UUID has the form that LVM wants and says whose it is.
fn volume(name: &str, id: &str, start: u64, count: u64) -> String {
    format!(
        "{name} {{\nid = \"{id:0<6}-0000-0000-0000-0000-0000-000000\"\n\
         status = [\"READ\", \"WRITE\", \"VISIBLE\"]\nflags = []\nsegment_count = 1\n\
         segment1 {{\nstart_extent = 0\nextent_count = {count}\ntype = \"striped\"\nstripe_count = 1\n\
         stripes = [\"pv0\", {start}]\n}}\n}}\n"
    )
}

/// A command of LVM that sees this device only and leaves no trace in /etc.
fn lvm(device: &Loop, program: &str, words: &[&str]) -> Result<()> {
    let config = format!(
        "devices {{ use_devicesfile=0 filter=[\"a|^{}$|\", \"r|.*|\"] }} \
         backup {{ backup=0 archive=0 }} activation {{ monitoring=0 }} global {{ event_activation=0 }}",
        device.path
    );
    quiet(Command::new(Path::new("/sbin").join(program)).args(["--config", &config]).args(words))?;
    Ok(())
}
