//! Consoles that only the old hypervisor has: a login on Xen's `xvc0` or `hvc0` is moved to the serial line, or to the screens.
//! inittab(5), securetty(5).

use crate::files::text;
use crate::work::Work;
use wherry_sdk::{Result, find};

const REASON: &str = "the console hvc0 or xvc0 belongs to Xen, and the new machine has none";

/// The serial line if the target has one, or else the screen.
pub fn screen_or_serial(work: &Work<'_>) -> String {
    let serial = find(&work.profile.facts, "serial-console");
    let plain = |name: &&str| !name.is_empty() && name.bytes().all(|c| c.is_ascii_alphanumeric());
    serial.filter(plain).unwrap_or("tty0").to_owned()
}

/// Whether a line of inittab starts a login on one of these terminals.
fn login(line: &str, terminals: &[&str]) -> bool {
    let words = || line.split([' ', '\t', ':', '/']);
    let is = |word: &str| terminals.iter().any(|terminal| word.starts_with(terminal));
    line.contains(":respawn:") && line.contains("getty") && words().any(is)
}

/// Moves logins away from Xen's consoles.
pub fn adapt(work: &mut Work<'_>) -> Result<()> {
    let path = "/etc/inittab";
    if work.profile.disk_bus == "xen" {
        return Ok(());
    }
    let Some(old) = text(work.guest, path) else { return Ok(()) };
    let xen = |line: &str| !line.starts_with('#') && login(line, &["hvc0", "xvc0"]);
    if !old.lines().any(xen) {
        return Ok(());
    }
    let console = screen_or_serial(work);
    let serial =
        console != "tty0" && !old.lines().any(|line| !line.starts_with('#') && login(line, &[&console]));
    // a guest without a screen had no logins there
    let screens = old.lines().any(|line| !line.starts_with('#') && login(line, &["tty1", "tty2"]));
    let lines = old.split_inclusive('\n').map(|line| match line.strip_prefix('#').map(str::trim_start) {
        None if xen(line) && serial => line.replace("hvc0", &console).replace("xvc0", &console),
        None if xen(line) => format!("#{line}"),
        Some(rest) if !screens && login(rest, &["tty1", "tty2", "tty3", "tty4", "tty5", "tty6"]) => {
            rest.to_owned()
        }
        _ => line.to_owned(),
    });
    let new: String = lines.collect();
    work.replace(path, &old, &new, REASON)?;
    if serial { trust(work, &console) } else { Ok(()) }
}

/// Lets root log in there.
fn trust(work: &Work<'_>, console: &str) -> Result<()> {
    let path = "/etc/securetty";
    let Some(old) = text(work.guest, path) else { return Ok(()) };
    if old.lines().any(|line| line.trim() == console) {
        return Ok(());
    }
    let gap = if old.is_empty() || old.ends_with('\n') { "" } else { "\n" };
    work.replace(path, &old, &format!("{old}{gap}{console}\n"), REASON)
}
