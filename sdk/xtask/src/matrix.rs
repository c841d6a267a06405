//! Migrated machines: each source disk converted, checked and booted on other hardware, judged by what the guest says.

use crate::boot::{Answers, End, Guest};
use crate::console::Show;
use crate::disk::{FileSystem, file_systems};
use crate::firmware::{self, Firmware};
use crate::image::{Kind, Layout};
use crate::{luks, packages, quiet, root, shown, wherry};
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Instant;

/// A kind of source disk and the disk bus it is converted for.
#[derive(Clone, Copy)]
struct Case {
    kind: &'static str,
    bus: &'static str,
    /// Another firmware than the source's, for which GRUB is lent.
    firmware: Option<Firmware>,
}

const fn case(kind: &'static str, bus: &'static str) -> Case {
    Case { kind, bus, firmware: None }
}

const fn to(kind: &'static str, bus: &'static str, firmware: Firmware) -> Case {
    Case { kind, bus, firmware: Some(firmware) }
}

/// What every `cargo xtask test` boots: at most six, since one takes a minute of a processor.
const USUAL: [Case; 6] = [
    case("ext4", "virtio-blk"),
    case("ext4", "virtio-scsi"),
    case("uefi", "nvme"),
    case("lvm", "virtio-blk"),
    case("btrfs", "virtio-blk"),
    case("dracut", "virtio-blk"),
];
/// What `--all` boots besides.
const HEAVY: [Case; 28] = [
    case("uefi", "virtio-scsi"),
    case("uefi", "virtio-blk"),
    case("ext4", "nvme"),
    case("lvm", "virtio-scsi"),
    case("lvm", "nvme"),
    case("dracut", "virtio-scsi"),
    case("dracut", "nvme"),
    case("deleted", "virtio-blk"),
    case("ext4", "ahci"),
    case("uefi", "ahci"),
    case("lvm", "ahci"),
    case("xfs", "virtio-blk"),
    case("md", "virtio-scsi"),
    case("verity", "virtio-blk"),
    case("luks", "virtio-blk"),
    case("trixie", "virtio-blk"),
    case("bullseye", "virtio-scsi"),
    case("bionic", "nvme"),
    case("resolute", "nvme"),
    case("extlinux", "virtio-blk"),
    case("grub-legacy", "virtio-scsi"),
    case("systemd-boot", "nvme"),
    to("ext4", "virtio-blk", Firmware::Uefi),
    to("lvm", "virtio-scsi", Firmware::Uefi),
    to("extlinux", "nvme", Firmware::Uefi),
    to("uefi", "virtio-blk", Firmware::Bios),
    to("systemd-boot", "virtio-scsi", Firmware::Bios),
    to("pygrub", "virtio-blk", Firmware::Bios),
];
/// An emulated boot keeps one core busy for most of its time, so two at a time suit two cores.
const AT_A_TIME: usize = 2;

/// Converts and boots; an error names every case that failed. `only` chooses those whose `kind/bus` contains it.
pub fn run(all: bool, only: &str) -> Result<()> {
    packages::install(packages::BOOT)?;
    let heavy = HEAVY.iter().filter(|_| all);
    let mut cases: Vec<Case> = USUAL.iter().chain(heavy).copied().collect();
    cases.retain(|case| case.name().contains(only));
    ensure!(!cases.is_empty(), "no case has `{only}` in its name");
    for case in &cases {
        crate::image::build(Kind::named(case.kind)?)?;
    }
    cases.reverse();
    let cases = Mutex::new(cases);
    let failed = Mutex::new(Vec::new());
    let work = || {
        let next = || cases.lock().ok().and_then(|mut cases| cases.pop());
        while let Some(case) = next() {
            if let Err(e) = case.report()
                && let Ok(mut failed) = failed.lock()
            {
                failed.push(format!("{}: {e:#}", case.name()));
            }
        }
    };
    std::thread::scope(|scope| {
        (0..AT_A_TIME).for_each(|_| {
            scope.spawn(work);
        });
    });
    let failed = failed.into_inner().ok().context("a boot panicked")?;
    ensure!(failed.is_empty(), "these did not boot as they should:\n{}", failed.join("\n"));
    Ok(())
}

impl Case {
    fn name(&self) -> String {
        let firmware = self.firmware.map(|firmware| format!("/{}", firmware.name())).unwrap_or_default();
        format!("{}/{}{firmware}", self.kind, self.bus)
    }

    fn report(&self) -> Result<()> {
        let start = Instant::now();
        let answers = self.prove();
        let seconds = start.elapsed().as_secs_f64();
        match &answers {
            Ok(answers) => println!("{seconds:7.1} s  {} boots\n{answers}", self.name()),
            Err(e) => println!("{seconds:7.1} s  {} FAILED: {e:#}", self.name()),
        }
        answers.map(drop)
    }

    /// Converts, has the real checkers look at the result, boots it and compares what the guest says.
    fn prove(&self) -> Result<Answers> {
        let kind = Kind::named(self.kind)?;
        let folder = root().join(format!(".work/boots/{}", self.name().replace('/', "-")));
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let mut migrate = wherry();
        migrate.arg("migrate").arg(format!("raw:{}", kind.path().display()));
        migrate.arg("--to").arg(format!("kvm:{}", folder.display()));
        migrate.args(["--name", "guest", "--wish", &format!("disk-bus={}", self.bus)]);
        if kind.layout == Layout::Luks {
            migrate.args(["--key", &luks::lent(&folder)?]);
        }
        if let Some(firmware) = self.firmware {
            firmware.ask(&mut migrate);
        }
        fs::write(folder.join("migrate.log"), quiet(&mut migrate)?)?;
        let image = folder.join("guest.qcow2");
        check(&image, &file_systems(kind))?;
        if let Some(firmware) = self.firmware {
            check(&image, &firmware.file_systems(kind))?;
            firmware::check_table(&image)?;
        }
        let mut guest = started(&folder, "guest", Show::Nothing)?;
        match guest.end()? {
            End::Login => {}
            end => bail!("{end:?} instead of a login, after {:?}; see {}", guest.tail(3), shown(&folder)),
        }
        let answers = Answers::of(&mut guest)?;
        self.judge(kind, &answers).with_context(|| format!("the guest says\n{answers}"))?;
        fs::remove_dir_all(&folder)?;
        Ok(answers)
    }

    fn judge(&self, kind: &Kind, answers: &Answers) -> Result<()> {
        let (disk, partition, driver) = match self.bus {
            "virtio-blk" => ("/dev/vda", "", "virtio_blk"),
            "virtio-scsi" => ("/dev/sda", "", "virtio_scsi"),
            "nvme" => ("/dev/nvme0n1", "p", "nvme"),
            "ahci" => ("/dev/sda", "", "ahci"),
            other => bail!("nothing is known of disks on {other}"),
        };
        let device = match kind.layout {
            Layout::Lvm | Layout::Md | Layout::Luks => "/dev/mapper/vg0-root".into(),
            Layout::Uefi | Layout::SystemdBoot | Layout::Verity => format!("{disk}{partition}2"),
            Layout::Btrfs => format!("{disk}{partition}1[/@rootfs]"),
            Layout::Plain
            | Layout::Deleted
            | Layout::Xfs
            | Layout::Extlinux
            | Layout::GrubLegacy
            | Layout::Pygrub => {
                format!("{disk}{partition}1")
            }
        };
        ensure!(answers.root == device, "root should be on {device}");
        let drivers = answers.drivers.split_whitespace().any(|one| one == driver);
        ensure!(drivers, "the disk should be driven by {driver}");
        let address = answers
            .network
            .lines()
            .any(|line| line.starts_with("enp0s25") && line.contains("UP") && line.contains("10.0.2.15"));
        ensure!(address, "enp0s25 should be up with the address of QEMU's network");
        ensure!(answers.failed.is_empty(), "no unit should have failed");
        Ok(())
    }
}

/// A machine started by the script that target-kvm wrote, on disks that stay as they are.
pub fn started(folder: &Path, name: &str, show: Show) -> Result<Guest> {
    let mut script = Command::new("sh");
    script.env("ACCEL", "tcg").arg(folder.join(format!("{name}.sh")));
    script.args(["-nographic", "-snapshot", "-no-reboot"]);
    Guest::start(script, &folder.join(format!("{name}.console.log")), show)
}

/// The image by `qemu-img check`, its file systems by their own checkers.
pub fn check(image: &Path, file_systems: &[FileSystem]) -> Result<()> {
    quiet(Command::new("qemu-img").args(["check", "-q", "-f", "qcow2"]).arg(image))?;
    let part: PathBuf = image.with_extension("part");
    let file = image.to_str().context("the image's path is no UTF-8")?.replace(',', ",,");
    for system in file_systems {
        let FileSystem { offset, size, .. } = system;
        let source = format!(
            "driver=raw,offset={offset},size={size},file.driver=qcow2,file.file.driver=file,file.file.filename={file}"
        );
        quiet(Command::new("qemu-img").args(["convert", "--image-opts", &source, "-O", "raw"]).arg(&part))?;
        quiet(system.checker.command().arg(&part))
            .with_context(|| format!("the file system at byte {offset}"))?;
        fs::remove_file(&part)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers() -> Answers {
        Answers {
            root: "/dev/nvme0n1p2".into(),
            drivers: "nvme".into(),
            network:
                "enp0s25          UP             10.0.2.15/24 \nlo               UNKNOWN        127.0.0.1/8"
                    .into(),
            failed: String::new(),
        }
    }

    fn complaint(answers: &Answers) -> String {
        let kind = Kind::named("uefi").unwrap();
        case("uefi", "nvme").judge(kind, answers).err().map(|e| e.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_guest_is_judged_by_everything_it_says() {
        assert_eq!(complaint(&answers()), "");
        let wrong = Answers { root: "/dev/sda2".into(), ..answers() };
        assert_eq!(complaint(&wrong), "root should be on /dev/nvme0n1p2");
        let wrong = Answers { drivers: "sd ahci".into(), ..answers() };
        assert_eq!(complaint(&wrong), "the disk should be driven by nvme");
        let wrong = Answers { network: "enp0s25          DOWN".into(), ..answers() };
        assert_eq!(complaint(&wrong), "enp0s25 should be up with the address of QEMU's network");
        let wrong = Answers { network: answers().network.replace("enp0s25", "enp1s0"), ..answers() };
        assert_eq!(complaint(&wrong), "enp0s25 should be up with the address of QEMU's network");
        let wrong = Answers { failed: "ifup@enp0s25.service".into(), ..answers() };
        assert_eq!(complaint(&wrong), "no unit should have failed");
    }

    #[test]
    fn every_case_has_a_recipe_and_is_there_once() {
        let mut names: Vec<String> = USUAL.iter().chain(&HEAVY).map(Case::name).collect();
        assert!(USUAL.iter().chain(&HEAVY).all(|case| Kind::named(case.kind).is_ok()));
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
