//! Servers' exports as sinks: what arrives on qemu-nbd's and nbdkit's, complete or visibly not, and what is refused.

use crate::{program, text};
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// An odd length: the last unit is not whole.
const LENGTH: u64 = (40 << 20) + 512;

/// A server of others, ended with the test.
pub struct Server(Child);

impl Server {
    /// Waits until `command` listens on `socket`.
    pub fn start(command: &mut Command, socket: &Path) -> Self {
        let _old = std::fs::remove_file(socket);
        let child = command.spawn().unwrap();
        let listens = |_| {
            std::thread::sleep(Duration::from_millis(20));
            UnixStream::connect(socket).is_ok()
        };
        assert!((0..500).any(listens), "{command:?} does not listen");
        Self(child)
    }

    /// `qemu-nbd` with these options.
    pub fn qemu(file: &Path, format: &str, socket: &Path, more: &[&str]) -> Self {
        let mut command = Command::new("qemu-nbd");
        command.args(["-t", "-e", "20", "-f", format, "-k"]).arg(socket).args(more).arg(file);
        Self::start(&mut command, socket)
    }

    fn nbdkit(socket: &Path, words: &[&str]) -> Self {
        let mut command = Command::new("nbdkit");
        command.args(["--foreground", "--unix"]).arg(socket).args(words);
        Self::start(&mut command, socket)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // In order, so that qemu closes its image.
        let _gone = Command::new("kill").arg(self.0.id().to_string()).status();
        let _gone = self.0.wait();
    }
}

/// A folder with a disk, where `wherry` runs.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let file = File::create(place.path("disk")).unwrap();
        file.set_len(LENGTH).unwrap();
        let noise = |from: u32, to: u32| -> Vec<u8> {
            (from..to).map(|at| (at.wrapping_mul(at | 1).wrapping_mul(0x9e37_79b1) >> 24) as u8).collect()
        };
        file.write_all_at(&noise(0, 6 << 20), 0).unwrap();
        file.write_all_at(&noise(7, 100_000), (20 << 20) + 777).unwrap();
        file.write_all_at(b"the end", LENGTH - 7).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn uri(&self, name: &str) -> String {
        format!("nbd+unix:///?socket={}", self.path(name).display())
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = program();
        command.current_dir(self.0.path());
        command.args(words);
        command
    }

    fn convert(&self, to: &str, more: &[&str]) -> Command {
        self.command(&[&["convert", "raw:disk", "--to", to], more].concat())
    }

    /// Converts, verifies, and leaves nothing behind.
    fn arrives(&self, to: &str, more: &[&str]) -> String {
        let shown = self.convert(to, &[more, &["--verify"]].concat()).output().unwrap();
        assert!(shown.status.success(), "{}", text(&shown.stderr));
        assert_eq!(self.checkpoints(), 0);
        text(&shown.stdout)
    }

    fn refused(&self, to: &str, more: &[&str], words: &str) {
        let shown = self.convert(to, more).output().unwrap();
        let said = text(&shown.stderr);
        assert_eq!(shown.status.code(), Some(1), "{words}: {said}");
        assert!(said.contains("nothing was written to") && said.contains(words), "{words}: {said}");
        assert_eq!(self.checkpoints(), 0);
    }

    fn checkpoints(&self) -> usize {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.contains("checkpoint")).count()
    }

    /// Whether the disk is there, and `behind` after it.
    fn holds(&self, name: &str, behind: &[u8]) -> bool {
        let file = std::fs::read(self.path(name)).unwrap();
        file[..LENGTH as usize] == std::fs::read(self.path("disk")).unwrap()
            && file[LENGTH as usize..] == *behind
    }
}

fn tool(program: &str, words: &[&str]) -> Output {
    let done = Command::new(program).args(words).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    assert!(done.status.success(), "{program} {words:?}: {}{}", text(&done.stdout), text(&done.stderr));
    done
}

#[test]
fn a_disk_arrives_in_an_image_that_qemu_writes() {
    let place = Place::new();
    let image = place.path("image.qcow2");
    let name = image.to_str().unwrap();
    tool("qemu-img", &["create", "-q", "-f", "qcow2", name, &LENGTH.to_string()]);
    let server = Server::qemu(&image, "qcow2", &place.path("socket"), &["-x", "out"]);
    let uri = format!("nbd+unix:///out?socket={}", place.path("socket").display());
    let said = place.arrives(&uri, &["--device", &uri]);
    assert!(said.contains(&uri), "{said}");
    drop(server);
    tool("qemu-img", &["check", name]);
    tool("qemu-img", &["compare", "-f", "raw", "-F", "qcow2", place.path("disk").to_str().unwrap(), name]);
    assert!(image.metadata().unwrap().blocks() * 512 < 9 << 20, "zeroes are stored");
}

#[test]
fn what_an_export_held_is_overwritten_only_where_that_is_said() {
    let place = Place::new();
    let old = vec![0xee; LENGTH as usize + 5 * 512];
    std::fs::write(place.path("old"), &old).unwrap();
    let (socket, uri) = (place.path("socket"), place.uri("socket"));
    let server = Server::qemu(&place.path("old"), "raw", &socket, &[]);
    place.refused(&uri, &[], "say --device");
    place.refused(&uri, &["--device", &place.uri("other")], "say --device");
    place.refused(&uri, &["--device", &uri], "say --overwrite-device");
    assert!(std::fs::read(place.path("old")).unwrap() == old);
    place.arrives(&format!("raw:{uri}"), &["--overwrite-device", &uri]);
    assert!(place.holds("old", &[0xee; 5 * 512]));
    let itself =
        place.command(&["convert", &uri, "--to", &uri, "--overwrite-device", &uri]).output().unwrap();
    assert!(text(&itself.stderr).contains("which is never written"), "{}", text(&itself.stderr));
    let packed = place.convert(&format!("qcow2:{uri}"), &["--overwrite-device", &uri]).output().unwrap();
    assert_eq!(packed.status.code(), Some(2), "{}", text(&packed.stderr));
    for wrong in [format!("{uri}&port=5"), "nbds://h/x?tls-psk-file=keys".into(), "nbd:///x".into()] {
        for words in [["convert", "raw:disk", "--to", &wrong], ["convert", &wrong, "--to", "raw:x"]] {
            let shown = place.command(&words).output().unwrap();
            assert_eq!(shown.status.code(), Some(2), "{}", text(&shown.stderr));
            assert!(
                text(&shown.stderr).contains("is no address of an NBD server"),
                "{}",
                text(&shown.stderr)
            );
        }
    }
    drop(server);

    let server = Server::qemu(&place.path("old"), "raw", &socket, &["-r"]);
    place.refused(&uri, &["--overwrite-device", &uri], "read-only");
    drop(server);
    let server = Server::nbdkit(&socket, &["memory", &(LENGTH - 512).to_string()]);
    place.refused(&uri, &["--device", &uri], "use a larger device");
    drop(server);
    let eval = ["eval", "get_size=echo 64M", "pread=exit 1", "pwrite=exit 1", "can_write=exit 0"];
    let _server = Server::nbdkit(&socket, &eval);
    place.refused(&uri, &["--device", &uri], "cannot flush");
}

#[test]
fn servers_that_can_little_get_what_they_need() {
    let place = Place::new();
    let (socket, uri) = (place.path("socket"), place.uri("socket"));
    let length = LENGTH.next_multiple_of(4096);
    let file = format!("file={}", place.path("old").display());
    let strict = "blocksize-error-policy=error";
    for words in [
        &["file", &file][..],
        &["--filter=nozero", "--filter=noextents", "file", &file],
        &["--filter=multi-conn", "file", &file, "multi-conn-mode=disable"],
        &[
            "--filter=blocksize-policy",
            "file",
            &file,
            "blocksize-minimum=4096",
            "blocksize-maximum=1M",
            strict,
        ],
    ] {
        std::fs::write(place.path("old"), vec![0xee; length as usize]).unwrap();
        let server = Server::nbdkit(&socket, words);
        place.arrives(&uri, &["--overwrite-device", &uri]);
        let source = place.command(&["disk", "compare", "raw:disk", &uri]).output().unwrap();
        assert_eq!(source.status.code(), Some(1), "what lies behind is not zero");
        drop(server);
        assert!(place.holds("old", &vec![0xee; (length - LENGTH) as usize]), "{words:?}");
    }
    let _server = Server::nbdkit(&socket, &["memory", &LENGTH.to_string()]);
    place.arrives(&uri, &["--device", &uri]);
    let same = place.command(&["disk", "compare", "raw:disk", &uri]).output().unwrap();
    assert!(same.status.success(), "{}", text(&same.stdout));
}

#[test]
fn killed_at_random_moments_an_export_is_complete_or_visibly_not() {
    let place = Place::new();
    std::fs::write(place.path("old"), vec![0xee; LENGTH as usize]).unwrap();
    let (socket, uri) = (place.path("socket"), place.uri("socket"));
    let mut server = Server::qemu(&place.path("old"), "raw", &socket, &[]);
    let disk = std::fs::read(place.path("disk")).unwrap();
    let (mut random, mut marked) = (0x1234_5679u64, 0);
    // At this rate the disk takes longer than all rounds together.
    for round in 0..6 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let speed = ["--overwrite-device", &uri, "--limit-rate", "2500K", "--checkpoint", "0.05"];
        let mut command = place.convert(&uri, &speed);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(80 + random % 300));
        if round == 2 {
            // The server dies: the run ends with its word.
            server.0.kill().unwrap();
            assert_eq!(child.wait().unwrap().code(), Some(1));
            server = Server::qemu(&place.path("old"), "raw", &socket, &[]);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let there = std::fs::read(place.path("old")).unwrap();
        marked += u32::from(there.starts_with(b"wherry: an incomplete copy"));
        assert!(there == disk || there[..512] != disk[..512], "round {round}");
    }
    assert!(marked > 0 && place.checkpoints() > 0, "no run was killed while it wrote");
    // Another export under the same address is not gone on with.
    drop(server);
    std::fs::rename(place.path("old"), place.path("ours")).unwrap();
    std::fs::write(place.path("old"), vec![0xdd; LENGTH as usize]).unwrap();
    server = Server::qemu(&place.path("old"), "raw", &socket, &[]);
    let another = place.convert(&uri, &["--overwrite-device", &uri]).output().unwrap();
    assert!(text(&another.stderr).contains("to start afresh"), "{}", text(&another.stderr));
    assert!(std::fs::read(place.path("old")).unwrap() == vec![0xdd; LENGTH as usize]);
    drop(server);
    std::fs::rename(place.path("ours"), place.path("old")).unwrap();
    let _server = Server::qemu(&place.path("old"), "raw", &socket, &[]);
    // What is there is no loss any more.
    place.arrives(&uri, &["--device", &uri]);
    assert!(place.holds("old", &[]));
}
