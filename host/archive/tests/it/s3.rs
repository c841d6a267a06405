//! A real S3 server process: moto (PyPI), in a virtual environment of its own under `.work`.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

const MOTO: &str = "moto[server]==5.2.5";
/// The bucket that every test has a prefix in.
const BUCKET: &str = "wherry";

/// A running server.
pub struct Server {
    child: Child,
    port: u16,
    _cache: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The server's program; installed once.
fn program() -> PathBuf {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.work");
    std::fs::create_dir_all(&root).unwrap();
    let place = root.join(format!("moto-{}", MOTO.rsplit('=').next().unwrap()));
    let program = place.join("bin/moto_server");
    if !place.join("complete").exists() {
        let _gone = std::fs::remove_dir_all(&place);
        run(Command::new("/usr/bin/python3").args(["-m", "venv"]).arg(&place));
        run(Command::new(place.join("bin/pip")).args(["install", "-q", "--disable-pip-version-check", MOTO]));
        std::fs::write(place.join("complete"), MOTO).unwrap();
    }
    program
}

/// The one server of this process.
pub fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(program());
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        // It must not outlive a test that is killed: it reads from a pipe that ends with us, if it reads at all.
        let child =
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = Server { child, port, _cache: tempfile::tempdir().unwrap() };
        let started = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(started.elapsed() < Duration::from_secs(60), "the S3 server does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        run(Command::new("/usr/bin/python3").args([
            "-c",
            MAKE_BUCKET,
            &format!("http://127.0.0.1:{port}/{BUCKET}"),
        ]));
        server
    })
}

const MAKE_BUCKET: &str =
    "import sys, urllib.request as u; u.urlopen(u.Request(sys.argv[1], method='PUT')).read()";

impl Server {
    /// What a client's environment needs.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.port)),
            ("AWS_ALLOW_HTTP", "true".into()),
            ("AWS_ACCESS_KEY_ID", "test".into()),
            ("AWS_SECRET_ACCESS_KEY", "test".into()),
            ("AWS_REGION", "us-east-1".into()),
            ("XDG_CACHE_HOME", self._cache.path().to_str().unwrap().into()),
        ]
    }

    /// An address that nobody else has.
    pub fn address(&self, name: &str) -> String {
        format!("s3://{BUCKET}/{name}-{}", std::process::id())
    }
}
