//! The X server's configuration, where it names the screen or the mouse of the old hypervisor (xorg.conf(5)).

use crate::files::{exists, text};
use crate::work::Work;
use wherry_sdk::Result;

const REASON: &str = "the X server's driver belongs to the display of the old hypervisor";
const SCREENS: [&str; 4] = ["vmware", "vmwgfx", "vboxvideo", "prlvideo"];
const MICE: [&str; 3] = ["vmmouse", "vboxmouse", "prlmouse"];

/// Drivers that every machine has take their place.
pub fn adapt(work: &mut Work<'_>) -> Result<()> {
    let drivers = ["/usr/lib64/xorg/modules/drivers", "/usr/lib/xorg/modules/drivers"];
    let modern = drivers.iter().any(|folder| exists(work.guest, &format!("{folder}/modesetting_drv.so")));
    let screen = if modern { "modesetting" } else { "vesa" };
    for path in ["/etc/X11/xorg.conf", "/etc/X11/XF86Config", "/etc/X11/XF86Config-4"] {
        let Some(old) = text(work.guest, path) else { continue };
        let new: String = old.split_inclusive('\n').map(|line| portable(line, screen)).collect();
        work.replace(path, &old, &new, REASON)?;
    }
    Ok(())
}

/// `Driver "vmware"` with another driver.
fn portable(line: &str, screen: &str) -> String {
    let mut words = line.split_whitespace();
    if !words.next().is_some_and(|word| word.eq_ignore_ascii_case("driver")) {
        return line.to_owned();
    }
    let name = words.next().unwrap_or_default().trim_matches('"');
    let new = match name {
        name if SCREENS.contains(&name) => screen,
        name if MICE.contains(&name) => "mouse",
        _ => return line.to_owned(),
    };
    line.replacen(&format!("\"{name}\""), &format!("\"{new}\""), 1)
}
