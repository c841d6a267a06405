//! Who made an image, what in it loads drivers, and what in it waits for the old hardware.

use super::index::{module_name, normal};
use super::rootfs::Rootfs;
use crate::devices;
use std::collections::{BTreeMap, BTreeSet};
use wherry_sdk::{Error, Result};

/// The programs that make initramfs images, as far as their images are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Debian's initramfs-tools: `/conf/modules`
    InitramfsTools,
    /// dracut: `/etc/cmdline.d`, in version 004 `/etc/cmdline`
    Dracut,
    /// Arch's mkinitcpio: `/config`
    Mkinitcpio,
    /// Alpine's mkinitfs: `/etc/modules`
    Mkinitfs,
    /// Red Hat's mkinitrd until RHEL 5, whose `/init` loads by insmod
    Nash,
    /// SUSE's mkinitrd: a shell script, and udev, which loads drivers since SLES 11 only
    SuseMkinitrd,
    /// ALT's make-initrd: `/etc/initrd/modules-preudev`
    MakeInitrd,
    /// booster, which has its own index of modules
    Booster,
    /// Any other; it will do where a rule of udev loads the drivers.
    Unknown,
}

const UDEV: &[&str] = &[
    "lib/systemd/systemd-udevd",
    "usr/lib/systemd/systemd-udevd",
    "sbin/udevd",
    "usr/sbin/udevd",
    "lib/udev/udevd",
    "bin/udevadm",
    "usr/bin/udevadm",
    "sbin/udevadm",
    "sbin/nlplug-findfs",
    "lib/initrd/udevd",
];
/// Our file among dracut's command line fragments.
const DRACUT_LIST: &str = "etc/cmdline.d/99-wherry.conf";
/// What versions 004 to 008 read instead, whose hooks are in the root: RHEL 6, Amazon Linux 1.
const OLD_DRACUT_LIST: &str = "etc/cmdline";
/// In SLES 10's `/init` the line by which udev looks at what is there: drivers are loaded by lines of their own.
const TRIGGER: &str = "/sbin/udevtrigger";
const DRACUT: &[&str] = &["lib/dracut", "usr/lib/dracut", "var/lib/dracut/hooks", "etc/dracut/hooks"];

/// Files that are added or replaced, by path.
pub type Files = BTreeMap<String, Vec<u8>>;

impl Family {
    /// By the files that each program puts into its images.
    pub fn of(rootfs: &Rootfs) -> Self {
        let any = |paths: &[&str]| paths.iter().any(|path| rootfs.exists(path));
        let init = rootfs.content("init").unwrap_or_default();
        let says = |text: &[u8]| init.windows(text.len()).any(|window| window == text);
        if any(&["conf/initramfs.conf", "conf/arch.conf"]) && any(&["scripts/functions"]) {
            Self::InitramfsTools
        } else if any(DRACUT) || any(&["lib/dracut-lib.sh"]) {
            Self::Dracut
        } else if any(&["config"]) && any(&["buildconfig", "hooks", "init_functions"]) {
            Self::Mkinitcpio
        } else if any(&["sbin/nlplug-findfs"]) || says(b"Alpine Init") {
            Self::Mkinitfs
        } else if init.starts_with(b"#!/bin/nash") {
            Self::Nash
        } else if any(&["lib/initrd", "etc/initrd"])
            && any(&["lib/uevent", "etc/rc.d/init.d/uevent", ".initrd"])
        {
            Self::MakeInitrd
        } else if any(&["run_all.sh", "config/start.sh", "mkinitrd.config"]) || says(b"udev_timeout") {
            Self::SuseMkinitrd
        } else if any(&["etc/booster.init.yaml"]) {
            Self::Booster
        } else {
            Self::Unknown
        }
    }

    /// The program's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::InitramfsTools => "initramfs-tools",
            Self::Dracut => "dracut",
            Self::Mkinitcpio => "mkinitcpio",
            Self::Mkinitfs => "mkinitfs",
            Self::Nash => "mkinitrd with nash",
            Self::SuseMkinitrd => "SUSE's mkinitrd",
            Self::MakeInitrd => "make-initrd",
            Self::Booster => "booster",
            Self::Unknown => "an unknown program",
        }
    }

    /// Whether drivers are loaded for the devices that are found (`MODALIAS`).
    pub fn loads_by_device(self, rootfs: &Rootfs) -> bool {
        let udev = || UDEV.iter().any(|path| rootfs.exists(path));
        match self {
            // Alpine's script hands every modalias in /sys to modprobe.
            Self::Mkinitfs => true,
            Self::Booster => false,
            // SLES 10's has no rule for it (mkinitrd, branch SLE10-SP4); 80-drivers.rules came with SLES 11
            Self::SuseMkinitrd | Self::Unknown => udev() && rules_load(rootfs),
            _ => udev(),
        }
    }

    /// The files of this family that name modules to load, with `modules` added; empty if they do already,
    /// or if this family has no such file.
    pub fn lists(self, rootfs: &Rootfs, modules: &[String]) -> Result<Files> {
        let mut files = Files::new();
        match self {
            Self::InitramfsTools => list(rootfs, "conf/modules", modules, &mut files)?,
            Self::Mkinitfs => list(rootfs, "etc/modules", modules, &mut files)?,
            Self::MakeInitrd => list(rootfs, "etc/initrd/modules-preudev", modules, &mut files)?,
            Self::Dracut if !DRACUT.iter().any(|path| rootfs.exists(path)) => {
                arguments(rootfs, OLD_DRACUT_LIST, modules, &mut files)?;
            }
            Self::Dracut => {
                let line = format!("rd.driver.pre={}\n", modules.join(","));
                if !modules.is_empty() && rootfs.content(DRACUT_LIST) != Some(line.as_bytes()) {
                    files.insert(DRACUT_LIST.to_owned(), line.into_bytes());
                }
            }
            Self::Mkinitcpio => {
                let old = old(rootfs, "config")?;
                let line = format!("MODULES=\"$MODULES {}\"\n", modules.join(" "));
                if !modules.is_empty() && !old.contains(&line) {
                    files.insert("config".to_owned(), format!("{}{line}", ended(old)).into_bytes());
                }
                if rootfs.exists("usr/lib/systemd/systemd") {
                    list(rootfs, "etc/modules-load.d/wherry.conf", modules, &mut files)?;
                }
            }
            Self::SuseMkinitrd if !self.loads_by_device(rootfs) => script(rootfs, modules, &mut files)?,
            Self::Nash | Self::SuseMkinitrd | Self::Booster | Self::Unknown => {}
        }
        Ok(files)
    }

    /// Why this family's images cannot be extended, if they cannot.
    pub fn refusal(self, rootfs: &Rootfs) -> Option<String> {
        let reason = match self {
            Self::Booster => "it has its own index of modules, which is not extended here",
            Self::SuseMkinitrd if triggers(rootfs) => return None,
            Self::Unknown | Self::SuseMkinitrd if !self.loads_by_device(rootfs) => {
                "nothing in it is known to load drivers"
            }
            _ => return None,
        };
        Some(format!("it was made by {}, and {reason}", self.name()))
    }
}

/// A file's text; one that is too long to have been kept cannot be extended.
fn old(rootfs: &Rootfs, path: &str) -> Result<String> {
    match rootfs.regular(path) {
        None => Ok(String::new()),
        Some(file) => match &file.content {
            Some(content) => Ok(String::from_utf8_lossy(content).into_owned()),
            None => {
                Err(Error::unsupported(format!("/{path} in it has {} bytes, too many for a list", file.size)))
            }
        },
    }
}

fn ended(text: String) -> String {
    if text.is_empty() || text.ends_with('\n') { text } else { text + "\n" }
}

/// Adds to a file with one module a line.
fn list(rootfs: &Rootfs, path: &str, modules: &[String], files: &mut Files) -> Result<()> {
    let old = old(rootfs, path)?;
    let listed = |module: &&String| {
        old.lines().any(|line| line.split_whitespace().next().map(normal).as_ref() == Some(*module))
    };
    let missing: Vec<String> =
        modules.iter().filter(|module| !listed(module)).map(|m| format!("{m}\n")).collect();
    if !missing.is_empty() {
        files.insert(path.to_owned(), (ended(old) + &missing.concat()).into_bytes());
    }
    Ok(())
}

/// Adds `rdloaddriver=MODULE` for each module to a file of kernel arguments (dracut 004, `parse-kernel.sh`: one module each).
fn arguments(rootfs: &Rootfs, path: &str, modules: &[String], files: &mut Files) -> Result<()> {
    let old = old(rootfs, path)?;
    let words: Vec<String> = modules.iter().map(|module| format!("rdloaddriver={module}")).collect();
    let missing: Vec<&str> = words
        .iter()
        .map(String::as_str)
        .filter(|word| !old.split_whitespace().any(|one| one == *word))
        .collect();
    if !missing.is_empty() {
        files.insert(path.to_owned(), format!("{}{}\n", ended(old), missing.join(" ")).into_bytes());
    }
    Ok(())
}

/// Whether one of udev's rules in the image loads the driver of a device.
fn rules_load(rootfs: &Rootfs) -> bool {
    let says = |content: &[u8]| String::from_utf8_lossy(content).contains("MODALIAS");
    let mut rules = rootfs.nodes().filter(|(path, _)| path.contains("udev/rules.d/"));
    rules.any(|(path, _)| rootfs.content(path).is_some_and(says))
}

/// Whether SLES 10's script is there, with the line that lines can be put before.
fn triggers(rootfs: &Rootfs) -> bool {
    let init = String::from_utf8_lossy(rootfs.content("init").unwrap_or_default());
    init.lines().any(|line| line == TRIGGER)
}

/// Has SLES 10's script load the modules that its maker did not put into the image.
fn script(rootfs: &Rootfs, modules: &[String], files: &mut Files) -> Result<()> {
    if !triggers(rootfs) {
        return Ok(());
    }
    let old = old(rootfs, "init")?;
    let there: BTreeSet<String> = rootfs.nodes().filter_map(|(path, _)| module_name(path)).collect();
    let loads = |module: &String| old.lines().any(|line| line.trim() == format!("modprobe {module}"));
    let missing = modules.iter().filter(|module| !there.contains(*module) && !loads(module));
    let lines: String = missing.map(|module| format!("modprobe {module}\n")).collect();
    if !lines.is_empty() {
        let line = format!("{TRIGGER}\n");
        files.insert("init".to_owned(), old.replacen(&line, &format!("{lines}{line}"), 1).into_bytes());
    }
    Ok(())
}

/// What an image made for the old hardware only would wait for in vain.
#[derive(Default)]
pub struct Hazards {
    /// files that replace those of the image
    pub files: Files,
    /// what was neutralised, for people
    pub notes: Vec<String>,
}

impl Hazards {
    /// Settings that name devices by the old controller.
    pub fn find(rootfs: &Rootfs) -> Self {
        let mut hazards = Self::default();
        let every: Vec<(&str, &str)> =
            rootfs.nodes().filter_map(|(path, _)| Some((path, path.rsplit('/').next()?))).collect();
        for (path, name) in every {
            let Some(content) = rootfs.content(path) else { continue };
            let text = String::from_utf8_lossy(content);
            if path.starts_with("etc/cmdline.d/") && name.ends_with(".conf") {
                hazards.replace(path, &text, portable_command_line(&text), "kernel arguments");
            } else if is_finished_hook(path) && name.starts_with("devexists-") {
                let waits = text.split(['"', ' ', '\'']).any(foreign);
                hazards.replace(
                    path,
                    &text,
                    if waits { ":\n".to_owned() } else { text.to_string() },
                    "a wait",
                );
            } else if name == "timeout.conf" && path.contains("etc/systemd/system/") {
                hazards.replace(path, &text, short_wait(path, &text), "a wait");
            } else if path == "conf/param.conf" || path.starts_with("conf/conf.d/") {
                hazards.replace(path, &text, portable_resume(&text), "hibernation");
            }
        }
        hazards.lvm(rootfs);
        hazards
    }

    fn replace(&mut self, path: &str, old: &str, new: String, what: &str) {
        if new != old {
            self.notes.push(format!("{what} for a device of the old hardware in /{path} of the initramfs"));
            self.files.insert(path.to_owned(), new.into_bytes());
        }
    }

    /// LVM's list of devices names them by identifiers of the old controller; without a list LVM looks at all.
    fn lvm(&mut self, rootfs: &Rootfs) {
        const LOCAL: &str = "etc/lvm/lvmlocal.conf";
        const LINE: &str = "devices/use_devicesfile=0\n";
        let Some(local) = rootfs.content(LOCAL).or(Some(&[])) else { return };
        let local = String::from_utf8_lossy(local).into_owned();
        if rootfs.exists("etc/lvm/devices/system.devices") && !local.contains(LINE) {
            self.notes.push("LVM's list of devices is not used in the initramfs".to_owned());
            self.files.insert(LOCAL.to_owned(), (ended(local) + LINE).into_bytes());
        }
    }
}

/// What dracut waits for, since version 005 and before.
fn is_finished_hook(path: &str) -> bool {
    path.contains("hooks/initqueue/finished/") || path.starts_with("initqueue-finished/")
}

/// A device name that the new hardware will not have. Names under by-id that software gives are the same everywhere.
fn foreign(name: &str) -> bool {
    let software = ["dm-", "md-", "lvm-pv-"];
    let by_id = name.strip_prefix("/dev/disk/by-id/");
    devices::unstable(name) && !by_id.is_some_and(|id| software.iter().any(|prefix| id.starts_with(prefix)))
}

/// Without `root=`, `resume=` and `rootfallback=` of foreign devices: the boot loader's arguments count then.
fn portable_command_line(text: &str) -> String {
    let keeps = |word: &&str| {
        let value =
            word.split_once('=').filter(|(key, _)| matches!(*key, "root" | "resume" | "rootfallback"));
        !value.is_some_and(|(_, value)| foreign(value.strip_prefix("block:").unwrap_or(value)))
    };
    let line = |line: &str| {
        if line.contains(['"', '\'']) || line.split(' ').all(|word| keeps(&word)) {
            return format!("{line}\n");
        }
        line.split(' ').filter(keeps).collect::<Vec<_>>().join(" ") + "\n"
    };
    let new: String = text.lines().map(line).collect();
    if new.trim_end() == text.trim_end() { text.to_owned() } else { new }
}

/// initramfs-tools waits for `RESUME=`.
fn portable_resume(text: &str) -> String {
    let foreign_line =
        |line: &str| line.strip_prefix("RESUME=").is_some_and(|value| foreign(value.trim_matches('"')));
    if !text.lines().any(foreign_line) {
        return text.to_owned();
    }
    text.lines()
        .map(|line| if foreign_line(line) { "RESUME=none\n".to_owned() } else { format!("{line}\n") })
        .collect()
}

/// systemd waits for `dev-disk-by\x2dpath-....device` without end if `timeout.conf` says 0.
fn short_wait(path: &str, text: &str) -> String {
    let unit = path.rsplit('/').nth(1).and_then(|folder| folder.strip_suffix(".device.d"));
    let endless =
        text.lines().any(|line| matches!(line.trim(), "JobTimeoutSec=0" | "JobRunningTimeoutSec=0"));
    if endless && unit.is_some_and(|unit| foreign(&device_of(unit))) {
        return "[Unit]\nJobTimeoutSec=1\nJobRunningTimeoutSec=1\n".to_owned();
    }
    text.to_owned()
}

/// The path in a device unit's name (systemd.unit(5), "string escaping for inclusion in unit names").
fn device_of(unit: &str) -> String {
    let mut path = "/".to_owned();
    let mut rest = unit;
    while let Some(letter) = rest.chars().next() {
        let code = rest.strip_prefix("\\x").and_then(|code| u8::from_str_radix(code.get(..2)?, 16).ok());
        let (letter, length) = match (letter, code) {
            (_, Some(code)) => (char::from(code), 4),
            ('-', _) => ('/', 1),
            (letter, _) => (letter, letter.len_utf8()),
        };
        path.push(letter);
        rest = rest.get(length..).unwrap_or_default();
    }
    path
}

/// `install` and `blacklist` lines of the image's modprobe.d(5) for these modules.
pub fn forbidden(rootfs: &Rootfs, modules: &[String]) -> Vec<String> {
    let folders = ["etc/modprobe.d/", "lib/modprobe.d/", "usr/lib/modprobe.d/"];
    let files = rootfs.nodes().filter(|(path, _)| folders.iter().any(|folder| path.starts_with(folder)));
    let mut found = Vec::new();
    for (path, _) in files.filter(|(path, _)| path.ends_with(".conf")) {
        let text = String::from_utf8_lossy(rootfs.content(path).unwrap_or_default());
        let lines = text.lines().filter(|line| {
            let mut words = line.split_whitespace();
            matches!(words.next(), Some("install" | "blacklist"))
                && words.next().is_some_and(|name| modules.contains(&normal(name)))
        });
        found.extend(lines.map(|line| format!("/{path} in the initramfs says \"{line}\"")));
    }
    found
}
