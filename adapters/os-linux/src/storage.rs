//! Tables that name disks: fstab, crypttab, LVM's lists, multipath, mdadm. lvmdevices(8), lvm.conf(5),
//! multipath.conf(5), mdadm.conf(5).

use crate::devices::unstable;
use crate::files::{exists, text};
use crate::fstab;
use crate::work::Work;
use wherry_sdk::{ErrorKind, Result, Severity};

const REASON: &str = "device names depend on the disk controller; UUIDs do not";

/// Makes the tables portable.
pub fn adapt(work: &mut Work<'_>) -> Result<()> {
    mounts(work)?;
    crypt(work)?;
    lvm(work)?;
    others(work);
    Ok(())
}

fn mounts(work: &mut Work<'_>) -> Result<()> {
    let path = "/etc/fstab";
    let Some(old) = text(work.guest, path) else { return Ok(()) };
    let (new, unknown) = fstab::rewrite(&old, 0, &work.devices, work.naming());
    work.replace(path, &old, &fstab::without_shares(&new), REASON)?;
    let gone = fstab::entries(&old).into_iter().filter(|entry| {
        let tag =
            ["UUID=", "PARTUUID=", "LABEL=", "PARTLABEL="].iter().any(|tag| entry.source.starts_with(tag));
        tag && work.devices.all_known() && work.devices.resolve(entry.source).is_none()
    });
    let unknown = unknown.iter().flat_map(|line| fstab::entries(line));
    let missing: Vec<(String, bool)> =
        unknown.chain(gone).map(|entry| (entry.source.to_owned(), entry.optional())).collect();
    for (name, optional) in missing {
        let message = format!("{path} names {name}, which is not among the disks");
        let remedy = "add the disk, remove the entry, or give it the option nofail";
        // a system that waits for a mount in vain ends in its emergency shell
        let severity = if optional { Severity::Information } else { Severity::Blocking };
        work.concern(severity, "linux.fstab.unknown-device", message, remedy);
    }
    Ok(())
}

fn crypt(work: &mut Work<'_>) -> Result<()> {
    let path = "/etc/crypttab";
    let Some(old) = text(work.guest, path) else { return Ok(()) };
    let (new, unknown) = fstab::rewrite(&old, 1, &work.devices, work.naming());
    work.replace(path, &old, &new, REASON)?;
    for line in unknown {
        let name = line.split_whitespace().nth(1).unwrap_or_default();
        let message = format!("{path} names {name}, which is not among the disks");
        work.warn("linux.fstab.unknown-device", message, "edit the entry, or give it the option nofail");
    }
    Ok(())
}

fn lvm(work: &mut Work<'_>) -> Result<()> {
    let devices = "/etc/lvm/devices/system.devices";
    let stale =
        text(work.guest, devices).is_some_and(|text| text.lines().any(|line| line.starts_with("IDTYPE=")));
    let files = [
        (
            devices,
            stale,
            "it lists disks by identifiers of the old controller; without it LVM looks at all disks",
        ),
        ("/etc/lvm/cache/.cache", true, "it lists the names of the old disks"),
    ];
    for (path, stale, reason) in files {
        match work.guest.stat(path) {
            Ok(_) if stale => work.guest.remove(path, reason)?,
            Ok(_) => {}
            Err(error) if error.kind == ErrorKind::NotFound => {}
            Err(error) => return Err(error.within(path)),
        }
    }
    let configuration = text(work.guest, "/etc/lvm/lvm.conf").unwrap_or_default();
    let filter = |line: &&str| {
        let line = line.trim_start();
        (line.starts_with("filter") || line.starts_with("global_filter")) && mentions_disk(line)
    };
    if let Some(line) = configuration.lines().find(filter) {
        let message = format!("/etc/lvm/lvm.conf accepts disks by their old names: {}", line.trim());
        work.warn(
            "linux.lvm.filter",
            message,
            "widen the filter in the guest before the move, and make the initramfs again",
        );
    }
    Ok(())
}

/// Whether a line speaks of `/dev/sda` and the like, in a pattern or plainly.
fn mentions_disk(line: &str) -> bool {
    let words = line.split(|c: char| !(c.is_ascii_alphanumeric() || "/_-.:".contains(c)));
    let names =
        ["/dev/sd", "/dev/hd", "/dev/xvd", "/dev/vd", "/dev/nvme", "/dev/disk/by-path", "/dev/disk/by-id"];
    words.into_iter().any(|word| names.iter().any(|name| word.starts_with(name)) || unstable(word))
}

/// What is only named: the edits would need more than the files say.
fn others(work: &mut Work<'_>) {
    for path in ["/etc/mdadm.conf", "/etc/mdadm/mdadm.conf"] {
        let Some(text) = text(work.guest, path) else { continue };
        let lines = || text.lines().map(str::trim_start);
        if lines().any(|line| line.to_ascii_lowercase().starts_with("array")) {
            work.note(format!(
                "{path} names software RAID arrays by their UUIDs; all their disks must come along"
            ));
        }
        if lines().any(|line| line.to_ascii_lowercase().starts_with("device") && mentions_disk(line)) {
            let message = format!("{path} looks for arrays on disks by their old names");
            work.warn("linux.mdadm.devices", message, "write DEVICE partitions in the guest before the move");
        }
    }
    let bindings = ["/etc/multipath/bindings", "/etc/multipath/wwids", "/var/lib/multipath/bindings"];
    let filled = |path: &&&str| {
        let text = text(work.guest, path).unwrap_or_default();
        text.lines().any(|line| !line.trim().is_empty() && !line.starts_with('#'))
    };
    if let Some(path) = bindings.iter().find(filled) {
        let message = format!("{path} gives names to disks by identifiers of the old storage");
        work.warn(
            "linux.multipath.bindings",
            message,
            "name disks by UUID in the guest, or remove multipath there",
        );
    }
    let lilo = "/etc/lilo.conf";
    if exists(work.guest, lilo) && exists(work.guest, "/boot/grub") {
        work.note(format!("{lilo} is there too, and was not changed"));
    }
}
