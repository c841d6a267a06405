//! `wherry plan` and `wherry migrate` by the built program, on a small guest.

use crate::guest::{SIZE, disk, fsck, read, tool};
use crate::{program, text};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

pub const DRIVERS: &[&str] = &["virtio_pci", "virtio_blk", "virtio_net", "virtio_scsi", "sd_mod"];

/// A folder with a guest's disk in it.
struct Place {
    folder: tempfile::TempDir,
    disk: PathBuf,
}

impl Place {
    fn new(builtin: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let disk = disk(folder.path(), builtin);
        Self { folder, disk }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program with a fixed time, so that two runs can be compared.
    fn command(&self, verb: &str, to: &str, more: &[&str]) -> Command {
        let mut command = program();
        command.env("SOURCE_DATE_EPOCH", "1790000000");
        command.arg(verb).arg(format!("raw:{}", self.disk.display()));
        command.arg("--to").arg(format!("kvm:{}", self.path(to).display())).args(more);
        command
    }

    fn run(&self, verb: &str, to: &str, more: &[&str]) -> Output {
        self.command(verb, to, more).output().unwrap()
    }

    fn json(&self, verb: &str, to: &str, more: &[&str]) -> Value {
        let shown = self.run(verb, to, &[more, &["--output", "json"]].concat());
        assert!(shown.status.success(), "{}", text(&shown.stderr));
        serde_json::from_slice(&shown.stdout).unwrap()
    }
}

#[test]
fn a_plan_says_every_edit_and_writes_nothing() {
    let place = Place::new(DRIVERS);
    let before = std::fs::read(&place.disk).unwrap();
    let answer = place.json("plan", "out", &[]);
    let plan = &answer["plan"];
    assert_eq!((&plan["name"], &plan["source-adapter"]), (&"small".into(), &"os-linux".into()));
    let edits = plan["edits"].as_array().unwrap();
    let of =
        |path: &str| edits.iter().find(|edit| edit["object"] == path).unwrap_or_else(|| panic!("{path}"));
    let fstab = of("/etc/fstab");
    assert!(fstab["after"].as_str().unwrap().starts_with("# a comment that stays\nUUID="), "{fstab}");
    assert!(fstab["before"].as_str().unwrap().contains("/dev/sda1") && fstab["reason"].is_string());
    assert!(of("/boot/grub/grub.cfg")["after"].as_str().unwrap().contains("root=UUID="));
    assert!(answer["outcome"].is_null() && plan["bytes"]["data"].as_u64().unwrap() > 40 << 20);
    assert!(answer["adapter-calls"]["count"].as_u64().unwrap() > 0);
    assert!(!place.path("out").exists(), "a plan makes no directory");
    assert!(std::fs::read(&place.disk).unwrap() == before, "a source is never written");
    let shown = text(&place.run("plan", "out", &[]).stdout);
    assert!(shown.contains("- /dev/sda1 / ext4") && shown.contains("+ UUID="), "{shown}");
}

#[test]
fn a_migrated_disk_holds_the_edits_and_everything_else() {
    let place = Place::new(DRIVERS);
    let before = std::fs::read(&place.disk).unwrap();
    let answer = place.json("migrate", "out", &["--verify"]);
    let file = place.path("out/small.qcow2");
    assert_eq!(answer["outcome"]["disks"][0]["file"].as_str().unwrap(), file.to_str().unwrap());
    tool("qemu-img", &["check", "-q", file.to_str().unwrap()]);
    let raw = place.path("back.raw");
    tool("qemu-img", &["convert", "-O", "raw", file.to_str().unwrap(), raw.to_str().unwrap()]);
    assert_eq!(std::fs::metadata(&raw).unwrap().len(), SIZE);
    fsck(place.folder.path(), &raw);
    assert!(read(&raw, "/etc/fstab").contains("UUID="));
    let data = |disk: &Path| blake3(read_bytes(disk, "/srv/data"));
    assert_eq!(data(&raw), data(&place.disk), "what is not edited is the same");
    assert!(std::fs::read(&place.disk).unwrap() == before, "a source is never written");
    for name in ["small.xml", "small.sh", "small.wherry.json"] {
        assert!(place.path("out").join(name).exists(), "{name}");
    }
    // Again: nothing is changed, and it is said.
    let made = std::fs::metadata(&file).unwrap().modified().unwrap();
    let again = place.json("migrate", "out", &["--verify"]);
    assert_eq!(again["outcome"]["already-done"], true);
    assert_eq!(std::fs::metadata(&file).unwrap().modified().unwrap(), made);
    // Another machine of that name is refused, and what is there stays.
    let other = place.run("migrate", "out", &["--cpus", "3"]);
    assert_eq!(other.status.code(), Some(1));
    assert!(text(&other.stderr).contains("claimed by another run"), "{}", text(&other.stderr));
    assert_eq!(std::fs::metadata(&file).unwrap().modified().unwrap(), made);
}

fn read_bytes(disk: &Path, path: &str) -> Vec<u8> {
    let device = format!("{}?offset=1048576", disk.display());
    let mut debugfs = Command::new("/sbin/debugfs");
    debugfs.args(["-R", &format!("cat {path}")]).arg(device).output().unwrap().stdout
}

fn blake3(bytes: Vec<u8>) -> (usize, u64) {
    let sum = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325u64, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    (bytes.len(), sum)
}

#[test]
fn a_source_in_qcow2_arrives_as_the_same_raw_disk() {
    let mut place = Place::new(DRIVERS);
    let wish = ["--wish", "format=raw"];
    place.json("migrate", "one", &wish);
    let packed = place.path("disk.qcow2");
    let (from, to) = (place.disk.to_str().unwrap(), packed.to_str().unwrap());
    tool("qemu-img", &["convert", "-c", "-O", "qcow2", from, to]);
    let mut command = place.command("migrate", "two", &wish);
    place.disk = packed.clone();
    command = replaced(command, &format!("qcow2:{}", packed.display()));
    let shown = command.output().unwrap();
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    let read = |name: &str| std::fs::read(place.path(name)).unwrap();
    assert!(read("one/small.raw") == read("two/small.raw"));
}

/// The same command with another first disk.
pub fn replaced(command: Command, disk: &str) -> Command {
    let mut new = Command::new(command.get_program());
    command.get_envs().for_each(|(key, value)| {
        new.env(key, value.unwrap());
    });
    let words = command.get_args().map(|word| word.to_owned());
    new.args(words.enumerate().map(|(n, word)| if n == 1 { disk.into() } else { word }));
    new
}

#[test]
fn deleted_data_is_left_behind() {
    let place = Place::new(DRIVERS);
    let device = format!("{}?offset=1048576", place.disk.display());
    tool("/sbin/debugfs", &["-w", "-R", "rm /srv/data", &device]);
    let answer = place.json("migrate", "out", &["--wish", "format=raw"]);
    let bytes = |value: &Value| value.as_u64().unwrap();
    assert!(bytes(&answer["plan"]["bytes"]["unused"]) >= 40 << 20, "{}", answer["plan"]["bytes"]);
    assert!(bytes(&answer["outcome"]["disks"][0]["bytes-read"]) < 20 << 20, "{}", answer["outcome"]);
    let made = place.path("out/small.raw");
    fsck(place.folder.path(), &made);
    let file = |disk: &Path| read(disk, "/lib/modules/6.1.0-1-amd64/modules.builtin");
    assert_eq!(file(&made), file(&place.disk), "what is left is the same");
    let noise = read_bytes(&place.disk, "/boot/initrd.img-6.1.0-1-amd64");
    assert!(read_bytes(&made, "/boot/initrd.img-6.1.0-1-amd64").starts_with(&noise) && !noise.is_empty());
}

#[test]
fn a_driver_that_the_guest_lacks_blocks_before_a_byte_is_written() {
    let place = Place::new(&["ahci"]);
    for verb in ["plan", "migrate"] {
        let shown = place.run(verb, "out", &[]);
        assert_eq!(shown.status.code(), Some(3), "{}", text(&shown.stderr));
        let said = text(&shown.stdout);
        assert!(said.contains("BLOCKING") && said.contains("virtio_blk"), "{said}");
        assert!(!place.path("out").exists());
    }
}

#[test]
fn wrong_words_and_wrong_places_are_told_apart() {
    let place = Place::new(DRIVERS);
    let code = |shown: &Output| (shown.status.code().unwrap(), text(&shown.stderr));
    let (usage, message) = code(&place.run("plan", "out", &["--limit", "memory=much"]));
    assert!(usage == 2 && message.contains("64M"), "{message}");
    let mut strange = place.command("plan", "out", &[]);
    strange = replaced(strange, "tape:/dev/st0");
    let (usage, message) = code(&strange.output().unwrap());
    assert!(usage == 2 && message.contains("known are: ") && message.contains("qcow2"), "{message}");
    let (fault, message) = code(&place.run("plan", "out", &["--limit", "memory=1M"]));
    assert!(fault == 4 && message.contains("memory"), "{fault}: {message}");
    std::fs::write(place.path("file"), "in the way").unwrap();
    let (failed, message) = code(&place.run("migrate", "file/out", &[]));
    assert!(failed == 1 && message.contains("file/out"), "{message}");
    let (failed, message) = code(&place.run("plan", "out", &["--wish", "disk-bus=mfm"]));
    assert!(failed == 3, "{failed}: {message}");
}

#[test]
fn killed_at_twenty_moments_and_resumed_the_result_is_the_same() {
    let place = Place::new(DRIVERS);
    let undisturbed = place.run("migrate", "calm", &[]);
    assert!(undisturbed.status.success(), "{}", text(&undisturbed.stderr));
    let (mut random, mut killed, mut resumed) = (77u64, 0, false);
    let partial = place.path("rough/.small.qcow2.wherry-partial");
    while killed < 20 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let mut command = place.command("migrate", "rough", &["--limit-rate", "30M", "--checkpoint", "0.05"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(100 + random % 600));
        resumed |= partial.exists();
        let ended = child.try_wait().unwrap().is_some();
        child.kill().unwrap();
        child.wait().unwrap();
        killed += 1;
        if ended {
            // It got through meanwhile: the next twentieth starts from nothing again.
            assert!(place.path("rough/small.qcow2").exists());
            std::fs::remove_dir_all(place.path("rough")).unwrap();
        }
    }
    assert!(resumed, "no run was killed while it wrote");
    let last = place.run("migrate", "rough", &[]);
    assert!(last.status.success(), "{}", text(&last.stderr));
    let read = |name: &str| std::fs::read(place.path(name)).unwrap();
    assert!(read("calm/small.qcow2") == read("rough/small.qcow2"));
    let rest: Vec<_> =
        std::fs::read_dir(place.path("rough")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!rest.iter().any(|name| name.to_string_lossy().contains("partial")), "{rest:?}");
}
