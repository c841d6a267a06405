//! `wherry convert` and `wherry disk` by the built program.

use crate::{program, text};
use serde_json::Value;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Command, Output};

const LENGTH: u64 = (70 << 20) + 512;

fn run(words: &[&str]) -> Output {
    let mut command = program();
    command.args(words).output().unwrap()
}

fn json(words: &[&str]) -> Value {
    let shown = run(&[words, &["--output", "json"]].concat());
    assert!(shown.status.success(), "{words:?}: {}", text(&shown.stderr));
    serde_json::from_slice(&shown.stdout).unwrap()
}

/// A folder with a disk that has holes, stored zeroes, text and noise.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let file = File::create(place.path("disk")).unwrap();
        file.set_len(LENGTH).unwrap();
        // Multiplied by an odd constant the counter's upper byte looks random enough not to shrink.
        let noise: Vec<u8> = (0..3u32 << 20)
            .map(|at| (at.wrapping_mul(at | 1).wrapping_mul(0x9e37_79b1) >> 24) as u8)
            .collect();
        file.write_all_at(&noise, 1 << 20).unwrap();
        file.write_all_at(&vec![0; 2 << 20], 30 << 20).unwrap();
        file.write_all_at(&b"text ".repeat(100_000), (40 << 20) + 777).unwrap();
        file.write_all_at(b"end", LENGTH - 3).unwrap();
        place
    }
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
    fn named(&self, format: &str, name: &str) -> String {
        format!("{format}:{}", self.path(name).display())
    }
}

/// Every format with the options that make another kind of file of it, and what `qemu-img` calls it.
const FORMATS: &[(&str, &[&str], &str)] = &[
    ("raw", &[], "raw"),
    ("qcow2", &[], "qcow2"),
    ("qcow2", &["compression=zstd"], "qcow2"),
    ("qcow2", &["cluster-size=2M"], "qcow2"),
    ("vmdk", &[], "vmdk"),
    ("vmdk", &["subformat=streamOptimized"], "vmdk"),
    ("vmdk", &["subformat=twoGbMaxExtentSparse"], "vmdk"),
    ("vmdk", &["subformat=monolithicFlat"], "vmdk"),
    ("vdi", &[], "vdi"),
    ("vhd", &[], "vpc"),
    ("vhd", &["subformat=fixed"], "vpc"),
    ("vhdx", &[], "vhdx"),
    ("vhdx", &["subformat=fixed", "block-size=1M"], "vhdx"),
];

#[test]
fn every_format_becomes_every_other() {
    let place = Place::new();
    let source = place.named("raw", "disk");
    for (one, (from, set, qemu)) in FORMATS.iter().enumerate() {
        let first = format!("first-{one}");
        convert(&source, &place.named(from, &first), set, &["--io-uring"]);
        qemu_compares(&place, &first, qemu);
        for (two, (to, set, qemu)) in FORMATS.iter().enumerate() {
            let second = format!("second-{one}-{two}");
            convert(&place.named(from, &first), &place.named(to, &second), set, &[]);
            qemu_compares(&place, &second, qemu);
            let answer = json(&["disk", "compare", &source, &place.named(to, &second)]);
            assert_eq!(answer["identical"], true, "{from} to {to}: {answer}");
        }
    }
}

fn convert(from: &str, to: &str, set: &[&str], more: &[&str]) {
    let set: Vec<&str> = set.iter().flat_map(|one| ["--set", one]).collect();
    let answer = json(&[&["convert", from, "--verify", "--to", to], more, &set[..]].concat());
    assert!(answer["copy"]["bytes-read"].as_u64().unwrap() < 20 << 20, "holes are not read: {answer}");
}

fn qemu_compares(place: &Place, name: &str, format: &str) {
    let files = [place.path("disk"), place.path(name)];
    let said = Command::new("qemu-img").args(["compare", "-f", "raw", "-F", format]).args(files).output();
    let said = said.unwrap();
    assert!(said.status.success(), "{name}: {}{}", text(&said.stdout), text(&said.stderr));
}

#[test]
fn the_source_s_format_may_be_said_apart_and_an_existing_file_stays() {
    let place = Place::new();
    let (disk, to) = (place.path("disk").display().to_string(), place.named("qcow2", "copy"));
    assert!(run(&["convert", &disk, "--from", "raw", "--to", &to]).status.success());
    let before = std::fs::read(place.path("copy")).unwrap();
    let again = run(&["convert", &disk, "--from", "raw", "--to", &to]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("exists already"), "{}", text(&again.stderr));
    assert!(std::fs::read(place.path("copy")).unwrap() == before);
    for (words, why) in [
        (["convert", &disk, "--to", &to], "has no format"),
        (["convert", &disk, "--from", "raw"].map(|word| word), "--to"),
    ] {
        let refused = run(&words);
        assert_eq!(refused.status.code(), Some(2), "{words:?}");
        assert!(text(&refused.stderr).contains(why), "{}", text(&refused.stderr));
    }
    let refused = run(&["convert", &disk, "--from", "raw", "--to", "qcow9:/nowhere/x"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("known are: "), "{}", text(&refused.stderr));
}

#[test]
fn disks_that_differ_are_told_apart() {
    let place = Place::new();
    let other = place.path("other");
    std::fs::copy(place.path("disk"), &other).unwrap();
    let at = (50 << 20) + 3;
    File::options().write(true).open(&other).unwrap().write_all_at(b"x", at).unwrap();
    let names = [place.named("raw", "disk"), place.named("raw", "other")];
    let shown = run(&["disk", "compare", &names[0], &names[1]]);
    assert_eq!(shown.status.code(), Some(1));
    assert!(text(&shown.stdout).contains(&format!("differ first at byte {at}")), "{}", text(&shown.stdout));
    // A longer disk is the same as long as its rest is zero.
    std::fs::copy(place.path("disk"), &other).unwrap();
    File::options().write(true).open(&other).unwrap().set_len(LENGTH + (1 << 20)).unwrap();
    let answer = json(&["disk", "compare", &names[1], &names[0]]);
    assert_eq!((&answer["identical"], &answer["same-size"]), (&true.into(), &false.into()));
}

#[test]
fn a_map_covers_the_disk_and_says_where_data_is() {
    let place = Place::new();
    convert(&place.named("raw", "disk"), &place.named("qcow2", "copy"), &[], &[]);
    let shown = run(&["disk", "map", &place.named("qcow2", "copy"), "--output", "json"]);
    let lines: Vec<Value> =
        text(&shown.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut at = 0;
    for line in &lines {
        assert_eq!(line["start"].as_u64(), Some(at));
        at += line["length"].as_u64().unwrap();
    }
    assert_eq!(at, LENGTH);
    let data = |at: u64| {
        let holds = |line: &&Value| {
            let start = line["start"].as_u64().unwrap();
            start <= at && at < start + line["length"].as_u64().unwrap()
        };
        lines.iter().find(holds).unwrap()["kind"] == "data"
    };
    assert!(data(1 << 20) && data((40 << 20) + 777) && data(LENGTH - 1));
    assert!(!data(0) && !data(31 << 20) && !data(60 << 20), "stored zeroes are not copied");
    let answer = json(&["disk", "info", &place.named("qcow2", "copy")]);
    assert_eq!(answer["source"]["size"].as_u64(), Some(LENGTH));
    assert_eq!(answer["image"]["unit"].as_u64(), Some(64 << 10));
}

/// Killed with the test.
struct Served(std::process::Child, String);

impl Served {
    fn start(words: &[&str]) -> Self {
        let mut command = program();
        let mut child = command
            .arg("serve")
            .args(words)
            .args(["--output", "json"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut out, &mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        Self(child, said["uri"].as_str().unwrap().to_owned())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

#[test]
fn a_served_disk_is_a_source_again() {
    let place = Place::new();
    convert(&place.named("raw", "disk"), &place.named("qcow2", "copy"), &["compression=zstd"], &[]);
    let source = place.named("raw", "disk");
    // The disk that the image holds, by a socket; the image itself, by TCP.
    let socket = place.path("socket").display().to_string();
    let disk = Served::start(&[&place.named("qcow2", "copy"), "--listen", &socket]);
    let file = Served::start(&[&place.named("raw", "copy"), "--listen", "127.0.0.1:0", "--name", "image"]);
    assert_eq!(json(&["disk", "compare", &source, &disk.1])["identical"], true);
    assert_eq!(json(&["disk", "compare", &source, &format!("qcow2:{}", file.1)])["identical"], true);
    convert(&disk.1, &place.named("raw", "back"), &[], &[]);
    qemu_compares(&place, "back", "raw");
}

#[test]
fn a_disk_is_served_only_encrypted_where_that_is_asked_for() {
    let place = Place::new();
    let (folder, socket) = (place.path("tls"), place.path("socket").display().to_string());
    std::fs::create_dir(&folder).unwrap();
    let (certificate, key) = (folder.join("server-cert.pem"), folder.join("server-key.pem"));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"]);
    openssl.args(["-subj", "/CN=localhost", "-out"]).arg(certificate).arg("-keyout").arg(key);
    assert!(openssl.output().unwrap().status.success());
    let source = place.named("raw", "disk");
    let served = Served::start(&[&source, "--listen", &socket, "--tls", folder.to_str().unwrap()]);
    assert!(served.1.starts_with("nbds+unix:///?socket="), "{}", served.1);
    assert_eq!(
        json(&["disk", "compare", &source, &format!("{}&tls-verify-peer=0", served.1)])["identical"],
        true
    );
    for (uri, why) in [(served.1.clone(), "certificate"), (served.1.replace("nbds", "nbd"), "say nbds://")] {
        let refused = run(&["disk", "compare", &source, &uri]);
        assert_eq!(refused.status.code(), Some(1));
        assert!(text(&refused.stderr).contains(why), "{}", text(&refused.stderr));
    }
}

#[test]
fn what_clients_write_to_an_overlay_is_gone_at_the_end() {
    let place = Place::new();
    let before = std::fs::read(place.path("disk")).unwrap();
    let socket = place.path("socket");
    let socket = socket.to_str().unwrap();
    let source = place.named("raw", "disk");
    let mut served = Served::start(&[&source, "--listen", socket, "--overlay"]);
    let write = Command::new("qemu-io").args(["-f", "raw", "-c", "write -P 9 1M 3M", &served.1]).output();
    assert!(write.unwrap().status.success());
    let shown = run(&["disk", "compare", &source, &served.1, "--output", "json"]);
    assert_eq!(shown.status.code(), Some(1));
    let answer: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(answer["first-difference"].as_u64(), Some(1 << 20));
    // An interrupt ends it in order: the socket goes.
    Command::new("kill").arg(served.0.id().to_string()).status().unwrap();
    assert!(served.0.wait().unwrap().success());
    assert!(!place.path("socket").exists());
    assert!(std::fs::read(place.path("disk")).unwrap() == before, "a source is never written");
}
