//! A server for tests in another language (`server.py`), and what it has seen.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

/// NTLM by another implementation than ours.
const PACKAGE: &str = "pyspnego==0.12.4";

/// One running server; it ends with the test.
pub struct Web {
    pub folder: tempfile::TempDir,
    pub port: u16,
    tls: bool,
    child: Child,
    pipe: Option<ChildStdin>,
}

impl Drop for Web {
    fn drop(&mut self) {
        drop(self.pipe.take());
        let _ended = self.child.wait();
        // Shown where the test fails.
        print!("{}", std::fs::read_to_string(self.folder.path().join("errors")).unwrap_or_default());
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The repository; this file is used from two crates.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().find(|folder| folder.join("Cargo.lock").exists()).unwrap().to_path_buf()
}

/// The interpreter with the package; installed once, whoever comes first.
fn python() -> PathBuf {
    let place = root().join(".work").join(PACKAGE.replace("==", "-"));
    std::fs::create_dir_all(&place).unwrap();
    let lock = std::fs::File::create(place.join("lock")).unwrap();
    lock.lock().unwrap();
    if !place.join("complete").exists() {
        run(Command::new("/usr/bin/python3").args(["-m", "venv", "--clear"]).arg(place.join("venv")));
        run(Command::new(place.join("venv/bin/pip")).args(["install", "-q", PACKAGE]));
        std::fs::write(place.join("complete"), PACKAGE).unwrap();
    }
    place.join("venv/bin/python")
}

/// A certificate of nobody's, for this machine.
fn certify(folder: &Path) {
    let config = "[req]\ndistinguished_name=dn\nprompt=no\nx509_extensions=end\n[dn]\nCN=nobody of wherry\n\
        [end]\nbasicConstraints=critical,CA:FALSE\nsubjectAltName=DNS:localhost\n";
    std::fs::write(folder.join("openssl.cnf"), config).unwrap();
    let mut openssl = Command::new("/usr/bin/openssl");
    openssl.current_dir(folder).args(["req", "-x509", "-config", "openssl.cnf", "-noenc", "-days", "2"]);
    openssl.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-sha256"]);
    run(openssl.args(["-out", "cert.pem", "-keyout", "key.pem"]));
}

impl Web {
    pub fn start(tls: bool, words: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("users"), "DOMAIN:Us\u{e9}r:Passw\u{f6}rd\n").unwrap();
        let script = root().join("host/channels/tests/it/server.py");
        let mut command = Command::new(python());
        command.arg("-B").arg(script).arg(folder.path()).args(words);
        if tls {
            certify(folder.path());
            command.arg("--tls").args(["cert.pem", "key.pem"].map(|name| folder.path().join(name)));
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let pipe = child.stdin.take();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().parse().unwrap_or_else(|_| panic!("{words:?}: {line:?}"));
        Self { folder, port, tls, child, pipe }
    }

    /// `https://localhost:PORT`.
    pub fn origin(&self) -> String {
        format!("{}://localhost:{}", if self.tls { "https" } else { "http" }, self.port)
    }

    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    /// What it was asked.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}
