//! Keeping the drivers in every initramfs that the guest will make later. initramfs.conf(5), initramfs-tools(7),
//! dracut.conf(5), mkinitcpio.conf(5), mkinitfs-bootstrap's `features.d`, SLE's `/etc/sysconfig/kernel`.

use crate::files::{exists, listed, shell_value, text};
use crate::modprobe;
use crate::work::Work;
use wherry_sdk::{Result, Tree};

pub const REASON: &str = "the next initramfs must hold the driver of the new disk controller";

/// `initramfs-tools`, `dracut`, `mkinitcpio`, `mkinitfs`, `mkinitrd`, `booster`, `make-initrd` or `unknown`, by the tool
/// in the root file system.
pub fn family(guest: &dyn Tree) -> &'static str {
    // Debian's dracut may stand beside mkinitramfs (initramfs-tools-core), and then makes the images of new kernels.
    let dracut = ["/etc/kernel/postinst.d/dracut", "/usr/lib/dracut"];
    if dracut.iter().all(|path| exists(guest, path)) {
        return "dracut";
    }
    // programs before configuration, which stays behind when a package goes
    let marks = [
        ("/usr/sbin/mkinitramfs", "initramfs-tools"),
        ("/usr/lib/dracut", "dracut"),
        ("/usr/share/dracut", "dracut"),
        ("/usr/bin/mkinitcpio", "mkinitcpio"),
        ("/sbin/mkinitfs", "mkinitfs"),
        ("/etc/initramfs-tools/initramfs.conf", "initramfs-tools"),
        ("/etc/mkinitcpio.conf", "mkinitcpio"),
        ("/etc/mkinitfs", "mkinitfs"),
        ("/etc/booster.yaml", "booster"),
        ("/etc/initrd.mk", "make-initrd"),
        ("/sbin/mkinitrd", "mkinitrd"),
    ];
    marks.iter().find(|(path, _)| exists(guest, path)).map_or("unknown", |(_, family)| family)
}

/// Whether initramfs-tools puts all drivers of disks into its images as it is.
pub fn complete(guest: &dyn Tree) -> bool {
    let mut files = vec!["/etc/initramfs-tools/initramfs.conf".to_owned()];
    files.extend(listed(guest, "/etc/initramfs-tools/conf.d", ""));
    // later files win
    let values = files.iter().filter_map(|path| shell_value(&text(guest, path)?, "MODULES"));
    values.last().is_some_and(|value| value == "most")
}

/// Writes `wanted` into the configuration of the guest's tool.
pub fn adapt(work: &mut Work<'_>, wanted: &[&str]) -> Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    match family(work.guest) {
        "initramfs-tools" if complete(work.guest) => Ok(()),
        "initramfs-tools" => initramfs_tools(work, wanted),
        "dracut" => dracut(work, wanted),
        "mkinitcpio" => list(work, "/etc/mkinitcpio.conf", "MODULES", wanted),
        "mkinitfs" => mkinitfs(work),
        "mkinitrd" if exists(work.guest, "/etc/sysconfig/kernel") => {
            list(work, "/etc/sysconfig/kernel", "INITRD_MODULES", wanted)
        }
        "mkinitrd" if exists(work.guest, modprobe::FILE) => modprobe::disks(work, wanted),
        "make-initrd" => make_initrd(work, wanted),
        tool => {
            let message = format!(
                "how {tool} is told to keep {} in the next initramfs is not known",
                wanted.join(", ")
            );
            work.warn(
                "linux.initramfs.not-kept",
                message,
                "add the modules to its configuration in the guest",
            );
            Ok(())
        }
    }
}

fn initramfs_tools(work: &Work<'_>, wanted: &[&str]) -> Result<()> {
    let path = "/etc/initramfs-tools/modules";
    let old = text(work.guest, path).unwrap_or_default();
    let listed = |module: &&&str| {
        let first = |line: &str| line.split_whitespace().next().map(|word| word.replace('-', "_"));
        !old.lines().any(|line| first(line).as_deref() == Some(**module))
    };
    let missing: Vec<&str> = wanted.iter().filter(listed).copied().collect();
    if missing.is_empty() {
        return Ok(());
    }
    let gap = if old.is_empty() || old.ends_with('\n') { "" } else { "\n" };
    work.replace(path, &old, &format!("{old}{gap}{}\n", missing.join("\n")), REASON)
}

fn dracut(work: &Work<'_>, wanted: &[&str]) -> Result<()> {
    let path = "/etc/dracut.conf.d/wherry.conf";
    work.ensure_directory("/etc/dracut.conf.d", REASON)?;
    let old = text(work.guest, path).unwrap_or_default();
    work.replace(path, &old, &format!("add_drivers+=\" {} \"\n", wanted.join(" ")), REASON)
}

/// A line for make; what it adds is only put into the image, and udev loads it.
fn make_initrd(work: &Work<'_>, wanted: &[&str]) -> Result<()> {
    let path = "/etc/initrd.mk";
    let old = text(work.guest, path).unwrap_or_default();
    let line = format!("MODULES_ADD += {}\n", wanted.join(" "));
    if old.contains(&line) {
        return Ok(());
    }
    let gap = if old.is_empty() || old.ends_with('\n') { "" } else { "\n" };
    work.replace(path, &old, &format!("{old}{gap}{line}"), REASON)
}

/// Adds words to a shell variable's list, `NAME=(a b)` or `NAME="a b"`, the last assignment.
fn list(work: &mut Work<'_>, path: &str, name: &str, wanted: &[&str]) -> Result<()> {
    let Some(old) = text(work.guest, path) else { return Ok(()) };
    match extended(&old, name, wanted) {
        Some(new) => work.replace(path, &old, &new, REASON),
        None => {
            let message = format!("{path} has no list {name} to put {} into", wanted.join(", "));
            work.warn(
                "linux.initramfs.not-kept",
                message,
                "add the modules to its configuration in the guest",
            );
            Ok(())
        }
    }
}

fn extended(text: &str, name: &str, wanted: &[&str]) -> Option<String> {
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    let assigns = |line: &String| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('='));
    let line = lines.iter_mut().rev().find(|line| assigns(line))?;
    let start = line.find('=')? + 1;
    let open = line.get(start..)?.chars().next()?;
    let close = match open {
        '(' => ')',
        '"' | '\'' => open,
        _ => return None,
    };
    let end = start + 1 + line.get(start + 1..)?.find(close)?;
    let listed: Vec<String> =
        line.get(start + 1..end)?.split_whitespace().map(|word| word.replace('-', "_")).collect();
    let missing: Vec<&str> =
        wanted.iter().copied().filter(|word| !listed.iter().any(|have| have == word)).collect();
    if !missing.is_empty() {
        let gap = if listed.is_empty() { "" } else { " " };
        line.insert_str(end, &format!("{gap}{}", missing.join(" ")));
    }
    Some(lines.concat())
}

/// Alpine names groups of drivers, which are files in `features.d` (mkinitfs: `features.d/*.modules`): sd_mod and virtio_scsi are
/// in that for SCSI, Xen's disks in none.
fn mkinitfs(work: &mut Work<'_>) -> Result<()> {
    let features: &[&str] = match work.profile.disk_bus.as_str() {
        "virtio-blk" => &["virtio"],
        "virtio-scsi" => &["virtio", "scsi"],
        "nvme" => &["nvme"],
        "ahci" | "ide" => &["ata", "scsi"],
        "xen" => &["xen-blkfront"],
        _ => &["scsi"],
    };
    let there = |feature: &&str| exists(work.guest, &format!("/etc/mkinitfs/features.d/{feature}.modules"));
    let (there, missing): (Vec<&str>, Vec<&str>) = features.iter().copied().partition(there);
    for feature in missing {
        let message = format!("mkinitfs has no feature {feature} for the new disk controller");
        let remedy = "put the modules' paths into a file in /etc/mkinitfs/features.d in the guest, and its name into mkinitfs.conf";
        work.warn("linux.initramfs.not-kept", message, remedy);
    }
    if there.is_empty() { Ok(()) } else { list(work, "/etc/mkinitfs/mkinitfs.conf", "features", &there) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_grow_once() {
        for (old, new) in [
            ("# MODULES=(x)\nMODULES=()\nHOOKS=(udev)\n", "# MODULES=(x)\nMODULES=(a b)\nHOOKS=(udev)\n"),
            ("MODULES=(ext4 a)", "MODULES=(ext4 a b)"),
            ("MODULES=\"ext4\" # why\n", "MODULES=\"ext4 a b\" # why\n"),
            ("MODULES=\"b a\"\n", "MODULES=\"b a\"\n"),
        ] {
            let grown = extended(old, "MODULES", &["a", "b"]).expect("a list");
            assert_eq!(grown, new);
            assert_eq!(extended(&grown, "MODULES", &["a", "b"]).as_deref(), Some(new));
        }
        assert_eq!(extended("MODULES=a", "MODULES", &["b"]), None);
    }
}
