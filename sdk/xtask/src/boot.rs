//! Guests under QEMU's emulator: started, watched over the serial console, and asked on it.

use crate::console::{Console, Show};
use crate::disk::MIB;
use crate::image::{KINDS, Layout};
use crate::{quiet, root, shown};
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Debian's UEFI firmware (package ovmf).
const OVMF_CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
const OVMF_VARS: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";
/// The card of the machine that the source disks came from; a rule in the guest names it.
const HOME_CARD: &str = "e1000e,netdev=net,mac=00:1b:21:3a:4c:5d";

/// How a boot ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The login prompt came.
    Login,
    /// The guest gave up on its root disk.
    Lost,
    /// Neither came in time.
    Silent,
    /// QEMU ended.
    Ended,
}

/// A running guest; it is killed when dropped.
pub struct Guest {
    qemu: Child,
    console: Console,
}

impl Guest {
    /// Starts QEMU, or a script that becomes it, with the console on its standard input and output.
    pub fn start(mut command: Command, log: &Path, show: Show) -> Result<Self> {
        let mut qemu = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {:?} (package qemu-system-x86)", command.get_program()))?;
        let console = Console::of(&mut qemu, log, show)?;
        Ok(Self { qemu, console })
    }

    /// Waits until the guest has decided.
    pub fn end(&mut self) -> Result<End> {
        self.console.end()
    }

    /// The newest lines, at most so many.
    pub fn tail(&self, count: usize) -> &[String] {
        self.console.tail(count)
    }

    /// Logs in as root, who has no password, at the prompt that `end` has seen.
    pub fn log_in(&mut self) -> Result<()> {
        self.console.send("root\n")?;
        self.console.wait_for("# ")?;
        // Kernel messages would stand between a command's lines, and colours in them.
        self.ask("dmesg -n 1; unalias -a").map(drop)
    }

    /// What a shell command printed; an error if it failed.
    pub fn ask(&mut self, command: &str) -> Result<String> {
        self.console.ask(command)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // Killing a guest that has ended already is no failure.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// What a guest says of itself once it is up.
pub struct Answers {
    /// The device that is mounted at `/`.
    pub root: String,
    /// The drivers between the disk it lies on and the machine's root, nearest first.
    pub drivers: String,
    /// The interface that the source's configuration names, its state and its IPv4 address.
    pub network: String,
    /// Units that failed; empty if none did.
    pub failed: String,
}

const ROOT: &str = "findmnt -no SOURCE /";
const DRIVERS: &str = "d=$(lsblk -nslo NAME,TYPE $(findmnt -nvo SOURCE /) | awk '$2==\"disk\"{print $1}' | sort -u); \
    d=$(readlink -f /sys/class/block/$d/device); \
    while [ $d != / ]; do [ -e $d/driver ] && basename $(readlink $d/driver); d=$(dirname $d); done";
/// DHCP may still be under way when the prompt comes.
const NETWORK: &str = "for i in $(seq 60); do ip -br -4 address show enp0s25 2>/dev/null | grep . && break; sleep 1; done; \
    ip -br link | cat";

impl Answers {
    /// Asks a guest at its login prompt.
    pub fn of(guest: &mut Guest) -> Result<Self> {
        guest.log_in()?;
        Ok(Self {
            root: guest.ask(ROOT)?,
            drivers: guest.ask(DRIVERS)?.replace('\n', " "),
            network: guest.ask(NETWORK)?,
            failed: guest.ask("systemctl --failed --no-legend")?,
        })
    }
}

impl std::fmt::Display for Answers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "root file system  {}", self.root)?;
        writeln!(f, "drivers           {}", self.drivers)?;
        writeln!(f, "network           {}", self.network.replace('\n', "\n                  "))?;
        write!(f, "failed units      {}", if self.failed.is_empty() { "none" } else { &self.failed })
    }
}

/// Boots an image, showing its console and its answers; an error unless the guest reached its login.
pub fn login(image: &Path, hardware: &str) -> Result<()> {
    println!("> boot {} on {hardware}", shown(image));
    let mut guest = start(image, hardware, Show::Lines)?;
    match guest.end()? {
        End::Login => println!("{}", Answers::of(&mut guest)?),
        end => bail!("{} did not reach a login on {hardware}: {end:?}", shown(image)),
    }
    Ok(())
}

/// Starts a guest from an image, without ever writing to it, on a kind of disk and network hardware.
pub fn start(image: &Path, hardware: &str, show: Show) -> Result<Guest> {
    let name = image.file_stem().unwrap_or_default().to_string_lossy();
    let log = root().join(format!(".work/log/boot-{name}-{hardware}.log"));
    Guest::start(machine(image, hardware)?, &log, show)
}

fn machine(image: &Path, hardware: &str) -> Result<Command> {
    // UEFI firmware shows a loader only the disks that have a boot index.
    let devices: &[&str] = match hardware {
        // The machine that the source disk came from.
        "ahci" => &["ide-hd,drive=disk,bus=ide.0,bootindex=1", HOME_CARD],
        "virtio-blk" => &["virtio-blk-pci,drive=disk,bootindex=1", "virtio-net-pci,netdev=net"],
        "virtio-scsi" => &[
            "virtio-scsi-pci,id=scsi",
            "scsi-hd,drive=disk,bus=scsi.0,bootindex=1",
            "virtio-net-pci,netdev=net",
        ],
        "nvme" => &["nvme,drive=disk,serial=wherry,bootindex=1", "virtio-net-pci,netdev=net"],
        other => bail!("no hardware called {other}: ahci, virtio-blk, virtio-scsi or nvme"),
    };
    let format = if image.extension().is_some_and(|e| e == "qcow2") { "qcow2" } else { "raw" };
    // In a -drive option a comma in a file name is written twice.
    let file = image.to_str().context("the image's path is no UTF-8")?.replace(',', ",,");
    // What a server gives has an overlay there.
    let snapshot = if file.starts_with("nbd") { "off" } else { "on" };
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(["-machine", "q35,accel=tcg", "-cpu", "max", "-smp", "2", "-m", "1024"]);
    qemu.args(["-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot"]);
    qemu.arg("-drive").arg(format!("file={file},format={format},if=none,id=disk,snapshot={snapshot}"));
    qemu.args(["-netdev", "user,id=net,restrict=on"]);
    devices.iter().for_each(|device| {
        qemu.args(["-device", device]);
    });
    if uefi(image) {
        qemu.args(firmware(image)?);
    }
    Ok(qemu)
}

/// Whether this is the source disk that boots by UEFI.
fn uefi(image: &Path) -> bool {
    let kind = KINDS.iter().find(|kind| kind.path() == image);
    kind.is_some_and(|kind| matches!(kind.layout, Layout::Uefi | Layout::SystemdBoot))
}

/// The firmware, and the disk's own loader on a stick beside it: its machine had a boot entry for that loader in its memory,
/// which does not travel with a disk.
fn firmware(image: &Path) -> Result<Vec<String>> {
    let stick = root().join(".work/stick");
    std::fs::create_dir_all(stick.join("EFI/BOOT"))?;
    let volume = format!("{}@@{MIB}", image.display());
    let mut mcopy = Command::new("mcopy");
    mcopy.args(["-n", "-o", "-i", &volume, "::EFI/debian/grubx64.efi"]);
    quiet(mcopy.arg(stick.join("EFI/BOOT/BOOTX64.EFI")))?;
    let drives = [
        format!("if=pflash,unit=0,format=raw,readonly=on,file={OVMF_CODE}"),
        format!("if=pflash,unit=1,format=raw,snapshot=on,file={OVMF_VARS}"),
        format!("if=none,id=stick,format=raw,readonly=on,file=fat:{}", stick.display()),
    ];
    let devices = ["qemu-xhci", "usb-storage,drive=stick,bootindex=0"];
    let drives = drives.into_iter().flat_map(|drive| ["-drive".into(), drive]);
    Ok(drives.chain(devices.iter().flat_map(|device| ["-device".into(), (*device).to_owned()])).collect())
}
