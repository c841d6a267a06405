//! Encrypted connections: both ends against each other, qemu-nbd, nbdcopy and nbdinfo.

use crate::{LENGTH, Qemu, file, same, tool};
use block::{Disk, FileDisk, MemoryDisk};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wherry_channels::{Address, Export, NbdDisk, Server, ServerTls};

/// Certificates by openssl: an authority's, a server's and a client's, in a folder as libnbd and qemu have it.
struct Certificates(PathBuf);

impl Certificates {
    fn new(folder: &Path) -> Self {
        std::fs::create_dir(folder).unwrap();
        let config = "[req]\ndistinguished_name=dn\n[dn]\n[ca]\nbasicConstraints=critical,CA:TRUE\n\
            keyUsage=critical,keyCertSign\n[end]\nbasicConstraints=critical,CA:FALSE\n\
            subjectAltName=DNS:localhost,DNS:disks.example,IP:127.0.0.1\n";
        std::fs::write(folder.join("config"), config).unwrap();
        let made = Self(folder.to_path_buf());
        made.make("ca", "ca", &[]);
        let (certificate, key) = (made.path("ca-cert.pem"), made.path("ca-key.pem"));
        for name in ["server", "client"] {
            made.make(name, "end", &["-CA", &certificate, "-CAkey", &key]);
        }
        made
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    fn make(&self, name: &str, extensions: &str, more: &[&str]) {
        let (config, subject) = (self.path("config"), format!("/CN={name}"));
        let (certificate, key) =
            (self.path(&format!("{name}-cert.pem")), self.path(&format!("{name}-key.pem")));
        let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "2"];
        let files = ["-config", &config, "-subj", &subject, "-out", &certificate, "-keyout", &key];
        tool("openssl", &[&["req", "-x509", "-extensions", extensions], &curve[..], &files, more].concat());
    }

    /// The same authority's, without some files.
    fn without(&self, folder: &str, names: &[&str]) -> Self {
        let to = self.0.with_file_name(folder);
        std::fs::create_dir(&to).unwrap();
        for file in std::fs::read_dir(&self.0).unwrap() {
            let file = file.unwrap();
            if !names.iter().any(|name| file.file_name() == *name) {
                std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
            }
        }
        Self(to)
    }
}

fn uri(socket: &Path, more: &str) -> String {
    format!("nbds+unix:///disk?socket={}{more}", socket.display())
}

fn open(uri: &str) -> Result<NbdDisk, String> {
    NbdDisk::open(&Address::parse(uri).unwrap()).map_err(|e| e.to_string())
}

fn serve(socket: &Path, certificates: &Certificates, disk: Arc<dyn Disk>, writable: bool) {
    let export = Export { name: "disk".into(), disk, writable };
    let server = Server::unix(socket, export).unwrap().encrypted(ServerTls::load(&certificates.0).unwrap());
    std::thread::spawn(move || server.run(|_| ()));
}

#[test]
fn only_who_encrypts_and_is_known_gets_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let all = Certificates::new(&path("all"));
    let (anybody, nobody) =
        (all.without("anybody", &["ca-cert.pem"]), all.without("nobody", &["client-cert.pem"]));
    let other = Certificates::new(&path("other"));
    let disk: Arc<dyn Disk> = Arc::new(FileDisk::open_read(file(folder.path())).unwrap());
    let (strict, lax) = (path("strict"), path("lax"));
    serve(&strict, &all, disk.clone(), false);
    serve(&lax, &anybody, disk.clone(), false);
    let with = |certificates: &Certificates| format!("&tls-certificates={}", certificates.path(""));
    same(&open(&uri(&strict, &with(&all))).unwrap(), disk.as_ref());
    same(&open(&uri(&lax, &with(&nobody))).unwrap(), disk.as_ref());
    same(&open(&uri(&lax, "&tls-verify-peer=0")).unwrap(), disk.as_ref());
    same(&open(&uri(&lax, &format!("{}&tls-hostname=disks.example", with(&nobody)))).unwrap(), disk.as_ref());
    for (socket, more, why) in [
        (&strict, with(&nobody), "CertificateRequired"),
        (&strict, with(&other), "invalid peer certificate"),
        (&lax, with(&other), "invalid peer certificate"),
        (&lax, format!("{}&tls-hostname=evil.example", with(&all)), "not valid for name"),
        (&lax, format!("&tls-certificates={}", path("none").display()), "ca-cert.pem"),
    ] {
        let said = open(&uri(socket, &more)).err().unwrap();
        assert!(said.contains(why), "{why}: {said}");
    }
    let plain = open(&uri(&lax, "").replace("nbds", "nbd")).err().unwrap();
    assert!(plain.contains("say nbds://"), "{plain}");
    let clear = path("clear");
    crate::serve(&clear, disk, false);
    let said = open(&uri(&clear, "&tls-verify-peer=0")).err().unwrap();
    assert!(said.contains("does not speak TLS"), "{said}");
    assert!(ServerTls::load(&path("none")).err().unwrap().to_string().contains("server-cert.pem"));
}

#[test]
fn reads_and_writes_go_both_ways_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let certificates = Certificates::new(&folder.path().join("all"));
    let socket = folder.path().join("socket");
    serve(&socket, &certificates, Arc::new(MemoryDisk::new(vec![0; 32 << 20])), true);
    let client = open(&uri(&socket, &format!("&tls-certificates={}", certificates.path("")))).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8u8 {
            let client = &client;
            scope.spawn(move || {
                for step in 0..4 {
                    let bytes = vec![thread + step; 4 << 20];
                    let offset = u64::from(thread) * (4 << 20);
                    client.write_at(offset, &bytes).unwrap();
                    let mut read = vec![0; bytes.len()];
                    client.read_at(offset, &mut read).unwrap();
                    assert!(read == bytes);
                }
            });
        }
    });
    client.flush().unwrap();
}

#[test]
fn qemu_s_server_is_known_and_knows_us() {
    let folder = tempfile::tempdir().unwrap();
    let certificates = Certificates::new(&folder.path().join("all"));
    let stranger = certificates.without("stranger", &["client-cert.pem"]);
    let path = file(folder.path());
    for (name, priority) in [("newest", ""), ("older", ",priority=NORMAL:-VERS-TLS1.3")] {
        let socket = folder.path().join(name);
        let object = format!(
            "tls-creds-x509,id=t,endpoint=server,verify-peer=on,dir={}{priority}",
            certificates.path("")
        );
        let _qemu = Qemu::serve(
            &path,
            "raw",
            &socket,
            &["-x", "disk", "-e", "20", "--object", &object, "--tls-creds", "t"],
        );
        let client = open(&uri(&socket, &format!("&tls-certificates={}", certificates.path("")))).unwrap();
        same(&client, &FileDisk::open_read(&path).unwrap());
        client.write_at(5 << 20, &vec![9; 1 << 20]).unwrap();
        client.zero(7 << 20, 1 << 20).unwrap();
        client.flush().unwrap();
        same(&client, &FileDisk::open_read(&path).unwrap());
        assert!(client.extents(0, LENGTH).unwrap().len() > 2);
        let refused = open(&uri(&socket, &format!("&tls-certificates={}", stranger.path(""))));
        assert!(refused.is_err(), "{name}");
    }
}

#[test]
fn libnbd_s_tools_read_what_we_serve() {
    let folder = tempfile::tempdir().unwrap();
    let certificates = Certificates::new(&folder.path().join("all"));
    let path = file(folder.path());
    let socket = folder.path().join("socket");
    serve(&socket, &certificates, Arc::new(FileDisk::open_read(&path).unwrap()), false);
    let export =
        Export { name: "disk".into(), disk: Arc::new(FileDisk::open_read(&path).unwrap()), writable: false };
    let server =
        Server::tcp("127.0.0.1:0", export).unwrap().encrypted(ServerTls::load(&certificates.0).unwrap());
    let port = server.address().unwrap().port();
    std::thread::spawn(move || server.run(|_| ()));
    let with = format!("tls-certificates={}", certificates.path(""));
    for uri in [uri(&socket, &format!("&{with}")), format!("nbds://localhost:{port}/disk?{with}")] {
        let info = tool("nbdinfo", &[&uri]);
        assert!(info.contains("with TLS") && info.contains(&LENGTH.to_string()), "{info}");
        let copy = folder.path().join("copy");
        tool("nbdcopy", &[&uri, copy.to_str().unwrap()]);
        tool("cmp", &[path.to_str().unwrap(), copy.to_str().unwrap()]);
        same(&open(&uri).unwrap(), &FileDisk::open_read(&path).unwrap());
    }
}
