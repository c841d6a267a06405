//! What has to change in the guest's files for other hardware. Linux without running guest code:
//! the initramfs must hold the driver of the new controller, and no table may name a device by its controller.

use crate::devices::{Device, devices};
use crate::identify::{Kernel, initramfs_family, interfaces, kernels, names, text};
use crate::{fstab, grub, network};
use wherry_sdk::source::Adaptation;
use wherry_sdk::{DeviceProfile, Error, ErrorKind, Fact, Result, Severity, Tree, concern, find};

struct Work<'a> {
    guest: &'a dyn Tree,
    result: Adaptation,
}

/// Modules that reach the boot disk.
pub fn storage_modules(bus: &str) -> &'static [&'static str] {
    match bus {
        "virtio-blk" => &["virtio_pci", "virtio_blk"],
        "virtio-scsi" => &["virtio_pci", "virtio_scsi", "sd_mod"],
        "nvme" => &["nvme"],
        "ahci" => &["ahci", "sd_mod"],
        "ide" => &["ata_piix", "sd_mod"],
        "lsi-scsi" => &["mptspi", "sd_mod"],
        "pvscsi" => &["vmw_pvscsi", "sd_mod"],
        "hyperv-scsi" => &["hv_vmbus", "hv_storvsc", "sd_mod"],
        "xen" => &["xen_blkfront"],
        _ => &[],
    }
}

/// Edits the guest that `identify` has mounted.
pub fn adapt(guest: &dyn Tree, profile: &DeviceProfile, options: &[Fact]) -> Result<Adaptation> {
    let wanted = storage_modules(&profile.disk_bus);
    if wanted.is_empty() {
        return Err(Error::unsupported(format!(
            "no Linux driver is known for disk bus {}",
            profile.disk_bus
        )));
    }
    let mut work = Work { guest, result: Adaptation { concerns: Vec::new(), notes: Vec::new() } };
    let all = devices(&guest.volumes());
    work.kernels(wanted)?;
    work.persist(wanted)?;
    work.table("/etc/fstab", 0, &all)?;
    work.table("/etc/crypttab", 1, &all)?;
    work.command_lines(&all, find(&profile.facts, "serial-console"))?;
    work.stale()?;
    work.interfaces(profile, options)?;
    Ok(work.result)
}

impl Work<'_> {
    fn warn(&mut self, id: &str, message: String, remedy: &str) {
        self.result.concerns.push(concern(Severity::Warning, id, message, Some(remedy)));
    }

    /// Writes only what differs.
    fn replace(&self, path: &str, old: &str, new: &str, reason: &str) -> Result<()> {
        if old == new { Ok(()) } else { self.guest.write(path, new.as_bytes(), None, reason) }
    }

    fn kernels(&mut self, wanted: &[&str]) -> Result<()> {
        let kernels = kernels(self.guest);
        if kernels.is_empty() {
            let message = "no kernel (vmlinuz-*) was found in /boot".to_owned();
            let remedy = "check that the boot volume is among the disks";
            self.result.concerns.push(concern(
                Severity::Blocking,
                "linux.kernel.missing",
                message,
                Some(remedy),
            ));
        }
        for kernel in &kernels {
            self.kernel(kernel, wanted);
        }
        Ok(())
    }

    /// The driver must exist for this kernel; whether its initramfs holds it is looked at next.
    fn kernel(&mut self, kernel: &Kernel, wanted: &[&str]) {
        let Some(folder) = &kernel.modules else {
            let message = format!("kernel {} has no module directory", kernel.version);
            self.warn(
                "linux.kernel.no-modules",
                message,
                "remove this kernel from /boot, or reinstall its package",
            );
            return;
        };
        let list =
            |name: &str| self.guest.read_all(&format!("{folder}/{name}"), 16 << 20).unwrap_or_default();
        let index = [list("modules.dep"), list("modules.builtin")].map(|bytes| module_names(&bytes));
        let missing: Vec<&str> = wanted
            .iter()
            .copied()
            .filter(|module| !index.iter().any(|i| i.iter().any(|m| m == module)))
            .collect();
        if !missing.is_empty() {
            let message = format!("kernel {} has no module {}", kernel.version, missing.join(", "));
            let remedy = "choose another disk bus with wish.disk-bus, such as ahci";
            let id = "linux.initramfs.module-missing";
            self.result.concerns.push(concern(Severity::Blocking, id, message, Some(remedy)));
            return;
        }
        let built_in = wanted.iter().all(|module| index[1].iter().any(|m| m == module));
        if !built_in {
            self.initramfs(kernel, wanted);
        }
    }

    /// The image itself is not opened yet: says so unless the guest's configuration answers the question.
    fn initramfs(&mut self, kernel: &Kernel, wanted: &[&str]) {
        let Some(image) = &kernel.initrd else {
            let message =
                format!("kernel {} has no initramfs, and {} are modules", kernel.version, wanted.join(", "));
            self.warn("linux.initramfs.missing", message, "make an initramfs for it in the guest");
            return;
        };
        let configuration = text(self.guest, "/etc/initramfs-tools/initramfs.conf").unwrap_or_default();
        if crate::identify::shell_value(&configuration, "MODULES").as_deref() == Some("most") {
            return;
        }
        let message = format!("{image} was not searched for {}", wanted.join(", "));
        let remedy = "rebuild the initramfs in the guest with these modules before the move (update-initramfs -u -k all, dracut --regenerate-all --no-hostonly)";
        self.warn("linux.initramfs.unchecked", message, remedy);
    }

    /// Keeps the driver in every initramfs that the guest will make later.
    fn persist(&self, wanted: &[&str]) -> Result<()> {
        let reason = "the next initramfs must hold the driver of the new disk controller";
        match initramfs_family(self.guest) {
            "initramfs-tools" => {
                let path = "/etc/initramfs-tools/modules";
                let old = text(self.guest, path).unwrap_or_default();
                let listed = |module: &&&str| {
                    !old.lines().any(|line| line.split_whitespace().next() == Some(**module))
                };
                let missing: Vec<&str> = wanted.iter().filter(listed).copied().collect();
                if missing.is_empty() {
                    return Ok(());
                }
                let gap = if old.is_empty() || old.ends_with('\n') { "" } else { "\n" };
                self.guest.write(path, format!("{old}{gap}{}\n", missing.join("\n")).as_bytes(), None, reason)
            }
            "dracut" => {
                let path = "/etc/dracut.conf.d/wherry.conf";
                let new = format!("add_drivers+=\" {} \"\n", wanted.join(" "));
                if self.guest.stat("/etc/dracut.conf.d").is_err() {
                    self.guest.make_directory("/etc/dracut.conf.d", None, reason)?;
                }
                self.replace(path, &text(self.guest, path).unwrap_or_default(), &new, reason)
            }
            _ => Ok(()),
        }
    }

    fn table(&mut self, path: &str, column: usize, all: &[Device]) -> Result<()> {
        let Some(old) = text(self.guest, path) else { return Ok(()) };
        let (new, unknown) = fstab::rewrite(&old, column, all);
        self.replace(path, &old, &new, "device names depend on the disk controller; UUIDs do not")?;
        for name in unknown {
            let message = format!("{path} names {name}, which is not among the disks");
            self.warn("linux.fstab.unknown-device", message, "edit the entry, or add the option nofail");
        }
        Ok(())
    }

    fn command_lines(&mut self, all: &[Device], console: Option<&str>) -> Result<()> {
        let console = console.filter(|name| name.bytes().all(|c| c.is_ascii_alphanumeric()));
        let mut files: Vec<(String, bool)> = [
            ("/boot/grub/grub.cfg", true),
            ("/boot/grub2/grub.cfg", true),
            ("/etc/default/grub", true),
            ("/boot/grub/menu.lst", false),
            ("/boot/grub/grub.conf", false),
            ("/boot/extlinux/extlinux.conf", false),
            ("/boot/extlinux.conf", false),
            ("/etc/kernel/cmdline", false),
        ]
        .map(|(path, console)| (path.to_owned(), console))
        .into();
        let folder = "/boot/loader/entries";
        let entries = names(self.guest, folder).into_iter().filter(|name| name.ends_with(".conf")).take(256);
        files.extend(entries.map(|name| (format!("{folder}/{name}"), false)));
        // menu.lst and grub.conf, grub and grub2 may be links to each other
        let mut done = Vec::new();
        for (path, may_add) in files {
            let Ok(real) = self.guest.canonical(&path) else { continue };
            if done.contains(&real) {
                continue;
            }
            let Some(old) = text(self.guest, &path) else { continue };
            done.push(real);
            let new = grub::rewrite(&old, all, console.filter(|_| may_add));
            self.replace(
                &path,
                &old,
                &new.text,
                "the kernel command line must fit the new disk controller and console",
            )?;
            self.command_line_concerns(&path, new);
        }
        Ok(())
    }

    fn command_line_concerns(&mut self, path: &str, mut new: grub::Rewritten) {
        new.unknown.dedup();
        new.removed.dedup();
        for name in new.unknown {
            let message = format!("{path} names root={name}, which is not among the disks");
            self.warn("linux.boot.unknown-root", message, "correct root= in the guest before the move");
        }
        for name in new.removed {
            let message = format!("{path}: resume={name} was removed, it is not among the disks");
            self.warn("linux.boot.resume-removed", message, "set resume= again if the guest hibernates");
        }
    }

    fn stale(&self) -> Result<()> {
        let files = [
            (
                "/etc/udev/rules.d/70-persistent-net.rules",
                "it gives interface names to the old network cards",
            ),
            ("/etc/lvm/devices/system.devices", "it lists disks by identifiers of the old controller"),
        ];
        for (path, reason) in files {
            match self.guest.stat(path) {
                Ok(_) => self.guest.remove(path, reason)?,
                Err(error) if error.kind == ErrorKind::NotFound => {}
                Err(error) => return Err(error.within(path)),
            }
        }
        Ok(())
    }

    fn interfaces(&mut self, profile: &DeviceProfile, options: &[Fact]) -> Result<()> {
        let found = interfaces(self.guest);
        let names: Vec<&str> =
            found.iter().map(|(_, n)| n.as_str()).filter(|n| network::by_slot(n)).collect();
        for (n, name) in names.iter().enumerate() {
            let mac = find(options, &format!("nic.{n}.mac")).filter(|mac| network::is_mac(mac));
            let driver = network::driver(&profile.nic_model).filter(|_| names.len() == 1);
            let matched = match (mac, driver) {
                (Some(mac), _) => format!("MACAddress={}", mac.to_ascii_lowercase()),
                (None, Some(driver)) => format!("Driver={driver}"),
                (None, None) => {
                    let message =
                        format!("interface {name} will get another name, and its card is not known");
                    let remedy =
                        "give the card's address as option nic.N.mac, in the order of the interfaces";
                    self.warn("linux.network.interface-name", message, remedy);
                    continue;
                }
            };
            self.link(name, &matched)?;
        }
        Ok(())
    }

    fn link(&mut self, name: &str, matched: &str) -> Result<()> {
        let reason = format!("the network configuration names {name}, which the old hardware gave");
        for folder in ["/etc/systemd", "/etc/systemd/network"] {
            if self.guest.stat(folder).is_err() {
                self.guest.make_directory(folder, None, &reason)?;
            }
        }
        let path = format!("/etc/systemd/network/10-wherry-{name}.link");
        let old = text(self.guest, &path).unwrap_or_default();
        self.replace(&path, &old, &network::link(name, matched), &reason)?;
        self.result.notes.push(format!("the network card with {matched} keeps the name {name} ({path})"));
        Ok(())
    }
}

/// Module names in `modules.dep` or `modules.builtin`: `kernel/drivers/block/virtio_blk.ko.xz: ...`.
fn module_names(index: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(index);
    let paths = text.lines().filter_map(|line| line.split(':').next());
    let files = paths.filter_map(|path| path.rsplit('/').next()?.split_once(".ko"));
    files.map(|(name, _)| name.replace('-', "_")).collect()
}
