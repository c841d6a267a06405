//! The edits to boot menus and to what makes them anew: command lines, `resume`, GRUB's `device.map`.

use crate::cmdline::{Rewrite, Rewritten, Style};
use crate::devices::{Devices, Naming};
use crate::entries::{self, Entry};
use crate::files::{file, listed, shell_value, text};
use crate::unified::Unified;
use crate::work::Work;
use crate::{cmdline, consoles, grub, lilo, persist};
use wherry_sdk::{Result, find};

const REASON: &str = "the kernel command line must fit the new disk controller and console";

/// Makes every command line portable.
pub fn adapt(work: &mut Work<'_>, entries: &[Entry]) -> Result<()> {
    let files = files(work);
    let console = console(work, &files);
    let instead = (work.profile.disk_bus != "xen").then(|| consoles::screen_or_serial(work));
    // an initramfs that nobody knows may understand no more than the kernel does
    let initrd = Naming { uuid: persist::family(work.guest) != "unknown", ..work.naming() };
    let bare = Naming { uuid: false, partuuid: true, bus: initrd.bus };
    let mut done = Vec::new();
    for (path, style) in files {
        let Some(real) = file(work.guest, &path).filter(|real| !done.contains(real)) else { continue };
        let Some(old) = text(work.guest, &real) else {
            let message =
                format!("{real} could not be read as text, so that its command lines stay as they are");
            work.warn("linux.boot.unreadable-menu", message, "look into the file in the guest");
            continue;
        };
        let rewrite = Rewrite {
            devices: &work.devices,
            initrd,
            bare,
            console: console.as_deref(),
            instead: instead.as_deref(),
        };
        let new = rewrite.file(&old, style);
        work.replace(&real, &old, &new.text, REASON)?;
        concerns(work, &real, new, entries);
        done.push(real);
    }
    let template = Rewrite {
        devices: &Devices::default(),
        initrd,
        bare,
        console: console.as_deref(),
        instead: instead.as_deref(),
    };
    environment(work, &template)?;
    unified(work, &template, entries)?;
    resume(work)?;
    device_map(work)
}

/// The serial console to add: only if the target has one and no command line names any.
fn console(work: &Work<'_>, files: &[(String, Style)]) -> Option<String> {
    let name = find(&work.profile.facts, "serial-console")?;
    let named = |(path, style): &(String, Style)| {
        text(work.guest, path).is_some_and(|text| cmdline::names_console(&text, *style))
    };
    let blocks = entries::environments(work.guest).into_iter().filter_map(|path| text(work.guest, &path));
    let mut options = blocks.filter_map(|block| grub::environment(&block).remove("kernelopts"));
    if files.iter().any(named) || options.any(|options| cmdline::names_console(&options, Style::Plain)) {
        return None;
    }
    name.bytes().all(|c| c.is_ascii_alphanumeric()).then(|| name.to_owned())
}

fn shell_files(work: &Work<'_>) -> Vec<String> {
    let mut files = vec!["/etc/default/grub".to_owned()];
    files.extend(listed(work.guest, "/etc/default/grub.d", ".cfg"));
    files
}

fn files(work: &Work<'_>) -> Vec<(String, Style)> {
    let guest = work.guest;
    let menus = entries::grub_menus(guest).into_iter().chain(entries::extlinux_menus(guest));
    let own = ["/boot/grub/custom.cfg", "/boot/grub2/custom.cfg"].map(str::to_owned);
    // scripts that only hand out what they hold
    let scripts = listed(guest, "/etc/grub.d", "").into_iter().filter(|path| {
        text(guest, path).is_some_and(|text| text.lines().any(|line| line.starts_with("exec tail -n")))
    });
    let menus = menus.chain(own).chain(scripts);
    let mut files: Vec<(String, Style)> = menus.map(|path| (path, Style::Menu)).collect();
    for path in entries::bls_files(guest) {
        let has = |line: &str| line.trim_start().starts_with("initrd");
        let initrd = text(guest, &path).is_some_and(|text| text.lines().any(has));
        files.push((path, Style::Bls { initrd }));
    }
    files.extend(shell_files(work).into_iter().map(|path| (path, Style::Shell)));
    files.push(("/etc/kernel/cmdline".to_owned(), Style::Plain));
    let values =
        ["/etc/update-extlinux.conf", "/etc/sysconfig/bootloader", "/etc/elilo.conf"].map(str::to_owned);
    let elilo = entries::lilo_menus(guest).into_iter().filter(|path| path != lilo::FILE);
    files.extend(
        values
            .into_iter()
            .chain(elilo)
            .chain(entries::loaded_everywhere(guest))
            .map(|path| (path, Style::Values)),
    );
    files
}

fn concerns(work: &mut Work<'_>, path: &str, mut new: Rewritten, entries: &[Entry]) {
    new.unknown.dedup();
    new.removed.dedup();
    for name in new.unknown {
        let message = format!("{path} names root={name}, which is not among the disks");
        let remedy = "correct root= in the guest before the move";
        let starts = |entry: &Entry| {
            entry.default && entry.arguments.split(' ').any(|word| word.strip_prefix("root=") == Some(&name))
        };
        if entries.iter().any(starts) {
            work.block("linux.boot.unknown-root", message, remedy);
        } else {
            work.warn("linux.boot.unknown-root", message, remedy);
        }
    }
    for name in new.removed {
        let message = format!("{path}: resume={name} was removed, it is not among the disks");
        work.warn("linux.boot.resume-removed", message, "set resume= again if the guest hibernates");
    }
}

/// `kernelopts`, from which BLS entries of RHEL 8 take their command line.
fn environment(work: &mut Work<'_>, template: &Rewrite<'_>) -> Result<()> {
    for path in entries::environments(work.guest) {
        let Some(block) = text(work.guest, &path) else { continue };
        let rewrite = Rewrite { devices: &work.devices, ..*template };
        let mut new = Rewritten::default();
        let mut changed = false;
        let text = grub::rewrite_environment(&block, "kernelopts", |old| {
            new = rewrite.file(old, Style::Plain);
            changed = new.text != old;
            new.text.clone()
        });
        match text.filter(|_| changed) {
            Some(text) => work.replace(&path, &block, &text, REASON)?,
            None if changed => {
                let message = format!("{path} has no room for the changed kernelopts, or is damaged");
                work.block(
                    "linux.boot.environment",
                    message,
                    "shorten kernelopts with grub2-editenv in the guest",
                );
            }
            None => {}
        }
        concerns(work, &path, new, &[]);
    }
    Ok(())
}

/// The command lines within unified kernel images.
fn unified(work: &mut Work<'_>, template: &Rewrite<'_>, entries: &[Entry]) -> Result<()> {
    for path in entries.iter().filter(|entry| entry.unified).filter_map(|entry| entry.kernel.as_ref()) {
        let image = Unified::open(work.guest, path)?;
        let Some(old) = image.command_line.clone() else { continue };
        let console = template.console.filter(|_| !cmdline::names_console(&old, Style::Plain));
        let rewrite = Rewrite { devices: &work.devices, console, ..*template };
        let new = rewrite.file(&old, Style::Plain);
        // a console is not worth a signature
        let fixed = image.fixed(&work.profile.firmware);
        let bare = Rewrite { console: None, ..rewrite };
        let text = if fixed.is_some() { bare.file(&old, Style::Plain).text } else { new.text.clone() };
        let room = || "its section has no room for it";
        let why = match fixed {
            _ if text == old => None,
            Some(why) => Some(why),
            None => (!image.set_command_line(&text, REASON)?).then(room),
        };
        if let Some(why) = why {
            let message =
                format!("{path} has the command line {old:?}, which must become {text:?}, and {why}");
            let remedy = "build the image again in the guest with root=UUID=... in its command line";
            work.block("linux.uki.command-line", message, remedy);
        }
        concerns(work, path, new, &[]);
    }
    Ok(())
}

/// The device that initramfs-tools resumes from (initramfs.conf(5)).
fn resume(work: &mut Work<'_>) -> Result<()> {
    let path = "/etc/initramfs-tools/conf.d/resume";
    let Some(old) = text(work.guest, path) else { return Ok(()) };
    let Some(value) = shell_value(&old, "RESUME").filter(|value| crate::devices::unstable(value)) else {
        return Ok(());
    };
    let found = work.devices.resolve(&value).and_then(|device| work.naming().name(device));
    if found.is_none() {
        let message = format!("{path}: RESUME={value} became none, it is not among the disks");
        work.warn("linux.boot.resume-removed", message, "set RESUME= again if the guest hibernates");
    }
    let new = old.replace(&value, found.as_deref().unwrap_or("none"));
    work.replace(path, &old, &new, "the device to resume from is named by the disk controller")
}

/// `(hd0) /dev/sda`: GRUB's own tools refuse to work with disks that are not in the map (grub-install(8)).
fn device_map(work: &mut Work<'_>) -> Result<()> {
    let bus = work.bus;
    for path in ["/boot/grub/device.map", "/boot/grub2/device.map"] {
        let Some(old) = text(work.guest, path) else { continue };
        let lines = old.split_inclusive('\n').map(|line| {
            let spec = line.split_whitespace().nth(1).filter(|_| line.trim_start().starts_with("(hd"));
            let name = spec.and_then(|spec| bus.device(work.devices.whole_disk(spec)?, None));
            match spec.zip(name) {
                Some((spec, name)) => line.replacen(spec, &name, 1),
                None => line.to_owned(),
            }
        });
        let new: String = lines.collect();
        work.replace(path, &old, &new, "grub-install and grub-mkconfig look disks up in this map")?;
    }
    Ok(())
}
