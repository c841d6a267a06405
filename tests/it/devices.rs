//! Disks that go onto block devices: what is refused, and that they arrive complete or visibly not.

use crate::guest::{disk, fsck, tool};
use crate::loops::Loop;
use crate::nbd::Server;
use crate::{built, components, text};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const DRIVERS: &[&str] = &["virtio_pci", "virtio_blk", "virtio_net"];
const MIB: u64 = 1 << 20;
/// Bytes of the source.
const SIZE: usize = crate::guest::SIZE as usize;

/// A guest's disk, the adapters with the one that answers devices, and a device.
struct Place {
    folder: TempDir,
    source: PathBuf,
    device: Loop,
}

impl Place {
    fn new(sector: u32, size: u64, fill: u8) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let source = disk(folder.path(), DRIVERS);
        let adapters = folder.path().join("adapters");
        std::fs::create_dir(&adapters).unwrap();
        let own = components().with_file_name("hostile").join("hostile-devices.wasm");
        let others = std::fs::read_dir(components()).unwrap().map(|entry| entry.unwrap().path());
        let components = others.filter(|path| path.extension().is_some_and(|end| end == "wasm"));
        for file in components.chain([own]) {
            let to = adapters.join(file.file_name().unwrap());
            std::fs::copy(&file, to).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        }
        let device = Self::attach(&folder.path().join("device"), sector, size, fill)?;
        Some(Self { folder, source, device })
    }

    fn attach(file: &Path, sector: u32, size: u64, fill: u8) -> Option<Loop> {
        std::fs::write(file, vec![fill; size as usize]).unwrap();
        Loop::new(file, sector)
    }

    fn command(&self, device: &str, more: &[&str]) -> Command {
        let mut command = Command::new(built().join("wherry"));
        command.env("WHERRY_ADAPTERS", self.folder.path().join("adapters"));
        command.env("SOURCE_DATE_EPOCH", "1790000000");
        command.env("XDG_CACHE_HOME", Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/test-cache"));
        command.arg("migrate").arg(format!("raw:{}", self.source.display()));
        command.arg("--to").arg(format!("devices:{}", self.folder.path().join("out").display()));
        command.args(["--wish", &format!("device.0={device}")]).args(more);
        command
    }

    fn run(&self, more: &[&str]) -> Output {
        self.command(&self.device.path, more).output().unwrap()
    }

    /// The words of a refusal.
    fn refused(&self, device: &str, more: &[&str]) -> String {
        let shown = self.command(device, more).output().unwrap();
        assert_eq!(shown.status.code(), Some(1), "{}{}", text(&shown.stdout), text(&shown.stderr));
        text(&shown.stderr)
    }

    fn device(&self) -> Vec<u8> {
        std::fs::read(&self.device.path).unwrap()
    }

    /// What a migration into a file makes of the same guest.
    fn expected(&self) -> Vec<u8> {
        let to = format!("kvm:{}", self.folder.path().join("kvm").display());
        let mut command = Command::new(built().join("wherry"));
        command.env("WHERRY_ADAPTERS", components()).env("SOURCE_DATE_EPOCH", "1790000000");
        command.arg("migrate").arg(format!("raw:{}", self.source.display()));
        let shown = command.args(["--to", &to, "--wish", "format=raw"]).output().unwrap();
        assert!(shown.status.success(), "{}", text(&shown.stderr));
        std::fs::read(self.folder.path().join("kvm/small.raw")).unwrap()
    }

    /// What the run left besides the job's record.
    fn rest(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path().join("out")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.contains("checkpoint")).collect()
    }
}

#[test]
fn a_disk_arrives_on_a_device_complete_and_verified() {
    let Some(place) = Place::new(512, SIZE as u64 + MIB, 0xee) else { return };
    let device = place.device.path.clone();
    let shown = place.run(&["--overwrite-device", &device, "--verify"]);
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    let arrived = place.device();
    assert!(arrived[..SIZE] == place.expected(), "not what goes into a file");
    assert!(arrived[SIZE..].iter().all(|byte| *byte == 0xee), "what lies behind is nobody's business");
    assert!(place.rest().is_empty(), "{:?}", place.rest());
    let copy = place.folder.path().join("copy.raw");
    std::fs::write(&copy, &arrived[..SIZE]).unwrap();
    fsck(place.folder.path(), &copy);
    let again = place.run(&["--overwrite-device", &device]);
    assert!(text(&again.stdout).contains("has done this already"), "{}", text(&again.stdout));
}

#[test]
fn a_device_that_may_not_be_overwritten_is_refused_and_stays() {
    let Some(place) = Place::new(512, SIZE as u64, 0) else { return };
    let device = place.device.path.as_str();
    let refused = |more: &[&str], words: &str| {
        let before = place.device();
        let said = place.refused(device, more);
        assert!(said.contains(device) && said.contains(words), "{words}: {said}");
        assert!(place.device() == before, "{words}");
    };
    refused(&[], "say --device");
    refused(&["--device", "/dev/null"], "say --device");
    let nowhere = place.refused("/dev/nowhere", &["--device", "/dev/nowhere"]);
    assert!(nowhere.contains("no such device"), "{nowhere}");
    let file = place.folder.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    let file = file.to_str().unwrap();
    assert!(place.refused(file, &["--overwrite-device", file]).contains("no block device"));
    assert_eq!(std::fs::read(file).unwrap(), b"precious");

    // In use, then with an old file system on it.
    let mounted = place.folder.path().join("mounted");
    std::fs::create_dir(&mounted).unwrap();
    tool("/sbin/mke2fs", &["-q", "-F", "-t", "ext4", device]);
    tool("mount", &[device, mounted.to_str().unwrap()]);
    let said = place.refused(device, &["--overwrite-device", device]);
    tool("umount", &[mounted.to_str().unwrap()]);
    assert!(said.contains("in use"), "{said}");
    refused(&["--device", device], "say --overwrite-device");

    let small = Place::attach(&place.folder.path().join("small"), 512, SIZE as u64 - 512, 0).unwrap();
    let said = place.refused(&small.path, &["--device", &small.path]);
    assert!(said.contains("use a larger device"), "{said}");
    let large = Place::attach(&place.folder.path().join("large"), 4096, SIZE as u64, 0).unwrap();
    let said = place.refused(&large.path, &["--device", &large.path]);
    assert!(said.contains("sectors of 4096 bytes"), "{said}");

    // A source, by another of its names.
    let mut itself = place.command(device, &["--overwrite-device", device]);
    let link = place.folder.path().join("link");
    std::fs::write(place.folder.path().join("device"), std::fs::read(&place.source).unwrap()).unwrap();
    std::os::unix::fs::symlink(device, &link).unwrap();
    let before = place.device();
    itself = crate::migrate::replaced(itself, &format!("raw:{}", link.display()));
    let said = text(&itself.output().unwrap().stderr);
    assert!(said.contains("which is never written"), "{said}");
    assert!(place.device() == before);
}

#[test]
fn killed_at_random_moments_it_is_complete_or_visibly_not() {
    let Some(place) = Place::new(512, SIZE as u64, 0) else { return };
    let expected = place.expected();
    let device = place.device.path.as_str();
    let (mut random, mut marked) = (99u64, 0);
    // Once it has begun, the device is not empty, but what is on it is no loss.
    for round in 0..12 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let mut command =
            place.command(device, &["--device", device, "--limit-rate", "30M", "--checkpoint", "0.05"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(100 + random % 500));
        let ended = child.try_wait().unwrap().is_some();
        child.kill().unwrap();
        child.wait().unwrap();
        let there = place.device();
        marked += u32::from(there.starts_with(b"wherry: an incomplete copy"));
        assert!(there == expected || there[..512] != expected[..512], "round {round}");
        if ended {
            break;
        }
    }
    assert!(marked > 0, "no run was killed while it wrote");
    let last = place.run(&["--device", device, "--verify"]);
    assert!(last.status.success(), "{}", text(&last.stderr));
    assert!(place.device() == expected);
    assert!(place.rest().is_empty(), "{:?}", place.rest());
}

#[test]
fn a_disk_that_arrived_stays_when_a_later_step_fails() {
    let Some(place) = Place::new(512, SIZE as u64, 0) else { return };
    let device = place.device.path.as_str();
    let wish = ["--device", device, "--wish", "finish=once-failed"];
    let failed = place.run(&wish);
    assert_eq!(failed.status.code(), Some(1), "{}", text(&failed.stderr));
    let arrived = place.device();
    let again = place.run(&wish);
    assert!(again.status.success(), "{}", text(&again.stderr));
    assert!(text(&again.stdout).contains("complete from an earlier run"), "{}", text(&again.stdout));
    assert!(place.device() == arrived);
    // As if the kill had come between the last block and the record of it: what is there is no stranger's.
    let record = place.folder.path().join("out/.small.wherry-job.json");
    let mut job: serde_json::Value = serde_json::from_slice(&std::fs::read(&record).unwrap()).unwrap();
    assert_eq!(job["begun"], job["devices"]);
    (job["devices"], job["done"]) = (serde_json::json!([]), serde_json::Value::Null);
    std::fs::write(&record, job.to_string()).unwrap();
    let on = place.run(&wish);
    assert!(on.status.success() && place.device() == arrived, "{}", text(&on.stderr));
    // Without a word of having begun, it is.
    job["begun"] = serde_json::json!([]);
    std::fs::write(&record, job.to_string()).unwrap();
    assert!(place.refused(device, &wish).contains("say --overwrite-device"));
    assert!(place.device() == arrived);
}

#[test]
fn a_target_may_name_an_export_as_its_device() {
    let Some(place) = Place::new(512, MIB, 0) else { return };
    let (file, socket) = (place.folder.path().join("export"), place.folder.path().join("socket"));
    std::fs::write(&file, vec![0xee; SIZE]).unwrap();
    let _server = Server::qemu(&file, "raw", &socket, &[]);
    let uri = format!("nbd+unix:///?socket={}", socket.display());
    assert!(place.refused(&uri, &["--device", &uri]).contains("say --overwrite-device"));
    let shown = place.command(&uri, &["--overwrite-device", &uri, "--verify"]).output().unwrap();
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    assert!(std::fs::read(&file).unwrap() == place.expected(), "not what goes into a file");
    assert!(place.rest().is_empty(), "{:?}", place.rest());
    let again = place.command(&uri, &["--overwrite-device", &uri]).output().unwrap();
    assert!(text(&again.stdout).contains("has done this already"), "{}", text(&again.stdout));
}
