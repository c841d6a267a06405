//! The script of the first boot, run by Wine's command interpreter. Programs that Wine has not, or that would ask for a real
//! network, are scripts that write down what they were asked.

use crate::generations::{find, hive, software, tree, volumes};
use crate::profiles;
use os_windows::Windows;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use wherry_registry::Kind;
use wherry_sdk::{SourceOs, Tree, fact};

/// What getmac says of the card.
const CARD: &str = r#"echo '"Ethernet","Some card","52-54-00-12-34-56","\Device\Tcpip_{1}"'"#;
/// What is asked of netsh in each run.
const ASKED: [&str; 6] = [
    "interface ip set address Ethernet static 192.168.7.20 255.255.255.0 192.168.7.1 1",
    "interface ip set dns Ethernet static 192.168.7.2",
    "interface ip add dns Ethernet 192.168.7.3",
    "interface ipv6 add address Ethernet 2001:db8::5/64",
    "interface ipv6 add route ::/0 Ethernet fe80::1",
    "interface ipv6 add dnsserver Ethernet 2001:db8::53",
];

/// Wine's C:, made once: it takes seconds and 700 MB.
struct Machine {
    folder: TempDir,
}

impl Machine {
    fn new() -> Self {
        let machine = Self { folder: tempfile::tempdir().unwrap() };
        machine.run("wineboot", &["-i"]);
        machine
    }

    /// Puts a release's script there, whose operator's part ends so, with a getmac that answers so.
    fn install(&self, release: &str, ending: &str, card: &str) {
        let tree = tree(find(release));
        Windows::identify(&tree).unwrap().expect("a Windows");
        let commands = format!("echo run>>%~dp0operator.txt\n{ending}");
        let options = [fact("nic.0.mac", "52:54:00:12:34:56"), fact("first-boot-commands", &commands)];
        Windows::adapt(&tree, &profiles::hyperv("bios", find(release).number()), &options).unwrap();
        let _absent = fs::remove_dir_all(self.home());
        fs::create_dir_all(self.home()).unwrap();
        self.run("wine", &["reg", "delete", r"HKLM\SOFTWARE\Wherry", "/f"]);
        let silence = r"HKLM\SOFTWARE\Policies\Microsoft\Windows\DeviceInstall\Settings";
        self.run(
            "wine",
            &["reg", "add", silence, "/v", "SuppressNewHWUI", "/t", "REG_DWORD", "/d", "1", "/f"],
        );
        let root = find(release).root;
        for name in ["first-boot.cmd", "commands.cmd"] {
            let text = tree.read_all(&format!("/{root}/wherry/{name}"), 1 << 20).unwrap();
            fs::write(self.home().join(name), text).unwrap();
        }
        for (name, answer) in [("netsh", ""), ("ping", ""), ("getmac", card)] {
            self.stub(name, answer);
        }
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("wine/drive_c/windows/wherry")
    }

    /// A program of this machine in place of one of Windows'.
    fn stub(&self, name: &str, answer: &str) {
        let path = self.home().join(format!("{name}.exe"));
        let log = self.home().join(format!("{name}.txt"));
        fs::write(&path, format!("#!/bin/sh\necho \"$@\" >>'{}'\n{answer}\n", log.display())).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn run(&self, program: &str, words: &[&str]) -> String {
        let here = if self.home().exists() { self.home() } else { self.folder.path().into() };
        let output = Command::new("timeout")
            .args(["300", program])
            .args(words)
            .env("WINEPREFIX", self.folder.path().join("wine"))
            .env("WINEDEBUG", "-all")
            .env("WINEDLLOVERRIDES", "mscoree,mshtml=")
            .current_dir(here)
            .output()
            .unwrap_or_else(|e| panic!("{program}: {e}; `cargo xtask test` installs it"));
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    }

    fn script(&self) {
        self.run("wine", &["cmd", "/c", r"C:\windows\wherry\first-boot.cmd"]);
    }

    fn said(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.home().join(name)).unwrap_or_default();
        text.lines().map(|line| line.trim().to_owned()).collect()
    }

    /// What was asked of netsh, sorted: Wine does not wait for programs of this machine.
    fn asked(&self, count: usize) -> Vec<String> {
        let started = Instant::now();
        while self.said("netsh.txt").len() < count && started.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut asked = self.said("netsh.txt");
        asked.sort();
        asked
    }

    fn runs(&self) -> Vec<String> {
        self.said("first-boot.log").into_iter().filter(|line| line.starts_with("run ")).collect()
    }

    /// Whether XP's wizard for new hardware is kept away.
    fn is_silent(&self) -> bool {
        let key = r"HKLM\SOFTWARE\Policies\Microsoft\Windows\DeviceInstall\Settings";
        self.run("wine", &["reg", "query", key, "/v", "SuppressNewHWUI"]).contains("0x1")
    }

    /// A value of the key that decides whether the script runs at the next start.
    fn setup(&self, name: &str) -> String {
        let text = self.run("wine", &["reg", "query", r"HKLM\SYSTEM\Setup", "/v", name]);
        let line = text.lines().find(|line| line.contains(name)).unwrap_or(&text);
        line.split_whitespace().skip(2).collect::<Vec<_>>().join(" ")
    }
}

/// Where the operator's part asks for another run each time.
fn it_runs_as_often_as_it_may(machine: &Machine) {
    machine.install("2016", "exit /b 249", CARD);
    for run in 1..=3 {
        machine.script();
        let runs: Vec<String> = (1..=run).map(|run| format!("run {run}")).collect();
        assert_eq!(machine.runs(), runs);
        assert_eq!(machine.said("operator.txt").len(), run);
        let mut expected = ASKED.repeat(run);
        expected.sort();
        assert_eq!(machine.asked(expected.len()), expected);
        let again = run < 3;
        assert_eq!(machine.setup("SetupType"), if again { "0x2" } else { "0x0" });
        assert_eq!(machine.setup("CmdLine").contains("first-boot.cmd"), again);
    }
}

fn it_runs_once_where_nobody_asks_for_more(machine: &Machine) {
    machine.install("xp", "exit 7", CARD);
    assert!(machine.is_silent());
    machine.script();
    assert!(!machine.is_silent(), "the wizard comes again");
    assert_eq!((machine.runs().len(), machine.said("operator.txt").len()), (1, 1));
    assert_eq!((machine.setup("SetupType").as_str(), machine.setup("CmdLine").as_str()), ("0x0", ""));
}

fn a_card_that_does_not_come_is_told(machine: &Machine) {
    machine.install("2016", "rem", "");
    machine.script();
    assert!(machine.is_silent(), "it is not this release's");
    let log = machine.said("first-boot.log");
    assert!(log.contains(&"no card has the address 52-54-00-12-34-56".into()), "{log:?}");
    assert_eq!((machine.said("netsh.txt").len(), machine.said("getmac.txt").len()), (0, 24));
    assert_eq!(machine.said("operator.txt").len(), 1);
}

#[test]
fn wine_runs_it() {
    let machine = Machine::new();
    it_runs_as_often_as_it_may(&machine);
    it_runs_once_where_nobody_asks_for_more(&machine);
    a_card_that_does_not_come_is_told(&machine);
}

/// The edits of the hives as the plan shows them, and the script.
fn adapted(release: &str, volumes: Vec<wherry_sdk::testing::MemoryVolume>) -> (String, String) {
    let tree = wherry_sdk::testing::MemoryTree::new(volumes);
    let root = find(release).root;
    let adapt = || {
        Windows::identify(&tree).unwrap().expect("a Windows");
        let options = [fact("first-boot", "yes")];
        Windows::adapt(&tree, &profiles::hyperv("bios", find(release).number()), &options).unwrap();
    };
    adapt();
    let after = tree.edits().into_iter().filter_map(|edit| edit.after);
    let edits = after.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect();
    tree.forget();
    adapt();
    assert_eq!(tree.edits(), [], "{release}: a second run changes something");
    (edits, tree.text(&format!("/{root}/wherry/first-boot.cmd")))
}

/// No wizard for new hardware comes up meanwhile, where Windows can be told so (KB 938596), and the script takes that back.
#[test]
fn the_wizard_is_kept_away() {
    let xp = (r"SOFTWARE\Policies\Microsoft\Windows\DeviceInstall\Settings", "SuppressNewHWUI");
    let server = (r"SYSTEM\CurrentControlSet\Services\PlugPlay\Parameters", "SuppressUI");
    for (release, place) in [("xp", Some(xp)), ("2003", Some(server)), ("2008", None), ("2016", None)] {
        let (edits, script) = adapted(release, volumes(find(release)));
        let Some((key, name)) = place else {
            assert!(!edits.contains("Suppress") && !script.contains("Suppress"), "{release}");
            continue;
        };
        let line = format!("\"{name}\"=dword:00000001");
        let head = format!(r"[HKEY_LOCAL_MACHINE\{}]", key.replace("CurrentControlSet", "ControlSet001"));
        assert!(edits.contains(&format!("{head}\n{line}")), "{release}: {edits}");
        let end = format!("reg delete HKLM\\{key} /v {name} /f >nul 2>&1\r\ngoto :eof\r\n");
        assert!(script.ends_with(&end), "{release}: {script}");
    }
}

/// What an administrator has set stays for ever.
#[test]
fn a_policy_of_the_guests_own_stays() {
    let one = find("xp");
    let mut values = software(one);
    let key = r"Policies\Microsoft\Windows\DeviceInstall\Settings";
    values.push((key.into(), "SuppressNewHWUI".into(), Kind::DWORD, vec![0; 4]));
    let mut all = volumes(one);
    let volume = all.pop().unwrap();
    all.push(volume.file("/WINDOWS/System32/config/SOFTWARE", hive(one.regf, &values)));
    let (edits, script) = adapted("xp", all);
    assert!(!edits.contains("SuppressNewHWUI") && !script.contains("SuppressNewHWUI"));
}
