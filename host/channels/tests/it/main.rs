//! Both ends against each other and against qemu-nbd, qemu-img, nbdinfo and nbdcopy.
#![allow(clippy::unwrap_used, reason = "tests")]

mod dirty;
mod http;
mod tls;
mod web;

use block::{Disk, FileDisk, Kind, MemoryDisk, Overlay};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use wherry_channels::{Address, Export, NbdDisk, Server};

const LENGTH: u64 = (40 << 20) + 512;

/// A file with data, a hole and a ragged end.
fn file(folder: &Path) -> PathBuf {
    let path = folder.join("disk");
    let file = File::create(&path).unwrap();
    file.set_len(LENGTH).unwrap();
    let bytes: Vec<u8> = (0..5u32 << 20).map(|at| (at.wrapping_mul(0x9e37_79b1) >> 13) as u8).collect();
    file.write_all_at(&bytes, 3 << 20).unwrap();
    file.write_all_at(b"the end", LENGTH - 7).unwrap();
    path
}

fn address(socket: &Path, export: &str) -> Address {
    Address::parse(&format!("nbd+unix:///{export}?socket={}", socket.display())).unwrap()
}

/// Serves a disk on a socket; the thread ends with the test.
fn serve(socket: &Path, disk: Arc<dyn Disk>, writable: bool) {
    let server = Server::unix(socket, Export { name: "disk".into(), disk, writable }).unwrap();
    std::thread::spawn(move || server.run(|_| ()));
}

fn tool(program: &str, words: &[&str]) -> String {
    let done = Command::new(program).args(words).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{program} {words:?}: {text}{}", String::from_utf8_lossy(&done.stderr));
    text
}

/// A server of others; ended with the test.
struct Qemu(Child);

impl Qemu {
    fn serve(file: &Path, format: &str, socket: &Path, more: &[&str]) -> Self {
        let mut command = Command::new("qemu-nbd");
        command.args(["-t", "-f", format, "-k"]).arg(socket).args(more).arg(file);
        let child = command.spawn().unwrap();
        for _ in 0..200 {
            if UnixStream::connect(socket).is_ok() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        Self(child)
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

fn same(one: &dyn Disk, other: &dyn Disk) {
    assert_eq!(one.length(), other.length());
    let (mut left, mut right) = (vec![0; one.length() as usize], vec![0; one.length() as usize]);
    one.read_at(0, &mut left).unwrap();
    other.read_at(0, &mut right).unwrap();
    assert!(left == right);
}

/// Extents are ordered, gapless, and what they call zero is zero.
fn holes(disk: &dyn Disk) -> u64 {
    let list = disk.extents(0, disk.length()).unwrap();
    let (mut at, mut zero) = (0, 0);
    for extent in &list {
        assert_eq!(extent.offset, at);
        at += extent.length;
        if extent.kind == Kind::Zero {
            zero += extent.length;
            let mut bytes = vec![1; extent.length as usize];
            disk.read_at(extent.offset, &mut bytes).unwrap();
            assert!(bytes.iter().all(|byte| *byte == 0));
        }
    }
    assert_eq!(at, disk.length());
    zero
}

#[test]
fn our_client_reads_from_our_server_over_both_transports() {
    let folder = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(FileDisk::open_read(file(folder.path())).unwrap());
    let socket = folder.path().join("socket");
    serve(&socket, disk.clone(), false);
    let server =
        Server::tcp("127.0.0.1:0", Export { name: "disk".into(), disk: disk.clone(), writable: false })
            .unwrap();
    let port = server.address().unwrap().port();
    std::thread::spawn(move || server.run(|_| ()));
    let tcp = Address::parse(&format!("nbd://127.0.0.1:{port}/disk")).unwrap();
    for address in [address(&socket, "disk"), address(&socket, ""), tcp] {
        let client = NbdDisk::open(&address).unwrap();
        same(&client, disk.as_ref());
        assert!(holes(&client) > 30 << 20);
        assert!(client.read_at(LENGTH - 3, &mut [0; 4]).is_err());
        assert!(client.write_at(0, b"x").unwrap_err().to_string().contains("read-only"));
        assert_eq!(client.extents(12345, 1).unwrap().len(), 1);
    }
    let missing = NbdDisk::open(&address(&socket, "other")).err().unwrap().to_string();
    assert!(missing.contains("no export \"other\""), "{missing}");
    let nobody = NbdDisk::open(&address(&folder.path().join("none"), "")).err().unwrap().to_string();
    assert!(nobody.contains("cannot open nbd+unix:///"), "{nobody}");
}

#[test]
fn many_threads_share_a_connection() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path());
    let disk = FileDisk::open_read(&path).unwrap();
    // qemu-nbd with one client at a time: all go over one connection.
    let socket = folder.path().join("socket");
    let qemu = Qemu::serve(&path, "raw", &socket, &["-r", "-e", "1"]);
    std::thread::sleep(std::time::Duration::from_millis(100));
    let client = NbdDisk::open(&address(&socket, "")).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8u64 {
            let (client, disk) = (&client, &disk);
            scope.spawn(move || {
                for step in 0..200u64 {
                    let offset = (thread * 7919 + step * 104_729 * 13) % (LENGTH - 300_000);
                    let length = ((thread + step * 31) % 300_000) as usize;
                    let (mut left, mut right) = (vec![1; length], vec![2; length]);
                    client.read_at(offset, &mut left).unwrap();
                    disk.read_at(offset, &mut right).unwrap();
                    assert!(left == right, "{offset}+{length}");
                    client.extents(offset, length as u64).unwrap();
                }
            });
        }
    });
    drop(qemu);
    let gone = client.read_at(0, &mut [0; 512]).unwrap_err().to_string();
    assert!(gone.contains("cannot read 512 bytes at 0"), "{gone}");
}

#[test]
fn our_client_reads_and_writes_what_qemu_serves() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path());
    let image = folder.path().join("image.qcow2");
    tool("qemu-img", &["convert", "-O", "qcow2", path.to_str().unwrap(), image.to_str().unwrap()]);
    let socket = folder.path().join("socket");
    let qemu = Qemu::serve(&image, "qcow2", &socket, &["-x", "name", "-e", "20"]);
    let client = NbdDisk::open(&address(&socket, "name")).unwrap();
    same(&client, &FileDisk::open_read(&path).unwrap());
    assert!(holes(&client) > 30 << 20);
    let bytes: Vec<u8> = (0..9_000_000u32).map(|at| (at / 3) as u8).collect();
    client.write_at(1 << 20, &bytes).unwrap();
    client.flush().unwrap();
    drop((client, qemu));
    File::options().write(true).open(&path).unwrap().write_all_at(&bytes, 1 << 20).unwrap();
    tool("qemu-img", &["compare", path.to_str().unwrap(), image.to_str().unwrap()]);
    tool("qemu-img", &["check", image.to_str().unwrap()]);
}

#[test]
fn a_server_with_room_for_few_connections_is_read_over_those() {
    let folder = tempfile::tempdir().unwrap();
    let (path, socket) = (file(folder.path()), folder.path().join("socket"));
    let _qemu = Qemu::serve(&path, "raw", &socket, &["-r", "-e", "2"]);
    same(&NbdDisk::open(&address(&socket, "")).unwrap(), &FileDisk::open_read(&path).unwrap());
}

#[test]
fn others_read_what_our_server_serves() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path());
    let socket = folder.path().join("socket");
    serve(&socket, Arc::new(FileDisk::open_read(&path).unwrap()), false);
    let uri = format!("nbd+unix:///disk?socket={}", socket.display());
    tool("qemu-img", &["compare", path.to_str().unwrap(), &uri]);
    let copy = folder.path().join("copy");
    tool("nbdcopy", &[&uri, copy.to_str().unwrap()]);
    tool("cmp", &[path.to_str().unwrap(), copy.to_str().unwrap()]);
    let info = tool("nbdinfo", &[&uri]);
    for words in ["is_read_only: true", "can_multi_conn: true", "base:allocation"] {
        assert!(info.contains(words), "{info}");
    }
    assert!(info.contains(&LENGTH.to_string()), "{info}");
    let map = tool("nbdinfo", &["--map", &uri]);
    assert!(map.contains("hole,zero") && map.contains("data"), "{map}");
    assert!(tool("nbdinfo", &["--list", &uri]).contains("disk"));
}

#[test]
fn others_write_into_an_overlay_and_the_disk_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path());
    let before = std::fs::read(&path).unwrap();
    let socket = folder.path().join("socket");
    let overlay: Arc<dyn Disk> = Arc::new(Overlay::new(Arc::new(FileDisk::open_read(&path).unwrap())));
    serve(&socket, overlay.clone(), true);
    let uri = format!("nbd+unix:///?socket={}", socket.display());
    tool(
        "qemu-io",
        &["-f", "raw", "-c", "write -P 7 1000 70000", "-c", "write -z 4M 1M", "-c", "flush", &uri],
    );
    tool("qemu-io", &["-f", "raw", "-c", "read -P 7 1000 70000", "-c", "read -P 0 4M 1M", &uri]);
    let mut bytes = vec![0; 70000];
    overlay.read_at(1000, &mut bytes).unwrap();
    assert!(bytes.iter().all(|byte| *byte == 7));
    assert!(std::fs::read(&path).unwrap() == before, "the disk was written");
}

/// A server that says `bytes` whatever it is asked.
fn liar(socket: &Path, bytes: Vec<u8>) {
    let listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, bytes) = (stream.unwrap(), bytes.clone());
            std::thread::spawn(move || {
                let _gone = stream.write_all(&bytes);
                let _gone = stream.shutdown(std::net::Shutdown::Write);
                let _gone = stream.read_to_end(&mut Vec::new());
            });
        }
    });
}

#[test]
fn damaged_answers_and_questions_end_in_errors() {
    // What a real server says to this client until the export is open and 512 bytes are read.
    let folder = tempfile::tempdir().unwrap();
    let data: Vec<u8> = (0..64 << 10).map(|at: u32| at as u8).collect();
    let (real, between) = (folder.path().join("real"), folder.path().join("between"));
    serve(&real, Arc::new(MemoryDisk::new(data)), false);
    let listener = std::os::unix::net::UnixListener::bind(&between).unwrap();
    let recorded = Arc::new((Mutex::new(Vec::new()), Mutex::new(Vec::new())));
    let disk = std::thread::scope(|scope| {
        let opened = scope.spawn(|| NbdDisk::open(&address(&between, "disk")));
        // As many connections as the client makes where several are allowed; the first one is looked at.
        for _ in 0..8 {
            record(&listener, &real, &recorded);
        }
        opened.join().unwrap().unwrap()
    });
    disk.read_at(0, &mut [0; 512]).unwrap();
    disk.extents(0, 64 << 10).unwrap();
    drop(disk);
    let (asked, said) = (recorded.0.lock().unwrap().clone(), recorded.1.lock().unwrap().clone());
    assert!(asked.len() > 60 && said.len() > 60);
    let mut random = 0x1234_5678_9abc_def1u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % below as u64) as usize
    };
    for case in 0..250 {
        let damage = |bytes: &[u8], next: &mut dyn FnMut(usize) -> usize| {
            let mut bytes = bytes.to_vec();
            for _ in 0..=next(3) {
                let at = next(bytes.len());
                bytes[at] ^= 1 << next(8);
            }
            let end = if next(3) == 0 { next(bytes.len()) } else { bytes.len() };
            bytes.truncate(end);
            bytes
        };
        let socket = folder.path().join(format!("liar-{case}"));
        liar(&socket, damage(&said, &mut next));
        if let Ok(disk) = NbdDisk::open(&address(&socket, "disk")) {
            let _any = disk.read_at(0, &mut [0; 512]);
            let _any = disk.extents(0, disk.length().min(1 << 20));
        }
        let mut stream = UnixStream::connect(&real).unwrap();
        let _gone = stream.write_all(&damage(&asked, &mut next));
        let _gone = stream.shutdown(std::net::Shutdown::Write);
        let mut heard = Vec::new();
        let _gone = stream.read_to_end(&mut heard);
        assert!(heard.len() < 64 << 20);
    }
    let client = NbdDisk::open(&address(&real, "disk")).unwrap();
    client.read_at(0, &mut [0; 512]).unwrap();
}

/// What a client asked and what the server said, over all connections.
type Recorded = Arc<(Mutex<Vec<u8>>, Mutex<Vec<u8>>)>;

/// Lets a client through to a server and writes down what they say if it is the first.
fn record(listener: &std::os::unix::net::UnixListener, server: &Path, into: &Recorded) {
    let client = listener.accept().unwrap().0;
    let server = UnixStream::connect(server).unwrap();
    let first = into.0.lock().unwrap().is_empty();
    let pass = move |mut from: UnixStream, mut to: UnixStream, recorded: Recorded, asks: bool| {
        let mut piece = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut piece) {
            if first {
                let list = if asks { &recorded.0 } else { &recorded.1 };
                list.lock().unwrap().extend(&piece[..count]);
            }
            let _gone = to.write_all(&piece[..count]);
        }
        let _gone = to.shutdown(std::net::Shutdown::Write);
    };
    let (client2, server2, into2) = (client.try_clone().unwrap(), server.try_clone().unwrap(), into.clone());
    let into = into.clone();
    std::thread::spawn(move || pass(client, server2, into, true));
    std::thread::spawn(move || pass(server, client2, into2, false));
    // The next connection is made once the client has begun on this one.
    std::thread::sleep(std::time::Duration::from_millis(100));
}
