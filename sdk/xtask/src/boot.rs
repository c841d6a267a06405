//! Boots an image under QEMU's emulator, never writing to it, and waits for its login prompt.

use anyhow::{Context, Result, bail};
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How long a guest may take; an emulated Debian needs 45 to 150 s.
const PATIENCE: Duration = Duration::from_secs(300);
const PROMPT: &str = "login:";
/// What a Debian initramfs says when it gives up on the root disk.
const LOST: [&str; 2] = ["(initramfs)", "Kernel panic"];

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

/// Boots and tells; an error unless the guest reached its login.
pub fn login(image: &Path, hardware: &str) -> Result<()> {
    match boot(image, hardware)? {
        End::Login => Ok(()),
        end => bail!("{} did not reach a login on {hardware}: {end:?}", image.display()),
    }
}

/// Boots an image on a kind of disk and network hardware.
pub fn boot(image: &Path, hardware: &str) -> Result<End> {
    let devices: &[&str] = match hardware {
        // The machine that the source disk came from.
        "ahci" => &["ide-hd,drive=disk,bus=ide.0", "e1000e,netdev=net,mac=00:1b:21:3a:4c:5d"],
        "virtio-blk" => &["virtio-blk-pci,drive=disk", "virtio-net-pci,netdev=net"],
        "virtio-scsi" => {
            &["virtio-scsi-pci,id=scsi", "scsi-hd,drive=disk,bus=scsi.0", "virtio-net-pci,netdev=net"]
        }
        "nvme" => &["nvme,drive=disk,serial=wherry", "virtio-net-pci,netdev=net"],
        other => bail!("no hardware called {other}: ahci, virtio-blk, virtio-scsi or nvme"),
    };
    let format = if image.extension().is_some_and(|e| e == "qcow2") { "qcow2" } else { "raw" };
    // In a -drive option a comma in a file name is written twice.
    let file = image.to_str().context("the image's path is no UTF-8")?.replace(',', ",,");
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(["-machine", "q35,accel=tcg", "-cpu", "max", "-smp", "2", "-m", "1024"]);
    qemu.args(["-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot"]);
    qemu.arg("-drive").arg(format!("file={file},format={format},if=none,id=disk,snapshot=on"));
    qemu.args(["-netdev", "user,id=net,restrict=on"]);
    devices.iter().for_each(|device| {
        qemu.args(["-device", device]);
    });
    println!("> boot {} on {hardware}", image.display());
    let mut guest = qemu
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start qemu-system-x86_64 (Debian package qemu-system-x86)")?;
    let end = console(&mut guest).map(|lines| watch(&lines));
    // Killing a guest that has ended already is no failure.
    let _ = guest.kill();
    let _ = guest.wait();
    end
}

/// The console's bytes, by a thread, so that waiting for them can end.
fn console(guest: &mut Child) -> Result<Receiver<Vec<u8>>> {
    let mut output = guest.stdout.take().context("no console")?;
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = output.read(&mut bytes) {
            if sender.send(bytes[..count].to_vec()).is_err() {
                break;
            }
        }
    });
    Ok(receiver)
}

/// Prints the guest's lines with the seconds since its start, until one of them decides.
fn watch(console: &Receiver<Vec<u8>>) -> End {
    let start = Instant::now();
    let mut line = String::new();
    let end = loop {
        let left = PATIENCE.saturating_sub(start.elapsed());
        match console.recv_timeout(left) {
            Ok(bytes) => line.push_str(&String::from_utf8_lossy(&bytes)),
            Err(RecvTimeoutError::Timeout) => break End::Silent,
            Err(RecvTimeoutError::Disconnected) => break End::Ended,
        }
        let decided = decide(&line);
        while let Some(at) = line.find('\n') {
            show(start, &line[..at]);
            line.drain(..=at);
        }
        if let Some(end) = decided {
            break end;
        }
    };
    show(start, &line);
    println!("{end:?} after {:.1} s", start.elapsed().as_secs_f64());
    end
}

fn decide(text: &str) -> Option<End> {
    if text.contains(PROMPT) {
        return Some(End::Login);
    }
    LOST.iter().any(|sign| text.contains(sign)).then_some(End::Lost)
}

/// One console line without its control characters.
fn show(start: Instant, line: &str) {
    let clean: String = line.chars().filter(|c| !c.is_control()).collect();
    if !clean.trim().is_empty() {
        println!("{:6.1} | {clean}", start.elapsed().as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_or_a_lost_root_decides() {
        assert_eq!(decide("wherry-demo login: "), Some(End::Login));
        assert_eq!(decide("ALERT!  /dev/sda1 does not exist.\n(initramfs) "), Some(End::Lost));
        assert_eq!(decide("Starting systemd-logind.service"), None);
    }
}
