//! A vCenter to talk to: govmomi's simulator, built once from Debian's golang-github-vmware-govmomi-dev.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub const USER: &str = "an <odd> user";
pub const PASSWORD: &str = "pass & word";
const SOURCE: &str = include_str!("vcsim.go");

/// A running simulator; gone when it is dropped.
pub struct Simulator {
    child: Child,
    /// Such as `http://127.0.0.1:45678`.
    pub origin: String,
    /// Of its certificate, SHA-256 in hexadecimal; empty where it has none.
    #[allow(dead_code, reason = "the end-to-end tests ask for it")]
    pub fingerprint: String,
}

impl Simulator {
    /// Arguments: `-tls`, `-host`.
    pub fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(program())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("http"), "the simulator says {line:?}");
        let (origin, fingerprint) = line.split_once(' ').unwrap();
        Self { child, origin: origin.into(), fingerprint: fingerprint.trim().into() }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        // The end of its input is the end of it, and it removes its files.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// The program, built if it is not there or its source has changed. Half a minute the first time.
fn program() -> PathBuf {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().find(|path| path.join("Cargo.lock").is_file());
    let folder = folder.unwrap().join("target/vcsim");
    fs::create_dir_all(&folder).unwrap();
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let (source, program) = (folder.join("main.go"), folder.join("vcsim"));
    let built = program.exists() && fs::read_to_string(&source).is_ok_and(|text| text == SOURCE);
    if !built {
        fs::write(&source, SOURCE).unwrap();
        let build = Command::new("go")
            .args(["build", "-o", "vcsim", "main.go"])
            .current_dir(&folder)
            .env("GOPATH", "/usr/share/gocode")
            .env("GO111MODULE", "off")
            .env("CGO_ENABLED", "0")
            .env("GOCACHE", folder.join("cache"))
            .output()
            .unwrap();
        if !build.status.success() {
            // Tried again the next time.
            let _ = fs::remove_file(&source);
            panic!("go build: {}", String::from_utf8_lossy(&build.stderr));
        }
    }
    program
}
