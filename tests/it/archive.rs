//! Archives by the built program: a guest is captured, looked at, deployed, brought up to date and served.

use crate::guest::disk;
use crate::{built, components, program, text};
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const DRIVERS: &[&str] = &["virtio_pci", "virtio_blk", "virtio_net", "virtio_scsi", "sd_mod"];

/// A folder with a guest's disk and an archive in it.
struct Place {
    folder: tempfile::TempDir,
    disk: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let disk = disk(folder.path(), DRIVERS);
        std::fs::write(folder.path().join("password"), "correct horse\nnot this line\n").unwrap();
        let place = Self { folder, disk };
        place.good(&["archive", "init", &place.name("archive"), "--chunk-size", "64K"]);
        place
    }
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
    fn name(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }
    fn raw(&self) -> String {
        format!("raw:{}", self.disk.display())
    }
    fn snapshot(&self, which: &str) -> String {
        format!("snapshot:{}#{which}", self.name("archive"))
    }
    fn command(&self, words: &[&str]) -> Command {
        let mut command = program();
        command.env("WHERRY_PASSWORD_FILE", self.path("password")).args(words);
        command
    }
    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }
    fn good(&self, words: &[&str]) -> String {
        let shown = self.run(words);
        assert!(shown.status.success(), "{words:?}: {}{}", text(&shown.stdout), text(&shown.stderr));
        text(&shown.stdout)
    }
    fn json(&self, words: &[&str]) -> Value {
        serde_json::from_str(&self.good(&[words, &["--output", "json"]].concat())).unwrap()
    }
    fn capture(&self, more: &[&str]) -> Value {
        let (disk, archive) = (self.raw(), self.name("archive"));
        self.json(&[&["capture", &disk, "--to", &archive], more].concat())
    }
}

#[test]
fn a_guest_is_captured_looked_at_and_deployed_without_its_source() {
    let place = Place::new();
    let archive = place.name("archive");
    let first = place.capture(&["--tag", "gold", "--cpus", "3", "--memory", "1536"]);
    assert_eq!((&first["machine"], &first["tags"][0]), (&"small".into(), &"gold".into()));
    assert!(first["added"]["chunks"].as_u64().unwrap() > 10);
    let second = place.capture(&[]);
    assert_eq!(second["added"]["chunks"], 0, "{second}");
    assert_eq!(second["parent"], first["id"]);

    let listed = place.json(&["archive", "snapshots", &archive]);
    assert_eq!(listed.as_array().unwrap().len(), 2);
    let shown = place.good(&["archive", "snapshots", &archive]);
    assert!(shown.contains("gold") && shown.contains(first["id"].as_str().unwrap()), "{shown}");
    let id = first["id"].as_str().unwrap();
    let shown = place.json(&["archive", "show", &archive, id]);
    assert_eq!(shown["description"]["operating-system"]["hostname"], "small");

    let compared = place.json(&["disk", "compare", &place.snapshot("latest"), &place.raw()]);
    assert_eq!(compared["identical"], true);
    let fstab = place.good(&["ls", &place.snapshot("small"), "/etc/fstab"]);
    assert!(fstab.contains("fstab") && fstab.starts_with('-'), "{fstab}");
    let out = place.name("fstab");
    place.good(&["cp", &place.snapshot("small"), "/etc/fstab", &out]);
    let again = place.run(&["cp", &place.snapshot("small"), "/etc/fstab", &out]);
    assert!(!again.status.success() && text(&again.stderr).contains("exists already"));
    assert!(std::fs::read_to_string(&out).unwrap().contains("/dev/sda1"));
    let etc = place.name("etc");
    place.good(&["cp", &place.snapshot("small"), "/etc", &etc]);
    assert_eq!(std::fs::read(place.path("etc/fstab")).unwrap(), std::fs::read(&out).unwrap());

    // What the source alone would give, and then without the source.
    let direct = format!("kvm:{}", place.name("direct"));
    place.good(&[
        "migrate",
        &place.raw(),
        "--to",
        &direct,
        "--cpus",
        "3",
        "--memory",
        "1536",
        "--wish",
        "format=raw",
    ]);
    std::fs::rename(&place.disk, place.path("away")).unwrap();
    let to = format!("kvm:{}", place.name("machines"));
    let deployed = place.json(&["deploy", &archive, id, "--to", &to, "--verify", "--wish", "format=raw"]);
    let plan = &deployed["plan"];
    assert_eq!((&plan["cpus"], &plan["memory-mib"]), (&3.into(), &1536.into()));
    assert!(!plan["edits"].as_array().unwrap().is_empty());
    let file = |folder: &str| {
        let mut entries = std::fs::read_dir(place.path(folder)).unwrap().flatten().map(|entry| entry.path());
        entries.find(|path| path.extension().is_some_and(|end| end == "raw" || end == "img")).unwrap()
    };
    let (one, other) = (file("direct"), file("machines"));
    assert_eq!(one.metadata().unwrap().len(), other.metadata().unwrap().len());
    let names = [format!("raw:{}", one.display()), format!("raw:{}", other.display())];
    let compared = place.run(&["disk", "compare", &names[0], &names[1], "--output", "json"]);
    let answer: Value = serde_json::from_slice(&compared.stdout).unwrap();
    // Both are edited at their own times; the sizes are the same, and where they differ is metadata.
    assert_eq!(answer["same-size"], true, "{answer}");
}

/// Runs `wherry` on a terminal of its own (by script(1)), waits for each prompt and types the answer; what was shown.
fn on_a_terminal(place: &Place, words: &[&str], answers: &[(&str, &str)]) -> (bool, String) {
    let program = built().join("wherry").display().to_string();
    let line = [&[program.as_str()], words].concat().join(" ");
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).env("WHERRY_ADAPTERS", components());
    command.env("XDG_CACHE_HOME", place.path("cache")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut typed, mut seen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut shown = Vec::new();
    for (prompt, answer) in answers {
        let from = shown.len();
        while !text(&shown[from..]).contains(prompt) {
            let mut byte = [0];
            assert!(seen.read(&mut byte).unwrap() == 1, "{}", text(&shown));
            shown.push(byte[0]);
        }
        typed.write_all(answer.as_bytes()).unwrap();
    }
    seen.read_to_end(&mut shown).unwrap();
    (child.wait().unwrap().success(), text(&shown))
}

#[test]
fn a_password_is_asked_for_on_a_terminal_and_not_shown() {
    let place = Place::new();
    let made = place.name("typed");
    let (new, again) = ("password of the new archive ", "once more: ");
    let init = ["archive", "init", &made];
    let (done, shown) = on_a_terminal(&place, &init, &[(new, "hush-one\n"), (again, "hush-two\n")]);
    assert!(!done && shown.contains("differ") && !place.path("typed").exists(), "{shown}");
    let (done, shown) = on_a_terminal(&place, &init, &[(new, "hush\x03")]);
    assert!(!done && shown.contains("stopped") && !place.path("typed").exists(), "{shown}");
    let (done, shown) = on_a_terminal(&place, &init, &[(new, "\n"), (again, "\n")]);
    assert!(!done && shown.contains("--plain") && !place.path("typed").exists(), "{shown}");
    let (done, shown) = on_a_terminal(&place, &init, &[(new, "hush-one\n"), (again, "hush-one\n")]);
    assert!(done && shown.contains("encrypted") && !shown.contains("hush"), "{shown}");
    let list = ["archive", "snapshots", &made];
    let (done, shown) = on_a_terminal(&place, &list, &[("password of ", "hush-one\n")]);
    assert!(done && !shown.contains("hush"), "{shown}");
    let (done, shown) = on_a_terminal(&place, &list, &[("password of ", "hush-two\n")]);
    assert!(!done && shown.contains("no key slot"), "{shown}");
    // Nobody is asked where there is no terminal.
    let mut piped = place.command(&list);
    let piped = piped.env_remove("WHERRY_PASSWORD_FILE").stdin(Stdio::null()).output().unwrap();
    assert!(text(&piped.stderr).contains("set WHERRY_PASSWORD"), "{}", text(&piped.stderr));
}

#[test]
fn a_machine_is_brought_up_to_date_by_what_differs() {
    let place = Place::new();
    let to = format!("kvm:{}", place.name("machines"));
    let none = place.run(&["sync", &place.raw(), "--to", &to]);
    assert!(
        none.status.code() == Some(2) && text(&none.stderr).contains("migrate first"),
        "{}",
        text(&none.stderr)
    );
    let wish = ["--wish", "format=raw"];
    place.good(&[&["migrate", &place.raw(), "--to", &to], &wish[..]].concat());
    let before = place.json(&[&["sync", &place.raw(), "--to", &to], &wish[..]].concat());
    let written = |answer: &Value| answer["outcome"]["disks"][0]["bytes-written"].as_u64().unwrap();
    // The edits carry the time of the run, and the first MiB is always written; the rest is there.
    assert!(written(&before) < 4 << 20, "{} bytes", written(&before));
    let after = place.json(&[&["sync", &place.raw(), "--to", &to, "--verify"], &wish[..]].concat());
    assert!(written(&after) < 4 << 20, "{} bytes", written(&after));

    // One raw disk.
    let copy = format!("raw:{}", place.name("copy"));
    place.good(&["convert", &place.raw(), "--to", &copy]);
    let file = File::options().write(true).open(&place.disk).unwrap();
    file.write_all_at(&[7; 200_000], 9 << 20).unwrap();
    let synced = place.json(&["sync", &place.raw(), "--to", &copy, "--verify"]);
    let bytes = synced["copy"]["bytes-written"].as_u64().unwrap();
    assert!((200_000..3 << 20).contains(&bytes), "{bytes} bytes");
    assert_eq!(place.json(&["disk", "compare", &place.raw(), &copy])["identical"], true);
    let own = place.run(&["sync", &place.raw(), "--to", &place.raw()]);
    assert!(!own.status.success() && text(&own.stderr).contains("never written"));
}

#[test]
fn archives_are_copied_pruned_verified_repaired_and_locked_by_keys() {
    let place = Place::new();
    let archive = place.name("archive");
    place.capture(&["--name", "one"]);
    place.capture(&["--name", "two"]);
    std::fs::write(place.path("key"), [9; 64]).unwrap();
    let other = place.name("other");
    let init = place
        .command(&["archive", "init", &other])
        .env_remove("WHERRY_PASSWORD_FILE")
        .env("WHERRY_KEY_FILE", place.path("key"))
        .output();
    assert!(init.unwrap().status.success());
    let copy = ["archive", "copy", &archive, &other, "--key-file", &place.name("key")];
    let copied = place.json(&copy);
    assert_eq!(copied.as_array().unwrap().len(), 2);
    let again = place.json(&copy);
    assert_eq!(copied[0]["id"], again[0]["id"], "what was copied is found again");

    let added =
        place.json(&["archive", "key", "add", &archive, "--key-file", &place.name("key"), "--label", "safe"]);
    assert_eq!(place.json(&["archive", "key", "list", &archive]).as_array().unwrap().len(), 2);
    place.good(&["archive", "key", "remove", &archive, added["added"].as_str().unwrap()]);
    let wrong =
        place.command(&["archive", "snapshots", &archive]).env("WHERRY_PASSWORD", "wrong").output().unwrap();
    assert!(
        wrong.status.code() == Some(1) && text(&wrong.stderr).contains("WHERRY_PASSWORD"),
        "{}",
        text(&wrong.stderr)
    );

    let pruned = place.json(&["archive", "prune", &archive, "--keep-last", "1"]);
    assert_eq!(pruned["snapshots"].as_array().unwrap().len(), 0, "each machine keeps one");
    place.good(&["archive", "verify", &archive, "--deep"]);
    let packs = Command::new("find")
        .arg(place.path("archive/packs"))
        .args(["-type", "f", "-size", "+100k"])
        .output()
        .unwrap();
    let pack = text(&packs.stdout).lines().next().unwrap().to_owned();
    let bytes = std::fs::read(&pack).unwrap();
    let mut damaged = bytes.clone();
    damaged[bytes.len() / 2] ^= 1;
    std::fs::write(&pack, damaged).unwrap();
    let verified = place.run(&["archive", "verify", &archive]);
    let words = text(&verified.stdout);
    assert!(
        verified.status.code() == Some(1)
            && words.contains("damaged: packs/")
            && words.contains("cannot be read"),
        "{words}"
    );
    let repaired = place.run(&["archive", "repair", &archive]);
    assert_eq!(repaired.status.code(), Some(1), "one chunk is lost");
    place.capture(&["--name", "one"]);
    place.good(&["archive", "verify", &archive, "--deep"]);
}

#[test]
fn a_snapshot_is_served_over_nbd_and_written_into_an_overlay() {
    let place = Place::new();
    place.capture(&[]);
    let socket = place.name("socket");
    let mut server = place
        .command(&["serve", &place.snapshot("latest"), "--listen", &socket, "--overlay", "--output", "json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let uri = serde_json::from_str::<Value>(&line).unwrap()["uri"].as_str().unwrap().to_owned();
    let compare = |same: bool| {
        let disk = place.disk.display().to_string();
        let shown = Command::new("qemu-img")
            .args(["compare", "-f", "raw", "-F", "raw", &disk, &uri])
            .output()
            .unwrap();
        assert_eq!(shown.status.success(), same, "{}", text(&shown.stdout));
    };
    compare(true);
    let wrote =
        Command::new("qemu-io").args(["-f", "raw", "-c", "write -P 7 1M 64k", &uri]).output().unwrap();
    assert!(wrote.status.success(), "{}", text(&wrote.stderr));
    compare(false);
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(place.json(&["disk", "compare", &place.snapshot("latest"), &place.raw()])["identical"], true);
}

/// A tool that must succeed.
fn tool(program: &str, words: &[&str]) {
    let ran = Command::new(program).args(words).output().unwrap();
    assert!(ran.status.success(), "{words:?}: {}", text(&ran.stderr));
}

#[test]
fn a_bitmap_in_an_image_decides_what_is_read() {
    let place = Place::new();
    let path = place.name("disk.qcow2");
    let (image, copy) = (format!("qcow2:{path}"), format!("raw:{}", place.name("copy")));
    place.good(&["convert", &place.raw(), "--to", &image]);
    place.good(&["convert", &image, "--to", &copy]);
    let archive = place.name("archive");
    place.json(&["capture", &image, "--to", &archive, "--name", "m"]);
    tool("qemu-img", &["bitmap", "--add", &path, "since"]);
    tool("qemu-io", &["-c", "write -P 9 10M 128k", "-c", "write -z 20M 1M", &path]);
    let changed = ["--changed", "bitmap:since"];

    let capture = ["capture", &image, "--to", &archive, "--name", "m"];
    let second = place.json(&[&capture[..], &changed].concat());
    let plain = second["added"]["plain"].as_u64().unwrap();
    assert!((64 << 10..=400 << 10).contains(&plain), "{plain} bytes");
    assert_eq!(place.json(&["disk", "compare", &place.snapshot("m"), &image])["identical"], true);

    let sync = ["sync", &image, "--to", &copy, "--verify"];
    let synced = place.json(&[&sync[..], &changed].concat());
    let read = synced["copy"]["bytes-read"].as_u64().unwrap();
    // The first MiB is always looked at.
    assert!((128 << 10..=1300 << 10).contains(&read), "{read} bytes");
    assert_eq!(synced["copy"]["blake3"], Value::Null, "a hash of a part is none of the disk");
    assert_eq!(place.json(&["disk", "compare", &copy, &image])["identical"], true);

    let refused = |words: &[&str], code: i32, said: &str| {
        let output = place.run(words);
        let told = text(&output.stderr);
        assert!(output.status.code() == Some(code) && told.contains(said), "{words:?}: {told}");
    };
    refused(&[&sync[..], &["--changed", "bitmap:other"]].concat(), 1, "there are: `since`");
    refused(&[&sync[..], &["--changed", "since"]].concat(), 2, "say bitmap:NAME");
    let machine = ["sync", &image, "--to", &format!("kvm:{}", place.name("machines"))];
    refused(&[&machine[..], &changed].concat(), 2, "of a single disk");
}

#[test]
fn a_dirty_bitmap_decides_what_is_read() {
    let place = Place::new();
    let image = place.name("disk.qcow2");
    place.good(&["convert", &place.raw(), "--to", &format!("qcow2:{image}")]);
    let copy = format!("raw:{}", place.name("copy"));
    place.good(&["convert", &place.raw(), "--to", &copy]);
    let archive = place.name("archive");
    let serve = |name: &str| {
        let socket = place.name(name);
        let mut words = vec!["-r", "-t", "-f", "qcow2", "-k", &socket, "-x", "", &image];
        if name == "with" {
            words.splice(0..0, ["-B", "since"]);
        }
        let child = Command::new("qemu-nbd").args(&words).spawn().unwrap();
        while !Path::new(&socket).exists() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        child
    };
    let mut server = serve("without");
    let uri = format!("nbd+unix:///?socket={}", place.name("without"));
    let first = place.json(&["capture", &uri, "--to", &archive, "--name", "m"]);
    server.kill().and_then(|()| server.wait()).unwrap();
    tool("qemu-img", &["bitmap", "--add", &image, "since"]);
    tool("qemu-io", &["-c", "write -P 9 10M 128k", &image]);
    let mut server = serve("with");
    let uri = format!("nbd+unix:///?socket={}&bitmap=since", place.name("with"));
    let parent = first["id"].as_str().unwrap();
    let second = place.json(&["capture", &uri, "--to", &archive, "--name", "m", "--parent", parent]);
    let synced = place.json(&["sync", &uri, "--to", &copy]);
    server.kill().and_then(|()| server.wait()).unwrap();
    let read = synced["copy"]["bytes-read"].as_u64().unwrap();
    assert!((128 << 10..=1300 << 10).contains(&read), "{read} bytes");
    // The bitmap counts by 64 KiB.
    let plain = second["added"]["plain"].as_u64().unwrap();
    assert!((64 << 10..=400 << 10).contains(&plain), "{plain} bytes");
    let image = format!("qcow2:{image}");
    for copy in [place.snapshot("m"), copy] {
        assert_eq!(place.json(&["disk", "compare", &copy, &image])["identical"], true);
    }
}
