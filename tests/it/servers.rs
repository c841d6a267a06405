//! Targets that are servers, by the built program: what it tells them, what it keeps from whom, and files that it sends.

use crate::guest::disk;
use crate::web::Web;
use crate::{built, components, text};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

const DRIVERS: &[&str] =
    &["hv_vmbus", "hv_storvsc", "hv_netvsc", "sd_mod", "virtio_pci", "virtio_blk", "virtio_net"];
const PASSWORD: &str = "Passw\u{f6}rd";

/// A guest's disk, an output directory, a file of secrets, and a server.
struct Place {
    folder: tempfile::TempDir,
    web: Web,
}

impl Place {
    fn new(tls: bool, words: &[&str]) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap(), web: Web::start(tls, words) };
        disk(place.folder.path(), DRIVERS);
        let adapters = place.path("adapters");
        std::fs::create_dir(&adapters).unwrap();
        let own = components().with_file_name("hostile").join("hostile-ship.wasm");
        let others = std::fs::read_dir(components()).unwrap().map(|entry| entry.unwrap().path());
        let components = others.filter(|path| path.extension().is_some_and(|end| end == "wasm"));
        for file in components.chain([own]) {
            std::fs::copy(&file, adapters.join(file.file_name().unwrap())).unwrap();
        }
        place.secrets(&format!(
            "[winrm]\nkind = \"ntlm\"\nuser = 'DOMAIN\\Us\u{e9}r'\npassword = \"{PASSWORD}\"\n\
             [login]\nkind = \"template\"\nuser = \"u\"\npassword = \"{PASSWORD}\"\nplain = true\n"
        ));
        let state = serde_json::json!({
            "machines": {}, "switches": ["LAN"], "directories": { "D:\\machines": place.path("out") },
        });
        std::fs::write(place.web.folder.path().join("state.json"), state.to_string()).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn secrets(&self, toml: &str) {
        std::fs::write(self.path("secrets"), toml).unwrap();
        std::fs::set_permissions(self.path("secrets"), PermissionsExt::from_mode(0o600)).unwrap();
    }

    /// The program, with everything logged.
    fn command(&self, to: &str, words: &[&str]) -> Command {
        let mut command = Command::new(built().join("wherry"));
        command.env("WHERRY_ADAPTERS", self.path("adapters")).env("WHERRY_LOG", "trace");
        command.env("XDG_CACHE_HOME", Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/test-cache"));
        command.args(["migrate", "raw:disk.raw", "--name", "web", "--to", to, "--output", "json"]);
        command.args(["--server", &self.web.origin()]);
        if self.web.certificate().exists() {
            command.arg("--ca").arg(self.web.certificate());
        }
        command.args(words).current_dir(self.folder.path());
        command
    }

    fn run(&self, to: &str, words: &[&str]) -> Output {
        let output = self.command(to, &[words, &["--credentials", "secrets"]].concat()).output().unwrap();
        for said in [text(&output.stdout), text(&output.stderr)] {
            assert!(!said.contains(PASSWORD) && !said.contains("UGFzc3"), "the secret is shown: {said}");
        }
        output
    }

    fn state(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.web.folder.path().join("state.json")).unwrap()).unwrap()
    }
}

/// What is said on standard error, without what is logged.
fn said(output: &Output) -> String {
    let all = text(&output.stderr);
    all.lines()
        .filter(|line| line.starts_with("wherry: ") || line.starts_with("error"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn outcome(output: &Output) -> Value {
    assert!(output.status.success(), "{}", said(output));
    serde_json::from_slice::<Value>(&output.stdout).unwrap()["outcome"].clone()
}

const HYPERV: &[&str] =
    &["--wish", "directory=D:\\machines", "--wish", "start=yes", "--wish", "checkpoint=yes", "--nic", ",LAN"];

/// The server's Windows is a script of ours; NTLM, its seals and its binding to the channel are pyspnego's.
#[test]
fn a_machine_is_made_on_a_hyperv_host() {
    for tls in [true, false] {
        let place = Place::new(tls, if tls { &["--auth", "ntlm", "--proof"] } else { &["--auth", "ntlm"] });
        let made = outcome(&place.run("hyperv:out", HYPERV));
        let machine = place.state()["machines"]["web"].clone();
        assert_eq!((&machine["state"], &machine["made"]), (&"Running".into(), &1.into()), "{machine}");
        assert_eq!(machine["points"], serde_json::json!(["wherry: as it came"]));
        assert!(made["definitions"][0].as_str().unwrap().contains(machine["id"].as_str().unwrap()), "{made}");
        assert!(made["next"][0].as_str().unwrap().contains("a card is not connected"), "{made}");
        assert!(place.path("out/web.vhdx").exists());
        // Once more, and nothing is done; without the record of that, the host finds everything as it should be.
        assert_eq!(outcome(&place.run("hyperv:out", HYPERV))["already-done"], true);
        assert_eq!(place.state()["machines"]["web"]["made"], 1);
        std::fs::remove_file(place.path("out/.web.wherry-job.json")).unwrap();
        assert_eq!(outcome(&place.run("hyperv:out", HYPERV))["disks"][0]["moved"], false);
        let again = place.state()["machines"]["web"].clone();
        assert_eq!((&again["id"], &again["made"]), (&machine["id"], &2.into()));
        let log = place.web.log();
        assert!(log.contains("\"let_in\": \"DOMAIN\\\\Us\\u00e9r\"") && !log.contains("refused"), "{log}");
    }
}

#[test]
fn what_speaks_against_it_is_told_before_a_byte_is_copied() {
    let place = Place::new(true, &["--auth", "ntlm"]);
    let refused = |output: Output, code: i32, words: &str| {
        let said = text(&output.stdout).to_string() + &said(&output);
        assert_eq!(output.status.code(), Some(code), "{words}: {said}");
        assert!(said.contains(words), "{words}: {said}");
        assert!(!place.path("out/web.vhdx").exists());
    };
    let without: Vec<&str> = HYPERV[2..].to_vec();
    refused(place.run("hyperv:out", &without), 3, "what the Hyper-V host calls the output directory");
    let elsewhere = [&["--wish", "directory=E:\\"][..], &without].concat();
    refused(place.run("hyperv:out", &elsewhere), 3, "the host has no directory E:");
    let switch = [&HYPERV[..6], &["--nic", ",WAN"]].concat();
    refused(place.run("hyperv:out", &switch), 3, "no virtual switch");
    refused(place.run("hyperv:other", HYPERV), 1, "is not what was written into the output directory");
    refused(place.command("hyperv:out", HYPERV).output().unwrap(), 3, "no secret `winrm`");
    refused(place.run("kvm:out", &[]), 2, "makes files and asks no server");
    refused(place.run("hyperv:out", &["--server", "https://*"]), 2, "is no server");

    place.secrets("[winrm]\nkind = \"ntlm\"\nuser = \"u\"\npassword = \"wrong\"\n");
    refused(place.run("hyperv:out", HYPERV), 3, "refuses secret `winrm`");
    for (toml, words) in [
        ("[winrm]\nkind = \"magic\"\nuser = \"u\"\npassword = \"hunter2\"", "its kind is none of"),
        ("[winrm]\nkind = \"ntlm\"\npassword = \"hunter2\"", "it has no user"),
        ("[winrm]\nkind = \"ntlm\"\nuser = \"u\"", "it needs one of password"),
        ("[winrm]\nkind = \"ntlm\"\nuser = \"u\"\npasswort = \"hunter2\"", "in line"),
        ("[winrm\nhunter2", "is no file of secrets"),
    ] {
        place.secrets(toml);
        let output = place.run("hyperv:out", HYPERV);
        assert!(!text(&output.stderr).contains("hunter2"), "{}", text(&output.stderr));
        refused(output, 2, words);
    }
    std::fs::set_permissions(place.path("secrets"), PermissionsExt::from_mode(0o640)).unwrap();
    refused(place.run("hyperv:out", HYPERV), 2, "others may read");
    let mut command = place.command("hyperv:out", HYPERV);
    command.args(["--ca", "secrets"]);
    assert_eq!(command.output().unwrap().status.code(), Some(2));
}

/// What the adapter told the server, in order, without the calls that come as time goes by.
fn told(web: &Web) -> Vec<String> {
    let lines: Vec<Value> = web.log().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let bodies =
        lines.iter().filter(|line| line["path"] == "/tell").map(|line| line["body"].as_str().unwrap());
    let filled = "<p>Passw\u{c3}\u{b6}rd</p>";
    let bodies = bodies.map(|body| body.strip_prefix(filled).unwrap_or_else(|| panic!("{body}")));
    let words = |body: &str| body.split_whitespace().next().unwrap().to_owned();
    bodies.map(words).filter(|word| word != "sending").collect()
}

#[test]
fn files_are_sent_and_then_the_machine_is_finished() {
    let place = Place::new(true, &[]);
    let done = outcome(&place.run("ship:out", &[]));
    assert_eq!(done["sent"], serde_json::json!(["web-0.img"]));
    assert_eq!(told(&place.web), ["profile", "ship", "finish"]);
    let log = place.web.log();
    let put = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|line| !line["put"].is_null());
    let put = put.unwrap();
    assert_eq!(put["put"], std::fs::metadata(place.path("disk.raw")).unwrap().len());
    assert_eq!(put["headers"]["x-disk"], "web-0.img");
    assert!(log.contains("lease 7"), "the note comes back: {log}");
    // What the server has is not kept here, and the same command does nothing more.
    assert!(!place.path("out/web-0.img").exists());
    assert_eq!(outcome(&place.run("ship:out", &[]))["already-done"], true);
    assert_eq!(told(&place.web), ["profile", "ship", "finish", "profile"]);
}

#[test]
fn what_is_not_sent_is_not_finished() {
    let place = Place::new(false, &[]);
    let fails = |words: &[&str], says: &str| {
        let output = place.run("ship:out", words);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(says), "{says}: {said}");
        assert!(place.path("out/web-0.img").exists(), "the file stays for another attempt");
        assert_eq!(told(&place.web).last().unwrap(), "abandon");
    };
    let to = |url: &str| format!("to={url}");
    let (refused, slow) =
        (to(&(place.web.origin() + "/put-refused")), to(&(place.web.origin() + "/put-slow")));
    fails(&["--wish", &refused], "the same command sends it anew");
    fails(&["--wish", &to("http://other.example/put")], "is no server that you named");
    fails(&["--wish", &to("file:///etc/passwd")], "was not sent");
    fails(&["--wish", &slow, "--wish", "tires=yes"], "going on");
    assert!(!told(&place.web).contains(&"finish".to_owned()));
    // A server that is named as well takes files, and hears no secret.
    let other = Web::start(false, &[]);
    let words = ["--server", &other.origin(), "--wish", &to(&(other.origin() + "/put"))];
    outcome(&place.run("ship:out", &words));
    assert!(other.log().contains("\"put\"") && !other.log().contains("Passw"), "{}", other.log());
}

#[test]
fn a_killed_shipment_starts_anew() {
    let place = Place::new(false, &[]);
    let wish = format!("to={}/put-slow", place.web.origin());
    let words = ["--wish", wish.as_str(), "--credentials", "secrets"];
    let mut child =
        place.command("ship:out", &words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while !place.web.log().contains("sending lease 7") {
        assert!(child.try_wait().unwrap().is_none(), "it came to its end: {}", place.web.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!told(&place.web).contains(&"finish".to_owned()));
    // Interrupted in good manners, the adapter gives back what it took.
    let mut child =
        place.command("ship:out", &words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let seen = place.web.log().matches("sending lease 7").count();
    while place.web.log().matches("sending lease 7").count() == seen {
        assert!(child.try_wait().unwrap().is_none(), "it came to its end: {}", place.web.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    let interrupt = Command::new("/bin/kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupt.success() && !child.wait().unwrap().success());
    assert_eq!(told(&place.web).last().unwrap(), "abandon");
    let done = outcome(&place.run("ship:out", &["--wish", &wish]));
    assert_eq!(done["disks"][0]["moved"], false, "the disk was complete already");
    assert_eq!(place.web.log().matches("\"put\"").count(), 1, "only one was sent to its end");
    assert_eq!(told(&place.web).last().unwrap(), "finish");
}
